/* The life of one agent's worker as a table: state × event → one action (contract section 10).
 *
 * Pure: the table decides, and acts on the world only through the operations that its owner hands in. So every row
 * can be tested without a process. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* X(ENUM, name as people see it) */
#define STATE_TABLE(X)                                                                                       \
    X(STARTING, "starting") /* a process is asked for, or bootstraps: not ready yet */                       \
    X(IDLE, "idle")                                                                                          \
    X(WORKING, "working")                                                                                    \
    X(WAITING, "waiting")   /* the provider, or something else outside, holds the task up */                 \
    X(PAUSED, "paused")     /* alive, takes no new work */                                                   \
    X(STOPPING, "stopping") /* on its way out, by order */                                                   \
    X(STOPPED, "stopped")   /* no process, by order */                                                       \
    X(BACKOFF, "backoff")   /* the worker ended by itself; the next start is due when the timer rings */     \
    X(HIBERNATING, "hibernating") /* no process, for lack of work; any work starts it */                     \
    X(FAILED, "failed")           /* the agent can't be started as things are; tried again each minute */

enum life_state {
#define X(name, text) STATE_##name,
    STATE_TABLE(X)
#undef X
        STATE_COUNT
};

/* X(ENUM) */
#define EVENT_TABLE(X)                                                                                       \
    X(START) /* orders */                                                                                    \
    X(STOP)                                                                                                  \
    X(RESTART)                                                                                               \
    X(KILL)                                                                                                  \
    X(PAUSE)                                                                                                 \
    X(RESUME)                                                                                                \
    X(WAKE)  /* there is work */                                                                             \
    X(READY) /* news from the worker */                                                                      \
    X(IDLE)                                                                                                  \
    X(WORKING)                                                                                               \
    X(WAITING)                                                                                               \
    X(PAUSED)                                                                                                \
    X(EXIT)   /* the process has ended, or none came to be */                                                \
    X(REST)   /* the process has ended, as the worker had nothing to do and was allowed to leave */          \
    X(UNABLE) /* the process has ended, and another start at once would be of no use */                      \
    X(TIMER)                                                                                                 \
    X(HUNG) /* no heartbeat, a task over its time, a broken connection, a message that isn't allowed */

enum life_event {
#define X(name) EVENT_##name,
    EVENT_TABLE(X)
#undef X
        EVENT_COUNT
};

struct life;

struct life_operations {
    void (*spawn)(void *context);                      /* ask for a process; READY or EXIT follows */
    void (*ask_stop)(void *context, int64_t grace_ms); /* STOP */
    void (*ask_pause)(void *context, bool pause);      /* PAUSE */
    void (*signal)(void *context,
                   int signal); /* to the process; when that isn't there yet, as soon as it is */
    void (*timer)(void *context, int64_t in_ms);            /* TIMER then; -1: never mind */
    void (*changed)(void *context, enum life_state before); /* the state is another */
};

struct life {
    const struct life_operations *operations;
    void *context;
    int64_t grace_ms; /* STOP_GRACE */
    enum life_state state;
    bool paused;       /* ordered */
    bool again;        /* while stopping: to be started again afterwards */
    unsigned failures; /* ends in a row, without a minute of health between */
    unsigned stage;    /* while stopping: 0 asked, 1 SIGTERM, 2 SIGKILL */
    int64_t ready_at;  /* clock_monotonic_ms; 0: not ready */
    uint64_t starts;   /* spawns asked for, since the supervisor started */
};

enum {
    LIFE_START_MS = 120 * 1000, /* from spawn to ready: a big repository may have to be repaired */
    LIFE_TERM_MS = 1000,        /* from SIGTERM to SIGKILL */
    LIFE_FAILED_MS = 60 * 1000,
};

/* state STOPPED, nothing started. */
void life_begin(struct life *life, const struct life_operations *operations, void *context, int64_t grace_ms);
void life_event(struct life *life, enum life_event event);

const char *life_state_name(enum life_state state);
bool life_has_process(const struct life *life); /* a process is there or is coming */
bool life_is_up(const struct life *life);       /* idle, working, waiting or paused */
