/* Markdown for state files, replies and prompts: lines, code fences, front matter. Pure; no files. Every text has a NUL
 * behind its length. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The line that begins at `at`: *end is where its text ends (before "\n" or "\r\n"); returns where the next one
 * begins, or length. */
size_t markdown_line(const char *text, size_t length, size_t at, size_t *end);

/* text without blanks, tabs and line ends around it. */
void markdown_trim(const char **text, size_t *length);

/* A code fence: three or more ` or ~, at most three blanks before it, then the info string. */
struct fence {
    char mark; /* 0: none */
    size_t count, indent;
    const char *info; /* borrowed, trimmed */
    size_t info_length;
};

bool markdown_fence(const char *line, size_t length, struct fence *fence);
/* Does this fence line end the block that `open` began? */
bool markdown_closes(const struct fence *open, const struct fence *fence);

/* A walk over a text line by line that knows which lines are code. A fence that is never closed hides no text: a
 * forgotten ``` must not make the rest of a file disappear. Zero-initialise. */
struct fence_walk {
    struct fence open;
    size_t hopeless_backtick, hopeless_tilde; /* no fence of this many marks or more is closed from here on */
};
/* True: the line [at, end) of text is code or a fence of it. */
bool markdown_is_code(struct fence_walk *walk, const char *text, size_t length, size_t at, size_t end,
                      size_t next);

/* The line where a conflict that git marked (<<<<<<< to >>>>>>>) begins; 0: none. code: also in a code fence. */
unsigned markdown_conflict(const char *text, size_t length, bool code);

/* The text behind YAML front matter, without blank lines before it; the whole text when there is no front matter. A
 * byte-order mark is skipped. */
const char *markdown_body(const char *text, size_t *length);
