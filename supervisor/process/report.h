/* The channel of a program that the supervisor keeps running (child.h), from the program's side: its own messages,
 * and the supervisor's. */
#pragma once

#include <stdbool.h>

#include "common/message.h"
#include "supervisor/process/loop.h"

enum {
    REPORT_BEHIND = 16 * 1024 * 1024 /* bytes of messages that the supervisor hasn't read */
};

struct report_owner {
    /* A message of the supervisor's; false: the message may not be sent, and the process ends. */
    bool (*hear)(void *context, unsigned type, struct reader *reader);
    /* This process ends: the supervisor has ended, or wants it to, or sent a message that may not be sent; may be
     * NULL. */
    void (*ends)(void *context);
    /* true: REPORT_BEHIND is reached; false: all bytes have gone out; may be NULL. */
    void (*behind)(void *context, bool behind);
    void *context;
};

struct report;

/* NULL and errno. party: this program. */
struct report *report_open(struct loop *loop, int channel, enum party party,
                           const struct report_owner *owner);
/* Whether the supervisor has not read all messages yet: a process that ends now would take them along. */
bool report_pending(const struct report *report);
/* The fields are as the table of common/message.h has them. The messages of one turn of the loop are written together
 * at its end: an answer of the model is three messages, and each write would wake the supervisor. Killed before that,
 * the program has told nothing, as if it had been killed before it knew. */
void report_send(struct report *report, enum message_type type, ...);
/* Write now: a program that leaves its loop does so, lest the messages of its last turn are lost. */
void report_flush(struct report *report);
