/* The declarations that the files of the queue share; no other file includes this header. From the ground up: mark.c
 * knows blocks by their identity, lease.c asks the kernel, base.c keeps the base of a file that came out, first_seen.c
 * remembers when blocks were seen first, late_saves.c sees to it that blocks that a merge brought home stay there,
 * file.c owns the snapshot, exchange.c replaces the file, merge.c brings home the blocks that were written to a file
 * that came out, tidy.c takes out blank space, take.c takes blocks out, queue.c is the cycle's view. */
#pragma once

#include "common/buffer.h"
#include "common/files.h"
#include "worker/queue/queue.h"

enum {
    QUEUE_QUIET_MS = 1000, /* so long unchanged, a file counts as whole although somebody may have it open */
    QUEUE_GRACE_MS = 2000, /* so long a file that came out is kept at least */
    QUEUE_BROUGHT_MS = 10000, /* so long blocks that were brought home from the file are watched */
    QUEUE_NAME = 64,
    QUEUE_PAGE = 4096, /* bytes that the kernel copies in one go, whatever kills the process */
    QUEUE_TRIES = 64,  /* to meet the file in one state, before the fault says that it never rests */
};

/* Whether somebody has a file open for writing (or at all, for a write lease). */
enum lease { LEASE_GRANTED, LEASE_REFUSED /* somebody has */, LEASE_UNKNOWN /* leases don't work here */ };

/* A block's identity: two hashes. A sorted set of them is what a merge compares. */
struct mark {
    uint64_t id, hash;
};
struct marks {
    struct mark *items; /* sorted, without duplicates */
    size_t count;
};

/* A file that was exchanged out of queue.md and lies in the notes until nobody writes to it. */
struct leftover {
    char name[QUEUE_NAME];
    struct marks base;       /* the blocks in it that queue.md has, had, or must not get back */
    struct marks brought;    /* the blocks that a merge put there, still watched */
    struct marks again;      /* the blocks that were put there for the second time, which is the last */
    uint64_t preamble;       /* hash of the preamble that queue.md took over from it */
    struct file_stamp stamp; /* as of the last look that found nothing or merged */
    int64_t since_ms;        /* monotonic, when it came out or was met */
    int64_t quiet_ms;        /* monotonic, the time of the stamp's last change */
    int64_t brought_ms;      /* monotonic, when something was brought last */
    bool based;              /* false: the base was lost in a crash; a missing block proves nothing */
    bool merged;             /* all that stamp stands for is in queue.md */
    bool warned;             /* that it can't be merged */
};

struct seen {
    uint64_t id, hash;
    int64_t time; /* epoch seconds */
};

struct queue {
    int tree;  /* borrowed */
    int notes; /* owned: .agentos/ */

    /* The snapshot: queue.md as of the last look or take. */
    char *text; /* owned */
    size_t length;
    struct file_stamp stamp; /* all zero: no file, or nothing known */
    bool known;              /* text, stamp and blocks are the file's */
    bool whole;              /* no process was writing: the last block is complete */
    enum lease lease;        /* the answer of the last look */
    int64_t quiet_ms;        /* monotonic, the time of the stamp's last change */
    struct block_list blocks;

    struct leftover *leftovers;
    size_t leftover_count;
    unsigned next_number; /* for the names of files that come out */
    /* monotonic, the time since which merges found no queue.md; 0: the file was there */
    int64_t missing_ms;
    bool settling; /* a merge is under way: its own looks don't start another */

    struct mark *owed; /* takes that met a half-written last block: done when it is whole */
    size_t owed_count;

    struct seen *seen;
    size_t seen_count, seen_lines;                                /* entries known; lines in the file */
    int64_t (*earlier)(void *context, const struct block *block); /* NULL: nobody knows of earlier sights */
    void *earlier_context;
};

struct span;

/* mark.c */
uint64_t queue_hash(const char *bytes, size_t length);
void queue_end_line(struct buffer *out); /* a newline, unless it ends in one */
struct mark queue_mark(const struct block *block);
struct marks queue_marks(const struct block_list *list, size_t count);
bool queue_marks_have(const struct marks *marks, struct mark mark);
bool queue_marks_have_id(const struct marks *marks, uint64_t id);
void queue_marks_sort(struct marks *marks); /* and without duplicates */
uint64_t queue_preamble_hash(const char *text, size_t preamble);
size_t queue_text_end(const char *text, size_t start, size_t end); /* behind the last byte that is no blank */
size_t queue_find(const struct queue *queue, struct mark mark);    /* index or SIZE_MAX */
/* Where a stray starts depends on the block above it: behind another block the stray may be a part of that block's task.
 * text: a block, and from `at` on a stray behind it. */
bool queue_stray_stands(const char *text, size_t length, size_t at);
/* The same for the end of `rest`, from the block at `above` on. True: the stray doesn't stand there, and is in front of
 * all blocks now, at `front`, where it belongs to no task. */
bool queue_stray_moved(struct buffer *rest, size_t front, size_t above, size_t at);
/* The number of blocks that count: without a last block that may be half-written. */
size_t queue_complete(const struct queue *queue);
void queue_retry(int64_t *retry_ms, int64_t after_ms); /* the sooner of both */

/* base.c */
bool queue_base_write(struct queue *queue, const struct leftover *leftover, uint64_t rest_inode,
                      struct fault *fault);
/* 0: there is no base, or a damaged one. -1 and fault: the base can't be read now. */
int queue_base_read(struct queue *queue, struct leftover *leftover, uint64_t *rest_inode,
                    struct fault *fault);

/* file.c */
bool queue_refresh(struct queue *queue, struct fault *fault); /* look without merging */
void queue_forget(struct queue *queue);                       /* the next look reads */
/* The snapshot is this text now. spans: the places of the blocks known before, other blocks gone; NULL: read the
 * text. */
void queue_adopt(struct queue *queue, char *text, size_t length, const struct file_stamp *stamp,
                 const struct span *spans); /* owns text */

/* lease.c */
enum lease queue_lease(int fd, int type); /* F_RDLCK or F_WRLCK; until fd is closed */

/* take.c */
bool queue_take_mark(struct queue *queue, struct mark mark, struct fault *fault);

/* tidy.c: the first `copied` blocks but one (skip), without the blank space that blocks left, added to rest. Returns
 * each block's place (start 0 and end 0: the block isn't there); the caller frees. NULL: the order isn't the same, for a
 * stray moved to the front. In a large file small blocks keep clear of page ends, so that the next takes are each one
 * pwrite. */
struct span {
    size_t start, end;
    unsigned line;
};
struct span *queue_compact(const struct queue *queue, size_t skip, size_t copied, struct buffer *rest);

/* exchange.c: put `rest` in queue.md's place. rest has the snapshot's first base_count blocks; spans (may be NULL) says
 * where they are in it. */
enum replaced { REPLACED, REPLACE_AGAIN /* the file is gone: look again */, REPLACE_FAULT };
enum replaced queue_replace(struct queue *queue, struct buffer *rest, size_t base_count,
                            const struct span *spans, struct fault *fault);
/* The same where there is no queue.md, once it has been missing for a while: an editor that saves may be about to make
 * it. Until then REPLACE_FAULT. */
enum replaced queue_create(struct queue *queue, struct buffer *rest, struct fault *fault);

/* merge.c */
/* false: a leftover may lie there unseen */
bool queue_leftovers_load(struct queue *queue, struct fault *fault);
void queue_leftovers_free(struct queue *queue);
/* One pass over the files that came out; *retry_ms as for queue_look. True: a file was merged or removed. A file that
 * can't be merged now stays, with a warning in the log. */
bool queue_settle(struct queue *queue, int64_t *retry_ms);

/* late_saves.c: see there. titles: marks of `now` that are no blocks in queue.md. */
void queue_brought_note(struct leftover *leftover, const struct marks *old, const struct marks *now,
                        const struct marks *titles);
void queue_brought_taken(struct queue *queue, struct mark mark);
bool queue_brought_over(const struct leftover *leftover, int64_t now_ms);
/* True: something that was brought home is gone again, and is to be merged once more. */
bool queue_brought_lost(struct queue *queue);

/* first_seen.c */
bool queue_seen_load(struct queue *queue, struct fault *fault);
void queue_seen_note(struct queue *queue); /* every block that will need it */
void queue_seen_drop(struct queue *queue, struct mark mark);
void queue_seen_tidy(struct queue *queue);
