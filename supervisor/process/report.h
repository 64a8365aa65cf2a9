/* The channel of a program that the supervisor keeps running (child.h), from its side: what it has to say, and what the
 * supervisor asks. */
#pragma once

#include <stdbool.h>

#include "common/message.h"
#include "supervisor/process/loop.h"

enum {
    REPORT_BEHIND = 16 * 1024 * 1024 /* bytes that the supervisor hasn't read */
};

struct report_owner {
    /* A message of the supervisor's; false: it is none that may be sent, and the process ends. */
    bool (*hear)(void *context, unsigned type, struct reader *reader);
    void (*ends)(void *context); /* the supervisor has ended, or wants this process to; may be NULL */
    void (*behind)(void *context,
                   bool behind); /* REPORT_BEHIND is reached; all of it has gone out; may be NULL */
    void *context;
};

struct report;

/* NULL and errno. party: this program. */
struct report *report_open(struct loop *loop, int channel, enum party party,
                           const struct report_owner *owner);
/* Fields after the table of common/message.h. */
void report_send(struct report *report, enum message_type type, ...);
