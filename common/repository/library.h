/* libgit2, started as every program here wants it. */
#pragma once

#include <stdbool.h>

#include "common/fault.h"

/* Once in a process, before a repository is opened and before forks (the zygote calls it): starts libgit2 with every
 * outside configuration closed, and learns which boot of the machine this is. A further call does nothing. */
bool repository_library_start(struct fault *fault);
