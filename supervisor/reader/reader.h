/* Answers about a data directory: envelopes, commits, costs, skills. For agentos-reader, which answers one request of
 * the HTTP process and ends. */
#pragma once

#include <jansson.h>

#include "supervisor/reader/reading.h"

/* As the control server answers (common/control.h), {"exit": 0, "answer": object}, or another exit code with a
 * "complaint". reading->request is {"read": NAME}, with its arguments as texts and numbers. "problems" of the answer
 * are sentences about files that could not be read. A new reference. */
json_t *reader_answer(const struct reading *reading);
