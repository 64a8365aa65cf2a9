/* Where the HTTP interface listens, and agentos-http behind it.
 *
 * The supervisor binds the socket of AGENTOS_LISTEN and keeps it, so that a process which dies loses no connection
 * that waits, and its successor needs no right to make sockets. A port that is taken harms nobody: the log says so,
 * and the listener tries again after a pause that doubles from a second to a minute. Without a token the socket
 * listens only where nobody from beyond this machine comes.
 *
 * The process speaks by its channel: each byte of the process asks for one connection, to the control server or to a
 * reader of files (common/control.h), and the same byte comes back with a descriptor (SCM_RIGHTS), or alone when
 * there can be none now. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct http_listener;
struct supervisor;

/* NULL: AGENTOS_LISTEN is empty, or the listener may not listen there, which the log says. */
struct http_listener *http_listener_open(struct supervisor *supervisor);
/* Ends the process and waits for it; NULL is fine. */
void http_listener_close(struct http_listener *http);
/* True: the pid was that of a reader for the process; the reader has ended with this wait status. NULL is fine. */
bool http_listener_reap(struct http_listener *http, pid_t pid, int status);
