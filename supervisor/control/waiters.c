/* Clients whose answer comes later: when an order is carried out, a task has ended, a letter is durable. */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/format/answer_file.h"
#include "common/memory.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "supervisor/control/part.h"
#include "supervisor/store/queue_search.h"

/* Calls judge for each client that waits for `what` of the agent; judge may end the client. */
static void each_waiter(struct control *control, const struct agent *agent, enum waiting_for what,
                        void (*judge)(struct client *, void *), void *context)
{
    if (!control)
        return;
    for (struct client *client = control->clients, *next; client; client = next) {
        next = client->next;
        if (client->waiter.what == what && (!agent || client->waiter.agent == agent))
            judge(client, context);
    }
}

/* --- the waiters' events --- */

/* Only the worker writes its tree; a hibernating one is woken for it. */
int verbs_send_rollback(struct control *control, struct waiter *waiter, struct fault *fault)
{
    struct agent *agent = waiter->agent;
    if (life_is_up(&agent->life)) {
        uint64_t serial = ++control->serial;
        if (!agent_send(agent, MESSAGE_ROLLBACK, serial, waiter->task))
            return 0;
        waiter->serial = serial;
        waiter->generation = agent->worker.generation;
        return 1;
    }
    if (agent->life.state != STATE_STOPPED && agent->life.state != STATE_FAILED &&
        agent->life.state != STATE_BACKOFF)
        return 0;
    fault_set(fault,
              "the worker of '%s' is not running (%s), and only it writes there; nothing was undone. "
              "`agentos start %s`, then try again",
              agent->name, life_state_name(agent->life.state), agent->name);
    return -1;
}

static bool is_down(const struct agent *agent)
{
    return !life_has_process(&agent->life);
}

static int started(const struct agent *agent, struct fault *fault)
{
    if (life_is_up(&agent->life))
        return 1;
    if (agent->life.state == STATE_STOPPED)
        return fault_set(fault, "agent '%s' was ordered to stop meanwhile", agent->name), -1;
    if (agent->life.state != STATE_FAILED && agent->life.state != STATE_BACKOFF)
        return 0;
    fault_set(fault, "agent '%s' did not come up: %s", agent->name,
              agent->trouble          ? agent->trouble
              : agent->past.last_exit ? agent->past.last_exit
                                      : "its process could not be made");
    return -1;
}

int verbs_order_state(const struct waiter *waiter, struct fault *fault)
{
    const struct agent *agent = waiter->agent;
    bool another = agent->worker.generation != waiter->generation;
    switch (waiter->order) {
    case EVENT_START:
        return started(agent, fault);
    case EVENT_RESTART:
        return another || agent->life.state == STATE_STOPPED ? started(agent, fault) : 0;
    case EVENT_STOP:
        return another || agent->life.state == STATE_STOPPED;
    case EVENT_KILL:
        return another || agent->worker.pid == 0;
    case EVENT_PAUSE:
        if (!agent->life.paused)
            return fault_set(fault, "agent '%s' was ordered to go on meanwhile", agent->name), -1;
        return agent->life.state == STATE_PAUSED || is_down(agent);
    default:
        if (agent->life.state != STATE_PAUSED)
            return 1;
        if (!agent->life.paused)
            return 0;
        fault_set(fault, "agent '%s' was ordered to pause meanwhile", agent->name);
        return -1;
    }
}

static void judge_order(struct client *client, void *context)
{
    (void)context;
    struct fault fault;
    int state = verbs_order_state(&client->waiter, &fault);
    if (state == 0)
        return;
    if (state > 0)
        client_say(client, EX_OK, NULL);
    else
        client_complain(client, EX_TEMPFAIL, "%s", fault.text);
    client_stop_waiting(client);
}

static void judge_cancel_of_dead(struct client *client, void *context)
{
    const struct agent *agent = context;
    if (agent->worker.generation == client->waiter.generation && agent->worker.pid > 0)
        return;
    client_complain(client, EX_TEMPFAIL, "the agent's worker has ended meanwhile; try again");
    client_stop_waiting(client);
}

static void judge_rollback(struct client *client, void *context)
{
    struct fault fault;
    if (client->waiter.serial != 0)
        judge_cancel_of_dead(client, context);
    else if (verbs_send_rollback(client->control, &client->waiter, &fault) < 0) {
        client_complain(client, EX_TEMPFAIL, "%s", fault.text);
        client_stop_waiting(client);
    }
}

void control_agent_changed(struct control *control, struct agent *agent)
{
    each_waiter(control, agent, WAIT_ROLLBACK, judge_rollback, agent);
    each_waiter(control, agent, WAIT_ORDER, judge_order, NULL);
    each_waiter(control, agent, WAIT_CANCEL, judge_cancel_of_dead, agent);
}

static bool is_waited_for(void *task, const char *id)
{
    return strcmp(task, id) == 0;
}

static bool is_enough(void *task, const struct block *block)
{
    (void)task;
    (void)block;
    return true;
}

/* Whether the task still stands in queue.md, or may stand there, where that can't be searched: the client waits on. */
static bool is_queued(struct agent *agent, char *task)
{
    const struct queue_search search = {.is_meant = is_waited_for, .visit = is_enough, .context = task};
    return queue_search(agent_tree(agent), TREE_QUEUE, &search, NULL) != 0;
}

/* The worker that would have told the end may have died between its commit and its message. */
static bool lost_its_worker(const struct client *client)
{
    return client->waiter.what == WAIT_TASK &&
           client->waiter.agent->worker.generation != client->waiter.generation;
}

/* When the answer is in outputs/, the task was done. */
static void judge_task_of_idle(void *context)
{
    struct client *client = context;
    struct agent *agent = client->waiter.agent;
    if (!lost_its_worker(client) || is_queued(agent, client->waiter.task))
        return;
    OWNED_ANSWER struct answer_file answer = {0};
    if (answer_read(agent_tree(agent), client->waiter.task, &answer, NULL) == 1) {
        client_say(client, EX_OK,
                   json_pack("{s:s, s:s, s:i, s:n}", "id", client->waiter.task, "end", "done", "reward",
                             answer.reward, "commit"));
    } else
        client_complain(
            client, EX_DATAERR,
            "the worker was started again meanwhile and nothing is left to do; see `agentos log %s`",
            agent->name);
    client_stop_waiting(client);
}

/* Both files may be large and many clients may wait: each has a turn of its own. */
static void judge_soon(struct client *client, void *context)
{
    (void)context;
    if (!lost_its_worker(client))
        return;
    client->idle.ring = judge_task_of_idle;
    client->idle.context = client;
    timer_set(client->control->owner.loop, &client->idle, 0);
}

void control_agent_idle(struct control *control, struct agent *agent)
{
    each_waiter(control, agent, WAIT_TASK, judge_soon, NULL);
}

static void judge_gone(struct client *client, void *context)
{
    (void)context;
    client_complain(client, EX_NOINPUT, "the agent was taken out of agents.yaml meanwhile");
    client_stop_waiting(client);
}

void control_agent_gone(struct control *control, struct agent *agent)
{
    listing_agent_gone(control, agent);
    each_waiter(control, agent, WAIT_ORDER, judge_gone, NULL);
    each_waiter(control, agent, WAIT_TASK, judge_gone, NULL);
    each_waiter(control, agent, WAIT_CANCEL, judge_gone, NULL);
    each_waiter(control, agent, WAIT_ROLLBACK, judge_gone, NULL);
}

struct finished {
    const char *task, *commit, *end;
    int reward;
};

static void judge_task(struct client *client, void *context)
{
    const struct finished *finished = context;
    if (strcmp(client->waiter.task, finished->task) != 0)
        return;
    /* The commit may have been the worker's last deed: for the next worker the task is a duplicate. */
    bool again = strcmp(finished->end, "duplicate") == 0 &&
                 client->waiter.agent->worker.generation != client->waiter.generation;
    bool done = again || strcmp(finished->end, "done") == 0;
    json_t *more = json_pack("{s:o, s:o, s:i, s:o}", "id", utf8_json(finished->task), "end",
                             utf8_json(done ? "done" : finished->end), "reward", finished->reward, "commit",
                             utf8_json(finished->commit));
    if (more && again)
        json_object_set_new(more, "reward", json_null()); /* the task's commit has it */
    if (more && !done) {
        OWNED char *complaint = memory_print("task %s ended as %s", finished->task, finished->end);
        json_object_set_new(more, "complaint", utf8_json(complaint));
    }
    client_say(client, done ? EX_OK : EX_DATAERR, more);
    client_stop_waiting(client);
}

void control_task_finished(struct control *control, struct agent *agent, const char *task, int reward,
                           const char *commit, const char *end)
{
    struct finished finished = {.task = task, .commit = commit, .end = end, .reward = reward};
    each_waiter(control, agent, WAIT_TASK, judge_task, &finished);
}

struct refused {
    const char *task, *why;
};

/* Without an answer the client would wait until somebody changes the task or the provider. */
static void judge_held(struct client *client, void *context)
{
    const struct refused *held = context;
    if (strcmp(client->waiter.task, held->task) != 0)
        return;
    client_complain(client, EX_TEMPFAIL,
                    "the provider refuses the task as it is: %s. The task stays in the queue and is tried "
                    "again; `agentos cancel` takes it out",
                    held->why);
    client_stop_waiting(client);
}

void control_task_deferred(struct control *control, struct agent *agent, const char *task, const char *why)
{
    struct refused held = {.task = task, .why = why};
    each_waiter(control, agent, WAIT_TASK, judge_held, &held);
}

/* Serials are one sequence over all requests, so a serial names its client; a worker answers for its own agent
 * alone. */
static struct client *of_serial(const struct control *control, const struct agent *agent, uint64_t serial)
{
    struct client *client = control && serial ? control->clients : NULL;
    while (client && (client->waiter.serial != serial || (agent && client->waiter.agent != agent)))
        client = client->next;
    return client;
}

void control_told(struct control *control, uint64_t ticket, json_t *answer)
{
    struct client *client = of_serial(control, NULL, ticket);
    if (!client) {
        json_decref(answer);
        return;
    }
    client_say(client, EX_OK, answer);
    client_stop_waiting(client);
}

void control_answered(struct control *control, const struct agent *agent, uint64_t serial, int exit,
                      const char *key, const char *text)
{
    struct client *client = of_serial(control, agent, serial);
    if (!client)
        return;
    OWNED char *clean = utf8_clean(text, strlen(text));
    if (exit == EX_OK && key && strcmp(key, "id") == 0)
        client_say_id(client, text);
    else if (exit != EX_OK)
        client_complain(client, exit, "%s", clean);
    else
        client_say(client, EX_OK, key ? json_pack("{s:s}", key, clean) : NULL);
    client_stop_waiting(client);
}
