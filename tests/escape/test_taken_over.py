"""A worker that was taken over, with its sandbox complete: adversary.c runs a script of system calls in it, and outside,
where each attempt must work, or it would prove nothing.

AGENTOS_BIN's folder also holds `adversary` and `adversary.so`.
"""

import ctypes
import errno
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest
from harness import BIN, alive, wait_until
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
    """Memory that is its own alone, with its page tables; of files only what it wrote. 0 when it is gone."""
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
        """What came of each line inside, as far as its worker lived, and the worker's account of memory then."""
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


def outside(*lines):
    with tempfile.TemporaryDirectory() as folder:
        script, results = pathlib.Path(folder, "script"), pathlib.Path(folder, "results")
        script.write_text("\n".join(lines))
        subprocess.run([BIN / "adversary", script, results], timeout=60, check=False, cwd=folder)
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
