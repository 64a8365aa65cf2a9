/* Shared by the files that read a reply; nobody else needs it. */
#pragma once

#include <stddef.h>

#include "common/buffer.h"
#include "worker/reply/fields.h"
#include "worker/reply/reply.h"

/* A reply while it is read, and what was wrong with it so far. */
struct reading {
    struct reply *reply;
    struct buffer faults;
    size_t unsaid; /* faults that there was no room for */
    bool echoed;   /* something repeated the prompt's own example */
};

/* One more fault, as half a sentence in one line; past some kilobytes they are only counted. */
void reading_complain(struct reading *reading, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *reading_faults(struct reading *reading); /* all of them, taken; NULL: none */
/* Takes text (may be NULL) and cuts it to limit bytes, with a fault; "" becomes NULL. */
char *reading_limit(struct reading *reading, const char *what, char *text, size_t limit);
/* What a one-line field says, without a comment behind it. NULL: nothing, or it is no text (then with a fault). */
char *reading_line(struct reading *reading, const char *what, const struct field *field, size_t limit);
/* An agent's, a skill's or a queue's name without what models put around it: @, quotes, bold, code. Takes text. */
char *reading_name(char *text);
/* Lines and keys that were not used are told. what: whose they are. */
void reading_tell_rest(struct reading *reading, const char *what, const struct fields *fields);
/* The text repeats the prompt's example: told once. */
bool reading_is_example(struct reading *reading, const char *what, const char *text);

void reply_skill_read(struct reading *reading, const struct field *field);
/* Goals, handoffs, messages, items and segments. */
void reply_lists_read(struct reading *reading, const struct fields *report);
