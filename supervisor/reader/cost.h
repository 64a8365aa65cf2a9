/* The cost of all work of a trace: the tokens, requests and money of each hand that it went through, from the
 * trailers of the commits with their answers (libgit2, read-only). No text of an agent or a model can look like such
 * a trailer. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/usage.h"
#include "supervisor/listings/envelope_scan.h"

/* {"trace", "tokens", "tokens_in", "tokens_out", "cached_tokens", "audit_tokens", "requests", "cost" (null where no price
 * is known), "complete", "hands": [{"agent", "id", "state", "answers", and the same numbers, null where the hand's are
 * unknown}]}. New reference. After repository_library_start, of a grouped scan. A history that can't be read is complained of
 * in a sentence, and its hands are unknown. */
json_t *cost_read(const struct envelope_scan *scan, const char *data_dir, const char *trace,
                  void (*complain)(const char *sentence));
/* Sets the numbers alone in an object; null where they are not known. */
void cost_set_numbers(json_t *object, bool known, const struct question_usage *usage, uint64_t audit_tokens);
