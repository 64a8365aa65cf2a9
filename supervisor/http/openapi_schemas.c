#include "supervisor/http/openapi_schemas.h"

#include <stdbool.h>
#include <string.h>

#include "common/memory.h"

#define SPENT                                                                                                \
    "tokens:integer tokens_in:integer tokens_out:integer cached_tokens:integer audit_tokens:integer "        \
    "requests:integer cost:number? "
#define ENVELOPE                                                                                             \
    "id:string kind:string from:string to:string created:string ttl_seconds:integer priority:string "        \
    "status:string attempts:integer hops:integer trace:string? in_reply_to:string? delivered:string? "       \
    "read:string? finished:string? reason:string? lock:string? consumer:string? base_version:integer? "      \
    "body:string? "                                                                                          \
    "path:string "
#define COMMIT                                                                                               \
    "commit:string time:string author:string? subject:string? body:string? task:string? end:string? "        \
    "reward:integer? tokens:integer? audit:integer? audit_commit:string? "
#define CHANGE "path:string old_path:string? change:string added:integer? removed:integer? "
#define FAULTS "-problems:[string]" /* of files that can't be read */
#define PAGE   "next:string? " FAULTS

/* Each member is NAME:TYPE; a NAME that begins with "-" may be missing. Further members may come. */
static const struct {
    const char *name, *members;
} schemas[] = {
    {"Problem", "type:string title:string status:integer -detail:string -pointer:string"}, /* RFC 9457 */
    {"Health", "status:string -agents:integer -problems:[string]"},
    {"Supervisor", "pid:integer uptime_seconds:integer version:string sandbox:string problems:[string]"},
    {"Agent",
     "name:string state:string model:string detail:string? pid:integer? uptime_seconds:integer "
     "restarts:integer "
     "last_exit:string? queue_depth:integer inbox_depth:integer handoff_depth:integer outbox_depth:integer "
     "dead_letters:integer throughput_class:string negative_streak:integer tasks_done:integer "
     "tokens_today:integer cached_tokens_today:integer requests_today:integer cost_today:number? "
     "memory_bytes:integer problems:[string]"},
    {"Agents", "supervisor:Supervisor agents:[Agent]"},
    {"Done", "-agent:string -id:string -said:string -stage:string"},
    {"Taken", "-agent:string -queue:string id:string -known:string"},
    {"Task",
     "agent:string id:string state:string -place:integer -reward:integer -answer:string? -reason:string?"},
    {"Block",
     "id:string task:string? priority:string created:string? ttl_seconds:integer lock:string? from:string? "
     "problem:string?"},
    {"Blocks", "items:[Block] count:integer"},
    {"Skill", "name:string path:string -description:any -reward_evidence:any -last_success:any -decay:any"},
    {"Skills", "items:[Skill] " FAULTS},
    {"Reward", "task:string path:string -reward:any -audit_score:any -at:any -reason:any -tokens:any"},
    {"Rewards", "items:[Reward]"},
    {"Goal", "goal:string done:boolean path:string"},
    {"Goals", "items:[Goal]"},
    {"Reflection", "task:string body:string path:string"},
    {"Reflections", "items:[Reflection]"},
    {"Commit", COMMIT},
    {"Log", "items:[Commit] " PAGE},
    {"Change", CHANGE "-cut:boolean -diff:string?"},
    {"Changes", COMMIT "files:[Change] more_files:integer " FAULTS},
    {"Diary", "items:[Changes] " PAGE},
    {"Day", "day:string tasks:integer " SPENT},
    {"Spender", "agent:string tasks:integer " SPENT},
    {"Usage", "items:[Day] " FAULTS},
    {"UsageOfAll", "items:[Day] agents:[Spender] " FAULTS},
    {"Envelope", ENVELOPE "owner:string place:string"},
    {"Envelopes", "items:[Envelope] " PAGE},
    {"Step", "time:string agent:string what:string commit:string? subject:string?"},
    {"Copy", "path:string status:string pruned:boolean"},
    {"Letter", ENVELOPE},
    {"Hand", "agent:string id:string state:string answers:integer " SPENT},
    {"Cost", "trace:string complete:boolean hands:[Hand] " SPENT},
    {"EnvelopeWithRoute",
     ENVELOPE "copies:[Copy] route:[Step] answers:[Letter] of_trace:[Letter] cost:Cost? " FAULTS},
    {"Queue", "queue:string items:integer"},
    {"Queues", "queues:[Queue] items:[Envelope] " PAGE},
    {"Lock", "name:string path:string -token:any -holder:any -lease_until:any -waiters:any -body:string"},
    {"Locks", "items:[Lock]"},
    {"Segment", "name:string path:string -version:any -by:any -updated:any -body:string"},
    {"Segments", "items:[Segment]"},
};

static json_t *named(const char *type, size_t length)
{
    static const char *const plain[] = {"string", "integer", "number", "boolean"};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (strlen(plain[i]) == length && strncmp(plain[i], type, length) == 0)
            return json_pack("{s:s}", "type", plain[i]);
    if (length == 3 && strncmp(type, "any", 3) == 0)
        return json_object();
    OWNED char *reference = memory_print("#/components/schemas/%.*s", (int)length, type);
    return json_pack("{s:s}", "$ref", reference);
}

static json_t *schema_of(const char *type, size_t length)
{
    if (type[length - 1] == '?')
        return json_pack("{s:[o, {s:s}]}", "anyOf", schema_of(type, length - 1), "type", "null");
    if (type[0] == '[')
        return json_pack("{s:s, s:o}", "type", "array", "items", schema_of(type + 1, length - 2));
    return named(type, length);
}

json_t *openapi_schema(const char *type)
{
    return schema_of(type, strlen(type));
}

static json_t *object_of(const char *members)
{
    json_t *properties = json_object(), *required = json_array();
    for (const char *next = members; *next; next += strspn(next, " ")) {
        bool may_miss = *next == '-';
        next += may_miss;
        size_t name = strcspn(next, ":"), length = strcspn(next + name + 1, " ");
        OWNED char *key = memory_slice(next, name);
        json_object_set_new(properties, key, schema_of(next + name + 1, length));
        if (!may_miss)
            json_array_append_new(required, json_string(key));
        next += name + 1 + length;
    }
    return json_pack("{s:s, s:o, s:o}", "type", "object", "properties", properties, "required", required);
}

json_t *openapi_schemas(void)
{
    json_t *all = json_object();
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++)
        json_object_set_new(all, schemas[i].name, object_of(schemas[i].members));
    return all;
}
