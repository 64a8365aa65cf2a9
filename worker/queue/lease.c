#include "worker/queue/part.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

/* The kernel tells the holder of a lease that somebody waits at the file by a signal, SIGIO if it isn't told another,
 * whose default action is to end the process. SIGURG's is nothing at all, so no handler and no mask is needed; a
 * descriptor for which that can't be set gets no lease. The one who waits does so until the descriptor is closed,
 * microseconds later. */
enum lease queue_lease(int fd, int type)
{
    if (fcntl(fd, F_SETSIG, SIGURG) != 0)
        return LEASE_UNKNOWN;
    if (fcntl(fd, F_SETLEASE, type) == 0)
        return LEASE_GRANTED;
    return errno == EAGAIN ? LEASE_REFUSED : LEASE_UNKNOWN;
}
