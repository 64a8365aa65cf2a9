/* Framed messages over a stream socket that never blocks: 4 bytes of length (little-endian), then the message.
 * Used on socket pairs between the supervisor and the gateway or the zygote. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/shared_bytes.h"

struct channel_waiting;

struct channel {
    int fd; /* owned, non-blocking; -1 when closed */
    struct buffer in;
    size_t in_done; /* bytes of in that were taken by channel_next */
    struct {
        struct channel_waiting *first, *last; /* owned; last: only as long as there is a first */
        size_t bytes;
    } out; /* not written yet */
};

/* A part of a message. Bytes that nobody keeps are copied. */
struct channel_piece {
    const void *bytes;
    size_t length;
    struct shared_bytes *kept; /* the bytes are among these; NULL: no other reader keeps them */
};

void channel_open(struct channel *channel, int fd);
void channel_close(struct channel *channel);

/* Queue a message and write as much as the socket takes. False: the peer is gone (errno). */
bool channel_send(struct channel *channel, const struct buffer *message);
/* The same for a message in pieces, end to end. */
bool channel_send_pieces(struct channel *channel, const struct channel_piece *pieces, size_t count);
/* Queue a message without writing: channel_flush does that, for all that were queued. */
void channel_queue(struct channel *channel, const struct buffer *message);
/* Write on, some of it at a time; call when the socket is writable. channel_pending: there is still something to write. */
bool channel_flush(struct channel *channel);
bool channel_pending(const struct channel *channel);

/* Read the bytes that are there, some at a time. False: end of file, an error, or a frame over MESSAGE_MAX; the frames
 * before it are kept. */
bool channel_fill(struct channel *channel);
/* The next whole message, borrowed until the next channel call; false: none complete yet. */
bool channel_next(struct channel *channel, const void **bytes, size_t *length);
