#!/usr/bin/python3
"""From the command until the first waiting task is asked at the model, with more and more agents whose trees are there:
as after a crash of the machine, when nobody knows who hibernated. Beside it the same with ten agents.

    bench_wake.py [AGENTS ...]

The trees are copies of one; ten thousand need a million inodes and 3 GB for a while.
"""

import shutil
import sys
import time

import measure
from measure import harness

COUNTS = [int(count) for count in sys.argv[1:]] or [10, 1000]
FEW = 10


def first_asked(model, count):
    names = [f"agent{number:05}" for number in range(count)]
    system = harness.System(names, model=model, yaml=harness.agents_yaml(names[:1]), env={"POLL_INTERVAL": "60"})
    try:
        system.names = names[:1]
        system.start()
        system.stop()
        for name in names[1:]:
            shutil.copytree(system.tree(names[0]), system.tree(name), symlinks=True)
        (system.data / "agents.yaml").write_text(harness.agents_yaml(names))
        model.reset()
        system.add("waiting", name=names[-1])
        begin = time.monotonic()
        system.start(wait=False)
        harness.wait_until(model.requests, "the task is asked", 300, 0.002)
        return time.monotonic() - begin
    finally:
        system.process.kill()
        system.process.wait()
        system.destroy()


def main():
    model = harness.Model()
    try:
        few = first_asked(model, FEW)
        for count in COUNTS:
            seconds = few if count == FEW else first_asked(model, count)
            measure.say(f"{count} agents, first task asked", seconds, "s", f"({seconds / few:.1f} x that of {FEW})")
    finally:
        model.stop()


main()
