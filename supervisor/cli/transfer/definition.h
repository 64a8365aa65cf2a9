/* An agent's definition that comes from elsewhere, on its way into agents.yaml. */
#pragma once

#include <sys/stat.h>

#include "common/buffer.h"
#include "common/fault.h"
#include "common/format/roster.h"

struct definition {
    struct roster_agent *agent; /* owned */
    struct buffer notes;        /* facts about the definition that a person should know, a line each */
    char *path;                 /* of agents.yaml, links resolved; owned */
    char *before, *after;       /* the file's text; before NULL: there is none yet; owned */
    size_t before_length;
    struct stat status; /* of the file, when there is one */
};

/* text: untrusted. The text must be one agent's item as roster_write gives it; its receivers are cut to agents that
 * are here. DATA_DIR/agents.yaml (a missing file is made) must be sound and not know the name. Changes nothing. 0, or
 * the exit status and fault. */
int definition_read(struct definition *definition, const char *data_dir, const char *text, size_t length,
                    struct fault *fault);
/* Writes the definition into agents.yaml, whole or not at all; refused when the file has changed since it was read. */
int definition_add(struct definition *definition, struct fault *fault);
void definition_free(struct definition *definition);
