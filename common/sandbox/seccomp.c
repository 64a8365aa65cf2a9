/* The system calls that a process may make, as tables; libseccomp makes the filter of them.
 *
 * A call on no list is refused with EPERM, not by killing: a library that probes for a newer call or a faster way goes
 * on without it, and an attacker learns nothing and gets nothing either way. Killing would turn each harmless surprise,
 * say of a newer libc, into an agent that never starts again. The kernel logs no refusal, since a process inside could
 * fill the log of the whole machine. Only another architecture's calls kill, since no program of ours makes them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/sandbox/part.h"

#define UNNAMED ((uint64_t)(O_TMPFILE & ~O_DIRECTORY))

/* Stands in the compiled filter where the process's pid belongs; no pid is that large (PID_MAX_LIMIT is 2^22). */
#define OWN_PID 0x5eed1d00u
/* The mark for the process's room of addresses (address_space.c), in halves: the filter compares 32 bits at a
 * time. */
#define ROOM_FROM 0x5eed1d015eed1d02u
#define ROOM_TO   0x5eed1d035eed1d04u
#define ROOM_MOST 0x5eed1d055eed1d06u

#define OURS      (FOR(WORKER) | NETWORK | FOR(AUDITOR) | FOR(HTTP))
#define EVERYBODY (OURS | PROGRAMS)

enum verdict {
    ALLOW,
    REFUSE,
    ABSENT /* ENOSYS */,
    PRETEND /* answered 0, not done */,
    ASK /* the listener */
};

struct condition {
    unsigned place;
    enum scmp_compare how;
    uint64_t a, b;
};

struct rule {
    unsigned roles;
    enum verdict verdict;
    const char *call;
    size_t count;
    struct condition conditions[2];
};

#define IS(place, value)                                                                                     \
    {                                                                                                        \
        place, SCMP_CMP_EQ, value, 0                                                                         \
    }
#define BITS(place, mask, value)                                                                             \
    {                                                                                                        \
        place, SCMP_CMP_MASKED_EQ, mask, value                                                               \
    }

/* --- calls without conditions --- */

/* Calls whose first argument is a descriptor: all but a few are refused on a worker's standard error (on_log). */
static const char *const on_descriptors[] = {
    "read",    "readv", "pread64", "preadv",    "write",     "writev", "lseek",
    "_llseek", "close", "fsync",   "fdatasync", "fadvise64", "fstat",  "fstatfs",
};

static const char *const plain[] = {
    /* descriptors */
    "poll",
    "ppoll",
    "select",
    "_newselect",
    "pselect6",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "eventfd2",
    "pipe2",
    "signalfd4",
    "timerfd_create",
    "timerfd_settime",
    /* files: Landlock says which */
    "openat",
    "stat",
    "lstat",
    "newfstatat",
    "fstatat64",
    "statx",
    "access",
    "faccessat",
    "faccessat2",
    "readlink",
    "readlinkat",
    "umask",
    "getcwd",
    /* memory and threads */
    "brk",
    "madvise",
    "msync",
    "mincore",
    "membarrier",
    "futex",
    "futex_waitv",
    "set_robust_list",
    "rseq",
    "set_tid_address",
    "sched_yield",
    "sched_getaffinity",
    "getcpu",
    "exit",
    "exit_group",
    "restart_syscall",
    /* signals to oneself */
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigpending",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "sigaltstack",
    "sigreturn",
    /* time, and who one is */
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "times",
    "getrusage",
    "getpid",
    "gettid",
    "getppid",
    "getpgid",
    "getpgrp",
    "getsid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getgroups",
    "getresuid",
    "getresgid",
    "getrandom",
    "uname",
    "sysinfo",
    "capget",
};

/* A tree is written; Landlock says which. The descriptors' part of it, and the rest. */
static const char *const tree_descriptors[] = {
    "pwrite64", "pwritev", "ftruncate", "flock", "dup", "syncfs", "sync_file_range", "getdents64",
};

static const char *const plain_tree[] = {
    "openat2",  "open",   "creat",    "mkdir",     "mkdirat", "rmdir",  "unlink",
    "unlinkat", "rename", "renameat", "renameat2", "link",    "linkat",
};

static const char *const plain_socket[] = {
    /* on sockets that are there; making them is another matter */
    "sendmsg", "sendto", "recvmsg", "recvfrom", "shutdown", "getsockopt", "getsockname", "getpeername",
};

/* All that a program needs which reads its input, thinks and prints: descriptors that it has, memory, its end. */
static const char *const plain_auditor[] = {
    "read",         "readv",        "write",          "writev",
    "close",        "lseek",        "fstat",          "newfstatat",
    "brk",          "munmap",       "madvise",        "futex",
    "rt_sigaction", "rt_sigreturn", "rt_sigprocmask", "exit",
    "exit_group",   "getpid",       "gettid",         "clock_gettime",
    "gettimeofday", "time",         "getrandom",      "restart_syscall",
    "sched_yield",  "sigaltstack",
};

/* The HTTP process, beyond that: it waits for many connections at once, and reads DATA_DIR, where Landlock lets it
 * write nothing. The HTTP process takes connections and makes none. */
static const char *const plain_http[] = {
    "accept4",      "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2",
    "clock_getres", "getrusage",     "poll",      "openat2",    "getdents64",
};

/* A command of `agentos exec` may be moved between sessions and groups; a checker stays in its own, by which it is
 * killed with all that it started. Extended attributes can be read past Landlock. */
static const char *const plain_forks[] = {"fork", "vfork"};
static const char *const plain_exec[] = {"setsid",    "setpgid",   "getxattr",   "lgetxattr",
                                         "fgetxattr", "listxattr", "llistxattr", "flistxattr"};
static const char *const plain_git[] = {"symlink", "symlinkat"}; /* a checkout of links */

/* No process but these makes memory larger with mremap, which makes a stack larger without regard to a limit of stacks
 * or of data (limits.c). malloc copies then. */
static const char *const plain_command[] = {
    "mremap",
    "fallocate",
    "copy_file_range",
    "execve",
    "wait4",
    "waitid",
    "dup2",
    "dup3",
    "pipe",
    "chdir",
    "fchdir",
    "getpriority",
    "sendfile",
    "splice",
    "tee",
    "alarm",
    "setitimer",
    "getitimer",
    "pause",
    "epoll_create",
    "eventfd",
    "arch_prctl",
    "close_range",
    "statfs",
    "sched_getscheduler",
    "sched_getparam",
    "timer_create",
    "timer_settime",
    "timer_delete",
    "get_robust_list",
    "getrlimit",
};

/* Modes, owners and time stamps of any path can be changed past Landlock. libgit2 and others set them as a matter of
 * course and give up when that fails, so they are told that it is done. In the tree nothing depends on it. */
static const char *const pretended[] = {
    "chmod",    "fchmod", "fchmodat", "fchmodat2", "chown",     "fchown",           "lchown",
    "fchownat", "utime",  "utimes",   "futimesat", "utimensat", "utimensat_time64",
};

/* The libraries know an older way when a call isn't there. The flags of such a call lie in memory, where no filter sees
 * them. */
static const char *const absent[] = {"clone3"};

/* --- calls with conditions --- */

#define THREAD (CLONE_VM | CLONE_THREAD | CLONE_SIGHAND)
#define NAMESPACES                                                                                           \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |            \
     CLONE_NEWNET)

/* mmap2 is the call of 32-bit machines. */
#define MMAP(roles, protection_mask, protection, flag_mask, flag)                                            \
    {roles, ALLOW, "mmap", 2, {BITS(2, protection_mask, protection), BITS(3, flag_mask, flag)}},             \
    {                                                                                                        \
        roles, ALLOW, "mmap2", 2,                                                                            \
        {                                                                                                    \
            BITS(2, protection_mask, protection), BITS(3, flag_mask, flag)                                   \
        }                                                                                                    \
    }
#define NO_FILE (MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_HUGETLB)

#define OPTION(roles, level, name)                                                                           \
    {                                                                                                        \
        roles, ALLOW, "setsockopt", 2,                                                                       \
        {                                                                                                    \
            IS(1, level), IS(2, name)                                                                        \
        }                                                                                                    \
    }

static const struct rule conditional[] = {
    /* Memory that can be executed comes from files that were loaded before, or, for commands, from files at all. Memory
     * shared without a file, growing downwards or of huge pages would pass the limit of data; a command's checks. */
    MMAP(OURS, PROT_EXEC, 0, NO_FILE, 0),
    MMAP(OURS, PROT_EXEC, 0, NO_FILE, MAP_ANONYMOUS),
    MMAP(OURS, PROT_EXEC, 0, NO_FILE, MAP_SHARED),
    MMAP(NETWORK, PROT_EXEC | PROT_WRITE, PROT_EXEC, NO_FILE, 0),
    MMAP(PROGRAMS, PROT_EXEC | PROT_WRITE, 0, MAP_GROWSDOWN, 0),
    MMAP(PROGRAMS, PROT_EXEC | PROT_WRITE, PROT_EXEC, MAP_GROWSDOWN, 0),
    MMAP(PROGRAMS, PROT_EXEC | PROT_WRITE, PROT_WRITE, MAP_GROWSDOWN, 0),
    {EVERYBODY, ALLOW, "mprotect", 1, {BITS(2, PROT_EXEC, 0)}},

    {FOR(WORKER) | NETWORK, ALLOW, "clone", 1, {BITS(0, THREAD | NAMESPACES, THREAD)}},
    {FOR(EXEC) | FOR(GIT), ALLOW, "clone", 1, {BITS(0, NAMESPACES, 0)}},
    {FOR(CHECKER), ASK, "clone", 1, {BITS(0, NAMESPACES, 0)}},
    {FOR(CHECKER), ASK, "fork", 0, {{0}}},
    {FOR(CHECKER), ASK, "vfork", 0, {{0}}},

    /* abort() and the like; for PROGRAMS see allow_signals */
    {OURS, ALLOW, "tgkill", 1, {IS(0, OWN_PID)}},
    {OURS, ALLOW, "kill", 1, {IS(0, OWN_PID)}},

    {EVERYBODY, ALLOW, "prlimit64", 1, {IS(0, 0)}},
    {EVERYBODY, ALLOW, "prctl", 1, {IS(0, PR_SET_NAME)}},
    {EVERYBODY, ALLOW, "prctl", 1, {IS(0, PR_GET_NAME)}},

    /* To whom a descriptor's signals go (F_SETOWN) is not theirs to choose, nor which signal (F_SETSIG). */
    {EVERYBODY, ALLOW, "fcntl", 1, {IS(1, F_GETFD)}},
    {EVERYBODY, ALLOW, "fcntl", 1, {IS(1, F_SETFD)}},
    {EVERYBODY, ALLOW, "fcntl", 1, {IS(1, F_GETFL)}},
    {EVERYBODY, ALLOW, "fcntl", 1, {IS(1, F_SETFL)}},
    {FOR(WORKER) | PROGRAMS, ALLOW, "fcntl", 1, {IS(1, F_DUPFD_CLOEXEC)}},
    {PROGRAMS, ALLOW, "fcntl", 1, {IS(1, F_DUPFD)}},
    {PROGRAMS, ALLOW, "fcntl", 1, {IS(1, F_GETLK)}},
    {PROGRAMS, ALLOW, "fcntl", 1, {IS(1, F_SETLK)}},
    {PROGRAMS, ALLOW, "fcntl", 1, {IS(1, F_SETLKW)}},
    {PROGRAMS, ALLOW, "fcntl", 1, {IS(1, F_OFD_GETLK)}},
    {PROGRAMS, ALLOW, "fcntl", 1, {IS(1, F_OFD_SETLK)}},
    {PROGRAMS, ALLOW, "fcntl", 1, {IS(1, F_OFD_SETLKW)}},
    {FOR(WORKER), ALLOW, "fcntl", 1, {IS(1, F_GETLEASE)}},
    {FOR(WORKER), ALLOW, "fcntl", 1, {IS(1, F_SETLEASE)}},

    /* No TIOCSTI, which types into the terminal of whoever started us. */
    {NETWORK | PROGRAMS, ALLOW, "ioctl", 1, {IS(1, FIONREAD)}}, /* the resolver */
    {PROGRAMS, ALLOW, "ioctl", 1, {IS(1, FIONBIO)}},
    {PROGRAMS, ALLOW, "ioctl", 1, {IS(1, FIOCLEX)}},
    {PROGRAMS, ALLOW, "ioctl", 1, {IS(1, FIONCLEX)}},
    {PROGRAMS, ALLOW, "ioctl", 1, {IS(1, TCGETS)}},
    {PROGRAMS, ALLOW, "ioctl", 1, {IS(1, TIOCGWINSZ)}},
    {FOR(EXEC), ALLOW, "ioctl", 1, {IS(1, TCSETS)}},
    {FOR(EXEC), ALLOW, "ioctl", 1, {IS(1, TCSETSW)}},
    {FOR(EXEC), ALLOW, "ioctl", 1, {IS(1, TCSETSF)}},
    {FOR(EXEC), ALLOW, "ioctl", 1, {IS(1, TIOCGPGRP)}},
    {FOR(EXEC), ALLOW, "ioctl", 1, {IS(1, TIOCSPGRP)}},

    /* One compare of an argument in each filter of the worker's, as its room has two ends: of two ranges of one argument
     * libseccomp 2.5 makes code that refuses addresses between them. addresses_later has the other end. */
    {FOR(WORKER), ALLOW, "munmap", 1, {{0, SCMP_CMP_GE, ROOM_FROM, 0}}},
    {NETWORK | PROGRAMS, ALLOW, "munmap", 0, {{0}}},

    /* The one connection of a worker's, made before it reads anything of others; then sandbox_tighten. */
    {FOR(WORKER), ALLOW, "socket", 1, {IS(0, AF_UNIX)}},
    {FOR(WORKER), ALLOW, "connect", 0, {{0}}},
    {FOR(WORKER), ALLOW, "sched_setaffinity", 0, {{0}}},
    {FOR(WORKER), ALLOW, "seccomp", 1, {IS(0, SECCOMP_SET_MODE_FILTER)}},

    /* The network, and the kernel's list of addresses for the resolver. No AF_UNIX: no other process's socket. */
    {NETWORK, ALLOW, "socket", 1, {IS(0, AF_INET)}},
    {NETWORK, ALLOW, "socket", 1, {IS(0, AF_INET6)}},
    {NETWORK, ALLOW, "socket", 2, {IS(0, AF_NETLINK), IS(2, 0)}},
    {NETWORK, ALLOW, "connect", 0, {{0}}},
    {FOR(MIRROR), ALLOW, "getdents64", 0, {{0}}}, /* how a repository's packs are found */
    {NETWORK, ALLOW, "bind", 0, {{0}}},
    {NETWORK, ALLOW, "sendmmsg", 0, {{0}}},
    {NETWORK, ALLOW, "recvmmsg", 0, {{0}}},
    {NETWORK, ALLOW, "socketpair", 1, {IS(0, AF_UNIX)}},

    /* Only such as libcurl, the resolver, libnats and libmicrohttpd set. */
    OPTION(NETWORK, SOL_SOCKET, SO_KEEPALIVE),
    OPTION(FOR(BUS), SOL_SOCKET, SO_REUSEADDR),
    OPTION(FOR(BUS), SOL_SOCKET, SO_LINGER),
    OPTION(NETWORK, IPPROTO_TCP, TCP_KEEPIDLE),
    OPTION(NETWORK, IPPROTO_TCP, TCP_KEEPINTVL),
    OPTION(NETWORK, IPPROTO_TCP, TCP_KEEPCNT),
    OPTION(NETWORK, IPPROTO_IP, IP_RECVERR),
    OPTION(NETWORK, IPPROTO_IPV6, IPV6_RECVERR),
    OPTION(NETWORK | FOR(HTTP), IPPROTO_TCP, TCP_NODELAY),
    OPTION(FOR(HTTP), IPPROTO_TCP, TCP_CORK),
};

/* --- the second step of a worker's --- */

/* `start nothing but its auditor`: a worker starts no process here. The supervisor starts the auditor on the worker's
 * word (supervisor/model/audit.h), beside it and in a sandbox of its own. */
static const char *const refused_later[] = {
    "socket",  "socketpair",        "connect",  "clone",   "fork", "vfork",
    "seccomp", "sched_setaffinity", "mprotect", "openat2", /* the call's flags lie in memory: the call could make files
                                                            * without a name */
};

/* On standard error, a pipe to the supervisor, a worker writes, and does nothing else. */
static const char *const on_log[] = {"write", "writev", "close", "fstat"};

/* No file without a name (O_TMPFILE): no scan would count such a file. */
static const struct rule unnamed_later[] = {
    {0, REFUSE, "openat", 1, {BITS(2, UNNAMED, UNNAMED)}},
    {0, REFUSE, "open", 1, {BITS(1, UNNAMED, UNNAMED)}},
};

/* Page tables are bounded by where mappings can lie (address_space.c): the kernel chooses their addresses, the reserved
 * ones stay, and no markers of guard pages are laid over them. */
static const struct rule addresses_later[] = {
    {0, REFUSE, "mmap", 1, {{0, SCMP_CMP_NE, 0, 0}}},
    {0, REFUSE, "munmap", 1, {{0, SCMP_CMP_GE, ROOM_TO, 0}}},
    {0, REFUSE, "munmap", 1, {{1, SCMP_CMP_GT, ROOM_MOST, 0}}},
    {0, REFUSE, "madvise", 1, {{2, SCMP_CMP_NE, MADV_DONTNEED, 0}}},
};

/* --- making the filter --- */

static const uint32_t actions[] = {[ALLOW] = SCMP_ACT_ALLOW,
                                   [REFUSE] = SCMP_ACT_ERRNO(EPERM),
                                   [ABSENT] = SCMP_ACT_ERRNO(ENOSYS),
                                   [PRETEND] = SCMP_ACT_ERRNO(0),
                                   [ASK] = SCMP_ACT_NOTIFY};

/* A call that this architecture doesn't have, or this libseccomp doesn't know, can be on no list: then the default
 * holds. When it was to be refused while all else is allowed, that fails closed in the caller: false. */
static bool add(scmp_filter_ctx filter, const struct rule *rule)
{
    struct scmp_arg_cmp compares[2];
    int number = seccomp_syscall_resolve_name(rule->call);
    if (number < 0)
        return rule->verdict != REFUSE || number != __NR_SCMP_ERROR;
    for (size_t i = 0; i < rule->count; i++) {
        const struct condition *condition = &rule->conditions[i];
        compares[i] = (struct scmp_arg_cmp){condition->place, condition->how, condition->a, condition->b};
    }
    return seccomp_rule_add_array(filter, actions[rule->verdict], number, (unsigned)rule->count,
                                  rule->count ? compares : NULL) == 0;
}

static bool add_names(scmp_filter_ctx filter, enum verdict verdict, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!add(filter, &(struct rule){.verdict = verdict, .call = names[i]}))
            return false;
    return true;
}

static const struct {
    unsigned roles;
    enum verdict verdict;
    const char *const *names;
    size_t count;
} lists[] = {
#define LIST(roles, verdict, names)                                                                          \
    {                                                                                                        \
        roles, verdict, names, sizeof(names) / sizeof *(names)                                               \
    }
    LIST(FOR(WORKER) | NETWORK | PROGRAMS, ALLOW, on_descriptors),
    LIST(FOR(WORKER) | NETWORK | PROGRAMS, ALLOW, plain),
    LIST(FOR(WORKER) | PROGRAMS, ALLOW, tree_descriptors),
    LIST(FOR(WORKER) | PROGRAMS, ALLOW, plain_tree),
    LIST(FOR(WORKER) | PROGRAMS, PRETEND, pretended),
    LIST(FOR(AUDITOR) | FOR(HTTP), ALLOW, plain_auditor),
    LIST(EVERYBODY, ABSENT, absent),
    LIST(FOR(WORKER) | NETWORK | FOR(HTTP), ALLOW, plain_socket),
    LIST(FOR(HTTP), ALLOW, plain_http),
    LIST(PROGRAMS, ALLOW, plain_command),
    LIST(FOR(EXEC) | FOR(GIT), ALLOW, plain_forks),
    LIST(FOR(EXEC), ALLOW, plain_exec),
    LIST(FOR(GIT), ALLOW, plain_git),
#undef LIST
};

/* False and errno. */
static bool is_available(uint32_t action)
{
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* A program may signal its own children: by itself where Landlock lets a signal reach nobody else, else by the process
 * outside, which looks at each one (watched.c). A checker always asks: groups and everybody are refused so. */
static bool signals_are_asked(enum sandbox_role role)
{
    bool asked = role == SANDBOX_CHECKER || (role == SANDBOX_EXEC && landlock_abi() < LANDLOCK_SIGNALS);
    return asked && is_available(SECCOMP_RET_USER_NOTIF);
}

static bool allow_signals(scmp_filter_ctx filter, enum sandbox_role role)
{
    static const char *const names[] = {"kill", "tgkill"};
    bool asked = signals_are_asked(role);
    bool kept_within = role == SANDBOX_EXEC && landlock_abi() >= LANDLOCK_SIGNALS;
    return (!asked && !kept_within) ||
           add_names(filter, asked ? ASK : ALLOW, names, sizeof names / sizeof *names);
}

static bool allow_listed(scmp_filter_ctx filter, enum sandbox_role role)
{
    bool added = true, can_ask = is_available(SECCOMP_RET_USER_NOTIF);
    for (size_t i = 0; added && i < sizeof lists / sizeof *lists; i++)
        if (lists[i].roles & 1u << role)
            added = add_names(filter, lists[i].verdict, lists[i].names, lists[i].count);
    for (size_t i = 0; added && i < sizeof conditional / sizeof *conditional; i++)
        if ((conditional[i].roles & 1u << role) && (can_ask || conditional[i].verdict != ASK))
            added = add(filter, &conditional[i]);
    return added && allow_signals(filter, role);
}

/* A compare of 32 bits: the kernel looks at no more of a descriptor. */
static bool refuse_descriptor(scmp_filter_ctx filter, const char *call, unsigned place)
{
    for (size_t i = 0; i < sizeof on_log / sizeof *on_log; i++)
        if (strcmp(call, on_log[i]) == 0)
            return true;
    return add(filter, &(struct rule){.verdict = REFUSE,
                                      .call = call,
                                      .count = 1,
                                      .conditions = {BITS(place, UINT32_MAX, STDERR_FILENO)}});
}

static bool refuse_on_log(scmp_filter_ctx filter)
{
    static const struct {
        const char *call;
        unsigned place;
    } others[] = {{"mmap", 4}, {"epoll_ctl", 2}, {"fcntl", 0}, {"signalfd4", 0}, {"timerfd_settime", 0}};
    bool added = true;
    for (size_t i = 0; added && i < sizeof on_descriptors / sizeof *on_descriptors; i++)
        added = refuse_descriptor(filter, on_descriptors[i], 0);
    for (size_t i = 0; added && i < sizeof tree_descriptors / sizeof *tree_descriptors; i++)
        added = refuse_descriptor(filter, tree_descriptors[i], 0);
    for (size_t i = 0; added && i < sizeof plain_socket / sizeof *plain_socket; i++)
        added = refuse_descriptor(filter, plain_socket[i], 0);
    for (size_t i = 0; added && i < sizeof others / sizeof *others; i++)
        added = refuse_descriptor(filter, others[i].call, others[i].place);
    return added;
}

static bool refuse_listed(scmp_filter_ctx filter)
{
    bool added = add_names(filter, REFUSE, refused_later, sizeof refused_later / sizeof *refused_later) &&
                 refuse_on_log(filter);
    for (size_t i = 0; added && i < sizeof unnamed_later / sizeof *unnamed_later; i++)
        added = add(filter, &unnamed_later[i]);
    for (size_t i = 0; added && !SHADOWED && i < sizeof addresses_later / sizeof *addresses_later; i++)
        added = add(filter, &addresses_later[i]);
    return added;
}

/* libseccomp 2.5 writes filters to descriptors only. */
static bool export(scmp_filter_ctx filter, struct program *program, struct fault *fault)
{
    OWNED_FD int file = memfd_create("filter", MFD_CLOEXEC);
    struct stat status;
    if (file < 0 || seccomp_export_bpf(filter, file) != 0 || fstat(file, &status) != 0)
        return fault_errno(fault, "cannot compile the system call filter");
    size_t size = (size_t)status.st_size;
    program->length = size / sizeof *program->code;
    program->code = memory_new(program->length, sizeof *program->code);
    return (size > 0 && pread(file, program->code, size, 0) == (ssize_t)size) ||
           fault_set(fault, "the compiled system call filter can't be read back");
}

bool seccomp_compile(enum sandbox_role role, bool tightening, struct program *program, struct fault *fault)
{
    if (tightening && role != SANDBOX_WORKER)
        return true;
    scmp_filter_ctx filter = seccomp_init(tightening ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM));
    bool made = filter && seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) == 0 &&
                (tightening ? refuse_listed(filter) : allow_listed(filter, role));
    if (made)
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree; without it only slower */
    else
        fault_set(fault, "libseccomp can't make the system call filter");
    made = made && export(filter, program, fault);
    program->asks = !tightening && signals_are_asked(role);
    seccomp_release(filter);
    return made;
}

bool seccomp_there(void)
{
    return is_available(SECCOMP_RET_ERRNO);
}

static struct sock_filter *with_own_values(const struct program *program)
{
    const struct address_room *room = address_space_room();
    const struct {
        uint32_t mark, value;
    } own[] = {{OWN_PID, (uint32_t)getpid()},
               {ROOM_FROM >> 32, (uint32_t)(room->from >> 32)},
               {(uint32_t)ROOM_FROM, (uint32_t)room->from},
               {ROOM_TO >> 32, (uint32_t)(room->to >> 32)},
               {(uint32_t)ROOM_TO, (uint32_t)room->to},
               {ROOM_MOST >> 32, (uint32_t)(room->most >> 32)},
               {(uint32_t)ROOM_MOST, (uint32_t)room->most}};
    struct sock_filter *code = memory_new(program->length, sizeof *code);
    memcpy(code, program->code, program->length * sizeof *code);
    for (size_t i = 0; i < program->length; i++)
        for (size_t k = 0; BPF_CLASS(code[i].code) == BPF_JMP && k < sizeof own / sizeof *own; k++)
            if (code[i].k == own[k].mark) {
                code[i].k = own[k].value;
                break;
            }
    return code;
}

bool seccomp_install(const struct program *program, bool all_threads, int *listener, struct fault *fault)
{
    OWNED struct sock_filter *code = with_own_values(program);
    struct sock_fprog filter = {.len = (unsigned short)program->length, .filter = code};
    unsigned flags = all_threads ? SECCOMP_FILTER_FLAG_TSYNC
                     : listener  ? SECCOMP_FILTER_FLAG_NEW_LISTENER
                                 : 0;
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
    if (listener && result >= 0)
        *listener = (int)result;
    else if (result > 0) /* the thread that could not be brought along */
        return fault_set(fault, "thread %ld stays outside the system call filter", result);
    return result >= 0 || fault_errno(fault, "cannot install the system call filter");
}
