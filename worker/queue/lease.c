#include "worker/queue/part.h"

#include <errno.h>
#include <fcntl.h>

/* A process that wants the file waits until the descriptor is closed, microseconds later (the kernel's signal about the
 * wait is ignored, files_leases_silent). */
enum lease queue_lease(int fd, int type)
{
    if (fcntl(fd, F_SETLEASE, type) == 0)
        return LEASE_GRANTED;
    return errno == EAGAIN ? LEASE_REFUSED : LEASE_UNKNOWN;
}
