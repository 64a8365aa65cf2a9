#include "supervisor/nodes/bus_link.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/settings.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/process/child.h"

enum { TEXT_MAX = 2048, UNWANTED_MS = 30 * 1000, BEHIND_BYTES = 32 * 1024 * 1024, LAST_WORDS_MS = 500 };

struct bus_link {
    const struct local_node *local;
    struct child child;
    bool connected;
    char *why;      /* the bus's fault, as it was told last; "": none. Owned */
    void *followed; /* tsearch: subjects, owned */
    uint64_t ticket;
    struct bus_owner owners[BUS_OWNERS];
    size_t owner_count;
};

#define EACH_OWNER(link, owner)                                                                              \
    for (const struct bus_owner *owner = (link)->owners; owner < (link)->owners + (link)->owner_count;       \
         owner++)

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* A new state is logged: a bus that is away for a day is one line. */
static void set_state(struct bus_link *link, bool connected, const char *why)
{
    bool was = link->connected;
    if (connected == was && strcmp(why, link->why) == 0)
        return;
    if (!connected)
        log_warn("bus", NULL, "The bus is away: %s. Envelopes for other nodes wait", why);
    else if (*why)
        log_warn("bus", NULL, "The bus: %s", why);
    else
        log_info("bus", NULL, was ? "The bus is well again" : "Connected to AGENTOS_BUS");
    link->connected = connected;
    memory_set(&link->why, why);
    if (connected && was)
        return;
    EACH_OWNER(link, owner)
    if (owner->state)
        owner->state(owner->context, connected, connected ? "" : why);
}

static bool hear_state(struct bus_link *link, struct reader *reader)
{
    uint64_t connected;
    OWNED char *why = NULL;
    if (!message_read(reader, MESSAGE_BUS_STATE, &connected, &why) || strlen(why) > TEXT_MAX)
        return false;
    set_state(link, connected != 0, why);
    return true;
}

static bool hear_published(struct bus_link *link, struct reader *reader)
{
    uint64_t ticket;
    OWNED char *why = NULL;
    if (!message_read(reader, MESSAGE_BUS_PUBLISHED, &ticket, &why))
        return false;
    EACH_OWNER(link, owner)
    if (owner->published)
        owner->published(owner->context, ticket, *why ? why : NULL);
    return true;
}

static bool hear_arrived(struct bus_link *link, struct reader *reader)
{
    uint64_t token;
    OWNED char *subject = NULL, *node = NULL;
    const void *bytes;
    size_t length;
    if (!message_read(reader, MESSAGE_BUS_ARRIVED, &token, &subject, &node, &bytes, &length))
        return false;
    EACH_OWNER(link, owner)
    if (owner->arrived && owner->arrived(owner->context, token, subject, node, bytes, length))
        return true;
    bus_link_later(link, token, UNWANTED_MS);
    return true;
}

static bool hear_key(struct bus_link *link, struct reader *reader)
{
    uint64_t revision, gone;
    OWNED char *key = NULL, *value = NULL;
    if (!message_read(reader, MESSAGE_BUS_KEY, &key, &revision, &gone, &value))
        return false;
    EACH_OWNER(link, owner)
    if (owner->key)
        owner->key(owner->context, *key ? key : NULL, gone ? NULL : value, revision);
    return true;
}

static bool hear_kept(struct bus_link *link, struct reader *reader)
{
    uint64_t ticket, revision;
    OWNED char *why = NULL;
    if (!message_read(reader, MESSAGE_BUS_KEPT, &ticket, &revision, &why))
        return false;
    EACH_OWNER(link, owner)
    if (owner->kept)
        owner->kept(owner->context, ticket, revision, why);
    return true;
}

static const struct {
    unsigned type;
    bool (*hear)(struct bus_link *link, struct reader *reader);
} heard[] = {{MESSAGE_BUS_STATE, hear_state},
             {MESSAGE_BUS_PUBLISHED, hear_published},
             {MESSAGE_BUS_ARRIVED, hear_arrived},
             {MESSAGE_BUS_KEY, hear_key},
             {MESSAGE_BUS_KEPT, hear_kept}};

static bool hear(void *context, const void *bytes, size_t length)
{
    struct reader reader;
    unsigned type = 0;
    if (!message_receive(&reader, bytes, length, PARTY_BUS, PARTY_SUPERVISOR, &type))
        return false;
    for (size_t i = 0; i < sizeof heard / sizeof *heard; i++)
        if (heard[i].type == type)
            return heard[i].hear(context, &reader);
    return false;
}

static void tell_followed(const void *node, VISIT visit, void *context)
{
    if (visit == postorder || visit == leaf)
        child_say(&((struct bus_link *)context)->child, MESSAGE_BUS_FOLLOW, *(char *const *)node,
                  UINT64_C(1));
}

static void started(void *context)
{
    struct bus_link *link = context;
    twalk_r(link->followed, tell_followed, link);
}

static void ended(void *context)
{
    set_state(context, false, "agentos-bus has ended, and is started again");
}

struct bus_link *bus_link_open(const struct local_node *local)
{
    static char *arguments[] = {"agentos-bus", "3", NULL};
    if (!setting_text(SET_AGENTOS_BUS, NULL))
        return NULL;
    struct bus_link *link = memory_new(1, sizeof *link);
    link->local = local;
    link->why = memory_text("");
    link->ticket = (uint64_t)clock_monotonic_ms();
    if (child_begin(&link->child, local->loop,
                    &(struct child_plan){.name = "bus",
                                         .component = "bus",
                                         .folder = local->programs,
                                         .arguments = arguments,
                                         .environment = environ,
                                         .extras = {-1},
                                         .message = hear,
                                         .started = started,
                                         .ended = ended,
                                         .context = link}))
        return link;
    log_error("bus", NULL, "Other nodes are not reached: %s can't be started", arguments[0]);
    free(link->why);
    free(link);
    return NULL;
}

void bus_link_close(struct bus_link *link)
{
    if (!link)
        return;
    child_end(&link->child, LAST_WORDS_MS); /* leases that are given back go out first */
    tdestroy(link->followed, free);
    free(link->why);
    free(link);
}

void bus_link_join(struct bus_link *link, const struct bus_owner *owner)
{
    if (link && link->owner_count < BUS_OWNERS)
        link->owners[link->owner_count++] = *owner;
}

bool bus_link_connected(const struct bus_link *link)
{
    return link && link->connected;
}

uint64_t bus_link_ticket(struct bus_link *link)
{
    return link ? ++link->ticket : 0;
}

/* A process that stands still must not fill the supervisor's memory. */
static bool can_ask(const struct bus_link *link, size_t length)
{
    return bus_link_connected(link) && length <= BUS_BYTES_MAX &&
           link->child.channel.out.bytes < BEHIND_BYTES;
}

bool bus_link_publish(struct bus_link *link, const char *subject, const char *id, const void *bytes,
                      size_t length, uint64_t ticket)
{
    if (!can_ask(link, length))
        return false;
    child_say(&link->child, MESSAGE_BUS_PUBLISH, ticket, subject, id, bytes, length);
    return true;
}

void bus_link_follow(struct bus_link *link, const char *subject, bool follow)
{
    char **there = link ? tfind(subject, &link->followed, by_text) : NULL;
    if (!link || (there != NULL) == follow)
        return;
    if (follow) {
        tsearch(memory_text(subject), &link->followed, by_text);
    } else {
        char *gone = *there;
        tdelete(subject, &link->followed, by_text);
        free(gone);
    }
    child_say(&link->child, MESSAGE_BUS_FOLLOW, subject, (uint64_t)follow);
}

void bus_link_took(struct bus_link *link, uint64_t token)
{
    if (link)
        child_say(&link->child, MESSAGE_BUS_SETTLE, token, MESSAGE_NOWHERE);
}

void bus_link_later(struct bus_link *link, uint64_t token, int64_t ms)
{
    if (link)
        child_say(&link->child, MESSAGE_BUS_SETTLE, token, (uint64_t)(ms > 0 ? ms : 0));
}

static bool put(struct bus_link *link, const char *key, const char *value, uint64_t revision, uint64_t ticket)
{
    if (!can_ask(link, value ? strlen(value) : 0))
        return false;
    child_say(&link->child, MESSAGE_BUS_PUT, ticket, key, revision, (uint64_t)!value, value);
    return true;
}

bool bus_link_put(struct bus_link *link, const char *key, const char *value, uint64_t revision,
                  uint64_t ticket)
{
    return put(link, key, value, revision, ticket);
}

bool bus_link_delete(struct bus_link *link, const char *key, uint64_t revision, uint64_t ticket)
{
    return put(link, key, NULL, revision, ticket);
}

void bus_link_problem(const struct bus_link *link, struct buffer *lines)
{
    if (link && (*link->why || !link->connected))
        buffer_print(lines, link->connected ? "the bus: %s\n" : "the bus is away: %s\n",
                     *link->why ? link->why : "it is being connected to");
}
