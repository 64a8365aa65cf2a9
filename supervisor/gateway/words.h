/* The words of an error, whatever its shape, to look for sentences and numbers in. Pure. */
#pragma once

#include <jansson.h>

/* Every text of root (NULL: body is no JSON, and counts as it stands) and every number as "key: number", with blanks
 * between, but no text that repeats the request, and none of a model; some KiB at most. Caller frees. */
char *words_gather(json_t *root, const char *body);
