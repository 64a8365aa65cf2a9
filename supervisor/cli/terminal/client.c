#include "supervisor/cli/terminal/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/held.h"
#include "common/memory.h"
#include "common/printable.h"
#include "supervisor/cli/terminal/output.h"

/* The bytes of text from at to end were read and not yet parsed. */
struct client {
    int fd; /* owned */
    size_t at, end;
    size_t length; /* of the line that is being parsed, as far as it was handed out */
    int64_t until; /* monotonic ms, 0: without end */
    int status;    /* why the line has no more text: an exit code, or 0 */
    bool line_ended;
    char text[65536];
};

/* A status of thousands of agents is longer than a request may be. */
enum { ANSWER_LIMIT = 256 * 1024 * 1024, CONNECT_PATIENCE_S = 10, CONSULT_PATIENCE_S = 15 };

/* Connects by way of the folder's descriptor, because a socket's address holds 107 bytes and paths may be longer. */
static int connect_control(const char *run_dir)
{
    OWNED_FD int folder = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -1;
    OWNED_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    OWNED char *path = memory_print("/proc/self/fd/%d/%s", folder, CONTROL_SOCKET);
    if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
        return -1;
    strcpy(address.sun_path, path);
    struct timeval patience = {.tv_sec = CONNECT_PATIENCE_S};
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        return -1;
    int connected = fd;
    fd = -1;
    return connected;
}

bool client_reaches(const struct invocation *invocation)
{
    OWNED_FD int fd = connect_control(invocation->run_dir);
    return fd >= 0 || held_by(invocation->data_dir) != 0;
}

static int say_unreachable(const struct invocation *invocation, int error)
{
    if (error == EACCES || error == EPERM) {
        output_complain("the supervisor of %s belongs to another user; ask as that user",
                        invocation->data_dir);
        return EX_NOPERM;
    }
    if (error == EAGAIN)
        return output_fail(EX_TEMPFAIL, "the supervisor of %s is too busy to answer; try again",
                           invocation->data_dir);
    pid_t holder = held_by(invocation->data_dir);
    if (holder != 0) {
        OWNED char *pid = holder > 0 ? memory_print("process %d", (int)holder)
                                     : memory_text("a process that can't be seen from here");
        output_complain("%s holds the lock of %s, but no supervisor listens in %s: the control socket was "
                        "removed (the supervisor makes it anew within POLL_INTERVAL), the supervisor is just "
                        "starting, or its AGENTOS_RUN_DIR is another one; try again",
                        pid, invocation->data_dir, invocation->run_dir);
        return EX_TEMPFAIL;
    }
    OWNED char *word = printable_word(invocation->data_dir);
    output_complain("no supervisor is running on %s; start one with `agentos run --data %s` (verbs that only "
                    "read work without)",
                    invocation->data_dir, word);
    return EX_UNAVAILABLE;
}

/* A supervisor that hangs up must not end this process with SIGPIPE: there is something to be said. */
static bool send_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = TEMP_FAILURE_RETRY(send(fd, bytes, length, MSG_NOSIGNAL));
        if (sent <= 0)
            return false;
        bytes += sent;
        length -= (size_t)sent;
    }
    return true;
}

struct client *client_ask(const struct invocation *invocation, json_t *request, int *status)
{
    OWNED char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (text == NULL) {
        output_complain("the text is not valid UTF-8; nothing was done");
        *status = EX_DATAERR;
        return NULL;
    }
    size_t length = strlen(text);
    if (length + 1 > CONTROL_MAX) {
        output_complain("the text is too long (%zu bytes; at most about %d); nothing was done", length,
                        CONTROL_MAX);
        *status = EX_DATAERR;
        return NULL;
    }
    int fd = connect_control(invocation->run_dir);
    if (fd < 0) {
        *status = say_unreachable(invocation, errno);
        return NULL;
    }
    text[length] = '\n'; /* in the place of the NUL */
    struct client *client = memory_new(1, sizeof(*client));
    client->fd = fd;
    /* A supervisor that hangs up before it has read the request has said why. */
    if (!send_all(fd, text, length + 1) && errno != EPIPE && errno != ECONNRESET) {
        *status = say_unreachable(invocation, errno);
        client_close(client);
        return NULL;
    }
    return client;
}

void client_close(struct client *client)
{
    if (client != NULL) {
        close(client->fd);
        free(client);
    }
}

static char *line_end(const struct client *client)
{
    return memchr(client->text + client->at, '\n', client->end - client->at);
}

/* Reads into the buffer, which is empty. 0: there is more; else the exit code. */
static int read_more(struct client *client)
{
    struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
    for (;;) {
        int64_t left = client->until == 0 ? -1 : client->until - clock_monotonic_ms();
        int ready = client->until != 0 && left <= 0 ? 0 : poll(&poll_fd, 1, (int)left);
        if (ready == 0)
            return EX_TEMPFAIL;
        ssize_t got = ready < 0 ? -1 : read(client->fd, client->text, sizeof(client->text));
        if (got < 0 && errno == EINTR)
            continue;
        client->at = 0;
        client->end = got > 0 ? (size_t)got : 0;
        return got > 0 ? 0 : EX_UNAVAILABLE;
    }
}

/* Hands the line's text to the parser, which is at work while the supervisor still writes: thousands of agents are
 * several megabytes. The line's end is the text's end. */
static size_t hand_out(void *buffer, size_t size, void *context)
{
    struct client *client = context;
    if (client->line_ended)
        return 0;
    if (client->at == client->end && (client->status = read_more(client)) != 0)
        return (size_t)-1;
    const char *newline = line_end(client);
    size_t length = (newline != NULL ? (size_t)(newline - client->text) : client->end) - client->at;
    length = length < size ? length : size;
    memcpy(buffer, client->text + client->at, length);
    client->at += length;
    client->length += length;
    if (client->length > ANSWER_LIMIT) {
        client->status = EX_UNAVAILABLE;
        return (size_t)-1;
    }
    if (client->text + client->at == newline) {
        client->line_ended = true;
        client->at++;
    }
    return length;
}

/* The next line; patience: seconds, 0: without end. NULL: client->status says why none came, or is 0 for a line that is
 * no JSON, behind which nothing is read. Caller decrefs. */
static json_t *parse_line(struct client *client, int patience)
{
    client->until = patience == 0 ? 0 : clock_monotonic_ms() + (int64_t)patience * 1000;
    client->line_ended = false;
    client->length = 0;
    client->status = 0;
    return json_load_callback(hand_out, client, JSON_REJECT_DUPLICATES, NULL);
}

bool client_ready(struct client *client, int milliseconds)
{
    struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
    return line_end(client) != NULL || poll(&poll_fd, 1, milliseconds) > 0;
}

json_t *client_answer(struct client *client, int patience, int *status)
{
    json_t *answer = parse_line(client, patience);
    *status = client->status;
    if (answer == NULL && *status != 0) {
        output_complain(
            *status == EX_TEMPFAIL
                ? "the supervisor did not answer in time; try again"
                : "the supervisor ended before it answered; whether the order was done is not known");
        return NULL;
    }
    const json_t *code = json_object_get(answer, "exit");
    if (!json_is_integer(code)) {
        output_complain("the supervisor's answer is not understood (is it another version?)");
        json_decref(answer);
        *status = EX_SOFTWARE;
        return NULL;
    }
    *status = (int)json_integer_value(code);
    const char *complaint = json_string_value(json_object_get(answer, "complaint"));
    if (complaint != NULL)
        output_complain("%s", complaint);
    return answer;
}

json_t *client_next(struct client *client)
{
    return parse_line(client, 0);
}

json_t *client_call(const struct invocation *invocation, json_t *request, int patience, int *status)
{
    struct client *client = client_ask(invocation, request, status);
    json_t *answer = client != NULL ? client_answer(client, patience, status) : NULL;
    client_close(client);
    return answer;
}

json_t *client_consult(const struct invocation *invocation, json_t *request)
{
    OWNED char *text = json_dumps(request, JSON_COMPACT);
    OWNED char *whole = memory_print("%s\n", text != NULL ? text : "{}");
    int fd = connect_control(invocation->run_dir);
    json_decref(request);
    if (fd < 0)
        return NULL;
    struct client *client = memory_new(1, sizeof(*client));
    client->fd = fd;
    json_t *answer = send_all(fd, whole, strlen(whole)) ? parse_line(client, CONSULT_PATIENCE_S) : NULL;
    client_close(client);
    const json_t *code = json_object_get(answer, "exit");
    if (json_is_integer(code) && json_integer_value(code) == EX_OK)
        return answer;
    json_decref(answer);
    return NULL;
}

json_t *client_nodes(const struct invocation *invocation, json_t *read)
{
    return client_consult(invocation, json_pack("{s:s, s:o}", "verb", "nodes", "request", read));
}

void client_show_said(const json_t *answer)
{
    const char *said = json_string_value(json_object_get(answer, "said"));
    if (said != NULL && said[0] != '\0') {
        OWNED char *clean = output_clean(said, 1);
        printf("%s%s", clean, clean[strlen(clean) - 1] == '\n' ? "" : "\n");
    }
}
