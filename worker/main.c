/* agentos-worker: the zygote, and in its forks one worker per agent. Started by the supervisor only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/secrets.h"
#include "common/started.h"
#include "worker/zygote.h"

int main(int argc, char **argv)
{
    started_standard();
    secrets_wipe(); /* the supervisor hands none on; a person's shell may */
    bool is_zygote = argc == 4 && strcmp(argv[1], "--zygote") == 0;
    int channel = is_zygote ? started_descriptor(argv[2]) : -1,
        logs = is_zygote ? started_descriptor(argv[3]) : -1;
    if (channel < 0 || logs < 0) {
        fputs("agentos-worker is started by `agentos run`; see agentos --help\n", stderr);
        return EX_USAGE;
    }
    setproctitle_init(argc, argv, environ);
    log_start(getenv("LOG_LEVEL"), getenv("LOG_FORMAT"));
    log_to_supervisor();
    return zygote_run(channel, logs);
}
