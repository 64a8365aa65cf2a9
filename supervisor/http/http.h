/* The HTTP process's loop: libmicrohttpd's sockets, the channel to the supervisor and the deadlines, on one epoll in
 * one thread. The process sleeps until something happens. */
#pragma once

#include "supervisor/http/token.h"

/* Serves clients of the listening socket, until the channel's other end closes. data: DATA_DIR, to read. All
 * arguments are taken over. Returns the exit status. */
int http_run(int channel, int listener, int data, struct token *token);
