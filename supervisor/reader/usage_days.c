#include "supervisor/reader/usage_days.h"

#include <stdlib.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/reader/commit_log.h"
#include "supervisor/reader/cost.h"

enum { DAY = 86400, DAY_TEXT = 10 };

struct sum {
    struct question_usage usage;
    uint64_t tasks, audit_tokens;
};

struct agent_sum {
    char *name; /* owned */
    struct sum sum;
};

struct tally {
    size_t days;
    int64_t first; /* day, since 1970 */
    struct sum *by_day;
    struct agent_sum *agents;
    size_t agent_count;
    struct sum *of_agent; /* of the agent that is being read */
};

static void add(struct sum *sum, const struct logged_commit *entry)
{
    sum->tasks++;
    usage_add(&sum->usage, &entry->usage);
    usage_add(&sum->usage, &entry->audit_usage);
    sum->audit_tokens += entry->audit_usage.tokens_in + entry->audit_usage.tokens_out;
}

/* The newest commits come first: the first commit of an earlier day ends the walk. */
static bool take(void *context, const struct logged_commit *entry)
{
    struct tally *tally = context;
    int64_t day = entry->time / DAY - tally->first;
    if (day >= 0 && day < (int64_t)tally->days && entry->task) {
        add(&tally->by_day[day], entry);
        add(tally->of_agent, entry);
    }
    return day >= 0;
}

static void read_agent(const struct reading *reading, const char *path, struct tally *tally, struct sum *sum)
{
    struct fault fault = {0};
    *sum = (struct sum){.usage.cost = USAGE_NO_COST};
    tally->of_agent = sum;
    if (!commit_log_each(path, SIZE_MAX, take, tally, &fault))
        reading->complain(fault.text);
}

static void read_all(const struct reading *reading, struct tally *tally)
{
    size_t count = 0;
    OWNED_LISTING struct listing *folders = listing_open(reading->data, "agents", NULL);
    char **names = folders ? listing_sorted(folders, &count) : NULL;
    tally->agents = memory_new(count + 1, sizeof *tally->agents);
    for (size_t i = 0; i < count; i++) {
        struct agent_sum *agent = &tally->agents[tally->agent_count];
        OWNED char *path = memory_print("%s/agents/%s", reading->data_dir, names[i]);
        if (names_agent(names[i]))
            read_agent(reading, path, tally, &agent->sum);
        if (agent->sum.tasks > 0) {
            agent->name = names[i];
            tally->agent_count++;
        } else {
            free(names[i]);
        }
    }
    free(names);
}

/* --- the answer --- */

static void set_sum(json_t *object, const struct sum *sum)
{
    json_object_set_new(object, "tasks", json_integer((json_int_t)sum->tasks));
    cost_set_numbers(object, true, &sum->usage, sum->audit_tokens);
}

static json_t *days_of(const struct tally *tally)
{
    json_t *items = json_array();
    for (size_t i = 0; i < tally->days; i++) {
        char text[CLOCK_TEXT];
        clock_format((tally->first + (int64_t)i) * DAY, text);
        json_t *item = json_pack("{s:s%}", "day", text, (size_t)DAY_TEXT);
        set_sum(item, &tally->by_day[i]);
        json_array_append_new(items, item);
    }
    return items;
}

static uint64_t tokens_of(const struct sum *sum)
{
    return sum->usage.tokens_in + sum->usage.tokens_out;
}

static uint64_t cost_of(const struct sum *sum)
{
    return sum->usage.cost == USAGE_NO_COST ? 0 : sum->usage.cost;
}

static int costliest_first(const void *left, const void *right)
{
    const struct sum *a = &((const struct agent_sum *)left)->sum,
                     *b = &((const struct agent_sum *)right)->sum;
    if (cost_of(a) != cost_of(b))
        return cost_of(a) < cost_of(b) ? 1 : -1;
    return (tokens_of(a) < tokens_of(b)) - (tokens_of(a) > tokens_of(b));
}

static json_t *agents_of(const struct tally *tally)
{
    json_t *items = json_array();
    qsort(tally->agents, tally->agent_count, sizeof *tally->agents, costliest_first);
    for (size_t i = 0; i < tally->agent_count; i++) {
        json_t *item = json_pack("{s:s}", "agent", tally->agents[i].name);
        set_sum(item, &tally->agents[i].sum);
        json_array_append_new(items, item);
        free(tally->agents[i].name);
    }
    return items;
}

int usage_days_read(const struct reading *reading, json_t **answer, struct fault *fault)
{
    struct sum all;
    bool one = reading_text(reading, "agent");
    struct tally tally = {.days = reading_count(reading, "days", USAGE_DAYS, USAGE_DAYS_MAX)};
    OWNED char *path = one ? reading_agent(reading, fault) : NULL;
    if (one && !path)
        return EX_NOINPUT;
    tally.first = clock_now() / DAY - (int64_t)tally.days + 1;
    OWNED struct sum *by_day = memory_new(tally.days, sizeof *by_day);
    tally.by_day = by_day;
    for (size_t i = 0; i < tally.days; i++)
        by_day[i].usage.cost = USAGE_NO_COST;
    if (one)
        read_agent(reading, path, &tally, &all);
    else
        read_all(reading, &tally);
    *answer = json_pack("{s:o}", "items", days_of(&tally));
    if (!one)
        json_object_set_new(*answer, "agents", agents_of(&tally));
    free(tally.agents);
    return EX_OK;
}
