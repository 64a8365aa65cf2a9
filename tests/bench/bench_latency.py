#!/usr/bin/python3
"""From an append to queue.md to the model's receiving the request, in an idle system.

    bench_latency.py [TIMES]
"""

import sys
import time

import measure
from measure import harness

TIMES = int(sys.argv[1]) if len(sys.argv) > 1 else 100


def main():
    model = harness.Model()
    system = harness.System(model=model, env={"POLL_INTERVAL": "60"})
    try:
        system.start()
        appended = []
        for number in range(TIMES):
            block = harness.task_block(f"task-{number}", f"Number {number}")
            appended.append(time.monotonic_ns())
            system.append(block)
            time.sleep(0.05)
        harness.wait_until(lambda: len(model.requests()) == TIMES, "all asked")
        taken = [(request["at_ns"] - at) / 1e6 for request, at in zip(model.requests(), appended)]
        measure.say("append to the model's receipt, median", measure.median(taken), "ms")
        measure.say("append to the model's receipt, 99 of 100", measure.share(taken, 0.99), "ms")
    finally:
        system.destroy()
        model.stop()


main()
