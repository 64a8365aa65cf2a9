#include "supervisor/store/route.h"

#include <inttypes.h>
#include <string.h>

struct case_of {
    const struct envelope *envelope;
    const struct roster_agent *sender;
    const struct roster *roster;
    bool answers;
    struct fault *why;
};

static const char *behind(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

/* The name behind "queue:" or "segment:"; NULL: an agent. */
static const char *route_queue(const struct envelope *envelope)
{
    return behind(envelope->to, "queue:");
}

static const char *route_segment(const struct envelope *envelope)
{
    return behind(envelope->to, "segment:");
}

static const struct roster_queue *find_queue(const struct case_of *it)
{
    const char *name = route_queue(it->envelope);
    for (size_t i = 0; name && i < it->roster->queue_count; i++)
        if (strcmp(it->roster->queues[i].name, name) == 0)
            return &it->roster->queues[i];
    return NULL;
}

/* --- the checks: false and why --- */

static bool is_a_kind_that_travels(const struct case_of *it)
{
    enum envelope_kind kind = it->envelope->kind;
    return (kind != KIND_BOUNCE && kind != KIND_TASK) ||
           fault_set(it->why, "a %s is not sent by agents", envelope_kind_name(kind));
}

static bool is_addressed_as_its_kind(const struct case_of *it)
{
    const struct envelope *envelope = it->envelope;
    bool to_queue = route_queue(envelope) != NULL, to_segment = route_segment(envelope) != NULL;
    return (to_queue == (envelope->kind == KIND_ITEM) && to_segment == (envelope->kind == KIND_SEGMENT)) ||
           fault_set(it->why, "%s takes no %s", envelope->to, envelope_kind_name(envelope->kind));
}

static bool has_a_receiver(const struct case_of *it)
{
    const char *to = it->envelope->to;
    if (it->envelope->kind == KIND_ITEM)
        return find_queue(it) || fault_set(it->why, "there is no queue '%s'", route_queue(it->envelope));
    if (it->envelope->kind == KIND_SEGMENT)
        return true; /* the segments know their writers */
    return roster_find(it->roster, to) || fault_set(it->why, "there is no agent '%s'", to);
}

static bool may_send(const struct case_of *it)
{
    const struct roster_agent *sender = it->sender;
    const struct roster_queue *queue = find_queue(it);
    if (!sender || sender->may_send_to_all || it->answers || it->envelope->kind == KIND_SEGMENT)
        return true;
    if (!queue)
        return text_list_has(&sender->may_send_to, it->envelope->to) ||
               fault_set(it->why, "%s may not send to %s (may_send_to in agents.yaml)", sender->name,
                         it->envelope->to);
    /* An item goes to any consumer that its sender may send to, and may come back to the sender. */
    for (size_t i = 0; i < queue->consumers.count; i++)
        if (text_list_has(&sender->may_send_to, queue->consumers.items[i]) ||
            strcmp(queue->consumers.items[i], sender->name) == 0)
            return true;
    return fault_set(it->why, "%s may not send to any consumer of %s (may_send_to in agents.yaml)",
                     sender->name, it->envelope->to);
}

/* A message to oneself is no work, and an item comes back where no other consumer can take it. */
static bool is_for_somebody_else(const struct case_of *it)
{
    return it->envelope->kind != KIND_HANDOFF || !it->sender ||
           strcmp(it->sender->name, it->envelope->to) != 0 ||
           fault_set(it->why, "an agent can't hand work to itself");
}

static bool has_hops_left(const struct case_of *it)
{
    return it->answers || it->envelope->hops <= HOPS_MAX ||
           fault_set(it->why, "it has gone through %" PRId64 " hops; at most %d are allowed",
                     it->envelope->hops, HOPS_MAX);
}

static bool (*const checks[])(const struct case_of *) = {
    is_a_kind_that_travels, is_addressed_as_its_kind, has_a_receiver, is_for_somebody_else, may_send,
    has_hops_left,
};

enum route route_of(const struct envelope *envelope, const struct roster_agent *sender,
                    const struct roster *roster, bool answers, struct fault *why)
{
    static const enum route routes[] = {
        [KIND_HANDOFF] = ROUTE_HANDOFFS, [KIND_MESSAGE] = ROUTE_INBOX, [KIND_RESULT] = ROUTE_INBOX,
        [KIND_BOUNCE] = ROUTE_REFUSED,   [KIND_ITEM] = ROUTE_QUEUE,    [KIND_TASK] = ROUTE_REFUSED,
        [KIND_SEGMENT] = ROUTE_SEGMENT,
    };
    const struct case_of it = {envelope, sender, roster, answers, why};
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        if (!checks[i](&it))
            return ROUTE_REFUSED;
    return routes[envelope->kind];
}
