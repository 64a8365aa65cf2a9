/* Workers' messages: a table of message and handler. A message changes only the supervisor's knowledge of its
 * worker. */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "supervisor/control/control.h"
#include "supervisor/nodes/mirror_link.h"
#include "supervisor/nodes/nodes.h"
#include "supervisor/post/post.h"
#include "supervisor/supervisor.h"

enum {
    MESSAGES_MAX = 100000,
    PROBLEMS_TOLD = 100,
    STRAYS_MAX = 2,
    /* The streak of a worker whose failures are faster isn't in the log with each of them. */
    STREAK_SAID_MS = 100,
};

static void take_text(char **at, char *text)
{
    free(*at);
    *at = text;
}

static void watch_the_clock(struct agent *agent)
{
    if (agent->life.state == STATE_WORKING)
        timer_set(supervisor_of(agent)->loop, &agent->task_timer,
                  agent->definition->limits.task_seconds * 1000);
}

static bool on_hello(struct agent *agent, struct reader *reader)
{
    OWNED char *name = NULL;
    uint64_t generation;
    if (!message_read(reader, MESSAGE_HELLO, &name, &generation))
        return false;
    if (generation < agent->worker.generation && !agent->worker.said_hello)
        return true; /* the last words of the worker before */
    if (strcmp(name, agent->name) != 0 || generation != agent->worker.generation || agent->worker.said_hello)
        return false;
    agent->worker.said_hello = true;
    /* The order may be otherwise than at SPAWN. */
    agent_send(agent, MESSAGE_PAUSE, (uint64_t)agent->life.paused);
    if (agent->life.state == STATE_STOPPING)
        agent_send(agent, MESSAGE_STOP, (uint64_t)(agent->life.grace_ms / 2));
    return true;
}

static bool on_ready(struct agent *agent, struct reader *reader)
{
    if (!message_end(reader))
        return false;
    life_event(&agent->life, EVENT_READY);
    post_worker_ready(supervisor_of(agent)->post, agent->name);
    return true;
}

/* The reason for the wait is the last of the worker's problems (message.h). */
static void tell_waiting(const struct agent *agent)
{
    char until[CLOCK_TEXT] = "";
    const char *problems = agent->told.problems ? agent->told.problems : "";
    size_t end = strlen(problems), start;
    while (end > 0 && problems[end - 1] == '\n')
        end--;
    for (start = end; start > 0 && problems[start - 1] != '\n';)
        start--;
    OWNED char *why = memory_slice(problems + start, end - start);
    if (agent->told.doing_until > 0)
        clock_format(agent->told.doing_until, until);
    control_event(supervisor_of(agent)->control, agent, "waiting", DETAIL_TEXT("what", agent->told.doing),
                  DETAIL_TEXT("until", until), DETAIL_TEXT("why", why));
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
    if (activity >= sizeof events / sizeof events[0] || strlen(what) > MESSAGE_TASK_MOST) {
        free(what);
        return false;
    }
    take_text(&agent->told.doing, what);
    if (activity == ACTIVITY_WORKING) {
        post_works_at(supervisor_of(agent)->post, agent->name, what);
        budget_gate_task_began(agent, what, false);
        counters_began(agent_counters(agent), what, clock_monotonic_ms());
    }
    agent->told.doing_until = until > INT64_MAX ? 0 : (int64_t)until;
    agent_active(agent, activity == ACTIVITY_IDLE);
    life_event(&agent->life, events[activity]);
    if (activity == ACTIVITY_WAITING)
        tell_waiting(agent);
    if (activity == ACTIVITY_IDLE)
        control_agent_idle(supervisor_of(agent)->control, agent);
    watch_the_clock(agent);
    return true;
}

/* The watchdog over rewards (contract section 8): each failure beyond the allowed streak is told. */
static void watch_the_streak(struct agent *agent, uint64_t before)
{
    unsigned long long streak = agent->told.figures.negative_streak;
    if (streak < (uint64_t)agent->definition->watchdog.negative_streak)
        return;
    bool pause = agent->definition->watchdog.pause && !agent->life.paused;
    alert_streak(agent, before);
    control_event(supervisor_of(agent)->control, agent, "negative_streak", DETAIL_NUMBER("count", streak));
    int64_t now_ms = clock_monotonic_ms();
    if (pause || now_ms - agent->beat.streak_said_ms >= STREAK_SAID_MS)
        log_warn("agentos", agent->name, "The last %llu tasks failed (reward -1)%s", streak,
                 pause ? "; the agent is paused, `agentos resume` lets it go on" : "");
    agent->beat.streak_said_ms = now_ms;
    if (pause)
        agent_order(agent, EVENT_PAUSE, true);
}

static bool on_figures(struct agent *agent, struct reader *reader)
{
    struct figures figures;
    if (!message_read(reader, MESSAGE_FIGURES, &figures.queue, &figures.inbox, &figures.handoffs,
                      &figures.outbox, &figures.dead_letters, &figures.negative_streak, &figures.tasks_done,
                      &figures.tokens_today))
        return false;
    const uint64_t counts[] = {figures.queue,      figures.inbox,        figures.handoffs,
                               figures.outbox,     figures.dead_letters, figures.negative_streak,
                               figures.tasks_done, figures.tokens_today};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i] > MESSAGE_COUNT_MOST)
            return false;
    uint64_t before = agent->told.figures.negative_streak;
    bool more = agent->told.counted && figures.negative_streak > before;
    agent->told.figures = figures;
    agent->told.counted = true;
    if (more)
        watch_the_streak(agent, before);
    return true;
}

static bool has_line(const char *lines, const char *line, size_t length)
{
    for (unsigned count = 0; lines && *lines && count < PROBLEMS_TOLD; count++) {
        size_t here = strcspn(lines, "\n");
        if (here == length && memcmp(lines, line, length) == 0)
            return true;
        lines += here + (lines[here] == '\n');
    }
    return false;
}

/* Tells the lines of `lines` that aren't among `others`. */
static void tell_lines(const struct agent *agent, const char *lines, const char *others, const char *event)
{
    for (unsigned count = 0; lines && *lines && count < PROBLEMS_TOLD; count++) {
        size_t length = strcspn(lines, "\n");
        OWNED char *line = memory_slice(lines, length);
        if (length && !has_line(others, line, length))
            control_event(supervisor_of(agent)->control, agent, event, DETAIL_TEXT("problem", line));
        lines += length + (lines[length] == '\n');
    }
}

static bool on_problems(struct agent *agent, struct reader *reader)
{
    char *problems = NULL;
    if (!message_read(reader, MESSAGE_PROBLEMS, &problems))
        return false;
    if (strlen(problems) > MESSAGE_PROBLEMS_MOST) {
        free(problems);
        return false;
    }
    if (control_followed(supervisor_of(agent)->control)) {
        tell_lines(agent, problems, agent->told.problems, "problem");
        tell_lines(agent, agent->told.problems, problems, "problem_cleared");
    }
    take_text(&agent->told.problems, problems);
    return true;
}

static bool on_finished(struct agent *agent, struct reader *reader)
{
    uint64_t reward, tokens_in, tokens_out;
    OWNED char *task = NULL, *commit = NULL, *end = NULL, *reason = NULL;
    if (!message_read(reader, MESSAGE_FINISHED, &task, &reward, &commit, &tokens_in, &tokens_out, &end,
                      &reason) ||
        reward > 2 || tokens_in > MESSAGE_COUNT_MOST || tokens_out > MESSAGE_COUNT_MOST)
        return false;
    watch_the_clock(agent);
    budget_gate_task_ended(agent, task);
    counters_ended(agent_counters(agent), task, strcmp(end, "done") == 0, (int)reward - 1,
                   clock_monotonic_ms());
    control_event(supervisor_of(agent)->control, agent, "finished", DETAIL_TEXT("task", task),
                  DETAIL_NUMBER("reward", (int)reward - 1), DETAIL_TEXT("commit", commit),
                  DETAIL_NUMBER("tokens", tokens_in + tokens_out), DETAIL_TEXT("end", end));
    alert_task_ended(agent, task, end, reason);
    control_task_finished(supervisor_of(agent)->control, agent, task, (int)reward - 1, commit, end);
    return true;
}

static bool on_deferred(struct agent *agent, struct reader *reader)
{
    OWNED char *task = NULL, *why = NULL;
    if (!message_read(reader, MESSAGE_DEFERRED, &task, &why))
        return false;
    control_task_deferred(supervisor_of(agent)->control, agent, task, why);
    return true;
}

static bool on_epoch(struct agent *agent, struct reader *reader)
{
    uint64_t epoch;
    if (!message_read(reader, MESSAGE_EPOCH, &epoch) || epoch > INT64_MAX)
        return false;
    nodes_commits_are_of(supervisor_of(agent)->local.nodes, agent, epoch);
    return true;
}

static bool on_alive(struct agent *agent, struct reader *reader)
{
    uint64_t serial;
    if (!message_read(reader, MESSAGE_ALIVE, &serial))
        return false;
    /* Only the answer to a heartbeat that was sent counts: a worker that floods with ALIVE doesn't live by it. */
    if (serial <= agent->beat.answered || serial > agent->beat.asked)
        return true;
    agent->beat.answered = serial;
    agent->beat.unanswered = 0;
    return true;
}

static bool on_cancelled(struct agent *agent, struct reader *reader)
{
    uint64_t serial, end;
    if (!message_read(reader, MESSAGE_CANCELLED, &serial, &end))
        return false;
    control_answered(supervisor_of(agent)->control, agent, serial,
                     end == CANCEL_DONE    ? EX_OK
                     : end == CANCEL_LATER ? EX_TEMPFAIL
                                           : EX_NOINPUT,
                     NULL,
                     end == CANCEL_LATER ? "queue.md can't be changed now, and the task may stand in it (the "
                                           "agent's log says why); try again"
                                         : "there is no such task: it may be done already");
    return true;
}

static bool on_rolled(struct agent *agent, struct reader *reader)
{
    uint64_t serial, exit;
    OWNED char *text = NULL;
    if (!message_read(reader, MESSAGE_ROLLED, &serial, &exit, &text) || exit > 255)
        return false;
    if (exit == 0) {
        OWNED char *first = memory_slice(text, strcspn(text, "\n"));
        control_event(supervisor_of(agent)->control, agent, "rolled_back", DETAIL_TEXT("said", first));
    }
    control_answered(supervisor_of(agent)->control, agent, serial, (int)exit, "said", text);
    return true;
}

/* The model's question counts as this task's; the rest of a task's beginning comes with ACTIVITY. */
static bool on_ahead(struct agent *agent, struct reader *reader)
{
    OWNED char *task = NULL;
    if (!message_read(reader, MESSAGE_AHEAD, &task) || strlen(task) > MESSAGE_TASK_MOST)
        return false;
    budget_gate_task_began(agent, task, true);
    return true;
}

static bool on_ask(struct agent *agent, struct reader *reader)
{
    watch_the_clock(agent);
    return relay_ask(supervisor_of(agent)->relay, agent, agent->name, reader);
}

static bool on_audit(struct agent *agent, struct reader *reader)
{
    return audits_ask(supervisor_of(agent)->audits, agent, agent->definition, reader);
}

static bool on_judged(struct agent *agent, struct reader *reader)
{
    uint64_t reward, score;
    OWNED char *task = NULL, *reasons = NULL, *commit = NULL;
    if (!message_read(reader, MESSAGE_JUDGED, &task, &reward, &score, &reasons, &commit) || reward > 2 ||
        score > 2)
        return false;
    agent->past.divergences += reward != score;
    control_event(supervisor_of(agent)->control, agent, reward == score ? "audit" : "audit_divergence",
                  DETAIL_TEXT("task", task), DETAIL_NUMBER("reward", (int)reward - 1),
                  DETAIL_NUMBER("audit_score", (int)score - 1), DETAIL_TEXT("reasons", reasons),
                  DETAIL_TEXT("commit", commit), DETAIL_NUMBER("divergences", agent->past.divergences));
    return true;
}

static bool on_forget(struct agent *agent, struct reader *reader)
{
    return relay_forget(supervisor_of(agent)->relay, agent, reader);
}

/* --- the post office --- */

static bool on_post(struct agent *agent, struct reader *reader)
{
    OWNED char *ids = NULL;
    return message_read(reader, MESSAGE_POST, &ids) &&
           post_rings(supervisor_of(agent)->post, agent->name, ids);
}

static bool on_settled(struct agent *agent, struct reader *reader)
{
    OWNED char *id = NULL, *status = NULL, *commit = NULL;
    return message_read(reader, MESSAGE_SETTLED, &id, &status, &commit) &&
           post_settled(supervisor_of(agent)->post, agent->name, id, status, commit);
}

static bool on_lock(struct agent *agent, struct reader *reader)
{
    OWNED char *task = NULL, *name = NULL;
    return message_read(reader, MESSAGE_LOCK, &task, &name) &&
           post_lock(supervisor_of(agent)->post, agent->name, task, name);
}

static bool on_unlock(struct agent *agent, struct reader *reader)
{
    OWNED char *task = NULL, *name = NULL;
    return message_read(reader, MESSAGE_UNLOCK, &task, &name) &&
           post_unlock(supervisor_of(agent)->post, agent->name, task, name);
}

static const struct {
    unsigned type;
    bool (*handle)(struct agent *, struct reader *);
} handlers[] = {
    {MESSAGE_HELLO, on_hello},       {MESSAGE_READY, on_ready},       {MESSAGE_ACTIVITY, on_activity},
    {MESSAGE_FIGURES, on_figures},   {MESSAGE_PROBLEMS, on_problems}, {MESSAGE_FINISHED, on_finished},
    {MESSAGE_DEFERRED, on_deferred}, {MESSAGE_ALIVE, on_alive},       {MESSAGE_CANCELLED, on_cancelled},
    {MESSAGE_ASK, on_ask},           {MESSAGE_FORGET, on_forget},     {MESSAGE_AUDIT, on_audit},
    {MESSAGE_JUDGED, on_judged},     {MESSAGE_ROLLED, on_rolled},     {MESSAGE_POST, on_post},
    {MESSAGE_SETTLED, on_settled},   {MESSAGE_LOCK, on_lock},         {MESSAGE_UNLOCK, on_unlock},
    {MESSAGE_AHEAD, on_ahead},       {MESSAGE_EPOCH, on_epoch},
};

/* Whether there may be commits behind the message: commits belong to the git remote, too. */
static bool tells_of_commits(unsigned type)
{
    static const unsigned types[] = {MESSAGE_READY,  MESSAGE_ACTIVITY, MESSAGE_FINISHED,
                                     MESSAGE_JUDGED, MESSAGE_SETTLED,  MESSAGE_ROLLED};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i] == type)
            return true;
    return false;
}

static bool handle(struct agent *agent, struct reader *reader, unsigned type)
{
    size_t i = 0;
    while (i < sizeof handlers / sizeof handlers[0] && handlers[i].type != type)
        i++;
    if (i == sizeof handlers / sizeof handlers[0] || !handlers[i].handle(agent, reader))
        return false;
    if (tells_of_commits(type))
        mirror_link_note(supervisor_of(agent)->local.mirror, agent->name);
    return true;
}

/* The worker before may have left a few messages. More of them mean that this worker's HELLO was lost on the way (a
 * send that nng takes is no delivery): the worker would work unheard until its time to start is over. */
static bool is_no_stray(struct agent *agent)
{
    if (agent->worker.pid <= 0 || ++agent->beat.strays <= STRAYS_MAX)
        return true;
    agent_distrust(agent, "its greeting was lost");
    return false;
}

/* A worker's messages are limited from one heartbeat to the next. */
static bool hear_one(struct agent *agent, const void *bytes, size_t length, struct shared_bytes *kept)
{
    struct reader reader;
    unsigned type = 0;
    bool known = message_receive(&reader, bytes, length, PARTY_WORKER, PARTY_SUPERVISOR, &type);
    reader.kept = kept;
    if (++agent->beat.messages > MESSAGES_MAX) {
        agent_distrust(agent, "it floods its supervisor with messages");
        return false;
    }
    if (known && type != MESSAGE_SEVERAL && handle(agent, &reader, type))
        return true;
    OWNED char *why =
        memory_print("its message (%s, %zu bytes) is not as the protocol has it", message_name(type), length);
    agent_distrust(agent, why);
    return false;
}

/* The messages are heard one after the other, as long as the turn lasts; after a message that may not be sent the
 * rest isn't heard. */
static bool hear_several(struct agent *agent, const void *bytes, size_t length, struct reader *reader,
                         struct line_turn *turn)
{
    const unsigned char *begin = bytes;
    if (turn->heard)
        reader->at = begin + turn->heard;
    while (!message_end(reader)) {
        const void *part;
        size_t part_length;
        if (!message_get_part(reader, &part, &part_length)) {
            hear_one(agent, bytes, length, turn->kept); /* hear_one reports the malformed part */
            return false;
        }
        if (!hear_one(agent, part, part_length, turn->kept))
            return false;
        turn->messages -= turn->messages > 0;
        turn->heard = (size_t)(reader->at - begin);
        if (line_turn_over(turn) && !message_end(reader))
            return true;
    }
    turn->heard = 0;
    return true;
}

/* Before HELLO with the right generation, a message may be among the last words of the worker before: it counts for
 * nothing. */
bool agent_hears(void *context, const void *bytes, size_t length, struct line_turn *turn)
{
    struct agent *agent = context;
    struct reader reader;
    unsigned type = 0;
    bool known = message_receive(&reader, bytes, length, PARTY_WORKER, PARTY_SUPERVISOR, &type);
    if (!agent->worker.said_hello && !(known && type == MESSAGE_HELLO))
        return is_no_stray(agent);
    return known && type == MESSAGE_SEVERAL ? hear_several(agent, bytes, length, &reader, turn)
                                            : hear_one(agent, bytes, length, turn->kept);
}
