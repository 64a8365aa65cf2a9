#include "supervisor/process/backoff.h"

int64_t backoff_ms(unsigned failures)
{
    if (failures == 0)
        return 0;
    int64_t delay = BACKOFF_MS;
    for (unsigned i = 1; i < failures && delay < BACKOFF_MAX_MS; i++)
        delay *= 2;
    return delay < BACKOFF_MAX_MS ? delay : BACKOFF_MAX_MS;
}
