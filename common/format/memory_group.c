#include "common/format/memory_group.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/memory.h"

enum { LINE_ROOM = 4096 };

#define SUPERVISORS_OWN "agentos-supervisor"

struct group {
    bool taken;
    /* The group's limit, for good, since the kernel may refuse to lower a limit; 0: the group could not be bounded. */
    int64_t bytes;
    uint64_t killed, reached; /* as the kernel counted them last */
};

struct memory_groups {
    char *above;  /* this process's group at the start */
    char *folder; /* the workers' groups lie in it */
    bool second;  /* version 2 */
    struct group *list;
    unsigned count;
};

/* Where a process stands in one hierarchy. */
struct place {
    char mounted[LINE_ROOM], root[LINE_ROOM], group[LINE_ROOM];
    bool second;
};

static bool write_text(const char *folder, const char *name, const char *text)
{
    OWNED char *path = memory_print("%s/%s", folder, name);
    OWNED_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* The beginning of the file, which is short; "" when it can't be read. */
static void read_text(const char *folder, const char *name, char text[LINE_ROOM])
{
    OWNED char *path = memory_print("%s/%s", folder, name);
    OWNED_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, LINE_ROOM - 1);
    text[n > 0 ? n : 0] = '\0';
}

static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += length)
        if ((at == list || strchr(", \n", at[-1])) && strchr(", \n", at[length]))
            return true;
    return false;
}

/* --- where --- */

/* Version 1's hierarchy is taken when the controller is there, else version 2's. */
static bool find_mount(struct place *place)
{
    OWNED char *line = NULL;
    size_t room = 0;
    bool found = false;
    OWNED_FILE FILE *mounts = fopen("/proc/self/mountinfo", "re");
    while (mounts && (!found || place->second) && getline(&line, &room, mounts) > 0) {
        char root[LINE_ROOM], mounted[LINE_ROOM], type[32], options[LINE_ROOM];
        const char *tail = strstr(line, " - ");
        if (!tail || sscanf(line, "%*s %*s %*s %4095s %4095s", root, mounted) != 2 ||
            sscanf(tail, " - %31s %*s %4095[^\n]", type, options) != 2)
            continue;
        bool first = strcmp(type, "cgroup") == 0 && has_word(options, "memory");
        if (!first && (found || strcmp(type, "cgroup2") != 0))
            continue;
        found = true;
        place->second = !first;
        snprintf(place->root, sizeof place->root, "%s", root);
        snprintf(place->mounted, sizeof place->mounted, "%s", mounted);
    }
    return found;
}

static bool find_group(struct place *place, pid_t pid)
{
    char path[32];
    OWNED char *line = NULL;
    size_t room = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    OWNED_FILE FILE *groups = fopen(path, "re");
    while (groups && !found && getline(&line, &room, groups) > 0) {
        char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        found = place->second ? names[1] == '\0' : has_word(names + 1, "memory");
        if (found)
            snprintf(place->group, sizeof place->group, "%s", group);
    }
    return found;
}

/* The folder of the process's group; caller frees. NULL and why. */
static char *find_folder(pid_t pid, struct place *place, struct fault *why)
{
    if (!find_mount(place) || !find_group(place, pid))
        return fault_set(why, "no hierarchy of control groups with memory is mounted here"), NULL;
    size_t root = strcmp(place->root, "/") == 0 ? 0 : strlen(place->root);
    if (strncmp(place->group, place->root, root) != 0 || strncmp(place->group, "/..", 3) == 0) {
        fault_set(why, "this process's control group lies outside of what is mounted at %s", place->mounted);
        return NULL;
    }
    const char *rest = place->group + root;
    return memory_print("%s%s", place->mounted, strcmp(rest, "/") == 0 ? "" : rest);
}

static char *workers_folder(const char *above, const char *data_dir)
{
    struct stat status = {0};
    (void)stat(data_dir, &status);
    return memory_print("%s/agentos-workers-%" PRIx64 "-%" PRIx64, above, (uint64_t)status.st_dev,
                        (uint64_t)status.st_ino);
}

/* --- version 2: a group with groups in it has no process of its own --- */

/* The maker of this group gave it away: a container's engine to its first process, systemd by an attribute, or somebody to an
 * ordinary user, who couldn't write it otherwise. */
static bool is_ours(const struct place *place, const char *above)
{
    char value[2] = "";
    bool container = getpid() == 1 && strcmp(place->group, "/") == 0;
    bool delegated =
        getxattr(above, "trusted.delegate", value, 1) == 1 || getxattr(above, "user.delegate", value, 1) == 1;
    return container || (delegated && value[0] == '1') || geteuid() != 0;
}

static bool is_alone(const char *above)
{
    char text[LINE_ROOM], own[16];
    read_text(above, "cgroup.procs", text);
    snprintf(own, sizeof own, "%d\n", (int)getpid());
    return strcmp(text, own) == 0;
}

static void step_back(const struct memory_groups *groups)
{
    OWNED char *own = memory_print("%s/" SUPERVISORS_OWN, groups->above);
    write_text(groups->above, "cgroup.subtree_control", "-memory");
    write_text(groups->above, "cgroup.procs", "0");
    rmdir(own);
}

static bool step_aside(const struct memory_groups *groups, const struct place *place, struct fault *why)
{
    char controllers[LINE_ROOM];
    OWNED char *own = memory_print("%s/" SUPERVISORS_OWN, groups->above);
    read_text(groups->above, "cgroup.controllers", controllers);
    if (!has_word(controllers, "memory"))
        return fault_set(why, "%s has no controller of memory", groups->above);
    if (!is_ours(place, groups->above))
        return fault_set(why, "%s was not handed over to this process (systemd: Delegate=memory)",
                         groups->above);
    if (!is_alone(groups->above))
        return fault_set(why, "other processes are in %s", groups->above);
    if ((mkdir(own, 0755) == 0 || errno == EEXIST) && write_text(own, "cgroup.procs", "0") &&
        write_text(groups->above, "cgroup.subtree_control", "+memory"))
        return true;
    fault_errno(why, "no group can be made in %s", groups->above);
    step_back(groups);
    return false;
}

/* --- all groups --- */

static void remove_all(const char *folder)
{
    DIR *list = opendir(folder);
    const struct dirent *entry;
    while (list && (entry = readdir(list)))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            unlinkat(dirfd(list), entry->d_name, AT_REMOVEDIR);
    if (list)
        (void)closedir(list);
    rmdir(folder);
}

static bool make_folder(const struct memory_groups *groups, struct fault *why)
{
    remove_all(groups->folder);
    if (mkdir(groups->folder, 0755) != 0 && errno != EEXIST)
        return fault_errno(why, "no group can be made in %s", groups->above);
    if (!groups->second || write_text(groups->folder, "cgroup.subtree_control", "+memory"))
        return true;
    fault_errno(why, "the controller of memory can't be handed on in %s", groups->folder);
    rmdir(groups->folder);
    return false;
}

/* A tree in memory (tmpfs) would count as its worker's, and so would the address sanitizer's shadow. */
static bool counts_more(const char *data_dir, struct fault *why)
{
    struct statfs status;
    if (SHADOWED)
        return !fault_set(why, "the address sanitizer's shadow would count as a worker's memory");
    return statfs(data_dir, &status) == 0 && status.f_type == TMPFS_MAGIC &&
           !fault_set(why, "the data directory lies in memory (tmpfs)");
}

struct memory_groups *memory_groups_open(const char *data_dir, struct fault *why)
{
    OWNED struct place *place = memory_new(1, sizeof *place);
    char *above = counts_more(data_dir, why) ? NULL : find_folder(getpid(), place, why);
    if (!above)
        return NULL;
    struct memory_groups *groups = memory_new(1, sizeof *groups);
    *groups = (struct memory_groups){
        .above = above, .folder = workers_folder(above, data_dir), .second = place->second};
    bool aside = !groups->second || step_aside(groups, place, why);
    if (aside && make_folder(groups, why))
        return groups;
    if (aside && groups->second)
        step_back(groups);
    free(groups->above);
    free(groups->folder);
    free(groups);
    return NULL;
}

void memory_groups_close(struct memory_groups *groups)
{
    if (!groups)
        return;
    remove_all(groups->folder);
    if (groups->second)
        step_back(groups);
    free(groups->above);
    free(groups->folder);
    free(groups->list);
    free(groups);
}

bool memory_groups_look(pid_t supervisor, const char *data_dir, struct fault *why)
{
    OWNED struct place *place = memory_new(1, sizeof *place);
    OWNED char *above =
        counts_more(data_dir, why) ? NULL : find_folder(supervisor > 0 ? supervisor : getpid(), place, why);
    if (!above)
        return false;
    char *own = supervisor > 0 && place->second ? strstr(above, "/" SUPERVISORS_OWN) : NULL;
    if (own)
        *own = '\0';
    OWNED char *folder = workers_folder(above, data_dir);
    if (supervisor > 0)
        return access(folder, F_OK) == 0 || fault_set(why, "the supervisor could make none in %s", above);
    if (place->second && !is_ours(place, above))
        return fault_set(why, "%s was not handed over to this process (systemd: Delegate=memory)", above);
    return access(above, W_OK) == 0 || fault_errno(why, "no group can be made in %s", above);
}

/* --- one --- */

char *memory_group_path(const struct memory_groups *groups, unsigned number)
{
    return number ? memory_print("%s/%u", groups->folder, number) : memory_text("");
}

static uint64_t count_in(const char *path, const char *name, const char *word)
{
    char text[LINE_ROOM];
    read_text(path, name, text);
    const char *line = strstr(text, word);
    return line ? strtoull(line + strlen(word), NULL, 10) : 0;
}

/* How many processes the kernel has ended there for want of memory, also of the whole machine's. */
static uint64_t count_killed(const struct memory_groups *groups, const char *path)
{
    return count_in(path, groups->second ? "memory.events" : "memory.oom_control", "oom_kill ");
}

/* How often the group's own limit was reached. */
static uint64_t count_reached(const struct memory_groups *groups, const char *path)
{
    return groups->second ? count_in(path, "memory.events", "\noom ") : count_in(path, "memory.failcnt", "");
}

static bool bound(const struct memory_groups *groups, const char *path, int64_t bytes)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, bytes);
    return write_text(path, groups->second ? "memory.max" : "memory.limit_in_bytes", text);
}

/* The number of a free group with that limit, a new group if need be; 0: no group can be made. */
static unsigned find_free(struct memory_groups *groups, int64_t bytes)
{
    for (unsigned i = 0; i < groups->count; i++)
        if (!groups->list[i].taken && groups->list[i].bytes == bytes)
            return i + 1;
    OWNED char *path = memory_group_path(groups, groups->count + 1);
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return 0;
    bool bounded = bound(groups, path, bytes);
    if (!bounded && rmdir(path) == 0)
        return 0;
    *MEMORY_ADD(groups->list, groups->count) = (struct group){.bytes = bounded ? bytes : 0,
                                                              .killed = count_killed(groups, path),
                                                              .reached = count_reached(groups, path)};
    return bounded ? groups->count : 0;
}

void memory_group_take(struct memory_groups *groups, unsigned *number, int64_t bytes)
{
    if (!groups)
        return;
    if (*number && groups->list[*number - 1].bytes != bytes)
        memory_group_give_back(groups, number);
    *number = *number ? *number : find_free(groups, bytes);
    if (*number)
        groups->list[*number - 1].taken = true;
}

enum memory_want memory_group_give_back(struct memory_groups *groups, unsigned *number)
{
    if (!groups || *number == 0)
        return WANT_OF_NOTHING;
    struct group *group = &groups->list[*number - 1];
    OWNED char *path = memory_group_path(groups, *number);
    uint64_t killed = count_killed(groups, path), reached;
    group->taken = false;
    *number = 0;
    if (killed == group->killed)
        return WANT_OF_NOTHING;
    reached = count_reached(groups, path);
    bool own = reached != group->reached;
    group->killed = killed;
    group->reached = reached;
    return own ? WANT_OF_ITS_OWN : WANT_OF_THE_MACHINE;
}

/* In version 1 a thread moves itself by `tasks`, without holding up the whole machine's forks as by `cgroup.procs`. */
void memory_group_enter(int folder)
{
    OWNED_FD int thread = folder < 0 ? -1 : openat(folder, "tasks", O_WRONLY | O_CLOEXEC);
    OWNED_FD int process =
        folder < 0 || thread >= 0 ? -1 : openat(folder, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (folder >= 0 && write(thread < 0 ? process : thread, "0", 1) < 0)
        return; /* the limits of the process hold all the same */
}
