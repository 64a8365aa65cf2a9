#!/usr/bin/python3
"""From kill -9 to the successor at work, beside supervisord, runit, s6 and daemontools, and a bare posix_spawn.

    bench_restart.py [SERVICES]

Every service is killed once, so no backoff is measured. The successor itself brings about the end, which is read from a pipe
and so not polled for: of ours the supervisor's log line "Agent 'NAME' ready", which it writes when the worker has said READY
over its socket (repository checked, queue and memory read); of the others a line that the service's two-line script writes
before it becomes `sleep`. A system that isn't installed is left out; as root and with apt all are installed first.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import measure
import peers
from measure import harness

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 50
SETTLE = 1.2  # s; runsv and s6-supervise hold back the restart of what ran for less than a second


class Lines:
    """Lines of a pipe as they come, each with the time at which it was there."""

    def __init__(self, fd):
        self.fd, self.rest = fd, b""

    def until(self, pattern):
        """The time of the first line that matches, and the match; earlier lines are dropped."""
        while True:
            line, newline, rest = self.rest.partition(b"\n")
            if newline:
                self.rest = rest
                match = re.search(pattern, line.decode(errors="replace"))
                if match:
                    return time.perf_counter(), match
                continue
            more = os.read(self.fd, 65536)
            if not more:
                raise SystemExit(f"the pipe ended before {pattern!r} came")
            self.rest += more


def ours(model):
    names = [f"agent{number:03}" for number in range(COUNT)]
    system = harness.System(names, model=model, env={"POLL_INTERVAL": "3600"})
    try:
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        system.prefix = ["sh", "-c", f'exec "$0" "$@" 2>&{writing}']
        system.process = subprocess.Popen(
            [*system.prefix, str(harness.BIN / "agentos"), "run", "--data", str(system.data)],
            stdin=subprocess.DEVNULL, env=system.env, start_new_session=True, pass_fds=[writing],
        )
        os.close(writing)
        lines = Lines(reading)
        lines.until("AgentOS running with")
        time.sleep(SETTLE)
        pids = {agent["name"]: agent["pid"] for agent in system.status()["agents"]}
        times = []
        for name in names:
            begin = time.perf_counter()
            os.kill(pids[name], signal.SIGKILL)
            end, _ = lines.until(f"Agent '{name}' ready")
            times.append((end - begin) * 1e3)
        os.close(reading)
        return times
    finally:
        system.destroy()


def kill_each(lines, pids):
    times = []
    for number, pid in pids.items():
        begin = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        end, _ = lines.until(f"^{number} ")
        times.append((end - begin) * 1e3)
    return times


def peer(kind):
    with peers.running(kind, COUNT) as (_, pipe):
        lines, pids = Lines(pipe), {}
        while len(pids) < COUNT:
            _, said = lines.until(r"^(\d+) (\d+)$")
            pids[int(said[1])] = int(said[2])
        time.sleep(SETTLE)
        return kill_each(lines, pids)


def bare():
    """A parent that does nothing but wait and spawn."""
    sleep, times = shutil.which("sleep"), []
    pid = os.posix_spawn(sleep, ["sleep", "1000"], os.environ)
    for _ in range(COUNT):
        begin = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        pid = os.posix_spawn(sleep, ["sleep", "1000"], os.environ)
        times.append((time.perf_counter() - begin) * 1e3)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return times


def report(name, times):
    measure.say(f"{name}, kill -9 to ready, median", measure.median(times), "ms",
                f"(p90 {measure.share(times, 0.9):.2f}, worst {max(times):.2f}, {len(times)} kills)")
    return measure.median(times)


def main():
    model = harness.Model()
    try:
        mine = report("agentos", ours(model))
    finally:
        model.stop()
    report("posix_spawn of sleep, bare", bare())
    for kind in peers.available():
        other = report(kind, peer(kind))
        measure.say(f"restart, {kind} / ours", other / mine, "times")


main()
