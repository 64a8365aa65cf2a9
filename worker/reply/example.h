/* Does a reply only repeat the prompt's own example? */
#pragma once

#include <stdbool.h>

/* One of the example's texts, or of those that earlier templates had: a person's own template may still show these. */
bool example_is(const char *text);
