/* The answer that has come and isn't committed yet: .agentos/answer.
 *
 * A question costs money, so its answer is written down before any use of it that could end this process: the worker
 * after a killed worker goes on from the answer and asks no second time. One pwrite into a file of the page cache, not
 * flushed: the answer must outlive a kill, not a power cut, after which the task is asked about again. The store holds
 * one answer at a time, that of the task in hand. A torn or damaged file counts as none. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/usage.h"

enum { ANSWER_STORE_MAX = 256 * 1024 /* a longer answer isn't kept */ };

struct answer_store;

/* Texts are owned by whoever made them; never NULL. */
struct stored_answer {
    char *task;             /* its id */
    uint64_t hash;          /* of its block */
    uint64_t deaths_before; /* workers that the task had taken down when its answer came */
    char *text, *finish_reason, *model;
    struct question_usage usage;
};

/* tree: descriptor of the agent's folder; borrowed. Reads the answer that an earlier worker left. */
struct answer_store *answer_store_open(int tree);
void answer_store_close(struct answer_store *store); /* NULL is fine */
/* True: no kill can take the answer now. False: the answer is too long or can't be written; the answer kept before may
 * be lost. */
bool answer_store_write(struct answer_store *store, const struct stored_answer *answer);
/* The answer of that task is committed, or not wanted any more. */
void answer_store_end(struct answer_store *store);
/* The answer that answer_store_open found for this task, given once; the caller frees it with stored_answer_free.
 * False: there is none. */
bool answer_store_take(struct answer_store *store, const char *task, uint64_t hash,
                       struct stored_answer *answer);
void stored_answer_free(struct stored_answer *answer);
