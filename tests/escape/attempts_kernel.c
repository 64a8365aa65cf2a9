/* To the kernel: its rarer parts, the machine's settings, and more memory or other memory than is one's due. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/shm.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "tests/escape/attempts.h"

/* For what must not happen even in a test: the kernel found fault with the arguments, so it would have let us. */
static bool let_in(long result)
{
    return result >= 0 || (errno != EPERM && errno != ENOSYS && errno != EACCES);
}

static bool io_uring(const struct stage *stage)
{
    struct io_uring_params parameters = {0};
    return syscall(SYS_io_uring_setup, 1, &parameters) >= 0;
}

static bool asynchronous_io(const struct stage *stage)
{
    unsigned long context = 0;
    return syscall(SYS_io_setup, 1, &context) == 0;
}

static bool bpf(const struct stage *stage)
{
    union bpf_attr attributes = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes) >= 0;
}

static bool keyctl(const struct stage *stage)
{
    return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1) >= 0;
}

static bool add_key(const struct stage *stage)
{
    return syscall(SYS_add_key, "user", "escape", "x", 1UL, KEY_SPEC_PROCESS_KEYRING) >= 0;
}

static bool userfaultfd(const struct stage *stage)
{
    return syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY) >= 0;
}

static bool perf(const struct stage *stage)
{
    struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE,
                                         .size = sizeof attributes,
                                         .config = PERF_COUNT_SW_TASK_CLOCK,
                                         .exclude_kernel = 1,
                                         .exclude_hv = 1};
    return syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0UL) >= 0;
}

static bool load_module(const struct stage *stage)
{
    return let_in(syscall(SYS_init_module, "", 0UL, ""));
}

static bool load_module_file(const struct stage *stage)
{
    return let_in(syscall(SYS_finit_module, -1, "", 0));
}

static bool load_kernel(const struct stage *stage)
{
    return let_in(syscall(SYS_kexec_load, 0UL, 0UL, NULL, ~0UL));
}

static bool restart_machine(const struct stage *stage)
{
    return let_in(syscall(SYS_reboot, 0, 0, 0, NULL));
}

static bool swap_on(const struct stage *stage)
{
    return let_in(swapon("/nowhere", 0));
}

static bool set_time(const struct stage *stage)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return clock_settime(CLOCK_REALTIME, &now) == 0;
}

static bool tune_time(const struct stage *stage)
{
    struct timex none = {0};
    return adjtimex(&none) >= 0;
}

static bool set_name(const struct stage *stage)
{
    char name[256];
    return gethostname(name, sizeof name) == 0 && sethostname(name, strlen(name)) == 0;
}

static bool account(const struct stage *stage)
{
    return let_in(syscall(SYS_acct, "/nowhere"));
}

static bool read_kernel_log(const struct stage *stage)
{
    return klogctl(10 /* SYSLOG_ACTION_SIZE_BUFFER */, NULL, 0) >= 0;
}

static bool quota(const struct stage *stage)
{
    return let_in(syscall(SYS_quotactl, 0, NULL, 0, NULL));
}

/* --- mounting --- */

static bool mount_memory(const struct stage *stage)
{
    if (mount("none", stage->own, "tmpfs", 0, NULL) != 0)
        return false;
    umount2(stage->own, MNT_DETACH);
    return true;
}

static bool mount_anew(const struct stage *stage)
{
    return syscall(SYS_fsopen, "tmpfs", 0) >= 0;
}

static bool clone_tree(const struct stage *stage)
{
    enum { CLONE_TREE = 1 };
    return syscall(SYS_open_tree, AT_FDCWD, stage->other, CLONE_TREE | O_CLOEXEC) >= 0;
}

static bool unmount(const struct stage *stage)
{
    return let_in(umount2(stage->own, MNT_DETACH));
}

static bool pivot(const struct stage *stage)
{
    return let_in(syscall(SYS_pivot_root, stage->own, stage->own));
}

/* --- memory --- */

enum { PAGE = 4096 };

static bool write_and_execute(const struct stage *stage)
{
    return mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
           MAP_FAILED;
}

static bool execute_what_was_written(const struct stage *stage)
{
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page != MAP_FAILED && mprotect(page, PAGE, PROT_READ | PROT_EXEC) == 0;
}

static bool execute_from_tree(const struct stage *stage)
{
    int fd = openat(open(stage->own, O_PATH | O_CLOEXEC), "text", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) != MAP_FAILED;
}

static bool take_much_memory(const struct stage *stage)
{
    return mmap(NULL, (size_t)512 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
           MAP_FAILED;
}

static bool lock_memory(const struct stage *stage)
{
    void *pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages != MAP_FAILED && mlock(pages, 4 * PAGE) == 0;
}

static bool share_memory(const struct stage *stage)
{
    int id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
    if (id >= 0)
        shmctl(id, IPC_RMID, NULL);
    return id >= 0;
}

static bool queue_messages(const struct stage *stage)
{
    char name[64];
    snprintf(name, sizeof name, "/escape-%d", (int)stage->supervisor);
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0600, NULL);
    if (queue < 0)
        return false;
    mq_unlink(name);
    return true;
}

static bool same_addresses(const struct stage *stage)
{
    return personality(ADDR_NO_RANDOMIZE) >= 0;
}

static bool open_many(const struct stage *stage)
{
    for (int i = 0; i < 512; i++)
        if (open(".", O_PATH | O_CLOEXEC) < 0)
            return false;
    return true;
}

/* --- the terminal, and oneself --- */

static bool type_into_terminal(const struct stage *stage)
{
    return ioctl(stage->terminal, TIOCSTI, "x") == 0;
}

static bool set_terminal(const struct stage *stage)
{
    struct winsize size = {.ws_row = 1, .ws_col = 1};
    return ioctl(stage->terminal, TIOCSWINSZ, &size) == 0;
}

static bool own_signals(const struct stage *stage)
{
    int to = (int)stage->victim, ends[2];
    return pipe2(ends, O_CLOEXEC) == 0 && ioctl(stage->terminal, 0x8901 /* FIOSETOWN */, &to) == 0;
}

static bool regain_capabilities(const struct stage *stage)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    data[0].effective = data[0].permitted = 1u << CAP_NET_RAW;
    return syscall(SYS_capset, &header, data) == 0;
}

static bool loosen_filter(const struct stage *stage)
{
    return syscall(SYS_seccomp, 1 /* SECCOMP_SET_MODE_FILTER */, 0, NULL) == 0 || errno == EFAULT;
}

#ifdef __x86_64__
static bool change_segments(const struct stage *stage)
{
    char room[64];
    return syscall(SYS_modify_ldt, 0, room, sizeof room) >= 0;
}

static bool reach_ports(const struct stage *stage)
{
    return syscall(SYS_ioperm, 0x80UL, 1UL, 1) == 0;
}

/* The older interface, with numbers of its own, past a filter that only knows the present interface. */
static bool call_as_i386(const struct stage *stage)
{
    enum { GETPID = 20 };
    long result = GETPID;
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "cc");
    return result == getpid();
}
#endif

static const struct attempt items[] = {
    {"io_uring_setup", RARE, io_uring, NULL},
    {"io_setup", RARE, asynchronous_io, NULL},
    {"bpf", PRIVILEGED, bpf, NULL},
    {"keyctl", RARE, keyctl, NULL},
    {"add_key", RARE, add_key, NULL},
    {"userfaultfd", RARE, userfaultfd, NULL},
    {"perf_event_open", RARE, perf, NULL},
    {"init_module", PRIVILEGED | RARE, load_module, NULL},
    {"finit_module", PRIVILEGED | RARE, load_module_file, NULL},
    {"kexec_load", PRIVILEGED | RARE, load_kernel, NULL},
    {"reboot", PRIVILEGED, restart_machine, NULL},
    {"swapon", PRIVILEGED | RARE, swap_on, NULL},
    {"clock_settime", PRIVILEGED, set_time, NULL},
    {"adjtimex", RARE, tune_time, NULL},
    {"sethostname", PRIVILEGED, set_name, NULL},
    {"acct", PRIVILEGED | RARE, account, NULL},
    {"read the kernel's log", PRIVILEGED, read_kernel_log, NULL},
    {"quotactl", PRIVILEGED | RARE, quota, NULL},
    {"mount", PRIVILEGED, mount_memory, NULL},
    {"fsopen", PRIVILEGED, mount_anew, NULL},
    {"open_tree", PRIVILEGED, clone_tree, NULL},
    {"umount", PRIVILEGED, unmount, NULL},
    {"pivot_root", PRIVILEGED, pivot, NULL},
    {"memory to write and execute", 0, write_and_execute, NULL},
    {"execute what was written", 0, execute_what_was_written, NULL},
    {"execute a file of one's tree by mmap", RARE, execute_from_tree, NULL},
    {"memory beyond the limit", 0, take_much_memory, NULL},
    {"lock memory", RARE, lock_memory, NULL},
    {"shared memory", 0, share_memory, NULL},
    {"message queue", RARE, queue_messages, NULL},
    {"personality", RARE, same_addresses, NULL},
    {"open more than the limit", 0, open_many, NULL},
    {"type into the terminal", PRIVILEGED | RARE, type_into_terminal, NULL},
    {"change the terminal", 0, set_terminal, NULL},
    {"signals of the terminal", RARE, own_signals, NULL},
    {"regain a capability", PRIVILEGED, regain_capabilities, NULL},
    {"another filter", 0, loosen_filter, NULL},
#ifdef __x86_64__
    {"modify_ldt", RARE, change_segments, NULL},
    {"ioperm", PRIVILEGED | RARE, reach_ports, NULL},
    {"the calls of i386", RARE, call_as_i386, NULL},
#endif
};

const struct attempts kernel_attempts = {items, sizeof items / sizeof *items};
