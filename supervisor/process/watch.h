/* People's changes in the agents' trees, as the kernel tells them: one inotify instance for all agents.
 *
 * The watches cover the files in a tree's top and in iac/inbox and iac/handoffs. Only whole changes count (a file that
 * was written and closed, moved in, made, removed). Where the kernel refuses a watch the log says so once; the safety
 * scan then finds the changes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/process/loop.h"

struct watch;

enum { WATCHED_FOLDERS = 3 };

/* An agent's watches; lives in its owner, zeroed at first. */
struct watched {
    int descriptors[WATCHED_FOLDERS]; /* 0: not watched (inotify's begin at 1) */
    void *subject;
};

struct watch_owner {
    void (*changed)(void *subject, uint64_t look); /* bits of enum look (message.h) */
    void (*top_changed)(
        void *subject); /* in a tree's top, a file that isn't *.md or a folder; or the watch of
                                         * the top has ended. NULL: nobody wants to know */
    void (*all_changed)(void *context);    /* events were lost: anything may have changed */
    void (*roster_changed)(void *context); /* DATA_DIR/agents.yaml */
    void (*shared_changed)(void *context); /* a folder of watch_shared */
    /* Whether the supervisor has put this file into iac/inbox or iac/handoffs itself; NULL: nobody knows of any. */
    bool (*put_there)(void *subject, const char *folder, const char *name);
    void *context;
};

/* Never NULL: without inotify the watch tells of nothing. */
struct watch *watch_open(struct loop *loop, const struct watch_owner *owner);
void watch_close(struct watch *watch);

/* Watches the folder for changes of agents.yaml. */
void watch_roster(struct watch *watch, int data_folder);
/* Watches the folder, a queue's in shared/, for changes of files; again is cheap and fine. */
void watch_shared(struct watch *watch, int folder);
/* Adds the tree's missing watches; cheap when none is missing. tree: its descriptor. */
void watch_tree(struct watch *watch, struct watched *watched, int tree, void *subject);
/* Watches only the tree's top, where queue.md is, from now on; a missing watch of it is added. */
void watch_top(struct watch *watch, struct watched *watched, int tree, void *subject);
/* Whether the kernel tells of every change in the tree; whether it tells of changes in its top. */
bool watch_is_whole(const struct watched *watched);
bool watch_has_top(const struct watched *watched);
void watch_forget(struct watch *watch, struct watched *watched);
/* A watched top folder is gone or was moved away: descriptors[0] is 0 again. */
