/* The prompt of one cycle (contract section 6): system_prompt.md with its {{placeholders}} filled, within a budget. */
#ifndef AGENTOS_WORKER_PROMPT_H
#define AGENTOS_WORKER_PROMPT_H

#include "common/buffer.h"
#include "worker/learning.h"

enum { PROMPT_BUDGET = 64 * 1024 /* bytes of the filled template; the task comes on top */ };

struct prompt_input {
    int tree;
    const struct learning *learning;
    const char *task;                        /* what relevance is measured against */
    const char *segments, *messages, *peers; /* ready-made texts, NULL or "" for none */
};

/* Fills `out`. A template that is missing, empty or unreadable is replaced by the built-in one, with a line in
 * problems. An unknown {{name}} stays as it stands. What is filled in is never looked at for placeholders again.
 * persona.md's and constraints.md's front matter is left out. */
void prompt_build(const struct prompt_input *input, struct buffer *out, struct buffer *problems);

/* Text from somebody else, fenced with a fence longer than any in it, and labelled as data. */
void prompt_quote(struct buffer *out, const char *label, const char *text);

extern const char prompt_default_template[]; /* bootstrap writes it */

#endif
