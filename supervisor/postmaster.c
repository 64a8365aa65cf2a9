#include "supervisor/postmaster.h"

#include <string.h>
#include <sysexits.h>

#include "common/event_words.h"
#include "common/log.h"
#include "common/message.h"
#include "supervisor/control/control.h"

static void verdict(void *subject, const char *id, const char *status, const char *reason, int64_t at)
{
    struct agent *agent = subject;
    if (agent->worker.said_hello)
        agent_send(agent, MESSAGE_VERDICT, id, status, reason, (uint64_t)at);
}

static void look(void *subject, bool wake, bool full)
{
    struct agent *agent = subject;
    if (wake || agent->life.state != STATE_HIBERNATING)
        agent_look(agent, LOOK_IAC | (full ? LOOK_SHELF : 0));
}

static bool is_watched(const void *subject)
{
    const struct agent *agent = subject;
    return watch_is_whole(&agent->watched);
}

static bool rests(const void *subject)
{
    const struct agent *agent = subject;
    return agent->life.state == STATE_HIBERNATING;
}

static const struct {
    const char *event;
    enum log_level level;
    const char *words;
} told_table[] = {
#define X(event, level, words) {event, LOG_LEVEL_##level, words},
    ENVELOPE_EVENTS(X)
#undef X
};

/* A full queue's refusal says more than the word "backpressure". */
static void count_refusal(struct supervisor *supervisor, const struct envelope *envelope, const char *reason)
{
    struct agent *receiver = agents_find(&supervisor->agents, envelope->to);
    if (strncmp(reason, "backpressure", strlen("backpressure")) != 0)
        return;
    if (receiver)
        agent_counters(receiver)->backpressure++;
    else
        control_item_refused(supervisor->control);
}

static void told(void *context, void *subject, const char *event, const struct envelope *envelope,
                 const char *reason)
{
    struct supervisor *supervisor = context;
    const struct agent *agent = subject;
    const char *words = event, *kind = envelope_kind_name(envelope->kind);
    enum log_level level = LOG_LEVEL_INFO;
    for (size_t i = 0; i < sizeof told_table / sizeof told_table[0]; i++)
        if (strcmp(told_table[i].event, event) == 0) {
            words = told_table[i].words;
            level = told_table[i].level;
        }
    static const char *const ends[] = {"envelope_failed", "envelope_expired", "envelope_refused"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strcmp(event, ends[i]) == 0)
            alert_dead_letter(supervisor, agent ? agent->name : envelope->to, envelope,
                              event + strlen("envelope_"), reason);
    struct agent *buried =
        envelope->kind == KIND_TASK ? agents_find(&supervisor->agents, envelope->to) : NULL;
    if (buried &&
        /* While the agent had no worker, which would have told of it. */
        strcmp(event, "envelope_expired") == 0)
        control_task_finished(supervisor->control, buried, envelope->trace, 0, "", "expired");
    if (strcmp(event, "envelope_refused") == 0)
        count_refusal(supervisor, envelope, reason);
    log_event(level, "post", agent ? agent->name : NULL, "%s %s from %s to %s %s%s%s", kind, envelope->id,
              envelope->from, envelope->to, words, *reason ? ": " : "", reason);
    control_event(supervisor->control, agent, event, DETAIL_TEXT("id", envelope->id),
                  DETAIL_TEXT("kind", kind), DETAIL_TEXT("from", envelope->from),
                  DETAIL_TEXT("to", envelope->to), DETAIL_TEXT("reason", reason));
}

static void sent(void *context, uint64_t ticket, int exit, const char *id, const struct fault *why)
{
    struct supervisor *supervisor = context;
    control_answered(supervisor->control, NULL, ticket, exit, "id", exit == EX_OK ? id : why->text);
}

struct post *postmaster_open(struct supervisor *supervisor)
{
    struct post *post = post_open(supervisor->loop, supervisor->data,
                                  &(struct post_owner){.verdict = verdict,
                                                       .look = look,
                                                       .is_watched = is_watched,
                                                       .rests = rests,
                                                       .told = told,
                                                       .sent = sent,
                                                       .context = supervisor});
    post_roster(post, supervisor->roster);
    return post;
}

/* The post office looks first at changes in iac/: its own writing and the worker's wake nobody. */
void postmaster_tree_changed(struct agent *agent, uint64_t changed)
{
    if (changed & LOOK_IAC)
        post_changed(supervisor_of(agent)->post, agent->name);
    if (changed & LOOK_QUEUE)
        post_queue_changed(supervisor_of(agent)->post, agent->name);
    if (changed & ~(uint64_t)LOOK_IAC)
        agent_look(agent, changed & ~(uint64_t)LOOK_IAC);
}
