/* A program of ours that the supervisor keeps running, with a channel to it: the zygote, the gateway, the HTTP
 * process.
 *
 * The child is started by posix_spawn (so nng's threads don't matter), in a session of its own, with standard input
 * from /dev/null, the channel as descriptor 3 and the plan's descriptors from 4 on; it inherits nothing else. Its
 * standard output and error are a pipe of its own to the log (log_pipe.h). After its end the child is started again:
 * at once, then after 0.1 s doubling to 60 s; a minute of health forgets the failures. A child that somebody stopped
 * (SIGSTOP) and that doesn't go on within its patience_ms, while this process runs, is killed, and so started again:
 * nobody would hear of it otherwise. */
#pragma once

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "common/channel.h"
#include "common/message.h"
#include "supervisor/process/loop.h"

enum { CHILD_CHANNEL = 3, CHILD_EXTRA = 4, CHILD_EXTRAS = 3, CHILD_PATIENCE_MS = 10 * 1000 };

struct child_plan {
    const char *name;      /* for the log */
    const char *component; /* of the lines that the child writes to standard error */
    const char *folder;    /* of the programs; borrowed for the call */
    const char *file;      /* of that folder; NULL: the first argument */
    char *const *arguments;
    char *const *environment;
    int extras[CHILD_EXTRAS]; /* descriptors, borrowed; -1: none, and none behind it */
    /* NULL: framed messages come. Else the child has another protocol: called when the child's end of the channel
     * (not blocking) can be read. False: the child is at fault, as for message. */
    bool (*readable)(void *context, int channel);
    /* False: the message may not be sent; the child is killed (and started again). */
    bool (*message)(void *context, const void *bytes, size_t length);
    void (*started)(void *context); /* the child runs (again), its channel is open */
    void (*ended)(void *context);   /* may be NULL */
    /* Asked when the child was stopped: for how long it may stay so. NULL: CHILD_PATIENCE_MS. */
    int64_t (*patience_ms)(void *context);
    void *context;
};

struct child {
    struct child_plan plan;
    LIST_ENTRY(child) link;
    char *program;
    struct loop *loop; /* NULL: the child was never begun */
    pid_t pid;         /* 0: not running */
    struct channel channel;
    struct log_pipe *log; /* NULL: none, or not running */
    struct loop_watch *watch;
    bool writing; /* the loop waits for room in the channel */
    struct timer timer;
    struct timer stopped; /* set: the child doesn't run now, and is killed then */
    unsigned failures;
    int64_t started_at;
    bool stopping;
};

/* False: the child could not be started, and won't be tried again: something is wrong with the installation. */
bool child_begin(struct child *child, struct loop *loop, const struct child_plan *plan);
/* False: the child isn't running, or its channel is broken; `started` tells when there is a new one. */
bool child_send(struct child *child, const struct buffer *message);
/* As child_send; the fields are the type's (common/message.h). */
bool child_say(struct child *child, enum message_type type, ...);
/* As child_send. */
bool child_send_pieces(struct child *child, const struct channel_piece *pieces, size_t count);
/* Reads what has come so far, as the loop would. */
void child_drain(struct child *child);
/* True: pid was a child's of this process; the child has ended with this wait status. */
bool child_reap(pid_t pid, int status);
/* pid, a child's or anybody's, was stopped by this signal; 0: it goes on. */
void child_stopped(pid_t pid, int number);
/* Closes the channel, which tells the child to end, and its log, and starts it no more. */
void child_stop(struct child *child);
/* As child_stop, and kills the child when it has not ended within patience_ms. The child has ended afterwards; a
 * child that never began is fine. */
void child_end(struct child *child, int patience_ms);

/* Spawns a program in a session of its own, with every signal as at the beginning. Its descriptor i is descriptors[i], or
 * /dev/null where that is below 0, and it has no others; none of those given may stand at an earlier one's place. 0, or the
 * error's number. */
int child_spawn(const char *program, char *const *arguments, char *const *environment,
                const int descriptors[], int count, pid_t *pid);

/* "exit 0", "signal 9": a wait status as text. Caller frees. */
char *child_status_text(int status);
