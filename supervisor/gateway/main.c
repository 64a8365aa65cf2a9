/* agentos-gateway CHANNEL_FD SECRETS_FD
 *
 * The one process with the network and the keys: it asks the model for every agent. Started by the supervisor only,
 * with a socket pair to it (common/channel.h, common/message.h: ASK and FORGET in, ANSWER and WAITING out) and the
 * memory file of the keys (common/secrets.h). It ends when the supervisor does. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sandbox/sandbox.h"
#include "common/settings.h"
#include "common/started.h"
#include "supervisor/gateway/gateway.h"

/* The network and nothing else; before the first library makes a thread. */
static bool confine(struct fault *fault)
{
    const char *readable[] = {getenv("SSL_CERT_FILE"), getenv("SSL_CERT_DIR"), NULL};
    if (!readable[0])
        readable[0] = readable[1], readable[1] = NULL;
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_GATEWAY, sandbox_mode(), fault);
    bool confined = sandbox && sandbox_enter(sandbox, &(struct sandbox_room){.readable = readable}, fault);
    if (confined)
        sandbox_tell_sealed(sandbox, "agentos-gateway");
    sandbox_free(sandbox);
    return confined;
}

int main(int count, char **arguments)
{
    setproctitle_init(count, arguments, environ);
    started_standard();
    started_harden();
    log_start(setting_text(SET_LOG_LEVEL, NULL), setting_text(SET_LOG_FORMAT, NULL));
    log_to_supervisor();
    int channel = count == 3 ? started_descriptor(arguments[1]) : -1;
    int handed = count == 3 ? started_descriptor(arguments[2]) : -1;
    if (channel < 0 || handed < 0) {
        fprintf(stderr, "agentos-gateway is started by `agentos run`, with two descriptors\n");
        return EX_USAGE;
    }
    struct fault fault;
    struct secrets *secrets = secrets_read(handed, &fault);
    close(handed);
    if (!secrets) {
        log_error("gateway", NULL, "%s", fault.text);
        return EX_CONFIG;
    }
    struct keys *keys = keys_load(secrets); /* also from files, which the sandbox will not let us read */
    if (!confine(&fault)) {
        log_error("gateway", NULL, "not in its sandbox, so it ends: %s", fault.text);
        return EX_CONFIG;
    }
    /* Without what libraries do at an exit: nothing of it is needed, and the sandbox would refuse some of it. */
    _exit(gateway_run(channel, keys));
}
