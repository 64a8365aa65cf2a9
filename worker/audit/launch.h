/* Runs the operator's checker, which we trust with nothing: it may be wrong, broken, or fed by a hostile answer.
 *
 * It gets the system's programs and libraries, its own folder and the files that its arguments name, all of them to
 * read and execute only; no network, no socket, no place to write, nobody to signal; AUDIT_MEMORY for each of its
 * processes. It is watched from outside: each fork is asked of us (seccomp_unotify), and past AUDIT_PROCESSES living
 * ones or AUDIT_FORKS in all it is refused. That holds for root too, whom RLIMIT_NPROC lets do anything. When its time
 * is over, or the supervisor has died, its whole group is killed with us. */
#pragma once

enum {
    AUDIT_MEMORY = 128 << 20, /* bytes */
    AUDIT_FILES = 64,
    AUDIT_SECONDS = 10,
    AUDIT_PROCESSES = 32,
    AUDIT_FORKS = 2000,
};

/* Returns the exit status: the command's, 128 + its signal, or one of sysexits.h when it could not be run; then a
 * sentence stands on standard error. The process must lead a group of its own. */
int launch(const char *data_dir, char *const *command);
