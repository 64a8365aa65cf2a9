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

#include "common/buffer.h"
#include "common/clock.h"
#include "common/control.h"
#include "common/held.h"
#include "common/memory.h"
#include "common/printable.h"
#include "supervisor/cli/terminal/output.h"

struct client {
    int fd; /* owned */
    struct buffer in;
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
        buffer_free(&client->in);
        free(client);
    }
}

/* The next line in the buffer, with its end replaced by a NUL; NULL: none whole yet. */
static char *take_line(struct client *client)
{
    char *end = client->in.length > 0 ? memchr(client->in.data, '\n', client->in.length) : NULL;
    if (end == NULL)
        return NULL;
    size_t length = (size_t)(end - client->in.data);
    char *line = memory_slice(client->in.data, length);
    buffer_drop(&client->in, length + 1);
    return line;
}

/* 0: there is more; else the exit code. until: monotonic ms, 0 = without end. */
static int read_more(struct client *client, int64_t until)
{
    int64_t left = until == 0 ? -1 : until - clock_monotonic_ms();
    struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
    int ready = until != 0 && left <= 0 ? 0 : poll(&poll_fd, 1, (int)left);
    if (ready < 0 && errno == EINTR)
        return 0;
    if (ready == 0)
        return EX_TEMPFAIL;
    ssize_t got = read(client->fd, buffer_room(&client->in, 65536), 65536);
    if (got < 0 && errno == EINTR)
        return 0;
    if (got <= 0 || client->in.length + (size_t)got > ANSWER_LIMIT)
        return EX_UNAVAILABLE;
    client->in.length += (size_t)got;
    return 0;
}

bool client_ready(struct client *client, int milliseconds)
{
    struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
    bool line = client->in.length > 0 && memchr(client->in.data, '\n', client->in.length) != NULL;
    return line || poll(&poll_fd, 1, milliseconds) > 0;
}

json_t *client_answer(struct client *client, int patience, int *status)
{
    int64_t until = patience == 0 ? 0 : clock_monotonic_ms() + (int64_t)patience * 1000;
    OWNED char *line = NULL;
    while ((line = take_line(client)) == NULL) {
        *status = read_more(client, until);
        if (*status != 0) {
            output_complain(
                *status == EX_TEMPFAIL
                    ? "the supervisor did not answer in time; try again"
                    : "the supervisor ended before it answered; whether the order was done is not known");
            return NULL;
        }
    }
    json_t *answer = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
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
    OWNED char *line = NULL;
    while ((line = take_line(client)) == NULL)
        if (read_more(client, 0) != 0)
            return NULL;
    return json_loads(line, JSON_REJECT_DUPLICATES, NULL);
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
    OWNED char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
    OWNED char *whole = memory_print("%s\n", text != NULL ? text : "{}");
    struct client client = {.fd = connect_control(invocation->run_dir)};
    int64_t until = clock_monotonic_ms() + CONSULT_PATIENCE_S * 1000;
    json_decref(request);
    if (client.fd < 0)
        return NULL;
    int status = send_all(client.fd, whole, strlen(whole)) ? 0 : EX_UNAVAILABLE;
    while (status == 0 && (line = take_line(&client)) == NULL)
        status = read_more(&client, until);
    close(client.fd);
    buffer_free(&client.in);
    json_t *answer = line != NULL ? json_loads(line, JSON_REJECT_DUPLICATES, NULL) : NULL;
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
