#include "supervisor/agent/starts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/agent/agent.h"

enum {
    /* A start that takes longer gives its place away, so that a few trees that are hard to repair hold up nobody. */
    PLACE_MS = 3000,
    STRETCH_MS = 500, /* the least */
};

static bool somebody_waits(const struct starts *starts)
{
    return !TAILQ_EMPTY(&starts->woken) || !TAILQ_EMPTY(&starts->others);
}

static void run(struct starts *starts, struct agent *agent)
{
    TAILQ_INSERT_TAIL(&starts->running, agent, worker.start.link);
    agent->worker.start.stage = START_RUNS;
    agent->worker.start.since = clock_monotonic_ms();
    agent->worker.start.stood = 0;
    starts->count++;
}

void starts_leave(struct agent *agent)
{
    struct starts *starts = &agent->agents->starts;
    if (agent->worker.start.stage == START_RUNS) {
        TAILQ_REMOVE(&starts->running, agent, worker.start.link);
        starts->count--;
        if (somebody_waits(starts))
            timer_set(agent->agents->loop, &starts->timer, 0);
    } else if (agent->worker.start.stage == START_WAITS) {
        TAILQ_REMOVE(agent->worker.start.woken ? &starts->woken : &starts->others, agent, worker.start.link);
    }
    agent->worker.start.stage = START_NONE;
}

bool starts_enter(struct agent *agent, bool woken)
{
    struct starts *starts = &agent->agents->starts;
    starts_leave(agent);
    if (starts->count < starts->limit) {
        run(starts, agent);
        return true;
    }
    agent->worker.start.woken = woken;
    agent->worker.start.stage = START_WAITS;
    TAILQ_INSERT_TAIL(woken ? &starts->woken : &starts->others, agent, worker.start.link);
    timer_set(agent->agents->loop, &starts->timer, PLACE_MS);
    return false;
}

void starts_hurry(struct agent *agent)
{
    struct starts *starts = &agent->agents->starts;
    if (agent->worker.start.stage != START_WAITS || agent->worker.start.woken)
        return;
    TAILQ_REMOVE(&starts->others, agent, worker.start.link);
    TAILQ_INSERT_TAIL(&starts->woken, agent, worker.start.link);
    agent->worker.start.woken = true;
}

/* The first words of the process's account, as text. */
static void read_account(pid_t pid, const char *account, char *text, size_t size)
{
    OWNED char *path = memory_print("/proc/%d/%s", (int)pid, account);
    OWNED_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, text, size - 1);
    text[length > 0 ? length : 0] = '\0';
}

static bool waits_for_disk(pid_t pid)
{
    char text[512];
    read_account(pid, "stat", text, sizeof text);
    const char *name_end = strrchr(text, ')');
    return name_end && strncmp(name_end, ") D", 3) == 0;
}

int64_t starts_stretch(struct agent *agent)
{
    char text[128];
    long long ran, stood = 0;
    struct start *start = &agent->worker.start;
    if (agent->worker.pid <= 0)
        return agent->worker.spawning ? STRETCH_MS : 0;
    read_account(agent->worker.pid, "schedstat", text, sizeof text);
    if (sscanf(text, "%lld %lld", &ran, &stood) != 2)
        stood = 0;
    int64_t more = stood / 1000000 - start->stood;
    start->stood += more;
    return more >= STRETCH_MS ? more : waits_for_disk(agent->worker.pid) ? STRETCH_MS : 0;
}

/* Places that were held too long are free again, and agents that wait take the free places. A start that fails at
 * once leaves while it begins, so the lists are looked at anew each time. */
static void places_are_given(void *context)
{
    struct agents *agents = context;
    struct starts *starts = &agents->starts;
    struct agent *agent;
    int64_t late = clock_monotonic_ms() - PLACE_MS;
    while ((agent = TAILQ_FIRST(&starts->running)) && agent->worker.start.since <= late)
        starts_leave(agent);
    while (starts->count < starts->limit &&
           ((agent = TAILQ_FIRST(&starts->woken)) || (agent = TAILQ_FIRST(&starts->others)))) {
        starts_leave(agent);
        run(starts, agent);
        starts->start(agent);
    }
    if (somebody_waits(starts))
        timer_set(agents->loop, &starts->timer, PLACE_MS);
    else
        timer_clear(agents->loop, &starts->timer);
}

void starts_begin(struct agents *agents, void (*start)(struct agent *agent))
{
    struct starts *starts = &agents->starts;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    starts->start = start;
    TAILQ_INIT(&starts->woken);
    TAILQ_INIT(&starts->others);
    TAILQ_INIT(&starts->running);
    starts->limit = (size_t)(processors > 0 ? processors : 1) * STARTS_FOR_EACH_PROCESSOR;
    starts->timer = (struct timer){.ring = places_are_given, .context = agents};
}

void starts_end(struct agents *agents)
{
    timer_clear(agents->loop, &agents->starts.timer);
}
