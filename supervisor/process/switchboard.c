#include "supervisor/process/switchboard.h"

#include <errno.h>
#include <fcntl.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/message.h"

/* A turn hears this much of one line at most, and then rests from it, so that who floods can't hold up the others. */
enum {
    MESSAGES_PER_TURN = 256,
    BYTES_PER_TURN = 1024 * 1024,
    TURN_MS = 3,
    BYTES_PER_MS = 32 * 1024,
    PATH_SAFE = 96
};

/* A listener that is closed while nng 1.5 greets a client costs a descriptor and its memory for ever: nng stops the
 * greeting (ipc_ep_close), a step that begins just then never calls back, and the connection is never freed
 * (ipc_pipe_neg_cb, nni_aio_begin). The kernel and nng's threads may also have the connection of a process that is gone.
 * So a listener first loses its name, which lets no client in any more, and is closed when nng has greeted or refused the
 * last one: nng waits 10 seconds for a greeting. At most FORMERS_MAX listeners are kept open for that. */
enum { FORMER_MS = 15000, FORMERS_MAX = 256 };

struct former {
    struct former *next;
    int64_t until; /* clock_monotonic_ms */
    struct line *line;
    nng_listener listener; /* its id is 0: the whole line is closed */
};

struct waiting_message {
    nng_msg *message; /* owned */
    struct waiting_message *next;
};

/* A line, and so its socket, is used for one worker of the agent after the other. A fresh socket for each would cost four
 * descriptors for ever: nng 1.5's pair0_sock_fini frees neither of the two pipes that RECVFD and SENDFD are ends of. */
struct line {
    struct switchboard *board;
    struct line *next;
    const struct line_owner *owner;
    void *context;
    nng_socket socket;
    nng_listener listener;
    char *file, *url; /* its socket's name in the folder, and its address */
    struct {
        int fd; /* nng's */
        struct loop_watch *watch;
    } receive, send;
    struct {
        struct waiting_message *first, **last;
        size_t bytes;
    } waiting;
    nng_msg *held;      /* owned: its rest is for a later turn; NULL: none */
    size_t heard;       /* bytes of it */
    struct timer again; /* set: it rests until then */
    bool deaf, awaiting_free, used;
    bool quiet; /* no connection stands: nothing is received, and the loop doesn't look */
    /* nng 1.5's pair crashes on a message that a callback left just after its connection was taken off the socket
     * (pair0_pipe_stop, then pair0_pipe_recv_cb). The end is told before that: to receive takes this and a connection. */
    pthread_mutex_t receiving;
    /* Both are set while that is held: who has been let in is known to whoever asks whether the line is free. */
    _Atomic pid_t expected;
    int expected_at;         /* the id of the listener that was made for it: no other lets it in */
    _Atomic uint32_t coming; /* the connection that was let in and doesn't stand yet; 0: none */
    _Atomic uint32_t pipe;   /* the connection that stands; 0: none */
    _Atomic bool ended;      /* one that came or stood has ended: the loop's to handle */
    _Atomic bool abandoned;
};

struct switchboard {
    struct loop *loop;
    char *folder;
    int folder_fd;
    int wake; /* eventfd, written by nng's threads */
    struct loop_watch *wake_watch;
    struct line *lines;
    struct former *first, **last; /* what is to be closed, the oldest first */
    size_t formers;
    struct timer former_timer;
    unsigned listeners; /* made so far */
    bool distrusted; /* a line had to be abandoned: nng is asked to close nothing any more, it might hang */
};

/* These three are called by nng's threads. The first two see one connection of a line at a time: a listener has one, and
 * only the latest lets in. Its end may be told at any moment, also before it stands: then it never does. */
static void judge_connection(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    (void)event;
    struct line *line = context;
    uint64_t peer = 0;
    bool known = nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_PID, &peer) == 0;
    int listener = nng_listener_id(nng_pipe_listener(pipe));
    pthread_mutex_lock(&line->receiving);
    pid_t expected = atomic_load(&line->expected);
    bool welcome = known && expected > 0 && peer == (uint64_t)expected && listener == line->expected_at;
    if (welcome)
        atomic_store(&line->coming, (uint32_t)nng_pipe_id(pipe));
    pthread_mutex_unlock(&line->receiving);
    if (!welcome)
        nng_pipe_close(pipe);
}

/* With `receiving` held, as by whoever gives the line up: the board may go then. */
static void wake_loop(const struct line *line)
{
    if (!atomic_load(&line->abandoned))
        eventfd_write(line->board->wake, 1);
}

static void note_connection(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    (void)event;
    struct line *line = context;
    uint32_t id = (uint32_t)nng_pipe_id(pipe), coming = id;
    pthread_mutex_lock(&line->receiving);
    if (atomic_compare_exchange_strong(&line->coming, &coming, 0)) {
        atomic_store(&line->pipe, id);
        wake_loop(line);
    }
    pthread_mutex_unlock(&line->receiving);
}

/* Told of connections that were not let in, too, and of a second one beside that which stands. */
static void note_end(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    (void)event;
    struct line *line = context;
    uint32_t standing = (uint32_t)nng_pipe_id(pipe), coming = standing;
    pthread_mutex_lock(&line->receiving);
    bool stood = atomic_compare_exchange_strong(&line->pipe, &standing, 0);
    bool came = atomic_compare_exchange_strong(&line->coming, &coming, 0);
    if (stood || (came && atomic_load(&line->pipe) == 0)) {
        atomic_store(&line->ended, true);
        wake_loop(line);
    }
    pthread_mutex_unlock(&line->receiving);
}

/* pid 0: nobody. A line is free when somebody is expected on it, so an end that wasn't handled yet is the one before's. */
static void expect(struct line *line, pid_t pid)
{
    pthread_mutex_lock(&line->receiving);
    if (pid > 0)
        atomic_store(&line->ended, false);
    atomic_store(&line->expected, pid);
    line->expected_at = nng_listener_id(line->listener);
    pthread_mutex_unlock(&line->receiving);
}

static void tell_free(struct line *line)
{
    if (!line->awaiting_free || atomic_load(&line->pipe) != 0 || atomic_load(&line->coming) != 0)
        return;
    line->awaiting_free = false;
    line->owner->free(line->context);
}

static void watch_receiving(struct line *line)
{
    if (line->receive.watch)
        loop_change(line->board->loop, line->receive.watch,
                    line->deaf || line->quiet || line->again.place ? 0 : EPOLLIN);
}

static void listen_again(struct line *line)
{
    if (!line->quiet || atomic_load(&line->pipe) == 0)
        return;
    line->quiet = false;
    watch_receiving(line);
}

static void on_wake(void *context, uint32_t events)
{
    (void)events;
    struct switchboard *board = context;
    eventfd_t count;
    eventfd_read(board->wake, &count);
    for (struct line *line = board->lines, *next; line; line = next) {
        next = line->next;
        listen_again(line);
        if (!atomic_exchange(&line->ended, false))
            continue;
        /* Awaiting: it is the one before that has ended, and that one is no news any more. */
        if (line->awaiting_free)
            tell_free(line);
        else if (atomic_load(&line->expected) > 0)
            line->owner->lost(line->context);
    }
}

static void drop_waiting(struct line *line)
{
    while (line->waiting.first) {
        struct waiting_message *waiting = line->waiting.first;
        line->waiting.first = waiting->next;
        nng_msg_free(waiting->message);
        free(waiting);
    }
    line->waiting.last = &line->waiting.first;
    line->waiting.bytes = 0;
    if (line->send.watch)
        loop_forget(line->board->loop, line->send.watch);
    line->send.watch = NULL;
}

static void drop_held(struct line *line)
{
    timer_clear(line->board->loop, &line->again);
    nng_msg_free(line->held);
    line->held = NULL;
}

static void free_line(struct line *line)
{
    pthread_mutex_destroy(&line->receiving);
    free(line->file);
    free(line->url);
    free(line);
}

static void take_down(struct line *line)
{
    for (struct line **at = &line->board->lines; *at; at = &(*at)->next)
        if (*at == line) {
            *at = line->next;
            break;
        }
    drop_waiting(line);
    drop_held(line);
    loop_forget(line->board->loop, line->receive.watch);
}

/* Neither the board nor nng is asked for anything any more; nng may still call. */
static void give_up(struct line *line)
{
    atomic_store(&line->abandoned, true);
    expect(line, 0); /* waits for a call that has not seen it */
    take_down(line);
}

static void end_line(struct line *line)
{
    if (line->board->distrusted) {
        give_up(line);
        return;
    }
    take_down(line);
    nng_close(line->socket);
    free_line(line);
}

static struct former next_former(struct switchboard *board)
{
    OWNED struct former *first = board->first;
    board->first = first->next;
    if (!board->first)
        board->last = &board->first;
    board->formers--;
    return *first;
}

static void close_formers(void *context)
{
    struct switchboard *board = context;
    int64_t now = clock_monotonic_ms();
    while (board->first && (board->first->until <= now || board->formers > FORMERS_MAX)) {
        struct former former = next_former(board);
        if (nng_listener_id(former.listener) <= 0)
            end_line(former.line);
        else if (!atomic_load(&former.line->abandoned))
            nng_listener_close(former.listener);
    }
    if (board->first)
        timer_set(board->loop, &board->former_timer, board->first->until - now);
}

/* Not in the call itself, which may come from a walk along the lines. A line is closed after its listeners, for it comes
 * after them. */
static void close_later(struct line *line, nng_listener listener)
{
    struct switchboard *board = line->board;
    int64_t now = clock_monotonic_ms();
    struct former *former = memory_new(1, sizeof *former);
    *former = (struct former){.until = now + FORMER_MS, .line = line, .listener = listener};
    *board->last = former;
    board->last = &former->next;
    board->formers++;
    timer_set(board->loop, &board->former_timer,
              board->formers > FORMERS_MAX ? 0 : board->first->until - now);
}

struct switchboard *switchboard_open(struct loop *loop, const char *folder, struct fault *fault)
{
    int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int wake = folder_fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake < 0) {
        fault_errno(fault, "cannot open %s for the workers' sockets", folder);
        memory_close_at(&folder_fd);
        return NULL;
    }
    struct switchboard *board = memory_new(1, sizeof *board);
    *board = (struct switchboard){
        .loop = loop, .folder = memory_text(folder), .folder_fd = folder_fd, .wake = wake};
    board->last = &board->first;
    board->former_timer = (struct timer){.ring = close_formers, .context = board};
    board->wake_watch = loop_watch(loop, wake, EPOLLIN, on_wake, board);
    return board;
}

/* What is still to be closed is left open, for its time has not come. */
void switchboard_close(struct switchboard *board)
{
    if (!board)
        return;
    while (board->first) {
        struct former former = next_former(board);
        if (nng_listener_id(former.listener) <= 0)
            give_up(former.line);
    }
    timer_clear(board->loop, &board->former_timer);
    loop_forget(board->loop, board->wake_watch);
    close(board->wake);
    close(board->folder_fd);
    free(board->folder);
    free(board);
}

bool switchboard_distrusted(const struct switchboard *board)
{
    return board->distrusted;
}

static void on_writable(void *context, uint32_t events)
{
    (void)events;
    struct line *line = context;
    while (line->waiting.first) {
        struct waiting_message *waiting = line->waiting.first;
        size_t length = nng_msg_len(waiting->message);
        if (nng_sendmsg(line->socket, waiting->message, NNG_FLAG_NONBLOCK) != 0)
            return;
        line->waiting.first = waiting->next;
        line->waiting.bytes -= length;
        free(waiting);
    }
    drop_waiting(line);
}

static bool enqueue(struct line *line, nng_msg *message)
{
    if (line->waiting.bytes + nng_msg_len(message) > LINE_QUEUE_MAX) {
        nng_msg_free(message);
        return false;
    }
    struct waiting_message *waiting = memory_new(1, sizeof *waiting);
    waiting->message = message;
    line->waiting.bytes += nng_msg_len(message);
    *line->waiting.last = waiting;
    line->waiting.last = &waiting->next;
    if (!line->send.watch)
        line->send.watch = loop_watch(line->board->loop, line->send.fd, EPOLLIN, on_writable, line);
    return true;
}

bool line_send(struct line *line, const struct buffer *buffer)
{
    nng_msg *message;
    if (nng_msg_alloc(&message, 0) != 0)
        return false;
    if (nng_msg_append(message, buffer->data, buffer->length) != 0) {
        nng_msg_free(message);
        return false;
    }
    if (!line->waiting.first && nng_sendmsg(line->socket, message, NNG_FLAG_NONBLOCK) == 0)
        return true;
    return enqueue(line, message);
}

bool line_idle(const struct line *line)
{
    return !line->waiting.first;
}

static nng_msg *receive(struct line *line) /* NULL: there is none */
{
    nng_msg *message = NULL;
    pthread_mutex_lock(&line->receiving);
    line->quiet = atomic_load(&line->pipe) == 0;
    if (!line->quiet && nng_recvmsg(line->socket, &message, NNG_FLAG_NONBLOCK) != 0)
        message = NULL;
    pthread_mutex_unlock(&line->receiving);
    if (line->quiet)
        watch_receiving(line);
    return message;
}

/* False: there is no more. */
static bool hear_next(struct line *line, struct line_turn *turn, size_t *bytes)
{
    nng_msg *message = line->held ? line->held : receive(line);
    if (!message)
        return false;
    turn->messages -= turn->messages > 0;
    turn->heard = line->held ? line->heard : 0;
    line->held = NULL;
    *bytes += nng_msg_len(message) - turn->heard;
    if (atomic_load(&line->expected) > 0 &&
        !line->owner->message(line->context, nng_msg_body(message), nng_msg_len(message), turn))
        line->deaf = true;
    line->heard = turn->heard;
    if (turn->heard && !line->deaf)
        line->held = message;
    else
        nng_msg_free(message);
    return true;
}

bool line_drain(struct line *line)
{
    struct line_turn turn = {.messages = MESSAGES_PER_TURN, .until_ms = clock_monotonic_ms() + TURN_MS};
    size_t bytes = 0;
    bool more;
    if (!line || line->deaf)
        return false;
    do
        more = hear_next(line, &turn, &bytes);
    while (more && !line->held && !line->deaf && bytes < BYTES_PER_TURN && !line_turn_over(&turn));
    if (!more)
        return false;
    if (!line->deaf)
        timer_set(line->board->loop, &line->again, TURN_MS + (int64_t)(bytes / BYTES_PER_MS));
    watch_receiving(line);
    return !line->deaf;
}

static void hear_again(void *context)
{
    if (!line_drain(context))
        watch_receiving(context);
}

static void on_readable(void *context, uint32_t events)
{
    (void)events;
    line_drain(context);
}

/* sun_path is short, and nng gives up at about 100 bytes: a long path is shortened through the folder's descriptor,
 * which names the same place in this process. */
static char *listen_url(const struct switchboard *board, const char *file)
{
    if (strlen(board->folder) + strlen(file) + 1 <= PATH_SAFE)
        return memory_print("ipc://%s/%s", board->folder, file);
    return memory_print("ipc:///proc/self/fd/%d/%s", board->folder_fd, file);
}

/* It is made under another name: what a listener of nng's finds under its own when it is closed, it removes. */
static int start_listening(struct line *line)
{
    struct switchboard *board = line->board;
    OWNED char *name = memory_print(".%u", ++board->listeners), *url = listen_url(board, name);
    nng_listener listener;
    files_follow(board->folder_fd, board->folder);
    unlinkat(board->folder_fd, name, 0);
    int error = nng_listener_create(&listener, line->socket, url);
    if (error)
        return error;
    error = nng_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, S_IRUSR | S_IWUSR);
    error = error ? error : nng_listener_start(listener, 0);
    if (error == 0 && renameat(board->folder_fd, name, board->folder_fd, line->file) != 0)
        error = NNG_ESYSERR + errno;
    if (error)
        nng_listener_close(listener);
    else
        line->listener = listener;
    return error;
}

/* For nng 1.5, whoever connects and has gone before he is greeted (EPIPE, so NNG_ECLOSED, in listener_accept_cb) closes the
 * listener: it never accepts anybody again. So no worker depends on what came before it. */
static int listen_anew(struct line *line)
{
    nng_listener former = line->listener;
    int error = start_listening(line);
    if (error == 0)
        close_later(line, former);
    return error;
}

static int set_up(struct line *line)
{
    nng_socket socket = line->socket;
    int error = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, MESSAGE_MAX);
    /* Nothing is buffered for a peer that isn't there: it would reach the next one. */
    error = error ? error : nng_socket_set_int(socket, NNG_OPT_SENDBUF, 0);
    error = error ? error : nng_pipe_notify(socket, NNG_PIPE_EV_ADD_PRE, judge_connection, line);
    error = error ? error : nng_pipe_notify(socket, NNG_PIPE_EV_ADD_POST, note_connection, line);
    error = error ? error : nng_pipe_notify(socket, NNG_PIPE_EV_REM_POST, note_end, line);
    error = error ? error : nng_socket_get_int(socket, NNG_OPT_RECVFD, &line->receive.fd);
    return error ? error : nng_socket_get_int(socket, NNG_OPT_SENDFD, &line->send.fd);
}

struct line *line_open(struct switchboard *board, const char *name, const struct line_owner *owner,
                       void *context, struct fault *fault)
{
    struct line *line = memory_new(1, sizeof *line);
    *line = (struct line){.board = board, .owner = owner, .context = context};
    line->waiting.last = &line->waiting.first;
    line->again = (struct timer){.ring = hear_again, .context = line};
    line->file = memory_print("%s.sock", name);
    line->url = memory_print("ipc://%s/%s", board->folder, line->file);
    pthread_mutex_init(&line->receiving, NULL);
    int error = nng_pair0_open(&line->socket);
    bool opened = error == 0;
    error = error ? error : set_up(line);
    if (error == 0 &&
        !(line->receive.watch = loop_watch(board->loop, line->receive.fd, EPOLLIN, on_readable, line)))
        error = NNG_ESYSERR + errno;
    error = error ? error : start_listening(line); /* last: what nobody can have come to is closed at once */
    if (error) {
        fault_set(fault, "cannot listen for worker %s in %s: %s", name, board->folder, nng_strerror(error));
        loop_forget(board->loop, line->receive.watch);
        if (opened)
            nng_close(line->socket);
        free_line(line);
        return NULL;
    }
    line->next = board->lines;
    board->lines = line;
    return line;
}

void line_abandon(struct line *line)
{
    if (!line)
        return;
    line->board->distrusted = true;
    give_up(line);
}

/* Until then it stays in the loop, and what still comes is dropped there. */
void line_close(struct line *line)
{
    if (!line)
        return;
    unlinkat(line->board->folder_fd, line->file, 0);
    line_leave(line);
    line->awaiting_free = false;
    close_later(line, (nng_listener)NNG_LISTENER_INITIALIZER);
}

const char *line_url(const struct line *line)
{
    return line->url;
}

bool line_expect(struct line *line, pid_t pid, struct fault *fault)
{
    int error = line->used ? listen_anew(line) : 0;
    line->used = true;
    if (error)
        return fault_set(fault, "cannot listen for a worker at %s: %s", line->url, nng_strerror(error));
    expect(line, pid);
    return true;
}

/* Its connection is read on until it ends by itself. nng 1.5 must not close it in the middle of a message: the reading that
 * ipc_pipe_recv_cb goes on with on a stopped aio never ends, and the thread that takes down all connections of the process
 * (nng:reap2) waits for that. */
void line_leave(struct line *line)
{
    if (!line)
        return;
    drop_waiting(line);
    drop_held(line);
    expect(line, 0);
    line->deaf = false;
    watch_receiving(line);
}

void line_await_free(struct line *line)
{
    line->awaiting_free = true;
    tell_free(line);
}
