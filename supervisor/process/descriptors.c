#include "supervisor/process/descriptors.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/resource.h>

#include "common/listing.h"

enum { BASE = 64 /* more than the supervisor has without agents */ };

static size_t limit_now(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? (size_t)limit.rlim_cur
                                                                                    : SIZE_MAX / 2;
}

void descriptors_raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Without /proc, or with no descriptor to read it by: as many as there can be. */
static size_t count_open(size_t agents)
{
    struct listing *names =
        listing_take(open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "/proc/self/fd", NULL);
    size_t count = 0;
    while (names && listing_next(names))
        count++;
    if (!names || !listing_close(names, NULL))
        return BASE + agents * DESCRIPTORS_OF_AGENT;
    return count - 1; /* the listing's own */
}

bool descriptors_for_agent(size_t agents, size_t connecting, struct fault *fault)
{
    size_t limit = limit_now();
    if (limit >= BASE + DESCRIPTORS_RESERVE + agents * DESCRIPTORS_OF_AGENT)
        return true; /* they are enough for all, so nobody counts */
    size_t open = count_open(agents), wanted = (connecting + 1) * DESCRIPTORS_OF_AGENT + DESCRIPTORS_RESERVE;
    if (open + wanted <= limit)
        return true;
    return fault_set(
        fault,
        "too few descriptors: the limit of open files (ulimit -n) is %zu, %zu are open, and %d are "
        "kept free; %zu would do for all %zu agents",
        limit, open, DESCRIPTORS_RESERVE, (size_t)BASE + DESCRIPTORS_RESERVE + agents * DESCRIPTORS_OF_AGENT,
        agents);
}

/* The kernel gives the lowest number that is free, so those below it are taken. */
bool descriptors_for_client(int descriptor)
{
    return (size_t)descriptor + DESCRIPTORS_LAST < limit_now();
}
