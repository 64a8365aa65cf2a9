/* Calls: this process's questions to the supervisor or to a reader of files, each over a connection of its own
 * (common/control.h).
 *
 * The HTTP process can make no socket. A byte on its channel asks the supervisor for a connection, which comes back
 * as a descriptor with the same byte, or as the byte alone when there can be none now (supervisor/http_listener.h). A
 * connection that comes after its call was given up serves the next call of its kind. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "supervisor/process/loop.h"

struct calls;
struct call;

enum call_kind { CALL_CONTROL, CALL_READER, CALL_KINDS };

/* The answer: an object that has "exit", borrowed; NULL: none came, or it could not be read. The call is over and
 * freed after this, but for a call that follows (call_follow), which is told of each object until one is NULL. */
typedef void call_told(void *context, const json_t *answer);

/* channel and loop are borrowed. ended: the supervisor is gone. NULL and errno. */
struct calls *calls_new(int channel, struct loop *loop, void (*ended)(void *context), void *context);
void calls_free(struct calls *calls); /* calls under way are dropped */

/* request: an object of common/control.h, taken. NULL: the supervisor takes no questions now; told is not called. */
struct call *call_begin(struct calls *calls, enum call_kind kind, json_t *request, int64_t within_ms,
                        call_told *told, void *context);
/* As call_begin, for events: every object is told, and the call lives until its connection ends. */
struct call *call_follow(struct calls *calls, json_t *request, call_told *told, void *context);
/* Nobody wants the answer any more; told is not called. NULL is fine. */
void call_drop(struct call *call);
