/* goals.md (contract section 8): a list of "- [ ] text", at most 5 active; "- [x] text" is done and goes with the
 * next cycle. Every other line stays as a person wrote it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

extern const char goals_preamble[]; /* the file as it begins */

enum { GOAL_TEXT_MAX = 300 /* bytes of a goal that we write */ };
enum goal_state { GOAL_NONE /* another line */, GOAL_ACTIVE, GOAL_DONE };

struct goal_line {
    enum goal_state state;
    char *text; /* of a goal: the text behind the box, trimmed; else the whole line */
    char *lead; /* of a goal: the text before the box ("- "); else NULL */
};

struct goals {
    struct goal_line *lines;
    size_t count;
};

void goals_parse(struct goals *goals, const char *text, size_t length);
void goals_print(const struct goals *goals, struct buffer *out);
void goals_free(struct goals *goals);
void goals_shorten(struct goals *goals, size_t lines,
                   size_t limit); /* the first lines, limit bytes of each */

size_t goals_active(const struct goals *goals);
void goals_drop_done(struct goals *goals); /* the indented lines of a done goal go with it */

/* Compared without regard to case, blanks and punctuation. False: no active goal has this text. */
bool goals_finish(struct goals *goals, const char *text);

enum goal_added { GOAL_ADDED, GOAL_KNOWN, GOAL_NO_ROOM };
/* One line of at most GOAL_TEXT_MAX bytes. KNOWN: the goal stands there already, active or just done. */
enum goal_added goals_add(struct goals *goals, const char *text);

void goals_prompt(const struct goals *goals, struct buffer *out); /* the first 5 active, a line each */
