/* A task's state, as its agent's files have it: in queue.md, with its answer in outputs/, or among the dead letters. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* folder: descriptor of the agent's. */

/* The task's place in queue.md, from 1; 0: the task doesn't stand there. */
long task_state_place(int folder, const char *task);
/* Why a task has ended without an answer; NULL: it has not. Caller frees. */
char *task_state_why_dead(int folder, const char *task);
/* {"items", "count"}: the first `most` tasks of queue.md in the order in which they are done, and the number of all.
 * An item has "id", "task", "priority", "created", "ttl_seconds" (0: none), "lock", "from", and "problem" (null: the
 * task can be done). New reference. */
json_t *task_state_queue(int folder, size_t most);
/* An object; NULL: the task stands nowhere. Caller frees. "state" is pending (with "place"), done (with "reward" and
 * "answer", null where its file has left outputs/), or a dead letter's status: failed, expired (with "reason"). */
json_t *task_state_json(int folder, const char *task);
