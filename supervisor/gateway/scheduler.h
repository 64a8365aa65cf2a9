/* Every question that is asked of a model: whose turn it is, whom to ask, when to ask again, how it ended.
 *
 * Each ASK gets exactly one ANSWER, unless it is forgotten. Agents take turns, and one agent's questions are asked in
 * order, so nobody holds up the others. A question that waits (for a retry, or because its provider limits everybody)
 * takes no place among those under way. */
#ifndef AGENTOS_SUPERVISOR_GATEWAY_SCHEDULER_H
#define AGENTOS_SUPERVISOR_GATEWAY_SCHEDULER_H

#include <stdint.h>

#include "common/buffer.h"
#include "supervisor/gateway/client.h"
#include "supervisor/gateway/keys.h"

enum { DESK_PER_AGENT_MAX = 16 /* questions of one agent at once; more are answered PASSING */ };

struct desk_setup {
    const struct keys *keys;
    unsigned concurrency;                                      /* requests under way at once; at least 1 */
    void (*send)(void *context, const struct buffer *message); /* an ANSWER or a WAITING */
    void *context;
};

struct desk;
struct desk *desk_open(const struct desk_setup *setup);
void desk_close(struct desk *desk); /* nothing is sent any more */
void desk_attach(struct desk *desk, struct client *client);

/* Texts are taken. */
void desk_ask(struct desk *desk, uint64_t serial, char *agent, char *system, char *task);
void desk_forget(struct desk *desk, uint64_t serial, const char *agent);

/* A transfer's end; context is the client's. */
void desk_done(void *context, const struct client_result *result);

int64_t desk_deadline(const struct desk *desk); /* monotonic ms when desk_expire is due; -1: none */
void desk_expire(struct desk *desk, int64_t now);

#endif
