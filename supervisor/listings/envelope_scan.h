/* Every envelope of a data directory, read from its file: in the agents' iac/, in shared/outbox and shared/queues.
 *
 * The folders are read in the order of an envelope's life over all agents, so that an envelope which moves on
 * meanwhile is met twice rather than never. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/format/envelope.h"

enum place {
    PLACE_OPERATOR, /* shared/outbox: people's envelopes that nobody has room for yet */
    PLACE_OUTBOX,
    PLACE_QUEUE, /* shared/queues/NAME */
    PLACE_INBOX,
    PLACE_HANDOFFS,
    PLACE_ARCHIVE,
    PLACE_DEAD_LETTERS,
    PLACE_COUNT
};

/* A file of an envelope. */
struct copy {
    char *path;  /* below DATA_DIR; owned */
    char *owner; /* the agent, "operator", or the queue's name; owned */
    enum place place;
    char *fault;              /* owned; NULL: the envelope below is sound; else why the file is no envelope */
    bool set_aside;           /* by a worker that could not read it */
    bool pruned;              /* the file has left its agent's work tree: git has it */
    struct envelope envelope; /* owned; body NULL when the scan was asked to leave bodies out */
};

struct envelope_scan {
    struct copy *
        copies; /* in the order of places, owners, names; after envelope_scan_group by id, the best copy first */
    size_t count;
    int64_t since_ns;             /* older files are passed over; 0: none */
    void (*looked)(size_t files); /* called for each file that is read; NULL: nobody is told */
    struct envelope_times *times; /* envelope_scan_times' own */
};

/* The times of the files' last writing, the newest first (ns): an envelope's file is no older than the envelope. The
 * caller frees. */
int64_t *envelope_scan_times(const char *data_dir, size_t *count);
/* For qsort: such times, the latest first. */
int envelope_scan_newest_first(const void *left, const void *right);
/* As envelope_scan_take, but only for files that were written since then. */
void envelope_scan_since(struct envelope_scan *scan, const char *data_dir, int64_t since_ns,
                         void (*looked)(size_t files));

/* A missing folder holds nothing; an unreadable folder is a copy with a fault. */
void envelope_scan_take(struct envelope_scan *scan, const char *data_dir, bool bodies);
void envelope_scan_free(struct envelope_scan *scan);

/* Adds an empty copy. Valid until the next one. */
struct copy *envelope_scan_add(struct envelope_scan *scan, enum place place, const char *owner,
                               const char *path);
void envelope_scan_drop(struct envelope_scan *scan); /* the copy that was added last */
/* Adds a copy for each agent whose archive had the envelope until it left the work tree; nothing is read yet. */
void envelope_scan_find_pruned(struct envelope_scan *scan, const char *data_dir, const char *id);

/* Brings the copies of one envelope together, the copy that knows most in front: the receiver's, else the sender's.
 * Copies with a fault come last. */
void envelope_scan_group(struct envelope_scan *scan);
/* The number of copies, from `first` on, of the same envelope. */
size_t envelope_scan_same(const struct envelope_scan *scan, size_t first);

const char *place_folder(enum place place);         /* "iac/inbox" */
const char *copy_receiver(const struct copy *copy); /* an item's is its consumer; "" nobody yet */
/* The text of the file with this name becomes the copy's envelope, or its fault. */
void copy_read(struct copy *copy, const char *text, size_t length, const char *file, bool bodies);
bool copy_is_live(const struct copy *copy); /* with the envelope's receiver, and unfinished there */

/* The copy lies in its sender's archive, and has the envelope's end only as far as that was known then. */
bool copy_is_senders(const struct copy *copy);

/* The part of its envelope's end that a copy lacks; 0: nothing is missing. */
int copy_ignorance(const struct copy *copy);

/* The front matter's keys, body and path. New reference. */
json_t *copy_json(const struct copy *copy);
