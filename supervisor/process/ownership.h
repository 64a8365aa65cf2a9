/* One supervisor for one data directory, and the folder of its sockets. */
#pragma once

#include "common/fault.h"

struct ownership {
    /* Descriptor of DATA_DIR; locked as well, so that another run directory doesn't allow a second supervisor. */
    int data;
    int run;  /* descriptor of the run directory, 0700 */
    int lock; /* RUN_DIR/lock, with this process's pid in it */
};

/* Opens both directories, makes the run directory, takes the locks. Returns 0, or the exit status (sysexits.h) and
 * fault; 75: another supervisor has a lock, and the sentence names its pid. The kernel lets go of the locks when the
 * process ends, however it ends. */
int ownership_take(struct ownership *ownership, const char *data_dir, const char *run_dir,
                   struct fault *fault);
/* Where the run directory or its lock file was removed or replaced, both are made anew and `run` and `lock` name them from
 * then on. Meanwhile the lock on the data directory keeps a second supervisor away. 1: made anew, 0: nothing was
 * missing, -1 and fault. */
int ownership_renew(struct ownership *ownership, const char *run_dir, struct fault *fault);
void ownership_end(struct ownership *ownership);
