#!/usr/bin/python3
"""The cost of agents for the supervisor: hibernating agents beside ten of the same program, and live agents without work.

    bench_hibernation.py [HIBERNATING [LIVE [SECONDS]]]

Each fleet is bootstrapped for real, then runs anew, so that its figures are those of a supervisor that found it. Without
work, the CPU time is counted over SECONDS, after the first seconds. Work is appended to the queues of hibernating agents in
turn, and of an agent that is awake.
"""

import os
import pathlib
import sys
import time

import measure
from measure import harness

HIBERNATING = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
LIVE = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 60
FEW, WAKES, REST = 10, 50, 20


def dirty_kb(pid):
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


def settle(system, count, state):
    system.log_path.write_text("")
    system.start(wait=False)
    harness.wait_until(
        lambda: f"AgentOS running with {count} agent(s)" in system.log(), "the fleet serves", 120 + count, 0.5
    )
    harness.wait_until(lambda: set(system.states().values()) == {state}, f"all {state}", 120 + count, 2)


def fleet(model, count, state):
    """A fleet all of whose agents are idle, or hibernate."""
    names = [f"agent-{number}" for number in range(count)]
    warm = count if state == "idle" else 0
    system = harness.System(
        names, model=model, yaml=f"warm_workers: {warm}\n" + harness.agents_yaml(names),
        env={"POLL_INTERVAL": "5"},
    )
    try:
        settle(system, count, state)
        system.stop(seconds=120)
        settle(system, count, state)
    except BaseException:
        system.destroy()
        raise
    return system


def spent(processes, seconds):
    before = {pid: harness.cpu_ns(pid) for pid in processes}
    time.sleep(seconds)
    return sum(harness.cpu_ns(pid) - at for pid, at in before.items()) / seconds / 1e7


def costs(system):
    """Descriptors and private memory of the supervisor, and per cent of a core that it and its workers take."""
    pid = system.process.pid
    time.sleep(REST)  # descriptors that were open for the last workers are closed after a quarter of a minute
    descriptors, memory = len(os.listdir(f"/proc/{pid}/fd")), dirty_kb(pid)
    own = spent([pid], SECONDS)
    return descriptors, memory, own, spent([pid, *harness.descendants(pid)], SECONDS)


def latencies(system, model, names):
    taken = []
    for number, name in enumerate(names):
        model.reset()
        begin = time.monotonic_ns()
        system.append(harness.task_block(f"task-{number}", f"Number {number}"), name)
        harness.wait_until(model.requests, f"{name} asked", 60, 0.005)
        taken.append((model.requests()[0]["at_ns"] - begin) / 1e6)
        harness.wait_until(lambda: system.done(name)[f"task-{number}"], f"{name} done", 60, 0.02)
        time.sleep(0.1)
    return measure.median(taken)


def report(count, state, figures, few):
    descriptors, memory, own, everybody = figures
    what = f"{count} {state}"
    measure.say(f"{what}, supervisor's descriptors", descriptors, "", f"({descriptors / few[0]:.1f} times those of {FEW})")
    measure.say(f"{what}, supervisor's private memory", memory, "kB", f"({memory / few[1]:.1f} times that of {FEW})")
    if count > FEW:
        measure.say(f"{what}, private memory an agent more", (memory - few[1]) / (count - FEW), "kB")
    measure.say(f"{what}, CPU of the supervisor", own, "% core", f"({own / max(few[2], 1e-3):.1f} times that of {FEW})")
    measure.say(f"{what}, CPU of all processes", everybody, "% core")


def main():
    model = harness.Model()
    few = asleep = None
    try:
        for count, state in ((FEW, "hibernating"), (HIBERNATING, "hibernating"), (LIVE, "idle")):
            system = fleet(model, count, state)
            try:
                figures = costs(system)
                few = few or figures
                report(count, state, figures, few)
                if count == HIBERNATING:
                    asleep = latencies(system, model, [f"agent-{n * count // WAKES}" for n in range(WAKES)])
                    measure.say("append to the question, hibernating, median", asleep, "ms")
                if state == "idle":
                    awake = latencies(system, model, ["agent-1"] * WAKES)
                    measure.say("append to the question, awake, median", awake, "ms", f"({asleep / awake:.1f} times hibernating)")
            finally:
                system.destroy()
    finally:
        model.stop()


main()
