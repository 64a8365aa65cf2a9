#include "supervisor/cli/processes.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/held.h"
#include "common/listing.h"
#include "common/memory.h"

struct process {
    int parent, no_new_privileges, seccomp, filters;
    unsigned uid;
    uint64_t capabilities;
};

/* False: the process has ended. */
static bool look(int pid, struct process *process)
{
    OWNED char *path = memory_print("/proc/%d/status", pid);
    char line[256];
    OWNED_FILE FILE *file = fopen(path, "re");
    *process = (struct process){.parent = -1};
    while (file && fgets(line, sizeof line, file)) {
        (void)sscanf(line, "PPid: %d", &process->parent);
        (void)sscanf(line, "Uid: %*u %u", &process->uid);
        (void)sscanf(line, "CapEff: %" SCNx64, &process->capabilities);
        (void)sscanf(line, "NoNewPrivs: %d", &process->no_new_privileges);
        (void)sscanf(line, "Seccomp: %d", &process->seccomp);
        (void)sscanf(line, "Seccomp_filters: %d", &process->filters);
    }
    return process->parent >= 0;
}

/* "12 descriptors". Caller frees. */
static char *descriptors_of(int pid)
{
    OWNED char *path = memory_print("/proc/%d/fd", pid);
    size_t count = 0;
    OWNED_LISTING struct listing *listing =
        listing_take(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), path, NULL);
    if (!listing)
        return memory_print("its descriptors are not shown to uid %u", (unsigned)geteuid());
    while (listing_next(listing))
        count++;
    return memory_print("%zu descriptors", count);
}

/* The process's title. The caller cleans it before it is printed. */
static void title_of(int pid, char *title, size_t room)
{
    OWNED char *path = memory_print("/proc/%d/cmdline", pid);
    OWNED_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, title, room - 1);
    title[n > 0 ? n : 0] = '\0';
    title[strcspn(title, "\n")] = '\0';
}

/* A process may choose its title itself, so the title stands behind all other facts of the process, and ends the
 * line. */
static void add(int pid, const struct process *process, struct buffer *lines)
{
    char title[192];
    title_of(pid, title, sizeof title);
    OWNED char *descriptors = descriptors_of(pid);
    OWNED char *capabilities = process->capabilities
                                   ? memory_print("capabilities %016" PRIx64, process->capabilities)
                                   : memory_text("no capabilities");
    OWNED char *filters = process->seccomp == 2 ? memory_print("%d system call filter(s)", process->filters)
                                                : memory_text("no system call filter");
    buffer_print(lines, "pid %d, seen: uid %u, %s, %s, %s, %s; reported by itself: %s\n", pid, process->uid,
                 capabilities, process->no_new_privileges ? "no new privileges" : "may gain privileges",
                 filters, descriptors, *title ? title : "nothing");
}

void processes_list(const char *data_dir, struct buffer *lines)
{
    pid_t supervisor = held_by(data_dir);
    struct process process;
    OWNED_LISTING struct listing *listing =
        supervisor > 0 ? listing_take(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "/proc", NULL)
                       : NULL;
    if (!listing)
        return;
    for (const char *name; (name = listing_next(listing));) {
        int pid = atoi(name);
        if (pid > 0 && look(pid, &process) && (pid == supervisor || process.parent == supervisor))
            add(pid, &process, lines);
    }
}
