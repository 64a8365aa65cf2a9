/* Every envelope of a data directory, read where it lies: in the agents' iac/, in shared/outbox and shared/queues.
 *
 * The folders are read in the order of an envelope's life over all agents, so that one which moves on meanwhile is
 * met twice rather than never. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/format/envelope.h"

enum place {
    PLACE_OPERATOR, /* shared/outbox: what people send and nobody has room for yet */
    PLACE_OUTBOX,
    PLACE_QUEUE, /* shared/queues/NAME */
    PLACE_INBOX,
    PLACE_HANDOFFS,
    PLACE_ARCHIVE,
    PLACE_DEAD_LETTERS,
    PLACE_COUNT
};

/* One file. */
struct copy {
    char *path;  /* below DATA_DIR; owned */
    char *owner; /* the agent, "operator", or the queue's name; owned */
    enum place place;
    char *fault;              /* owned; NULL: the envelope below is one; else why it is none */
    bool set_aside;           /* by a worker that could make nothing of it */
    bool pruned;              /* the file has left its agent's work tree: git has it */
    struct envelope envelope; /* owned; body NULL when the scan was asked to leave them out */
};

struct envelope_scan {
    struct copy *
        copies; /* in the order of places, owners, names; after envelope_scan_group by id, the best copy first */
    size_t count;
    int64_t since_ns;             /* files that were written before are passed over; 0: none */
    void (*looked)(size_t files); /* told of each file that is read; NULL: nobody is */
    struct envelope_times *times; /* envelope_scan_times' own */
};

/* When the files were written last, the newest first (ns): an envelope's file is no older than the envelope. The caller
 * frees. */
int64_t *envelope_scan_times(const char *data_dir, size_t *count);
/* For qsort: such times, the latest first. */
int envelope_scan_newest_first(const void *left, const void *right);
/* As envelope_scan_take, but only of files that were written since then. */
void envelope_scan_since(struct envelope_scan *scan, const char *data_dir, int64_t since_ns,
                         void (*looked)(size_t files));

/* Folders that are not there hold nothing; one that cannot be read is a copy with a fault. */
void envelope_scan_take(struct envelope_scan *scan, const char *data_dir, bool bodies);
void envelope_scan_free(struct envelope_scan *scan);

/* Adds a copy of which nothing is known yet. Valid until the next one. */
struct copy *envelope_scan_add(struct envelope_scan *scan, enum place place, const char *owner,
                               const char *path);
void envelope_scan_drop(struct envelope_scan *scan); /* the copy that was added last */
/* Adds a copy for each agent whose archive had the envelope until it left the work tree; nothing is read yet. */
void envelope_scan_find_pruned(struct envelope_scan *scan, const char *data_dir, const char *id);

/* Brings the copies of one envelope together, the one that knows most in front: the receiver's, else the sender's.
 * Those with a fault come last. */
void envelope_scan_group(struct envelope_scan *scan);
/* The number of copies, from `first` on, that are the same envelope's. */
size_t envelope_scan_same(const struct envelope_scan *scan, size_t first);

const char *place_folder(enum place place);         /* "iac/inbox" */
const char *copy_receiver(const struct copy *copy); /* an item's is its consumer; "" nobody yet */
/* What the file of this name holds becomes the copy's envelope, or its fault. */
void copy_read(struct copy *copy, const char *text, size_t length, const char *file, bool bodies);
bool copy_is_live(const struct copy *copy); /* with its receiver, and unfinished there */

/* In the archive of whoever sent it, which says only what became of it, as far as that was known then. */
bool copy_is_senders(const struct copy *copy);

/* How little a copy knows of its envelope's end; 0: nothing is missing. */
int copy_ignorance(const struct copy *copy);

/* The front matter's keys, body and path. New reference. */
json_t *copy_json(const struct copy *copy);
