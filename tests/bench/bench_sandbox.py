#!/usr/bin/python3
"""The cost of the sandbox: from kill -9 of a worker to its successor ready, and the start of many agents, with it and
without, in turns.

    bench_sandbox.py [AGENTS]
"""

import os
import signal
import sys
import time

import measure
from measure import harness

AGENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 100
NAMES = [f"agent{number:03}" for number in range(AGENTS)]
ROUNDS = 3
STARTS = 10
MODES = ("require", "off")


def restarts_ms(system):
    """Each worker is killed once, as only a first restart comes at once. The supervisor's own log says when the successor is
    ready; the log is read without a pause."""
    times = []
    workers = [agent["pid"] for agent in system.status()["agents"]]
    with open(system.log_path) as log:
        for worker in workers:
            log.seek(0, os.SEEK_END)
            begin = time.perf_counter()
            harness.send_signal(worker, signal.SIGKILL)
            read = ""  # a line may come in two parts
            while "ready at" not in read:
                read += log.readline()
            times.append((time.perf_counter() - begin) * 1e3)
    return times


def start_ms(system):
    begin = time.perf_counter()
    system.start(wait=False)
    harness.wait_until(lambda: "AgentOS running with" in system.log(), "all ready", 60, 0.0005)
    return (time.perf_counter() - begin) * 1e3


def many(model, mode):
    system = harness.System(NAMES, model=model, env={"POLL_INTERVAL": "60", "AGENTOS_SANDBOX": mode})
    try:
        return start_ms(system), restarts_ms(system)
    finally:
        system.destroy()


def one(model, mode):
    """The agent's tree is there already, so that only processes are made."""
    system = harness.System(model=model, env={"AGENTOS_SANDBOX": mode}).start()
    times = []
    try:
        for _ in range(STARTS):
            system.stop()
            system.log_path.write_text("")
            times.append(start_ms(system))
    finally:
        system.destroy()
    return times


def main():
    model = harness.Model()
    restarts, starts, ones = ({mode: [] for mode in MODES} for _ in range(3))
    try:
        for _ in range(ROUNDS):
            for mode in MODES:
                start, killed = many(model, mode)
                starts[mode].append(start)
                restarts[mode] += killed
                ones[mode] += one(model, mode)
        for mode in MODES:
            measure.say(f"kill -9 to ready, sandbox {mode}", measure.median(restarts[mode]), "ms")
            measure.say(f"one agent's start, sandbox {mode}", measure.median(ones[mode]), "ms")
            measure.say(f"{AGENTS} fresh agents ready, sandbox {mode}", measure.median(starts[mode]), "ms")
        both = [measure.median(restarts[mode]) for mode in MODES]
        measure.say("what the sandbox costs a worker's start", both[0] - both[1], "ms")
    finally:
        model.stop()


main()
