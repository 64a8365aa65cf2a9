#include "supervisor/process/ownership.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/files.h"
#include "common/held.h"
#include "common/memory.h"

enum { DEAD_TRIES = 200, DEAD_PAUSE_NS = 10 * 1000 * 1000 };

/* The most frequent reason is a mounted directory that belongs to somebody else. */
static void no_run_dir(const char *run_dir, struct fault *fault)
{
    struct stat above;
    OWNED char *why = memory_text(strerror(errno));
    OWNED char *parent = memory_text(run_dir);
    char *slash = strrchr(parent, '/');
    if (slash && slash != parent)
        *slash = '\0';
    if (stat(parent, &above) != 0)
        fault_set(fault, "cannot make the run directory %s: %s", run_dir, why);
    else
        fault_set(fault,
                  "cannot make the run directory %s: %s. %s belongs to uid %u and must be writable by uid %u "
                  "(chown); "
                  "or AGENTOS_RUN_DIR names another place for it",
                  run_dir, why, parent, (unsigned)above.st_uid, (unsigned)geteuid());
}

static int open_run(const char *run_dir, struct fault *fault)
{
    if (mkdir(run_dir, 0700) != 0 && errno != EEXIST) {
        no_run_dir(run_dir, fault);
        return -1;
    }
    int run = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    struct stat status;
    if (run < 0 || fstat(run, &status) != 0)
        return fault_errno(fault, "cannot open the run directory %s", run_dir), -1;
    if (status.st_uid != geteuid()) {
        fault_set(fault, "the run directory %s belongs to user %u, and must be ours, user %u", run_dir,
                  (unsigned)status.st_uid, (unsigned)geteuid());
        close(run);
        return -1;
    }
    if ((status.st_mode & 0777) != 0700 && fchmod(run, 0700) != 0) {
        fault_errno(fault, "cannot make the run directory %s private", run_dir);
        close(run);
        return -1;
    }
    return run;
}

/* 0: not known. */
static pid_t holder(int lock)
{
    char pid[32] = "";
    ssize_t n = lock >= 0 ? pread(lock, pid, sizeof pid - 1, 0) : 0;
    pid[n > 0 ? n : 0] = '\0';
    long number = strtol(pid, NULL, 10);
    return number > 0 && number <= INT_MAX ? (pid_t)number : 0;
}

/* A supervisor that was killed may have been making a process, which has the supervisor's descriptors, and so its
 * locks, until it execs another program: the caller waits a moment for a lock of the dead, and not at all for one of
 * the living. 0, or an errno. */
static int lock_within_a_moment(int fd, int lock)
{
    for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        int error = errno;
        pid_t pid = holder(lock);
        bool lives = pid && (kill(pid, 0) == 0 || errno == EPERM);
        if (error != EWOULDBLOCK || lives || tries >= DEAD_TRIES)
            return error;
        nanosleep(&(struct timespec){.tv_nsec = DEAD_PAUSE_NS}, NULL);
    }
    return 0;
}

static int already_running(pid_t holder, const char *data_dir, struct fault *fault)
{
    OWNED char *pid = memory_print("%d", (int)holder);
    fault_set(fault, "another supervisor runs on %s already (pid %s); this one ends", data_dir,
              holder > 0 ? pid : "not known");
    return EX_TEMPFAIL;
}

static int open_lock(int run, struct fault *fault)
{
    int lock = openat(run, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0)
        fault_errno(fault, "cannot make the lock file in the run directory");
    return lock;
}

static bool write_pid(int lock, struct fault *fault)
{
    char pid[32];
    int length = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    return (ftruncate(lock, 0) == 0 && pwrite(lock, pid, (size_t)length, 0) == length) ||
           fault_errno(fault, "cannot write the lock file in the run directory");
}

static int take_locks(struct ownership *ownership, const char *data_dir, struct fault *fault)
{
    ownership->lock = open_lock(ownership->run, fault);
    if (ownership->lock < 0)
        return EX_CANTCREAT;
    if (lock_within_a_moment(ownership->lock, ownership->lock) != 0)
        return already_running(holder(ownership->lock), data_dir, fault);
    /* Some network file systems have no locks for folders: there the lock in the run directory must do. */
    if (lock_within_a_moment(ownership->data, ownership->lock) == EWOULDBLOCK)
        return already_running(held_by(data_dir), data_dir, fault);
    return write_pid(ownership->lock, fault) ? EX_OK : EX_IOERR;
}

/* DATA_DIR or --data names the data directory: a wrong one is a matter of configuration. */
static int no_data_dir(const char *data_dir, struct fault *fault)
{
    int error = errno;
    if (error == ENOENT)
        fault_set(fault, "there is no directory %s; DATA_DIR or --data names the one with agents.yaml",
                  data_dir);
    else
        fault_set(fault, "the data directory %s cannot be opened by uid %u: %s", data_dir,
                  (unsigned)geteuid(), strerror(error));
    return EX_CONFIG;
}

int ownership_take(struct ownership *ownership, const char *data_dir, const char *run_dir,
                   struct fault *fault)
{
    *ownership = (struct ownership){.run = -1, .lock = -1};
    ownership->data = files_open_path(data_dir, fault);
    if (ownership->data < 0)
        return no_data_dir(data_dir, fault);
    ownership->run = open_run(run_dir, fault);
    int status = ownership->run < 0 ? EX_CANTCREAT : take_locks(ownership, data_dir, fault);
    if (status != EX_OK)
        ownership_end(ownership);
    return status;
}

/* A second supervisor that is about to learn of the lock on the data directory may hold the new file's for a moment. */
int ownership_renew(struct ownership *ownership, const char *run_dir, struct fault *fault)
{
    OWNED char *file = memory_print("%s/lock", run_dir);
    if (files_is_at(ownership->run, run_dir) && files_is_at(ownership->lock, file))
        return 0;
    OWNED_FD int run = open_run(run_dir, fault);
    OWNED_FD int lock = run >= 0 ? open_lock(run, fault) : -1;
    if (lock < 0)
        return -1;
    if (flock(lock, LOCK_EX | LOCK_NB) != 0)
        return fault_errno(fault, "cannot lock %s", file), -1;
    if (!write_pid(lock, fault))
        return -1;
    dup3(run, ownership->run, O_CLOEXEC);
    dup3(lock, ownership->lock, O_CLOEXEC);
    return 1;
}

void ownership_end(struct ownership *ownership)
{
    int *const descriptors[] = {&ownership->lock, &ownership->run, &ownership->data};
    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
        if (*descriptors[i] >= 0)
            close(*descriptors[i]);
        *descriptors[i] = -1;
    }
}
