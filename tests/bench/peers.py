"""supervisord, runit, s6 and daemontools with so many trivial services, for benchmarks beside them.

A service is a script of two lines: it writes "NUMBER PID" into a pipe, and becomes `sleep`.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from harness import SCRATCH, alive, descendants, program_of, send_signal, wait_until

# An end by SIGTERM cleans up too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))

PROGRAMS = {"supervisord": "supervisord", "runit": "runsvdir", "s6": "s6-svscan", "daemontools": "svscan"}
PACKAGES = ["supervisor", "runit", "s6", "daemontools"]


def available():
    """The peers that are here; as root with apt, missing ones are installed first."""
    missing = [program for program in PROGRAMS.values() if not shutil.which(program)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"},
        )
    return [kind for kind, program in PROGRAMS.items() if shutil.which(program)]


def script(folder, number):
    return f"#!/bin/sh\necho {number} $$ >>{folder}/pipe\nexec sleep 100000\n"


def write_script(path, folder, number):
    path.write_text(script(folder, number))
    path.chmod(0o755)


def supervisord(folder, count):
    text = (f"[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={folder}/pid\n"
            f"childlogdir={folder}\nminfds=4096\n")
    if os.geteuid() == 0:
        text += "user=root\n"
    for number in range(count):
        path = folder / f"run{number}"
        write_script(path, folder, number)
        text += (f"[program:s{number}]\ncommand={path}\nautorestart=true\nstartsecs=0\n"
                 "stdout_logfile=NONE\nstderr_logfile=NONE\n")
    (folder / "conf").write_text(text)
    return ["supervisord", "-c", str(folder / "conf")]


def service_folders(folder, count):
    services = folder / "services"
    for number in range(count):
        (services / f"s{number}").mkdir(parents=True)
        write_script(services / f"s{number}/run", folder, number)
    return services


def runit(folder, count):
    return ["runsvdir", str(service_folders(folder, count))]


def s6(folder, count):
    # -c: room for that many services; 500 is svscan's own number
    return ["s6-svscan", "-c", str(count + 10), str(service_folders(folder, count))]


def daemontools(folder, count):
    return ["svscan", str(service_folders(folder, count))]


COMMANDS = {"supervisord": supervisord, "runit": runit, "s6": s6, "daemontools": daemontools}


# The signal that ends a peer with all its services; svscan has no such signal, so its family is told by hand.
STOPS = {"supervisord": signal.SIGTERM, "runit": signal.SIGHUP, "s6": signal.SIGTERM}


def stop(kind, process):
    """Until none of its processes is left."""
    family = [process.pid, *descendants(process.pid)]
    if kind in STOPS:
        process.send_signal(STOPS[kind])
    else:
        process.kill()
        supervisors = [pid for pid in family if program_of(pid) == "supervise"]
        for pid in supervisors:
            send_signal(pid, signal.SIGKILL)
        for pid in set(family) - set(supervisors):
            send_signal(pid, signal.SIGTERM)
    process.wait()
    wait_until(lambda: not any(alive(pid) for pid in family), "all services ended", 60, 0.005)


def end(process):
    """The supervisor with its children and theirs; processes that nobody ends are killed."""
    family = [process.pid, *descendants(process.pid)]
    for pid in family:
        send_signal(pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def running(kind, count):
    """Starts it; gives its process and the pipe's reading end."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="peers-", dir=SCRATCH))
    os.mkfifo(folder / "pipe")
    pipe = os.open(folder / "pipe", os.O_RDWR | os.O_CLOEXEC)
    command = COMMANDS[kind](folder, count)
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process, pipe
    finally:
        end(process)
        os.close(pipe)
        shutil.rmtree(folder, ignore_errors=True)
