/* The post office's index: every envelope that lies unfinished in a tree or waits for a receiver. Pure; no files.
 *
 * An entry is one file. The same id may lie in several places at once (a copy that a person made, a sender's file
 * whose verdict is under way): each has an entry of its own, found by place and id. An entry stands on one shelf: that
 * of the folder where it lies, or that of the receiver for whom it waits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/files.h"
#include "common/format/envelope.h"
#include "supervisor/store/expiry.h"
#include "supervisor/store/mailbox.h"

struct box; /* an agent's place in the post office */

/* How far an envelope that waits has come; from WAY_LEAVES on it is not among those that wait for room. */
enum way {
    WAY_WAITS,
    WAY_TRIED,   /* waits; it was sent to the receiver's node, which may have it */
    WAY_LEAVES,  /* it is being delivered in this turn */
    WAY_TRAVELS, /* it was sent to the receiver's node, which has not answered */
    WAY_ANSWERED /* that node has said how it ended; its file in the outbox is still there */
};

struct shelf { /* zeroed at first */
    struct index_entry *first;
    size_t count;
    size_t unfinished; /* of them: what a window counts */
};

struct index_entry {
    struct box *box; /* in whose tree it lies */
    enum folder folder;
    struct box *to;  /* for whom it waits; NULL: it lies with its receiver */
    char *id, *from; /* owned */
    char *trace;     /* owned; it and hops as they were known first; NULL: not yet */
    int64_t hops;
    enum envelope_kind kind;
    enum priority priority;
    int64_t created, ttl_seconds;
    bool bad;     /* no envelope: it only counts for the depth */
    bool reading; /* its receiver has begun with it: it expires no more */
    bool fresh;   /* waits, and its sender was told nothing yet */
    enum way way;
    int64_t held_until_ms; /* clock_monotonic_ms: what was to be done with it failed */
    int64_t missing_at_ms; /* its file was not seen; 0: it was */
    uint64_t seen;         /* the pass of a look that saw it */
    struct file_stamp stamp;
    struct envelope *envelope; /* of a fresh one: as it was read in this turn; owned; NULL: read it again */
    struct timer expiry;

    struct shelf *shelf;
    struct index_entry *previous, *next; /* on the shelf */
    struct index_entry *chain;           /* in the table */
};

struct envelope_index;

struct envelope_index *envelope_index_new(void);
void envelope_index_free(struct envelope_index *index); /* with every entry */

/* A new one on the shelf, all else zero; id is copied. There must be none at this place. */
struct index_entry *envelope_index_add(struct envelope_index *index, struct shelf *shelf, struct box *box,
                                       enum folder folder, const char *id);
/* Clear its expiry first. */
void envelope_index_drop(struct envelope_index *index, struct index_entry *entry);
struct index_entry *envelope_index_find(const struct envelope_index *index, const struct box *box,
                                        enum folder folder, const char *id);
/* Any other entry of this id that lies with a receiver; NULL: none. */
struct index_entry *envelope_index_elsewhere(const struct envelope_index *index,
                                             const struct index_entry *entry);

/* What the envelope says of itself; the shelf's numbers follow. */
void envelope_index_describe(struct index_entry *entry, const struct envelope *envelope);
/* The entry's own copy of the whole envelope, taken over; NULL: none any more. */
void envelope_index_keep(struct index_entry *entry, struct envelope *letter);
void envelope_index_spoil(struct index_entry *entry); /* it is no envelope */

/* Which goes first: priority, then created, then id. */
bool envelope_index_before(const struct index_entry *a, const struct index_entry *b);
