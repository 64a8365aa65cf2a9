/* The write-ahead journal of one agent's repository: .agentos/journal.
 *
 * One record is one commit: its git objects, the ref, and what changes in the work tree. It is written and
 * fdatasynced once before anything of the commit can be seen; that flush is what makes the cycle durable. Ref, work
 * tree and index follow without a flush of their own. A checkpoint (syncfs, then a new generation in the header) is
 * made outside the cycle. A torn record (its sum is wrong) ends the journal: that commit never happened.
 *
 * What must be redone at the next start depends on what the process died of:
 * - It was killed, the machine went on (same boot id): what was written is there, flushed or not. Only the last
 *   record can be half done; journal_done marks one that was brought to its end.
 * - The machine went down: only what was flushed is certain. Every record since the checkpoint is given again.
 *
 * The region is overwritten, not truncated, after a checkpoint: flushing an overwrite takes half of the time that
 * flushing an append takes, because the file system has nothing to note down. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/fault.h"

struct journal;

/* One word of state for the whole process: which boot of the machine this is (/proc/sys/kernel/random/boot_id), at
 * most 36 characters are kept. Told once before the sandbox closes /proc. Never told, or "": every open counts as
 * one after a power cut, which is slower but always right. */
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
/* Instead of the flush: what was written never happened. */
void journal_drop(struct journal *journal);
/* Both at once. */
bool journal_append(struct journal *journal, const void *record, size_t length, struct fault *fault);
/* All that the last record says has been done. */
void journal_done(struct journal *journal);
/* Everything that the records say has been done: make that durable (syncfs on the tree) and begin anew. */
bool journal_checkpoint(struct journal *journal, struct fault *fault);
size_t journal_size(const struct journal *journal); /* bytes since the last checkpoint */

/* Without opening it, and without changing anything: how many records the next start will redo; 0 also when there is
 * no journal. -1 and fault: it is damaged or can't be read. */
int journal_unfinished(int tree, struct fault *fault);
