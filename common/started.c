#include "common/started.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/log.h"
#include "common/settings.h"

/* open gives the lowest free number, so a descriptor above the three shows that all three are taken. Where there is no
 * /dev/null, the root folder keeps the place: the descriptor can be neither read nor written. */
void started_standard(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
        if (fd < 0)
            fd = open("/", O_RDONLY | O_DIRECTORY);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

void started_harden(void)
{
    prctl(PR_SET_DUMPABLE, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
}

int started_descriptor(const char *text)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    return end != text && !*end && !errno && value >= 0 && value <= INT_MAX ? (int)value : -1;
}

bool started_by_supervisor(int count, char **arguments, int descriptors[], int wanted)
{
    started_standard();
    started_harden();
    log_start(setting_text(SET_LOG_LEVEL, NULL), setting_text(SET_LOG_FORMAT, NULL));
    log_to_supervisor();
    bool given = count == wanted + 1;
    for (int i = 0; given && i < wanted; i++)
        given = (descriptors[i] = started_descriptor(arguments[i + 1])) >= 0;
    if (!given)
        fprintf(stderr, "%s is started by `agentos run`, with %d descriptor(s)\n",
                program_invocation_short_name, wanted);
    return given;
}
