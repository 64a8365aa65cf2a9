#include "common/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/memory.h"

enum { SECOND_NS = 1000 * 1000 * 1000, COARSE_NS = 100 * 1000 * 1000 };

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * SECOND_NS + time.tv_nsec;
}

struct file_stamp files_stamp(const struct stat *status)
{
    return (struct file_stamp){
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = (uint64_t)status->st_size,
        .modified_ns = nanoseconds(status->st_mtim),
        .changed_ns = nanoseconds(status->st_ctim),
    };
}

bool files_stamp_same_content(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->inode == b->inode && a->size == b->size && a->modified_ns == b->modified_ns;
}

bool files_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
    return files_stamp_same_content(a, b) && a->device == b->device && a->changed_ns == b->changed_ns;
}

int files_look(int folder, const char *path, struct file_stamp *stamp)
{
    struct stat status;
    *stamp = (struct file_stamp){0};
    if (fstatat(folder, path, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || files_lasting(errno) ? 0 : -1;
    if (!S_ISREG(status.st_mode))
        return 0;
    *stamp = files_stamp(&status);
    return 1;
}

bool files_stamp_settled(const struct file_stamp *stamp, int64_t now_ns)
{
    bool whole_seconds = stamp->changed_ns % SECOND_NS == 0;
    return stamp->changed_ns < now_ns - COARSE_NS - (whole_seconds ? 2 * (int64_t)SECOND_NS : 0);
}

struct file_stamp files_stamp_at(int folder, const char *path)
{
    struct file_stamp stamp;
    files_look(folder, path, &stamp);
    return stamp;
}

/* One step of a walk that follows no link and never leads upwards. -1 and errno. */
static int step(int folder, const char *path, size_t length)
{
    char target;
    OWNED char *name = memory_slice(path, length);
    if (length == 0 || strcmp(name, "..") == 0) {
        errno = EXDEV;
        return -1;
    }
    int fd = openat(folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOTDIR)
        errno = readlinkat(folder, name, &target, 1) >= 0 ? ELOOP : ENOTDIR;
    return fd;
}

/* The same as openat2, step by step: a worker's sandbox refuses openat2, whose flags no filter can see. */
static int open_by_steps(int folder, const char *path, int flags, unsigned mode)
{
    OWNED_FD int above = -1;
    for (const char *slash; (slash = strchr(path, '/')); path = slash + strspn(slash, "/")) {
        int next = step(above >= 0 ? above : folder, path, (size_t)(slash - path));
        memory_close_at(&above);
        above = next;
        if (above < 0)
            return -1;
    }
    if (strcmp(path, "..") == 0) {
        errno = EXDEV;
        return -1;
    }
    if (above >= 0 && !*path)
        path = "."; /* behind a last slash */
    return openat(above >= 0 ? above : folder, path, flags | O_NOFOLLOW, mode);
}

int files_open(int folder, const char *path, int flags, unsigned mode)
{
    /* A filter refuses openat2 for good, where openat2 was refused and the steps were let through. */
    static _Atomic bool refused;
    struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK),
        .mode = flags & (O_CREAT | O_TMPFILE) & ~O_DIRECTORY ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd;
    if (refused)
        return open_by_steps(folder, path, (int)how.flags, mode);
    /* EAGAIN: a rename elsewhere raced with the walk (openat2(2)); another try is safe. */
    for (int tries = 0; tries < 32; tries++) {
        fd = syscall(SYS_openat2, folder, path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    if (fd < 0 && (errno == EPERM || errno == ENOSYS)) {
        fd = open_by_steps(folder, path, (int)how.flags, mode);
        refused = fd >= 0;
    }
    return (int)fd;
}

int files_open_folder(int folder, const char *path, bool create, struct fault *fault)
{
    int fd = files_open(folder, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd >= 0)
        return fd;
    if (errno == ENOENT && create)
        return files_make_folder(folder, path, fault);
    return fault_errno(fault, "cannot open the folder %s", path), -1;
}

int files_make_folder(int folder, const char *path, struct fault *fault)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    OWNED_FD int parent = -1;
    if (slash) {
        OWNED char *above = memory_slice(path, (size_t)(slash - path));
        folder = parent = files_open_folder(folder, above, true, fault);
        if (parent < 0)
            return -1;
    }
    if (mkdirat(folder, name, 0755) != 0 && errno != EEXIST)
        return fault_errno(fault, "cannot make the folder %s", path), -1;
    int fd = files_open(folder, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        fault_errno(fault, "cannot open the folder %s", path);
    return fd;
}

int files_open_path(const char *path, struct fault *fault)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        fault_errno(fault, "cannot open the folder %s", path);
    return fd;
}

/* Reads until the end of the file, one byte past limit at most. A read that had room for more and stopped where the file
 * ended a moment ago has seen the end. */
static bool read_all(int fd, size_t expected, size_t limit, char **text, size_t *length)
{
    size_t capacity = expected + 1 < limit + 1 ? expected + 1 : limit + 1, done = 0;
    char *bytes = memory_new(capacity + 1, 1);
    for (;;) {
        if (done == capacity && capacity <= limit) {
            capacity = capacity * 2 < limit + 1 ? capacity * 2 : limit + 1;
            bytes = memory_grow(bytes, capacity + 1, 1);
        }
        size_t room = capacity - done;
        ssize_t n = room > 0 ? read(fd, bytes + done, room) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(bytes);
            return false;
        }
        done += (size_t)n;
        if (n == 0 || (done == expected && (size_t)n < room))
            break;
    }
    bytes[done] = '\0';
    *text = bytes;
    *length = done;
    return true;
}

void files_leases_silent(void)
{
    signal(SIGIO, SIG_IGN);
}

bool files_is_at(int fd, const char *path)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev;
}

void files_follow(int fd, const char *path)
{
    OWNED_FD int there = files_is_at(fd, path) ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (there >= 0)
        dup3(there, fd, O_CLOEXEC);
}

int files_read(int folder, const char *path, size_t limit, char **text, size_t *length,
               struct file_stamp *stamp, struct fault *fault)
{
    *text = NULL;
    *length = 0;
    if (stamp)
        *stamp = (struct file_stamp){0};
    OWNED_FD int fd = files_open(folder, path, O_RDONLY, 0);
    if (fd < 0 && errno == ENOENT)
        return 0;
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        fault_errno(fault, errno == ELOOP ? "%s is a link, which is not followed" : "cannot read %s", path);
        return -1;
    }
    if (!S_ISREG(status.st_mode)) {
        fault_set(fault, "%s is no regular file", path);
        errno = EINVAL;
        return -1;
    }
    if ((uint64_t)status.st_size > limit || !read_all(fd, (size_t)status.st_size, limit, text, length)) {
        if ((uint64_t)status.st_size > limit)
            fault_set(fault, "%s has %lld bytes; at most %zu are read", path, (long long)status.st_size,
                      limit),
                errno = EFBIG;
        else
            fault_errno(fault, "cannot read %s", path);
        return -1;
    }
    if (*length > limit) {
        free(*text);
        *text = NULL;
        fault_set(fault, "%s has more than %zu bytes", path, limit);
        errno = EFBIG;
        return -1;
    }
    if (stamp)
        *stamp = files_stamp(&status);
    return 1;
}

bool files_lasting(int error)
{
    return error == ELOOP || error == ENXIO || error == ENOTDIR || error == ENODEV || error == EXDEV ||
           error == ENAMETOOLONG || error == EINVAL || error == EFBIG || error == EISDIR;
}

bool files_write_all(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t n = TEMP_FAILURE_RETRY(write(fd, at, length));
        if (n < 0)
            return false;
        if (n == 0) {
            errno = EIO;
            return false;
        }
        at += n;
        length -= (size_t)n;
    }
    return true;
}

#define MARK ".new-"

/* The folder that holds path, and the name in it: renames must not walk a path that somebody may change. */
static int parent_of(int folder, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!slash)
        return fcntl(folder, F_DUPFD_CLOEXEC, 0);
    OWNED char *parent = memory_slice(path, (size_t)(slash - path));
    return files_open(folder, parent, O_RDONLY | O_DIRECTORY, 0);
}

static bool write_whole(int folder, const char *path, const void *bytes, size_t length, bool durable_text,
                        bool durable_name, struct fault *fault)
{
    const char *name;
    OWNED_FD int parent = parent_of(folder, path, &name);
    if (parent < 0)
        return fault_errno(fault, "cannot write %s, its folder can't be opened", path);
    OWNED char *temporary = memory_print(".%s" MARK "%d", name, (int)getpid());
    unlinkat(parent, temporary, 0);
    OWNED_FD int fd = files_open(parent, temporary, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0)
        return fault_errno(fault, "cannot write %s", path);
    bool written = files_write_all(fd, bytes, length) && (!durable_text || fsync(fd) == 0);
    int why = errno;
    close(fd); /* before the file has its name: a watcher of the folder hears of one change, not of two */
    fd = -1;
    errno = why;
    if (!written || renameat(parent, temporary, parent, name) != 0 || (durable_name && fsync(parent) != 0)) {
        fault_errno(fault, "cannot write %s, the old file stays", path);
        unlinkat(parent, temporary, 0);
        return false;
    }
    return true;
}

bool files_write(int folder, const char *path, const void *bytes, size_t length, bool durable,
                 struct fault *fault)
{
    return write_whole(folder, path, bytes, length, durable, durable, fault);
}

bool files_rewrite(int folder, const char *path, const void *bytes, size_t length, struct fault *fault)
{
    return write_whole(folder, path, bytes, length, true, false, fault);
}

char *files_unfinished(const char *name)
{
    const char *mark = NULL;
    for (const char *at = name; *name == '.' && (at = strstr(at + 1, MARK));)
        mark = at;
    const char *number = mark ? mark + strlen(MARK) : "";
    return *number && !number[strspn(number, "0123456789")]
               ? memory_slice(name + 1, (size_t)(mark - name - 1))
               : NULL;
}

/* The written part of an append that could not be finished is cut off again, unless somebody has written behind it: half
 * a task would be taken for a whole one. */
static void take_back(int fd, size_t written)
{
    int error = errno;
    struct stat status;
    off_t end = lseek(fd, 0, SEEK_CUR);
    if (written > 0 && end >= (off_t)written && fstat(fd, &status) == 0 && status.st_size == end) {
        int ignored = ftruncate(fd, end - (off_t)written); /* the caller tells of the append itself */
        (void)ignored;
    }
    errno = error;
}

/* In one write(2) as a rule, so that nobody's append comes between. */
static bool append_all(int fd, const char *bytes, size_t length)
{
    for (size_t written = 0; written < length;) {
        ssize_t n = TEMP_FAILURE_RETRY(write(fd, bytes + written, length - written));
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            take_back(fd, written);
            return false;
        }
        written += (size_t)n;
    }
    return true;
}

bool files_append(int folder, const char *path, const void *bytes, size_t length, struct fault *fault)
{
    OWNED_FD int fd = files_open(folder, path, O_WRONLY | O_APPEND | O_CREAT, 0644);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return fault_errno(fault, "cannot append to %s", path);
    if (!S_ISREG(status.st_mode))
        return fault_set(fault, "cannot append to %s, it is no regular file", path);
    if (!append_all(fd, bytes, length))
        return fault_errno(fault, "cannot append to %s", path);
    if (fsync(fd) != 0)
        return fault_errno(fault, "the text appended to %s may not be on disk", path);
    return true;
}
