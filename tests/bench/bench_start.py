#!/usr/bin/python3
"""A hundred fresh agents, from the command to all ready with their repositories, beside the Python baseline.

    bench_start.py [AGENTS [ROUNDS]]

Of more than a few hundred agents the baseline makes three hundred, and its time is taken for as many as there are.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

import measure
from measure import harness

AGENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 100
NAMES = [f"agent{number:03}" for number in range(AGENTS)]
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
BASELINE = min(AGENTS, 300)
PAUSE = 0.002 if AGENTS <= 1000 else 0.2


def first_commits(system):
    return sum((system.tree(name) / ".git/refs/heads/main").exists() for name in NAMES)


def ours(model):
    system = harness.System(NAMES, model=model, env={"POLL_INTERVAL": "60"})
    try:
        begin = time.monotonic()
        system.start(wait=False)
        harness.wait_until(lambda: f"AgentOS running with {AGENTS} agent(s)" in system.log(), "all ready", 60 + AGENTS / 20, PAUSE)
        fresh = time.monotonic() - begin
        harness.wait_until(lambda: first_commits(system) == AGENTS, "all repositories", 60 + AGENTS / 20, PAUSE)
        whole = time.monotonic() - begin
        system.stop(seconds=120)
        system.log_path.write_text("")
        begin = time.monotonic()
        system.start(wait=False)
        harness.wait_until(lambda: f"AgentOS running with {AGENTS} agent(s)" in system.log(), "all ready", 60 + AGENTS / 20, PAUSE)
        return max(fresh, whole), time.monotonic() - begin
    finally:
        system.destroy()


def baseline():
    with tempfile.TemporaryDirectory(prefix="baseline-", dir=harness.SCRATCH) as folder:
        begin = time.monotonic()
        subprocess.run([pathlib.Path(__file__).parent / "baseline.py", "start", folder, str(BASELINE)], check=True)
        return (time.monotonic() - begin) * AGENTS / BASELINE


def main():
    model = harness.Model()
    try:
        times = [(*ours(model), baseline()) for _ in range(ROUNDS)]
        fresh, again, other = (measure.median(column) for column in zip(*times))
        measure.say(f"{AGENTS} fresh agents ready", fresh, "s")
        measure.say(f"{AGENTS} agents ready again", again, "s")
        measure.say(f"{AGENTS} fresh agents, baseline", other, "s")
        measure.say("start, baseline / ours", other / fresh, "times")
    finally:
        model.stop()


main()
