/* Many clients of one server, each with exactly one request under way, in one loop: so that the server is measured and
 * not its client.
 *
 *     load PORT|PATH ANSWER LINES CONNECTIONS COUNT <REQUEST
 *
 * The request, the bytes of standard input, is sent COUNT times in all. An answer has so many LINES and begins with
 * ANSWER; anything else ends the program with 1. The output: requests a second, and of their milliseconds the median
 * and the 99th percentile and the 99.9th. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/memory.h"
#include "tests/bench/measured.h"

enum { REQUEST_MAX = 1024 * 1024, ANSWER_MAX = 4096 };

struct client {
    int fd;
    int64_t since_ns;
    size_t got;
    char answer[ANSWER_MAX];
};

static struct {
    char request[REQUEST_MAX];
    size_t length;
    const char *begins;
    long lines, wanted, asked, done;
    double *ms;
} load;

static _Noreturn void die(const char *what, const char *which)
{
    fprintf(stderr, "load: %s: %s\n", what, which);
    exit(1);
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof address.sun_path)
        die(path, "too long a path");
    memcpy(address.sun_path, path, strlen(path));
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        die(path, strerror(errno));
    return fd;
}

static int connect_port(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        die(port, strerror(errno));
    return fd;
}

static void ask(struct client *client)
{
    if (load.asked == load.wanted)
        return;
    load.asked++;
    client->got = 0;
    client->since_ns = measured_now_ns();
    for (size_t done = 0; done < load.length;) {
        ssize_t n = send(client->fd, load.request + done, load.length - done, MSG_NOSIGNAL);
        if (n <= 0)
            die("cannot ask", strerror(errno));
        done += (size_t)n;
    }
}

static bool is_whole(const struct client *client)
{
    long lines = 0;
    for (const char *at = client->answer; (at = strchr(at, '\n')); at++)
        lines++;
    return lines >= load.lines && client->answer[client->got - 1] == '\n';
}

static void hear(struct client *client)
{
    ssize_t n = recv(client->fd, client->answer + client->got, ANSWER_MAX - 1 - client->got, 0);
    if (n <= 0)
        die("no answer", n ? strerror(errno) : "the connection was ended");
    client->got += (size_t)n;
    client->answer[client->got] = '\0';
    if (!is_whole(client))
        return;
    if (strncmp(client->answer, load.begins, strlen(load.begins)) != 0)
        die("refused", client->answer);
    load.ms[load.done++] = (double)(measured_now_ns() - client->since_ns) / 1e6;
    ask(client);
}

static void run(struct client *clients, long count)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[64];
    for (long i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event) != 0)
            die("epoll", strerror(errno));
    }
    for (long i = 0; i < count; i++)
        ask(&clients[i]);
    while (load.done < load.wanted) {
        int ready = epoll_wait(epoll, events, sizeof events / sizeof *events, -1);
        for (int i = 0; i < ready; i++)
            hear(events[i].data.ptr);
    }
    close(epoll);
}

int main(int argc, char **argv)
{
    if (argc != 6)
        die("usage", "load PORT|PATH ANSWER LINES CONNECTIONS COUNT <REQUEST");
    long connections = strtol(argv[4], NULL, 10);
    load.begins = argv[2];
    load.lines = strtol(argv[3], NULL, 10);
    load.wanted = strtol(argv[5], NULL, 10);
    load.length = fread(load.request, 1, sizeof load.request, stdin);
    if (connections < 1 || load.wanted < 1 || load.lines < 1 || load.length == 0)
        die("usage", "at least one connection, one request, one line of answer");
    struct client *clients = memory_new((size_t)connections, sizeof *clients);
    load.ms = memory_new((size_t)load.wanted, sizeof *load.ms);
    for (long i = 0; i < connections; i++)
        clients[i].fd = strchr(argv[1], '/') ? connect_unix(argv[1]) : connect_port(argv[1]);
    int64_t begin = measured_now_ns();
    run(clients, connections);
    measured_say(load.ms, load.done, begin);
    for (long i = 0; i < connections; i++)
        close(clients[i].fd);
    free(clients);
    free(load.ms);
    return 0;
}
