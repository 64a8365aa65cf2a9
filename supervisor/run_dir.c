#include "supervisor/run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/files.h"
#include "common/log.h"
#include "common/memory.h"
#include "supervisor/control/control.h"
#include "supervisor/post/post.h"
#include "supervisor/process/ownership.h"

static bool make_sockets(const struct supervisor *supervisor, struct fault *fault)
{
    return mkdirat(supervisor->ownership->run, "w", 0700) == 0 || errno == EEXIST ||
           fault_errno(fault, "cannot make the folder w in %s", supervisor->options->run_dir);
}

/* DATA_DIR/.run, which nobody else makes when AGENTOS_RUN_DIR is elsewhere. -1: it is not there and can't be made. */
static int open_notes(const char *path)
{
    mkdir(path, 0700);
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

bool run_dir_begin(struct supervisor *supervisor, struct fault *fault)
{
    OWNED char *path = memory_print("%s/.run", supervisor->options->data_dir);
    supervisor->notes = open_notes(path);
    return make_sockets(supervisor, fault);
}

static void save_orders(const struct supervisor *supervisor)
{
    struct fault fault;
    for (size_t i = 0; i < supervisor->agents.count; i++) {
        const struct agent *agent = supervisor->agents.list[i];
        const struct desired_state desired = agent->order.desired;
        if ((desired.stopped || desired.paused) &&
            !desired_state_save(supervisor->data, agent->name, desired, &fault))
            log_warn("agentos", NULL, "Agent '%s': the order holds only until the supervisor ends: %s",
                     agent->name, fault.text);
    }
}

/* Writes anew the files of DATA_DIR/.run besides sockets and lock. Each of the journal's records was carried out in
 * the turn that wrote it, so closing the journal makes them durable and nothing is lost with its file. */
static void renew_notes(struct supervisor *supervisor)
{
    OWNED char *path = memory_print("%s/.run", supervisor->options->data_dir);
    if (supervisor->notes >= 0 && files_is_at(supervisor->notes, path))
        return;
    if (supervisor->notes >= 0) {
        post_journal_close(supervisor->post);
        save_orders(supervisor);
    }
    memory_close_at(&supervisor->notes);
    supervisor->notes = open_notes(path);
}

void run_dir_scan(struct supervisor *supervisor)
{
    struct fault fault = {""};
    const char *path = supervisor->options->run_dir;
    int renewed = ownership_renew(supervisor->ownership, path, &fault);
    bool failed = renewed < 0 || !make_sockets(supervisor, &fault);
    if (failed && !supervisor->run.missing)
        log_error("agentos", NULL, "The run directory was removed, and no client finds this supervisor: %s",
                  fault.text);
    supervisor->run.missing = failed;
    if (renewed > 0)
        log_warn("agentos", NULL, "The run directory %s, or the lock in it, was removed; it is made anew",
                 path);
    if (!failed && control_listen_again(supervisor->control, supervisor->ownership->run, &fault))
        log_warn("agentos", NULL, "The control socket in %s was removed; it is made anew", path);
    renew_notes(supervisor);
}
