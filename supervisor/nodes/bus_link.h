/* The supervisor's side of agentos-bus (contract section 12): messages between nodes by subject, and keys that all
 * nodes see, over NATS JetStream. The link knows nothing of envelopes, agents or leases.
 *
 * Subjects are those of the stream AGENTOS: agentos.agent.NAME and agentos.node.NODE; a node that follows a subject
 * gets its messages, and each message comes again until it is acknowledged. Keys are those of the bucket agentos;
 * letters, digits, '-', '_' and '.'.
 *
 * A ticket is answered once, or dies: with the bus's process or its connection, which is state(false). All tickets
 * and tokens are void then, and owners ask again after state(true). A request may have been carried out all the same,
 * and an answer to an earlier ticket may still come: so tickets are never used twice (bus_link_ticket). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/message.h"

enum {
    BUS_BYTES_MAX =
        1024 * 1024,      /* of one message; a server takes a little less where nobody set its max_payload */
    BUS_TOKENS_MAX = 256, /* of one subject, at once; the rest waits in the stream */
    BUS_OWNERS = 4,
};

#define BUS_ANY_REVISION UINT64_MAX

/* The callbacks of an owner, called from the loop, never within a bus_link_… call. Each may be NULL. Texts and bytes
 * are borrowed for the call. Every owner gets every call and passes over tickets and keys that aren't its own. */
struct bus_owner {
    /* connected: stream and bucket are there too. why: a sentence's second half, "" when connected. */
    void (*state)(void *context, bool connected, const char *why);
    /* why NULL: the stream has the message; else the owner tries again, since the stream does not, or nobody knows. */
    void (*published)(void *context, uint64_t ticket, const char *why);
    /* True: the message is this owner's, which will call bus_link_took or bus_link_later, however late (the message
     * doesn't come again while agentos-bus runs). A message without an owner comes again half a minute later. */
    bool (*arrived)(void *context, uint64_t token, const char *subject, const char *node, const void *bytes,
                    size_t length);
    /* A key's value, after state(true) and whenever it changed; value NULL: the key is gone. key NULL: every key has
     * been told, so an earlier key that was not told again is gone with a store that was lost. Both calls may come
     * again. */
    void (*key)(void *context, const char *key, const char *value, uint64_t revision);
    /* revision: the key's new one. 0: the key was not changed for sure only when why is BUS_OTHER_REVISION; else
     * nobody knows. */
    void (*kept)(void *context, uint64_t ticket, uint64_t revision, const char *why);
    void *context;
};

#define BUS_OTHER_REVISION MESSAGE_OTHER_REVISION

struct local_node;
struct bus_link;

/* NULL: AGENTOS_BUS is not set, or its program can't be started, which the log says. */
struct bus_link *bus_link_open(const struct local_node *local);
void bus_link_close(struct bus_link *link); /* NULL is fine, here and below */
/* Before the loop runs, in the order in which the owners are asked about arrived messages. owner is copied. */
void bus_link_join(struct bus_link *link, const struct bus_owner *owner);
bool bus_link_connected(const struct bus_link *link);
uint64_t bus_link_ticket(struct bus_link *link); /* a new one, never 0 */

/* The stream takes no second message of the same id within two minutes: that counts as published, too. False: not
 * connected, the message is too long, or agentos-bus takes nothing now: nothing was sent, and no answer will come. */
bool bus_link_publish(struct bus_link *link, const char *subject, const char *id, const void *bytes,
                      size_t length, uint64_t ticket);
/* The subject is remembered over connections and restarts of agentos-bus. The last node that follows a subject gets
 * all of its messages that are not acknowledged, also messages that another node has in hand. */
void bus_link_follow(struct bus_link *link, const char *subject, bool follow);
void bus_link_took(struct bus_link *link, uint64_t token); /* acknowledged: the message never comes again */
void bus_link_later(struct bus_link *link, uint64_t token, int64_t ms); /* the message comes again after ms */

/* revision: the revision that the key must have; 0: the key must not be there; BUS_ANY_REVISION: any. False as for
 * bus_link_publish. */
bool bus_link_put(struct bus_link *link, const char *key, const char *value, uint64_t revision,
                  uint64_t ticket);
bool bus_link_delete(struct bus_link *link, const char *key, uint64_t revision, uint64_t ticket);

/* Adds the bus's fault, a line; nothing: it has none. */
void bus_link_problem(const struct bus_link *link, struct buffer *lines);
