#include "supervisor/process/switchboard.h"

#include <errno.h>
#include <fcntl.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/message.h"

/* A turn hears this much of a line at most, and then rests from it, so that a worker's flood can't hold up the others. */
enum { MESSAGES_PER_TURN = 256, BYTES_PER_TURN = 1024 * 1024, TURN_MS = 3, BYTES_PER_MS = 32 * 1024 };
enum { PATH_SAFE = 96 };

/* A listener that is closed while nng 1.5 greets a client costs a descriptor and its memory for ever: nng stops the
 * greeting (ipc_ep_close), a step that begins just then never calls back, and the connection is never freed
 * (ipc_pipe_neg_cb, nni_aio_begin). The kernel and nng's threads may also have the connection of a process that is gone.
 * So a listener first loses its name, which lets no client in any more, and is closed when nng has greeted or refused the
 * last one: nng waits 10 seconds for a greeting. At most FORMERS_MAX listeners are kept open for that. */
enum { FORMER_MS = 15000, FORMERS_MAX = 256 };

struct former {
    struct former *next;
    int64_t until; /* clock_monotonic_ms */
    nng_listener listener;
};

struct waiting_message {
    nng_msg *message; /* owned */
    struct waiting_message *next;
};

/* A line, and with it its socket, is lent to one worker after the other, of whichever agent: a socket is never
 * closed, for nng 1.5's nng_close has been seen to hang. Each worker has a listener and a connection of its own, and
 * a message says which connection it came by: a late message of a former worker is dropped. nng_aio receives and
 * sends messages, as RECVFD and SENDFD would cost four descriptors for each socket. */
struct line {
    struct switchboard *board;
    struct line *next; /* of all lines */
    STAILQ_ENTRY(line) resting_link;
    const struct line_owner *owner; /* NULL: the line is lent to nobody */
    void *context;
    nng_socket socket;
    nng_listener listener;
    nng_aio *receiver, *sender;
    char *file; /* the socket's name in the folder */
    struct {
        struct waiting_message *first, **last;
        size_t bytes;
    } waiting;
    struct shared_bytes *held; /* a message whose rest is for a later turn; NULL: none */
    size_t heard;              /* bytes of it */
    struct timer again;        /* set: the line rests until then */
    bool deaf, rests;

    /* nng 1.5's pair crashes on a message that a callback left just after its connection was taken off the socket
     * (pair0_pipe_stop, pair0_pipe_recv_cb). nng tells the end before: to receive takes this lock and a connection. */
    pthread_mutex_t lock; /* guards the fields below, which nng's threads write, too */
    struct {
        pid_t expected;  /* 0: nobody */
        uint32_t coming; /* the connection that was let in and doesn't stand yet; 0: none */
        uint32_t stands; /* 0: none */
        uint32_t last;   /* the connection that was let in last for the present worker; 0: none yet */
        bool ended;      /* a connection that came or stood has ended: the loop's to handle */
    } connection;
    nng_msg *came; /* owned: the receiver's; NULL: none */
    bool receiving, sending;
    bool abandoned; /* the board is gone */

    struct line *next_ready; /* under the board's lock: */
    bool ready;              /* the line is in the board's list of that name */
};

struct switchboard {
    struct loop *loop;
    char *folder;
    int folder_fd;
    int wake; /* eventfd, written by nng's threads */
    struct loop_watch *wake_watch;
    struct line *lines; /* every line */
    /* Lines that can be lent, the longest resting line first: nng 1.5 tells of a connection's end a little before the pair
     * takes the next connection (pair0_pipe_stop). */
    STAILQ_HEAD(, line) resting;
    pthread_mutex_t lock; /* taken last */
    struct {
        struct line *first, **last;
    } ready;                      /* lines with work that nng's threads have left */
    struct former *first, **last; /* listeners that are to be closed, the oldest first */
    size_t formers;
    struct timer former_timer;
    unsigned listeners; /* made so far */
};

/* --- in nng's threads --- */

/* The caller holds the line's lock, as does the board when it leaves the line: the board may be freed afterwards. */
static void tell_loop(struct line *line)
{
    struct switchboard *board = line->board;
    if (line->abandoned)
        return;
    pthread_mutex_lock(&board->lock);
    if (!board->ready.first)
        eventfd_write(board->wake, 1);
    if (!line->ready) {
        line->ready = true;
        line->next_ready = NULL;
        *board->ready.last = line;
        board->ready.last = &line->next_ready;
    }
    pthread_mutex_unlock(&board->lock);
}

/* A line lets in one connection at a time. The connection's end may be told at any moment, also before the connection
 * stands: then it never does. */
static void judge_connection(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    (void)event;
    struct line *line = context;
    uint64_t peer = 0;
    bool known = nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_PID, &peer) == 0;
    int listener = nng_listener_id(nng_pipe_listener(pipe));
    pthread_mutex_lock(&line->lock);
    bool welcome = known && line->connection.expected > 0 && peer == (uint64_t)line->connection.expected &&
                   listener == nng_listener_id(line->listener) && !line->connection.coming &&
                   !line->connection.stands;
    if (welcome)
        line->connection.coming = line->connection.last = (uint32_t)nng_pipe_id(pipe);
    pthread_mutex_unlock(&line->lock);
    if (!welcome)
        nng_pipe_close(pipe);
}

static void note_connection(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    (void)event;
    struct line *line = context;
    uint32_t id = (uint32_t)nng_pipe_id(pipe);
    pthread_mutex_lock(&line->lock);
    if (line->connection.coming == id) {
        line->connection.coming = 0;
        line->connection.stands = id;
        tell_loop(line);
    }
    pthread_mutex_unlock(&line->lock);
}

/* nng tells of connections that were not let in, too. */
static void note_end(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    (void)event;
    struct line *line = context;
    uint32_t id = (uint32_t)nng_pipe_id(pipe);
    pthread_mutex_lock(&line->lock);
    if (line->connection.stands == id || line->connection.coming == id) {
        line->connection.stands = line->connection.coming = 0;
        line->connection.ended = true;
        tell_loop(line);
    }
    pthread_mutex_unlock(&line->lock);
}

static void received(void *context)
{
    struct line *line = context;
    nng_msg *message = nng_aio_result(line->receiver) == 0 ? nng_aio_get_msg(line->receiver) : NULL;
    pthread_mutex_lock(&line->lock);
    line->receiving = false;
    line->came = message;
    tell_loop(line);
    pthread_mutex_unlock(&line->lock);
}

static void sent(void *context)
{
    struct line *line = context;
    nng_msg *unsent = nng_aio_result(line->sender) == 0 ? NULL : nng_aio_get_msg(line->sender);
    pthread_mutex_lock(&line->lock);
    line->sending = false;
    tell_loop(line);
    pthread_mutex_unlock(&line->lock);
    nng_msg_free(unsent);
}

/* --- in the loop's --- */

static bool is_sending(struct line *line)
{
    pthread_mutex_lock(&line->lock);
    bool sending = line->sending;
    pthread_mutex_unlock(&line->lock);
    return sending;
}

static void pop_waiting(struct line *line)
{
    struct waiting_message *waiting = line->waiting.first;
    line->waiting.first = waiting->next;
    if (!line->waiting.first)
        line->waiting.last = &line->waiting.first;
    line->waiting.bytes -= nng_msg_len(waiting->message);
    free(waiting);
}

static void drop_waiting(struct line *line)
{
    while (line->waiting.first) {
        nng_msg *message = line->waiting.first->message;
        pop_waiting(line);
        nng_msg_free(message);
    }
}

/* Messages that nng can't take now wait for it, the first of them in the sender. */
static void send_waiting(struct line *line)
{
    while (line->waiting.first && !is_sending(line)) {
        nng_msg *message = line->waiting.first->message;
        pop_waiting(line);
        if (nng_sendmsg(line->socket, message, NNG_FLAG_NONBLOCK) == 0)
            continue;
        nng_aio_set_msg(line->sender, message);
        line->sending = true; /* nobody else writes sending now */
        nng_send_aio(line->socket, line->sender);
    }
}

static void drop_held(struct line *line)
{
    timer_clear(line->board->loop, &line->again);
    shared_bytes_drop(line->held);
    line->held = NULL;
}

/* NULL: there is no message now; the receiver tells of the next one, as long as a connection stands. */
static nng_msg *receive(struct line *line)
{
    nng_msg *message;
    pthread_mutex_lock(&line->lock);
    do {
        message = line->came;
        line->came = NULL;
        bool stands = !message && !line->receiving && line->connection.stands;
        if (stands && nng_recvmsg(line->socket, &message, NNG_FLAG_NONBLOCK) != 0) {
            message = NULL;
            line->receiving = true;
            nng_recv_aio(line->socket, line->receiver);
        }
        if (message && (uint32_t)nng_pipe_id(nng_msg_get_pipe(message)) == line->connection.last)
            break;
        nng_msg_free(message);
    } while (message);
    pthread_mutex_unlock(&line->lock);
    return message;
}

static void free_message(void *message)
{
    nng_msg_free(message);
}

/* False: there is no further message. */
static bool hear_next(struct line *line, struct line_turn *turn, size_t *bytes)
{
    nng_msg *message = line->held ? shared_bytes_owner(line->held) : receive(line);
    if (!message)
        return false;
    turn->messages -= turn->messages > 0;
    turn->heard = line->held ? line->heard : 0;
    turn->kept = line->held ? line->held : shared_bytes_new(nng_msg_len(message), message, free_message);
    line->held = NULL;
    *bytes += nng_msg_len(message) - turn->heard;
    if (!line->owner->message(line->context, nng_msg_body(message), nng_msg_len(message), turn))
        line->deaf = true;
    line->heard = turn->heard;
    if (turn->heard && !line->deaf)
        line->held = turn->kept;
    else
        shared_bytes_drop(turn->kept);
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
    if (more && !line->deaf)
        timer_set(line->board->loop, &line->again, TURN_MS + (int64_t)(bytes / BYTES_PER_MS));
    return more && !line->deaf;
}

static void hear_again(void *context)
{
    line_drain(context);
}

/* A line that is lent to nobody can be lent again when its last connection has ended and nothing is under way. */
static void rest_when_free(struct line *line)
{
    pthread_mutex_lock(&line->lock);
    bool is_free = !line->owner && !line->connection.stands && !line->connection.coming && !line->sending;
    pthread_mutex_unlock(&line->lock);
    if (!is_free || line->rests)
        return;
    line->rests = true;
    STAILQ_INSERT_TAIL(&line->board->resting, line, resting_link);
}

static void look_at(struct line *line)
{
    pthread_mutex_lock(&line->lock);
    bool ended = line->connection.ended;
    line->connection.ended = false;
    pthread_mutex_unlock(&line->lock);
    if (!line->owner) {
        rest_when_free(line);
        return;
    }
    if (!line->again.place)
        line_drain(line);
    send_waiting(line);
    if (ended)
        line->owner->lost(line->context);
}

static struct line *next_ready(struct switchboard *board)
{
    pthread_mutex_lock(&board->lock);
    struct line *line = board->ready.first;
    if (line) {
        board->ready.first = line->next_ready;
        if (!board->ready.first)
            board->ready.last = &board->ready.first;
        line->ready = false;
    }
    pthread_mutex_unlock(&board->lock);
    return line;
}

static void on_wake(void *context, uint32_t events)
{
    (void)events;
    struct switchboard *board = context;
    struct line *line;
    eventfd_t count;
    int64_t until = clock_monotonic_ms() + TURN_MS;
    eventfd_read(board->wake, &count);
    while ((line = next_ready(board))) {
        look_at(line);
        if (clock_monotonic_ms() >= until) {
            eventfd_write(board->wake, 1); /* the other lines in a later turn */
            break;
        }
    }
}

static nng_listener next_former(struct switchboard *board)
{
    OWNED struct former *first = board->first;
    board->first = first->next;
    if (!board->first)
        board->last = &board->first;
    board->formers--;
    return first->listener;
}

static void close_formers(void *context)
{
    struct switchboard *board = context;
    int64_t now = clock_monotonic_ms();
    while (board->first && (board->first->until <= now || board->formers > FORMERS_MAX))
        nng_listener_close(next_former(board));
    if (board->first)
        timer_set(board->loop, &board->former_timer, board->first->until - now);
}

static void close_later(struct switchboard *board, nng_listener listener)
{
    int64_t now = clock_monotonic_ms();
    struct former *former = memory_new(1, sizeof *former);
    *former = (struct former){.until = now + FORMER_MS, .listener = listener};
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
    pthread_mutex_init(&board->lock, NULL);
    STAILQ_INIT(&board->resting);
    board->last = &board->first;
    board->ready.last = &board->ready.first;
    board->former_timer = (struct timer){.ring = close_formers, .context = board};
    board->wake_watch = loop_watch(loop, wake, EPOLLIN, on_wake, board);
    return board;
}

/* nng's open sockets stay open. */
void switchboard_close(struct switchboard *board)
{
    if (!board)
        return;
    for (struct line *line = board->lines; line; line = line->next) {
        pthread_mutex_lock(&line->lock); /* waits for a call of nng's that has not seen abandoned */
        line->abandoned = true;
        pthread_mutex_unlock(&line->lock);
    }
    while (board->first)
        next_former(board);
    timer_clear(board->loop, &board->former_timer);
    loop_forget(board->loop, board->wake_watch);
    close(board->wake);
    close(board->folder_fd);
    pthread_mutex_destroy(&board->lock);
    free(board->folder);
    free(board);
}

bool line_send(struct line *line, const struct buffer *buffer)
{
    nng_msg *message;
    if (line->waiting.bytes + buffer->length > LINE_QUEUE_MAX || nng_msg_alloc(&message, 0) != 0)
        return false;
    if (nng_msg_append(message, buffer->data, buffer->length) != 0) {
        nng_msg_free(message);
        return false;
    }
    struct waiting_message *waiting = memory_new(1, sizeof *waiting);
    waiting->message = message;
    line->waiting.bytes += nng_msg_len(message);
    *line->waiting.last = waiting;
    line->waiting.last = &waiting->next;
    send_waiting(line);
    return true;
}

bool line_idle(struct line *line)
{
    return !line->waiting.first && !is_sending(line);
}

/* sun_path is short, and nng gives up at about 100 bytes: a long path is shortened through the folder's descriptor,
 * which names the same place in this process. */
static char *listen_url(const struct switchboard *board, const char *file)
{
    if (strlen(board->folder) + strlen(file) + 1 <= PATH_SAFE)
        return memory_print("ipc://%s/%s", board->folder, file);
    return memory_print("ipc:///proc/self/fd/%d/%s", board->folder_fd, file);
}

/* The socket is made under another name: a closing listener of nng's removes whatever it finds under its own name. */
static int start_listening(struct line *line, const char *worker)
{
    struct switchboard *board = line->board;
    OWNED char *name = memory_print(".%u", ++board->listeners), *url = listen_url(board, name);
    OWNED char *file = memory_print("%s.sock", worker);
    nng_listener listener;
    files_follow(board->folder_fd, board->folder);
    unlinkat(board->folder_fd, name, 0);
    int error = nng_listener_create(&listener, line->socket, url);
    if (error)
        return error;
    error = nng_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, S_IRUSR | S_IWUSR);
    error = error ? error : nng_listener_start(listener, 0);
    if (error == 0 && renameat(board->folder_fd, name, board->folder_fd, file) != 0)
        error = NNG_ESYSERR + errno;
    if (error) {
        nng_listener_close(listener);
        return error;
    }
    line->listener = listener;
    line->file = file;
    file = NULL;
    return 0;
}

static int set_up(struct line *line)
{
    nng_socket socket = line->socket;
    int error = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, MESSAGE_MAX);
    /* No message is buffered for a peer that isn't there: it would reach the next peer. */
    error = error ? error : nng_socket_set_int(socket, NNG_OPT_SENDBUF, 0);
    error = error ? error : nng_pipe_notify(socket, NNG_PIPE_EV_ADD_PRE, judge_connection, line);
    error = error ? error : nng_pipe_notify(socket, NNG_PIPE_EV_ADD_POST, note_connection, line);
    error = error ? error : nng_pipe_notify(socket, NNG_PIPE_EV_REM_POST, note_end, line);
    error = error ? error : nng_aio_alloc(&line->receiver, received, line);
    return error ? error : nng_aio_alloc(&line->sender, sent, line);
}

/* Finds a resting line, or makes a new line, which rests, too. A socket that can't be set up has no connection, so
 * nng closes it. */
static int find_line(struct switchboard *board, struct line **found)
{
    if (STAILQ_EMPTY(&board->resting)) {
        struct line *line = memory_new(1, sizeof *line);
        *line = (struct line){.board = board};
        line->waiting.last = &line->waiting.first;
        line->again = (struct timer){.ring = hear_again, .context = line};
        pthread_mutex_init(&line->lock, NULL);
        int error = nng_pair0_open(&line->socket);
        bool opened = error == 0;
        error = error ? error : set_up(line);
        if (error) {
            nng_aio_free(line->receiver);
            nng_aio_free(line->sender);
            if (opened)
                nng_close(line->socket);
            free(line);
            return error;
        }
        line->next = board->lines;
        board->lines = line;
        rest_when_free(line);
    }
    *found = STAILQ_FIRST(&board->resting);
    return 0;
}

static void lend(struct line *line, pid_t pid, const struct line_owner *owner, void *context)
{
    STAILQ_REMOVE_HEAD(&line->board->resting, resting_link);
    line->owner = owner;
    line->context = context;
    line->deaf = line->rests = false;
    pthread_mutex_lock(&line->lock);
    line->connection.ended = false;
    line->connection.last = 0;
    line->connection.expected = pid;
    pthread_mutex_unlock(&line->lock);
}

char *switchboard_url(const struct switchboard *board, const char *name)
{
    return memory_print("ipc://%s/%s.sock", board->folder, name);
}

struct line *line_open(struct switchboard *board, const char *name, pid_t pid, const struct line_owner *owner,
                       void *context, struct fault *fault)
{
    struct line *line = NULL;
    int error = find_line(board, &line);
    error = error ? error : start_listening(line, name);
    if (error) {
        fault_set(fault, "cannot listen for worker %s in %s: %s", name, board->folder, nng_strerror(error));
        return NULL;
    }
    lend(line, pid, owner, context);
    return line;
}

/* The line's connection is left to end by itself. nng 1.5 must not close it in the middle of a message: the reading
 * that ipc_pipe_recv_cb goes on with on a stopped aio never ends, and the thread that takes down all connections of
 * the process (nng:reap2) waits for that. */
void line_close(struct line *line)
{
    if (!line)
        return;
    unlinkat(line->board->folder_fd, line->file, 0);
    pthread_mutex_lock(&line->lock);
    line->connection.expected = 0;
    pthread_mutex_unlock(&line->lock);
    memory_set(&line->file, NULL);
    drop_waiting(line);
    drop_held(line);
    line->owner = NULL;
    close_later(line->board, line->listener);
    if (is_sending(line))
        nng_aio_cancel(line->sender);
    rest_when_free(line);
}
