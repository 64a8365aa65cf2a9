/* An agent's memory as a git repository (libgit2): one commit for all changes that belong together. Durable means:
 * history_commit returned true. history_open brings a commit that a crash left half done to its end. The work tree is
 * written by exchange (renameat2 RENAME_EXCHANGE), so that a person's save in the same moment is not lost: a file that
 * a person changed since HEAD stays as they left it, with a warning; the agent's text is in the commit, and the next
 * history_edits reports the person's. git status, log, fsck, commit and gc by people work at any moment: the ref and
 * index are changed under git's own lock files; a lock that is older than 10 s and held by no living process is stale
 * and is broken with a warning. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/fault.h"
#include "common/usage.h"

enum { COMMIT_TEXT = 41 /* 40 hex digits and a NUL */ };

enum change_kind {
    CHANGE_WRITE, /* tree and work tree get this text */
    /* removed from tree and work tree; a file that git doesn't know (a delivered envelope) goes only while it still has
     * this text, so that a redo never takes a later file of its name */
    CHANGE_REMOVE,
    CHANGE_RECORD,         /* the tree gets this text; the work tree has it already (people's edits) */
    CHANGE_RECORD_REMOVED, /* removed from the tree; the file is gone from the work tree already */
    CHANGE_UNTRACK,        /* removed from the tree, stays in the work tree (.git/info/exclude covers it) */
};

struct change {
    enum change_kind kind;
    const char *path; /* relative to the tree, no "..", parents are made */
    const char *text; /* for WRITE and RECORD; for REMOVE see there */
    size_t length;
};

enum author { AUTHOR_AGENT, AUTHOR_PEOPLE };

/* The facts of a finished task in a commit, as trailers; the ledger is made of these. */
struct task_trailers {
    const char *task;                   /* id; NULL: this commit finishes no task */
    uint64_t task_hash;                 /* of the block's content */
    int reward;                         /* -1, 0, 1 */
    const struct question_usage *usage; /* NULL: no question was asked */
    const char *end;                    /* "done", "expired", "poison" */
    const char *source;                 /* "queue", or an envelope's id */
};

struct commit_request {
    enum author author;
    const char *subject; /* "orion(task): first-task" */
    const char *body;    /* NULL: none */
    struct task_trailers trailers;
    const struct change *changes;
    size_t change_count;
};

struct history;

/* Opens the repository in `tree` (descriptor and absolute path of the agent's folder), or makes it (branch main, no
 * commit yet: history_empty). Repairs the traces of a crash: journal, stale locks, an index that is broken or behind. A
 * repository that can't be opened at all is set aside as .git.damaged-TIME, with a sentence in *damage, and made anew;
 * nothing is deleted. NULL and fault when even that fails. */
struct history *history_open(int tree, const char *path, const char *agent, char **damage,
                             struct fault *fault);
void history_close(struct history *history);
/* .git and .agentos are the folders that lie in the tree now: where somebody has removed or replaced either, both are
 * opened as at history_open. history_commit, history_finished, history_read and history_past do this first; before other
 * calls it is the caller's affair. False and fault: that can't be done now, no finished task is known, and the next call
 * tries it again. */
bool history_follow(struct history *history, struct fault *fault);
/* Whether history_follow has opened them anew since the last call of this function: the repository may be another, without
 * any commit. *damage: as history_open says it. */
bool history_opened_anew(struct history *history, char **damage);
/* The epoch of the lease that the agent lives by (contract section 12): each commit from now on names it; 0: there is none. */
void history_begin_epoch(struct history *history, uint64_t epoch);
/* The epoch of the last commit that names one; 0: no recent commit does, or the history can't be read. */
uint64_t history_last_epoch(struct history *history);
bool history_empty(const struct history *history);

/* On success commit gets the id. On a fault nothing has happened and the work tree is as it was.
 * A request without any effective change still makes a commit when it has trailers, else none (true, commit ""). */
bool history_commit(struct history *history, const struct commit_request *request, char commit[COMMIT_TEXT],
                    struct fault *fault);

/* Traces of people's git that they should know, a sentence a line: HEAD on no branch, with the branch that keeps the
 * commits made there; a merge or rebase that is not finished. */
void history_people_git(struct history *history, struct buffer *lines);

/* The last commit is durable, but the storage failed before all its files were in place. Every call that looks at the
 * repository tries to bring it to its end. */
bool history_unsettled(const struct history *history);
/* Brings it to its end, and reads the tasks that HEAD has finished. False and fault: a finished task may be unknown, and no
 * task may be begun. */
bool history_settle(struct history *history, struct fault *fault);

/* The ledger of finished tasks: the commit that finished a task with this id and content hash, if one did. Where
 * history_settle fails, as far as this process knows. */
bool history_finished(struct history *history, const char *task, uint64_t task_hash,
                      char commit[COMMIT_TEXT]);
/* The same as far as this process knows: a move of HEAD since the last look is not noticed. */
bool history_known(struct history *history, const char *task, uint64_t task_hash);
/* The number of tasks with an answer, of all time: a task that expired or was set aside is over, but not done. */
uint64_t history_tasks_done(const struct history *history);

/* The text of a tracked file at HEAD. 1, 0 not there, -1 fault. Caller frees. */
int history_read(struct history *history, const char *path, char **text, size_t *length, struct fault *fault);

/* Calls visit with each name that HEAD tracks in a folder (none when there is no such folder). */
bool history_names(struct history *history, const char *folder,
                   void (*visit)(void *context, const char *name), void *context, struct fault *fault);

/* --- the past (past.c) --- */

enum past {
    PAST_FOUND,
    PAST_UNKNOWN,   /* no commit is called so */
    PAST_UNCLEAR,   /* more than one is */
    PAST_ELSEWHERE, /* the commit is not HEAD and not an ancestor of it */
    PAST_FAULT,     /* the repository can't be read */
};

/* The commit that a person names: by its first digits (4 at least), a branch, HEAD, HEAD~3. Only PAST_FOUND sets
 * commit; else fault says why. */
enum past history_past(struct history *history, const char *name, char commit[COMMIT_TEXT],
                       struct fault *fault);
/* The commit's time (epoch seconds, 0: the commit can't be read) and the first 200 bytes of its subject, which the caller
 * frees. */
int64_t history_past_time(struct history *history, const char *commit, char **subject);
/* Calls visit with each file that the commit has at path, or below it when it is a folder; text is borrowed for the
 * call. No file there is no fault; more than 5,000 files, or more than 32 MiB of them, are one. */
bool history_past_files(struct history *history, const char *commit, const char *path,
                        void (*visit)(void *context, const char *path, const char *text, size_t length),
                        void *context, struct fault *fault);

/* The newest commit, HEAD first, whose file at path is_it accepts; false and fault: none of the last few hundred does,
 * or they can't be read. */
bool history_past_search(struct history *history, const char *path,
                         bool (*is_it)(void *context, const char *text, size_t length), void *context,
                         char commit[COMMIT_TEXT], struct fault *fault);

/* Calls visit with each file that stood at folder/… before a commit whose subject has this end, and not after it: the
 * newest commit first. Reads the whole history. */
bool history_past_removed(struct history *history, const char *folder, const char *subject_end,
                          void (*visit)(void *context, const char *path, const char *text, size_t length),
                          void *context, struct fault *fault);

/* Calls visit for each file that people changed, added or removed since HEAD, as changes of kind RECORD or
 * RECORD_REMOVED (text borrowed for the call). Ignores what .gitignore and info/exclude name, iac/ and queue.md
 * and .agent. Compares stamps first, contents only when they differ. */
enum edits_look {
    EDITS_ALL,
    EDITS_QUICK, /* only the files in the tree's top and the skills */
    EDITS_KNOWN, /* only the changes of files that HEAD has: new files are not looked for */
};
bool history_edits(struct history *history, enum edits_look look,
                   void (*visit)(void *context, const struct change *change), void *context,
                   struct fault *fault);

/* For the moments in which the agent waits for an answer: makes the files ready that the next commit will fill, and lets go
 * of the folders that the last one removed. */
void history_ready(struct history *history);

/* Housekeeping for idle moments: checkpoint the journal when it has something, join packs when there are many. Does one
 * step; true: there was something to do. Within 0.2 s of a commit it does nothing, unless urgent (the agent is busy): then
 * only what must not wait longer (journal over 8 MiB, over 250 packs). Loose objects, which only people's git and a redo
 * after a power cut leave, stay for `git gc`. */
bool history_tidy(struct history *history, bool urgent);
/* When (monotonic ms) there will be something for it although nothing else happens; 0: not before the next commit. */
int64_t history_tidy_at(const struct history *history);
