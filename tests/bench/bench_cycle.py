#!/usr/bin/python3
"""The cost of a cycle apart from the model: ours (durable) beside the Python baseline (no flush), same server.

No folder is removed before all is measured: where the file system must walk past inodes that were freed lately (ext4
without a journal), making a file costs up to 0.4 ms more, and the baseline leaves thousands behind.

    bench_cycle.py [TASKS]
"""

import contextlib
import pathlib
import subprocess
import sys
import tempfile

import measure
from measure import harness

TASKS = int(sys.argv[1]) if len(sys.argv) > 1 else 200
ROUNDS = 3


def ours(model, kinds, removed_later):
    system = harness.System(model=model, env={"POLL_INTERVAL": "60", "LOG_LEVEL": "warn"})
    removed_later.callback(system.destroy)
    system.start()
    model.reset()
    measure.fill_queue(system, TASKS, kinds=kinds)
    measure.wait_count(system, TASKS)
    system.stop()
    return measure.gaps_ms(model.requests())


def baseline(model, kinds, removed_later):
    folder = removed_later.enter_context(tempfile.TemporaryDirectory(prefix="baseline-", dir=harness.SCRATCH))
    tree = pathlib.Path(folder) / "orion"
    program = pathlib.Path(__file__).parent / "baseline.py"
    subprocess.run([program, "cycle", tree, model.url()], check=True)
    (tree / "queue.md").write_text(measure.blocks(0, TASKS, kinds))
    model.reset()
    subprocess.run([program, "cycle", tree, model.url()], check=True)
    return measure.gaps_ms(model.requests())


def compare(model, kinds, what, removed_later):
    gaps = {"ours": [], "baseline": []}
    for _ in range(ROUNDS):
        gaps["ours"] += ours(model, kinds, removed_later)
        gaps["baseline"] += baseline(model, kinds, removed_later)
    for who, values in gaps.items():
        measure.say(f"cycle, {what}, {who}, median", measure.median(values), "ms")
        measure.say(f"cycle, {what}, {who}, 99 of 100 under", measure.share(values, 0.99), "ms")
    ratio = measure.median(gaps["baseline"]) / measure.median(gaps["ours"])
    measure.say(f"cycle, {what}, baseline / ours, medians", ratio, "times")
    means = [sum(values) / len(values) for values in gaps.values()]
    measure.say(f"cycle, {what}, baseline / ours, means", means[1] / means[0], "times")


def main():
    model = harness.Model()
    try:
        with contextlib.ExitStack() as removed_later:
            compare(model, measure.KINDS, "known skills", removed_later)
            compare(model, 10 * TASKS, "a new skill each", removed_later)
        measure.say("(a request to the model from a bare socket)", measure.model_ms(model), "ms")
    finally:
        model.stop()


main()
