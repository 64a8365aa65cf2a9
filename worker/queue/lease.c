#include "worker/queue/part.h"

#include <errno.h>
#include <fcntl.h>

/* The one who waits at the file does so until the descriptor is closed, microseconds later (the kernel's signal about it
 * is ignored, files_leases_silent). */
enum lease queue_lease(int fd, int type)
{
    if (fcntl(fd, F_SETLEASE, type) == 0)
        return LEASE_GRANTED;
    return errno == EAGAIN ? LEASE_REFUSED : LEASE_UNKNOWN;
}
