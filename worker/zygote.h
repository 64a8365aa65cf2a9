/* The zygote: one single-threaded process with the libraries loaded and started (libgit2), made by the supervisor,
 * which forks each worker on demand.
 *
 * A worker is the supervisor's child from the start (CLONE_PARENT; where that is refused the worker is forked twice,
 * and the supervisor, as subreaper or PID 1, becomes its parent): the supervisor reaps the worker, and the supervisor's
 * end is the worker's (PR_SET_PDEATHSIG). Price: workers share one address-space layout. */
#pragma once

/* fd: the socket to the supervisor (SPAWN in, SPAWNED out). logs: another one, by which the reading end of each worker's
 * standard error goes there before its SPAWNED. Ends when the supervisor closes it. Returns the exit
 * status; in a forked worker it does not return but ends with worker_live's status. */
int zygote_run(int fd, int logs);
