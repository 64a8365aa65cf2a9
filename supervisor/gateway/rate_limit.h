/* The gate of an endpoint: after a refusal for the rate (HTTP 429, or its words) nobody asks the endpoint before the limit is
 * over, whoever met it. Moments are monotonic, in ms. */
#pragma once

#include <stdint.h>

struct endpoint;

/* Until then the endpoint is not asked; a gate that opens later than that stays as it is. */
void rate_limit_close(struct endpoint *endpoint, int64_t until);
/* For how long nobody asks the endpoint; 0: it may be asked. */
int64_t rate_limit_left(const struct endpoint *endpoint, int64_t now);
void rate_limit_open(struct endpoint *endpoint);
