/* A model server for many agents at once that costs next to nothing: one loop, every answer after the same time. The
 * answer names a skill by the number behind the last "case " of the request.
 *
 *     quick_model MS
 *
 * The server prints its port, and for every line on standard input the number of answered requests. It ends with
 * standard input. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "tests/bench/measured.h"

enum { READ = 256 * 1024, EVENTS = 256, CLIENTS = 8192 };

struct client {
    int fd;
    unsigned kind;
    int64_t due_ns;
    struct client
        *next; /* among requests that are answered later; all wait equally long, so the queue is in order */
    struct buffer request;
};

static struct {
    int epoll, listener;
    int64_t delay_ns;
    unsigned long answered;
    struct client *clients[CLIENTS], *first, **last;
} model = {.last = &model.first};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "quick_model: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(model.epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll");
}

static void answer(struct client *client)
{
    static const char text[] =
        "{\"id\":\"c\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0,\"finish_"
        "reason\":\"stop\","
        "\"message\":{\"role\":\"assistant\",\"content\":\"The case is handled: it was read, weighed and "
        "entered.\\n\\n"
        "```agentos\\nreward: 1\\nreason: handled as the list asks\\nskill:\\n  name: handle-case-%u\\n"
        "  description: When a case of this kind comes from the list.\\n  body: |\\n    Read it.\\n    Weigh "
        "it.\\n"
        "    Enter it.\\nreflection: The list's order helps.\\n```\\n\"}}],"
        "\"usage\":{\"prompt_tokens\":900,\"completion_tokens\":80,\"total_tokens\":980}}";
    char body[sizeof text + 16], head[160];
    int length = snprintf(body, sizeof body, text, client->kind);
    int start =
        snprintf(head, sizeof head,
                 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", length);
    char all[sizeof head + sizeof body];
    memcpy(all, head, (size_t)start);
    memcpy(all + start, body, (size_t)length);
    if (client->fd >= 0 && send(client->fd, all, (size_t)(start + length), MSG_NOSIGNAL) == start + length)
        model.answered++;
}

static void drop(int fd)
{
    struct client *client = model.clients[fd];
    model.clients[fd] = NULL;
    close(fd);
    client->fd = -1; /* freed when its turn to be answered comes, if it has one */
    if (client->due_ns == 0) {
        buffer_free(&client->request);
        free(client);
    }
}

static unsigned kind_of(const struct buffer *request)
{
    static const char mark[] = "case ";
    const char *at = NULL;
    for (const char *next = request->data; (next = strstr(next, mark)); next++)
        at = next;
    return at ? (unsigned)strtoul(at + strlen(mark), NULL, 10) : 0;
}

/* A whole request is queued for its answer. */
static void take(struct client *client)
{
    const char *end = strstr(client->request.data, "\r\n\r\n");
    const char *length = end ? strcasestr(client->request.data, "\r\nContent-Length:") : NULL;
    if (!length ||
        client->request.length < (size_t)(end + 4 - client->request.data) + strtoul(length + 17, NULL, 10))
        return;
    client->kind = kind_of(&client->request);
    buffer_drop(&client->request, client->request.length);
    client->due_ns = measured_now_ns() + model.delay_ns;
    client->next = NULL;
    *model.last = client;
    model.last = &client->next;
}

static void hear(int fd)
{
    struct client *client = model.clients[fd];
    ssize_t n = recv(fd, buffer_room(&client->request, READ), READ - 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(fd);
        return;
    }
    client->request.length += (size_t)n;
    client->request.data[client->request.length] = '\0';
    take(client);
}

static void welcome(void)
{
    int fd = accept4(model.listener, NULL, NULL, SOCK_CLOEXEC), on = 1;
    if (fd < 0)
        return;
    if (fd >= CLIENTS)
        die("too many clients");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    model.clients[fd] = memory_new(1, sizeof *model.clients[fd]);
    model.clients[fd]->fd = fd;
    watch(fd);
}

static void answer_due(void)
{
    for (int64_t now = measured_now_ns(); model.first && model.first->due_ns <= now;) {
        struct client *client = model.first;
        model.first = client->next;
        if (!model.first)
            model.last = &model.first;
        client->due_ns = 0;
        answer(client);
        if (client->fd < 0) {
            buffer_free(&client->request);
            free(client);
        }
    }
}

static void report(void)
{
    char line[64];
    if (read(STDIN_FILENO, line, sizeof line) <= 0)
        exit(0);
    printf("%lu\n", model.answered);
}

static void listen_somewhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    model.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (model.listener < 0 || bind(model.listener, (const struct sockaddr *)&address, size) != 0 ||
        listen(model.listener, 4096) != 0 ||
        getsockname(model.listener, (struct sockaddr *)&address, &size) != 0)
        die("listen");
    printf("%u\n", ntohs(address.sin_port));
}

int main(int argc, char **argv)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    model.delay_ns = (argc > 1 ? strtol(argv[1], NULL, 10) : 50) * 1000000;
    model.epoll = epoll_create1(EPOLL_CLOEXEC);
    listen_somewhere();
    watch(model.listener);
    watch(STDIN_FILENO);
    for (;;) {
        struct epoll_event events[EVENTS];
        int64_t left = model.first ? (model.first->due_ns - measured_now_ns()) / 1000000 + 1 : -1;
        int count = epoll_wait(model.epoll, events, EVENTS, left < -1 ? 0 : (int)left);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == STDIN_FILENO)
                report();
            else if (fd == model.listener)
                welcome();
            else if (model.clients[fd])
                hear(fd);
        }
        answer_due();
    }
}
