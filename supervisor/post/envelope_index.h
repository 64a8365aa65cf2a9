/* The post office's index: every envelope that lies unfinished in a tree or waits for a receiver. Pure; no files.
 *
 * An entry is one file. The same id may lie in several places at once (a copy that a person made, a sender's file
 * whose verdict is under way): each file has an entry of its own, found by place and id. An entry stands on one
 * shelf: the folder's, where the file lies, or the receiver's for whom the envelope waits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/files.h"
#include "common/format/envelope.h"
#include "supervisor/store/expiry.h"
#include "supervisor/store/mailbox.h"

struct box; /* an agent's place in the post office */

/* The stages of a waiting envelope; from WAY_LEAVES on the envelope is not among those that wait for room. */
enum way {
    WAY_WAITS,
    WAY_TRIED,   /* waits; it was sent to the receiver's node, which may have it */
    WAY_LEAVES,  /* the envelope is being delivered in this turn */
    WAY_TRAVELS, /* the envelope was sent to the receiver's node, which has not answered */
    WAY_ANSWERED /* that node has said how the envelope ended; its file in the outbox is still there */
};

struct shelf { /* zeroed at first */
    struct index_entry *first;
    size_t count;
    size_t unfinished; /* unfinished work on the shelf: a window counts it */
};

struct index_entry {
    struct box *box; /* the box in whose tree the file lies */
    enum folder folder;
    struct box *to;  /* the box for which the envelope waits; NULL: it lies with its receiver */
    char *id, *from; /* owned */
    char *trace;     /* owned; the trace and hops as they were known first; NULL: not yet */
    int64_t hops;
    enum envelope_kind kind;
    enum priority priority;
    int64_t created, ttl_seconds;
    bool bad;     /* no envelope: the file only counts for the depth */
    bool reading; /* the receiver has begun with the envelope, which expires no more */
    bool fresh;   /* the envelope waits, and its sender was told nothing yet */
    bool named;   /* the envelope named another ahead of it, when it was sent last */
    enum way way;
    int64_t held_until_ms; /* clock_monotonic_ms: the last step failed, and is tried again then */
    struct {
        uint64_t pass;         /* of the last look that saw the file */
        int64_t missing_at_ms; /* since when the file is missing; 0: it was seen */
    } seen;
    struct file_stamp stamp;
    /* Of a fresh entry: as the file was read in this turn; owned; NULL: read it again. */
    struct envelope *envelope;
    struct timer expiry;

    struct shelf *shelf;
    struct index_entry *previous, *next; /* on the shelf */
    struct index_entry *chain;           /* in the table */
};

struct envelope_index;

struct envelope_index *envelope_index_new(void);
void envelope_index_free(struct envelope_index *index); /* with every entry */

/* Adds an entry on the shelf, all other fields zero; id is copied. There must be none at this place. */
struct index_entry *envelope_index_add(struct envelope_index *index, struct shelf *shelf, struct box *box,
                                       enum folder folder, const char *id);
/* Clear the entry's expiry first. */
void envelope_index_drop(struct envelope_index *index, struct index_entry *entry);
struct index_entry *envelope_index_find(const struct envelope_index *index, const struct box *box,
                                        enum folder folder, const char *id);
/* Any other entry of this id that lies with a receiver; NULL: none. */
struct index_entry *envelope_index_elsewhere(const struct envelope_index *index,
                                             const struct index_entry *entry);

/* Sets the entry's fields from the envelope; the shelf's numbers follow. */
void envelope_index_describe(struct index_entry *entry, const struct envelope *envelope);
/* Sets the entry's own copy of the whole envelope, taken over; NULL: none any more. */
void envelope_index_keep(struct index_entry *entry, struct envelope *letter);
void envelope_index_spoil(struct index_entry *entry); /* the file is no envelope */

/* Whether a goes before b: by priority, then created, then id. */
bool envelope_index_before(const struct index_entry *a, const struct index_entry *b);
