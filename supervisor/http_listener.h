/* Where the HTTP interface listens, and agentos-http behind it.
 *
 * The supervisor binds the socket of AGENTOS_LISTEN and keeps it, so that a process which dies loses no connection that
 * waits, and its successor needs no right to make sockets. A port that is taken harms nobody: it is said and tried again,
 * after a second doubling to a minute. Without a token it listens only where nobody from beyond this machine comes.
 *
 * The process speaks by its channel: each byte that it sends asks for one connection, to the control server or to a reader
 * of files (common/control.h), and the same byte comes back with a descriptor (SCM_RIGHTS), or alone when there can be none
 * now. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct http_listener;
struct supervisor;

/* NULL: AGENTOS_LISTEN is empty, or it may not listen there, which has been said. */
struct http_listener *http_listener_open(struct supervisor *supervisor);
/* Ends the process and waits for it; NULL is fine. */
void http_listener_close(struct http_listener *http);
/* True: it was the pid of one of the process's readers; it has ended with this wait status. NULL is fine. */
bool http_listener_reap(struct http_listener *http, pid_t pid, int status);
