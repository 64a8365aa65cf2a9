/* What workers say: a table of message and handler. Nothing that one says changes more than what is known of it. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "supervisor/control.h"
#include "supervisor/supervisor.h"

enum { MESSAGES_MAX = 100000, PROBLEMS_MAX = 64 * 1024, DOING_MAX = 1024 };

static void take_text(char **at, char *text)
{
    free(*at);
    *at = text;
}

static void watch_the_clock(struct agent *agent)
{
    if (agent->life.state == STATE_WORKING)
        timer_set(agent->supervisor->loop, &agent->task_timer, agent->definition->limits.task_seconds * 1000);
}

static bool on_hello(struct agent *agent, struct reader *reader)
{
    OWNED char *name = NULL;
    uint64_t generation;
    if (!message_read(reader, MESSAGE_HELLO, &name, &generation))
        return false;
    if (strcmp(name, agent->name) != 0 || generation != agent->generation || agent->said_hello)
        return false;
    agent->said_hello = true;
    if (agent->life.paused)
        agent_send(agent, MESSAGE_PAUSE, (uint64_t)1);
    if (agent->life.state == STATE_STOPPING)
        agent_send(agent, MESSAGE_STOP, (uint64_t)(agent->life.grace_ms / 2));
    return true;
}

static bool on_ready(struct agent *agent, struct reader *reader)
{
    if (!message_end(reader))
        return false;
    life_event(&agent->life, EVENT_READY);
    return true;
}

static bool on_activity(struct agent *agent, struct reader *reader)
{
    static const enum life_event events[] = {
        [ACTIVITY_IDLE] = EVENT_IDLE,
        [ACTIVITY_WORKING] = EVENT_WORKING,
        [ACTIVITY_WAITING] = EVENT_WAITING,
        [ACTIVITY_PAUSED] = EVENT_PAUSED,
    };
    uint64_t activity, until;
    char *what = NULL;
    if (!message_read(reader, MESSAGE_ACTIVITY, &activity, &what, &until))
        return false;
    if (activity >= sizeof events / sizeof events[0] || strlen(what) > DOING_MAX) {
        free(what);
        return false;
    }
    take_text(&agent->doing, what);
    agent->doing_until = (int64_t)until;
    life_event(&agent->life, events[activity]);
    watch_the_clock(agent);
    return true;
}

static bool on_figures(struct agent *agent, struct reader *reader)
{
    struct figures figures;
    if (!message_read(reader, MESSAGE_FIGURES, &figures.queue, &figures.inbox, &figures.handoffs,
                      &figures.outbox, &figures.dead_letters, &figures.negative_streak, &figures.tasks_done,
                      &figures.tokens_today))
        return false;
    agent->figures = figures;
    return true;
}

static bool on_problems(struct agent *agent, struct reader *reader)
{
    char *problems = NULL;
    if (!message_read(reader, MESSAGE_PROBLEMS, &problems))
        return false;
    if (strlen(problems) > PROBLEMS_MAX) {
        free(problems);
        return false;
    }
    take_text(&agent->problems, problems);
    return true;
}

static bool on_finished(struct agent *agent, struct reader *reader)
{
    uint64_t reward, tokens_in, tokens_out;
    OWNED char *task = NULL, *commit = NULL, *end = NULL;
    if (!message_read(reader, MESSAGE_FINISHED, &task, &reward, &commit, &tokens_in, &tokens_out, &end) ||
        reward > 2)
        return false;
    watch_the_clock(agent);
    control_task_finished(agent->supervisor->control, agent, task, (int)reward - 1, commit, end);
    return true;
}

static bool on_alive(struct agent *agent, struct reader *reader)
{
    uint64_t serial;
    if (!message_read(reader, MESSAGE_ALIVE, &serial))
        return false;
    agent->unanswered = 0;
    return true;
}

static bool on_cancelled(struct agent *agent, struct reader *reader)
{
    uint64_t serial, done;
    if (!message_read(reader, MESSAGE_CANCELLED, &serial, &done))
        return false;
    control_task_cancelled(agent->supervisor->control, agent, serial, done == 1);
    return true;
}

static bool on_ask(struct agent *agent, struct reader *reader)
{
    watch_the_clock(agent);
    return relay_ask(agent->supervisor->relay, agent, agent->name, reader);
}

static bool on_forget(struct agent *agent, struct reader *reader)
{
    return relay_forget(agent->supervisor->relay, agent, reader);
}

static const struct {
    unsigned type;
    bool (*handle)(struct agent *, struct reader *);
} handlers[] = {
    {MESSAGE_HELLO, on_hello},     {MESSAGE_READY, on_ready},         {MESSAGE_ACTIVITY, on_activity},
    {MESSAGE_FIGURES, on_figures}, {MESSAGE_PROBLEMS, on_problems},   {MESSAGE_FINISHED, on_finished},
    {MESSAGE_ALIVE, on_alive},     {MESSAGE_CANCELLED, on_cancelled}, {MESSAGE_ASK, on_ask},
    {MESSAGE_FORGET, on_forget},
};

static bool handle(struct agent *agent, struct reader *reader, unsigned type)
{
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++)
        if (handlers[i].type == type)
            return handlers[i].handle(agent, reader);
    return false;
}

/* Before HELLO with the right generation, what comes may still be the last words of the worker before: it counts for
 * nothing. */
bool agent_hears(void *context, const void *bytes, size_t length)
{
    struct agent *agent = context;
    struct reader reader;
    unsigned type = 0;
    bool known = message_open(&reader, bytes, length, &type);
    if (!agent->said_hello && !(known && type == MESSAGE_HELLO))
        return true;
    if (++agent->messages > MESSAGES_MAX) {
        agent_distrust(agent, "it floods its supervisor with messages");
        return false;
    }
    if (known && handle(agent, &reader, type))
        return true;
    if (!agent->said_hello)
        return true;
    OWNED char *why =
        memory_print("its message (%s, %zu bytes) is not as the protocol has it", message_name(type), length);
    agent_distrust(agent, why);
    return false;
}
