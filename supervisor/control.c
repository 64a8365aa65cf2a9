#include "supervisor/control.h"

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
#include "common/files.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "supervisor/descriptors.h"
#include "supervisor/feed.h"
#include "supervisor/supervisor.h"

enum { BACKLOG = 64, READ_SIZE = 64 * 1024, REST_MS = 1000, QUEUE_READ_MAX = 64 * 1024 * 1024 };

struct client {
    struct control *control;
    struct client *next;
    int fd;
    struct loop_watch *watch;
    struct timer deadline;
    struct buffer in, out;
    size_t out_done;
    bool asked; /* the request is whole */
    struct waiter waiter;
    struct feed feed; /* of one who follows the events, after out */
};

struct control {
    struct supervisor *supervisor;
    int fd;
    struct loop_watch *watch;
    struct client *clients;
    size_t count, followers;
    struct timer rest; /* until it accepts again */
    bool starved;      /* the last client was turned away for lack of descriptors */
};

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

/* Writes what it takes; ends the client when all is said and nothing is waited for. */
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
    bool more = bytes != NULL;
    if (!more && client->waiter.what == WAIT_NOTHING) {
        end_client(client);
        return;
    }
    /* While it waits, only its going away is of interest. */
    loop_change(client->control->supervisor->loop, client->watch, EPOLLRDHUP | (more ? EPOLLOUT : 0u));
    if (more && client->waiter.what != WAIT_EVENTS)
        timer_set(client->control->supervisor->loop, &client->deadline, ANSWER_MS);
    else
        timer_clear(client->control->supervisor->loop, &client->deadline);
}

static void answer(struct client *client)
{
    json_error_t error;
    client->asked = true;
    json_t *request =
        json_loadb(client->in.data ? client->in.data : "", client->in.length, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(request))
        client_complain(client, EX_USAGE, "the request is no JSON object: %s",
                        request ? "it is something else" : error.text);
    else
        verbs_answer(client->control->supervisor, client, request);
    json_decref(request);
    buffer_free(&client->in);
    client->in = (struct buffer){0};
    push(client);
}

static void take_request(struct client *client)
{
    char *room = buffer_room(&client->in, READ_SIZE);
    ssize_t n = recv(client->fd, room, READ_SIZE, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        end_client(client);
        return;
    }
    const char *end = n > 0 ? memchr(room, '\n', (size_t)n) : NULL;
    client->in.length += (size_t)n;
    if (end)
        client->in.length = (size_t)(end - client->in.data);
    if (client->in.length > CONTROL_MAX) {
        client->asked = true;
        client_complain(client, EX_DATAERR, "a request has at most %d bytes", CONTROL_MAX);
        push(client);
    } else if (end) {
        answer(client);
    } else if (n == 0) {
        end_client(client); /* torn: what wasn't asked to the end isn't done */
    }
}

static void on_client(void *context, uint32_t events)
{
    struct client *client = context;
    if (!client->asked && (events & EPOLLIN))
        take_request(client);
    else if (events & (EPOLLHUP | EPOLLERR))
        end_client(client);
    else if (client->asked && (events & EPOLLOUT))
        push(client);
    else if (events & EPOLLRDHUP) {
        /* It has closed its writing side, which a client that waits for the answer may do. */
        if (client->asked)
            loop_change(client->control->supervisor->loop, client->watch,
                        due(client, &(size_t){0}) ? EPOLLOUT : 0u);
        else
            take_request(client);
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

static void on_connect(void *context, uint32_t events)
{
    (void)events;
    struct control *control = context;
    int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        rest_a_while(control, errno);
        return;
    }
    bool full = control->count >= CLIENTS_MAX || is_starved(control, fd);
    if (!is_one_of_us(fd) || full) {
        static const char no[] = "{\"exit\":77,\"complaint\":\"not permitted: another user\"}\n";
        static const char later[] = "{\"exit\":75,\"complaint\":\"too many clients at once; try again\"}\n";
        ssize_t ignored =
            send(fd, full ? later : no, full ? sizeof later - 1 : sizeof no - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)ignored;
        close(fd);
        return;
    }
    struct client *client = memory_new(1, sizeof *client);
    *client = (struct client){.control = control, .fd = fd, .next = control->clients};
    client->deadline = (struct timer){.ring = deadline_rings, .context = client};
    client->watch = loop_watch(control->supervisor->loop, fd, EPOLLIN, on_client, client);
    control->clients = client;
    control->count++;
    timer_set(control->supervisor->loop, &client->deadline, REQUEST_MS);
    if (!client->watch)
        end_client(client);
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
            loop_change(control->supervisor->loop, client->watch, EPOLLRDHUP | EPOLLOUT);
        }
}

/* --- those who wait --- */

static void stop_waiting(struct client *client)
{
    client->waiter.what = WAIT_NOTHING;
    push(client);
}

/* Calls judge for each client that waits for this of this agent; it may end the client. */
static void each_waiter(struct control *control, const struct agent *agent, enum waiting_for what,
                        void (*judge)(struct client *, void *), void *context)
{
    if (!control)
        return;
    for (struct client *client = control->clients, *next; client; client = next) {
        next = client->next;
        if (client->waiter.what == what && (!agent || client->waiter.agent == agent))
            judge(client, context);
    }
}

static void judge_order(struct client *client, void *context)
{
    (void)context;
    struct fault fault;
    int state = verbs_order_state(&client->waiter, &fault);
    if (state == 0)
        return;
    if (state > 0)
        client_say(client, EX_OK, NULL);
    else
        client_complain(client, EX_TEMPFAIL, "%s", fault.text);
    stop_waiting(client);
}

static void judge_cancel_of_dead(struct client *client, void *context)
{
    const struct agent *agent = context;
    if (agent->generation == client->waiter.generation && agent->pid > 0)
        return;
    client_complain(client, EX_TEMPFAIL, "the agent's worker has ended meanwhile; try again");
    stop_waiting(client);
}

static void judge_rollback(struct client *client, void *context)
{
    struct fault fault;
    if (client->waiter.serial != 0)
        judge_cancel_of_dead(client, context);
    else if (verbs_send_rollback(&client->waiter, &fault) < 0) {
        client_complain(client, EX_TEMPFAIL, "%s", fault.text);
        stop_waiting(client);
    }
}

void control_agent_changed(struct control *control, struct agent *agent)
{
    each_waiter(control, agent, WAIT_ROLLBACK, judge_rollback, agent);
    each_waiter(control, agent, WAIT_ORDER, judge_order, NULL);
    each_waiter(control, agent, WAIT_CANCEL, judge_cancel_of_dead, agent);
}

/* Whether the task stands in queue.md still: somebody who writes there may hold it up. */
static bool is_queued(const struct agent *agent, const char *task)
{
    OWNED char *text = NULL;
    size_t length;
    if (files_read(agent->tree, TREE_QUEUE, QUEUE_READ_MAX, &text, &length, NULL, NULL) != 1)
        return false;
    OWNED char *head = memory_print("## %s\n", task);
    return strstr(text, head) != NULL;
}

/* The worker that would have told the end may have died between its commit and its words. When the next one is idle
 * and the answer lies there, the task was done. */
static void judge_task_of_idle(struct client *client, void *context)
{
    const struct agent *agent = context;
    if (agent->generation == client->waiter.generation || is_queued(agent, client->waiter.task))
        return;
    OWNED char *file = names_file(client->waiter.task);
    OWNED char *path = memory_print("%s/%s.md", TREE_OUTPUTS, file);
    struct file_stamp stamp = files_stamp_at(agent->tree, path);
    if (stamp.inode)
        client_say(
            client, EX_OK,
            json_pack("{s:s, s:s, s:n, s:n}", "id", client->waiter.task, "end", "done", "reward", "commit"));
    else
        client_complain(
            client, EX_DATAERR,
            "the worker was started again meanwhile and nothing is left to do; see `agentos log %s`",
            agent->name);
    stop_waiting(client);
}

void control_agent_idle(struct control *control, struct agent *agent)
{
    each_waiter(control, agent, WAIT_TASK, judge_task_of_idle, agent);
}

static void judge_gone(struct client *client, void *context)
{
    (void)context;
    client_complain(client, EX_NOINPUT, "the agent was taken out of agents.yaml meanwhile");
    stop_waiting(client);
}

void control_agent_gone(struct control *control, struct agent *agent)
{
    each_waiter(control, agent, WAIT_ORDER, judge_gone, NULL);
    each_waiter(control, agent, WAIT_TASK, judge_gone, NULL);
    each_waiter(control, agent, WAIT_CANCEL, judge_gone, NULL);
    each_waiter(control, agent, WAIT_ROLLBACK, judge_gone, NULL);
}

struct finished {
    const char *task, *commit, *end;
    int reward;
};

static void judge_task(struct client *client, void *context)
{
    const struct finished *finished = context;
    if (strcmp(client->waiter.task, finished->task) != 0)
        return;
    /* Its commit may have been its worker's last deed: for the next one it is a duplicate. */
    bool again = strcmp(finished->end, "duplicate") == 0 &&
                 client->waiter.agent->generation != client->waiter.generation;
    bool done = again || strcmp(finished->end, "done") == 0;
    json_t *more =
        json_pack("{s:s, s:s, s:i, s:s}", "id", finished->task, "end", done ? "done" : finished->end,
                  "reward", finished->reward, "commit", finished->commit);
    if (more && again)
        json_object_set_new(more, "reward", json_null()); /* its commit has it */
    if (more && !done) {
        OWNED char *complaint = memory_print("task %s ended as %s", finished->task, finished->end);
        json_object_set_new(more, "complaint", json_string(complaint));
    }
    client_say(client, done ? EX_OK : EX_DATAERR, more);
    stop_waiting(client);
}

void control_task_finished(struct control *control, struct agent *agent, const char *task, int reward,
                           const char *commit, const char *end)
{
    struct finished finished = {.task = task, .commit = commit, .end = end, .reward = reward};
    each_waiter(control, agent, WAIT_TASK, judge_task, &finished);
}

struct refused {
    const char *task, *why;
};

/* Whoever waits would wait until somebody changes the task or the provider. */
static void judge_held(struct client *client, void *context)
{
    const struct refused *held = context;
    if (strcmp(client->waiter.task, held->task) != 0)
        return;
    client_complain(client, EX_TEMPFAIL,
                    "the provider refuses the task as it is: %s. It stays in the queue and is tried again; "
                    "`agentos cancel` takes it out",
                    held->why);
    stop_waiting(client);
}

void control_task_held(struct control *control, struct agent *agent, const char *task, const char *why)
{
    struct refused held = {.task = task, .why = why};
    each_waiter(control, agent, WAIT_TASK, judge_held, &held);
}

struct cancelled {
    uint64_t serial;
    bool done;
};

static void judge_cancel(struct client *client, void *context)
{
    const struct cancelled *cancelled = context;
    if (client->waiter.serial != cancelled->serial)
        return;
    if (cancelled->done)
        client_say(client, EX_OK, NULL);
    else
        client_complain(client, EX_NOINPUT, "there is no such task: it may be done already");
    stop_waiting(client);
}

void control_task_cancelled(struct control *control, struct agent *agent, uint64_t serial, bool done)
{
    struct cancelled cancelled = {.serial = serial, .done = done};
    each_waiter(control, agent, WAIT_CANCEL, judge_cancel, &cancelled);
}

struct rolled_back {
    uint64_t serial;
    int exit;
    const char *text;
};

static void judge_rolled_back(struct client *client, void *context)
{
    const struct rolled_back *rolled = context;
    if (client->waiter.serial != rolled->serial)
        return;
    OWNED char *text = utf8_clean(rolled->text, strlen(rolled->text));
    client_say(client, rolled->exit, json_pack("{s:s}", rolled->exit == EX_OK ? "said" : "complaint", text));
    stop_waiting(client);
}

void control_rolled_back(struct control *control, struct agent *agent, uint64_t serial, int exit,
                         const char *text)
{
    struct rolled_back rolled = {.serial = serial, .exit = exit, .text = text};
    each_waiter(control, agent, WAIT_ROLLBACK, judge_rolled_back, &rolled);
}
