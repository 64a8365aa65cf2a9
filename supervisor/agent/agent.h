/* An agent as the supervisor sees it, and its worker. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/format/roster.h"
#include "common/message.h"
#include "supervisor/agent/agents.h"
#include "supervisor/agent/counters.h"
#include "supervisor/agent/desired_state.h"
#include "supervisor/agent/disk_limit.h"
#include "supervisor/agent/lifecycle.h"
#include "supervisor/agent/tree_guard.h"

/* The figures that a worker reported last. */
struct figures {
    uint64_t queue, inbox, handoffs, outbox, dead_letters, negative_streak, tasks_done, tokens_today;
};

struct agent {
    struct agents *agents;
    struct roster_agent *definition; /* owned; name points into it */
    uint64_t definition_hash;        /* of the definition's text (roster_encode) */
    const char *name;
    char *path; /* DATA_DIR/agents/NAME */
    int tree;   /* descriptor of path; -1: the folder can't be opened, or isn't open: agent_tree */
    struct tree_guard guard;
    struct disk_account disk;
    struct watched watched;
    struct life life;
    struct timer life_timer, task_timer, alone_timer;
    struct line *line; /* of the present worker; NULL: there is none, or it isn't let in yet */
    char *trouble;     /* the reason that keeps the agent from starting, one sentence; NULL: none */
    bool leaving;      /* the agent is taken out of agents.yaml: freed when its process has ended */

    struct {
        LIST_ENTRY(agent) name_link, pid_link, living_link; /* the last two while there is a pid */
        /* The agent was ready once, or failed to become so. */
        bool settled;
    } found; /* lookup.c's */

    struct {
        struct left left;        /* leavings.c's */
        struct long_look longer; /* long_looks.c's */
        int64_t guarded_ms;      /* monotonic: the tree's turn in agents_guard's round */
        int64_t scanned_ms;      /* monotonic: agent_scan, while the agent has a process */
    } looks;

    struct {
        bool begun; /* the agent was looked at since the supervisor's start: begin.h */
        struct desired_state desired;
        /* The order can't be read: the agent waits, stopped, until it can or somebody orders anew. */
        bool unknown;
        char *elsewhere; /* why the worker may not run here (agent_live_here); NULL: it may. Owned */
        uint64_t epoch;  /* of the agent's lease, for its commits; 0: there is none */
        struct timer timer;
    } order;

    struct {
        pid_t pid;                       /* 0: none, or not known yet; set by lookup_set_process */
        clockid_t clock;                 /* CPU time of all the worker's threads; while there is a pid */
        int64_t worked_ns, worked_at_ms; /* that clock as it was read last, and when: monotonic */
        struct log_pipe *log;            /* the worker's standard error; NULL: none */
        /* The worker's account of memory in /proc, opened before its sandbox hides that; -1: none. */
        int memory;
        unsigned memory_group; /* 0: none */
        uint64_t generation;
        struct start start;
        bool spawning; /* SPAWN is sent or due, SPAWNED is not back */
        bool said_hello;
        int signal_due; /* to be sent as soon as the pid is known */
        int64_t spawned_at;
    } worker; /* the present one */

    struct {
        uint64_t asked, answered; /* the heartbeats' serials, the last of each */
        unsigned unanswered;      /* heartbeats */
        bool given;               /* the worker was sent something after the last heartbeat */
        unsigned messages;        /* since the last heartbeat */
        unsigned strays;          /* of this worker, before it said HELLO */
        int64_t streak_said_ms;   /* clock_monotonic_ms: when a streak was in the log last */
    } beat;

    struct {
        uint64_t dirty;    /* bits of enum look: changes that the worker hasn't been told yet */
        int64_t looked_at; /* clock_monotonic_ms: when the worker was told last */
        struct file_stamp queue_stamp;
        struct timer look_timer, rest_timer;
        int64_t sent_away_ms;         /* clock_monotonic_ms, the last time: warm.c's */
        TAILQ_ENTRY(agent) idle_link; /* while warm: */
        bool warm;                    /* the agent is in the list of idle workers (warm.h) */
        bool resting;                 /* the worker was sent REST: an exit 0 is no failure then */
        bool called;                  /* a LOOK went out after that, which the worker may not have read */
        bool slept;                   /* the worker before hibernated: this one is no restart */
        bool listed;                  /* the agent hibernates, by the file of rested.h */
    } notice;                         /* change_notice.c's */

    struct {
        struct figures figures;
        bool counted;        /* figures were told since the supervisor started */
        char *doing;         /* a task's id, or the event that the worker waits for; NULL */
        int64_t doing_until; /* epoch seconds; 0: not known */
        char *problems;      /* a line each */
    } told;                  /* by the agent's workers */

    struct {
        char *last_exit;    /* NULL: none yet */
        int64_t down_since; /* epoch seconds: the agent is out of work since then; 0: it is not */
        uint64_t restarts;
        uint64_t divergences;      /* audits that gave another score */
        bool failure_told;         /* an alert has told of the failure */
        bool had_threads;          /* the worker said HELLO, and its end was not asked for */
        struct counters *counters; /* NULL: nothing was counted; agent_counters */
    } past;                        /* since the supervisor started */

    struct {
        char *task;   /* the task that was begun last; NULL: none */
        bool counted; /* a reservation has counted it */
        bool another; /* while another task of the same id is in hand */
        bool waits;
        uint64_t told[2];             /* hashes of the agent's last alerts: of tokens, of money */
        uint64_t wanted, wanted_cost; /* tokens and money, while the agent waits */
        uint64_t cost_total;          /* since the supervisor started */
    } spends;                         /* budget_gate.c's */
};

/* agent.c: an agent and its worker */
struct agent *agent_new(struct agents *agents, const struct roster_agent *definition);
void agent_free(struct agent *agent);
struct counters *agent_counters(struct agent *agent); /* for its owner to count in */
void agent_start(struct agent *agent);                /* the agent's turn to start has come (starts.h) */
/* False: the agent is defined so already. */
bool agent_redefine(struct agent *agent, const struct roster_agent *definition);
/* A heartbeat is due: sent to a worker that has something in hand, was given something or owes an answer, and to an idle
 * one each sixth time. */
void agent_heartbeat(struct agent *agent, uint64_t serial);
/* log: the reading end of the worker's standard error, the agent's from now on; -1: none. */
void agent_spawned(struct agent *agent, pid_t pid, int log, const char *why);
/* The zygote was replaced: a spawn that was due is asked for again. */
void agent_spawn_again(struct agent *agent);
void agent_exited(struct agent *agent, int status);
/* CPU time of the agent's worker, at most a second old: reading the clock costs for each of the worker's threads. 0:
 * there is no worker. */
int64_t agent_worked_ns(struct agent *agent);

/* orders.c: the operator's orders for the agent */
void orders_begin(struct agent *agent);
/* Starts the agent, unless it hibernates or was ordered to stay stopped; once. */
void agent_begin(struct agent *agent);
/* Whether the agent's worker may run here (contract section 12), as it may at first. elsewhere: NULL, it may; else
 * why not, the second half of a sentence ("it lives on node 'dc2'"), and the worker is asked to end, within the
 * grace, or at_once is killed. The operator's orders for the agent stay, and are carried out when its worker may run
 * again. */
void agent_live_here(struct agent *agent, const char *elsewhere, bool at_once);
/* An order of the operator's; kept over restarts when remember. */
void agent_order(struct agent *agent, enum life_event order, bool remember);

/* absence.c: "stopped", "paused", "failed" …, NULL: the agent works, or will in a moment. since: epoch seconds; 0:
 * not known. */
void agent_absence_changed(struct agent *agent); /* the agent's state has */
const char *agent_absence(const struct agent *agent, int64_t *since);
/* trouble: the reason that keeps the agent from starting, one sentence; NULL: none. */
void agent_trouble(struct agent *agent, const char *trouble);

/* line.c: messages to the worker */
bool agent_send(struct agent *agent, enum message_type type, ...);
void agent_distrust(struct agent *agent, const char *why); /* the worker is killed, and started again */

/* change_notice.c: how a worker learns of changes in its tree, and sleeps while there are none */
/* Tells the worker: at once when it is idle, else a fifth of a second after the last time at the earliest. */
void agent_look(struct agent *agent, uint64_t look);
void agent_scan(struct agent *agent);
void agent_active(struct agent *agent, bool idle); /* the worker says whether it is idle */
void look_begin(struct agent *agent);
/* The descriptor of the agent's tree, borrowed, opened anew where it was closed; -1 and errno: the folder
 * can't be opened. */
int agent_tree(struct agent *agent);
/* Asks an idle worker to leave; false: the worker has something to do, or nobody would notice later work. */
bool look_send_away(struct agent *agent);
void look_state_changed(struct agent *agent); /* the agent's state or its definition has */
bool look_is_due(const struct agent *agent);  /* there may be work that the worker hasn't seen */
/* The agent hibernated when the supervisor started, and goes on. */
void look_rest_on(struct agent *agent);
bool look_queue_has_changed(const struct agent *agent);
void look_rest(struct agent *agent,
               bool called); /* the worker has left for lack of work; called: it is started again */
