/* The queue file: blocks are taken out of queue.md while people append to and edit it (contract section 5).
 *
 * Reading: under a read lease (F_SETLEASE), which the kernel refuses while a process has the file open for writing, so
 * no half-written block is taken for a whole one. Where leases don't work, or a writer keeps the file open, a file that
 * has been quiet for a second counts as whole, and before that all blocks but the last count.
 *
 * Taking out, with a write lease (no other process has the file open, and a process that opens it waits these
 * microseconds): the last block is cut off by ftruncate; a block within one page is blanked by one pwrite. Both are
 * atomic against a kill and leave every other byte alone. Otherwise the rest is written to a new file, fsynced, and
 * exchanged with queue.md (RENAME_EXCHANGE); the file that came out is kept under .agentos/ until no process has it
 * open for writing, and blocks that were written to it in the meantime are merged (a three-way merge of blocks:
 * snapshot, rest, theirs). At the start, files that lie there are merged first. exchange.c argues the crash.
 *
 * The process needs fcntl(F_SETLEASE, F_GETLEASE), pread64, pwrite64, ftruncate, fsync, renameat2, unlinkat and
 * getdents64 on its tree. The process ignores SIGIO from queue_open on (files_leases_silent). No function here waits
 * longer than the disk does. */
#pragma once

#include "common/format/block.h"

struct queue;

/* tree: descriptor of the agent's folder; borrowed. Merges files that a crash left aside. NULL and fault: they can't be
 * read now; all files lie as they did. */
struct queue *queue_open(int tree, struct fault *fault);
void queue_close(struct queue *queue);

/* Look at the file: cheap (one fstatat) when nothing has changed. No file at all is an empty queue. False and fault:
 * the file can't be read now (no regular file, over QUEUE_FILE_MAX, UTF-16, no permission; the blocks known before are
 * forgotten); the file stays as it is. *retry_ms (may be NULL) gets 0, or the milliseconds after which to look again
 * though no notice comes: a writer keeps a block back, or may still write to a file that came out of an exchange. */
bool queue_look(struct queue *queue, int64_t *retry_ms, struct fault *fault);

/* The blocks as of the last look, in the file's order; borrowed until the next look, take or tidy. The last one may be
 * half-written still (queue_next doesn't give it then). */
const struct block_list *queue_blocks(const struct queue *queue);
/* The lines of the file that look like a block and are none (block_hints), as of the last look. False: a process is
 * writing, so these lines can't be told now. */
bool queue_hints(struct queue *queue, struct buffer *out);
/* The next block to do: by priority, then as they stand; without blocks that have a problem. skip(context, block) true:
 * not this one. NULL: none. */
const struct block *queue_next(const struct queue *queue, bool (*skip)(void *, const struct block *),
                               void *context);
/* Blocks without problem. */
size_t queue_depth(const struct queue *queue);
/* When a block was first seen (for its TTL, when it has no `created`), kept over restarts in .agentos/seen. */
int64_t queue_first_seen(struct queue *queue, const struct block *block);
/* Who may know of an earlier sight of a block that is new here: epoch seconds, 0: nobody. It is asked once for each such
 * block, before the block counts from now. */
void queue_ask_sight(struct queue *queue, int64_t (*earlier)(void *context, const struct block *block),
                     void *context);

/* Take one block of this id and hash out of the file (the first, if there are several), whatever else happens to the
 * file at this moment; a block that is gone already is fine too. False and fault: the block is still there (disk full,
 * read-only); the file is whole. For blocks that queue_next or a look with no block held back has shown. After a power
 * cut a block may be there again: taking isn't flushed, the ledger knows the finished tasks. */
bool queue_take(struct queue *queue, const char *id, uint64_t hash, struct fault *fault);

/* For idle moments: drop the blank space that blocks left, finish what waits for a writer. True: something was done. */
bool queue_tidy(struct queue *queue);
