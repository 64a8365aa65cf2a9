#include "common/held.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/memory.h"

/* "1: FLOCK  ADVISORY  WRITE 4242 fe:01:1311 0 EOF"; the kernel writes 0 or -1 for a process of another namespace. */
static pid_t holder_of(const struct stat *file)
{
    OWNED_FILE FILE *locks = fopen("/proc/locks", "re");
    char line[256];
    pid_t found = -1;
    while (locks && fgets(line, sizeof line, locks)) {
        int pid;
        unsigned major, minor;
        unsigned long long inode;
        if (sscanf(line, "%*u: FLOCK %*s WRITE %d %x:%x:%llu", &pid, &major, &minor, &inode) == 4 &&
            inode == file->st_ino && makedev(major, minor) == file->st_dev && pid > 0)
            found = (pid_t)pid;
    }
    return found;
}

/* Asked by a shared lock, which is let go at once: two who ask don't take each other for the holder. */
pid_t held_by(const char *path)
{
    struct stat status;
    OWNED_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) != 0)
        return 0;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return 0;
    return holder_of(&status);
}
