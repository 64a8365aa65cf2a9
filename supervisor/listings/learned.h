/* An agent's lessons, as its files have them: skills, rewards, goals and reflections, each as a program wants it. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "common/fault.h"

enum learned { LEARNED_SKILLS, LEARNED_REWARDS, LEARNED_GOALS, LEARNED_REFLECTIONS };

/* The newest `most` items, rewards and reflections newest first: an array with the entries' keys, body and path, to
 * be freed; empty where the file is missing. folder: the agent's; name: the agent's. NULL and fault: the file can't
 * be read. */
json_t *learned_items(int folder, const char *name, enum learned kind, size_t most, struct fault *fault);
