#include "supervisor/bus/unreached.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/memory.h"
#include "common/utf8.h"

enum { TRY_MS = 2000 };

/* Found by libnats's words, or OpenSSL's in them, where the status says too little. */
static const struct {
    natsStatus status; /* NATS_OK: any */
    const char *words; /* NULL: any */
    const char *why;
} sentences[] = {
    {NATS_OK, "unable to get local issuer", "its certificate is from an authority that is not trusted here"},
    {NATS_OK, "self-signed", "its certificate is from an authority that is not trusted here"},
    {NATS_OK, "self signed", "its certificate is from an authority that is not trusted here"},
    {NATS_OK, "unable to verify", "its certificate is from an authority that is not trusted here"},
    {NATS_OK, "hostname mismatch", "its certificate is for another host"},
    {NATS_OK, "address mismatch", "its certificate is for another host"},
    {NATS_OK, "has expired", "its certificate has expired"},
    {NATS_OK, "not yet valid", "its certificate is not yet valid"},
    {NATS_OK, "certificate required", "it wants a certificate of this node's (AGENTOS_BUS_CERT_FILE)"},
    {NATS_OK, "alert bad certificate",
     "it refuses this node's certificate, or wants one (AGENTOS_BUS_CERT_FILE)"},
    {NATS_OK, "alert unknown ca", "it doesn't trust the authority of AGENTOS_BUS_CERT_FILE"},
    {NATS_OK, "certificate verify failed", "its certificate is not trusted here"},
    {NATS_PROTOCOL_ERROR, "got ''",
     "it ends the connection instead of answering; over TLS it may want a certificate of this node's "
     "(AGENTOS_BUS_CERT_FILE)"},
    {NATS_SECURE_CONNECTION_WANTED, NULL, "it has no TLS, and AGENTOS_BUS says tls://"},
    {NATS_OK, "authentication expired", "the credentials of AGENTOS_BUS_CREDS_FILE have expired"},
    {NATS_TIMEOUT, NULL, "it takes the connection and then says nothing"},
    {NATS_STALE_CONNECTION, NULL, "it has not answered for some seconds"},
    /* nats-server says no word to a slow consumer, and logs it; unread bytes make its end a reset */
    {NATS_CONNECTION_CLOSED, NULL,
     "it has closed the connection; its log says why (it ended, or this node was a slow consumer)"},
    {NATS_IO_ERROR, NULL,
     "the connection to it broke; its log may say why (it ended, or this node was a slow consumer)"},
};

const char *unreached_text(const char *text)
{
    const char *end = text && *text == '(' ? strstr(text, "): ") : NULL;
    return end ? end + 3 : text ? text : "";
}

/* "" where a connection succeeds after all. */
static const char *try_address(const struct addrinfo *address)
{
    int error = 0;
    socklen_t size = sizeof error;
    OWNED_FD int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return strerrordesc_np(errno);
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
        return "";
    if (errno != EINPROGRESS)
        return strerrordesc_np(errno);
    if (poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, TRY_MS) <= 0)
        return "no machine answers at its address";
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    return error == ECONNREFUSED ? "no server listens at its port" : error ? strerrordesc_np(error) : "";
}

static void try_to_reach(const struct bus_server *server, struct buffer *why)
{
    char port[8];
    struct addrinfo *list = NULL, hints = {.ai_socktype = SOCK_STREAM};
    const char *said = "it has no address";
    snprintf(port, sizeof port, "%u", server->port);
    int error = getaddrinfo(server->host, port, &hints, &list);
    if (error) {
        buffer_print(why, "its name is not found: %s", gai_strerror(error));
        return;
    }
    for (const struct addrinfo *address = list; address; address = address->ai_next)
        if (!*(said = try_address(address)))
            break;
    freeaddrinfo(list);
    buffer_text(why, *said ? said : "it can't be connected to");
}

static void refused_login(bool credentials, struct buffer *why)
{
    buffer_text(why, credentials ? "it refuses the credentials of AGENTOS_BUS_CREDS_FILE"
                                 : "it wants credentials, and AGENTOS_BUS_CREDS_FILE is not set");
}

void unreached_explain(const struct bus_server *server, natsStatus status, const char *said, bool credentials,
                       struct buffer *why)
{
    const char *text = unreached_text(said);
    buffer_print(why, "%s: ", server->url);
    if (status == NATS_NO_SERVER) {
        try_to_reach(server, why);
        return;
    }
    for (size_t i = 0; i < sizeof sentences / sizeof *sentences; i++)
        if ((sentences[i].status == NATS_OK || sentences[i].status == status) &&
            (!sentences[i].words || strcasestr(text, sentences[i].words))) {
            buffer_text(why, sentences[i].why);
            return;
        }
    if (status == NATS_CONNECTION_AUTH_FAILED || strcasestr(text, "authorization")) {
        refused_login(credentials, why);
        return;
    }
    OWNED char *clean = utf8_clean(text, strlen(text)); /* the server's own words may be in the text */
    buffer_print(why, "%s (%s)", status == NATS_SSL_ERROR ? "TLS fails" : "it doesn't speak NATS as expected",
                 *clean ? clean : natsStatus_GetText(status));
}
