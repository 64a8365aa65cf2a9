/* This worker's messages to the supervisor: gathered for a turn, and sent as one message. */
#include <stdarg.h>

#include "common/log.h"
#include "worker/cycle/worker.h"

enum { SAID_MAX = 1024 * 1024 };

void worker_say(struct worker *worker, enum message_type type, ...)
{
    va_list fields;
    va_start(fields, type);
    message_make_list(&worker->line.message, type, fields);
    va_end(fields);
    if (worker->line.said.length + worker->line.message.length > SAID_MAX)
        worker_send(worker);
    if (worker->line.said_count++ == 0)
        message_begin(&worker->line.said, MESSAGE_SEVERAL);
    message_bytes(&worker->line.said, worker->line.message.data, worker->line.message.length);
}

void worker_send(struct worker *worker)
{
    enum { ALONE = 8 /* the header of SEVERAL and the length: one message goes as it is */ };
    struct buffer *said = &worker->line.said;
    if (worker->line.said_count == 0)
        return;
    if (worker->line.said_count == 1)
        buffer_drop(said, ALONE);
    if (!worker->line.lost && !link_send(worker->line.link, said)) {
        log_warn("agent", worker->name,
                 "The supervisor is gone; this worker ends, its task stays in the queue.");
        worker->line.lost = true;
    }
    buffer_free(said);
    worker->line.said_count = 0;
}
