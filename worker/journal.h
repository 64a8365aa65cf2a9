/* The write-ahead journal of one agent's repository: .agentos/journal.
 *
 * One record is one commit: its git objects, the ref, and what changes in the work tree. It is written and
 * fdatasynced once before anything else happens; that flush is what makes the cycle durable. Objects, ref, work
 * tree and index follow without a flush of their own; at the next start every record since the last checkpoint is
 * redone (an object that is missing or damaged is written again, the ref moved if it still stands at the record's
 * parent, files that still have the old content replaced). A checkpoint (syncfs, then a new generation in the
 * header) is made outside the cycle. A torn record (crc) ends the journal: that commit never happened. */
#ifndef AGENTOS_WORKER_JOURNAL_H
#define AGENTOS_WORKER_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fault.h"

struct journal;

/* folder: the agent's tree. NULL and fault. A damaged header is set aside (journal.damaged-TIME) and reported by
 * damage != NULL, and a new journal begins. */
struct journal *journal_open(int tree, char **damage, struct fault *fault);
void journal_close(struct journal *journal);

/* Calls redo for each whole record since the last checkpoint, in order; stops when it returns false. */
bool journal_replay(struct journal *journal, bool (*redo)(void *context, const void *record, size_t length),
                    void *context, struct fault *fault);
/* Append and flush: durable when it returns true. */
bool journal_append(struct journal *journal, const void *record, size_t length, struct fault *fault);
/* Everything that the records say has been done: make that durable (syncfs on the tree) and begin anew. */
bool journal_checkpoint(struct journal *journal, struct fault *fault);
size_t journal_size(const struct journal *journal); /* bytes since the last checkpoint */

#endif
