"""A worker that was taken over, with its sandbox complete: adversary.c runs a script of system calls in it, and outside,
where each attempt must work, or it would prove nothing.

AGENTOS_BIN's folder also holds `adversary` and `adversary.so`.
"""

import ctypes
import errno
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

import pytest
from harness import BIN, PATIENCE, agents_yaml, alive, wait_until
from test_escape import needs_landlock, without_shadow

pytestmark = [needs_landlock, without_shadow]

MB = 1 << 20
PAGE = 4096
PROT_READ, PROT_WRITE = 1, 2
MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_NORESERVE = 1, 2, 0x20, 0x100, 0x4000
MADV_DONTNEED, MADV_NOHUGEPAGE, MADV_GUARD_INSTALL = 4, 15, 102
MREMAP_MAYMOVE = 1
AT_FDCWD = -100

resolver = ctypes.CDLL("libseccomp.so.2")


def call(name, *arguments):
    """A line of a script; texts are addresses, as are "$3", the third line's result, and "@0", a room of zeroes."""
    number = resolver.seccomp_syscall_resolve_name(name.encode())
    assert number >= 0, name
    words = [word if str(word)[:1] in ("$", "@", "^") or not isinstance(word, str) else f'"{word}' for word in arguments]
    return "\t".join(map(str, ["call", number, *words]))


def times(count, *rest):
    return f"times\t{count}" + call(*rest)[4:]


def touch(address, size):
    return f"touch\t{address}\t{size}"


def results_of(text):
    return [int(line) for line in text.splitlines() if line != "end"]


def taken_kb(pid):
    """Memory that is the process's alone, with its page tables; of files only pages that it wrote. 0 when the process is
    gone."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in lines)
    return sum(int(fields.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssShmem", "VmPTE"))


class Install:
    """A copy of the programs, whose worker is taken over."""

    def __init__(self, make_system, model, **options):
        self.system = make_system(model=model, **options)
        self.folder = self.system.folder / "install"
        real = self.folder / "real"
        real.mkdir(parents=True)
        for program in BIN.glob("agentos*"):
            shutil.copy2(program, real if program.name == "agentos-worker" else self.folder)
        worker = self.folder / "agentos-worker"
        worker.write_text(
            f'#!/bin/sh\nADVERSARY={self.system.tree()} LD_PRELOAD={BIN / "adversary.so"} exec {real}/agentos-worker "$@"\n'
        )
        worker.chmod(0o755)
        self.system.prefix = ["sh", "-c", f'shift; exec {self.folder}/agentos "$@"', "sh"]
        self.system.start()

    def run(self, *lines):
        """The result of each line inside, as far as its worker lived, and the worker's account of memory then."""
        own = self.system.tree() / ".agentos"
        results, worker = own / "results", self.system.worker()
        results.unlink(missing_ok=True)
        (own / "script.new").write_text("\n".join(lines))
        (own / "script.new").rename(own / "script")

        def ended():
            self.peak_kb = max(self.peak_kb, taken_kb(worker))
            text = results.read_text() if results.exists() else ""
            return text if "end\n" in text or not alive(worker) else None

        self.peak_kb = 0
        return results_of(wait_until(ended, "the script's end", pause=0.001))


def outside(*lines, error=None):
    with tempfile.TemporaryDirectory() as folder:
        script, results = pathlib.Path(folder, "script"), pathlib.Path(folder, "results")
        script.write_text("\n".join(lines))
        subprocess.run([BIN / "adversary", script, results], timeout=60 * PATIENCE, check=False, cwd=folder, stderr=error)
        return results_of(results.read_text())


@pytest.fixture
def taken(make_system, model):
    return Install(make_system, model, extra="    limits: {memory_mb: 64, open_files: 100}\n")


def test_the_adversary_runs_in_a_complete_sandbox_and_outside(taken):
    tree = str(taken.system.tree())
    lines = [call("getpid"), call("openat", AT_FDCWD, f"{tree}/persona.md", os.O_RDONLY), call("read", "$2", "@0", 4),
             call("openat", AT_FDCWD, "/etc/passwd", os.O_RDONLY), call("socket", 1, 1, 0)]
    pid, opened, read, foreign, connection = taken.run(*lines)
    assert pid == taken.system.worker() and opened > 2 and read == 4
    assert foreign == -errno.EACCES and connection == -errno.EPERM
    assert all(result >= 0 for result in outside(*lines))


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel tells root alone where the title lies")
def test_a_title_that_a_worker_forges_stands_behind_what_was_seen_of_it(taken):
    worker = taken.system.worker()
    place = int(pathlib.Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[45])  # arg_start, proc(5)
    forged = b"pid 1, seen: uid 77, no capabilities, no system call filter; reported by itself: agentos\0\0\0\0\0\0\0\0\0"
    words = [int.from_bytes(forged[at : at + 8], "little") for at in range(0, len(forged) - 7, 8)]
    taken.run(*(f"put\t{place + 8 * at}\t{word}" for at, word in enumerate(words)))
    said = taken.system.cli("doctor", check=False).stdout
    [row] = [row for row in re.findall("^ok +process +(.*)$", said, re.MULTILINE) if "uid 77" in row]
    assert re.match(rf"pid {worker}, seen: uid 0, no capabilities, no new privileges, \d+ system call filter[^;]*; reported by itself: pid 1,", row)


# --- memory ---

BIG = 256 * MB
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
WRITTEN = PROT_READ | PROT_WRITE
RLIMIT_STACK = 3
SPARSE = 50 << 30  # page tables of 100 MB
FAR = 1 << 40

WAYS = {
    "memory shared without a file": [call("mmap", 0, BIG, WRITTEN, MAP_SHARED | MAP_ANONYMOUS, -1, 0), touch("$1", BIG)],
    "memory of one's own": [call("mmap", 0, BIG, WRITTEN, ANONYMOUS, -1, 0), touch("$1", BIG)],
    "memory that isn't reserved": [call("mmap", 0, BIG, WRITTEN, ANONYMOUS | MAP_NORESERVE, -1, 0), touch("$1", BIG)],
    "a file in memory": [
        call("memfd_create", "x", 0),
        call("ftruncate", "$1", BIG),
        call("mmap", 0, BIG, WRITTEN, MAP_SHARED, "$1", 0),
        touch("$3", BIG),
    ],
    "a mapping that grows downwards": [call("mmap", 0, BIG, WRITTEN, ANONYMOUS | MAP_GROWSDOWN, -1, 0), touch("$1", BIG)],
    "its own stack": ["put\t@0\t-1", "put\t@8\t-1", call("prlimit64", 0, RLIMIT_STACK, "@0", 0), f"sink\t{BIG}"],
    "its own stack, moved and made larger": [f"sink\t{MB}", call("mremap", f"^-{MB // 2}", PAGE, BIG, MREMAP_MAYMOVE), touch("$2", BIG)],
    "memory that was made writable later": [
        times(BIG // (8 * MB), "mmap", 0, 8 * MB, PROT_READ, ANONYMOUS, -1, 0),
        call("mmap", 0, 8 * MB, PROT_READ, ANONYMOUS, -1, 0),
        call("mprotect", "$2", 8 * MB, WRITTEN),
        touch("$2", 8 * MB),
    ],
    "page tables of what is only read": [
        call("mmap", 0, SPARSE, PROT_READ, ANONYMOUS | MAP_NORESERVE, -1, 0),
        call("madvise", "$1", SPARSE, MADV_NOHUGEPAGE),
        f"look\t$1\t{SPARSE}\t{2 * MB}",
    ],
    "page tables of pages far from each other": [f"scatter\t60000\t{4 * MB}"],
    "page tables of pages that are left of larger mappings": [f"strew\t60000\t{16 * MB}"],
    "page tables of guard pages": [
        call("mmap", 0, SPARSE, 0, ANONYMOUS | MAP_NORESERVE, -1, 0),
        call("madvise", "$1", SPARSE, MADV_GUARD_INSTALL),
    ],
    "page tables where others are in the way": [
        call("mmap", 0, PAGE, 0, ANONYMOUS, -1, 0),
        call("munmap", f"$1-{FAR}", FAR // 2),
        f"strew\t60000\t{16 * MB}",
    ],
    "memory at the program's end": [call("brk", 0), call("brk", f"$1+{BIG}"), touch("$1", BIG)],
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_of_taking_memory_passes_the_limit(taken, way):
    """memory_mb is 64. A stack that may not grow, or memory that isn't there, ends the worker, and another comes."""
    tried = outside(*WAYS[way])
    assert len(tried) == len(WAYS[way]) and min(tried) >= 0, "it works outside"
    inside = taken.run(*WAYS[way])
    assert len(inside) < len(tried) or min(inside) < 0 or inside[0] < tried[0], inside
    assert taken.peak_kb < 80 << 10
    taken.system.add("afterwards", "Go on")
    taken.system.wait_done("afterwards")


def test_the_addresses_that_are_reserved_hold_no_guard_pages(taken):
    page = call("mmap", 0, PAGE, 0, ANONYMOUS, -1, 0)
    assert taken.run(page, call("madvise", f"$1-{FAR}", FAR // 2, MADV_GUARD_INSTALL))[1] == -errno.EPERM
    assert taken.run(page, call("madvise", "$1", PAGE, MADV_DONTNEED))[1] == 0


# --- everything else ---

O_RDWR, O_PATH, O_TMPFILE = os.O_RDWR, 0o10000000, 0o20200000
O_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
FIONBIO, FIONREAD, FIOASYNC, FIOSETOWN, TCGETS, TIOCSTI, TIOCGWINSZ, TIOCSCTTY = 0x5421, 0x541B, 0x5452, 0x8901, 0x5401, 0x5412, 0x5413, 0x540E
FIGETBSZ, FS_IOC_GETFLAGS, SIOCGIFCONF = 2, 0x80086601, 0x8912
F_SETLK, F_OFD_SETLK = 6, 37
F_SETFL, F_SETOWN, F_SETSIG, F_NOTIFY, F_SETPIPE_SZ, F_DUPFD_CLOEXEC, F_ADD_SEALS, F_SET_RW_HINT = 4, 8, 10, 1026, 1031, 1030, 1033, 1036
UNIX, INET, INET6, NETLINK, PACKET, ALG, VSOCK = 1, 2, 10, 16, 17, 38, 40
PTRACE_TRACEME, PTRACE_SEIZE = 0, 0x4206
CLONE_FILES, CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x400, 0x20000, 0x10000000, 0x40000000
MADV_COLD, Q_SYNC = 20, 0x800001
S_IFIFO, S_IFSOCK, S_IFCHR = 0o010000, 0o140000, 0o020000
IPC_RMID = 0
ABSTRACT = int.from_bytes(b"\1\0\0taken", "little")  # an address


def terminal(request, *rest):
    return [call("openat", AT_FDCWD, "/dev/ptmx", O_RDWR | os.O_NOCTTY), call("ioctl", "$1", request, *rest)]


def on_socket(name, *rest):
    return [call("socket", UNIX, 1, 0), call(name, "$1", *rest)]


def locked(path, how):
    """A lock for reading on the whole file: F_RDLCK and all of struct flock's other members are 0."""
    return [call("openat", AT_FDCWD, path, os.O_RDONLY), call("fcntl", "$1", how, "@0")]


def by_descriptor(pid, name, *rest):
    return [call("pidfd_open", pid, 0), call(name, "$1", *rest)]


def attempts(own, foreign, pid):
    """By name: the lines of a script, the last of which is the attempt. own and foreign are folders with a file persona.md
    and a folder `empty`; pid is somebody else's."""
    own, foreign = str(own), str(foreign)
    others, mine = f"{foreign}/persona.md", f"{own}/persona.md"
    return {
        # descriptors and devices
        "FIONREAD": on_socket("ioctl", FIONREAD, "@0"),
        "FIONBIO": on_socket("ioctl", FIONBIO, "@0"),
        "FIOASYNC": on_socket("ioctl", FIOASYNC, "@0"),
        "FIOSETOWN": ["put\t@0\t1", *[call("socket", UNIX, 1, 0), call("ioctl", "$2", FIOSETOWN, "@8")]],
        "TCGETS": terminal(TCGETS, "@0"),
        "TIOCGWINSZ": terminal(TIOCGWINSZ, "@0"),
        "setsockopt SO_RCVBUF": ["put\t@0\t65536", call("socket", UNIX, 1, 0), call("setsockopt", "$2", 1, 8, "@0", 4)],
        "setsockopt SO_PASSCRED": ["put\t@0\t1", call("socket", UNIX, 1, 0), call("setsockopt", "$2", 1, 16, "@0", 4)],
        "F_SETOWN": on_socket("fcntl", F_SETOWN, 1),
        "F_NOTIFY": [call("openat", AT_FDCWD, own, os.O_RDONLY), call("fcntl", "$1", F_NOTIFY, 2)],
        "F_SETSIG": [call("pipe2", "@0", 0), call("fcntl", 3, F_SETSIG, 9)],
        "F_SETPIPE_SZ": [call("pipe2", "@0", 0), call("fcntl", 4, F_SETPIPE_SZ, MB)],
        "F_SETLK": locked(mine, F_SETLK),
        "F_OFD_SETLK": locked(mine, F_OFD_SETLK),
        "F_SET_RW_HINT": ["put\t@0\t1", call("openat", AT_FDCWD, mine, O_RDWR), call("fcntl", "$2", F_SET_RW_HINT, "@0")],
        "FIGETBSZ": [call("openat", AT_FDCWD, mine, os.O_RDONLY), call("ioctl", "$1", FIGETBSZ, "@0")],
        "FS_IOC_GETFLAGS": [call("openat", AT_FDCWD, mine, os.O_RDONLY), call("ioctl", "$1", FS_IOC_GETFLAGS, "@0")],
        "SIOCGIFCONF": on_socket("ioctl", SIOCGIFCONF, "@0"),
        "io_setup": [call("io_setup", 1, "@0")],
        "mq_open": [call("mq_open", "taken-over", os.O_RDWR | os.O_CREAT, 0o600, 0), call("mq_unlink", "taken-over")],
        "io_uring_setup": [call("io_uring_setup", 1, "@0")],
        "userfaultfd": [call("userfaultfd", 1)],
        "memfd_create": [call("memfd_create", "x", 0)],
        "memfd_secret": [call("memfd_secret", 0)],
        "keyctl": [call("keyctl", 0, -3, 1)],
        "add_key": [call("add_key", "user", "escape", "x", 1, -2)],
        "bpf": ["put\t@0\t17179869186", "put\t@8\t4294967300", call("bpf", 0, "@0", 64)],
        "shmget": [call("shmget", 0, PAGE, 0o600), call("shmctl", "$1", IPC_RMID, 0)],
        "msgget": [call("msgget", 0, 0o600), call("msgctl", "$1", IPC_RMID, 0)],
        "semget": [call("semget", 0, 1, 0o600), call("semctl", "$1", 0, IPC_RMID, 0)],
        "inotify_init1": [call("inotify_init1", 0)],
        "fanotify_init": [call("fanotify_init", 0, 0)],
        # other processes
        "kill": [call("kill", pid, 0)],
        "kill all": [call("kill", -1, 0)],
        "tkill": [call("tkill", pid, 0)],
        "tgkill": [call("tgkill", pid, pid, 0)],
        "rt_sigqueueinfo": [f"put\t@8\t{(-1) & 0xFFFFFFFF}", call("rt_sigqueueinfo", pid, 0, "@0")],
        "rt_tgsigqueueinfo": [f"put\t@8\t{(-1) & 0xFFFFFFFF}", call("rt_tgsigqueueinfo", pid, pid, 0, "@0")],
        "kill one's group": [call("kill", 0, 0)],
        "pidfd_open": [call("pidfd_open", pid, 0)],
        "pidfd_send_signal": by_descriptor(pid, "pidfd_send_signal", 0, 0, 0),
        "pidfd_getfd": by_descriptor(pid, "pidfd_getfd", 0, 0),
        "process_madvise": by_descriptor(pid, "process_madvise", "@0", 0, MADV_COLD, 0),
        "get_robust_list": [call("get_robust_list", pid, "@0", "@8")],
        "ptrace": [call("ptrace", PTRACE_SEIZE, pid, 0, 0)],
        "ptrace of oneself": [call("ptrace", PTRACE_TRACEME, 0, 0, 0)],
        "process_vm_readv": ["put\t@0\t0", call("process_vm_readv", pid, "@0", 0, "@0", 0, 0)],
        "process_vm_writev": [call("process_vm_writev", pid, "@0", 0, "@0", 0, 0)],
        "kcmp": [call("getpid"), call("kcmp", "$1", pid, 1, 0, 0)],
        "setpriority": [call("setpriority", 0, pid, 19)],
        "getpriority": [call("getpriority", 0, pid)],
        "ioprio_get": [call("ioprio_get", 1, pid)],
        "ioprio_set": [call("ioprio_set", 1, pid, 3 << 13)],
        "sched_setaffinity": ["put\t@0\t-1", call("sched_setaffinity", pid, 8, "@0")],
        "sched_setscheduler": [call("sched_setscheduler", pid, 3, "@0")],
        "sched_getscheduler": [call("sched_getscheduler", pid)],
        "sched_setparam": [call("sched_setparam", pid, "@0")],
        "sched_getattr": [call("sched_getattr", pid, "@0", 48, 0)],
        "sched_setattr": ["put\t@0\t12884901936", "put\t@16\t19", call("sched_setattr", pid, "@0", 0)],
        "prlimit64": [call("prlimit64", pid, 4, 0, "@0")],
        "migrate_pages": [call("migrate_pages", pid, 0, 0, 0)],
        "set_mempolicy": [call("set_mempolicy", 0, 0, 0)],
        "move_pages": [call("move_pages", pid, 0, 0, 0, 0, 0)],
        "/proc/PID/mem": [call("openat", AT_FDCWD, f"/proc/{pid}/mem", os.O_RDONLY)],
        "/proc/PID/environ": [call("openat", AT_FDCWD, f"/proc/{pid}/environ", os.O_RDONLY)],
        "/proc/PID/cmdline": [call("openat", AT_FDCWD, f"/proc/{pid}/cmdline", os.O_RDONLY)],
        "/proc/PID/status": [call("openat", AT_FDCWD, f"/proc/{pid}/status", os.O_RDONLY)],
        "/proc/PID/fd": [call("openat", AT_FDCWD, f"/proc/{pid}/fd", os.O_RDONLY)],
        "/proc/PID/exe": [call("readlinkat", AT_FDCWD, f"/proc/{pid}/exe", "@0", 64)],
        "/proc/PID/cwd": [call("openat", AT_FDCWD, f"/proc/{pid}/cwd/.", os.O_RDONLY)],
        "/proc/self/oom_score_adj": [call("openat", AT_FDCWD, "/proc/self/oom_score_adj", O_RDWR)],
        "/proc/self/mem": [call("openat", AT_FDCWD, "/proc/self/mem", O_RDWR)],
        "/proc": [call("openat", AT_FDCWD, "/proc", os.O_RDONLY)],
        "/proc/sys": [call("openat", AT_FDCWD, "/proc/sys/kernel/core_pattern", os.O_RDONLY)],
        "/sys": [call("openat", AT_FDCWD, "/sys", os.O_RDONLY)],
        "/dev/shm": [call("openat", AT_FDCWD, "/dev/shm", os.O_RDONLY)],
        # processes of one's own
        "clone": [call("clone", 17, 0, 0, 0, 0)],
        "unshare a user namespace": [call("unshare", CLONE_NEWUSER)],
        "unshare mounts": [call("unshare", CLONE_NEWNS)],
        "unshare the network": [call("unshare", CLONE_NEWNET)],
        "unshare descriptors": [call("unshare", CLONE_FILES)],
        "setns": by_descriptor(pid, "setns", 0x4000000),
        "PR_SET_PDEATHSIG": [call("prctl", 1, 0)],
        "PR_SET_DUMPABLE": [call("prctl", 4, 1)],
        "PR_SET_PTRACER": [call("prctl", 0x59616D61, pid)],
        "PR_SET_TIMERSLACK": [call("prctl", 29, 1)],
        "PR_SET_CHILD_SUBREAPER": [call("prctl", 36, 1)],
        "PR_SET_KEEPCAPS": [call("prctl", 8, 1)],
        "PR_SET_NO_NEW_PRIVS": [call("prctl", 38, 1, 0, 0, 0)],
        "PR_SET_THP_DISABLE": [call("prctl", 41, 1, 0, 0, 0)],
        "PR_GET_SECCOMP": [call("prctl", 21)],
        "PR_CAPBSET_READ": [call("prctl", 23, 0)],
        "setsid": [call("setsid")],
        "personality": [call("personality", 0x40000)],
        "setresuid": [call("setresuid", -1, -1, 12345)],
        "setresgid": [call("setresgid", -1, -1, -1)],
        "setfsuid": [call("setfsuid", -1)],
        "setpgid": [call("setpgid", 0, 0)],
        "capset": [f"put\t@0\t{0x20080522}", call("capset", "@0", "@16")],
        "setgroups": [call("setgroups", 0, 0)],
        "timer_create": [call("timer_create", 0, 0, "@0")],
        "setitimer": [call("setitimer", 0, "@0", 0)],
        "clock_adjtime": [call("clock_adjtime", 0, "@0")],
        "mlockall": [call("mlockall", 1)],
        "mlock": [call("mlock", "@4096", PAGE)],
        "mremap": [call("mmap", 0, PAGE, WRITTEN, ANONYMOUS, -1, 0), call("mremap", "$1", PAGE, 2 * PAGE, MREMAP_MAYMOVE)],
        "mprotect": [call("mmap", 0, PAGE, PROT_READ, ANONYMOUS, -1, 0), call("mprotect", "$1", PAGE, WRITTEN)],
        "memory at an address": [call("mmap", 1 << 40, PAGE, PROT_READ, ANONYMOUS, -1, 0)],
        "memory to execute": [call("mmap", 0, PAGE, PROT_READ | 4, ANONYMOUS, -1, 0)],
        "madvise": [call("mmap", 0, PAGE, PROT_READ, ANONYMOUS, -1, 0), call("madvise", "$1", PAGE, MADV_NOHUGEPAGE)],
        # sockets
        "a unix socket": [call("socket", UNIX, 1, 0)],
        "a pair of sockets": [call("socketpair", UNIX, 1, 0, "@0")],
        "an abstract socket": [f"put\t@0\t{ABSTRACT}", call("socket", UNIX, 1, 0), call("bind", "$2", "@0", 8)],
        "an internet socket": [call("socket", INET, 1, 0)],
        "an internet socket of version 6": [call("socket", INET6, 2, 0)],
        "sendmmsg": on_socket("sendmmsg", "@0", 0, 0),
        "netlink": [call("socket", NETLINK, 3, 0)],
        "a packet socket": [call("socket", PACKET, 3, 0)],
        "AF_ALG": [call("socket", ALG, 5, 0)],
        "vsock": [call("socket", VSOCK, 1, 0)],
        # files
        "read another's file": [call("openat", AT_FDCWD, others, os.O_RDONLY)],
        "write another's file": [call("openat", AT_FDCWD, others, os.O_WRONLY)],
        "truncate another's file": [call("truncate", others, 10)],
        "list another's folder": [call("openat", AT_FDCWD, foreign, os.O_RDONLY)],
        "make a file elsewhere": [call("openat", AT_FDCWD, f"{foreign}/made", O_NEW, 0o600)],
        "make a folder elsewhere": [call("mkdirat", AT_FDCWD, f"{foreign}/folder", 0o700)],
        "remove a folder elsewhere": [call("unlinkat", AT_FDCWD, f"{foreign}/empty", 0x200)],
        "a hard link out": [call("linkat", AT_FDCWD, mine, AT_FDCWD, f"{foreign}/linked", 0)],
        "a hard link in": [call("linkat", AT_FDCWD, others, AT_FDCWD, f"{own}/linked", 0)],
        "exchange with another's file": [call("renameat2", AT_FDCWD, mine, AT_FDCWD, others, 2)],
        "rename one's own folder": [call("renameat2", AT_FDCWD, own, AT_FDCWD, f"{own}-gone", 0)],
        "one's folder in place of another's": [call("renameat2", AT_FDCWD, f"{own}/empty", AT_FDCWD, f"{foreign}/empty", 0)],
        "another's folder into one's own": [call("renameat2", AT_FDCWD, f"{foreign}/empty", AT_FDCWD, f"{own}/theirs", 0)],
        "a symbolic link": [call("symlinkat", "/etc/passwd", AT_FDCWD, f"{own}/link")],
        "a FIFO": [call("mknodat", AT_FDCWD, f"{own}/fifo", S_IFIFO | 0o600, 0)],
        "a socket file": [call("mknodat", AT_FDCWD, f"{own}/socket", S_IFSOCK | 0o600, 0)],
        "a device": [call("mknodat", AT_FDCWD, f"{own}/device", S_IFCHR | 0o600, 0x103)],
        "a file without a name": [call("openat", AT_FDCWD, own, os.O_WRONLY | O_TMPFILE, 0o600)],
        "a file without a name, by openat2": ["put\t@0\t%d" % (os.O_WRONLY | O_TMPFILE), "put\t@8\t384", call("openat2", AT_FDCWD, own, "@0", 24)],
        "setxattr": [call("setxattr", mine, "user.escape", "x", 1, 0)],
        "getxattr of another's": [call("listxattr", others, "@0", 64)],
        "fallocate": [call("openat", AT_FDCWD, f"{own}/big", O_NEW, 0o600), call("fallocate", "$1", 0, 0, MB)],
        "statfs": [call("statfs", foreign, "@0")],
        "readahead": [call("openat", AT_FDCWD, mine, os.O_RDONLY), call("readahead", "$1", 0, PAGE)],
        "copy_file_range": [
            *[call("openat", AT_FDCWD, mine, os.O_RDONLY), call("openat", AT_FDCWD, f"{own}/copy", O_NEW, 0o600)],
            call("copy_file_range", "$1", 0, "$2", 0, 0, 0),
        ],
        "sendfile": [
            *[call("openat", AT_FDCWD, mine, os.O_RDONLY), call("openat", AT_FDCWD, f"{own}/sent", O_NEW, 0o600)],
            call("sendfile", "$2", "$1", 0, 0),
        ],
        "chdir": [call("chdir", foreign)],
        "chroot": [call("chroot", foreign)],
        "a mount": [call("mount", "none", f"{own}/empty", "tmpfs", 0, 0)],
        "fsopen": [call("fsopen", "tmpfs", 0)],
        "mount_setattr": [call("mount_setattr", AT_FDCWD, "/", 0, "@0", 32)],
        "quotactl": [call("quotactl", Q_SYNC << 8, 0, 0, 0)],
        "open_tree": [call("open_tree", AT_FDCWD, own, 1)],
        "name_to_handle_at": ["put\t@0\t128", call("name_to_handle_at", AT_FDCWD, mine, "@0", "@512", 0)],
        "sync": [call("sync")],
        "syslog": [call("syslog", 10, 0, 0)],
        "landlock_create_ruleset": ["put\t@0\t1", call("landlock_create_ruleset", "@0", 8, 0)],
        "seccomp": [call("seccomp", 2, 0, "@0")],
    }


# Operations that the surroundings may refuse as well: without root, and by kernels and containers.
PRIVILEGED = {
    *("a packet socket", "chroot", "a mount", "fsopen", "open_tree", "a device", "unshare mounts", "unshare the network", "setns"),
    *("setresuid", "setgroups", "syslog", "fanotify_init", "mount_setattr"),
}
RARE = {
    *("io_uring_setup", "userfaultfd", "memfd_secret", "keyctl", "add_key", "bpf", "ptrace", "process_vm_readv", "process_vm_writev"),
    *("pidfd_getfd", "kcmp", "PR_SET_PTRACER", "AF_ALG", "vsock", "setxattr", "getxattr of another's", "unshare a user namespace"),
    *("fanotify_init", "mlock", "/proc/PID/mem", "move_pages", "a mount", "fsopen", "open_tree", "name_to_handle_at", "a packet socket"),
    *("kill all", "memory at an address", "FS_IOC_GETFLAGS", "process_madvise", "get_robust_list", "migrate_pages", "set_mempolicy"),
    *("clock_adjtime", "mlockall", "mount_setattr", "quotactl", "io_setup", "mq_open", "/proc/PID/exe", "/proc/PID/cwd"),
}


def stage(folder):
    own, foreign = folder / "own", folder / "foreign"
    for place in (own, foreign):
        (place / "empty").mkdir(parents=True)
        (place / "persona.md").write_text("---\nname: somebody\n---\n")
    return own, foreign


@pytest.fixture
def victim():
    process = subprocess.Popen(["sleep", "1000"])
    yield process.pid
    process.kill()
    process.wait()


def test_whoever_took_a_worker_over_is_refused_all_that_works_without_the_wall(make_system, model, victim, tmp_path):
    taken = Install(make_system, model, agents=("orion", "iris"))
    iris, supervisor = taken.system.worker("iris"), taken.system.process.pid
    other = taken.system.tree("iris")
    (other / "empty").mkdir()
    (taken.system.tree() / "empty").mkdir(exist_ok=True)
    wrong, shown = {}, 0
    for number, name in enumerate(attempts("", "", 0)):
        own, foreign = stage(tmp_path / str(number))
        tried = outside(*attempts(own, foreign, victim)[name])
        if name == "a mount" and tried[-1] >= 0:
            subprocess.run(["umount", "-l", f"{own}/empty"], check=True)
        works = len(tried) >= len(attempts("", "", 0)[name]) and tried[-1] >= 0
        shown += works
        if not works and not (name in RARE or (name in PRIVILEGED and os.geteuid() != 0)):
            wrong[name] = f"doesn't work outside: {tried}"
        for pid in (iris, supervisor):
            results = taken.run(*attempts(taken.system.tree(), other, pid)[name])
            if results[-1] not in (-errno.EPERM, -errno.EACCES, -errno.EXDEV):
                wrong[name] = f"inside: {results}"
    assert wrong == {}
    assert shown >= 80
    assert taken.system.worker("iris") == iris and (other / "persona.md").read_text().startswith("---\nname: iris\n")
    taken.system.add("afterwards", "Go on")
    taken.system.wait_done("afterwards")


ON_STANDARD_ERROR = {
    "pipe": {
        "FIONBIO": [call("ioctl", 2, FIONBIO, "@0")],
        "O_NONBLOCK": [call("fcntl", 2, F_SETFL, os.O_NONBLOCK)],
        "F_SETPIPE_SZ": [call("fcntl", 2, F_SETPIPE_SZ, MB)],
        "F_GETFL": [call("fcntl", 2, 3)],
        "F_DUPFD_CLOEXEC": [call("fcntl", 2, F_DUPFD_CLOEXEC, 50)],
        "dup": [call("dup", 2)],
        "dup by a wide number": [call("dup", (1 << 32) | 2)],
        "vmsplice": [call("vmsplice", 2, "@0", 0, 0)],
    },
    "file": {
        "read": [call("read", 2, "@0", 1)],
        "pread64": [call("pread64", 2, "@0", 1, 0)],
        "lseek": [call("lseek", 2, 0, 0)],
        "ftruncate": [call("ftruncate", 2, 0)],
        "pwrite64": [call("pwrite64", 2, "x", 1, 0)],
        "fsync": [call("fsync", 2)],
        "flock": [call("flock", 2, 2)],
        "mmap": [call("mmap", 0, PAGE, PROT_READ, MAP_SHARED, 2, 0)],
        "F_GETLEASE": [call("fcntl", 2, 1025)],
    },
    "socket": {
        "shutdown": [call("shutdown", 2, 1)],
        "getsockname": ["put\t@0\t64", call("getsockname", 2, "@8", "@0")],
        "sendto": [call("sendto", 2, "x", 1, 0x4000, 0, 0)],
        "recvfrom": [call("recvfrom", 2, "@0", 1, 0x40, 0, 0)],
        "setsockopt": ["put\t@0\t65536", call("setsockopt", 2, 1, 8, "@0", 4)],
    },
}


@pytest.mark.parametrize("kind", ON_STANDARD_ERROR)
def test_standard_error_is_written_and_nothing_else(taken, tmp_path, kind):
    for name, lines in ON_STANDARD_ERROR[kind].items():
        ends = socket.socketpair() if kind == "socket" else [os.fdopen(end) for end in os.pipe()] if kind == "pipe" else []
        error = ends[1] if ends else open(tmp_path / "error", "w+", encoding="ascii")
        if kind == "socket":
            ends[0].sendall(b"typed")
        assert outside(*lines, error=error)[-1] >= 0, f"{name} works outside"
        assert taken.run(*lines)[-1] == -errno.EPERM, name
        for end in (*ends, error):
            end.close()
    assert taken.run(call("write", 2, "said", 4)) == [4]


# --- a control group of memory ---


def memory_group(pid):
    """The folder of its group in version 1's hierarchy, where the tests' machine mounts it in the usual place."""
    line = next(line for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines() if ":memory:" in line)
    return pathlib.Path("/sys/fs/cgroup/memory" + line.split(":")[2])


def groups_are_had():
    try:
        trial = memory_group(os.getpid()) / f"agentos-trial-{os.getpid()}"
        trial.mkdir()
        trial.rmdir()
        return True
    except (OSError, StopIteration):
        return False


with_memory_groups = pytest.mark.skipif(not groups_are_had() or "asan" in str(BIN), reason="no control group of memory can be made here")
GROUPED = "    limits: {memory_mb: 64}\n"


@with_memory_groups
def test_each_worker_has_a_memory_group_that_goes_with_its_supervisor(make_system, model):
    system = make_system(("orion", "iris"), model=model, extra=GROUPED).start()
    own = {name: memory_group(system.worker(name)) for name in ("orion", "iris")}
    assert len(set(own.values())) == 2 and memory_group(system.process.pid) not in own.values()
    for group in own.values():
        assert (64 << 20) < int((group / "memory.limit_in_bytes").read_text()) <= (192 << 20)
        assert group.parent.parent == memory_group(system.process.pid)
    assert re.search(r"^ok +memory groups", system.cli("doctor", check=False).stdout, re.MULTILINE)
    before = system.worker()
    os.kill(before, 9)
    wait_until(lambda: system.worker() not in (None, before) and system.agent_status()["state"] == "idle", "the next worker")
    assert memory_group(system.worker()) == own["orion"], "it is used again"
    os.kill(system.process.pid, 9)
    system.process.wait()
    wait_until(lambda: not any((group / "cgroup.procs").read_text() for group in own.values()), "the workers' ends")
    folder = own["orion"].parent
    (folder / "7").mkdir()
    system.start()
    assert {path for path in folder.iterdir() if path.is_dir()} == {memory_group(system.worker(name)) for name in ("orion", "iris")}, "what was left is gone"
    system.stop()
    assert not folder.exists()


@with_memory_groups
def test_a_worker_that_the_kernel_ends_for_memory_is_told_of_as_such(make_system, model):
    system = make_system(("orion", "iris"), model=model, extra=GROUPED).start()
    group = memory_group(system.worker())
    taken = int((group / "memory.usage_in_bytes").read_text())
    (group / "memory.limit_in_bytes").write_text(str(taken + (4 << 20)))  # memory_mb is reached before its own limit
    system.append("\n## big\ntask: " + 20_000_000 * "x" + "\n")
    system.wait_log(r"Worker of agent 'orion' .* has ended: signal 9: out of memory \(limits.memory_mb is 64\)")
    assert system.agent_status()["last_exit"].startswith("signal 9: out of memory") or system.agent_status()["restarts"] > 1
    system.add("other", "Do it", name="iris")
    system.wait_done("other", name="iris")
    assert system.agent_status("iris")["restarts"] == 0


@with_memory_groups
def test_a_worker_that_is_ended_for_the_want_of_others_is_not_told_of_as_past_its_own_limit(make_system, model):
    """The group above all workers' groups runs out of memory, as the machine or its container would."""
    system = make_system(model=model, extra=GROUPED).start()
    group = memory_group(system.worker())
    taken = int((group.parent / "memory.usage_in_bytes").read_text())
    (group.parent / "memory.limit_in_bytes").write_text(str(taken + (4 << 20)))
    system.append("\n## big\ntask: " + 20_000_000 * "x" + "\n")
    system.wait_log(r"Worker of agent 'orion' .* has ended: signal 9: the machine, or its container, was out of memory")
    assert "memory_mb" not in system.log()


@with_memory_groups
def test_a_group_that_was_another_agents_with_another_limit_is_left_alone(make_system, model):
    yaml = agents_yaml(("orion",), "    limits: {memory_mb: 128}\n")
    system = make_system(model=model, yaml=yaml).start()
    large = memory_group(system.worker())
    (system.data / "agents.yaml").write_text(yaml.replace("128", "64"))
    system.cli("reload")
    system.cli("restart", "orion")
    small = wait_until(lambda: (pid := system.worker()) and memory_group(pid) != large and memory_group(pid), "the next worker's group")
    limits = [int((group / "memory.limit_in_bytes").read_text()) for group in (large, small)]
    assert limits[0] - limits[1] == 64 << 20


# --- leases ---

F_SETLEASE, F_WRLCK = 1024, 1
LEASE_BREAK_SECONDS = int(pathlib.Path("/proc/sys/fs/lease-break-time").read_text())
LEASED = ("persona.md", "skills.md", "rewards.md", "queue.md", ".agent", ".git/HEAD", ".git/config", ".git/refs/heads/main")


@pytest.mark.skipif(LEASE_BREAK_SECONDS < 40, reason="whoever waits for a lease doesn't wait for long here")
def test_leases_on_all_files_of_ones_tree_hold_up_nobody(make_system, model):
    """The kernel makes whoever opens such a file wait until it takes the lease away."""
    taken = Install(make_system, model, agents=("orion", "iris"))
    system = taken.system
    lines = []
    for path in LEASED:
        lines += [call("openat", AT_FDCWD, f"{system.tree()}/{path}", os.O_RDONLY), call("fcntl", f"${len(lines) + 1}", F_SETLEASE, F_WRLCK)]
    assert taken.run(*lines)[1::2] == [0] * len(LEASED)
    begun = time.monotonic()
    with pytest.raises(BlockingIOError):
        os.open(system.tree() / "persona.md", os.O_RDONLY | os.O_NONBLOCK)
    system.add("beside", "Go on", name="iris")
    system.wait_done("beside", name="iris")
    assert system.status()["agents"]
    for words in (["skills", "orion"], ["rewards", "orion"], ["log", "orion"], ["task", "orion", "Do it"], ["export", "orion", str(system.folder / "bundle")]):
        system.cli(*words, check=False)
    system.wait_log(r"Worker of agent 'orion' .* is killed: it keeps a lease on a file that others want to read")
    assert time.monotonic() - begun < LEASE_BREAK_SECONDS
    system.add("afterwards", "Go on")
    system.wait_done("afterwards")
    assert system.agent_status("iris")["restarts"] == 0


# --- its line to the supervisor, spoken to past nng ---

READY = b"\1\0\x0b\0"


def frame(payload, length=None):
    """As nng has it on a socket of the kernel's."""
    return b"\1" + (len(payload) if length is None else length).to_bytes(8, "big") + payload


ON_THE_LINE = {
    "half a message": frame(READY, 100),
    "a message without end": frame(b"x" * 4000, 1 << 62),
    "no message of nng's": b"\xff" * 4000,
    "an empty message": frame(b"") * 400,
    "a greeting of nng's": b"\0SP\0\0\x10\0\0" * 100,
    "the same word again and again": frame(READY) * 300,
    "two messages in one another": frame(frame(READY) + b"\1\0\x3c\0\xff\xff\xff\xff"),
    "bytes out of band": b"x",
}
BEARABLE = {"the same word again and again", "bytes out of band"}  # no process is ended for them
MSG_OOB, MSG_DONTWAIT, MSG_NOSIGNAL = 1, 0x40, 0x4000


def on_every_socket(content, flags=0):
    puts = [f"put\t@{at}\t{int.from_bytes(content[at:at + 8], 'little')}" for at in range(0, len(content), 8)]
    return puts, [call("sendto", fd, "@0", len(content), MSG_DONTWAIT | MSG_NOSIGNAL | flags, 0, 0) for fd in range(3, 40)]


@pytest.mark.parametrize("kind", ON_THE_LINE)
def test_half_messages_and_bytes_that_are_none_cost_that_worker_alone(make_system, model, kind):
    taken = Install(make_system, model, agents=("orion", "iris"))
    system, content = taken.system, ON_THE_LINE[kind]
    before = system.worker()
    puts, sends = on_every_socket(content[: 8 * 200], MSG_OOB if kind == "bytes out of band" else 0)
    said = taken.run(*puts, *sends)
    assert len(said) < len(puts + sends) or max(said[len(puts) :]) > 0, "it was said, and may have been the worker's last word"
    system.add("beside", "Go on", name="iris")
    system.wait_done("beside", name="iris")
    assert system.agent_status("iris")["restarts"] == 0
    system.add("afterwards", "Go on")
    system.wait_done("afterwards", seconds=60)
    if kind not in BEARABLE:
        assert system.worker() != before, "who speaks so is ended"
