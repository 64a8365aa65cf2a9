/* To others by sockets. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/escape/attempts.h"

static struct sockaddr_in local(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static bool connect_tcp(const struct stage *stage)
{
    struct sockaddr_in to = local(stage->tcp_port);
    return connect(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&to, sizeof to) == 0;
}

static bool connect_tcp6(const struct stage *stage)
{
    return socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0;
}

static bool listen_tcp(const struct stage *stage)
{
    struct sockaddr_in at = local(0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0;
}

static bool open_fast(const struct stage *stage)
{
    struct sockaddr_in to = local(stage->tcp_port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to) == 1;
}

static bool send_udp(const struct stage *stage)
{
    struct sockaddr_in to = local(stage->udp_port);
    return sendto(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "x", 1, 0, (struct sockaddr *)&to,
                  sizeof to) == 1;
}

static bool open_raw(const struct stage *stage)
{
    return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP) >= 0;
}

static bool open_packet(const struct stage *stage)
{
    return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) >= 0;
}

static bool open_netlink(const struct stage *stage)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) >= 0;
}

static bool connect_path(int type, const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    return connect(socket(AF_UNIX, type | SOCK_CLOEXEC, 0), (struct sockaddr *)&to, sizeof to) == 0;
}

static bool connect_control(const struct stage *stage)
{
    return connect_path(SOCK_STREAM, stage->control);
}

static bool connect_letterbox(const struct stage *stage)
{
    return connect_path(SOCK_DGRAM, stage->letterbox);
}

static bool connect_abstract(const struct stage *stage)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t length = strlen(stage->abstract);
    memcpy(to.sun_path + 1, stage->abstract, length);
    return connect(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&to,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) == 0;
}

static bool listen_path(const struct stage *stage)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s/listening", stage->own);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0;
}

static bool make_pair(const struct stage *stage)
{
    int pair[2];
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0;
}

static const struct attempt items[] = {
    {"connect by TCP", 0, connect_tcp, NULL},
    {"make an IPv6 socket", RARE, connect_tcp6, NULL},
    {"listen on TCP", 0, listen_tcp, NULL},
    {"connect by TCP fast open", RARE, open_fast, NULL},
    {"send by UDP", 0, send_udp, NULL},
    {"raw socket", PRIVILEGED, open_raw, NULL},
    {"packet socket", PRIVILEGED | RARE, open_packet, NULL},
    {"netlink socket", RARE, open_netlink, NULL},
    {"connect to the control socket", 0, connect_control, NULL},
    {"connect to a datagram socket", 0, connect_letterbox, NULL},
    {"connect to an abstract socket", 0, connect_abstract, NULL},
    {"listen on a socket in one's tree", 0, listen_path, NULL},
    {"make a pair of sockets", 0, make_pair, NULL},
};

const struct attempts network_attempts = {items, sizeof items / sizeof *items};
