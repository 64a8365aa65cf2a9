#include "supervisor/process/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "common/files.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/names.h"
#include "common/tree.h"

#define CONFIG_MAP "..data" /* the link that a mounted ConfigMap changes, and with it all its files */

enum {
    CHANGES = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE,
    ENDS = IN_DELETE_SELF | IN_MOVE_SELF,
    READ_SIZE = 64 * 1024,
};

static const char *const folders[WATCHED_FOLDERS] = {".", TREE_INBOX, TREE_HANDOFFS};

/* The watched that a watch descriptor belongs to. */
struct place {
    int descriptor; /* first: the tree finds places by it */
    struct watched *watched;
};

struct watch {
    struct loop *loop;
    struct watch_owner owner;
    int fd;
    int roster; /* descriptor of the data folder's watch */
    int *shared;
    size_t shared_count;
    uint32_t own_rename; /* cookie of a rename that the supervisor makes there itself; 0: none */
    struct loop_watch *loop_watch;
    void *places; /* tsearch: struct place by descriptor */
    bool complained;
};

static int by_descriptor(const void *a, const void *b)
{
    int left = ((const struct place *)a)->descriptor, right = ((const struct place *)b)->descriptor;
    return (left > right) - (left < right);
}

static struct place *find_place(const struct watch *watch, int descriptor)
{
    struct place wanted = {.descriptor = descriptor}, **found = tfind(&wanted, &watch->places, by_descriptor);
    return found ? *found : NULL;
}

static void put_place(struct watch *watch, int descriptor, struct watched *watched)
{
    struct place *place = find_place(watch, descriptor);
    if (!place) {
        place = memory_new(1, sizeof *place);
        place->descriptor = descriptor;
        tsearch(place, &watch->places, by_descriptor);
    }
    place->watched = watched;
}

static void lose_place(struct watch *watch, int descriptor)
{
    struct place *place = find_place(watch, descriptor);
    if (!place)
        return;
    tdelete(place, &watch->places, by_descriptor);
    free(place);
}

/* Names that begin with a dot are the worker's own (temporary files, the card), so its writing them tells nobody. */
static uint64_t what_to_look_at(size_t folder, const char *name)
{
    if (name[0] == '.' || !names_markdown(name))
        return 0;
    if (folder != 0)
        return LOOK_IAC;
    return strcmp(name, TREE_QUEUE) == 0 ? LOOK_QUEUE : LOOK_TREE;
}

static void top_has_changed(const struct watch *watch, const struct watched *watched)
{
    if (watch->owner.top_changed)
        watch->owner.top_changed(watched->subject);
}

static void folder_has_gone(struct watch *watch, const struct inotify_event *event)
{
    struct place *place = find_place(watch, event->wd);
    if (!place)
        return;
    if (place->watched->descriptors[0] == event->wd)
        top_has_changed(watch, place->watched);
    for (size_t i = 0; i < WATCHED_FOLDERS; i++)
        if (place->watched->descriptors[i] == event->wd)
            place->watched->descriptors[i] = 0;
    lose_place(watch, event->wd);
    if (!(event->mask & IN_IGNORED))
        inotify_rm_watch(watch->fd, event->wd);
}

/* The supervisor needs no notice of a file that it has written and gives a name to. */
static bool is_own(struct watch *watch, const struct inotify_event *event, bool shared)
{
    if (event->mask & IN_MOVED_FROM) {
        bool ours = event->len && event->name[0] == '.' &&
                    (strstr(event->name, BATCH_MARK) || (shared && strstr(event->name, FILES_MARK)));
        watch->own_rename = ours ? event->cookie : 0;
    }
    return event->cookie && event->cookie == watch->own_rename;
}

static bool take_shared(struct watch *watch, const struct inotify_event *event)
{
    for (size_t i = 0; i < watch->shared_count; i++) {
        if (watch->shared[i] != event->wd)
            continue;
        if (event->mask & IN_IGNORED)
            watch->shared[i] = watch->shared[--watch->shared_count];
        else if (!is_own(watch, event, true) && !(event->mask & IN_MOVED_FROM) && event->len &&
                 event->name[0] != '.')
            watch->owner.shared_changed(watch->owner.context);
        return true;
    }
    return false;
}

static void take_event(struct watch *watch, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW) {
        watch->owner.all_changed(watch->owner.context);
        return;
    }
    if (event->wd == watch->roster) {
        if (event->len && (strcmp(event->name, "agents.yaml") == 0 || strcmp(event->name, CONFIG_MAP) == 0))
            watch->owner.roster_changed(watch->owner.context);
        return;
    }
    if (take_shared(watch, event))
        return;
    if (event->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF)) {
        folder_has_gone(watch, event);
        return;
    }
    struct place *place = find_place(watch, event->wd);
    if (!place || !event->len)
        return;
    if (place->watched->descriptors[0] == event->wd &&
        (event->mask & IN_ISDIR || !names_markdown(event->name)))
        top_has_changed(watch, place->watched);
    if (is_own(watch, event, false))
        return;
    for (size_t i = 0; i < WATCHED_FOLDERS; i++)
        if (place->watched->descriptors[i] == event->wd) {
            uint64_t look = what_to_look_at(i, event->name);
            bool known = look == LOOK_IAC && event->mask & IN_CREATE && watch->owner.put_there &&
                         watch->owner.put_there(place->watched->subject, folders[i], event->name);
            if (look && !known)
                watch->owner.changed(place->watched->subject, look);
            return;
        }
}

static void on_events(void *context, uint32_t events)
{
    (void)events;
    struct watch *watch = context;
    _Alignas(struct inotify_event) char bytes[READ_SIZE];
    ssize_t length = read(watch->fd, bytes, sizeof bytes);
    for (ssize_t at = 0; at < length;) {
        const struct inotify_event *event = (const struct inotify_event *)(bytes + at);
        at += (ssize_t)(sizeof *event + event->len);
        take_event(watch, event);
    }
}

static void complain(struct watch *watch, const char *what)
{
    if (!watch->complained)
        log_warn("agentos", NULL,
                 "Cannot watch %s: %s. Changes there are found by the scan every POLL_INTERVAL instead; "
                 "fs.inotify.max_user_watches and max_user_instances are the limits.",
                 what, strerror(errno));
    watch->complained = true;
}

struct watch *watch_open(struct loop *loop, const struct watch_owner *owner)
{
    struct watch *watch = memory_new(1, sizeof *watch);
    *watch = (struct watch){.loop = loop, .owner = *owner, .roster = -1};
    watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->fd < 0)
        complain(watch, "files at all");
    else
        watch->loop_watch = loop_watch(loop, watch->fd, EPOLLIN, on_events, watch);
    return watch;
}

void watch_close(struct watch *watch)
{
    if (!watch)
        return;
    loop_forget(watch->loop, watch->loop_watch);
    memory_close_at(&watch->fd);
    tdestroy(watch->places, free);
    free(watch->shared);
    free(watch);
}

/* The watch is set by descriptor, so that no link can lead it elsewhere. */
static int add(struct watch *watch, int folder, uint32_t mask)
{
    OWNED char *path = memory_print("/proc/self/fd/%d", folder);
    return inotify_add_watch(watch->fd, path, mask | IN_ONLYDIR);
}

void watch_roster(struct watch *watch, int data_folder)
{
    if (watch->fd < 0 || watch->roster >= 0)
        return;
    watch->roster = add(watch, data_folder, IN_CLOSE_WRITE | IN_MOVED_TO);
    if (watch->roster < 0)
        complain(watch, "agents.yaml");
}

/* The kernel gives the same descriptor for a folder that is watched already. The scan finds a deleted folder. */
void watch_shared(struct watch *watch, int folder)
{
    int descriptor = watch->fd >= 0 ? add(watch, folder, IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM) : 0;
    if (descriptor < 0)
        complain(watch, "the queues' folders");
    for (size_t i = 0; i < watch->shared_count; i++)
        if (watch->shared[i] == descriptor)
            return;
    if (descriptor <= 0)
        return;
    *MEMORY_ADD(watch->shared, watch->shared_count) = descriptor;
}

static void add_folders(struct watch *watch, struct watched *watched, int tree, void *subject, size_t count)
{
    watched->subject = subject;
    for (size_t i = 0; i < count && watch->fd >= 0; i++) {
        if (watched->descriptors[i])
            continue;
        OWNED_FD int folder = i == 0 ? dup(tree) : files_open(tree, folders[i], O_RDONLY | O_DIRECTORY, 0);
        if (folder < 0)
            continue;
        int descriptor = add(watch, folder, CHANGES | ENDS);
        if (descriptor <= 0) {
            complain(watch, folders[i]);
            continue;
        }
        watched->descriptors[i] = descriptor;
        put_place(watch, descriptor, watched);
    }
}

static void forget_from(struct watch *watch, struct watched *watched, size_t first)
{
    for (size_t i = first; i < WATCHED_FOLDERS; i++) {
        if (!watched->descriptors[i])
            continue;
        inotify_rm_watch(watch->fd, watched->descriptors[i]);
        lose_place(watch, watched->descriptors[i]);
        watched->descriptors[i] = 0;
    }
}

void watch_tree(struct watch *watch, struct watched *watched, int tree, void *subject)
{
    add_folders(watch, watched, tree, subject, WATCHED_FOLDERS);
}

void watch_top(struct watch *watch, struct watched *watched, int tree, void *subject)
{
    forget_from(watch, watched, 1);
    add_folders(watch, watched, tree, subject, 1);
}

bool watch_has_top(const struct watched *watched)
{
    return watched->descriptors[0] > 0;
}

bool watch_is_whole(const struct watched *watched)
{
    for (size_t i = 0; i < WATCHED_FOLDERS; i++)
        if (watched->descriptors[i] <= 0)
            return false;
    return true;
}

void watch_forget(struct watch *watch, struct watched *watched)
{
    forget_from(watch, watched, 0);
}
