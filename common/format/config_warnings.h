/* What is right in the environment and in agents.yaml and yet probably not meant: settings for nobody, settings that
 * this version has no use for, limits that allow nothing, checkers that are not there. Said by `agentos check`, and at the start. */
#pragma once

#include "common/buffer.h"
#include "common/format/roster.h"

/* What agents.yaml itself says, each with its place there: checkers (reward_audit with method: command) that can't run as
 * things are now, and texts that a comment cuts off. A sentence a line is added to out. */
void config_warnings_file(const struct roster *roster, const char *data_dir, struct buffer *out);
/* All warnings, the file's among them; likewise. After secrets_collect or secrets_wipe: of keys only the names are looked at. */
void config_warnings_list(const struct roster *roster, const char *data_dir, struct buffer *out);
