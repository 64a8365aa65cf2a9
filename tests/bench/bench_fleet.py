#!/usr/bin/python3
"""Twenty agents, a model that takes a second, a hundred tasks: the best is five seconds.

    bench_fleet.py [AGENTS [TASKS_EACH]]
"""

import sys
import time

import measure
from measure import harness

AGENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
EACH = int(sys.argv[2]) if len(sys.argv) > 2 else 5


def main():
    model = harness.Model()
    names = [f"agent{number:02}" for number in range(AGENTS)]
    system = harness.System(names, model=model, scenario="slow-1000", env={"POLL_INTERVAL": "60"})
    try:
        system.start()
        begin = time.monotonic()
        for name in names:
            measure.fill_queue(system, EACH, name)
        for name in names:
            measure.wait_count(system, EACH, name)
        polled = time.monotonic() - begin
        last = max(request["end_ns"] for request in model.requests()) / 1e9 - begin
        measure.say(f"{AGENTS} agents x {EACH} tasks, last answer", last, "s")
        measure.say(f"{AGENTS} agents x {EACH} tasks, all seen done", polled, "s", f"(best: {EACH} s)")
    finally:
        system.destroy()
        model.stop()


main()
