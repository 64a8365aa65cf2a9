#include "common/channel.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/message.h"

enum { FRAME_HEADER = 4, READ_SIZE = 64 * 1024 };

void channel_open(struct channel *channel, int fd)
{
    *channel = (struct channel){.fd = fd};
}

void channel_close(struct channel *channel)
{
    if (channel->fd >= 0)
        close(channel->fd);
    channel->fd = -1;
    buffer_free(&channel->in);
    buffer_free(&channel->out);
    channel->out_done = channel->in_done = 0;
}

bool channel_pending(const struct channel *channel)
{
    return channel->out.length > channel->out_done;
}

bool channel_flush(struct channel *channel)
{
    while (channel_pending(channel)) {
        ssize_t n = send(channel->fd, channel->out.data + channel->out_done,
                         channel->out.length - channel->out_done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        channel->out_done += (size_t)n;
    }
    buffer_drop(&channel->out, channel->out.length);
    channel->out_done = 0;
    return true;
}

bool channel_send(struct channel *channel, const struct buffer *message)
{
    unsigned char header[FRAME_HEADER];
    for (size_t i = 0; i < FRAME_HEADER; i++)
        header[i] = (unsigned char)(message->length >> (8 * i));
    buffer_add(&channel->out, header, FRAME_HEADER);
    buffer_add(&channel->out, message->data, message->length);
    return channel_flush(channel);
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
    buffer_drop(&channel->in, channel->in_done);
    channel->in_done = 0;
    for (;;) {
        ssize_t n = recv(channel->fd, buffer_room(&channel->in, READ_SIZE), READ_SIZE, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        if (n == 0)
            return false;
        channel->in.length += (size_t)n;
        size_t length = frame_length(channel);
        if (length != SIZE_MAX && length > MESSAGE_MAX)
            return false;
        /* One turn takes at most about one message, so that a peer that floods can't keep its reader here. */
        if ((size_t)n < READ_SIZE || channel->in.length > MESSAGE_MAX)
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
