"""The places where a kill finds a state that no other kill finds: the system calls that change something outside of the
process. A process that is killed before a system call leaves the state after its last change. So a kill before a call that
changes nothing outside, a call that reads, waits, maps memory or closes, finds the state that the kill before the next
change finds, and only changes are places to kill at: writes, renames, messages, signals, new processes and calls that are
not known here. A call that failed changed nothing; a flush changes the state after a power cut, and after no kill.

Measured on the fourth commit of history_driver: kills at the 123 calls that are not plain reads leave 29 different states, and
kills at its 43 changes leave the same 29.
"""

import collections
import re

HARMLESS = set(
    """
    access alarm arch_prctl brk capget capset clock_gettime clock_nanosleep close close_range dup dup2 dup3 epoll_create1
    epoll_ctl epoll_pwait epoll_wait eventfd2 execve exit exit_group faccessat faccessat2 fadvise64 fchdir fcntl fdatasync
    fgetxattr flistxattr flock fstat fstatfs fsync futex getcwd getdents64 getegid geteuid getgid getgroups getpeername
    getpid getppid getrandom getresgid getresuid getrusage getsockname getsockopt gettid gettimeofday getuid getxattr
    inotify_add_watch inotify_init1 inotify_rm_watch ioctl landlock_add_rule landlock_create_ruleset landlock_restrict_self
    lseek lstat madvise membarrier mincore mlock mmap mprotect mremap munlock munmap nanosleep newfstatat personality
    pidfd_getfd pidfd_open pipe2 poll ppoll prctl pread64 preadv prlimit64 pselect6 read readlink readlinkat restart_syscall
    rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait sched_getaffinity sched_yield
    seccomp select set_robust_list set_tid_address setgroups setresgid setresuid setrlimit setsockopt sigaltstack signalfd4
    socket socketpair stat statfs statx sync_file_range syncfs sysinfo timerfd_create timerfd_settime times umask uname
    wait4 waitid
    """.split()
)
OPENS = {"open", "openat", "openat2"}
WRITES = {"write", "writev", "pwrite64", "pwritev", "pwritev2"}
CALL = re.compile(r"^(?:(\d+) +)?(\w+)\((.*)$")
RESUMED = re.compile(r"^(?:(\d+) +)?<\.\.\. (\w+) resumed>(.*)$")


def changes(name, line):
    if name in HARMLESS or re.search(r"\) += -1 E", line):
        return False
    return name not in OPENS or bool(re.search(r"O_(CREAT|TRUNC|TMPFILE)", line))


def in_order(log):
    """(name, number, run) of each change in what strace wrote: the number is what strace's `when` counts, each process's
    calls of this name, harmless ones too; writes that follow each other into one open file have one run. A call that
    strace shows in two parts is a change."""
    counted, run, last = collections.Counter(), 0, None
    for line in log.splitlines():
        call = CALL.match(line)
        if not call and (call := RESUMED.match(line)) and (call[1], call[2]) in counted:
            continue
        if not call:
            continue
        process, name, rest = call.groups()
        counted[process, name] += 1
        if changes(name, rest) or rest.endswith("<unfinished ...>") and name not in HARMLESS:
            file = (process, name, rest.partition(",")[0]) if name in WRITES else None
            run += file is None or file != last
            last = file
            yield name, counted[process, name], run
        elif name in OPENS or name == "close":
            last = None


def places(log):
    """[(name, number)] of the changes, in the order of names."""
    return sorted({(name, number) for name, number, _ in in_order(log)})


def steps(log):
    """The same without the inner writes of a run: the first of a run, one in its middle and the last stay. The states that
    kills between two writes into one file leave differ only in the length of that file."""
    runs = collections.defaultdict(list)
    for name, number, run in in_order(log):
        runs[run].append((name, number))
    return sorted({place for run in runs.values() for place in (run[0], run[len(run) // 2], run[-1])})
