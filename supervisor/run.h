/* The supervisor as a whole: what `agentos run` calls. */
#pragma once

struct run_options {
    const char *data_dir; /* absolute */
    const char *run_dir;  /* absolute; AGENTOS_RUN_DIR or data_dir/.run */
    const char *programs; /* folder of agentos-worker and agentos-gateway */
    int secrets;          /* descriptor from secrets_collect; owned */
    int heartbeat_ms;     /* between two heartbeats; 0: ten seconds, which only a test changes */
};

/* Runs in the foreground until SIGTERM or SIGINT; returns the exit status (sysexits.h). Faults are in the log.
 * supervisor_run loads agents.yaml: a fault of the file ends with 78 before anything is started. */
int supervisor_run(const struct run_options *options);
