/* Which of a worker's notes (.agentos/) go along when its agent is moved to another node. */
#pragma once

#include <stdbool.h>

#include "common/buffer.h"

/* name: of a file in .agentos/. */
bool notes_travel(const char *name);
/* The text of such a file as it is on another node: what is true of this node's files alone is taken out of it. */
void notes_leave_node(const char *name, struct buffer *text);
