/* agentos-gateway CHANNEL_FD SECRETS_FD
 *
 * The one process with the network and the keys: it asks the model for every agent. The supervisor alone starts it,
 * with a socket pair to itself (common/channel.h, common/message.h: ASK and FORGET in, ANSWER and WAITING out) and
 * the memory file of the keys (common/secrets.h). The gateway ends when the supervisor does. */
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sandbox/sandbox.h"
#include "common/started.h"
#include "supervisor/gateway/gateway.h"

/* Allows the network and nothing else; before the first library makes a thread. */
static bool confine(struct fault *fault)
{
    const char *readable[] = {getenv("SSL_CERT_FILE"), getenv("SSL_CERT_DIR"), NULL};
    if (!readable[0])
        readable[0] = readable[1], readable[1] = NULL;
    return sandbox_seal(SANDBOX_GATEWAY, &(struct sandbox_room){.readable = readable}, "agentos-gateway",
                        fault);
}

int main(int count, char **arguments)
{
    setproctitle_init(count, arguments, environ);
    int given[2];
    if (!started_by_supervisor(count, arguments, given, 2))
        return EX_USAGE;
    struct fault fault;
    struct secrets *secrets = secrets_read(given[1], &fault);
    close(given[1]);
    if (!secrets)
        return log_error("gateway", NULL, "%s", fault.text), EX_CONFIG;
    /* Key files, too, which the sandbox will not let the process read. */
    struct keys *keys = keys_load(secrets);
    if (!confine(&fault))
        return log_error("gateway", NULL, "not in its sandbox, so it ends: %s", fault.text), EX_CONFIG;
    /* Without the libraries' own end: nothing of it is needed, and the sandbox would refuse some of it. */
    _exit(gateway_run(given[0], keys));
}
