/* The occasions of alerts (`notify` of agents.yaml), and the alerts' data. */
#include <string.h>

#include "common/clock.h"
#include "common/format/envelope.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/usage.h"
#include "supervisor/notify/alert.h"
#include "supervisor/notify/alerts.h"
#include "supervisor/notify/outages.h"
#include "supervisor/supervisor.h"

enum {
    FAILURES_TOLD = 3, /* endings of a worker in a row */
    BURIED = sizeof((struct supervisor *)0)->alerts.buried / sizeof(uint64_t)
};

static bool to_gateway(void *context, const struct buffer *message)
{
    struct supervisor *supervisor = context;
    return child_send(&supervisor->programs.gateway, message);
}

void supervisor_begin_alerts(struct supervisor *supervisor)
{
    supervisor->alerts.queue = alerts_open(&(struct alerts_owner){.loop = supervisor->loop,
                                                                  .data = supervisor->data,
                                                                  .to_gateway = to_gateway,
                                                                  .context = supervisor},
                                           supervisor->roster);
    supervisor->alerts.outages = outages_new(supervisor->alerts.queue, supervisor->data);
}

void supervisor_end_alerts(struct supervisor *supervisor)
{
    outages_free(supervisor->alerts.outages);
    alerts_close(supervisor->alerts.queue);
    supervisor->alerts.queue = NULL;
}

bool alert_gateway_says(struct supervisor *supervisor, const void *bytes, size_t length)
{
    struct reader reader;
    unsigned type = 0;
    return message_receive(&reader, bytes, length, PARTY_GATEWAY, PARTY_SUPERVISOR, &type) &&
           (type == MESSAGE_NOTIFIED   ? alerts_notified(supervisor->alerts.queue, &reader)
            : type == MESSAGE_PROVIDER ? outages_heard(supervisor->alerts.outages, &reader)
                                       : false);
}

/* --- an agent that can't work --- */

static void tell_failed(const struct agent *agent)
{
    OWNED char *ended =
        memory_print("its worker has ended %u time(s) in a row, the last time with %s", agent->life.failures,
                     agent->past.last_exit ? agent->past.last_exit : "?");
    bool unable = agent->life.state == STATE_FAILED;
    alerts_raise(supervisor_of(agent)->alerts.queue, ALERT_AGENT_FAILED,
                 json_pack("{s:s, s:s, s:o}", "agent", agent->name, "state",
                           life_state_name(agent->life.state), "sentence",
                           alert_text(unable && agent->trouble ? agent->trouble : ended)));
}

/* The alert goes out once, until the agent was well again (lifecycle.c forgets its failures then) or somebody stopped
 * it. */
void alert_agent_changed(struct agent *agent)
{
    enum life_state state = agent->life.state;
    unsigned failures = agent->life.failures;
    if (state == STATE_STOPPED || state == STATE_HIBERNATING || (state == STATE_IDLE && failures == 0) ||
        (state == STATE_BACKOFF && failures == 1))
        agent->past.failure_told = false;
    bool fails = state == STATE_FAILED || (state == STATE_BACKOFF && failures >= FAILURES_TOLD);
    if (!fails || agent->past.failure_told)
        return;
    agent->past.failure_told = true;
    tell_failed(agent);
}

/* --- an agent whose tasks fail --- */

/* An alert goes out when the streak reaches the watchdog's number, with each doubling of it, and with each pause. */
void alert_streak(const struct agent *agent, uint64_t before)
{
    uint64_t streak = agent->told.figures.negative_streak;
    uint64_t mark = (uint64_t)agent->definition->watchdog.negative_streak;
    bool pause = agent->definition->watchdog.pause;
    while (mark <= before && mark <= streak)
        mark *= 2;
    if (mark > streak && !(pause && !agent->life.paused))
        return;
    alerts_raise(supervisor_of(agent)->alerts.queue, ALERT_WATCHDOG,
                 json_pack("{s:s, s:I, s:s}", "agent", agent->name, "negative_streak", (json_int_t)streak,
                           "action", pause ? "pause" : "alert"));
}

/* --- dead letters --- */

static uint64_t hash_of_task(const char *agent, const char *file)
{
    OWNED char *both = memory_print("%s/%s", agent, file);
    uint64_t hash = names_hash(both, strlen(both));
    return hash ? hash : 1;
}

static void raise_dead_letter(struct supervisor *supervisor, const char *agent, const char *id,
                              const char *status, const char *reason, const struct envelope *envelope)
{
    json_t *data = json_pack("{s:o, s:o, s:s, s:o}", "agent", alert_text(agent), "id", alert_text(id),
                             "status", status, "reason", alert_text(reason));
    if (envelope) {
        json_object_set_new(data, "from", alert_text(envelope->from));
        json_object_set_new(data, "to", alert_text(envelope->to));
    }
    alerts_raise(supervisor->alerts.queue, ALERT_DEAD_LETTER, data);
}

void alert_dead_letter(struct supervisor *supervisor, const char *agent, const struct envelope *envelope,
                       const char *status, const char *reason)
{
    if (!alerts_wanted(supervisor->alerts.queue, ALERT_DEAD_LETTER))
        return;
    if (envelope->kind == KIND_TASK) {
        supervisor->alerts.buried[supervisor->alerts.next] = hash_of_task(agent, envelope->id);
        supervisor->alerts.next = (supervisor->alerts.next + 1) % BURIED;
    }
    raise_dead_letter(supervisor, agent, envelope->id, status, reason, envelope);
}

/* Whether the post office has told of the task already: it buried the task while the agent had no process. The task
 * counts once. */
static bool was_told(struct supervisor *supervisor, const char *agent, const char *task)
{
    OWNED char *file = names_file(task);
    uint64_t hash = hash_of_task(agent, file);
    for (size_t i = 0; i < BURIED; i++)
        if (supervisor->alerts.buried[i] == hash) {
            supervisor->alerts.buried[i] = 0;
            return true;
        }
    return false;
}

void alert_task_ended(const struct agent *agent, const char *task, const char *end, const char *reason)
{
    struct supervisor *supervisor = supervisor_of(agent);
    bool poison = strcmp(end, "poison") == 0, expired = strcmp(end, "expired") == 0;
    if ((!poison && !expired) || !alerts_wanted(supervisor->alerts.queue, ALERT_DEAD_LETTER) ||
        (expired && was_told(supervisor, agent->name, task)))
        return;
    raise_dead_letter(supervisor, agent->name, task, poison ? "failed" : end, poison ? reason : end, NULL);
}

/* --- budgets --- */

static json_t *amount(uint64_t count, bool money)
{
    return money ? json_real((double)count / USAGE_COST_UNIT) : json_integer((json_int_t)count);
}

/* A limit as it stands, an agent's own or everybody's, gives one alert a day. */
static bool is_news(struct agent *agent, const struct budget_limit *limit)
{
    uint64_t *told = limit->all ? supervisor_of(agent)->alerts.budget_told : agent->spends.told;
    const uint64_t facts[] = {(uint64_t)(clock_now() / 86400), limit->limit};
    uint64_t now = names_hash(facts, sizeof facts);
    bool news = told[limit->money] != now;
    told[limit->money] = now;
    return news;
}

/* tasks_per_hour is a pace, and raises no alert. */
void alert_budget(struct agent *agent, const struct budget_request *request, const char *sentence)
{
    struct supervisor *supervisor = supervisor_of(agent);
    struct budget_limit limit;
    if (!budget_exceeds(supervisor->budget, request, clock_now(), &limit) || !is_news(agent, &limit))
        return;
    alerts_raise(supervisor->alerts.queue, ALERT_BUDGET,
                 json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "scope", limit.all ? "all" : "agent", "agent",
                           agent->name, "limit_name", limit.name, "limit", amount(limit.limit, limit.money),
                           "spent", amount(limit.spent, limit.money), "sentence", alert_text(sentence)));
}
