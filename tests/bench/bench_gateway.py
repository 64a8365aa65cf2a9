#!/usr/bin/python3
"""The gateway by itself: CPU and time of a request by the size of its prompt, many at once, memory.

    bench_gateway.py [REQUESTS]
"""

import pathlib
import sys
import time

import measure
from measure import harness

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import odd_servers  # noqa: E402

REQUESTS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
AGENTS = 400


def ask_by_size(gateway, size):
    system = 'A line of a prompt with "quotes" in it.\n' * (size // 40)
    for _ in range(50):
        gateway.talk(system=system)
    before, times = harness.cpu_ns(gateway.process.pid), []
    for _ in range(REQUESTS):
        gateway.answers.clear()
        begin = time.perf_counter()
        gateway.talk(system=system)
        times.append((time.perf_counter() - begin) * 1e3)
    spent = (harness.cpu_ns(gateway.process.pid) - before) / 1e6 / REQUESTS
    measure.say(f"gateway, CPU of a request of {size} bytes", spent, "ms")
    measure.say(f"gateway, round trip of a request of {size} bytes", measure.median(times), "ms", "server and test in it")


def ask_at_once(gateway):
    gateway.answers.clear()
    begin = time.perf_counter()
    for serial in [gateway.ask(agent=f"agent-{number}") for number in range(AGENTS)]:
        gateway.answer(serial)
    measure.say(f"gateway, {AGENTS} agents at once", (time.perf_counter() - begin) * 1e3, "ms", "all answered")


def private_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


def main():
    model = harness.Model()
    gateway = odd_servers.Gateway(f"http://127.0.0.1:{model.port}/v1")
    try:
        for size in (400, 8000, 32000):
            ask_by_size(gateway, size)
        measure.say("gateway, private dirty memory", private_kb(gateway.process.pid) / 1024, "MB")
        ask_at_once(gateway)
        measure.say("gateway, private dirty memory after that", private_kb(gateway.process.pid) / 1024, "MB")
    finally:
        gateway.destroy()
        model.stop()


main()
