#include "common/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/listing.h"
#include "common/memory.h"

/* The threads of nng 1.5 besides three for each CPU: timer, reaper, poller, and four resolvers. */
enum { NNG_THREADS = 7 };

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
    OWNED_LISTING struct listing *tasks = listing_take(before->tasks, "/proc/self/task", NULL);
    before->tasks = -1;
    if (!tasks)
        return;
    for (const char *name; (name = listing_next(tasks));) {
        pid_t thread = (pid_t)atoi(name);
        if (thread > 0)
            sched_setaffinity(thread, sizeof before->cpus, &before->cpus);
    }
}

/* In glibc's place, for nng, which names its poller from the thread that made it: by /proc/self/task/THREAD/comm. A
 * process whose entry below /proc was looked up is slow to reap: the thread that ends last drops the entry while its
 * parent spins for it in waitpid, up to a tick of the kernel. A thread that names itself needs no entry. */
int pthread_setname_np(pthread_t thread, const char *name)
{
    return pthread_equal(thread, pthread_self()) && prctl(PR_SET_NAME, name) != 0 ? errno : 0;
}

static void *wait_and_end(void *gate)
{
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

bool threads_for_nng(struct fault *fault)
{
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* held until all are there at once */
    size_t needed = NNG_THREADS + 3 * (size_t)sysconf(_SC_NPROCESSORS_ONLN), made = 0;
    OWNED pthread_t *threads = memory_new(needed, sizeof *threads);
    int error = 0;
    pthread_mutex_lock(&gate);
    while (made < needed && (error = pthread_create(&threads[made], NULL, wait_and_end, &gate)) == 0)
        made++;
    pthread_mutex_unlock(&gate);
    for (size_t i = 0; i < made; i++)
        pthread_join(threads[i], NULL);
    return error == 0 ||
           fault_set(
               fault,
               "only %zu of the %zu threads that are needed can be had: one of RLIMIT_NPROC (ulimit -u), "
               "the control group's pids.max, kernel.pid_max and kernel.threads-max is too low",
               made, needed);
}
