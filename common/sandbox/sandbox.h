/* The sandbox: the rights that a process of ours is left with (contract section 11).
 *
 *   Landlock   which files, TCP ports, abstract sockets and signals (per kernel: sandbox_facts says what it knows)
 *   seccomp    which system calls, through libseccomp; closes what Landlock leaves open: modes, owners, time stamps,
 *              extended attributes, sockets, signals
 *   the rest   no new privileges, no capabilities, not dumpable, no memory both writable and executable, limits
 *
 * A sandbox is prepared once (the filters are compiled, 0.5 ms) and entered by any number of forks. Enter while the
 * process has one thread: before its ABI 8 Landlock binds only the thread that asks, and the threads that this one
 * makes later.
 *
 * One hole stays open, because no kernel that we know can close it: stat(2), access(2) and readlink(2) tell of any path
 * whether it exists, and its metadata. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/fault.h"

enum sandbox_mode {
    SANDBOX_REQUIRE,     /* a missing part of the floor (Landlock ABI 2, seccomp) is a fault */
    SANDBOX_BEST_EFFORT, /* goes on with what there is */
    SANDBOX_OFF,         /* only the limits */
};

enum sandbox_role {
    SANDBOX_WORKER,  /* its tree; one connection, then none (sandbox_tighten) */
    SANDBOX_GATEWAY, /* the network; certificates and the resolver's files */
    SANDBOX_MIRROR,  /* the gateway's, and a repository can be read */
    SANDBOX_BUS,     /* the gateway's, and where the kernel can limit ports, those of its room */
    /* `agentos exec`: a worker's files, and the system's programs can be read and executed, at the terminal; its
     * processes signal each other */
    SANDBOX_EXEC,
    SANDBOX_GIT,     /* `agentos git`: a worker's files, and git of the system's programs (the room's) */
    SANDBOX_AUDITOR, /* agentos-audit: the files that were open before, and no other file */
    SANDBOX_HTTP, /* agentos-http: reads what the room names; the process takes connections from the socket that it was
                   * given, and makes none */
    SANDBOX_CHECKER, /* the operator's checker: the system's programs, and the files that the room names; it writes
                      * nothing. A checker may fork and signal, but each time the process outside is asked
                      * (sandbox_enter_watched) */
    SANDBOX_ROLES
};

/* The parts that are one process's own. */
struct sandbox_room {
    const char *tree;            /* the folder that it may write; NULL: none */
    const char *const *readable; /* more files and folders to read, NULL at the end; NULL: none. Missing ones
                                           are passed over */
    const char *const *executable; /* paths to read and to execute */
    const char *const
        *programs; /* NULL: all that the role allows; else only these files, and files of these folders,
                                         are executed */
    const uint16_t *ports;            /* that it may connect to (SANDBOX_BUS), 0 at the end */
    int64_t memory_bytes, open_files; /* 0: no limit of ours */
};

struct sandbox;

enum sandbox_mode sandbox_mode(void); /* AGENTOS_SANDBOX */

/* Compiles the role's filters. NULL and fault: the mode is SANDBOX_REQUIRE, and the kernel lacks a part of the floor,
 * or libseccomp failed. With SANDBOX_OFF nothing is asked of the kernel. */
struct sandbox *sandbox_prepare(enum sandbox_role role, enum sandbox_mode mode, struct fault *fault);
void sandbox_free(struct sandbox *sandbox); /* NULL is fine */

/* Gives up privileges and capabilities, and nothing else, for a process that will make others and enter no sandbox
 * itself. Its children then enter their sandboxes faster. False and fault as below. */
bool sandbox_shed(const struct sandbox *sandbox, struct fault *fault);

/* The calling process, which must have one thread, is in the sandbox from here on, for good, with all that it will fork
 * or execute. False and fault: the process is not in the sandbox, or not wholly, and must end without touching
 * anything. */
bool sandbox_enter(const struct sandbox *sandbox, const struct sandbox_room *room, struct fault *fault);

/* --- a child whose calls are asked of the process outside it (watched.c) --- */

/* Where the listener lies in the process outside; below any limit of descriptors (open_files). */
enum { SANDBOX_LISTENER = 31, SANDBOX_DONE = -1 };

struct sandbox_question {
    pid_t asker; /* a thread */
    int call;    /* SYS_fork … */
    uint64_t arguments[2];
};

/* Whether sandbox's filter asks: a checker's does at forks and signals, a command's at signals, where Landlock doesn't
 * keep them within the sandbox. Without a listener such a call is refused. */
bool sandbox_asks(const struct sandbox *sandbox);

/* Makes a child that runs become(context), which enters its sandbox by sandbox_enter_watched and executes. While this
 * process has one thread. The child's pid; -1 and errno. */
pid_t sandbox_start_watched(void (*become)(void *context), void *context);
/* sandbox_enter, and the kernel asks the process outside, until that has ended. */
bool sandbox_enter_watched(const struct sandbox *sandbox, const struct sandbox_room *room,
                           struct fault *fault);
/* Answers the child's questions until it ends, and reaps all children on the way; the child's wait status. answer
 * returns 0: the call is made; SANDBOX_DONE: the call was made in the asker's stead, and succeeds; or the number of the
 * error that it fails with. Only calls whose arguments are numbers may be answered with 0: memory can be changed after
 * the look. */
int sandbox_watch(pid_t child, int (*answer)(void *context, const struct sandbox_question *question),
                  void *context);
/* Such an answer, for signals: the kernel sends a signal to the asker's own process, this function a signal to a
 * process that descends from this one; other signals, and signals to groups, are EPERM. */
int sandbox_answer_signal(void *context, const struct sandbox_question *question);

/* The second step, over all threads: no socket can be made or connected any more, no thread and no process started,
 * standard error only be written. False and fault as above. */
bool sandbox_tighten(const struct sandbox *sandbox, struct fault *fault);

/* The whole of it for a program that has one sandbox for its life: the sandbox is prepared after AGENTOS_SANDBOX,
 * entered and reported. */
bool sandbox_seal(enum sandbox_role role, const struct sandbox_room *room, const char *name,
                  struct fault *fault);

/* In a process that is in its sandbox: tries to open / and to make a socket, and puts the outcome behind `name` in this
 * process's title, where `agentos doctor` reads it: "NAME [sealed: landlock 7, no network socket]". After
 * setproctitle_init. */
void sandbox_tell_sealed(const struct sandbox *sandbox, const char *name);

/* The supervisor's own part: no new privileges (so nor for anybody below it), no core file, not dumpable. */
void sandbox_harden(void);

/* --- what holds here (report.c) --- */

struct sandbox_facts {
    int landlock; /* the kernel's ABI; 0: none, and then landlock_error says why (errno) */
    int landlock_error;
    bool seccomp;
    int seccomp_error;
    bool mdwe;
};

enum { SANDBOX_LANDLOCK_FLOOR = 2, SANDBOX_LANDLOCK_KNOWN = 7 };

void sandbox_look(struct sandbox_facts *facts);
/* False and fault: a part of the floor is missing; the sentence names it, and what to do. */
bool sandbox_floor(const struct sandbox_facts *facts, struct fault *fault);
/* The additions that a newer kernel would make to the sandbox, a sentence a line; empty when all parts are there. */
void sandbox_lacks(const struct sandbox_facts *facts, struct buffer *lines);
/* For `status`: "landlock 7, seccomp", "off", "best-effort: seccomp, no landlock". Caller frees. */
char *sandbox_summary(enum sandbox_mode mode, const struct sandbox_facts *facts);

/* Enters a worker's sandbox in a child process and sees there that forbidden accesses are refused, and that data (a
 * folder; NULL: none), which an agent's tree lies below, can still be reached: root's capabilities are gone. False and
 * fault: the sandbox doesn't hold, whatever the kernel says of itself. Only while the calling process has one
 * thread. */
bool sandbox_prove(enum sandbox_mode mode, const char *data, struct fault *fault);
