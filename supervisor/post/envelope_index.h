/* The post office's index: every envelope that lies unfinished in a tree or waits for a receiver. Pure; no files.
 *
 * A parcel is one file. The same id may lie in several places at once (a copy that a person made, a sender's file
 * whose verdict is under way): each is a parcel of its own, found by place and id. A parcel stands on one shelf: that
 * of the folder where it lies, or that of the receiver for whom it waits. */
#ifndef AGENTOS_SUPERVISOR_POST_ENVELOPE_INDEX_H
#define AGENTOS_SUPERVISOR_POST_ENVELOPE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/files.h"
#include "common/format/envelope.h"
#include "supervisor/store/expiry.h"
#include "supervisor/store/mailbox.h"

struct box; /* an agent's place in the post office */

struct shelf { /* zeroed at first */
    struct parcel *first;
    size_t count;
    size_t unfinished; /* of them: what a window counts */
};

struct parcel {
    struct box *box; /* in whose tree it lies */
    enum folder folder;
    struct box *to;  /* for whom it waits; NULL: it lies with its receiver */
    char *id, *from; /* owned */
    enum envelope_kind kind;
    enum priority priority;
    int64_t created, ttl_seconds;
    bool bad;              /* no envelope: it only counts for the depth */
    bool reading;          /* its receiver has begun with it: it expires no more */
    bool fresh;            /* waits, and its sender was told nothing yet */
    bool leaving;          /* it is being delivered in this turn */
    int64_t held_until_ms; /* clock_monotonic_ms: what was to be done with it failed */
    int64_t missing_at_ms; /* its file was not seen; 0: it was */
    uint64_t seen;         /* the pass of a look that saw it */
    struct file_stamp stamp;
    struct envelope *letter; /* of a fresh one: as it was read in this turn; owned; NULL: read it again */
    struct expiry_entry expiry;

    struct shelf *shelf;
    struct parcel *previous, *next; /* on the shelf */
    struct parcel *chain;           /* in the table */
};

struct parcels;

struct parcels *parcels_new(void);
void parcels_free(struct parcels *parcels); /* with every parcel */

/* A new one on the shelf, all else zero; id is copied. There must be none at this place. */
struct parcel *parcels_add(struct parcels *parcels, struct shelf *shelf, struct box *box, enum folder folder,
                           const char *id);
/* Clear its expiry first. */
void parcels_drop(struct parcels *parcels, struct parcel *parcel);
struct parcel *parcels_find(const struct parcels *parcels, const struct box *box, enum folder folder,
                            const char *id);
/* Any other parcel of this id that lies with a receiver; NULL: none. */
struct parcel *parcels_elsewhere(const struct parcels *parcels, const struct parcel *parcel);
size_t parcels_count(const struct parcels *parcels);

/* What the envelope says of itself; the shelf's numbers follow. */
void parcels_describe(struct parcel *parcel, const struct envelope *envelope);
/* The parcel's own copy of the whole envelope, taken over; NULL: none any more. */
void parcels_keep(struct parcel *parcel, struct envelope *letter);
void parcels_spoil(struct parcel *parcel); /* it is no envelope */

/* Which goes first: priority, then created, then id. */
bool parcels_before(const struct parcel *a, const struct parcel *b);

#endif
