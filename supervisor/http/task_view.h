/* A task as a client of /v1 sees it: its state from its agent's files, and from the supervisor whether the worker has
 * it in hand. */
#pragma once

#include <jansson.h>

#include "supervisor/http/document.h"

/* The agent's folder; -1: there is none. The caller closes it. */
int task_view_folder(int data, const char *agent);

/* data: DATA_DIR. named: "agent" and "task". status: the supervisor's object of `status`; NULL: the supervisor does
 * not answer now. */
enum task_view {
    TASK_OPEN, /* the task may still come to its end; for a task that stands nowhere, which is so for a moment while
                 * queue.md is exchanged, the document is a 404 */
    TASK_ENDED, /* or there is no such agent */
    TASK_PRUNED /* the answer is in the agent's git alone, where agentos-reader finds it; there is no document */
};
enum task_view task_view(int data, const json_t *named, const json_t *status, struct document *document);
