/* What the supervisor says of itself, asked for when somebody wants to know: at most once in INQUIRY_FRESH_MS, however
 * many want it, and waited for INQUIRY_WAIT_MS at most.
 *
 * This process can make no socket. It asks for each connection to the control server by one byte on its channel, and gets
 * it as a descriptor (supervisor/http_listener.h). */
#ifndef AGENTOS_SUPERVISOR_HTTP_SUPERVISOR_CLIENT_H
#define AGENTOS_SUPERVISOR_HTTP_SUPERVISOR_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct inquiry;

enum { INQUIRY_FRESH_MS = 1000, INQUIRY_WAIT_MS = 2000 };

enum inquiry_state { INQUIRY_KNOWN, INQUIRY_UNDER_WAY, INQUIRY_FAILED };

/* channel is borrowed; epoll (borrowed) gets the connection's descriptor. settled: what was under way is not any more. */
struct inquiry *inquiry_new(int channel, int epoll, void (*settled)(void *context), void *context);
void inquiry_free(struct inquiry *inquiry);

/* Begins to ask when what it knows is old. */
enum inquiry_state inquiry_look(struct inquiry *inquiry, int64_t now);
const json_t *inquiry_metrics(const struct inquiry *inquiry); /* borrowed until the next call; NULL: FAILED */
uint64_t inquiry_serial(const struct inquiry *inquiry);       /* another one for every answer */

/* False: it is the channel, and the supervisor is gone. */
bool inquiry_event(struct inquiry *inquiry, int fd);
int64_t inquiry_deadline(const struct inquiry *inquiry); /* clock_monotonic_ms; -1: none */
void inquiry_expire(struct inquiry *inquiry, int64_t now);

#endif
