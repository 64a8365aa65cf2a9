/* The clients' requests: a table of verbs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/names.h"
#include "common/settings.h"
#include "common/tree.h"
#include "supervisor/control/part.h"
#include "supervisor/store/task_block.h"

static void do_status(struct request *request)
{
    json_t *head = status_head(request->control);
    bool all_nodes = json_is_true(json_object_get(request->json, "all_nodes"));
    bool rows = json_is_true(json_object_get(request->json, "rows"));
    listing_describe *describe = all_nodes ? status_anywhere : rows ? status_row : status_agent;
    if (all_nodes)
        json_object_set_new(json_object_get(head, "supervisor"), "node", json_string(node_name()));
    if (request->agent)
        listing_of_one(request->client, "status", head, describe, request->agent);
    else
        listing_of_all(request->client, "status", head, describe);
}

static void do_metrics(struct request *request)
{
    listing_of_all(request->client, "metrics", metrics_head(request->control), metrics_agent);
}

/* --- task --- */

static bool read_task(const struct request *request, struct task_block *block, struct fault *fault)
{
    const json_t *ttl = json_object_get(request->json, "ttl_seconds");
    const char *priority = request_text(request, "priority");
    block->text = request_text(request, "text");
    block->lock = request_text(request, "lock");
    block->whole = json_is_true(json_object_get(request->json, "whole"));
    block->created = clock_now();
    block->priority = PRIORITY_NORMAL;
    if (!block->text)
        return fault_set(fault, "the task has no text; nothing was added");
    if (priority && !priority_parse(priority, &block->priority))
        return fault_set(fault, "the priority is high, normal or low, not '%s'; nothing was added", priority);
    if (ttl && !json_is_null(ttl) && !json_is_integer(ttl))
        return fault_set(fault, "ttl_seconds is a whole number; nothing was added");
    block->ttl_seconds = json_integer_value(ttl);
    return task_block_check(block, fault);
}

static void wait_for_task(struct request *request, const char *id)
{
    if (json_is_true(json_object_get(request->json, "wait")))
        *client_waiter(request->client) = (struct waiter){.what = WAIT_TASK,
                                                          .agent = request->agent,
                                                          .generation = request->agent->worker.generation,
                                                          .task = memory_text(id)};
}

/* Of an agent that was never started, for which nobody has written a task. */
static bool has_no_folder(struct agent *agent)
{
    return agent_tree(agent) < 0 && errno == ENOENT;
}

/* Tells the state of a task whose id was given before; the client may wait for its end. False: nothing is known of
 * the task. */
static bool repeat_of_known(struct request *request, const struct task_block *block)
{
    struct fault fault;
    int reward = 0;
    const char *doing = request->agent->told.doing;
    enum task_known known = has_no_folder(request->agent)
                                ? TASK_NEW
                                : task_block_known(agent_tree(request->agent), block, &reward, &fault);
    const char *state = known == TASK_DONE                       ? "done"
                        : doing && strcmp(doing, block->id) == 0 ? "in hand"
                                                                 : "pending";
    if (known == TASK_NEW)
        return false;
    if (known == TASK_OTHER || known == TASK_UNTOLD)
        return client_complain(request->client, known == TASK_OTHER ? EX_DATAERR : EX_TEMPFAIL, "%s",
                               fault.text),
               true;
    json_t *more = json_pack("{s:s, s:s}", "id", block->id, "known", state);
    if (known == TASK_DONE)
        json_object_set_new(more, "reward", json_integer(reward));
    client_say(request->client, EX_OK, more);
    if (known == TASK_PENDING)
        wait_for_task(request, block->id);
    return true;
}

static bool add_task(struct request *request, const struct task_block *block)
{
    struct fault fault;
    int exit = task_block_append(request->control->owner.data, request->agent->name, block, &fault);
    if (exit != EX_OK)
        client_complain(request->client, exit, "the task was not added: %s", fault.text);
    else
        client_say(request->client, EX_OK, json_pack("{s:s}", "id", block->id));
    return exit == EX_OK;
}

static void do_task(struct request *request)
{
    struct task_block block = {0};
    struct fault fault;
    OWNED char *new_id = NULL;
    block.id = request_text(request, "id");
    bool given = block.id != NULL;
    if (!given)
        block.id = new_id = names_new_id();
    if (!read_task(request, &block, &fault)) {
        client_complain(request->client, EX_DATAERR, "%s", fault.text);
        return;
    }
    if (given && repeat_of_known(request, &block))
        return;
    if (add_task(request, &block)) {
        wait_for_task(request, block.id);
        agent_look(request->agent, LOOK_QUEUE);
    }
}

static void do_cancel(struct request *request)
{
    uint64_t serial = ++request->control->serial;
    struct agent *agent = request->agent;
    const char *task = request_text(request, "task");
    if (!task || strlen(task) > MESSAGE_TASK_MOST) {
        client_complain(request->client, EX_USAGE, "cancel names a task by its id");
        return;
    }
    if (agent->life.state == STATE_HIBERNATING) {
        client_complain(request->client, EX_NOINPUT, "there is no such task: '%s' has none and hibernates",
                        agent->name);
        return;
    }
    if (!life_is_up(&agent->life) || !agent_send(agent, MESSAGE_CANCEL, serial, task)) {
        client_complain(request->client, EX_TEMPFAIL,
                        "the worker of '%s' is not running (%s), and only it takes tasks out; the task stays",
                        agent->name, life_state_name(agent->life.state));
        return;
    }
    *client_waiter(request->client) = (struct waiter){
        .what = WAIT_CANCEL, .agent = agent, .generation = agent->worker.generation, .serial = serial};
}

/* --- rollback --- */

static void do_rollback(struct request *request)
{
    const char *commit = request_text(request, "commit");
    struct fault fault;
    if (!commit || !*commit || strlen(commit) > ID_MAX) {
        client_complain(request->client, EX_USAGE, "rollback names a commit");
        return;
    }
    struct waiter waiter = {
        .what = WAIT_ROLLBACK, .agent = request->agent, .generation = request->agent->worker.generation};
    waiter.task = memory_text(commit);
    if (verbs_send_rollback(request->control, &waiter, &fault) < 0) {
        client_complain(request->client, EX_TEMPFAIL, "%s", fault.text);
        free(waiter.task);
        return;
    }
    *client_waiter(request->client) = waiter;
    if (request->agent->life.state == STATE_HIBERNATING)
        life_event(&request->agent->life, EVENT_WAKE);
}

/* --- orders --- */

static void do_order(struct request *request)
{
    struct waiter waiter = {.what = WAIT_ORDER,
                            .agent = request->agent,
                            .order = request->order,
                            .generation = request->agent->worker.generation};
    struct fault fault;
    agent_order(request->agent, request->order, true);
    control_agent_changed(request->control, request->agent); /* other clients wait for the contrary */
    int state = verbs_order_state(&waiter, &fault);
    if (state < 0)
        client_complain(request->client, EX_TEMPFAIL, "%s", fault.text);
    else if (state > 0 || json_is_true(json_object_get(request->json, "no_wait")))
        client_say(request->client, EX_OK, NULL);
    else
        *client_waiter(request->client) = waiter;
}

static void do_reload(struct request *request)
{
    OWNED_BUFFER struct buffer said = {0};
    bool applied = request->control->owner.reload(request->control->owner.context, &said);
    const char *text = said.data ? said.data : "";
    client_say(request->client, applied ? EX_OK : EX_CONFIG,
               json_pack("{s:s}", applied ? "said" : "complaint", text));
}

static void do_retry(struct request *request)
{
    const struct control_owner *owner = &request->control->owner;
    for (size_t i = 0; i < owner->agents->count; i++)
        if (!request->agent || owner->agents->list[i] == request->agent)
            owner->retry(owner->context, owner->agents->list[i]);
    client_say(request->client, EX_OK, NULL);
}

static void answer_from_remote(struct request *request, const char *node, bool begin)
{
    const struct control_owner *owner = &request->control->owner;
    OWNED_BUFFER struct buffer lacks = {0};
    struct fault fault = {0};
    int exit = owner->from_remote(owner->context, request->agent, node, begin, &lacks, &fault);
    if (exit == EX_OK)
        client_say(request->client, EX_OK, json_pack("{s:s, s:s}", "said", lacks.data, "stage", ""));
    else
        client_complain(request->client, exit, "%s", fault.text);
}

static void do_move(struct request *request)
{
    const struct control_owner *owner = &request->control->owner;
    const char *node = request_text(request, "node"), *stage = NULL;
    struct fault fault = {0};
    bool look = json_is_true(json_object_get(request->json, "look"));
    if (!node && !look) {
        client_complain(request->client, EX_USAGE, "move names a node");
        return;
    }
    if (node && json_is_true(json_object_get(request->json, "from_remote"))) {
        answer_from_remote(request, node, !look);
        return;
    }
    if (node && look) {
        client_complain(request->client, EX_USAGE, "look goes with from_remote");
        return;
    }
    int exit = owner->move(owner->context, request->agent, node, &stage, &fault);
    if (exit == EX_OK)
        client_say(request->client, EX_OK, json_pack("{s:s}", "stage", stage));
    else
        client_complain(request->client, exit, "%s", fault.text);
}

static void do_nodes(struct request *request)
{
    const struct control_owner *owner = &request->control->owner;
    uint64_t ticket = ++request->control->serial;
    const json_t *asked = json_object_get(request->json, "request");
    json_t *told = asked ? owner->ask_nodes(owner->context, asked, ticket) : NULL;
    if (!asked)
        client_complain(request->client, EX_USAGE, "nodes says what the other nodes are asked");
    else if (told)
        client_say(request->client, EX_OK, told);
    else
        *client_waiter(request->client) = (struct waiter){.what = WAIT_POSTED, .serial = ticket};
}

static void do_events(struct request *request)
{
    if (client_follow(request->client))
        client_say(request->client, EX_OK, NULL);
    else
        client_complain(request->client, EX_TEMPFAIL, "%d clients follow the events already; try again",
                        FOLLOWERS_MAX);
}

/* An order to all agents is for those that live here. */
static void say_elsewhere(const struct request *request)
{
    const struct agent *agent = request->agent;
    OWNED char *sentence =
        memory_print("agent '%s' does not run on this node: %s", agent->name, agent->order.elsewhere);
    const struct control_owner *owner = &request->control->owner;
    /* NULL: the agent may come to live here. */
    json_auto_t *far = owner->far_agent(owner->context, agent->name);
    if (far && json_is_true(json_object_get(request->json, "all"))) {
        OWNED char *said = memory_print("%s; it is left alone", sentence);
        client_say(request->client, EX_OK, json_pack("{s:s}", "said", said));
        return;
    }
    client_complain(
        request->client, EX_NOINPUT,
        "%s; nothing was done: orders and tasks are given on the node where an agent lives, and `agentos "
        "send %s` reaches it from here",
        sentence, agent->name);
}

static const struct {
    const char *name;
    void (*answer)(struct request *);
    bool needs_agent;
    enum life_event order;
} verbs[] = {
    {"status", do_status, false, 0},
    {"metrics", do_metrics, false, 0},
    {"task", do_task, true, 0},
    {"cancel", do_cancel, true, 0},
    {"start", do_order, true, EVENT_START},
    {"stop", do_order, true, EVENT_STOP},
    {"restart", do_order, true, EVENT_RESTART},
    {"kill", do_order, true, EVENT_KILL},
    {"pause", do_order, true, EVENT_PAUSE},
    {"resume", do_order, true, EVENT_RESUME},
    {"reload", do_reload, false, 0},
    {"events", do_events, false, 0},
    {"rollback", do_rollback, true, 0},
    {"send", answer_send, true, 0},
    {"requeue", answer_requeue, false, 0},
    {"purge", answer_purge, false, 0},
    {"enqueue", answer_enqueue, false, 0},
    {"retry", do_retry, false, 0},
    {"move", do_move, true, 0},
    {"nodes", do_nodes, false, 0},
};

void verbs_answer(struct control *control, struct client *client, const json_t *json)
{
    struct request request = {.control = control, .client = client, .json = json};
    const char *verb = request_text(&request, "verb"), *name = request_text(&request, "agent");
    if (name && !(request.agent = agents_find(control->owner.agents, name))) {
        struct fault fault;
        roster_no_agent(*control->owner.roster, name, &fault);
        client_complain(client, EX_NOINPUT, "%s", fault.text);
        return;
    }
    for (size_t i = 0; verb && i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(verbs[i].name, verb) != 0)
            continue;
        request.order = verbs[i].order;
        if (verbs[i].needs_agent && !request.agent)
            client_complain(client, EX_USAGE, "%s names an agent", verb);
        else if (control->owner.agents->ending && verbs[i].needs_agent)
            client_complain(client, EX_TEMPFAIL, "the supervisor is ending; nothing was done");
        else if (verbs[i].needs_agent && request.agent->order.elsewhere && verbs[i].answer != answer_send &&
                 verbs[i].answer != do_move)
            say_elsewhere(&request);
        else
            verbs[i].answer(&request);
        return;
    }
    client_complain(client, EX_USAGE, "there is no verb '%s'", verb ? verb : "");
}
