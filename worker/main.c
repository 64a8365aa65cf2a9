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
    char *end = NULL;
    long fd = argc == 3 && strcmp(argv[1], "--zygote") == 0 ? strtol(argv[2], &end, 10) : -1;
    if (fd < 0 || !end || *end) {
        fputs("agentos-worker is started by `agentos run`; see agentos --help\n", stderr);
        return EX_USAGE;
    }
    setproctitle_init(argc, argv, environ);
    log_start(getenv("LOG_LEVEL"), getenv("LOG_FORMAT"));
    return zygote_run((int)fd);
}
