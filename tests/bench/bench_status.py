#!/usr/bin/python3
"""The cost of a crowd of agents for a client of the supervisor: `status` of one and of all, and of one while the listing of
all is made, with 10, 1,000 and 10,000 agents that are stopped (no process, no tree; the supervisor alone is measured).

    bench_status.py [AGENTS...]
"""

import json
import os
import socket
import statistics
import sys
import threading
import time

import measure
from measure import harness

COUNTS = [int(word) for word in sys.argv[1:]] or [10, 1000, 10000]


def stopped(count):
    names = [f"agent{number:05}" for number in range(count)]
    system = harness.System(names, env={"LLM_BASE_URL": "offline", "POLL_INTERVAL": "60", "LOG_LEVEL": "warn"})
    wanted = system.data / ".run/wanted"
    wanted.mkdir(parents=True)
    for name in names:
        (wanted / name).write_text("stopped\n")
    system.start(wait=False)
    harness.wait_until(lambda: system.control(verb="status", agent=names[0]), "it answers", 120)
    return system, names


class Asker:
    """One connection, asked again and again."""

    def __init__(self, system):
        folder = os.open(system.data / ".run", os.O_PATH)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"/proc/self/fd/{folder}/control")
        self.lines = self.socket.makefile("rb")
        os.close(folder)

    def ask(self, **request):
        begin = time.monotonic()
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        self.lines.readline()
        return (time.monotonic() - begin) * 1000


def meanwhile(system, name):
    """The slowest answers about one agent while listings of all follow each other."""
    one, every = Asker(system), Asker(system)
    done = threading.Event()

    def list_all():
        for _ in range(5):
            every.ask(verb="status")
        done.set()

    threading.Thread(target=list_all).start()
    times = []
    while not done.is_set():
        times.append(one.ask(verb="status", agent=name))
    return sorted(times)[int(len(times) * 0.95)], max(times)


def main():
    small = None
    for count in COUNTS:
        system, names = stopped(count)
        try:
            asker = Asker(system)
            one = statistics.median(asker.ask(verb="status", agent=names[-1]) for _ in range(50))
            cpu = harness.cpu_ns(system.process.pid)
            every = statistics.median(asker.ask(verb="status") for _ in range(5))
            cpu = (harness.cpu_ns(system.process.pid) - cpu) / 5e6
            p95, worst = meanwhile(system, names[-1])
        finally:
            system.destroy()
        measure.say(f"status of one of {count}", one, "ms")
        measure.say(f"status of all {count}", every, "ms", f"({cpu:.1f} ms of the supervisor)")
        measure.say(f"status of one of {count} while all are listed, 95 %", p95, "ms", f"(slowest {worst:.1f})")
        if small:
            measure.say(f"status of one: {count} / {COUNTS[0]} agents", one / small, "times")
        small = small or one


main()
