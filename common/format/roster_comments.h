/* Text of agents.yaml that YAML takes for a comment and that was probably meant: `persona: C # programmer`. */
#pragma once

#include <stddef.h>

#include "common/buffer.h"

/* Each warning is added to out as a line "NAME:LINE:COLUMN: sentence\n". A comment behind two blanks or more was meant
 * as a comment. */
void roster_comments(const char *text, size_t length, const char *name, struct buffer *out);
