/* Reads: clients' questions about files and repositories, each answered by an agentos-reader of its own
 * (common/control.h). Few are under way at once, and the others wait for them. The other nodes are asked about
 * envelopes and queues too, by way of the supervisor. A read that several clients ask for is made once, and its
 * answer serves for READ_FRESH_MS. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "supervisor/http/calls.h"
#include "supervisor/http/document.h"

enum {
    READS_MAX = 32, /* reads that wait, are under way, or are still fresh */
    READS_AT_ONCE = 2,
    READ_FRESH_MS = 1000,
    READ_WAIT_MS =
        35 * 1000, /* for a read under way; its reader has less (supervisor/process/file_readers.h) */
};

enum read_state { READ_QUEUED, READ_UNDER_WAY, READ_SETTLED };

struct read {
    struct reads *reads;
    char *key; /* the request's text, owned */
    json_t *request;
    enum read_state state;
    struct call *call;
    struct {
        struct call *call;
        json_t *told;            /* NULL: none came, or nobody was asked */
    } far;                       /* the answer of the other nodes */
    json_t *answer;              /* NULL: none came; or the document is made */
    struct ready_document ready; /* made of the answer for the first client that gets it */
    size_t users;
    bool outdated;      /* serves only the clients that have asked already */
    struct timer timer; /* set while it is settled and fresh */
    TAILQ_ENTRY(read) link;
};

struct reads { /* reads_begin */
    struct calls *calls;
    struct loop *loop;
    void (*settled)(void *context); /* a read is settled */
    void *context;
    size_t count, under_way;
    TAILQ_HEAD(, read) all; /* in the order in which they were asked for */
};

void reads_begin(struct reads *reads, struct calls *calls, struct loop *loop, void (*settled)(void *context),
                 void *context);
/* The read with this request, taken: an object that has "read". The caller gives it back with read_drop. NULL: there are
 * too many. */
struct read *reads_ask(struct reads *reads, json_t *request);
void read_drop(struct read *read); /* NULL is fine */
/* An order was carried out: a client that asks from now on gets the state after it. */
void reads_outdate(struct reads *reads);
