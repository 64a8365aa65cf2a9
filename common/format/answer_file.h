/* outputs/TASK.md: the answer to a task, with where it came from in its front matter. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fault.h"
#include "common/format/block.h"

struct answer_file {
    char *task;       /* the task's id; owned */
    char *text;       /* the whole file; owned */
    const char *body; /* the answer itself, in text */
    int reward;       /* -1, 0 or 1 */
    uint64_t asked;   /* answer_hash of the task's text; 0: the file doesn't say */
    uint64_t whole;   /* answer_hash_whole of the task; 0: an earlier version's file, or an envelope's task */
};

/* tree: descriptor of the agent's folder. The answer is found under today's name of the id or under that of earlier
 * versions. 1 and an answer to free, 0: there is no answer, -1 and fault: the answer can't be read. */
int answer_read(int tree, const char *task, struct answer_file *answer, struct fault *fault);
/* The answer that was written last. */
int answer_read_last(int tree, struct answer_file *answer, struct fault *fault);
void answer_free(struct answer_file *answer);
#define OWNED_ANSWER __attribute__((cleanup(answer_free)))
/* Of a task's text, blanks at its end left out: never 0. */
uint64_t answer_hash(const char *text);
/* Of a task's text and of all that its sender may say beside it: priority, time to live, lock. Never 0. Answers keep it
 * for years: with another order of enum priority, a client that repeats itself would be refused. */
uint64_t answer_hash_whole(const struct block *block);
/* answer_hash of the text that an archived envelope asked; the envelope's worker ended the body with the answer
 * (ANSWER_SECTION). */
#define ANSWER_SECTION "\n---\n\n# Answer\n"
uint64_t answer_hash_asked(const char *body);
/* The content of an answer's file; text is taken over. False: the text is no answer, and is freed. */
bool answer_parse(struct answer_file *answer, char *text, size_t length, const char *path);
