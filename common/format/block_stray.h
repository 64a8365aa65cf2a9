/* Lines of queue.md that somebody meant as the start of a block and that are none (contract section 5). Only block.c
 * includes this. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Where a line stands: that decides how much it must look like a start. */
enum stray_place {
    STRAY_AT_TITLE,    /* no text stands above it: the file's own title may be there */
    STRAY_IN_PREAMBLE, /* before the first block */
    STRAY_IN_LINES,    /* in a block whose task is one line, or that has none yet */
    STRAY_IN_TEXT,     /* in a block whose task is `|` and a text */
};

/* Does a stray start at `at`, the start of a line? previous_blank: no text stands directly above the line. end is the
 * end of the text. The line is known not to start a block. */
bool stray_starts(const char *at, const char *end, enum stray_place place, bool previous_blank);
/* Is the line a field `task` in some spelling? *value gets where its value starts. */
bool stray_is_task(const char *at, const char *end, const char **value);
/* Where the line's text ends, and in *next where the next line starts. A CR alone ends a line too. */
const char *stray_line_end(const char *at, const char *end, const char **next);
