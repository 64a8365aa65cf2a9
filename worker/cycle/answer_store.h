/* The answer that has come and isn't committed yet: .agentos/answer.
 *
 * A question costs money, so its answer is written down before anything that could end this process is done with it:
 * whoever comes after a worker that was killed goes on from the answer and asks no second time. One pwrite into a file of
 * the page cache, not flushed: it must outlive a kill, not a power cut, after which the task is asked about again. One
 * answer at a time, that of the task in hand. A torn or damaged file counts as none. */
#ifndef AGENTOS_WORKER_CYCLE_ANSWER_STORE_H
#define AGENTOS_WORKER_CYCLE_ANSWER_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/usage.h"

enum { KEPT_BYTES_MAX = 256 * 1024 /* a longer answer isn't kept */ };

struct kept;

/* Texts are owned by whoever made them; never NULL. */
struct kept_answer {
    char *task;    /* its id */
    uint64_t hash; /* of its block */
    char *text, *finish_reason, *model;
    struct question_usage usage;
};

/* tree: descriptor of the agent's folder; borrowed. Reads what a worker before this one left. */
struct kept *kept_open(int tree);
void kept_close(struct kept *kept); /* NULL is fine */
/* True: no kill can take it now. False: too long, or it can't be written; what was kept before may be lost. */
bool kept_write(struct kept *kept, const struct kept_answer *answer);
/* The answer of that task is committed, or not wanted any more. */
void kept_end(struct kept *kept);
/* What kept_open found for this task, given once; the caller frees it with kept_answer_free. False: nothing. */
bool kept_take(struct kept *kept, const char *task, uint64_t hash, struct kept_answer *answer);
void kept_answer_free(struct kept_answer *answer);

#endif
