#include "supervisor/ownership.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"

static int open_run(const char *run_dir, struct fault *fault)
{
    if (mkdir(run_dir, 0700) != 0 && errno != EEXIST) {
        fault_errno(fault, "cannot make the run directory %s (AGENTOS_RUN_DIR says where else it may be)",
                    run_dir);
        return -1;
    }
    int run = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    struct stat status;
    if (run < 0 || fstat(run, &status) != 0) {
        fault_errno(fault, "cannot open the run directory %s", run_dir);
        return -1;
    }
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

static int already_running(int lock, const char *data_dir, struct fault *fault)
{
    char pid[32] = "";
    ssize_t n = lock >= 0 ? pread(lock, pid, sizeof pid - 1, 0) : 0;
    pid[n > 0 ? n : 0] = '\0';
    pid[strspn(pid, "0123456789")] = '\0';
    fault_set(fault, "another supervisor runs on %s already (pid %s); this one ends", data_dir,
              *pid ? pid : "not known");
    return EX_TEMPFAIL;
}

static int take_locks(struct ownership *ownership, const char *data_dir, struct fault *fault)
{
    ownership->lock = openat(ownership->run, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (ownership->lock < 0) {
        fault_errno(fault, "cannot make the lock file in the run directory");
        return EX_CANTCREAT;
    }
    if (flock(ownership->lock, LOCK_EX | LOCK_NB) != 0)
        return already_running(errno == EWOULDBLOCK ? ownership->lock : -1, data_dir, fault);
    /* Some network file systems have no locks for folders: then the one in the run directory must do. */
    if (flock(ownership->data, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return already_running(-1, data_dir, fault);
    char pid[32];
    int length = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(ownership->lock, 0) != 0 || pwrite(ownership->lock, pid, (size_t)length, 0) != length) {
        fault_errno(fault, "cannot write in %s/.run", data_dir);
        return EX_IOERR;
    }
    return EX_OK;
}

int ownership_take(struct ownership *ownership, const char *data_dir, const char *run_dir,
                   struct fault *fault)
{
    *ownership = (struct ownership){.run = -1, .lock = -1};
    ownership->data = files_open_path(data_dir, fault);
    if (ownership->data < 0)
        return EX_NOINPUT;
    ownership->run = open_run(run_dir, fault);
    int status = ownership->run < 0 ? EX_CANTCREAT : take_locks(ownership, data_dir, fault);
    if (status != EX_OK)
        ownership_end(ownership);
    return status;
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
