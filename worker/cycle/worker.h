/* One worker's parts and its state; shared by the files of the cycle, owned by worker.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/files.h"
#include "common/message.h"
#include "common/usage.h"
#include "worker/cycle/answer_store.h"
#include "worker/cycle/audit_results.h"
#include "worker/cycle/auditing.h"
#include "worker/cycle/choice.h"
#include "worker/cycle/deferred.h"
#include "worker/cycle/prompt.h"
#include "worker/cycle/start.h"
#include "worker/cycle/supervisor_link.h"
#include "worker/cycle/timers.h"
#include "worker/history/history.h"
#include "worker/mail/mail.h"
#include "worker/memory/learning.h"
#include "worker/queue/attempts.h"
#include "worker/queue/queue.h"
#include "worker/queue/waiting.h"
#include "worker/reply/reply.h"

/* The stage of the one cycle. */
enum phase {
    PHASE_NONE,  /* no task in hand */
    PHASE_ASKED, /* the question is with the gateway */
    /* the answer is here, but could not be committed (disk full …): the answer is kept and the commit tried again,
     * since a second question would cost money */
    PHASE_ANSWER,
};

/* The question that is out although its task isn't begun yet (prefetch.c). */
struct prefetch {
    char *id, *task; /* of the block; NULL: there is none */
    uint64_t hash;
    struct buffer prompt, problems; /* problems: of the prompt; told when its turn comes */
    struct prompt_places places;
    int64_t at_ms;         /* monotonic: made at */
    uint64_t readings;     /* learning_readings at that time */
    uint64_t serial;       /* 0: the question isn't out */
    int64_t not_before_ms; /* a guess was wrong: none before */
};

/* The sender of the last turn (choice.c). */
struct turns {
    struct waiting *waiting;
    struct turn last, before;
    bool next_by_age; /* the choice made last is old work's */
};

enum { REPORTED = 4 /* of the iac folders: inbox, handoffs, outbox, dead-letter */ };

/* Folders of which git tracks only the youngest files (prune.c). */
enum kept_few_kind { KEPT_OUTPUTS, KEPT_ARCHIVE, KEPT_FEW };

/* How far a folder's old files have left the work tree (prune.c). */
struct pruning_at {
    size_t unknown; /* so many more files until the folder is looked at again */
    size_t stay;    /* so many of the oldest were looked at by this going and stay */
    bool going;     /* more are to go */
};

struct task {
    char *id, *text, *from;
    uint64_t hash;
    uint64_t whole;                /* answer_hash_whole; 0: of an envelope */
    uint64_t deaths_before;        /* workers that it had taken down when its answer came, or comes now */
    bool by_post;                  /* the task is an envelope: */
    struct opened_envelope opened; /* this one */
    struct bundle bundle;          /* the envelopes that are read along with it */
    char *lock;                    /* the lock that it holds; NULL: none */
    uint64_t token;                /* the lock's fencing token */
    bool lease_lost;               /* the supervisor said so: the next step puts the task down */
    size_t asked_bytes; /* of the prompt and the task that went out last; 0: none did, or from ahead */
    bool asked_least;   /* the bytes can't be made fewer */
    struct {
        char *text, *finish_reason, *model;
        struct question_usage usage; /* of its own question */
        bool kept;                   /* in the answer store, where no kill can take it */
    } answer;                        /* set in PHASE_ANSWER */
    struct question_usage usage;     /* the usage of all questions about the task, failed ones too */
};

/* Is it the provider's trouble, or the task's? */
struct provider_trouble {
    int64_t asked_ms;  /* monotonic: the question in hand */
    int64_t failed_ms; /* the last failure since the last answer; 0: none */
    uint64_t task;     /* the hash of the last task that failed without being refused, */
    unsigned failures; /* and how often in a row */
    unsigned refused;  /* tasks that were refused while the provider answered nobody */
};

/* The line to the supervisor (say.c). */
struct line {
    struct link *link;
    struct buffer message; /* scratch: the message that is being made */
    struct buffer said;    /* SEVERAL: the messages that are not sent yet */
    unsigned said_count;
    bool waits;      /* the messages wait for the messages of the next turn */
    bool lost;       /* the supervisor is gone */
    uint64_t serial; /* of the last question */
};

/* The locks that were asked for or granted (leases.c). */
struct leases {
    struct lock_wait *items;
    size_t count;
};

/* The supervisor's wishes of this worker. */
struct orders {
    bool pause, stop;
    bool rest;                /* leave, if there is nothing to do */
    char *rollback;           /* the commit to go back to before the next cycle; NULL: none */
    uint64_t rollback_serial; /* of the request */
};

/* The looks that are due, and the times of the last looks (monotonic; edits.c, prune.c). */
enum { TREE_STATE_FILES = 8 };

struct merged_file {
    struct file_stamp stamp;
    unsigned line; /* where a conflict begins; 0: there is none */
};

struct looks {
    bool queue, tree, mail;
    bool expired;      /* expired tasks are in the queue still, so no work is begun (task_ends.c) */
    bool people;       /* the tree has changed since the last look at what people left there */
    bool merging;      /* a state file has conflict marks, so no work is begun (tree_look.c) */
    bool anew;         /* the repository was opened anew, and may have no commit */
    int64_t people_ms; /* findings in the tree */
    struct merged_file merged[TREE_STATE_FILES];
    int64_t names_ms;    /* new files among people's edits */
    int64_t learning_ms; /* the learned files */
    struct kept_file prompt[PROMPT_FILES];
    struct pruning_at pruning[KEPT_FEW];
    size_t tracked_unknown[KEPT_FEW]; /* so many more files until the tracked ones are counted again */
};

/* The obstacle before the worker's next task: storage, provider or budget. */
struct trouble {
    char *sentence;   /* NULL: there is no trouble */
    int64_t delay_ms; /* the last backoff; 0: neither storage nor provider is in trouble */
    bool budget;      /* until TIMER_BACKOFF is due, or LOOK_BUDGET */
    const char *what; /* "storage", "provider", "budget": of the wait until TIMER_BACKOFF; static */
    int64_t until;    /* epoch s: that wait's end */
    struct provider_trouble provider;
    struct deferred *deferred; /* tasks that the provider does not answer as they are */
    struct prompt_room room;   /* for prompts, in the provider's context */
};

/* The sentences of `status`, by where they come from. */
struct problems {
    struct buffer tree;        /* found when the tree was opened and bootstrapped */
    struct buffer learning;    /* by the last look at the learned files */
    struct buffer prompt;      /* by the last prompt */
    struct buffer persona;     /* when persona.md was read last for its class */
    struct buffer queue;       /* of the queue file */
    struct buffer queue_hints; /* the problems that only a file at rest gives */
    struct buffer mail;        /* by the last look at the post */
    struct buffer people;      /* findings in the tree */
    char *said;                /* the problems as the supervisor knows them */
};

/* As the supervisor knows it. */
struct activity {
    enum agent_activity now;
    bool said;
    char *detail;
    int64_t until;
};

/* Figures of the card and of `status` that no file of the tree but the card keeps. */
struct figures {
    char day[16]; /* of tokens_today, "2026-04-29" */
    uint64_t tokens_today;
    uint64_t negative_streak; /* as of the last commit */
    char *last_task;
    uint64_t envelopes[REPORTED];        /* as they were counted last */
    struct file_stamp folders[REPORTED]; /* of each folder, before that; zero: the folder is counted anew */
    struct {
        struct file_stamp stamp; /* of the persona.md that the class was read from; zero: none */
        enum throughput_class throughput_class;
    } persona;
};

struct worker {
    struct worker_start *start; /* borrowed */
    const char *name;           /* start->agent->name */
    char *path;                 /* absolute, of the tree */
    int tree;
    struct line line;
    struct history *history;
    struct queue *queue;
    struct learning *learning;
    struct attempts *attempts;
    struct answer_store *answers;
    struct auditing *auditing;
    struct mail *mail;

    enum phase phase;
    struct task task;
    struct prefetch prefetch;
    struct turns turns;
    struct leases leases;
    struct orders orders;
    struct looks looks;
    struct timers timers;

    struct activity activity;
    struct figures figures;
    struct problems problems;
    struct trouble trouble;
};

/* say.c */
/* A message is sent with the others of this turn, before the worker waits for anything; worker_send: now. A message
 * reports durable facts, or asks for something, so a death between loses time only. */
void worker_say(struct worker *worker, enum message_type type, ...);
void worker_send(struct worker *worker);

/* So long may a turn of the loop end one piece of work after the other: orders and heartbeats wait meanwhile. */
enum { TURN_MS = 100 };

/* tree_look.c: the findings in the tree are reported. True: a merge left conflict marks, so no work may begin. */
bool tree_look(struct worker *worker);

/* cycle.c: the cycle's steps. */
void cycle_next(struct worker *worker); /* begin the next task if there is one and it may begin */
void cycle_answer(struct worker *worker, enum answer_kind kind, char *text, char *finish_reason, char *model,
                  const struct question_usage *usage, int64_t retry_after_ms,
                  int64_t answered_ms); /* takes the texts */
/* commit_cycle.c: PHASE_ANSWER: commit it, or say why not and wait. */
void cycle_finish(struct worker *worker);

struct sending;
/* prefetch.c: the next question, asked before its task's turn. */
/* To be called before the commit that ends the task in hand, when all that it says, sends and teaches is known. */
void prefetch_ask(struct worker *worker, const struct reply *reply, const struct sending *sending);
bool prefetch_is_out(const struct worker *worker);
bool prefetch_is_about(const struct worker *worker,
                       const struct block *block); /* the question that is out is this block's */
/* Whether worker->task is the prefetched task, with no envelope to read along, so that the question of a moment ago
 * counts for it. */
bool prefetch_stands(struct worker *worker);
/* Whether worker->task is the prefetched task, and this its question: then the question that is out counts for the
 * task; else that question is taken back. */
bool prefetch_counts(struct worker *worker, const struct buffer *prompt, const struct prompt_places *places);
void prefetch_take_back(struct worker *worker); /* no effect without a question that is out */

/* edits.c: people's changes in the tree since HEAD become a commit of theirs. False: the changes could not be recorded
 * now, which has been logged, and stay in the files. */
bool cycle_record_edits(struct worker *worker);

/* Somebody may have removed or replaced .git: the repository that lies there now is opened, and one without a commit
 * begins with the tree's files, as an agent's first does. False and fault: that can't be done now. */
bool cycle_reopen(struct worker *worker, struct fault *fault);
/* The same, and every finished task is known; false: the worker waits for the storage. */
bool cycle_follow(struct worker *worker);

enum { CYCLE_FRESH_MS = 20 /* so much may a prompt be behind the files that people edit */ };
void cycle_refresh(
    struct worker *worker); /* read people's changes in the learned files; problems are reported */
/* Before a task is begun: people's edits are recorded, the learned files are read again. */
void cycle_prepare(struct worker *worker);

/* in_hand.c: the work in hand. */
bool cycle_envelope_is_there(
    const struct worker *worker); /* false: the envelope in hand was taken away meanwhile */
void cycle_put_down(
    struct worker *worker); /* orderly: the attempt doesn't count, an envelope may expire again */
void cycle_abandon(struct worker *worker); /* the same, before its end; no effect without a task in hand */
void cycle_forget(struct worker *worker);  /* no task is in hand any more; its lock is given back */

/* question.c: the question goes out; worker->task says about what. */
void cycle_ask(struct worker *worker);
/* The prompt that went out was too long: a smaller one goes out at once. False: the prompt can't be made smaller. */
bool cycle_ask_smaller(struct worker *worker);
bool cycle_is_mostly_task(const struct worker *worker); /* the task is at least half of the question */

/* task_ends.c: tasks that end without an answer. False: could not be recorded now, the task stays. */
/* An answer that was kept and is not used was paid for, too; freed. */
void task_ends_unused(struct worker *worker, struct stored_answer *answer);
bool task_ends_duplicate(struct worker *worker, const struct block *block, const char *commit);
int64_t task_ends_first_seen(void *worker, const struct block *block); /* for queue_ask_sight */
bool task_ends_dead_letter(struct worker *worker, const struct block *block, const char *status,
                           const char *reason);
enum cancel_end task_ends_cancel(struct worker *worker, const char *id);
/* Every task whose TTL is over, or as many as a turn has time for; arms TIMER_EXPIRY. */
void task_ends_expire(struct worker *worker, int64_t now_ms);

/* envelope_ends.c: the same for envelopes. A letter that isn't there any more has ended, too. */
/* The commit of a task's or an envelope's end without an answer; ended->usage is filled in. False: the storage is waited for. */
bool envelope_ends_commit(struct worker *worker, const struct task_trailers *ended, const char *why,
                          const struct change_list *changes, char commit[COMMIT_TEXT]);
bool envelope_ends_poison(struct worker *worker, const struct letter *letter, const char *reason);
bool envelope_ends_cancel(struct worker *worker, const char *id); /* false: no such letter, or not now */
/* Files that the supervisor set aside: one commit and one reflection each, as many as a turn has time for. False: not all
 * of them are recorded. */
bool envelope_ends_escalate(struct worker *worker);

/* mail_step.c: the worker's half of the post office. */
void mail_step_look(struct worker *worker, int64_t now_ms); /* when something changed there, or it is time */
void mail_step_catch_up(struct worker *worker); /* files that came and that no message told of yet */
/* Take this envelope in hand and ask. False: the storage fails, nothing more can begin now. */
bool mail_step_begin(struct worker *worker, const struct letter *letter);
bool mail_step_has_work(const struct worker *worker);
void mail_step_verdict(struct worker *worker, const char *id, const char *status, const char *reason,
                       int64_t at);
/* Verdicts that no cycle's commit took along in time. */
void mail_step_record(struct worker *worker, int64_t now_ms);

/* sending.c: envelopes that leave with a cycle's commit. */
struct sending {
    struct buffer ids; /* of what goes into the outbox, a line each */
    struct buffer
        refused; /* envelopes that are too large to be sent, or were refused: sentences for the reflection */
    struct envelope *kept; /* the same, to be told of in the next prompt */
    size_t kept_count;
};
void sending_gather(struct worker *worker, const struct reply *reply, int64_t now, struct sending *sending,
                    struct change_list *changes);
void sending_told(struct worker *worker, struct sending *sending); /* the commit is durable */
void sending_free(struct sending *sending);

/* leases.c: one task holds one lock. */
enum lease_state {
    LEASE_NEEDLESS, /* the block asks for no lock */
    LEASE_UNASKED,
    LEASE_ASKED, /* the answer is on its way */
    LEASE_WAITS,
    LEASE_HELD
};
enum lease_state leases_state(struct worker *worker, const struct block *block);
bool leases_name(const char *name); /* can a lock have this name? */
void leases_ask(struct worker *worker, const struct block *block);
void leases_take(struct worker *worker, const struct block *block); /* into worker->task */
void leases_release(struct worker *worker, const char *task);       /* also when it has none */
void leases_reconcile(
    struct worker *worker); /* locks of blocks that have gone from the queue are given back */
bool leases_lost(const struct worker *worker);              /* the lease of the task in hand is over */
const char *leases_waited_for(const struct worker *worker); /* a lock's name; NULL: none is */
/* Monotonic, after since_ms: an answer of the supervisor that has not come by then counts as no; 0: none is awaited. */
int64_t leases_look_at_ms(const struct worker *worker, int64_t since_ms);
void leases_said(struct worker *worker, const char *task, const char *name, uint64_t token,
                 int64_t lease_until, const char *holder);
void leases_release_others(
    struct worker *worker); /* no task can begin now: all locks but that of the task in hand */
void leases_free(struct worker *worker);

/* rollback.c: undo the learning since the commit that name means (between two cycles). Returns the exit code
 * (sysexits.h); said gets the list of undone parts, or the reason of the failure. */
int rollback_to(struct worker *worker, const char *name, struct buffer *said);

/* outputs.c: outputs/TASK.md. */
void outputs_print(const struct worker *worker, const struct reply *reply, int64_t now, struct buffer *out);

/* prune.c: files that git holds and that are older than the newest `keep` leave the work tree; before that, all but the
 * youngest leave HEAD's tree. */
void prune_open(struct worker *worker); /* once, after the history: files that have left are known again */
/* One commit's worth, for a moment without a commit under way; returns when (monotonic ms) to go on, 0: not before
 * prune_tracked has counted more. */
int64_t prune_step(struct worker *worker);
/* So many files were committed there: the files that git tracks are kept few. */
void prune_tracked(struct worker *worker, enum kept_few_kind kind, size_t added);

/* report.c: the worker's reports to the supervisor. */
void report_activity(struct worker *worker, enum agent_activity activity, const char *detail, int64_t until);
/* Storage fails: say so and do nothing until a backoff is over (1 s doubling to 60 s). */
void worker_wait_for(struct worker *worker, const char *what, const char *trouble, int64_t at_least_ms);
/* No budget allows a request before that; the supervisor says when it does earlier. */
void worker_wait_for_budget(struct worker *worker, const char *why, int64_t in_ms);
/* A pause hid the wait from the supervisor, and is over before TIMER_BACKOFF is: the wait is reported again. */
void worker_waits_on(struct worker *worker);
void report_figures(struct worker *worker);
void report_problems(struct worker *worker);
void report_queue(struct worker *worker,
                  const char *fault);           /* malformed blocks, or why the file can't be read */
void report_tokens_load(struct worker *worker); /* from the card, at start */
void report_count_tokens(struct worker *worker, uint64_t tokens, int64_t now);
/* The run of failures, also where it is longer than rewards.md; more: tasks that were added since the last commit. */
uint64_t report_negative_streak(const struct worker *worker, unsigned more);
/* The card as it is after the task in hand (if there is one), which took so many tokens. */
void report_card(struct worker *worker, uint64_t tokens, int64_t now, struct buffer *out);
