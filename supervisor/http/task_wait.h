/* Clients that wait for a task's end: the files of its agent are looked at again as soon as they have changed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <time.h>

#include "supervisor/process/loop.h"

enum {
    TASK_WAIT_MAX = 60,     /* seconds */
    TASK_LOOK_MS = 250,     /* between two looks */
    TASK_NOWHERE_MS = 3000, /* a task may stand nowhere for this time, while queue.md is exchanged */
};

/* The stamps of queue.md and of the folders that a task ends in: another look is worth while when they have changed. */
struct task_stamp {
    struct timespec changed[3];
    ino_t inodes[3];
};

struct task_wait {
    int64_t begun_ms, until_ms; /* clock_monotonic_ms */
    bool parked, nowhere;       /* nowhere: the task stood in no file */
    const char *agent;          /* borrowed */
    struct task_stamp stamp;
    int client;                 /* socket, borrowed; -1: unknown. When it ends, so does the wait */
    void (*due)(void *context); /* the wait is parked no more */
    void *context;
    TAILQ_ENTRY(task_wait) link;
};

struct task_waits { /* task_waits_begin */
    TAILQ_HEAD(, task_wait) parked;
    int data; /* DATA_DIR */
    struct loop *loop;
    struct timer timer; /* of the next look */
};

void task_waits_begin(struct task_waits *waits, struct loop *loop, int data); /* both are borrowed */

void task_wait_begin(struct task_wait *wait, int seconds, int client, void (*due)(void *context),
                     void *context);
/* The files are about to be read. */
void task_wait_look(const struct task_waits *waits, struct task_wait *wait, const char *agent);
/* True: the client waits on, until `due`. False: its time is over. */
bool task_wait_park(struct task_waits *waits, struct task_wait *wait, bool nowhere, int64_t now);
void task_wait_end(struct task_waits *waits, struct task_wait *wait);
