#include "common/usage.h"

#include <inttypes.h>
#include <stdlib.h>

uint64_t usage_sum_costs(uint64_t a, uint64_t b)
{
    return a > USAGE_COST_MOST - b ? USAGE_COST_MOST : a + b;
}

void usage_add(struct question_usage *sum, const struct question_usage *more)
{
    sum->tokens_in += more->tokens_in;
    sum->tokens_out += more->tokens_out;
    sum->cached += more->cached;
    sum->requests += more->requests;
    if (more->cost != USAGE_NO_COST)
        sum->cost = sum->cost == USAGE_NO_COST ? more->cost : usage_sum_costs(sum->cost, more->cost);
}

uint64_t usage_cost(double amount)
{
    return amount < 1e9 ? (uint64_t)(amount * USAGE_COST_UNIT + 0.5) : USAGE_COST_MOST;
}

void usage_print_cost(struct buffer *out, uint64_t cost)
{
    buffer_print(out, "%" PRIu64 ".%09" PRIu64, cost / USAGE_COST_UNIT, cost % USAGE_COST_UNIT);
}

uint64_t usage_read_cost(const char *text, char **end)
{
    char *at = NULL;
    uint64_t cost = strtoull(text, &at, 10);
    cost = cost < USAGE_NO_COST / USAGE_COST_UNIT ? cost * USAGE_COST_UNIT : USAGE_NO_COST - USAGE_COST_UNIT;
    if (*at == '.') {
        at++;
        for (uint64_t place = USAGE_COST_UNIT / 10; *at >= '0' && *at <= '9'; at++, place /= 10)
            cost += (uint64_t)(*at - '0') * place;
    }
    *end = at;
    return cost;
}
