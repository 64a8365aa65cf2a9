/* What is right in the environment and in agents.yaml and yet probably not meant: settings for nobody, settings that
 * this version has no use for, limits that allow nothing. Said by `agentos check`, and at the start. */
#ifndef AGENTOS_COMMON_DOUBTS_H
#define AGENTOS_COMMON_DOUBTS_H

#include "common/buffer.h"
#include "common/roster.h"

/* A sentence a line is added to out. After secrets_collect or secrets_wipe: of keys only the names are looked at. */
void doubts_list(const struct roster *roster, struct buffer *out);

#endif
