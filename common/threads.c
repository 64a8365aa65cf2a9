#include "common/threads.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/listing.h"

void threads_look(struct threads_before *before)
{
    before->tasks = -1;
    if (sched_getaffinity(0, sizeof before->cpus, &before->cpus) == 0)
        before->tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void threads_begin_few(const struct threads_before *before)
{
    pthread_attr_t attributes;
    cpu_set_t one;
    int here = sched_getcpu();
    if (pthread_attr_init(&attributes) == 0) {
        if (pthread_attr_setstacksize(&attributes, THREADS_STACK) == 0)
            pthread_setattr_default_np(&attributes);
        pthread_attr_destroy(&attributes);
    }
    if (before->tasks < 0 || here < 0)
        return;
    CPU_ZERO(&one);
    CPU_SET((size_t)here, &one);
    sched_setaffinity(0, sizeof one, &one);
}

/* A thread that misses this, or a kernel that refuses it, costs speed only. */
void threads_end_few(struct threads_before *before)
{
    struct listing *tasks = listing_take(before->tasks, "/proc/self/task", NULL);
    before->tasks = -1;
    if (!tasks)
        return;
    for (const char *name; (name = listing_next(tasks));) {
        pid_t thread = (pid_t)atoi(name);
        if (thread > 0)
            sched_setaffinity(thread, sizeof before->cpus, &before->cpus);
    }
    (void)listing_close(tasks, NULL);
}
