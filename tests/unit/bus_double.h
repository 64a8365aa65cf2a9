/* A bus for unit tests: it stands in for supervisor/nodes/bus_link.c, remembers its requests, and tells its owners the
 * messages that a test chooses. */
#ifndef AGENTOS_TESTS_UNIT_BUS_DOUBLE_H
#define AGENTOS_TESTS_UNIT_BUS_DOUBLE_H

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "supervisor/nodes/bus_link.h"

enum bus_verb { BUS_DID_PUBLISH, BUS_DID_FOLLOW, BUS_DID_UNFOLLOW, BUS_DID_TAKE, BUS_DID_LATER, BUS_DID_PUT };

enum { BUS_DEEDS = 256 };

struct bus_link {
    bool connected;
    struct bus_owner owners[BUS_OWNERS];
    size_t owner_count;
    struct bus_deed {
        enum bus_verb verb;
        char *name, *id, *text;  /* subject or key; message id; bytes or value (NULL: delete). Owned */
        uint64_t number, ticket; /* a token, a revision; ms behind BUS_DID_LATER */
    } deeds[BUS_DEEDS];
    size_t count;
};

static struct bus_link bus_double;

/* Forgets the requests. */
static inline void bus_double_forget(void)
{
    for (size_t i = 0; i < bus_double.count; i++) {
        free(bus_double.deeds[i].name);
        free(bus_double.deeds[i].id);
        free(bus_double.deeds[i].text);
    }
    bus_double.count = 0;
}

static inline void bus_double_did(enum bus_verb verb, const char *name, const char *id, char *text,
                                  uint64_t number, uint64_t ticket)
{
    if (bus_double.count == BUS_DEEDS)
        bus_double_forget();
    bus_double.deeds[bus_double.count++] =
        (struct bus_deed){verb, memory_text(name), memory_text(id), text, number, ticket};
}

/* The last deed of this kind; NULL: there was none. */
static inline const struct bus_deed *bus_double_last(enum bus_verb verb)
{
    for (size_t i = bus_double.count; i-- > 0;)
        if (bus_double.deeds[i].verb == verb)
            return &bus_double.deeds[i];
    return NULL;
}

static inline void bus_double_state(bool connected, const char *why)
{
    bus_double.connected = connected;
    for (size_t i = 0; i < bus_double.owner_count; i++)
        if (bus_double.owners[i].state)
            bus_double.owners[i].state(bus_double.owners[i].context, connected, why);
}

static inline bool bus_double_arrive(uint64_t token, const char *subject, const char *node, const char *text)
{
    for (size_t i = 0; i < bus_double.owner_count; i++)
        if (bus_double.owners[i].arrived && bus_double.owners[i].arrived(bus_double.owners[i].context, token,
                                                                         subject, node, text, strlen(text)))
            return true;
    return false;
}

static inline void bus_double_key(const char *key, const char *value, uint64_t revision)
{
    for (size_t i = 0; i < bus_double.owner_count; i++)
        if (bus_double.owners[i].key)
            bus_double.owners[i].key(bus_double.owners[i].context, key, value, revision);
}

struct bus_link *bus_link_open(const struct local_node *local)
{
    return &bus_double;
}

void bus_link_close(struct bus_link *link)
{
    bus_double_forget();
    bus_double = (struct bus_link){0};
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
    static uint64_t ticket;
    return link ? ++ticket : 0;
}

bool bus_link_publish(struct bus_link *link, const char *subject, const char *id, const void *bytes,
                      size_t length, uint64_t ticket)
{
    if (!bus_link_connected(link))
        return false;
    bus_double_did(BUS_DID_PUBLISH, subject, id, memory_slice(bytes, length), 0, ticket);
    return true;
}

void bus_link_follow(struct bus_link *link, const char *subject, bool follow)
{
    if (link)
        bus_double_did(follow ? BUS_DID_FOLLOW : BUS_DID_UNFOLLOW, subject, NULL, NULL, 0, 0);
}

void bus_link_took(struct bus_link *link, uint64_t token)
{
    if (link)
        bus_double_did(BUS_DID_TAKE, NULL, NULL, NULL, token, 0);
}

void bus_link_later(struct bus_link *link, uint64_t token, int64_t ms)
{
    if (link)
        bus_double_did(BUS_DID_LATER, NULL, NULL, NULL, token, (uint64_t)ms);
}

bool bus_link_put(struct bus_link *link, const char *key, const char *value, uint64_t revision,
                  uint64_t ticket)
{
    if (!bus_link_connected(link))
        return false;
    bus_double_did(BUS_DID_PUT, key, NULL, memory_text(value), revision, ticket);
    return true;
}

bool bus_link_delete(struct bus_link *link, const char *key, uint64_t revision, uint64_t ticket)
{
    return bus_link_put(link, key, NULL, revision, ticket);
}

void bus_link_problem(const struct bus_link *link, struct buffer *lines)
{
    if (link && !link->connected)
        buffer_text(lines, "the bus is away\n");
}

#endif
