/* Warnings of values in the environment and in agents.yaml that are valid and yet probably not meant: settings for no
 * agent, settings that this version has no use for, limits that allow no work, checkers that are not there. `agentos
 * check` and the start say them. */
#pragma once

#include "common/buffer.h"
#include "common/format/roster.h"

/* The warnings of agents.yaml itself, each with its place there: checkers (reward_audit with method: command) that
 * can't run as things are now, and texts that a comment cuts off. A sentence a line is added to out. */
void config_warnings_file(const struct roster *roster, const char *data_dir, struct buffer *out);
/* All warnings, the file's among them, added to out in the same way. After secrets_collect or secrets_wipe: of keys
 * only the names are looked at. */
void config_warnings_list(const struct roster *roster, const char *data_dir, struct buffer *out);
