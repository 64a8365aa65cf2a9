/* `agentos status`: the agents as the supervisor knows them. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "common/memory.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL && text[0] != '\0' ? text : "-";
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static const char *const STATUS_HEADS[] = {"AGENT",   "STATE",   ">PID",      ">UP",   ">RESTARTS",
                                           ">QUEUE",  ">INBOX",  ">HANDOFFS", ">DONE", ">STREAK",
                                           ">TOKENS", ">MEMORY", "LAST EXIT"};

static void add_agent(struct table *table, const json_t *agent)
{
    char text[32];
    const json_t *pid = json_object_get(agent, "pid");
    const json_t *detail = json_object_get(agent, "detail"); /* "working: first-task" */
    table_cell(table, text_of(agent, "name"));
    table_cell(table, json_is_string(detail) ? json_string_value(detail) : text_of(agent, "state"));
    if (json_is_integer(pid)) {
        table_cellf(table, "%lld", (long long)json_integer_value(pid));
        table_cell(table, output_duration(number_of(agent, "uptime_seconds"), text));
    } else {
        table_cell(table, NULL);
        table_cell(table, NULL);
    }
    table_cellf(table, "%lld", number_of(agent, "restarts"));
    table_cellf(table, "%lld", number_of(agent, "queue_depth"));
    table_cellf(table, "%lld", number_of(agent, "inbox_depth"));
    table_cellf(table, "%lld", number_of(agent, "handoff_depth"));
    table_cellf(table, "%lld", number_of(agent, "tasks_done"));
    table_cellf(table, "%lld", number_of(agent, "negative_streak"));
    table_cellf(table, "%lld", number_of(agent, "tokens_today"));
    table_cell(table, output_bytes(number_of(agent, "memory_bytes"), text));
    table_cell(table, text_of(agent, "last_exit"));
}

/* whose: "orion: ", or "" when the sentence itself says it. */
static void show_problems(const json_t *object, const char *whose)
{
    size_t index = 0;
    const json_t *problem = NULL;
    json_array_foreach(json_object_get(object, "problems"), index, problem)
    {
        if (json_is_string(problem)) {
            OWNED char *clean = output_clean(json_string_value(problem), 0);
            printf("! %s%s\n", whose, clean);
        }
    }
}

static void show_status(const json_t *status)
{
    char text[32];
    const json_t *supervisor = json_object_get(status, "supervisor");
    const json_t *agents = json_object_get(status, "agents");
    OWNED char *sandbox = output_clean(text_of(supervisor, "sandbox"), 0);
    printf("agentos %s, pid %lld, up %s, sandbox: %s\n\n", text_of(supervisor, "version"),
           number_of(supervisor, "pid"), output_duration(number_of(supervisor, "uptime_seconds"), text),
           sandbox);
    struct table table;
    table_begin(&table, STATUS_HEADS, sizeof(STATUS_HEADS) / sizeof(STATUS_HEADS[0]));
    size_t index = 0;
    const json_t *agent = NULL;
    json_array_foreach(agents, index, agent)
    {
        add_agent(&table, agent);
    }
    table_show(&table);
    show_problems(supervisor, "");
    json_array_foreach(agents, index, agent)
    {
        OWNED char *whose = memory_print("%s: ", text_of(agent, "name"));
        show_problems(agent, whose);
    }
}

/* The contract's keys and no other: what the table's STATE says beyond them stands among the problems too, and the
 * supervisor's own problems stand among each agent's. */
static void show_json(json_t *status)
{
    json_t *supervisor = json_object_get(status, "supervisor");
    size_t index = 0;
    json_t *agent = NULL;
    json_array_foreach(json_object_get(status, "agents"), index, agent)
    {
        json_object_del(agent, "detail");
        json_array_extend(json_object_get(agent, "problems"), json_object_get(supervisor, "problems"));
    }
    json_object_del(supervisor, "problems");
    output_json(json_incref(status));
}

int verb_status(struct invocation *invocation)
{
    int status = 0;
    json_t *request = json_pack("{s:s, s:s*}", "verb", "status", "agent", invocation->words[0]);
    json_t *answer = client_call(invocation, request, CLIENT_PATIENCE, &status);
    json_t *object = json_object_get(answer, "status");
    if (status == 0 && !json_is_object(object)) {
        output_complain("the supervisor's answer holds no status (is it another version?)");
        status = EX_SOFTWARE;
    } else if (status == 0 && invocation_has(invocation, OPTION_JSON)) {
        show_json(object);
    } else if (status == 0) {
        show_status(object);
    }
    json_decref(answer);
    return output_end(status);
}
