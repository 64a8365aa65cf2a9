#!/usr/bin/python3
"""Ten thousand cycles of one agent: the cost of a cycle and the weight of the repository on the way.

    bench_growth.py [CYCLES]
"""

import subprocess
import sys

import measure
from measure import harness

CYCLES = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
BATCH = max(100, CYCLES // 20)


def mebibytes(path):
    return int(subprocess.run(["du", "-sk", path], capture_output=True, text=True).stdout.split()[0]) / 1024


def main():
    model = harness.Model()
    system = harness.System(model=model, env={"POLL_INTERVAL": "60", "LOG_LEVEL": "warn"})
    try:
        system.start()
        for start in range(0, CYCLES, BATCH):
            model.reset()
            measure.fill_queue(system, BATCH, start=start)
            measure.wait_count(system, start + BATCH)
            git = system.tree() / ".git"
            gaps = measure.gaps_ms(model.requests())
            loose = len(list(git.glob("objects/[0-9a-f][0-9a-f]/*")))
            note = f"mean {sum(gaps) / len(gaps):.3f}, most {max(gaps):.1f} ms; .git {mebibytes(git):.1f} MiB, "
            note += f"{loose} loose, {len(list(git.glob('objects/pack/*.pack')))} packs"
            measure.say(f"cycle after {start + BATCH}, median", measure.median(gaps), "ms", note)
        worker = harness.private_bytes(system.worker()) / 1048576
        measure.say("worker's private memory at the end", worker, "MiB")
        measure.say("tree at the end", mebibytes(system.tree()), "MiB")
        system.assert_sound()
    finally:
        system.destroy()
        model.stop()


main()
