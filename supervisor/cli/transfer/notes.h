/* The notes of a worker (.agentos/) that go along when its agent is moved to another node. */
#pragma once

#include <stdbool.h>

#include "common/buffer.h"

/* name: of a file in .agentos/. */
bool notes_travel(const char *name);
/* Makes the text of such a file fit for another node: facts about this node's files alone are taken out of it. */
void notes_leave_node(const char *name, struct buffer *text);
