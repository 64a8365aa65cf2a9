/* A skill that had to make room for another, as the history remembers it. */
#pragma once

#include "common/fault.h"
#include "common/format/entries.h"
#include "worker/history/history.h"
#include "worker/memory/learning.h"

struct displaced {
    struct entries list;      /* skills.md, as it had the skill last */
    struct change_list files; /* the skill's texts then, to be written */
};

/* False: the history (its last few hundred commits) has no such skill, or can't be read; fault says which. */
bool displaced_read(struct history *history, const char *skill, struct displaced *displaced,
                    struct fault *fault);
void displaced_free(struct displaced *displaced);
