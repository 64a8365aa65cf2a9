/* The supervisor as a whole: what `agentos run` calls. */
#pragma once

struct run_options {
    const char *data_dir; /* absolute */
    const char *run_dir;  /* absolute; AGENTOS_RUN_DIR or data_dir/.run */
    const char *programs; /* folder of agentos-worker and agentos-gateway */
    int secrets;          /* descriptor from secrets_collect; owned */
    int heartbeat_ms;     /* between two heartbeats; 0: ten seconds, as everybody but a test wants it */
};

/* Runs in the foreground until SIGTERM or SIGINT; returns the exit status (sysexits.h). What is wrong is said in the
 * log. agents.yaml is loaded here: a fault of it ends with 78 before anything is started. */
int supervisor_run(const struct run_options *options);
