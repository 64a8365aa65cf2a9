/* `agentos status`: the agents as the supervisor knows them. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/memory.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

enum { WATCH_LINES = 6 /* lines of a screen that are no agents */ };

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL && text[0] != '\0' ? text : "-";
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static const char *const STATUS_HEADS[] = {
    "AGENT", "STATE",    "?>PID",   "?>UP",  "?>RESTARTS", ">QUEUE",    "?>INBOX",    "?>HANDOFFS", ">DEAD",
    ">DONE", "?>STREAK", ">TOKENS", ">COST", "?>MEMORY",   ">PROBLEMS", "?LAST EXIT", "NODE"};

static void add_agent(struct table *table, const json_t *agent)
{
    static const char *const DEPTHS[] = {"restarts",     "queue_depth", "inbox_depth",     "handoff_depth",
                                         "dead_letters", "tasks_done",  "negative_streak", "tokens_today"};
    char text[32];
    const json_t *pid = json_object_get(agent, "pid");
    const json_t *cost = json_object_get(agent, "cost_today");
    const json_t *detail = json_object_get(agent, "detail"); /* "working: first-task" */
    table_cell(table, text_of(agent, "name"));
    table_cell(table, json_is_string(detail) ? json_string_value(detail) : text_of(agent, "state"));
    if (json_is_integer(pid)) {
        table_number(table, (long long)json_integer_value(pid));
        table_cell(table, output_duration(number_of(agent, "uptime_seconds"), text));
    } else {
        table_cell(table, NULL);
        table_cell(table, NULL);
    }
    for (size_t i = 0; i < sizeof(DEPTHS) / sizeof(DEPTHS[0]); i++)
        table_number(table, number_of(agent, DEPTHS[i]));
    if (json_is_number(cost))
        table_cellf(table, "%.4f", json_number_value(cost));
    else
        table_cell(table, NULL);
    table_cell(table, output_bytes(number_of(agent, "memory_bytes"), text));
    table_number(table, (long long)json_array_size(json_object_get(agent, "problems")));
    table_cell(table, text_of(agent, "last_exit"));
    if (json_object_get(agent, "node") != NULL)
        table_cell(table, text_of(agent, "node"));
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
            printf("%s! %s%s%s\n", output_colour(COLOUR_ALARM), whose, clean, output_colour(COLOUR_NONE));
        }
    }
}

/* --- the order of attention --- */

/* An agent's urgency: the smaller, the sooner somebody should look at it. */
static int urgency(const json_t *agent)
{
    static const char *const STATES[] = {"failed", "backoff"};
    const char *state = text_of(agent, "state");
    for (size_t i = 0; i < sizeof(STATES) / sizeof(STATES[0]); i++)
        if (strcmp(state, STATES[i]) == 0)
            return (int)i;
    bool waits = strcmp(state, "waiting") == 0;
    return json_array_size(json_object_get(agent, "problems")) > 0 ? 2
           : number_of(agent, "dead_letters") > 0                  ? 3
           : waits || strcmp(state, "paused") == 0                 ? 4
                                                                   : 5;
}

struct ranked {
    const json_t *agent; /* borrowed */
    const char *name;    /* the agent's */
    int urgency;
};

static int by_urgency(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    int order = a->urgency - b->urgency;
    return order != 0 ? order : strcmp(a->name, b->name);
}

/* The caller frees the list. */
static struct ranked *in_order(const json_t *agents)
{
    size_t count = json_array_size(agents);
    struct ranked *list = memory_new(count + 1, sizeof(*list));
    for (size_t i = 0; i < count; i++) {
        const json_t *agent = json_array_get(agents, i);
        list[i] = (struct ranked){.agent = agent, .name = text_of(agent, "name"), .urgency = urgency(agent)};
    }
    MEMORY_SORT(list, count, by_urgency);
    return list;
}

static void show_table(const json_t *agents, size_t most)
{
    struct table table;
    OWNED struct ranked *list = in_order(agents);
    size_t count = json_array_size(agents);
    size_t shown = count > most ? most : count;
    bool nodes = json_object_get(json_array_get(agents, 0), "node") != NULL;
    table_begin(&table, STATUS_HEADS, sizeof(STATUS_HEADS) / sizeof(STATUS_HEADS[0]) - (nodes ? 0 : 1));
    for (size_t i = 0; i < shown; i++)
        add_agent(&table, list[i].agent);
    table_show(&table);
    if (shown < count)
        printf("… and %zu more, which need attention less\n", count - shown);
    for (size_t i = 0; i < shown; i++) {
        OWNED char *whose = memory_print("%s: ", list[i].name);
        show_problems(list[i].agent, whose);
    }
}

/* most: agents to show, the most urgent first. */
static void show_status(const json_t *status, size_t most)
{
    char text[32];
    const json_t *supervisor = json_object_get(status, "supervisor");
    OWNED char *sandbox = output_clean(text_of(supervisor, "sandbox"), 0);
    bool nodes = json_object_get(supervisor, "node") != NULL;
    printf("agentos %s, pid %lld, up %s, sandbox: %s%s%s\n", text_of(supervisor, "version"),
           number_of(supervisor, "pid"), output_duration(number_of(supervisor, "uptime_seconds"), text),
           sandbox, nodes ? ", node " : "", nodes ? text_of(supervisor, "node") : "");
    show_problems(supervisor, "");
    putchar('\n');
    show_table(json_object_get(status, "agents"), most);
}

/* The contract's keys and no other: the table's STATE may say more, which stands among the problems too, and the
 * supervisor's own problems stand among each agent's. */
static void show_json(json_t *status)
{
    json_t *supervisor = json_object_get(status, "supervisor");
    size_t index = 0;
    json_t *agent = NULL;
    json_array_foreach(json_object_get(status, "agents"), index, agent)
    {
        json_object_del(agent, "detail");
        json_object_del(agent, "model");
        json_array_extend(json_object_get(agent, "problems"), json_object_get(supervisor, "problems"));
    }
    json_object_del(supervisor, "problems");
    output_json(json_incref(status));
}

static int show_once(struct invocation *invocation, size_t most)
{
    int status = 0;
    json_t *request = json_pack("{s:s, s:s*}", "verb", "status", "agent", invocation->words[0]);
    if (!invocation_has(invocation, OPTION_JSON))
        json_object_set_new(request, "rows", json_true()); /* absent keys read as 0, "-" or no problem */
    if (invocation_has(invocation, OPTION_ALL_NODES))
        json_object_set_new(request, "all_nodes", json_true());
    json_auto_t *answer = client_call(invocation, request, CLIENT_PATIENCE, &status);
    json_t *object = json_object_get(answer, "status");
    if (status == 0 && !json_is_object(object)) {
        output_complain("the supervisor's answer holds no status (is it another version?)");
        status = EX_SOFTWARE;
    } else if (status == 0 && invocation_has(invocation, OPTION_JSON)) {
        show_json(object);
    } else if (status == 0) {
        show_status(object, most);
    }
    return output_end(status);
}

/* Every screen was flushed, so there is nothing to finish. */
static void end_here(int signal)
{
    (void)signal;
    _exit(EX_OK);
}

/* On a terminal one changing screen: agents that don't fit are left out, and counted in a line. */
static int watch(struct invocation *invocation)
{
    int status = 0;
    bool terminal = isatty(STDOUT_FILENO);
    (void)signal(SIGINT, end_here);
    (void)signal(SIGTERM, end_here);
    for (bool first = true; status == 0; first = false) {
        struct winsize size;
        bool known = terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > WATCH_LINES;
        if (terminal)
            fputs("\033[H\033[J", stdout);
        else if (!first)
            putchar('\n');
        status = show_once(invocation, known ? (size_t)size.ws_row - WATCH_LINES : SIZE_MAX);
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    }
    return status;
}

int verb_status(struct invocation *invocation)
{
    return invocation_has(invocation, OPTION_WATCH) ? watch(invocation) : show_once(invocation, SIZE_MAX);
}
