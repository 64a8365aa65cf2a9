#include "supervisor/control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/control.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/utf8.h"
#include "supervisor/control/part.h"
#include "supervisor/process/descriptors.h"

enum { BACKLOG = CLIENTS_MAX, ACCEPTED_AT_ONCE = 32, REST_MS = 1000, KEPT_MAX = 64 * 1024 };

static void end_client(struct client *client)
{
    struct control *control = client->control;
    for (struct client **at = &control->clients; *at; at = &(*at)->next)
        if (*at == client) {
            *at = client->next;
            break;
        }
    control->count--;
    control->followers -= client->waiter.what == WAIT_EVENTS;
    feed_free(&client->feed);
    timer_clear(control->supervisor->loop, &client->deadline);
    loop_forget(control->supervisor->loop, client->watch);
    close(client->fd);
    buffer_free(&client->in);
    buffer_free(&client->out);
    free(client->waiter.task);
    free(client);
}

static void deadline_rings(void *client)
{
    end_client(client);
}

struct waiter *client_waiter(struct client *client)
{
    return &client->waiter;
}

void client_say(struct client *client, int exit, json_t *more)
{
    json_t *answer = json_object();
    json_object_set_new(answer, "exit", json_integer(exit));
    if (more)
        json_object_update(answer, more);
    OWNED char *line = json_dumps(answer, JSON_COMPACT);
    buffer_text(&client->out, line ? line : "{\"exit\":70}");
    buffer_text(&client->out, "\n");
    json_decref(answer);
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
    client_say(client, exit, json_pack("{s:s}", "complaint", text));
}

/* What is to be sent next; NULL: nothing. */
static const char *due(struct client *client, size_t *length)
{
    if (client->out_done == client->out.length)
        return feed_waiting(&client->feed, length);
    *length = client->out.length - client->out_done;
    return client->out.data + client->out_done;
}

static void sent(struct client *client, size_t length)
{
    if (client->out_done == client->out.length)
        feed_read(&client->feed, length);
    else
        client->out_done += length;
}

static bool has_request(const struct client *client)
{
    return client->in.length > 0 && memchr(client->in.data, '\n', client->in.length);
}

/* While a request is answered the next one may come and isn't read: that is asked for only when it has been noticed, so
 * that one who asks again and again costs no call for it. A socket is writable nearly always: what lies read already is
 * answered in the next turn of the loop, after everybody else's. */
static void watch_as_due(struct client *client)
{
    bool next = !client->busy && has_request(client);
    bool out = client->busy ? due(client, &(size_t){0}) != NULL : next;
    uint32_t events =
        (client->deaf || next ? 0u : EPOLLIN) | (client->half ? 0u : EPOLLRDHUP) | (out ? EPOLLOUT : 0u);
    if (events != client->events)
        loop_change(client->control->supervisor->loop, client->watch, events);
    client->events = events;
}

/* What a long request or answer took isn't kept for the next one. */
static void empty(struct buffer *buffer)
{
    buffer->length = 0;
    if (buffer->capacity > KEPT_MAX)
        buffer_free(buffer);
}

/* It may ask again. */
static void await_request(struct client *client)
{
    client->busy = client->deaf = false;
    empty(&client->out);
    client->out_done = 0;
    timer_set(client->control->supervisor->loop, &client->deadline, REQUEST_MS);
    watch_as_due(client);
}

/* Writes what it takes; when all is said and nothing is waited for, it is the next request's turn. */
static void push(struct client *client)
{
    const char *bytes;
    size_t length;
    while ((bytes = due(client, &length))) {
        ssize_t n = send(client->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            end_client(client);
            return;
        }
        if (n < 0)
            break;
        sent(client, (size_t)n);
    }
    bool more = bytes != NULL, waits = client->waiter.what != WAIT_NOTHING;
    if (!more && !waits && client->ends) {
        end_client(client);
    } else if (!more && !waits) {
        await_request(client);
    } else {
        watch_as_due(client);
        if (more && client->waiter.what != WAIT_EVENTS)
            timer_set(client->control->supervisor->loop, &client->deadline, ANSWER_MS);
        else
            timer_clear(client->control->supervisor->loop, &client->deadline);
    }
}

void client_stop_waiting(struct client *client)
{
    free(client->waiter.task);
    client->waiter = (struct waiter){.what = WAIT_NOTHING};
    push(client);
}

/* The first of what lies there. */
static void answer(struct client *client)
{
    json_error_t error;
    size_t length = (size_t)((char *)memchr(client->in.data, '\n', client->in.length) - client->in.data);
    client->busy = true;
    json_t *request = json_loadb(client->in.data, length, JSON_REJECT_DUPLICATES, &error);
    buffer_drop(&client->in, length + 1);
    if (!client->in.length)
        empty(&client->in);
    if (!json_is_object(request))
        client_complain(client, EX_USAGE, "the request is no JSON object: %s",
                        request ? "it is something else" : error.text);
    else
        verbs_answer(client->control->supervisor, client, request);
    json_decref(request);
    push(client);
}

/* Where the next request begins can't be known without its end. */
static void refuse_length(struct client *client)
{
    client->busy = client->ends = true;
    client->deaf = true;
    buffer_free(&client->in);
    client_complain(client, EX_DATAERR, "a request has at most %d bytes", CONTROL_MAX);
    push(client);
}

/* No whole request lies there. */
static void take_request(struct client *client)
{
    char *bytes = client->control->bytes;
    ssize_t n = recv(client->fd, bytes, READ_SIZE, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        end_client(client); /* torn, perhaps: what wasn't asked to the end isn't done */
        return;
    }
    const char *end = memchr(bytes, '\n', (size_t)n);
    if (client->in.length + (size_t)(end ? end - bytes : n) > CONTROL_MAX) {
        refuse_length(client);
        return;
    }
    buffer_add(&client->in, bytes, (size_t)n);
    if (end)
        answer(client);
}

static void on_client(void *context, uint32_t events)
{
    struct client *client = context;
    bool gone = events & (EPOLLHUP | EPOLLERR);
    if (!client->busy && !gone && (events & EPOLLOUT) && has_request(client)) {
        answer(client);
    } else if (!client->busy && (events & EPOLLIN)) {
        take_request(client);
    } else if (gone) {
        end_client(client);
    } else {
        /* It may close its writing side and wait for the answer. */
        client->deaf |= (events & EPOLLIN) != 0;
        client->half |= (events & EPOLLRDHUP) != 0;
        if (events & EPOLLOUT)
            push(client);
        else
            watch_as_due(client);
    }
}

static bool is_one_of_us(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void listen_again(void *context)
{
    struct control *control = context;
    loop_change(control->supervisor->loop, control->watch, EPOLLIN);
}

/* Out of descriptors: the client that can't be accepted would wake the loop without end. */
static void rest_a_while(struct control *control, int error)
{
    if (error != EMFILE && error != ENFILE && error != ENOMEM && error != ENOBUFS)
        return;
    log_warn("agentos", NULL, "Cannot take a client: %s; tried again in a second", strerror(error));
    loop_change(control->supervisor->loop, control->watch, 0);
    timer_set(control->supervisor->loop, &control->rest, REST_MS);
}

/* What is left is for the agents' own work. */
static bool is_starved(struct control *control, int fd)
{
    bool starved = !descriptors_for_client(fd);
    if (starved && !control->starved)
        log_warn("agentos", NULL,
                 "Almost every descriptor is taken (ulimit -n): clients are turned away until some are free");
    control->starved = starved;
    return starved;
}

/* The request is often there already, and then is read at once. */
static void admit(struct control *control, int fd)
{
    struct client *client = memory_new(1, sizeof *client);
    *client = (struct client){
        .control = control, .fd = fd, .events = EPOLLIN | EPOLLRDHUP, .next = control->clients};
    client->deadline = (struct timer){.ring = deadline_rings, .context = client};
    client->watch = loop_watch(control->supervisor->loop, fd, client->events, on_client, client);
    control->clients = client;
    control->count++;
    timer_set(control->supervisor->loop, &client->deadline, REQUEST_MS);
    if (!client->watch)
        end_client(client);
    else
        take_request(client);
}

static void turn_away(int fd, const char *answer)
{
    ssize_t ignored = send(fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)ignored;
    close(fd);
}

static bool admit_below(struct control *control, int fd, size_t most)
{
    if (control->count >= most || is_starved(control, fd)) {
        turn_away(fd, "{\"exit\":75,\"complaint\":\"too many clients at once; try again\"}\n");
        return false;
    }
    admit(control, fd);
    return true;
}

bool control_adopt(struct control *control, int fd)
{
    return admit_below(control, fd, CLIENTS_ADOPTED);
}

/* False: nobody else is there now. */
static bool accept_one(struct control *control)
{
    int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        rest_a_while(control, errno);
        return false;
    }
    if (is_one_of_us(fd))
        admit_below(control, fd, CLIENTS_MAX);
    else
        turn_away(fd, "{\"exit\":77,\"complaint\":\"not permitted: another user\"}\n");
    return true;
}

/* Several in one go, so that what they send shares a flush; not without end, so that workers have their turn. */
static void on_connect(void *context, uint32_t events)
{
    (void)events;
    for (int taken = 0; taken < ACCEPTED_AT_ONCE && accept_one(context); taken++)
        ;
}

/* Bound through the folder's descriptor, so that the length of the data directory's path doesn't matter. */
static int listen_in(int run_folder, struct fault *fault)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", run_folder, CONTROL_SOCKET);
    unlinkat(run_folder, CONTROL_SOCKET, 0); /* of one that was killed: the lock says that none is running */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0177);
    bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    umask(before);
    if (bound && listen(fd, BACKLOG) == 0)
        return fd;
    fault_errno(fault, "cannot listen at the control socket");
    if (fd >= 0)
        close(fd);
    return -1;
}

struct control *control_open(struct supervisor *supervisor, int run_folder, struct fault *fault)
{
    int fd = listen_in(run_folder, fault);
    if (fd < 0)
        return NULL;
    struct control *control = memory_new(1, sizeof *control);
    *control = (struct control){.supervisor = supervisor, .fd = fd};
    control->rest = (struct timer){.ring = listen_again, .context = control};
    control->watch = loop_watch(supervisor->loop, fd, EPOLLIN, on_connect, control);
    return control;
}

void control_close(struct control *control)
{
    if (!control)
        return;
    while (control->clients)
        end_client(control->clients);
    timer_clear(control->supervisor->loop, &control->rest);
    loop_forget(control->supervisor->loop, control->watch);
    close(control->fd);
    free(control);
}

/* --- those who follow --- */

bool control_followed(const struct control *control)
{
    return control && control->followers > 0;
}

bool client_follow(struct client *client)
{
    if (client->control->followers >= FOLLOWERS_MAX)
        return false;
    client->control->followers++;
    client->waiter = (struct waiter){.what = WAIT_EVENTS};
    return true;
}

static char *event_line(const struct agent *agent, const char *event, const struct detail *details)
{
    char now[CLOCK_TEXT];
    json_t *object = json_pack("{s:s}", "time", clock_format(clock_now(), now));
    if (agent)
        json_object_set_new(object, "agent", json_string(agent->name));
    json_object_set_new(object, "event", json_string(event));
    for (; details->key; details++) {
        OWNED char *clean = details->text ? utf8_clean(details->text, strlen(details->text)) : NULL;
        json_object_set_new(object, details->key,
                            clean ? json_string(clean) : json_integer((json_int_t)details->number));
    }
    char *line = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(object);
    return line;
}

/* Only put down here and sent from the loop: an event may come while clients are gone through, and one that is lost
 * while it is sent to would be ended under their feet. */
void control_tell(struct control *control, const struct agent *agent, const char *event,
                  const struct detail *details)
{
    if (!control_followed(control))
        return;
    OWNED char *line = event_line(agent, event, details);
    for (struct client *client = control->clients; line && client; client = client->next)
        if (client->waiter.what == WAIT_EVENTS) {
            feed_line(&client->feed, line);
            watch_as_due(client);
        }
}
