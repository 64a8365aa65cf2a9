/* The pipe that a process of ours has as standard error. The pipe's lines become events of the log here: cleaned, in
 * the name of the pipe's owner (whatever name the line gives), bounded in length and rate, repeated warnings folded
 * (log_fold.h). Lines in common/log.h's record form keep their level; all other text (an assertion's, a library's) is
 * told at WARN.
 *
 * Text stays in a pipe when its writer dies, so a process's last words are read after its end. A writer past its rate
 * waits for a tenth of a second at a time and loses lines, which are counted and told; other writers lose nothing by
 * it. */
#pragma once

#include <sys/types.h>

#include "supervisor/process/loop.h"

enum {
    LOG_PIPE_LINE_MAX = 32 * 1024, /* bytes; a longer line is cut, and the cut is told in the line */
    LOG_PIPE_LINES = 5000,         /* lines at once, */
    LOG_PIPE_LINES_SECOND = 100,   /* and as many more each second */
    LOG_PIPE_BYTES = 4 * 1024 * 1024,
    LOG_PIPE_BYTES_SECOND = 128 * 1024,
};

struct log_pipe_label {
    const char *component; /* static; the component of every line */
    const char *
        agent; /* copied; NULL: a part of the supervisor's, which names the agent itself where there is one */
    /* copied: the agent's directory, which the worker's line of bootstrap names instead of the agent. */
    const char *tree;
};

/* Reads fd, which is the pipe's own from now on. */
struct log_pipe *log_pipe_open(struct loop *loop, int fd, const struct log_pipe_label *label);
/* The writer has ended: its last lines are told, and the pipe is freed. NULL is fine. */
void log_pipe_close(struct log_pipe *pipe);

/* The zygote makes a worker's pipe, and hands the reading end over on a socket pair. -1: none came for the worker. */
int log_pipe_receive(int socket, pid_t pid);
