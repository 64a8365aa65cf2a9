#include "common/capacity.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/listing.h"
#include "common/memory.h"

enum { AMPLE = 8 /* times the threads of the workers that start */ };

enum thing { DESCRIPTORS, THREADS, WATCHES, INSTANCES };

/* base: without agents. each: for an agent with a worker. asleep: for an agent that hibernates. reserve: for clients, files,
 * auditors, and workers' connections that come back. Threads without agents: three a CPU are nng's in the supervisor (added
 * where they are counted), the others those of the supervisor, zygote, gateway and HTTP process, with a resolver's for each
 * request that looks a name up. */
static const struct {
    const char *things;
    int64_t base, each, asleep, reserve;
} costs[] = {
    [DESCRIPTORS] = {"descriptors", 64, 6, 0, 16},
    [THREADS] = {"threads", 24, 11, 0, 16},
    [WATCHES] = {"watches", 8, 3, 1, 0},
    [INSTANCES] = {"inotify instances", 1, 0, 0, 0},
};

/* Of one limit: the number that it allows (-1: any) and the number that is taken. */
struct amount {
    int64_t most, taken;
};

/* The process whose limits count, and the threads that exist. */
struct scene {
    pid_t of;    /* 0: the caller's */
    int64_t all; /* threads on the machine */
    /* Threads of this user; threads of the supervisor with its children. Both are -1 before the count. */
    int64_t users, ours;
    int64_t spare; /* so much room needs no counting */
};

/* The first number in a file of the kernel's; -1: the file can't be read, or has no number ("max"). */
static int64_t number_in(const char *path)
{
    char text[64] = "";
    OWNED_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    return n > 0 && isdigit((unsigned char)text[0]) ? strtoll(text, NULL, 10) : -1;
}

/* /proc/loadavg counts all threads of the kernel, also seen from a container: "0.00 0.00 0.00 1/193 26234". */
static int64_t threads_of_machine(void)
{
    int64_t all = 0;
    OWNED_FILE FILE *file = fopen("/proc/loadavg", "re");
    if (file && fscanf(file, "%*s %*s %*s %*[^/]/%" SCNd64, &all) != 1)
        all = 0;
    return all;
}

/* --- the threads of this user --- */

static void count_process(struct scene *scene, const char *pid)
{
    OWNED char *path = memory_print("/proc/%s/status", pid);
    OWNED_FILE FILE *file = fopen(path, "re");
    char line[256];
    long parent = 0, threads = 0;
    unsigned user = 0;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "PPid: %ld", &parent) != 1 && sscanf(line, "Uid: %u", &user) != 1 &&
            sscanf(line, "Threads: %ld", &threads) == 1)
            break;
    if (user == getuid())
        scene->users += threads;
    if (scene->of > 0 && (parent == scene->of || atol(pid) == scene->of))
        scene->ours += threads;
}

static void count_threads(struct scene *scene)
{
    if (scene->users >= 0)
        return;
    scene->users = scene->ours = 0;
    /* A process that was not met counts little. */
    OWNED_LISTING struct listing *names =
        listing_take(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "/proc", NULL);
    for (const char *name; names && (name = listing_next(names));)
        if (isdigit((unsigned char)name[0]))
            count_process(scene, name);
}

/* --- each limit --- */

static int64_t soft_or_hard(const struct scene *scene, __rlimit_resource_t resource, bool hard)
{
    struct rlimit limit;
    if (prlimit(scene->of, resource, NULL, &limit) != 0)
        return -1;
    rlim_t most = hard ? limit.rlim_max : limit.rlim_cur;
    return most > INT64_MAX ? -1 : (int64_t)most;
}

/* The folder's size is the number of its entries since Linux 6.2; before, they are counted. */
static int64_t count_open(void)
{
    struct stat status;
    if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0)
        return status.st_size;
    struct listing *names =
        listing_take(open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "/proc/self/fd", NULL);
    int64_t count = 0;
    while (names && listing_next(names))
        count++;
    return names && listing_close(names, NULL) ? count - 1 /* the listing's own */ : INT64_MAX / 2;
}

/* The supervisor raises its limit to the hard one. */
static struct amount look_nofile(struct scene *scene)
{
    return (struct amount){.most = soft_or_hard(scene, RLIMIT_NOFILE, true)};
}

/* The kernel lets root of the first user namespace have as many as there can be. A process stays in its namespace. */
static bool is_first_root(void)
{
    static bool known, first;
    if (known)
        return first;
    unsigned inside = 1, outside = 1, count = 0;
    OWNED_FILE FILE *file = geteuid() == 0 ? fopen("/proc/self/uid_map", "re") : NULL;
    first = file && fscanf(file, "%u %u %u", &inside, &outside, &count) == 3 && outside == 0 &&
            count == UINT32_MAX;
    known = true;
    return first;
}

static struct amount look_nproc(struct scene *scene)
{
    int64_t most = is_first_root() ? -1 : soft_or_hard(scene, RLIMIT_NPROC, false);
    if (most < 0 || most - scene->all >= scene->spare)
        return (struct amount){.most = most, .taken = scene->all};
    count_threads(scene);
    return (struct amount){.most = most, .taken = scene->users};
}

/* The tightest of this control group and those above it, as far as they can be seen. base: the hierarchy's folder;
 * path: "/a/b", which is cut up. */
static struct amount tightest(const char *base, char *path)
{
    struct amount found = {.most = -1};
    for (char *end = path + strlen(path);; end = strrchr(path, '/')) {
        if (end)
            *end = '\0';
        OWNED char *most = memory_print("%s%s/pids.max", base, end ? path : "");
        OWNED char *current = memory_print("%s%s/pids.current", base, end ? path : "");
        struct amount here = {.most = number_in(most)};
        here.taken = here.most >= 0 ? number_in(current) : 0;
        if (here.most >= 0 && here.taken >= 0 &&
            (found.most < 0 || here.most - here.taken < found.most - found.taken))
            found = here;
        if (!end || end == path)
            return found;
    }
}

static struct amount look_pids_max(struct scene *scene)
{
    OWNED char *own =
        scene->of ? memory_print("/proc/%d/cgroup", (int)scene->of) : memory_text("/proc/self/cgroup");
    struct amount found = {.most = -1};
    OWNED_FILE FILE *file = fopen(own, "re");
    char line[1024];
    while (file && fgets(line, sizeof line, file)) {
        char *path = strrchr(line, ':');
        line[strcspn(line, "\n")] = '\0';
        bool unified = strncmp(line, "0::", 3) == 0, pids = strstr(line, ":pids:") != NULL;
        if (!path || (!unified && !pids))
            continue;
        struct amount here = tightest(pids ? "/sys/fs/cgroup/pids" : "/sys/fs/cgroup", path + 1);
        if (here.most >= 0)
            found = here;
    }
    return found;
}

static struct amount look_pid_max(struct scene *scene)
{
    return (struct amount){number_in("/proc/sys/kernel/pid_max"), scene->all};
}

static struct amount look_threads_max(struct scene *scene)
{
    return (struct amount){number_in("/proc/sys/kernel/threads-max"), scene->all};
}

static struct amount look_watches(struct scene *scene)
{
    (void)scene;
    return (struct amount){.most = number_in("/proc/sys/fs/inotify/max_user_watches")};
}

/* How many others have taken can't be looked up; whether one is left can be tried. */
static struct amount look_instances(struct scene *scene)
{
    int64_t most = number_in("/proc/sys/fs/inotify/max_user_instances");
    OWNED_FD int fd = scene->of ? -1 : inotify_init1(IN_CLOEXEC);
    return (struct amount){most, !scene->of && fd < 0 && errno == EMFILE ? most : 0};
}

static const struct row {
    const char *limit, *words;
    enum thing thing;
    struct amount (*look)(struct scene *scene);
} rows[CAPACITY_LIMITS] = {
    {"RLIMIT_NOFILE", "the limit of open files (ulimit -n)", DESCRIPTORS, look_nofile},
    {"RLIMIT_NPROC", "the limit of this user's processes and threads (ulimit -u)", THREADS, look_nproc},
    {"pids.max", "the limit of the control group (docker's --pids-limit, systemd's TasksMax)", THREADS,
     look_pids_max},
    {"kernel.pid_max", "the kernel's limit of processes and threads", THREADS, look_pid_max},
    {"kernel.threads-max", "the kernel's limit of threads", THREADS, look_threads_max},
    {"fs.inotify.max_user_watches", "this user's limit of watched folders", WATCHES, look_watches},
    {"fs.inotify.max_user_instances", "this user's limit of programs that watch folders", INSTANCES,
     look_instances},
};

static int64_t base_of(enum thing thing)
{
    return costs[thing].base + (thing == THREADS ? 3 * sysconf(_SC_NPROCESSORS_ONLN) : 0);
}

static int64_t need_of(enum thing thing, size_t agents, size_t workers)
{
    return base_of(thing) + costs[thing].reserve + (int64_t)workers * costs[thing].each +
           (int64_t)(agents - workers) * costs[thing].asleep;
}

static struct capacity compare(const struct row *row, struct amount amount, size_t agents, size_t workers)
{
    const int64_t need = need_of(row->thing, agents, workers), each = costs[row->thing].each;
    struct capacity capacity = {.limit = row->limit,
                                .words = row->words,
                                .things = costs[row->thing].things,
                                .most = amount.most,
                                .would_do = amount.taken + need,
                                .agents = agents,
                                .workers = workers,
                                .fits = workers,
                                .soft = row->thing == WATCHES || row->thing == INSTANCES};
    int64_t lacks = amount.most < 0 ? 0 : capacity.would_do - amount.most;
    if (lacks > 0) {
        size_t without = each ? (size_t)((lacks + each - 1) / each) : workers;
        capacity.fits = without < workers ? workers - without : 0;
    }
    return capacity;
}

/* The number that other processes have taken. Descriptors are the supervisor's alone. */
static struct amount without_ours(const struct scene *scene, enum thing thing, struct amount amount)
{
    int64_t ours = thing == THREADS ? scene->ours : thing == DESCRIPTORS ? amount.taken : 0;
    amount.taken = amount.taken > ours ? amount.taken - ours : 0;
    return amount;
}

size_t capacity_list(size_t agents, size_t warm, pid_t supervisor, struct capacity list[CAPACITY_LIMITS])
{
    size_t workers = warm == 0 ? 1 : warm; /* one at a time, then */
    workers = workers < agents ? workers : agents;
    struct scene scene = {.of = supervisor, .all = threads_of_machine(), .users = -1, .spare = INT64_MAX};
    count_threads(&scene);
    for (size_t i = 0; i < CAPACITY_LIMITS; i++) {
        struct amount amount = rows[i].look(&scene);
        list[i] = compare(&rows[i], without_ours(&scene, rows[i].thing, amount), agents, workers);
    }
    return CAPACITY_LIMITS;
}

static char *lack(const struct capacity *capacity)
{
    OWNED char *some = capacity->workers < capacity->agents
                           ? memory_print("%zu workers (warm_workers) of", capacity->workers)
                           : memory_text("all");
    return memory_print("too few %s (%s): %s is %" PRId64 "; %" PRId64 " would do for %s %zu agent(s)",
                        capacity->things, capacity->limit, capacity->words, capacity->most,
                        capacity->would_do, some, capacity->agents);
}

char *capacity_lack(const struct capacity *capacity)
{
    if (capacity->most < 0 || capacity->would_do <= capacity->most)
        return NULL;
    OWNED char *sentence = lack(capacity);
    if (capacity->soft)
        return memory_print("%s. Some changes are then seen only by the scan, every POLL_INTERVAL seconds",
                            sentence);
    return memory_print("%s, and %zu of them fit", sentence, capacity->fits);
}

/* --- while it runs --- */

static bool has_room(struct amount amount, struct scene *scene)
{
    if (amount.most < 0 || amount.most - amount.taken >= scene->spare)
        return true;
    count_threads(scene);
    return false;
}

bool capacity_for_worker(size_t agents, size_t connecting, bool *ample, struct fault *fault)
{
    *ample = true;
    struct scene scene = {.of = getpid(), .all = threads_of_machine(), .users = -1};
    for (size_t i = 0; i < CAPACITY_LIMITS; i++) {
        const enum thing thing = rows[i].thing;
        if (thing != DESCRIPTORS && thing != THREADS)
            continue;
        scene.spare = ((int64_t)connecting + 1) * costs[thing].each + costs[thing].reserve;
        struct amount amount = rows[i].look(&scene);
        if (thing == DESCRIPTORS && amount.most >= 0 && amount.most < need_of(thing, agents, agents))
            amount.taken = count_open(); /* otherwise they are enough for all, and nobody counts */
        *ample = *ample &&
                 (thing != THREADS || amount.most < 0 || amount.most - amount.taken >= AMPLE * scene.spare);
        if (has_room(amount, &scene))
            continue;
        struct capacity capacity = compare(&rows[i], without_ours(&scene, thing, amount), agents, agents);
        OWNED char *sentence = lack(&capacity);
        return fault_set(fault, "%s", sentence);
    }
    return true;
}

static int64_t descriptors_now(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT64_MAX ? (int64_t)limit.rlim_cur
                                                                               : INT64_MAX;
}

void capacity_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* The kernel gives the lowest number that is free, so those below it are taken. */
bool capacity_for_client(int descriptor)
{
    return descriptor + CAPACITY_DESCRIPTORS_LAST < descriptors_now();
}
