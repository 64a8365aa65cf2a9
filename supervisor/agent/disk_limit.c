#include "supervisor/agent/disk_limit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/memory.h"
#include "supervisor/agent/agent.h"
#include "supervisor/agent/rested.h"
#include "supervisor/agent/tree_list.h"
#include "supervisor/agent/tree_size.h"

enum {
    SLICE_MS = 5,
    REST_MS = 15,
    ACTIVE_SHARE = 10, /* a tenth of the time */
    QUIET_SHARE = 300,
    AT_LEAST = 1024, /* agents that a scan looks at; more are all looked at within WITHIN_S */
    WITHIN_S = 60,
    GROWTH = 20, /* a twentieth */
    MEGABYTE = 1024 * 1024,
};

#define ALL (INT64_MAX / 8) /* more bytes than any disk has */

struct disk_limit {
    struct agents *agents;
    struct timer timer;
    size_t next, left; /* agents of this round that are still to be looked at */
    struct {
        char *name; /* the agent whose tree is counted; owned; NULL: none now */
        struct tree_size *size;
        int64_t worked_ns;
        pid_t pid; /* of the agent's worker when the count began */
    } now;
};

static bool has_worked(struct agent *agent)
{
    return agent_worked_ns(agent) != agent->disk.worked_ns;
}

/* A tree without a worker is looked at once: after that only people write there. */
static bool is_due(const struct agents *agents, struct agent *agent)
{
    const struct disk_account *account = &agent->disk;
    if (account->counted_ms == 0 || account->limit_mb != agent->definition->limits.disk_mb)
        return true;
    if (agent->worker.pid <= 0)
        return account->problem != NULL;
    int64_t share = has_worked(agent) ? ACTIVE_SHARE : QUIET_SHARE;
    int64_t apart = (int64_t)agents->count * account->spent_us * share / 1000;
    return clock_monotonic_ms() - account->counted_ms >= apart;
}

/* --- the meaning of a count --- */

static void say(struct agent *agent, const char *problem)
{
    free(agent->disk.problem);
    agent->disk.problem = memory_text(problem);
    log_warn("agentos", NULL, "Agent '%s': %s", agent->name, problem);
    agent->agents->callbacks->event(agent, "problem",
                                    (const struct detail[]){DETAIL_TEXT("problem", problem), {.key = NULL}});
}

static void clear(struct agent *agent)
{
    struct disk_account *account = &agent->disk;
    if (account->problem) {
        log_info("agentos", NULL, "Agent '%s': its files are within limits.disk_mb again", agent->name);
        agent->agents->callbacks->event(
            agent, "problem_cleared",
            (const struct detail[]){DETAIL_TEXT("problem", account->problem), {.key = NULL}});
    }
    free(account->problem);
    account->problem = NULL;
    account->told = 0;
    account->ended = false;
}

/* Bytes as a person reads them. Caller frees. */
static char *how_much(int64_t bytes)
{
    if (bytes > ALL)
        return memory_text("lie in folders too deep to be counted");
    return memory_print("take %lld MB", (long long)((bytes + MEGABYTE - 1) / MEGABYTE));
}

static void tell_first(struct agent *agent, int64_t bytes)
{
    OWNED char *much = how_much(bytes);
    OWNED char *problem =
        memory_print("its files %s, more than limits.disk_mb (%lld): remove some or raise the limit. "
                     "When they take a twentieth more, the agent is paused",
                     much, (long long)agent->disk.limit_mb);
    say(agent, problem);
}

/* The worker doesn't get the time to pause by itself: it may have been taken over. */
static void end(struct agent *agent, int64_t bytes)
{
    bool again = agent->disk.ended && agent->life.paused;
    OWNED char *much = how_much(bytes);
    OWNED char *problem = memory_print("its files %s, more than limits.disk_mb (%lld): its worker was ended, "
                                       "and the agent is %s. Remove some "
                                       "or raise the limit, then `agentos %s %s`",
                                       much, (long long)agent->disk.limit_mb,
                                       again ? "stopped, as they grew while it was paused" : "paused",
                                       again ? "start" : "resume", agent->name);
    agent->disk.ended = true;
    say(agent, problem);
    agent_order(agent, again ? EVENT_STOP : EVENT_PAUSE, true);
    agent_order(agent, EVENT_KILL, false);
}

/* The count of a paused agent had stopped at the limit, so the tree's size was not known. */
static bool is_measured(const struct agent *agent)
{
    const struct disk_account *account = &agent->disk;
    return account->limit_mb != agent->definition->limits.disk_mb ||
           (account->ended && agent->life.paused && account->told == 0);
}

static void judge(struct agent *agent, int64_t bytes)
{
    struct disk_account *account = &agent->disk;
    bool measured = is_measured(agent), first = account->limit_mb != agent->definition->limits.disk_mb;
    account->limit_mb = agent->definition->limits.disk_mb;
    if (bytes <= account->limit_mb * MEGABYTE) {
        clear(agent);
    } else if (measured) {
        account->told = bytes > ALL ? bytes : bytes + bytes / GROWTH;
        if (first)
            tell_first(agent, bytes);
    } else if (bytes > account->told || (account->ended && !agent->life.paused)) {
        account->told = 0;
        end(agent, bytes);
    }
}

/* --- counting --- */

static void begin(struct disk_limit *disk, struct agent *agent)
{
    OWNED char *path = memory_print("agents/%s", agent->name);
    disk->now.name = memory_text(agent->name);
    disk->now.worked_ns = agent_worked_ns(agent);
    disk->now.pid = agent->worker.pid;
    disk->now.size = tree_size_begin(files_open(disk->agents->data, path, O_RDONLY | O_DIRECTORY, 0),
                                     agent->worker.pid > 0);
}

static void forget(struct disk_limit *disk)
{
    tree_size_free(disk->now.size);
    free(disk->now.name);
    disk->now.size = NULL;
    disk->now.name = NULL;
}

static void keep_list(struct disk_limit *disk, struct agent *agent)
{
    struct tree_list *list = tree_size_take_list(disk->now.size);
    if (list && agent->worker.pid > 0 && agent->worker.pid == disk->now.pid) {
        list = tree_list_end(list, disk->now.worked_ns);
    } else {
        tree_list_free(list); /* a tree without a worker needs no list */
        list = NULL;
    }
    tree_list_free(agent->disk.list);
    agent->disk.list = list;
}

static void count(struct disk_limit *disk, struct agent *agent, int64_t until_ms)
{
    struct disk_account *account = &agent->disk;
    int64_t limit = account->limit_mb * MEGABYTE, enough = account->told > limit ? account->told : limit;
    if (!tree_size_go(disk->now.size, until_ms, is_measured(agent) ? ALL : enough))
        return;
    int64_t bytes = tree_size_bytes(disk->now.size);
    account->spent_us = tree_size_spent_us(disk->now.size);
    account->worked_ns = disk->now.worked_ns;
    /* A worker that has ended meanwhile may have written behind the count: its finished tree is counted, too. */
    account->counted_ms = agent->worker.pid == disk->now.pid ? clock_monotonic_ms() : 0;
    keep_list(disk, agent);
    forget(disk);
    if (agent->leaving)
        return;
    judge(agent, bytes);
    /* Else rested_note follows the next look, and takes this count along. */
    if (agent->notice.listed && agent->guard.mark)
        rested_note(agent);
}

/* Whether every name in the tree stands as at the last count, whose result then holds now, too. Where the tree's turn
 * has come because its worker did something, the comparison that agents_guard made after that will do. */
static bool is_as_counted(struct agent *agent)
{
    struct disk_account *account = &agent->disk;
    int64_t worked_ns = agent_worked_ns(agent);
    bool (*stands)(struct tree_list *, int, int64_t) = has_worked(agent) ? tree_list_holds : tree_list_stands;
    if (!account->list || account->problem || account->limit_mb != agent->definition->limits.disk_mb ||
        !stands(account->list, agent->tree, worked_ns))
        return false;
    account->worked_ns = worked_ns;
    account->counted_ms = clock_monotonic_ms();
    return true;
}

static void begin_next(struct disk_limit *disk)
{
    const struct agents *agents = disk->agents;
    disk->left--;
    struct agent *agent = agents->count > 0 ? agents->list[disk->next++ % agents->count] : NULL;
    if (agent && is_due(agents, agent) && !is_as_counted(agent))
        begin(disk, agent);
}

static void turn(void *context)
{
    struct disk_limit *disk = context;
    int64_t until = clock_monotonic_ms() + SLICE_MS;
    while ((disk->now.name || disk->left > 0) && !disk->agents->ending && clock_monotonic_ms() < until) {
        struct agent *agent = disk->now.name ? agents_find(disk->agents, disk->now.name) : NULL;
        if (agent)
            count(disk, agent, until);
        else if (disk->now.name)
            forget(disk); /* the agent was taken out of agents.yaml */
        else
            begin_next(disk);
    }
    if (disk->now.name || disk->left > 0)
        timer_set(disk->agents->loop, &disk->timer, REST_MS);
}

struct disk_limit *disk_limit_open(struct agents *agents)
{
    struct disk_limit *disk = memory_new(1, sizeof *disk);
    *disk = (struct disk_limit){.agents = agents, .timer = {.ring = turn, .context = disk}};
    return disk;
}

void disk_limit_scan(struct disk_limit *disk)
{
    if (disk->left > 0 || disk->now.name)
        return;
    size_t count = disk->agents->count, share = count * (size_t)disk->agents->poll_seconds / WITHIN_S + 1;
    size_t due = share > AT_LEAST ? share : AT_LEAST;
    disk->left = due < count ? due : count;
    turn(disk);
}

void disk_limit_close(struct disk_limit *disk)
{
    if (!disk)
        return;
    timer_clear(disk->agents->loop, &disk->timer);
    forget(disk);
    free(disk);
}
