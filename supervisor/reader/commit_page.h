/* An agent's commits, a page at a time. */
#pragma once

#include <jansson.h>

#include "supervisor/reader/reading.h"

/* Each EX_OK and *answer, a new reference, or another exit code and fault. */

/* {"items": [as of logged_commit_json], "next"} of the agent, the newest first. */
int commit_page_log(const struct reading *reading, json_t **answer, struct fault *fault);
/* As commit_page_log, each commit with its changes (commit_changes.h). */
int commit_page_changes(const struct reading *reading, json_t **answer, struct fault *fault);
/* The commit "commit", by at least its first four digits, with its changes and the diffs. */
int commit_page_one(const struct reading *reading, json_t **answer, struct fault *fault);
