/* The ledger of files that left an agent's work tree and are in its git alone: .agentos/pruned, one record a file, in
 * the order in which they left. The ledger answers the questions that the file itself answered while it lay there: was
 * a task of this id asked with this text, was this envelope read to its end?
 *
 * The agent's worker alone writes the ledger, before the files go, so a file that is gone is in it; a missing ledger is
 * made anew from git's commits (worker/cycle/prune.c). The supervisor reads the ledger too, and believes it as little
 * as any file of a worker's: at most PRUNED_BYTES_MAX of its end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fault.h"

#define PRUNED_SUBJECT_END " leave the work tree" /* of the commits that take files out */

enum { PRUNED_BYTES_MAX = 16 * 1024 * 1024 /* 400,000 files */ };

struct pruned {
    uint64_t file;   /* pruned_file of its path */
    int64_t created; /* of an envelope; 0: an answer */
    uint64_t asked;  /* answer_hash of the text that was asked, without the answer */
    int64_t reward;  /* of an answer: -1, 0, 1 */
    uint64_t sum;    /* set by pruned_add */
};

uint64_t pruned_file(const char *folder, const char *name); /* "iac/archive", "ID" of ID.md */
/* tree: descriptor of the agent's folder. The newest record of that file; false: there is none, or it can't be read. */
bool pruned_find(int tree, const char *folder, const char *name, struct pruned *found);
/* Visits each whole record, in the order in which the files left. */
void pruned_each(int tree, void (*visit)(void *context, const struct pruned *record), void *context);
/* Durable when this is true. A record that a crash cut short is overwritten. count 0: makes the file. */
bool pruned_add(int tree, struct pruned *records, size_t count, struct fault *fault);
bool pruned_exists(int tree);
