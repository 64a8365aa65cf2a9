/* The changes of a rollback, as sentences: the difference between two states of the learned files. Pure. */
#pragma once

#include "common/buffer.h"

/* The files of learning as texts; NULL: there was no such file. */
struct learned_texts {
    char *skills, *goals, *reflections; /* owned by who made them */
};

/* A line for each difference between the present state and the state to come: "skill gone: x (evidence 3, last success
 * …)", "skill restored: y (evidence 2)", "skill put back: z (evidence 5 becomes 2)", "goal gone: …", "goal open again:
 * …", "reflection gone: TASK". An entry that is there twice counts by its first. */
void undone_tell(const struct learned_texts *now, const struct learned_texts *becomes, struct buffer *out);
