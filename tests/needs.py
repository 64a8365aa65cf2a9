"""The needs of some tests, found out once: marks that skip these tests, with the reason, where the machine lacks a need.
Each need is tried on a process of the tests' own, never on AgentOS, so a test is skipped only where it could not pass; where
the machine allows the test, a fault is a failure. An ordinary container lacks CAP_SYS_PTRACE: there nobody looks into a
process that isn't dumpable, which ours are not.
"""

import functools
import os
import shutil
import subprocess
import sys

import pytest

HIDDEN = "import ctypes, sys; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); print('hidden', flush=True); sys.stdin.read()"


@functools.cache
def traces():
    """strace works on a program that it starts."""
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "true"]
    return bool(shutil.which("strace")) and subprocess.run(command, capture_output=True).returncode == 0


@functools.cache
def pries():
    """The descriptors of a process that isn't dumpable can be read, and strace attaches to it."""
    hidden = subprocess.Popen([sys.executable, "-c", HIDDEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        hidden.stdout.readline()
        os.readlink(f"/proc/{hidden.pid}/fd/0")
        return True
    except PermissionError:
        return False
    finally:
        hidden.communicate()


@functools.cache
def mounts():
    """A mount namespace of one's own can be made."""
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@functools.cache
def pids_folder():
    """Where control groups that count processes can be made; None: not here."""
    for base in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup"):
        trial = os.path.join(base, f"agentos-trial-{os.getpid()}")
        try:
            os.mkdir(trial)
        except OSError:
            continue
        limited = os.path.exists(os.path.join(trial, "pids.max"))
        os.rmdir(trial)
        if limited:
            return base
    return None


@functools.cache
def makes_islands():
    """Network namespaces can be made, and packets dropped in them (tests/islands.py)."""
    space = f"agentos-trial-{os.getpid()}"
    programs = all(shutil.which(program) for program in ("ip", "nft", "nats-server"))
    if not programs or subprocess.run(["ip", "netns", "add", space], capture_output=True).returncode:
        return False
    dropped = subprocess.run(["ip", "netns", "exec", space, "nft", "add table inet trial"], capture_output=True)
    subprocess.run(["ip", "netns", "del", space], capture_output=True)
    return dropped.returncode == 0


counting_processes = pytest.mark.skipif(pids_folder() is None, reason="no control group with pids.max can be made here")
islands = pytest.mark.skipif(
    not makes_islands(), reason="needs root with CAP_NET_ADMIN, to make network namespaces; ip, nft and nats-server"
)
other_user = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user")
promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian's package prometheus) is not installed")
mounting = pytest.mark.skipif(not mounts(), reason="needs root with CAP_SYS_ADMIN, to have an /etc of its own")
tracing = pytest.mark.skipif(not traces(), reason="strace can't trace here, or is not installed")
prying = pytest.mark.skipif(not pries(), reason="CAP_SYS_PTRACE is missing: nobody looks into other processes here")
CANNOT_ATTACH = "strace is not installed, or can't attach here (CAP_SYS_PTRACE is missing)"
attaching = pytest.mark.skipif(not (traces() and pries()), reason=CANNOT_ATTACH)


def attach_or_skip():
    """For helpers that attach strace, wherever they are called from."""
    if not (traces() and pries()):
        pytest.skip(CANNOT_ATTACH)
