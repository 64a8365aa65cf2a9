/* A client: its answers, its sending, and when its next request is read. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/utf8.h"
#include "supervisor/control/part.h"

enum { KEPT_MAX = 64 * 1024 };

void client_end(struct client *client)
{
    struct control *control = client->control;
    for (struct client **at = &control->clients; *at; at = &(*at)->next)
        if (*at == client) {
            *at = client->next;
            break;
        }
    control->count--;
    control->followers -= client->waiter.what == WAIT_EVENTS;
    send_queue_free(&client->send_queue);
    timer_clear(control->owner.loop, &client->deadline);
    timer_clear(control->owner.loop, &client->listing.timer);
    timer_clear(control->owner.loop, &client->idle);
    loop_forget(control->owner.loop, client->watch);
    close(client->fd);
    buffer_free(&client->in);
    buffer_free(&client->out);
    free(client->waiter.task);
    free(client);
}

struct waiter *client_waiter(struct client *client)
{
    return &client->waiter;
}

void client_say(struct client *client, int exit, json_t *more)
{
    json_auto_t *answer = json_object();
    json_object_set_new(answer, "exit", json_integer(exit));
    if (more)
        json_object_update(answer, more);
    OWNED char *line = json_dumps(answer, JSON_COMPACT);
    buffer_text(&client->out, line ? line : "{\"exit\":70}");
    buffer_text(&client->out, "\n");
    json_decref(more);
}

void client_say_id(struct client *client, const char *id)
{
    buffer_print(&client->out, "{\"exit\":%d,\"id\":\"%s\"}\n", EX_OK, id);
}

void client_complain(struct client *client, int exit, const char *format, ...)
{
    char text[FAULT_TEXT * 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    client_say(client, exit, json_pack("{s:o}", "complaint", utf8_json(text)));
}

/* The bytes to be sent next; NULL: none. */
static const char *due(struct client *client, size_t *length)
{
    if (client->out_done == client->out.length)
        return send_queue_waiting(&client->send_queue, length);
    *length = client->out.length - client->out_done;
    return client->out.data + client->out_done;
}

static void sent(struct client *client, size_t length)
{
    if (client->out_done == client->out.length)
        send_queue_read(&client->send_queue, length);
    else
        client->out_done += length;
}

bool client_has_request(const struct client *client)
{
    return client->in.length > 0 && memchr(client->in.data, '\n', client->in.length);
}

/* While a request is answered the next one may come and isn't read: reading is switched off only when more bytes have
 * been noticed, so that a client that asks again and again costs no call for it. A socket is writable nearly always,
 * so EPOLLOUT answers a request that was read already in the next turn of the loop, after everybody else's. */
void client_watch_as_due(struct client *client)
{
    bool next = !client->busy && client_has_request(client);
    bool out = client->busy ? due(client, &(size_t){0}) != NULL : next;
    uint32_t events =
        (client->deaf || next ? 0u : EPOLLIN) | (client->half ? 0u : EPOLLRDHUP) | (out ? EPOLLOUT : 0u);
    if (events != client->events)
        loop_change(client->control->owner.loop, client->watch, events);
    client->events = events;
}

/* The memory of a long request or answer isn't kept for the next one. */
void client_empty(struct buffer *buffer)
{
    buffer->length = 0;
    if (buffer->capacity > KEPT_MAX)
        buffer_free(buffer);
}

/* The client may ask again. */
static void await_request(struct client *client)
{
    client->busy = client->deaf = false;
    client_empty(&client->out);
    client->out_done = 0;
    timer_set(client->control->owner.loop, &client->deadline, REQUEST_MS);
    client_watch_as_due(client);
}

/* Sends as much as the socket takes; when the answer is sent and nothing is waited for, the next request has its
 * turn. */
void client_push(struct client *client)
{
    const char *bytes;
    size_t length;
    while ((bytes = due(client, &length))) {
        ssize_t n = TEMP_FAILURE_RETRY(send(client->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT));
        if (n < 0 && errno != EAGAIN) {
            client_end(client);
            return;
        }
        if (n < 0)
            break;
        sent(client, (size_t)n);
    }
    bool more = bytes != NULL, waits = client->waiter.what != WAIT_NOTHING;
    if (!more && !waits && client->ends) {
        client_end(client);
    } else if (!more && !waits) {
        await_request(client);
    } else {
        client_watch_as_due(client);
        if (more && client->waiter.what != WAIT_EVENTS)
            timer_set(client->control->owner.loop, &client->deadline, ANSWER_MS);
        else
            timer_clear(client->control->owner.loop, &client->deadline);
    }
}

void client_stop_waiting(struct client *client)
{
    free(client->waiter.task);
    client->waiter = (struct waiter){.what = WAIT_NOTHING};
    client_push(client);
}

bool client_follow(struct client *client)
{
    if (client->control->followers >= FOLLOWERS_MAX)
        return false;
    client->control->followers++;
    client->waiter = (struct waiter){.what = WAIT_EVENTS};
    return true;
}
