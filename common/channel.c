#include "common/channel.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/message.h"

enum {
    FRAME_HEADER = 4,
    READ_SIZE = 64 * 1024,
    TURN_BYTES =
        512 * 1024, /* are read or written at a time: the rest waits for the next look at the socket */
    PIECES_AT_ONCE = 16,
};

struct shared_bytes {
    size_t keepers, length;
    void *owner; /* owned by all of them */
    void (*release)(void *owner);
};

struct shared_bytes *shared_bytes_new(size_t length, void *owner, void (*release)(void *owner))
{
    struct shared_bytes *bytes = memory_new(1, sizeof *bytes);
    *bytes = (struct shared_bytes){.keepers = 1, .length = length, .owner = owner, .release = release};
    return bytes;
}

struct shared_bytes *shared_bytes_keep(struct shared_bytes *bytes)
{
    if (bytes)
        bytes->keepers++;
    return bytes;
}

void shared_bytes_drop(struct shared_bytes *bytes)
{
    if (!bytes || --bytes->keepers > 0)
        return;
    bytes->release(bytes->owner);
    free(bytes);
}

void *shared_bytes_owner(struct shared_bytes *bytes)
{
    return bytes->owner;
}

size_t shared_bytes_length(const struct shared_bytes *bytes)
{
    return bytes->length;
}

/* To be written: the bytes are its own, or kept. */
struct channel_waiting {
    struct channel_waiting *next;
    const char *at;
    size_t length;
    struct shared_bytes *kept;
    char own[];
};

void channel_open(struct channel *channel, int fd)
{
    *channel = (struct channel){.fd = fd};
}

static void drop_first(struct channel *channel)
{
    struct channel_waiting *first = channel->out.first;
    channel->out.first = first->next;
    shared_bytes_drop(first->kept);
    free(first);
}

void channel_close(struct channel *channel)
{
    memory_close_at(&channel->fd);
    channel->fd = -1;
    buffer_free(&channel->in);
    while (channel->out.first)
        drop_first(channel);
    channel->out.bytes = channel->in_done = 0;
}

bool channel_pending(const struct channel *channel)
{
    return channel->out.first != NULL;
}

static ssize_t write_some(const struct channel *channel)
{
    struct iovec pieces[PIECES_AT_ONCE];
    struct msghdr message = {.msg_iov = pieces};
    size_t left = TURN_BYTES;
    for (const struct channel_waiting *next = channel->out.first;
         next && left > 0 && message.msg_iovlen < PIECES_AT_ONCE; next = next->next) {
        size_t length = next->length < left ? next->length : left;
        pieces[message.msg_iovlen++] = (struct iovec){.iov_base = (char *)next->at, .iov_len = length};
        left -= length;
    }
    return sendmsg(channel->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void note_written(struct channel *channel, size_t length)
{
    channel->out.bytes -= length;
    while (length > 0 && length >= channel->out.first->length) {
        length -= channel->out.first->length;
        drop_first(channel);
    }
    if (length > 0) {
        channel->out.first->at += length;
        channel->out.first->length -= length;
    }
}

bool channel_flush(struct channel *channel)
{
    for (size_t written = 0; channel_pending(channel) && written < TURN_BYTES;) {
        ssize_t n = TEMP_FAILURE_RETRY(write_some(channel));
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        note_written(channel, (size_t)n);
        written += (size_t)n;
    }
    return true;
}

static void add_waiting(struct channel *channel, const struct channel_piece *piece)
{
    if (piece->length == 0)
        return;
    struct channel_waiting *waiting = memory_new(1, sizeof *waiting + (piece->kept ? 0 : piece->length));
    waiting->kept = shared_bytes_keep(piece->kept);
    waiting->length = piece->length;
    waiting->at = piece->kept ? piece->bytes : memcpy(waiting->own, piece->bytes, piece->length);
    if (channel->out.first)
        channel->out.last->next = waiting;
    else
        channel->out.first = waiting;
    channel->out.last = waiting;
    channel->out.bytes += piece->length;
}

static void add_frame(struct channel *channel, const struct channel_piece *pieces, size_t count)
{
    unsigned char header[FRAME_HEADER];
    size_t length = 0;
    for (size_t i = 0; i < count; i++)
        length += pieces[i].length;
    for (size_t i = 0; i < FRAME_HEADER; i++)
        header[i] = (unsigned char)(length >> (8 * i));
    add_waiting(channel, &(struct channel_piece){.bytes = header, .length = FRAME_HEADER});
    for (size_t i = 0; i < count; i++)
        add_waiting(channel, &pieces[i]);
}

bool channel_send_pieces(struct channel *channel, const struct channel_piece *pieces, size_t count)
{
    add_frame(channel, pieces, count);
    return channel_flush(channel);
}

void channel_queue(struct channel *channel, const struct buffer *message)
{
    add_frame(channel, &(struct channel_piece){.bytes = message->data, .length = message->length}, 1);
}

bool channel_send(struct channel *channel, const struct buffer *message)
{
    return channel_send_pieces(channel,
                               &(struct channel_piece){.bytes = message->data, .length = message->length}, 1);
}

/* The length of the first frame that is not yet taken, or SIZE_MAX when its header isn't there. */
static size_t frame_length(const struct channel *channel)
{
    if (channel->in.length - channel->in_done < FRAME_HEADER)
        return SIZE_MAX;
    const unsigned char *header = (const unsigned char *)channel->in.data + channel->in_done;
    size_t length = 0;
    for (size_t i = 0; i < FRAME_HEADER; i++)
        length |= (size_t)header[i] << (8 * i);
    return length;
}

bool channel_fill(struct channel *channel)
{
    if (channel->in_done > 0)
        buffer_drop(&channel->in, channel->in_done);
    channel->in_done = 0;
    for (size_t taken = 0;;) {
        ssize_t n = TEMP_FAILURE_RETRY(
            recv(channel->fd, buffer_room(&channel->in, READ_SIZE), READ_SIZE, MSG_DONTWAIT));
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        if (n == 0)
            return false;
        channel->in.length += (size_t)n;
        taken += (size_t)n;
        size_t length = frame_length(channel);
        if (length != SIZE_MAX && length > MESSAGE_MAX)
            return false;
        /* A peer that floods can't keep its reader here. */
        if ((size_t)n < READ_SIZE || taken >= TURN_BYTES)
            return true;
    }
}

bool channel_next(struct channel *channel, const void **bytes, size_t *length)
{
    size_t size = frame_length(channel);
    if (size == SIZE_MAX || size > MESSAGE_MAX || channel->in.length - channel->in_done - FRAME_HEADER < size)
        return false;
    *bytes = channel->in.data + channel->in_done + FRAME_HEADER;
    *length = size;
    channel->in_done += FRAME_HEADER + size;
    return true;
}
