/* The envelopes of a data directory, a page at a time. */
#pragma once

#include <jansson.h>

#include "supervisor/reader/reading.h"

/* Each EX_OK and *answer, a new reference, or another exit code and fault. */

/* {"items": [as of copy_json, with "owner" and "place"], "next"}: the newest first, of "agent", "kind", "status", "place"
 * where the request names them; each envelope once, or each copy in a place. */
int envelope_page(const struct reading *reading, json_t **answer, struct fault *fault);
/* As envelope_page, of the place `queue`, and "queues": [{"queue", "items"}]. */
int envelope_page_queues(const struct reading *reading, json_t **answer, struct fault *fault);
/* The envelope "id" as envelope_view_json has it. */
int envelope_page_one(const struct reading *reading, json_t **answer, struct fault *fault);
