/* Clients' requests to the post office: messages from people, dead letters that live again or go. */
#include <stdlib.h>
#include <sysexits.h>

#include "common/memory.h"
#include "common/names.h"
#include "supervisor/control/part.h"
#include "supervisor/shared/work_queues.h"

/* The fields of every envelope of the operator's. */
struct operator_envelope {
    const char *text;
    int64_t ttl_seconds;
    enum priority priority;
};

static bool read_envelope(const struct request *request, struct operator_envelope *envelope,
                          struct fault *fault)
{
    const json_t *ttl = json_object_get(request->json, "ttl_seconds");
    const char *priority = request_text(request, "priority");
    *envelope =
        (struct operator_envelope){.text = request_text(request, "text"), .priority = PRIORITY_NORMAL};
    if (!envelope->text)
        return fault_set(fault, "there is no text; nothing was sent");
    if (priority && !priority_parse(priority, &envelope->priority))
        return fault_set(fault, "the priority is high, normal or low, not '%s'; nothing was sent", priority);
    if (ttl && (!json_is_integer(ttl) || json_integer_value(ttl) < 0))
        return fault_set(fault, "ttl_seconds is a whole number from 0; nothing was sent");
    envelope->ttl_seconds = json_integer_value(ttl);
    return true;
}

static void say(struct request *request, int exit, const char *key, const char *text,
                const struct fault *fault)
{
    if (exit == EX_OK)
        client_say(request->client, EX_OK, json_pack("{s:s}", key, text));
    else
        client_complain(request->client, exit, "%s", fault->text);
}

/* The client is answered when the request is durable (control_answered). */
static void wait_or_say(struct request *request, int exit, uint64_t ticket, const struct fault *fault)
{
    if (exit == EX_OK)
        *client_waiter(request->client) = (struct waiter){.what = WAIT_POSTED, .serial = ticket};
    else
        client_complain(request->client, exit, "%s", fault->text);
}

void answer_send(struct request *request)
{
    struct operator_envelope envelope;
    struct fault fault = {0};
    uint64_t ticket = ++request->control->serial;
    int exit = EX_DATAERR;
    if (read_envelope(request, &envelope, &fault))
        exit = post_send(request->control->owner.post, request->agent->name, envelope.text,
                         envelope.ttl_seconds, envelope.priority, ticket, &fault);
    wait_or_say(request, exit, ticket, &fault);
}

void answer_enqueue(struct request *request)
{
    struct operator_envelope envelope;
    struct fault fault = {0};
    const struct control_owner *owner = &request->control->owner;
    uint64_t ticket = ++request->control->serial;
    const char *queue = request_text(request, "queue"), *id = request_text(request, "id"), *state = NULL;
    OWNED char *file = id ? names_file(id) : NULL;
    int exit = EX_DATAERR;
    if (!queue)
        fault_set(&fault, "enqueue names a queue; nothing was sent");
    else if (read_envelope(request, &envelope, &fault))
        exit = queues_check(owner->queues, queue, envelope.text, envelope.ttl_seconds, &fault);
    if (exit == EX_OK && file)
        exit = post_item_known(owner->post, queue, file, envelope.text, &state, &fault);
    if (exit == EX_OK && state) {
        client_say(request->client, EX_OK, json_pack("{s:s, s:s}", "id", file, "known", state));
        return;
    }
    if (exit == EX_OK)
        post_enqueue(owner->post, queue, file, envelope.text, envelope.ttl_seconds, envelope.priority,
                     ticket);
    wait_or_say(request, exit, ticket, &fault);
}

/* A dead letter, by its id. */
static void end_death(struct request *request, const char *done,
                      int (*act)(struct post *, const char *, const char **, struct fault *))
{
    const char *id = request_text(request, "id"), *agent = "";
    struct fault fault = {0};
    if (!id) {
        client_complain(request->client, EX_USAGE, "a dead letter is named by its id");
        return;
    }
    int exit = act(request->control->owner.post, id, &agent, &fault);
    OWNED char *said = memory_print("%s %s (%s)", id, done, agent);
    say(request, exit, "said", said, &fault);
}

void answer_requeue(struct request *request)
{
    end_death(request, "is given a fresh life", post_requeue);
}

void answer_purge(struct request *request)
{
    end_death(request, "is removed", post_purge);
}
