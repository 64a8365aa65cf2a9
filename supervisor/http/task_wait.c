#include "supervisor/http/task_wait.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/tree.h"
#include "supervisor/http/task_view.h"

static const char *const places[] = {TREE_QUEUE, TREE_OUTPUTS, TREE_DEAD_LETTERS};

enum { PLACES = sizeof places / sizeof places[0] };

static struct task_stamp take_stamp(int data, const char *agent)
{
    struct task_stamp stamp = {0};
    OWNED_FD int folder = task_view_folder(data, agent);
    for (size_t i = 0; folder >= 0 && i < PLACES; i++) {
        struct stat status;
        if (fstatat(folder, places[i], &status, AT_SYMLINK_NOFOLLOW) == 0) {
            stamp.changed[i] = status.st_ctim;
            stamp.inodes[i] = status.st_ino;
        }
    }
    return stamp;
}

static bool is_equal(const struct task_stamp *a, const struct task_stamp *b)
{
    bool equal = true;
    for (size_t i = 0; i < PLACES; i++)
        equal &= a->inodes[i] == b->inodes[i] && a->changed[i].tv_sec == b->changed[i].tv_sec &&
                 a->changed[i].tv_nsec == b->changed[i].tv_nsec;
    return equal;
}

void task_wait_begin(struct task_wait *wait, int seconds, int client, void (*due)(void *context),
                     void *context)
{
    int64_t now = clock_monotonic_ms();
    *wait = (struct task_wait){.begun_ms = now,
                               .until_ms = now + (int64_t)seconds * 1000,
                               .client = client,
                               .due = due,
                               .context = context};
}

void task_wait_look(const struct task_waits *waits, struct task_wait *wait, const char *agent)
{
    wait->agent = agent;
    wait->stamp = take_stamp(waits->data, agent);
}

static bool is_lost(const struct task_wait *wait, int64_t now)
{
    return wait->nowhere && now - wait->begun_ms >= TASK_NOWHERE_MS;
}

bool task_wait_park(struct task_waits *waits, struct task_wait *wait, bool nowhere, int64_t now)
{
    wait->nowhere = nowhere;
    if (is_lost(wait, now) || now >= wait->until_ms)
        return false;
    if (TAILQ_EMPTY(&waits->parked))
        timer_set(waits->loop, &waits->timer, TASK_LOOK_MS);
    wait->parked = true;
    TAILQ_INSERT_TAIL(&waits->parked, wait, link);
    return true;
}

void task_wait_end(struct task_waits *waits, struct task_wait *wait)
{
    if (wait->parked)
        TAILQ_REMOVE(&waits->parked, wait, link);
    wait->parked = false;
}

/* The daemon doesn't watch a client that waits: a client that has left, as a script that is interrupted and tries again,
 * would keep its place from others until its time is over. A client that only ends its writing looks the same, and is
 * answered with what is known. A further request that wasn't read yet hides neither. */
static bool has_left(const struct task_wait *wait)
{
    struct pollfd client = {.fd = wait->client, .events = POLLRDHUP};
    return poll(&client, 1, 0) > 0; /* a descriptor below 0 is left out */
}

static void look(void *context)
{
    struct task_waits *waits = context;
    struct task_wait *wait, *next;
    int64_t now = clock_monotonic_ms();
    for (wait = TAILQ_FIRST(&waits->parked); wait; wait = next) {
        next = TAILQ_NEXT(wait, link);
        if (has_left(wait))
            wait->until_ms = now;
        struct task_stamp stamp = take_stamp(waits->data, wait->agent);
        if (now < wait->until_ms && !is_lost(wait, now) && is_equal(&stamp, &wait->stamp))
            continue;
        task_wait_end(waits, wait);
        wait->due(wait->context);
    }
    if (!TAILQ_EMPTY(&waits->parked))
        timer_set(waits->loop, &waits->timer, TASK_LOOK_MS);
}

void task_waits_begin(struct task_waits *waits, struct loop *loop, int data)
{
    *waits = (struct task_waits){.data = data, .loop = loop, .timer = {.ring = look, .context = waits}};
    TAILQ_INIT(&waits->parked);
}
