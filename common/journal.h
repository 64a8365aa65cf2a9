/* The write-ahead journal of one agent's repository: .agentos/journal.
 *
 * One record is one commit: its git objects, the ref, and what changes in the work tree. The record is written and
 * fdatasynced once, before any part of the commit can be seen; that flush makes the cycle durable. Ref, work tree and
 * index follow without a flush of their own. A checkpoint (syncfs, then a new generation in the header) is made outside
 * the cycle. A torn record (its sum is wrong) ends the journal: that commit never happened.
 *
 * The cause of the process's death decides which records the next start redoes:
 * - The process was killed, the machine went on (same boot id): written records are there, flushed or not. Only the
 *   last record can be half done; journal_done marks a record that was brought to its end.
 * - The machine went down: only flushed records are certain. Every record since the checkpoint is given again.
 *
 * The region is overwritten, not truncated, after a checkpoint: flushing an overwrite takes half of the time that
 * flushing an append takes, because the file system has nothing to note down. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/fault.h"

struct journal;

/* One word of state for the whole process: the id of the machine's present boot (/proc/sys/kernel/random/boot_id), at
 * most 36 characters are kept. Told once before the sandbox closes /proc. Without an id, or with "", every open counts
 * as an open after a power cut, which is slower but always right. */
void journal_boot_is(const char *id);
void journal_learn_boot(void); /* the same, read from there */

/* tree: the agent's tree; .agentos must be there. One process at a time: waits up to 2 s for a former one to end.
 * NULL and fault. A damaged journal is set aside (.agentos/journal.damaged-TIME), told by *damage (caller frees),
 * and a new one begins. */
struct journal *journal_open(int tree, char **damage, struct fault *fault);
void journal_close(struct journal *journal);

/* True: the machine went down since the journal was last written, or nobody knows. */
bool journal_power_was_cut(const struct journal *journal);

/* Calls redo, in order, for each record that must be redone (see above); stops when it returns false. */
bool journal_replay(struct journal *journal, bool (*redo)(void *context, const void *record, size_t length),
                    void *context, struct fault *fault);
/* Every whole record since the last checkpoint, redone or not. */
bool journal_each(struct journal *journal, bool (*visit)(void *context, const void *record, size_t length),
                  void *context, struct fault *fault);
/* Write one record and have the disk begin with it; then flush it: durable when both return true. Between the two only
 * things may be done that nobody can see. On false the record will not be redone. After a failed flush the file is given
 * up and a new one begun at the next write, since a second fsync of the same file would lie. */
bool journal_write(struct journal *journal, const void *record, size_t length, struct fault *fault);
bool journal_flush(struct journal *journal, struct fault *fault);
/* Instead of the flush: the written record never happened. */
void journal_drop(struct journal *journal);
/* journal_write and journal_flush at once. */
bool journal_append(struct journal *journal, const void *record, size_t length, struct fault *fault);
/* The last record is done whole. */
void journal_done(struct journal *journal);
/* All records are done whole: makes their effects durable (syncfs on the tree) and begins anew. */
bool journal_checkpoint(struct journal *journal, struct fault *fault);
size_t journal_size(const struct journal *journal); /* bytes since the last checkpoint */

/* The number of records that the next start will redo, without opening or changing the journal; 0 also when there is no
 * journal. -1 and fault: the journal is damaged or can't be read. */
int journal_unfinished(int tree, struct fault *fault);
