#include "supervisor/gateway/rate_limit.h"

#include "supervisor/gateway/provider.h"

void rate_limit_close(struct endpoint *endpoint, int64_t until)
{
    if (until > endpoint->limited_until)
        endpoint->limited_until = until;
}

int64_t rate_limit_left(const struct endpoint *endpoint, int64_t now)
{
    return endpoint->limited_until > now ? endpoint->limited_until - now : 0;
}

void rate_limit_open(struct endpoint *endpoint)
{
    endpoint->limited_until = 0;
}
