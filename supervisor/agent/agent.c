/* One agent as the supervisor sees it: its folder, its line, its worker's life. This file does what the table of
 * lifecycle.c decides. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/format/memory_group.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/names.h"
#include "common/tree.h"
#include "supervisor/agent/agent.h"
#include "supervisor/agent/folders.h"
#include "supervisor/agent/leavings.h"
#include "supervisor/agent/rested.h"
#include "supervisor/agent/room.h"
#include "supervisor/agent/tree_list.h"
#include "supervisor/process/log_pipe.h"

enum {
    HEARTBEATS_MISSED = 3,
    IDLE_BEATS = 6,      /* an idle worker is asked each sixth time: once a minute */
    STANDSTILL_MS = 500, /* a turn that was so late: stopped or paused, not only busy */
    LAST_WORDS_TURNS = 8,
    ROOM_AGAIN_MS = 5000, /* between two tries of an agent that waits for room */
    WORKED_MS = 1000,
    /* From the end of a worker's connection to the worker's end: it has nothing left to wait for. */
    ALONE_MS = 1000,
};

#define tell(agent, event_name, ...)                                                                         \
    (agent)->agents->callbacks->event(agent, event_name, (const struct detail[]){__VA_ARGS__, {.key = NULL}})

/* --- the table's operations --- */

static bool open_tree(struct agent *agent, struct fault *fault)
{
    memory_close_at(&agent->tree);
    agent->tree = trees_open(agent->agents->data, agent->name, fault);
    if (agent->tree >= 0 && faccessat(agent->tree, ".", W_OK | X_OK, AT_EACCESS) != 0) {
        fault_errno(fault, "cannot write in %s", agent->path);
        close(agent->tree);
        agent->tree = -1;
    }
    return agent->tree >= 0;
}

static void set_timer(void *context, int64_t in_ms)
{
    struct agent *agent = context;
    if (in_ms < 0)
        timer_clear(agent->agents->loop, &agent->life_timer);
    else
        timer_set(agent->agents->loop, &agent->life_timer, in_ms);
}

/* Lack of room is logged once for all agents (room_for_worker). */
static void fail(struct agent *agent, const char *why)
{
    bool lacks_room = agent->agents->room.lacks && strcmp(agent->agents->room.why.text, why) == 0;
    if (!lacks_room && (!agent->trouble || strcmp(agent->trouble, why) != 0))
        log_error("agentos", NULL, "Agent '%s' cannot be started: %s. The start is tried again every minute.",
                  agent->name, why);
    agent_trouble(agent, why);
    agent->worker.spawning = false;
    life_event(&agent->life, EVENT_UNABLE);
    if (lacks_room && agent->life.state == STATE_FAILED)
        set_timer(agent, ROOM_AGAIN_MS);
}

static bool send_spawn(struct agent *agent)
{
    OWNED_BUFFER struct buffer definition = {0};
    const struct agents *agents = agent->agents;
    OWNED char *url = switchboard_url(agents->switchboard, agent->name);
    OWNED char *group = memory_group_path(agents->memory_groups, agent->worker.memory_group);
    roster_encode(agent->definition, &definition);
    return child_say(agents->zygote, MESSAGE_SPAWN, definition.data, agent->worker.generation, url,
                     agents->data_dir, (uint64_t)agents->poll_seconds, (uint64_t)getpid(),
                     (uint64_t)agent->life.paused, group, agent->order.epoch,
                     (uint64_t) !(agent->past.had_threads || agents->room.ample));
}

void agent_start(struct agent *agent)
{
    struct fault fault;
    set_timer(agent, LIFE_START_MS);
    agent->worker.generation = ++agent->agents->generations;
    agent->worker.said_hello = agent->notice.resting = agent->notice.called = false;
    agent->worker.signal_due = 0;
    agent->beat.answered = agent->beat.asked;
    agent->beat.unanswered = agent->beat.messages = agent->beat.strays = 0;
    if (agent->past.last_exit && !agent->notice.slept)
        agent->past.restarts++;
    agent->notice.slept = false;
    agent->agents->callbacks->worker_starts(agent);
    if (!room_for_worker(agent->agents, &fault) || !open_tree(agent, &fault)) {
        fail(agent, fault.text);
        return;
    }
    room_take_memory(agent);
    agent->worker.spawning = true;
    rested_forget(agent);
    leavings_forget(agent);
    send_spawn(agent); /* while the zygote is away agent_spawn_again does it */
    /* The worker waits at its gate for the end of this turn: the rest of this function runs while the worker is
     * forked. */
    long_look(agent);
    agent->notice.queue_stamp = files_stamp_at(agent->tree, TREE_QUEUE);
    watch_forget(agent->agents->watch, &agent->watched);
    watch_tree(agent->agents->watch, &agent->watched, agent->tree, agent);
}

static void spawn(void *context)
{
    struct agent *agent = context;
    bool first = agent->life.starts == 1 && !agent->notice.slept && !agent->worker.start.has_work;
    if (starts_enter(agent, !first))
        agent_start(agent);
    else
        set_timer(agent, -1); /* the start's time counts from its turn, not from this request */
}

static void ask_stop(void *context, int64_t grace_ms)
{
    struct agent *agent = context;
    bool asked_for = agent->worker.spawning && agent->agents->zygote->channel.fd >= 0;
    /* The worker puts its task down in good order a little before it is made to end. */
    if (agent->worker.said_hello)
        agent_send(agent, MESSAGE_STOP, (uint64_t)(grace_ms - grace_ms / 8));
    else if (agent->worker.pid == 0 && !asked_for) {
        agent->worker.spawning = false;
        life_event(&agent->life, EVENT_EXIT);
    }
}

static void ask_pause(void *context, bool pause)
{
    struct agent *agent = context;
    if (agent->worker.said_hello)
        agent_send(agent, MESSAGE_PAUSE, (uint64_t)pause);
}

static void send_signal(void *context, int signal)
{
    struct agent *agent = context;
    if (agent->worker.pid > 0)
        kill(agent->worker.pid, signal);
    else if (agent->worker.spawning)
        agent->worker.signal_due = signal;
    else if (agent->worker.start.stage == START_WAITS)
        life_event(&agent->life, EVENT_EXIT);
}

static void say_ready(struct agent *agent)
{
    log_info("agentos", NULL, "Agent '%s' ready at %s", agent->name, agent->path);
    agent_trouble(agent, NULL);
    watch_tree(agent->agents->watch, &agent->watched, agent->tree, agent);
}

static void changed(void *context, enum life_state before)
{
    struct agent *agent = context;
    enum life_state state = agent->life.state;
    lookup_count(agent, before);
    log_debug("agentos", agent->name, "%s -> %s", life_state_name(before), life_state_name(state));
    tell(agent, "state", DETAIL_TEXT("from", life_state_name(before)),
         DETAIL_TEXT("to", life_state_name(state)));
    if (before == STATE_STARTING && state == STATE_IDLE)
        say_ready(agent);
    agent_absence_changed(agent);
    if (state != STATE_STARTING)
        starts_leave(agent);
    if (state != STATE_WORKING)
        timer_clear(agent->agents->loop, &agent->task_timer);
    look_state_changed(agent);
    warm_changed(agent);
    if (state != STATE_STARTING)
        lookup_settle(agent);
    agent->agents->callbacks->changed(agent);
}

static const struct life_operations operations = {
    .spawn = spawn,
    .ask_stop = ask_stop,
    .ask_pause = ask_pause,
    .signal = send_signal,
    .timer = set_timer,
    .changed = changed,
};

/* --- the line --- */

/* A worker that leaves closes its line before it ends, and says by its exit why. Only a worker that lives on without
 * its line is at fault. */
static void line_lost(void *context)
{
    struct agent *agent = context;
    if (agent->worker.pid > 0 && !agent->notice.resting && agent->life.state != STATE_STOPPING)
        timer_set(agent->agents->loop, &agent->alone_timer, ALONE_MS);
}

static void lives_on(void *context)
{
    agent_distrust(context, "it has closed its connection and lives on");
}

static bool hears(void *context, const void *bytes, size_t length, struct line_turn *turn)
{
    const struct agent *agent = context;
    return agent->agents->callbacks->hears(context, bytes, length, turn);
}

static const struct line_owner line_owner = {.message = hears, .lost = line_lost};

/* The worker at the gate may come in. */
static void open_line(struct agent *agent)
{
    struct fault fault;
    line_close(agent->line); /* the line of a worker before this one, whose end was not seen */
    agent->line =
        line_open(agent->agents->switchboard, agent->name, agent->worker.pid, &line_owner, agent, &fault);
    if (!agent->line) {
        log_error("agentos", NULL, "Agent '%s': %s; its worker is started again", agent->name, fault.text);
        kill(agent->worker.pid, SIGKILL); /* and GO, so that the zygote forgets it */
    }
    child_say(agent->agents->zygote, MESSAGE_GO, (uint64_t)agent->worker.pid);
}

/* --- its process --- */

static void close_memory(struct agent *agent)
{
    memory_close_at(&agent->worker.memory);
    agent->worker.memory = -1;
}

/* The worker stands at its gate. Once in its sandbox the worker isn't dumpable, and an ordinary user can't open its
 * account of memory any more; an open descriptor stays readable. */
static void open_memory(struct agent *agent)
{
    OWNED char *path = memory_print("/proc/%d/smaps_rollup", (int)agent->worker.pid);
    close_memory(agent);
    agent->worker.memory = open(path, O_RDONLY | O_CLOEXEC);
}

static void hear_log(struct agent *agent, int log)
{
    log_pipe_close(agent->worker.log); /* the pipe of a worker before this one, whose end was not seen */
    agent->worker.log =
        log < 0 ? NULL
                : log_pipe_open(agent->agents->loop, log,
                                &(struct log_pipe_label){
                                    .component = "agent", .agent = agent->name, .tree = agent->path});
}

void agent_spawned(struct agent *agent, pid_t pid, int log, const char *why)
{
    struct fault room;
    agent->worker.spawning = false;
    if (pid <= 0) {
        if (!room_for_worker(agent->agents, &room))
            why = room.text;
        log_error("agentos", NULL, "Agent '%s': %s; it is tried again", agent->name, why);
        agent_trouble(agent, why);
        life_event(&agent->life, EVENT_EXIT);
        return;
    }
    lookup_set_process(agent, pid);
    hear_log(agent, log);
    open_memory(agent);
    agent->worker.spawned_at = clock_monotonic_ms();
    tell(agent, "worker_started", DETAIL_NUMBER("pid", pid));
    if (agent->worker.signal_due)
        kill(pid, agent->worker.signal_due);
    open_line(agent);
}

void agent_spawn_again(struct agent *agent)
{
    if (!agent->worker.spawning)
        return;
    agent->worker.generation = ++agent->agents->generations;
    send_spawn(agent);
}

/* Ends of a worker that another start at once won't mend: its tree can't be written, its configuration is wrong. */
static bool is_hopeless(int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : EX_OK;
    return code == EX_CANTCREAT || code == EX_IOERR || code == EX_NOPERM || code == EX_CONFIG;
}

static void forget_worker(struct agent *agent)
{
    close_memory(agent);
    line_close(agent->line);
    agent->line = NULL;
    agent->agents->callbacks->asker_gone(agent);
    timer_clear(agent->agents->loop, &agent->task_timer);
    timer_clear(agent->agents->loop, &agent->notice.look_timer);
    timer_clear(agent->agents->loop, &agent->alone_timer);
    lookup_set_process(agent, 0);
    agent->worker.said_hello = false;
    agent->notice.dirty = 0; /* the next worker looks at everything */
    agent->spends.waits = false;
    memory_set(&agent->told.doing, NULL);
    agent->agents->callbacks->worker_gone(agent);
}

/* A tree without a worker isn't counted again. */
static void forget_list(struct agent *agent)
{
    tree_list_free(agent->disk.list);
    agent->disk.list = NULL;
}

void agent_exited(struct agent *agent, int status)
{
    struct fault room;
    /* The worker's last words. */
    for (int turns = 0; turns < LAST_WORDS_TURNS && line_drain(agent->line); turns++)
        ;
    log_pipe_close(agent->worker.log);
    agent->worker.log = NULL;
    OWNED char *text = room_ending(agent, status);
    pid_t pid = agent->worker.pid;
    bool expected = agent->life.state == STATE_STOPPING;
    bool rests = agent->notice.resting && agent->life.state == STATE_IDLE && status == 0;
    bool called = look_is_due(agent);
    memory_set(&agent->past.last_exit, text);
    tell(agent, "worker_exited", DETAIL_NUMBER("pid", pid), DETAIL_TEXT("how", text));
    /* The next worker takes the threads that this one gave back, and needn't try for them first. A worker that
     * crashes for want of threads hasn't said HELLO, so the next one tries, and says so. */
    agent->past.had_threads = agent->worker.said_hello && !expected && !rests;
    forget_worker(agent);
    agent->disk.counted_ms = agent->guard.looked_ms = 0;
    forget_list(agent);
    if (rests) {
        look_rest(agent, called);
    } else if (is_hopeless(status) && agent->life.ready_at == 0 && !expected) {
        const char *why = agent->told.problems && *agent->told.problems ? agent->told.problems : text;
        OWNED char *sentence = memory_slice(why, strcspn(why, "\n"));
        fail(agent, sentence);
    } else {
        if (!expected)
            log_warn("agentos", NULL, "Worker of agent '%s' (pid %d) has ended: %s; it is started again",
                     agent->name, (int)pid, text);
        if (!agent->life.ready_at && room_blamed(agent->agents, status, &room))
            agent_trouble(agent, room.text);
        life_event(&agent->life, EVENT_EXIT);
    }
    if (life_has_process(&agent->life))
        return;
    /* From now on only people write in the tree, so one look at the worker's leavings is enough. A start that follows
     * at once looks itself, and where the start has to wait, the scan does. */
    bool at_once = agent->life.state == STATE_BACKOFF && agent->life.failures == 1;
    if (!agent->agents->ending && !at_once)
        leavings_wait(agent);
    agent->agents->callbacks->down(agent);
}

int64_t agent_worked_ns(struct agent *agent)
{
    struct timespec time = {0};
    int64_t now_ms = clock_monotonic_ms();
    if (agent->worker.pid <= 0)
        return 0;
    if (agent->worker.worked_at_ms + WORKED_MS > now_ms)
        return agent->worker.worked_ns;
    if (clock_gettime(agent->worker.clock, &time) != 0)
        clock_gettime(CLOCK_MONOTONIC, &time);
    agent->worker.worked_at_ms = now_ms;
    agent->worker.worked_ns = (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
    return agent->worker.worked_ns;
}

static void task_overdue(void *context)
{
    struct agent *agent = context;
    int64_t stood_still = loop_stood_still_ms(agent->agents->loop);
    /* The worker and the gateway stood still as well, and an answer may lie there. */
    if (stood_still > STANDSTILL_MS) {
        timer_set(agent->agents->loop, &agent->task_timer, stood_still);
        return;
    }
    OWNED char *why = memory_print("its task %s took more than task_seconds (%lld s); it is tried again",
                                   agent->told.doing ? agent->told.doing : "",
                                   (long long)agent->definition->limits.task_seconds);
    agent_distrust(agent, why);
}

static void life_timer_rings(void *context)
{
    struct agent *agent = context;
    int64_t more = agent->life.state == STATE_STARTING ? starts_stretch(agent) : 0;
    if (more > 0) {
        set_timer(agent, more);
        return;
    }
    if (agent->life.state == STATE_STARTING)
        log_error("agentos", NULL,
                  "Worker of agent '%s' was not ready after %d s; it is killed and started again",
                  agent->name, LIFE_START_MS / 1000);
    if (agent->life.state == STATE_FAILED && !room_for_worker(agent->agents, NULL))
        set_timer(agent, ROOM_AGAIN_MS); /* nothing has changed for the agent, so nobody is told */
    else
        life_event(&agent->life, EVENT_TIMER);
}

/* --- beating --- */

/* Idle workers are asked in turn. */
static bool is_asked(const struct agent *agent, uint64_t serial)
{
    bool busy = agent->life.state == STATE_WORKING || agent->life.state == STATE_WAITING;
    return busy || agent->beat.given || agent->beat.unanswered ||
           (serial + agent->worker.generation) % IDLE_BEATS == 0;
}

void agent_heartbeat(struct agent *agent, uint64_t serial)
{
    if (!life_is_up(&agent->life))
        return;
    agent->beat.messages = 0;
    if (!is_asked(agent, serial))
        return;
    /* The limit counts beats and not seconds: a supervisor that was held up itself has sent none. */
    if (agent->beat.unanswered >= HEARTBEATS_MISSED) {
        agent_distrust(agent, "it does not answer");
        return;
    }
    agent->beat.unanswered++;
    agent->beat.asked = serial;
    agent_send(agent, MESSAGE_HEARTBEAT, serial);
}

/* --- birth and end --- */

static void set_definition(struct agent *agent, const struct roster_agent *definition)
{
    OWNED_BUFFER struct buffer text = {0};
    roster_encode(definition, &text);
    roster_agent_free(agent->definition);
    agent->definition = roster_decode(text.data, text.length);
    agent->definition_hash = names_hash(text.data, text.length);
    agent->name = agent->definition->name;
    agent->agents->callbacks->defined(agent);
}

struct agent *agent_new(struct agents *agents, const struct roster_agent *definition)
{
    struct agent *agent = memory_new(1, sizeof *agent);
    agent->agents = agents;
    agent->tree = -1;
    agent->worker.memory = -1;
    set_definition(agent, definition);
    agent->path = memory_print("%s/agents/%s", agents->data_dir, agent->name);
    agent->life_timer = (struct timer){.ring = life_timer_rings, .context = agent};
    agent->task_timer = (struct timer){.ring = task_overdue, .context = agent};
    agent->alone_timer = (struct timer){.ring = lives_on, .context = agent};
    look_begin(agent);
    orders_begin(agent);
    life_begin(&agent->life, &operations, agent, agents->grace_ms);
    return agent;
}

struct counters *agent_counters(struct agent *agent)
{
    if (!agent->past.counters)
        agent->past.counters = memory_new(1, sizeof *agent->past.counters);
    return agent->past.counters;
}

void agent_free(struct agent *agent)
{
    if (!agent)
        return;
    timer_clear(agent->agents->loop, &agent->life_timer);
    timer_clear(agent->agents->loop, &agent->task_timer);
    timer_clear(agent->agents->loop, &agent->notice.look_timer);
    timer_clear(agent->agents->loop, &agent->alone_timer);
    timer_clear(agent->agents->loop, &agent->notice.rest_timer);
    timer_clear(agent->agents->loop, &agent->order.timer);
    starts_leave(agent);
    if (agent->leaving)
        rested_forget(agent);
    warm_forget(agent);
    leavings_forget(agent);
    long_look_forget(agent);
    watch_forget(agent->agents->watch, &agent->watched);
    agent->agents->callbacks->asker_gone(agent);
    line_close(agent->line);
    log_pipe_close(agent->worker.log);
    close_memory(agent);
    memory_group_give_back(agent->agents->memory_groups, &agent->worker.memory_group);
    memory_close_at(&agent->tree);
    roster_agent_free(agent->definition);
    free(agent->path);
    free(agent->told.doing);
    free(agent->told.problems);
    free(agent->trouble);
    free(agent->order.elsewhere);
    tree_guard_free(&agent->guard);
    forget_list(agent);
    free(agent->disk.problem);
    free(agent->past.last_exit);
    free(agent->spends.task);
    if (agent->past.counters)
        counters_free(agent->past.counters);
    free(agent->past.counters);
    free(agent);
}

bool agent_redefine(struct agent *agent, const struct roster_agent *definition)
{
    OWNED_BUFFER struct buffer text = {0}, former = {0};
    roster_encode(definition, &text);
    roster_encode(agent->definition, &former);
    if (strcmp(text.data, former.data) == 0)
        return false;
    set_definition(agent, definition);
    if (agent->life.state == STATE_STOPPED)
        agent->notice.slept = false; /* the agent hibernated with another definition (rested.h) */
    if (agent->worker.said_hello)
        agent_send(agent, MESSAGE_DEFINITION, text.data);
    look_state_changed(agent);
    life_event(&agent->life, EVENT_WAKE); /* the agent's files may have to be written anew */
    return true;
}
