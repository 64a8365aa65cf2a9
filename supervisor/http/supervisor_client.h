/* What the supervisor says of itself, asked for when somebody wants to know: at most once in SUPERVISOR_CLIENT_FRESH_MS, however
 * many want it, and waited for SUPERVISOR_CLIENT_WAIT_MS at most.
 *
 * This process can make no socket. It asks for each connection to the control server by one byte on its channel, and gets
 * it as a descriptor (supervisor/http_listener.h). */
#ifndef AGENTOS_SUPERVISOR_HTTP_SUPERVISOR_CLIENT_H
#define AGENTOS_SUPERVISOR_HTTP_SUPERVISOR_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct supervisor_client;

enum { SUPERVISOR_CLIENT_FRESH_MS = 1000, SUPERVISOR_CLIENT_WAIT_MS = 2000 };

enum supervisor_client_state {
    SUPERVISOR_CLIENT_KNOWN,
    SUPERVISOR_CLIENT_UNDER_WAY,
    SUPERVISOR_CLIENT_FAILED
};

/* channel is borrowed; epoll (borrowed) gets the connection's descriptor. settled: what was under way is not any more. */
struct supervisor_client *supervisor_client_new(int channel, int epoll, void (*settled)(void *context),
                                                void *context);
void supervisor_client_free(struct supervisor_client *client);

/* Begins to ask when what it knows is old. */
enum supervisor_client_state supervisor_client_look(struct supervisor_client *client, int64_t now);
const json_t *supervisor_client_metrics(
    const struct supervisor_client *client); /* borrowed until the next call; NULL: FAILED */
uint64_t supervisor_client_serial(const struct supervisor_client *client); /* another one for every answer */

/* False: it is the channel, and the supervisor is gone. */
bool supervisor_client_event(struct supervisor_client *client, int fd);
int64_t supervisor_client_deadline(const struct supervisor_client *client); /* clock_monotonic_ms; -1: none */
void supervisor_client_expire(struct supervisor_client *client, int64_t now);

#endif
