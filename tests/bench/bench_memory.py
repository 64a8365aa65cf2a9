#!/usr/bin/python3
"""Private memory (smaps_rollup) of idle workers and of the other processes, with a hundred agents.

    bench_memory.py [AGENTS]
"""

import sys

import measure
from measure import harness

AGENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 100
NAMES = [f"agent{number:03}" for number in range(AGENTS)]
MIB = 1024 * 1024


def show(system, when):
    found = system.processes()
    workers = [harness.private_bytes(found[name]) / MIB for name in NAMES]
    measure.say(f"worker, {when}, median", measure.median(workers), "MiB")
    measure.say(f"worker, {when}, most", max(workers), "MiB")
    for other in ("supervisor", "gateway", "zygote"):
        if other in found:
            measure.say(f"{other}, {when}", harness.private_bytes(found[other]) / MIB, "MiB")


def main():
    model = harness.Model()
    system = harness.System(NAMES, model=model, env={"POLL_INTERVAL": "60"})
    try:
        system.start()
        show(system, "fresh")
        for name in NAMES:
            measure.fill_queue(system, 1, name)
        for name in NAMES:
            measure.wait_count(system, 1, name)
        show(system, "after work")
    finally:
        system.destroy()
        model.stop()


main()
