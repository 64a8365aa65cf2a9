/* The supervisor from within: its parts. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/format/roster.h"
#include "supervisor/agent/agent.h"
#include "supervisor/agent/file_leases.h"
#include "supervisor/budget_gate.h"
#include "supervisor/model/audit.h"
#include "supervisor/model/relay.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/process/child.h"
#include "supervisor/process/loop.h"
#include "supervisor/run.h"
#include "supervisor/schedule.h"

struct alerts;
struct envelope;
struct far_reads;
struct outages;
struct shared_state;
struct control;
struct http_listener;
struct ownership;
struct post;

/* The state of agents.yaml on disk; reload.c's. */
struct roster_file {
    struct file_stamp read, seen; /* the file as it was read last, and as it was looked at last */
    struct timer timer;           /* until a change has settled */
    char *fault;                  /* why the file is refused, a sentence; NULL: it is as it was applied */
};

struct supervisor {
    const struct run_options *options;
    struct roster *roster; /* agents.yaml as it was applied last; owned, another one after a reload */
    struct roster_file roster_file;
    struct loop *loop;
    struct ownership *ownership;
    int data;  /* descriptor of DATA_DIR */
    int notes; /* descriptor of DATA_DIR/.run, where orders and the post's journal lie; -1: not there */
    struct relay *relay;
    struct audits *audits;
    struct control *control;
    struct post *post;
    struct shared_state *shared;
    struct budget_gate *budget_gate;
    struct budget *budget; /* the gate's ledger, for readers that only ask it */
    struct schedule *schedule;
    struct {
        struct alerts *queue;
        struct outages *outages;
        uint64_t budget_told[2]; /* hashes of the last alerts about everybody's budget: of tokens, of money */
        uint64_t buried[1024];   /* hashes of tasks that the post office ended last, and told of; 0: none */
        size_t next;             /* the oldest place of buried */
    } alerts;                    /* alert_sources.c's */
    struct http_listener *http;  /* NULL: there is no HTTP interface */
    struct notify *notify;       /* NULL: no service manager listens */
    struct local_node local;
    struct {
        struct child zygote, gateway;
        struct far_reads
            *reads;  /* the nodes' reading for each other; never NULL while there is a control server */
        char *audit; /* path of agentos-audit */
        char **zygote_environment;
        /* Socket pair: the zygote sends workers' standard errors to the supervisor's end. */
        int zygote_logs[2];
    } programs;
    struct agents agents;
    struct {
        int fd; /* signalfd */
        struct loop_watch *watch;
    } signals;
    struct {
        struct timer scan, heartbeat, end;
        struct wallclock *wallclock;
        uint64_t beats;     /* the serial of the last heartbeat */
        int64_t trimmed_ms; /* clock_monotonic_ms: when free memory was given back last */
        unsigned scan_part; /* the part of `scan` that comes next */
    } timers;
    struct {
        int64_t started_at;
        bool said;        /* the log has "AgentOS running …" */
        bool all_started; /* every agent has had its first start, or hibernates */
        bool missing;     /* the run directory can't be made anew, which the log says */
        bool ending;      /* workers were killed; a worker that doesn't end is left */
        struct file_leases leases;
    } run;
};

static inline struct supervisor *supervisor_of(const struct agent *agent)
{
    return agent->agents->context;
}

/* agent_events.c: agents' news for their surroundings */
extern const struct agent_callbacks supervisor_agent_callbacks;
void supervisor_settled(
    struct supervisor *supervisor); /* says that the supervisor runs, once every agent is ready or failed */

/* alert_sources.c: alerts to people through `notify` of agents.yaml */
void supervisor_begin_alerts(struct supervisor *supervisor);
void supervisor_end_alerts(struct supervisor *supervisor);
/* NOTIFIED or PROVIDER of the gateway; false: the message is another, or malformed. */
bool alert_gateway_says(struct supervisor *supervisor, const void *bytes, size_t length);
void alert_agent_changed(struct agent *agent);                 /* the agent's state has */
void alert_streak(const struct agent *agent, uint64_t before); /* of failures has grown */
/* An envelope has come to nothing, or a task whose agent has no process: its worker tells of the task again when it
 * starts. */
void alert_dead_letter(struct supervisor *supervisor, const char *agent, const struct envelope *envelope,
                       const char *status, const char *reason);
/* A worker tells a task's end. */
void alert_task_ended(const struct agent *agent, const char *task, const char *end, const char *reason);
/* The agent waits for its budget of the day, or for everybody's. */
void alert_budget(struct agent *agent, const struct budget_request *request, const char *sentence);

/* worker_messages.c: workers' messages */
bool agent_hears(void *agent, const void *bytes, size_t length, struct line_turn *turn);

/* model_wiring.c: the relay and the budgets, begun and ended */
void supervisor_begin_asking(struct supervisor *supervisor);
/* The agent's provider is asked now. */
void supervisor_retry(struct supervisor *supervisor, struct agent *agent);
void supervisor_end_asking(struct supervisor *supervisor);

/* reload.c: agents.yaml is read again; the changes or the refusal are in the log and added to said. False: refused. */
bool supervisor_reload(struct supervisor *supervisor, struct buffer *said);
void roster_file_begin(struct supervisor *supervisor);   /* before the file is read for the first time */
void roster_file_changed(struct supervisor *supervisor); /* a notice tells of a change */
/* Finds changes of the file that come without a notice: links, mounts of one file, file systems without inotify. */
void roster_file_scan(struct supervisor *supervisor);
void roster_file_end(struct supervisor *supervisor);
