#!/usr/bin/python3
"""A hundred fresh agents, from the command to all ready with their repositories, beside the Python baseline.

    bench_start.py [AGENTS]
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
ROUNDS = 3


def first_commits(system):
    return sum((system.tree(name) / ".git/refs/heads/main").exists() for name in NAMES)


def ours(model):
    system = harness.System(NAMES, model=model, env={"POLL_INTERVAL": "60"})
    try:
        begin = time.monotonic()
        system.start(wait=False)
        harness.wait_until(lambda: f"AgentOS running with {AGENTS} agent(s)" in system.log(), "all ready", 60, 0.002)
        fresh = time.monotonic() - begin
        harness.wait_until(lambda: first_commits(system) == AGENTS, "all repositories", 60, 0.002)
        whole = time.monotonic() - begin
        system.stop()
        system.log_path.write_text("")
        begin = time.monotonic()
        system.start(wait=False)
        harness.wait_until(lambda: f"AgentOS running with {AGENTS} agent(s)" in system.log(), "all ready", 60, 0.002)
        return max(fresh, whole), time.monotonic() - begin
    finally:
        system.destroy()


def baseline():
    with tempfile.TemporaryDirectory(prefix="baseline-", dir=harness.SCRATCH) as folder:
        begin = time.monotonic()
        subprocess.run([pathlib.Path(__file__).parent / "baseline.py", "start", folder, str(AGENTS)], check=True)
        return time.monotonic() - begin


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
