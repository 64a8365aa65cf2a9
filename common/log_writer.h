/* Lines on their way to standard error, which a thread writes: a reader that stalls (a pipe that nobody reads, a
 * terminal stopped by Ctrl-S) stops that thread and no other. Not O_NONBLOCK instead: the flag would hold for every
 * process that has the same pipe or terminal, a person's shell among them, and some kinds of file don't know it.
 *
 * At most LOG_WRITER_BYTES wait beside those that are being written; past that, lines are dropped and counted, and the
 * count is told as a line in their place as soon as there is room. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"

enum { LOG_WRITER_BYTES = 256 * 1024 };

/* Adds the line that tells of so many dropped ones. */
typedef void log_writer_tell(struct buffer *line, uint64_t dropped);

/* The thread begins; once in a process, which doesn't fork afterwards without an exec. False: there can be no thread. */
bool log_writer_start(int fd, log_writer_tell *tell);
/* The thread makes one write(2) for each call, in their order; false: there is no thread, the caller writes. */
bool log_writer_add(const struct buffer *line);
/* Before the process ends: waits until everything is written, at most so long. */
void log_writer_end(int within_ms);
