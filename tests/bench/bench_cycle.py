#!/usr/bin/python3
"""The cost of a cycle apart from the model: ours (durable) beside the Python baseline (no flush), same server.

    bench_cycle.py [TASKS]
"""

import pathlib
import subprocess
import sys
import tempfile

import measure
from measure import harness

TASKS = int(sys.argv[1]) if len(sys.argv) > 1 else 200
ROUNDS = 3


def ours(model):
    system = harness.System(model=model, env={"POLL_INTERVAL": "60", "LOG_LEVEL": "warn"})
    try:
        system.start()
        model.reset()
        measure.fill_queue(system, TASKS)
        measure.wait_count(system, TASKS)
        return measure.gaps_ms(model.requests())
    finally:
        system.destroy()


def baseline(model):
    with tempfile.TemporaryDirectory(prefix="baseline-", dir="/tmp") as folder:
        tree = pathlib.Path(folder) / "orion"
        program = pathlib.Path(__file__).parent / "baseline.py"
        subprocess.run([program, "cycle", tree, model.url()], check=True)
        (tree / "queue.md").write_text(
            "".join(harness.task_block(f"task-{n}", f"Handle case {n % 40} of the list with care") for n in range(TASKS))
        )
        model.reset()
        subprocess.run([program, "cycle", tree, model.url()], check=True)
        return measure.gaps_ms(model.requests())


def main():
    model = harness.Model()
    try:
        gaps = {"ours": [], "baseline": []}
        for _ in range(ROUNDS):
            gaps["ours"] += ours(model)
            gaps["baseline"] += baseline(model)
        for who, values in gaps.items():
            measure.say(f"cycle, {who}, median", measure.median(values), "ms")
            measure.say(f"cycle, {who}, mean", sum(values) / len(values), "ms")
            measure.say(f"cycle, {who}, 99 of 100 under", measure.share(values, 0.99), "ms")
        measure.say("cycle, baseline / ours, medians", measure.median(gaps["baseline"]) / measure.median(gaps["ours"]), "times")
        means = [sum(values) / len(values) for values in gaps.values()]
        measure.say("cycle, baseline / ours, means", means[1] / means[0], "times")
        measure.say("(a request to the model from a bare socket)", measure.model_ms(model), "ms")
    finally:
        model.stop()


main()
