#include "common/test_clock.h"

#ifdef AGENTOS_TEST_CLOCK

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>

enum { NOTICED_MS = 20 }; /* of a shared clock's move, at the latest */

struct offsets {
    _Atomic int64_t wall_ms, monotonic_ms;
};

static struct offsets own;
static const struct offsets *offsets = &own;
static char *
    file; /* NULL: the clock is this process's own. A copy: a process's title is written over its environment */
static bool skips;

__attribute__((constructor)) static void share(void)
{
    const char *name = getenv("AGENTOS_TEST_CLOCK");
    int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *page = mmap(NULL, sizeof own, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (page == MAP_FAILED)
        return;
    offsets = page;
    file = strdup(name);
}

int64_t test_clock_wall_ms(void)
{
    return atomic_load(&offsets->wall_ms);
}

int64_t test_clock_monotonic_ms(void)
{
    return atomic_load(&offsets->monotonic_ms);
}

void test_clock_move(int64_t wall_ms, int64_t monotonic_ms)
{
    atomic_fetch_add(&own.wall_ms, wall_ms);
    atomic_fetch_add(&own.monotonic_ms, monotonic_ms);
}

void test_clock_skip_waits(bool on)
{
    skips = on;
}

int test_clock_wait(int wait_ms)
{
    if (skips && wait_ms > 0) {
        test_clock_move(wait_ms, wait_ms);
        return 0;
    }
    return file && (wait_ms < 0 || wait_ms > NOTICED_MS) ? NOTICED_MS : wait_ms;
}

int test_clock_set_open(void)
{
    int fd = file ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;
    if (fd >= 0 && inotify_add_watch(fd, file, IN_MODIFY) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

#endif
