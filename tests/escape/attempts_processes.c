/* To other processes: signals, tracing, memory, priorities; and making new ones. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/escape/attempts.h"

static bool kill_victim(const struct stage *stage)
{
    return kill(stage->victim, 0) == 0;
}

static bool kill_supervisor(const struct stage *stage)
{
    return kill(stage->supervisor, 0) == 0;
}

static bool kill_everybody(const struct stage *stage)
{
    return kill(-1, 0) == 0;
}

static bool kill_thread(const struct stage *stage)
{
    return syscall(SYS_tgkill, stage->victim, stage->victim, 0) == 0;
}

static bool kill_any_thread(const struct stage *stage)
{
    return syscall(SYS_tkill, stage->victim, 0) == 0;
}

/* The kernel takes the lower half of the register for the process. */
static bool kill_by_a_wide_number(const struct stage *stage)
{
    return syscall(SYS_kill, 0x100000000L | stage->victim, 0) == 0;
}

static bool queue_signal(const struct stage *stage)
{
    return sigqueue(stage->victim, 0, (union sigval){0}) == 0;
}

static bool queue_signal_to_thread(const struct stage *stage)
{
    siginfo_t about = {.si_code = SI_QUEUE};
    return syscall(SYS_rt_tgsigqueueinfo, stage->victim, stage->victim, 0, &about) == 0;
}

static bool signal_by_descriptor(const struct stage *stage)
{
    return syscall(SYS_pidfd_send_signal, (int)syscall(SYS_pidfd_open, stage->victim, 0), 0, NULL, 0) == 0;
}

static bool signal_by_owner(const struct stage *stage)
{
    int ends[2];
    return pipe2(ends, O_CLOEXEC) == 0 && fcntl(ends[0], F_SETOWN, stage->victim) == 0;
}

static bool signal_by_owner_ex(const struct stage *stage)
{
    int ends[2];
    return pipe2(ends, O_CLOEXEC) == 0 &&
           fcntl(ends[0], F_SETOWN_EX, &(struct f_owner_ex){F_OWNER_PID, stage->victim}) == 0;
}

static bool lease_sends_kill(const struct stage *stage)
{
    int ends[2];
    return pipe2(ends, O_CLOEXEC) == 0 && fcntl(ends[0], F_SETSIG, SIGKILL) == 0;
}

static bool trace(const struct stage *stage)
{
    if (ptrace(PTRACE_SEIZE, stage->victim, NULL, NULL) != 0)
        return false;
    ptrace(PTRACE_DETACH, stage->victim, NULL, NULL);
    return true;
}

static bool read_memory(const struct stage *stage)
{
    char found[sizeof SECRET] = "";
    struct iovec here = {found, sizeof found}, their = {(void *)(uintptr_t)secret, sizeof found};
    return process_vm_readv(stage->victim, &here, 1, &their, 1, 0) == (ssize_t)sizeof found &&
           strcmp(found, SECRET) == 0;
}

static bool write_memory(const struct stage *stage)
{
    static char target[8];
    struct iovec here = {target, sizeof target}, their = {target, sizeof target};
    return process_vm_writev(stage->victim, &here, 1, &their, 1, 0) == (ssize_t)sizeof target;
}

static bool take_descriptor(const struct stage *stage)
{
    return syscall(SYS_pidfd_getfd, (int)syscall(SYS_pidfd_open, stage->victim, 0), STDERR_FILENO, 0) >= 0;
}

static bool compare(const struct stage *stage)
{
    return syscall(SYS_kcmp, getpid(), stage->victim, KCMP_VM, 0, 0) >= 0;
}

static bool advise_memory(const struct stage *stage)
{
    struct iovec their = {(void *)((uintptr_t)secret & ~(uintptr_t)4095), 4096};
    return syscall(SYS_process_madvise, (int)syscall(SYS_pidfd_open, stage->victim, 0), &their, 1, MADV_COLD,
                   0) >= 0;
}

static bool set_priority(const struct stage *stage)
{
    return setpriority(PRIO_PROCESS, (id_t)stage->victim, 19) == 0;
}

static bool set_io_priority(const struct stage *stage)
{
    enum { OF_PROCESS = 1, IDLE = 3 << 13 };
    return syscall(SYS_ioprio_set, OF_PROCESS, stage->victim, IDLE) == 0;
}

static bool set_affinity(const struct stage *stage)
{
    cpu_set_t cpus;
    return syscall(SYS_sched_getaffinity, stage->victim, sizeof cpus, &cpus) > 0 &&
           sched_setaffinity(stage->victim, sizeof cpus, &cpus) == 0;
}

static bool set_scheduler(const struct stage *stage)
{
    return sched_setscheduler(stage->victim, SCHED_BATCH, &(struct sched_param){0}) == 0;
}

static bool read_limit(const struct stage *stage)
{
    struct rlimit limit;
    return prlimit(stage->victim, RLIMIT_CORE, NULL, &limit) == 0;
}

static bool set_limit(const struct stage *stage)
{
    return prlimit(stage->victim, RLIMIT_CORE, &(struct rlimit){0, 0}, NULL) == 0;
}

static bool move_pages(const struct stage *stage)
{
    int where;
    void *page = (void *)((uintptr_t)secret & ~(uintptr_t)4095);
    return syscall(SYS_move_pages, stage->victim, 1UL, &page, NULL, &where, 0) == 0;
}

/* --- making processes --- */

static bool ended_well(pid_t child)
{
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static bool make_process(const struct stage *stage)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return ended_well(child);
}

static bool make_process_vfork(const struct stage *stage)
{
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    return ended_well(child);
}

struct clone3_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

static bool clone_anew(uint64_t flags)
{
    struct clone3_arguments arguments = {.flags = flags, .exit_signal = SIGCHLD};
    pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0)
        _exit(0);
    return ended_well(child);
}

static bool make_process_clone3(const struct stage *stage)
{
    return clone_anew(0);
}

static bool make_user_namespace_clone3(const struct stage *stage)
{
    return clone_anew(CLONE_NEWUSER);
}

static bool make_user_namespace(const struct stage *stage)
{
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    return ended_well(child);
}

static bool unshare_user(const struct stage *stage)
{
    return unshare(CLONE_NEWUSER) == 0;
}

static bool unshare_mounts(const struct stage *stage)
{
    return unshare(CLONE_NEWNS) == 0;
}

static bool unshare_network(const struct stage *stage)
{
    return unshare(CLONE_NEWNET) == 0;
}

static bool unshare_descriptors(const struct stage *stage)
{
    return unshare(CLONE_FILES) == 0;
}

static bool enter_namespace(const struct stage *stage)
{
    return setns((int)syscall(SYS_pidfd_open, stage->victim, 0), CLONE_NEWUTS) == 0;
}

static void *nothing(void *context)
{
    return context;
}

static bool make_thread(const struct stage *stage)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, nothing, NULL);
    if (error == 0)
        pthread_join(thread, NULL);
    errno = error;
    return error == 0;
}

/* --- executing --- */

static bool execute(const struct stage *stage)
{
    execl("/bin/true", "true", (char *)NULL);
    return false;
}

static bool execute_shell(const struct stage *stage)
{
    execl("/bin/sh", "sh", "-c", ":", (char *)NULL);
    return false;
}

static bool execute_by_descriptor(const struct stage *stage)
{
    char *const arguments[] = {"true", NULL}, *const environment[] = {NULL};
    fexecve(open("/bin/true", O_PATH | O_CLOEXEC), arguments, environment);
    return false;
}

static bool execute_own(const struct stage *stage)
{
    char path[160];
    strcpy(path, stage->own);
    strcat(path, "/script");
    execl(path, "script", (char *)NULL);
    return false;
}

static bool execute_memory(const struct stage *stage)
{
    static const char script[] = "#!/bin/sh\n:\n";
    char *arguments[] = {"memory", NULL}, *environment[] = {NULL};
    int fd = memfd_create("program", 0);
    if (fd < 0 || write(fd, script, sizeof script - 1) < 0)
        return false;
    fexecve(fd, arguments, environment);
    return false;
}

static bool make_memory_file(const struct stage *stage)
{
    return memfd_create("x", MFD_CLOEXEC) >= 0;
}

/* --- what becomes of oneself --- */

static bool forget_parent(const struct stage *stage)
{
    return prctl(PR_SET_PDEATHSIG, 0) == 0;
}

static bool become_dumpable(const struct stage *stage)
{
    return prctl(PR_SET_DUMPABLE, 1) == 0;
}

static bool become_other(const struct stage *stage)
{
    return syscall(SYS_setresuid, 12345, 12345, 12345) == 0;
}

static bool join_groups(const struct stage *stage)
{
    return syscall(SYS_setgroups, 0, NULL) == 0;
}

static bool become_nicer_to_oneself(const struct stage *stage)
{
    return setpriority(PRIO_PROCESS, 0, -5) == 0;
}

static bool raise_core(const struct stage *stage)
{
    return setrlimit(RLIMIT_CORE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}) == 0;
}

static bool leave_session(const struct stage *stage)
{
    return setsid() > 0;
}

static const struct attempt items[] = {
    {"signal another process", 0, kill_victim, NULL},
    {"signal the supervisor", 0, kill_supervisor, NULL},
    {"signal everybody", RARE, kill_everybody, NULL},
    {"signal another's thread (tgkill)", 0, kill_thread, NULL},
    {"signal another's thread (tkill)", 0, kill_any_thread, NULL},
    {"signal by a wide number", 0, kill_by_a_wide_number, NULL},
    {"signal by sigqueue", 0, queue_signal, NULL},
    {"signal by rt_tgsigqueueinfo", 0, queue_signal_to_thread, NULL},
    {"signal by pidfd", 0, signal_by_descriptor, NULL},
    {"signal by a descriptor's owner", 0, signal_by_owner, NULL},
    {"signal by F_SETOWN_EX", 0, signal_by_owner_ex, NULL},
    {"choose which signal a lease sends", 0, lease_sends_kill, NULL},
    {"ptrace", RARE, trace, NULL},
    {"process_vm_readv", RARE, read_memory, NULL},
    {"process_vm_writev", RARE, write_memory, NULL},
    {"pidfd_getfd", RARE, take_descriptor, NULL},
    {"kcmp", RARE, compare, NULL},
    {"process_madvise", RARE, advise_memory, NULL},
    {"setpriority of another", 0, set_priority, NULL},
    {"ioprio_set of another", 0, set_io_priority, NULL},
    {"sched_setaffinity of another", 0, set_affinity, NULL},
    {"sched_setscheduler of another", 0, set_scheduler, NULL},
    {"read another's limits", 0, read_limit, NULL},
    {"set another's limits", 0, set_limit, NULL},
    {"move_pages of another", RARE, move_pages, NULL},
    {"fork", 0, make_process, NULL},
    {"clone", 0, make_process_vfork, NULL},
    {"clone3", RARE, make_process_clone3, NULL},
    {"a thread more", 0, make_thread, NULL},
    {"user namespace by clone", RARE, make_user_namespace, NULL},
    {"user namespace by clone3", RARE, make_user_namespace_clone3, NULL},
    {"user namespace by unshare", RARE, unshare_user, NULL},
    {"mount namespace by unshare", PRIVILEGED, unshare_mounts, NULL},
    {"network namespace by unshare", PRIVILEGED, unshare_network, NULL},
    {"descriptors by unshare", PRIVILEGED, unshare_descriptors, NULL},
    {"setns", PRIVILEGED, enter_namespace, NULL},
    {"execute a program", 0, execute, NULL},
    {"execute a shell", 0, execute_shell, NULL},
    {"execute by a descriptor", 0, execute_by_descriptor, NULL},
    {"execute a script in one's tree", RARE, execute_own, NULL},
    {"execute from memory", RARE, execute_memory, NULL},
    {"make a file in memory", 0, make_memory_file, NULL},
    {"outlive the supervisor", 0, forget_parent, NULL},
    {"become dumpable", 0, become_dumpable, NULL},
    {"become another user", PRIVILEGED, become_other, NULL},
    {"set the groups", PRIVILEGED, join_groups, NULL},
    {"raise one's priority", PRIVILEGED, become_nicer_to_oneself, NULL},
    {"raise one's own limits", RARE, raise_core, NULL},
    {"leave one's session", 0, leave_session, NULL},
};

const struct attempts process_attempts = {items, sizeof items / sizeof *items};
