/* Runs the operator's checker, which we trust with nothing: a checker may be wrong, broken, or fed by a hostile answer.
 * The checker gets the system's programs and libraries, its own folder and the files that its arguments name, all of
 * them to read and execute only; no network, no socket, no place to write, no process to signal; AUDIT_MEMORY for each
 * of its processes. The launcher watches the checker from outside: each fork is asked of the launcher
 * (seccomp_unotify), and beyond AUDIT_PROCESSES living processes or AUDIT_FORKS in all a fork is refused. The bound
 * holds for root too, whom RLIMIT_NPROC lets do anything. When the checker's time is over, or the supervisor has died,
 * the checker's whole group is killed with the launcher. */
#pragma once

enum {
    AUDIT_MEMORY = 128 << 20, /* bytes */
    AUDIT_FILES = 64,
    AUDIT_SECONDS = 10,
    AUDIT_PROCESSES = 32,
    AUDIT_FORKS = 2000,
};

/* Returns the exit status: the command's, 128 + its signal, or one of sysexits.h when the command could not be run;
 * then a sentence stands on standard error. The process must lead a group of its own. */
int launch(const char *data_dir, char *const *command);
