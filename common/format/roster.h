/* agents.yaml (contract section 3): the agents of this data directory, and their limits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"

enum throughput_class { CLASS_SLOW, CLASS_MEDIUM, CLASS_FAST, CLASS_COUNT, CLASS_UNSET = CLASS_COUNT };

struct text_list {
    char **items;
    size_t count;
};
bool text_list_has(const struct text_list *list, const char *text);
void text_list_free(struct text_list *list); /* it is empty then */

struct schedule_entry {
    char *cron, *task;
};

enum audit_method { AUDIT_RULE_BASED, AUDIT_COMMAND, AUDIT_LLM };

struct roster_agent {
    char *name, *persona, *domain, *tone; /* domain, tone: "" when not given */
    struct text_list hints, goals;
    enum throughput_class throughput_class; /* CLASS_UNSET: the class that persona.md names, else medium */
    int64_t ttl_seconds;                    /* 0: never expires */
    bool may_send_to_all;
    struct text_list may_send_to; /* when not to all */
    double decay_halflife_days;
    struct {
        bool enabled; /* when it isn't said: true if a method is named */
        enum audit_method method;
        struct text_list command;
        unsigned line, column; /* of the command in agents.yaml */
    } reward_audit;
    struct {
        int64_t memory_mb, open_files, disk_mb, task_seconds, tokens_per_day,
            tasks_per_hour;  /* the last two: 0 = no limit */
        double cost_per_day; /* 0 = no limit */
    } limits;
    struct {
        int64_t negative_streak;
        bool pause;
    } watchdog;
    int64_t idle_exit_seconds;
    char *node; /* the bus's node that the agent lives on; "": agents.yaml names none */
    struct {
        int64_t outputs, archive; /* so many of the newest files stay in the work tree; 0: all */
    } keep;
    struct schedule_entry *schedule;
    size_t schedule_count;
    unsigned line; /* in agents.yaml */
};

struct roster_queue {
    char *name;
    struct text_list consumers;
    int64_t max_attempts;
};

struct roster_segment {
    char *name;
    struct text_list writers, readers;
};

/* For a million tokens, in the operator's currency. */
struct roster_price {
    char *model; /* first: as LLM_MODEL says it */
    double input, output;
    double cached; /* below 0: as input */
};

/* The alerts that a hook gets; `events` of agents.yaml names them in words. */
enum alert_kind {
    ALERT_WATCHDOG,
    ALERT_DEAD_LETTER,
    ALERT_BUDGET,
    ALERT_AGENT_FAILED,
    ALERT_PROVIDER,
    ALERT_KINDS
};

/* Where alerts go. */
struct roster_hook {
    char *url;               /* http or https */
    char *secret_file;       /* absolute; NULL: alerts are not signed */
    struct text_list events; /* as they stand in agents.yaml; none: all */
    unsigned kinds;          /* the same: a bit for each enum alert_kind */
    unsigned line, column;   /* of secret_file in agents.yaml, else of the entry */
};

struct class_limits {
    int64_t window, backlog;
};

struct roster {
    struct roster_agent *agents;
    size_t agent_count;
    struct class_limits classes[CLASS_COUNT];
    int64_t warm_workers;   /* so many idle ones stay */
    int64_t tokens_per_day; /* budget of all together; 0 = no limit */
    double cost_per_day;    /* budget of all together; 0 = no limit */
    struct roster_price *prices;
    size_t price_count;
    struct roster_queue *queues;
    size_t queue_count;
    struct roster_segment *segments;
    size_t segment_count;
    struct roster_hook *hooks; /* `notify` */
    size_t hook_count;
    char *comments;                      /* roster_comments of the file; NULL: none. Owned */
    const struct roster_agent **by_name; /* sorted, for roster_find; owned */
};

enum { ROSTER_FILE_MAX = 4 * 1024 * 1024, ROSTER_AGENTS_MAX = 10000, ROSTER_HOOKS_MAX = 16 };

/* Every fault of the file, a line each "agents.yaml:LINE:COLUMN: sentence\n" in the order of their places (the first
 * 200, and how many more there are), is added to faults; NULL then. name stands in front of the lines. A text that is
 * no YAML at all shows its first fault only. Caller frees with roster_free. */
struct roster *roster_parse(const char *text, size_t length, const char *name, struct buffer *faults);
/* DATA_DIR/agents.yaml: also missing, empty, a directory, a FIFO, unreadable, not UTF-8 or too large are faults;
 * then the line starts with the file's path. Links are followed: the file and the folder are the operator's. */
struct roster *roster_load(const char *data_dir, struct buffer *faults);
void roster_free(struct roster *roster);
const struct roster_agent *roster_find(const struct roster *roster, const char *name);
/* Always false. fault: agents.yaml has no agent, or no queue, of this name, and which known name is nearest to it. */
bool roster_no_agent(const struct roster *roster, const char *name, struct fault *fault);
bool roster_no_queue(const struct roster *roster, const char *name, struct fault *fault);
bool roster_prices(const struct roster *roster,
                   const char *agent); /* one of the agent's models has a price */
const struct roster_price *roster_price(const struct roster *roster, const char *model); /* NULL: not known */

/* Each hook whose secret can't be read now (webhook_secret.h): a line of faults, as roster_parse's. True: all secrets
 * can be read. Apart from roster_load, since only the user that runs the agents can read secrets. */
bool roster_secrets(const struct roster *roster, struct buffer *faults);
const char *alert_name(enum alert_kind kind); /* "watchdog" … */

const char *class_name(enum throughput_class throughput_class); /* "slow" … */
bool class_parse(const char *text, enum throughput_class *throughput_class);

/* One agent's definition as agents.yaml has it, for people: a list's item, its "- " behind `indent` blanks, or a
 * mapping on one line for a list in brackets. whole: every key is there, whatever `defaults:` may say where the
 * definition will stand; else only keys with another value than their own default. */
enum roster_form { ROSTER_ITEM, ROSTER_FLOW };
void roster_write(const struct roster_agent *agent, enum roster_form form, unsigned indent, bool whole,
                  struct buffer *out);

/* One agent's definition as text for another process of ours, and back; the caller frees the copy with
 * roster_agent_free. The place in agents.yaml is no part of it (line is 0 in the copy): two definitions are the same when their texts are. */
void roster_encode(const struct roster_agent *agent, struct buffer *out);
struct roster_agent *roster_decode(const char *text, size_t length); /* NULL: the text is no definition */
void roster_agent_free(struct roster_agent *agent);
