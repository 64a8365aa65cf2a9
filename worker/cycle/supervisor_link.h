/* The worker's one connection: an nng pair socket to the supervisor. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/fault.h"

struct link;

/* Connects and waits at most 10 s for it. NULL and fault. */
struct link *link_open(const char *url, struct fault *fault);
int link_fd(const struct link *link); /* readable when a message waits: for poll */
/* Never blocks for long: a supervisor that takes no message for 5 s is gone. False: the connection is lost. */
bool link_send(struct link *link, const struct buffer *message);
bool link_has(const struct link *link); /* a message waits, or the connection is lost */
/* 1: *bytes, *length are the message, borrowed until the next call; 0: none waits; -1: the connection is lost. */
int link_receive(struct link *link, const void **bytes, size_t *length);
/* For a process that ends now, and with it the connection: nng 1.5's nng_close has been seen to hang. */
void link_leave(const struct link *link);
void link_close(struct link *link);
