/* The answer to a task that has left outputs/ (`keep`), from the agent's git. */
#pragma once

#include "common/format/answer_file.h"
#include "supervisor/reader/reading.h"

/* folder: descriptor of the agent's. The answer's former file beneath it; the caller frees it. NULL: no answer to
 * this task has left. */
char *task_answer_pruned(int folder, const char *task);
/* repository: the agent's folder; file: of task_answer_pruned. For a confined child (terminal/confine.h). True: the answer
 * is the caller's to free. */
bool task_answer_read(const char *repository, const char *file, struct answer_file *answer,
                      struct fault *fault);
/* As reader_answer: "agent", "id", and the keys of task_state_json, with the answer from outputs/ or from git. */
int task_answer_state(const struct reading *reading, json_t **answer, struct fault *fault);
