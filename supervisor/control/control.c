#include "supervisor/control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/capacity.h"
#include "common/clock.h"
#include "common/control.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/utf8.h"
#include "supervisor/control/part.h"

enum { BACKLOG = CLIENTS_MAX, ACCEPTED_AT_ONCE = 32, REST_MS = 1000 };

static void deadline_rings(void *client)
{
    client_end(client);
}

/* Answers the first of the client's requests. */
static void answer(struct client *client)
{
    json_error_t error;
    size_t length = (size_t)((char *)memchr(client->in.data, '\n', client->in.length) - client->in.data);
    client->busy = true;
    json_auto_t *request = json_loadb(client->in.data, length, JSON_REJECT_DUPLICATES, &error);
    buffer_drop(&client->in, length + 1);
    if (!client->in.length)
        client_empty(&client->in);
    if (!json_is_object(request))
        client_complain(client, EX_USAGE, "the request is no JSON object: %s",
                        request ? "it is something else" : error.text);
    else
        verbs_answer(client->control, client, request);
    client_push(client);
}

/* The next request's beginning can't be known without the end of this one. */
static void refuse_length(struct client *client)
{
    client->busy = client->ends = true;
    client->deaf = true;
    buffer_free(&client->in);
    client_complain(client, EX_DATAERR, "a request has at most %d bytes", CONTROL_MAX);
    client_push(client);
}

/* Reads from a client that has no whole request here. */
static void take_request(struct client *client)
{
    char *bytes = client->control->bytes;
    ssize_t n = recv(client->fd, bytes, READ_SIZE, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_end(client); /* torn, perhaps: a request without its end isn't carried out */
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
    if (!client->busy && !gone && (events & EPOLLOUT) && client_has_request(client)) {
        answer(client);
    } else if (!client->busy && (events & EPOLLIN)) {
        take_request(client);
    } else if (gone) {
        client_end(client);
    } else {
        /* The client may close its writing side and wait for the answer. */
        client->deaf |= (events & EPOLLIN) != 0;
        client->half |= (events & EPOLLRDHUP) != 0;
        if (events & EPOLLOUT)
            client_push(client);
        else
            client_watch_as_due(client);
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
    loop_change(control->owner.loop, control->watch, EPOLLIN);
}

/* Out of descriptors: a client that can't be accepted would wake the loop without end. */
static void rest_a_while(struct control *control, int error)
{
    if (error != EMFILE && error != ENFILE && error != ENOMEM && error != ENOBUFS)
        return;
    log_warn("agentos", NULL, "Cannot take a client: %s; tried again in a second", strerror(error));
    loop_change(control->owner.loop, control->watch, 0);
    timer_set(control->owner.loop, &control->rest, REST_MS);
}

/* The last descriptors are for the agents' own work. */
static bool is_starved(struct control *control, int fd)
{
    bool starved = !capacity_for_client(fd);
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
    client->watch = loop_watch_first(control->owner.loop, fd, client->events, on_client, client);
    control->clients = client;
    control->count++;
    timer_set(control->owner.loop, &client->deadline, REQUEST_MS);
    if (!client->watch)
        client_end(client);
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

/* False: nobody else connects now. */
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

/* Accepts several clients in one go, so that their messages share a flush; not without end, so that workers have
 * their turn. */
static void on_connect(void *context, uint32_t events)
{
    (void)events;
    for (int taken = 0; taken < ACCEPTED_AT_ONCE && accept_one(context); taken++)
        ;
}

/* The socket is bound through the folder's descriptor, so that the length of the data directory's path doesn't
 * matter. */
static int listen_in(int run_folder, struct fault *fault)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", run_folder, CONTROL_SOCKET);
    /* The socket of a killed supervisor: the lock says that none is running. */
    unlinkat(run_folder, CONTROL_SOCKET, 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0177);
    bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    umask(before);
    if (bound && listen(fd, BACKLOG) == 0)
        return fd;
    fault_errno(fault, "cannot listen at the control socket");
    memory_close_at(&fd);
    return -1;
}

static ino_t name_of(int run_folder)
{
    struct stat status;
    return fstatat(run_folder, CONTROL_SOCKET, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
}

static bool begin(struct control *control, int run_folder, struct fault *fault)
{
    int fd = listen_in(run_folder, fault);
    if (fd < 0)
        return false;
    loop_forget(control->owner.loop, control->watch);
    memory_close_at(&control->fd);
    control->fd = fd;
    control->name = name_of(run_folder);
    control->watch = loop_watch_first(control->owner.loop, fd, EPOLLIN, on_connect, control);
    return true;
}

struct control *control_open(const struct control_owner *owner, int run_folder, struct fault *fault)
{
    struct control *control = memory_new(1, sizeof *control);
    *control = (struct control){.owner = *owner, .fd = -1};
    control->rest = (struct timer){.ring = listen_again, .context = control};
    if (begin(control, run_folder, fault))
        return control;
    free(control);
    return NULL;
}

bool control_listen_again(struct control *control, int run_folder, struct fault *fault)
{
    /* 0, and so is control->name, where the socket was removed while it was made. */
    ino_t there = name_of(run_folder);
    return (!there || there != control->name) && begin(control, run_folder, fault);
}

void control_close(struct control *control)
{
    if (!control)
        return;
    while (control->clients)
        client_end(control->clients);
    timer_clear(control->owner.loop, &control->rest);
    loop_forget(control->owner.loop, control->watch);
    close(control->fd);
    free(control);
}

/* --- followers --- */

bool control_followed(const struct control *control)
{
    return control && control->followers > 0;
}

static char *event_line(const struct agent *agent, const char *event, const struct detail *details)
{
    char now[CLOCK_TEXT];
    json_auto_t *object = json_pack("{s:s}", "time", clock_format(clock_now(), now));
    if (agent)
        json_object_set_new(object, "agent", json_string(agent->name));
    json_object_set_new(object, "event", json_string(event));
    for (; details->key; details++) {
        OWNED char *clean = details->text ? utf8_clean(details->text, strlen(details->text)) : NULL;
        json_object_set_new(object, details->key,
                            clean ? json_string(clean) : json_integer((json_int_t)details->number));
    }
    return json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
}

/* The event is only queued here and sent from the loop: an event may come while a function goes through the clients,
 * and a client that is lost while it is sent to would be freed under that function's feet. */
void control_tell(struct control *control, const struct agent *agent, const char *event,
                  const struct detail *details)
{
    if (!control_followed(control))
        return;
    OWNED char *line = event_line(agent, event, details);
    for (struct client *client = control->clients; line && client; client = client->next)
        if (client->waiter.what == WAIT_EVENTS) {
            send_queue_line(&client->send_queue, line);
            client_watch_as_due(client);
        }
}

void control_item_refused(struct control *control)
{
    if (control)
        control->items_refused++;
}
