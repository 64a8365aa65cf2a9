/* agentos-bus CHANNEL_FD
 *
 * The connection to NATS, and nothing else (contract section 12): messages between nodes by subject, and the keys
 * that all of them see. The supervisor alone starts the process, with a socket pair to it (common/channel.h,
 * common/message.h: BUS_…). The process knows nothing of envelopes and agents, has no key of the model, and no file
 * but the resolver's and the authorities' for the check of certificates: its own credentials are read before it is
 * sealed. agentos-bus ends when the supervisor does. */
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/format/bus_address.h"
#include "common/log.h"
#include "common/sandbox/sandbox.h"
#include "common/settings.h"
#include "common/started.h"
#include "supervisor/bus/bus.h"
#include "supervisor/bus/credentials.h"

enum { MEMORY_BYTES = 768 * 1024 * 1024, OPEN_FILES = 128, DNS_PORT = 53 };

/* Allows the servers' ports, where the kernel can limit ports, and that of name servers, from which a long answer is
 * fetched. Before libnats makes threads. */
static bool confine(const struct bus_servers *servers, struct fault *fault)
{
    uint16_t ports[BUS_SERVERS_MAX + 2] = {DNS_PORT};
    const char *readable[4] = {0};
    const char *const files[] = {setting_text(SET_AGENTOS_BUS_CA_FILE, NULL), getenv("SSL_CERT_FILE"),
                                 getenv("SSL_CERT_DIR")};
    for (size_t i = 0, count = 0; i < sizeof files / sizeof *files; i++)
        if (files[i])
            readable[count++] = files[i];
    for (size_t i = 0; i < servers->count; i++)
        ports[i + 1] = servers->list[i].port;
    struct sandbox_room room = {
        .readable = readable, .ports = ports, .memory_bytes = MEMORY_BYTES, .open_files = OPEN_FILES};
    return sandbox_seal(SANDBOX_BUS, &room, "agentos-bus", fault);
}

static bool start(struct bus_servers *servers, struct credentials **credentials, struct fault *fault)
{
    const char *text = setting_text(SET_AGENTOS_BUS, NULL);
    return bus_servers_parse(text ? text : "", servers, fault) && (*credentials = credentials_read(fault)) &&
           confine(servers, fault);
}

int main(int count, char **arguments)
{
    static struct bus_servers servers;
    struct credentials *credentials = NULL;
    struct fault fault = {0};
    setproctitle_init(count, arguments, environ);
    int channel;
    if (!started_by_supervisor(count, arguments, &channel, 1))
        return EX_USAGE;
    if (start(&servers, &credentials, &fault))
        bus_run(channel, &servers, credentials, &fault);
    log_error("bus", NULL, "The bus ends: %s", fault.text);
    _exit(EX_CONFIG);
}
