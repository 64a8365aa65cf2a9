/* The usage of questions to a model. Costs are counted in a thousand millionth of the operator's currency. */
#pragma once

#include <stdint.h>

#include "common/buffer.h"

enum { USAGE_COST_UNIT = 1000 * 1000 * 1000 };
#define USAGE_NO_COST   UINT64_MAX       /* no price is known */
#define USAGE_COST_MOST (UINT64_MAX - 1) /* sums go no further: a provider may report anything */

/* The sums of all requests of a question. */
struct question_usage {
    uint64_t tokens_in, tokens_out, cached /* part of tokens_in */, requests;
    uint64_t cost; /* USAGE_NO_COST until a question with a price is added */
};

void usage_add(struct question_usage *sum, const struct question_usage *more);
uint64_t usage_sum_costs(uint64_t a, uint64_t b);         /* neither is USAGE_NO_COST */
uint64_t usage_cost(double amount);                       /* of the currency, 0 or more */
void usage_print_cost(struct buffer *out, uint64_t cost); /* "0.000250000" */
/* "0.000250000", "12", digits past the ninth without effect; end: behind it. The largest cost where it is no less. */
uint64_t usage_read_cost(const char *text, char **end);
