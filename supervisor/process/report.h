/* The channel to the supervisor: what the bus has to say, and what the supervisor asks. */
#ifndef AGENTOS_SUPERVISOR_PROCESS_REPORT_H
#define AGENTOS_SUPERVISOR_PROCESS_REPORT_H

#include <stdbool.h>

#include "common/message.h"
#include "supervisor/process/loop.h"

enum {
    REPORT_BEHIND = 16 * 1024 * 1024 /* bytes that the supervisor hasn't read: then the bus takes no more */
};

struct report_owner {
    /* A message of the supervisor's; false: it is none that may be sent, and the process ends. */
    bool (*hear)(void *context, unsigned type, struct reader *reader);
    void (*ends)(void *context);                /* the supervisor has ended, or wants this process to */
    void (*behind)(void *context, bool behind); /* REPORT_BEHIND is reached; all of it has gone out */
    void *context;
};

struct report;

struct report *report_open(struct loop *loop, int channel,
                           const struct report_owner *owner); /* NULL and errno */
/* Fields after the table of common/message.h. */
void report_send(struct report *report, enum message_type type, ...);

#endif
