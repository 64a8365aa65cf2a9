/* A storage that fails when a test says so: these functions take the place of the C library's. One file of a program
 * includes it. */
#ifndef AGENTOS_TESTS_FAILING_H
#define AGENTOS_TESTS_FAILING_H

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

/* So many names of folders, and reads of files, until one fails with EIO; below 0: none does. */
static int names_left = -1, reads_left = -1;
static bool for_long; /* and all after it */

static inline bool failing_now(int *left)
{
    if (*left < 0 || (*left)-- > 0)
        return false;
    *left = for_long ? 0 : -1;
    errno = EIO;
    return true;
}

struct dirent *readdir(DIR *stream)
{
    static struct dirent *(*real)(DIR *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "readdir64");
    return failing_now(&names_left) ? NULL : real(stream);
}

/* A call gets a single name: the smallest room in which a name fits has none for a second name. */
ssize_t getdents64(int fd, void *entries, size_t length)
{
    enum { STEP = 8 };
    if (failing_now(&names_left))
        return -1;
    for (size_t room = 3 * STEP; room <= length; room += STEP) {
        ssize_t got = syscall(SYS_getdents64, fd, entries, room);
        if (got >= 0 || errno != EINVAL)
            return got;
    }
    return -1;
}

ssize_t read(int fd, void *bytes, size_t length)
{
    return failing_now(&reads_left) ? -1 : syscall(SYS_read, fd, bytes, length);
}

#endif
