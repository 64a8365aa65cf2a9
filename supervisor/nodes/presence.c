#include "supervisor/nodes/presence.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/format/did_you_mean.h"
#include "common/format/roster.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/settings.h"
#include "supervisor/agent/agent.h"
#include "supervisor/nodes/bus_link.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/nodes/mirror_link.h"
#include "supervisor/post/post.h"
#include "supervisor/shared/work_queues.h"

#define NODE_KEY "node."

enum {
    EVERY_MS = 5000,
    EVERY_AGENTS = 500, /* each so many agents of the fleet add another EVERY_MS */
    AWAY_MS = 30 * 1000,
    EVERY_MOST_MS = AWAY_MS / 2, /* however large the fleet: the others take a silent node for gone */
    BYTES = 900 * 1024,
    CLOCKS_MS = 2000,
    NODES_MAX = 1000
};

struct other {
    char *name;   /* owned */
    json_t *told; /* owned; NULL: its key is gone */
    int64_t heard_at, ahead_ms;
};

struct presence {
    const struct local_node *local;
    const struct queues *queues;
    struct other *others;
    size_t count;
    int64_t next_at;
};

static struct other *find(const struct presence *presence, const char *node)
{
    for (size_t i = 0; node && i < presence->count; i++)
        if (strcmp(presence->others[i].name, node) == 0)
            return &presence->others[i];
    return NULL;
}

struct presence *presence_new(const struct local_node *local, const struct queues *queues)
{
    struct presence *presence = memory_new(1, sizeof *presence);
    *presence = (struct presence){.local = local, .queues = queues};
    return presence;
}

void presence_free(struct presence *presence)
{
    if (!presence)
        return;
    for (size_t i = 0; i < presence->count; i++) {
        free(presence->others[i].name);
        json_decref(presence->others[i].told);
    }
    free(presence->others);
    free(presence);
}

/* --- this node --- */

static json_t *describe(const struct local_node *local, const struct agent *agent)
{
    int64_t since;
    const char *absence = agent_absence(agent, &since);
    const struct figures *figures = &agent->told.figures;
    struct post_depths depths = {0};
    struct post_pressure pressure = {0};
    post_depths(local->post, agent->name, &depths);
    post_pressure(local->post, agent->name, &pressure);
    json_t *object =
        json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "name", agent->name, "state",
                  life_state_name(agent->life.state), "pid",
                  agent->worker.pid > 0 ? json_integer(agent->worker.pid) : json_null(), "restarts",
                  (json_int_t)agent->past.restarts, "queue_depth", (json_int_t)figures->queue, "inbox_depth",
                  (json_int_t)depths.inbox, "handoff_depth", (json_int_t)depths.handoffs, "outbox_depth",
                  (json_int_t)depths.outbox, "dead_letters", (json_int_t)depths.dead_letters,
                  "throughput_class", class_name(pressure.throughput_class));
    json_auto_t *more =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:I}", "negative_streak",
                  (json_int_t)figures->negative_streak, "tasks_done", (json_int_t)figures->tasks_done,
                  "tokens_today", (json_int_t)figures->tokens_today, "window", (json_int_t)pressure.window,
                  "unfinished", (json_int_t)pressure.unfinished, "backlog", (json_int_t)pressure.backlog,
                  "deferred", (json_int_t)pressure.deferred, "pressure", post_pressure_word(&pressure),
                  "absence", absence ? absence : "", "since", (json_int_t)since);
    json_object_update(object, more);
    OWNED_BUFFER struct buffer unpushed = {0};
    mirror_link_problem(local->mirror, agent->name, &unpushed);
    if (unpushed.length > 0) {
        json_object_set_new(object, "unpushed", json_string(unpushed.data));
        json_object_set_new(object, "diverged",
                            json_boolean(mirror_link_diverged(local->mirror, agent->name)));
    }
    return object;
}

static void add_queues(const struct presence *presence, struct buffer *text)
{
    const struct roster *roster = *presence->local->roster;
    const char *comma = "";
    for (size_t i = 0; i < roster->queue_count; i++) {
        const char *name = roster->queues[i].name;
        size_t waiting, under_way;
        queues_count(presence->queues, name, &waiting, &under_way);
        if (!waiting && !under_way)
            continue;
        buffer_print(text, "%s\"%s\":[%zu,%zu]", comma, name, waiting, under_way);
        comma = ",";
    }
}

static char *text_of(const struct presence *presence)
{
    const struct local_node *local = presence->local;
    OWNED_BUFFER struct buffer text = {0};
    const char *comma = "";
    buffer_print(&text, "{\"time\":%lld,\"agents\":{", (long long)clock_now_ms());
    for (size_t i = 0; i < local->agents->count && text.length < BYTES; i++) {
        const struct agent *agent = local->agents->list[i];
        if (agent->order.elsewhere)
            continue;
        json_auto_t *object = describe(local, agent);
        OWNED char *one = json_dumps(object, JSON_COMPACT);
        buffer_print(&text, "%s\"%s\":%s", comma, agent->name, one);
        comma = ",";
    }
    buffer_text(&text, "},\"queues\":{");
    add_queues(presence, &text);
    buffer_text(&text, "}}");
    return buffer_take(&text);
}

void presence_turn(struct presence *presence, int64_t now)
{
    const struct local_node *local = presence->local;
    struct bus_link *bus = local->bus;
    if (now < presence->next_at || !bus_link_connected(bus))
        return;
    OWNED char *key = memory_print(NODE_KEY "%s", node_name()), *text = text_of(presence);
    (void)bus_link_put(bus, key, text, BUS_ANY_REVISION, bus_link_ticket(bus));
    int64_t pause = EVERY_MS * (int64_t)(1 + local->agents->count / EVERY_AGENTS);
    presence->next_at = now + (pause < EVERY_MOST_MS ? pause : EVERY_MOST_MS);
}

/* --- the others --- */

static int64_t time_of(const json_t *told)
{
    return (int64_t)json_integer_value(json_object_get(told, "time"));
}

/* A watch of the bucket that lost a message begins anew, and tells each key again, also that of a node long gone. */
static void take(struct other *other, json_t *told, bool fresh)
{
    bool again = time_of(other->told) == time_of(told);
    json_decref(other->told);
    other->told = told;
    if (!fresh || !told || again)
        return;
    other->heard_at = clock_boot_ms();
    other->ahead_ms = time_of(told) - clock_now_ms();
}

bool presence_key(struct presence *presence, const char *key, const char *text, bool fresh)
{
    const char *node = key + strlen(NODE_KEY);
    if (strncmp(key, NODE_KEY, strlen(NODE_KEY)) != 0)
        return false;
    if (!names_node(node) || strcmp(node, node_name()) == 0)
        return true;
    struct other *other = find(presence, node);
    if (!other && presence->count < NODES_MAX) {
        other = MEMORY_ADD(presence->others, presence->count);
        *other = (struct other){.name = memory_text(node), .heard_at = -AWAY_MS};
    }
    if (other)
        take(other, text ? json_loads(text, 0, NULL) : NULL, fresh);
    return true;
}

const json_t *presence_agent(const struct presence *presence, const char *node, const char *agent)
{
    const struct other *other = find(presence, node);
    return other ? json_object_get(json_object_get(other->told, "agents"), agent) : NULL;
}

bool presence_is_known(const struct presence *presence, const char *node)
{
    return find(presence, node) != NULL;
}

bool presence_is_there(const struct presence *presence, const char *node)
{
    const struct other *other = find(presence, node);
    return other && other->told && clock_boot_ms() - other->heard_at < AWAY_MS;
}

/* A number of another type, or too large, counts as none. */
static size_t count_of(const json_t *counts, size_t i)
{
    json_int_t count = json_integer_value(json_array_get(counts, i));
    return count > 0 && count <= QUEUE_ITEMS_MAX ? (size_t)count : 0;
}

void presence_count(const struct presence *presence, const char *queue, size_t *waiting, size_t *under_way)
{
    for (size_t i = 0; i < presence->count; i++) {
        const json_t *told = json_object_get(presence->others[i].told, "queues");
        if (!presence_is_there(presence, presence->others[i].name))
            continue;
        *waiting += count_of(json_object_get(told, queue), 0);
        *under_way += count_of(json_object_get(told, queue), 1);
    }
}

void presence_each(const struct presence *presence,
                   void (*visit)(void *context, const char *node, bool there), void *context)
{
    for (size_t i = 0; i < presence->count; i++)
        if (presence->others[i].told)
            visit(context, presence->others[i].name, presence_is_there(presence, presence->others[i].name));
}

static const char *name_at(const void *presence, size_t i)
{
    return ((const struct presence *)presence)->others[i].name;
}

const char *presence_nearest(const struct presence *presence, const char *node)
{
    return did_you_mean(node, name_at, presence, presence->count);
}

void presence_problems(const struct presence *presence, struct buffer *lines)
{
    for (size_t i = 0; i < presence->count; i++) {
        const struct other *other = &presence->others[i];
        if (presence_is_there(presence, other->name) && llabs(other->ahead_ms) > CLOCKS_MS)
            buffer_print(
                lines,
                "the clock of node '%s' is %.1f s %s this node's; a time to live ends by the earlier "
                "of both\n",
                other->name, (double)llabs(other->ahead_ms) / 1000,
                other->ahead_ms > 0 ? "ahead of" : "behind");
    }
}
