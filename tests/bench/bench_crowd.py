#!/usr/bin/python3
"""The cost of a task when many agents work at once, beside the same program with 1 and 10 agents: CPU time of all workers,
of the supervisor and of the gateway for each task, and tasks a second. The model answers after 50 ms.

    bench_crowd.py [AGENTS [TASKS_EACH [MODEL_MS]]]
"""

import os
import subprocess
import sys
import time

import measure
from measure import harness

AGENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
EACH = int(sys.argv[2]) if len(sys.argv) > 2 else 20
MODEL_MS = int(sys.argv[3]) if len(sys.argv) > 3 else 50
FEW = ((1, 20 * EACH), (10, 5 * EACH))


class QuickModel:
    """tests/bench/quick_model.c"""

    def __init__(self):
        program = harness.ROOT / "build/dev/bin/quick_model"
        self.process = subprocess.Popen([program, str(MODEL_MS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def url(self, scenario):
        return f"http://127.0.0.1:{self.port}/v1"

    def answered(self):
        print(file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def cpu_ms(self):
        return cpu_ms(self.process.pid)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def cpu_ms(pid):
    """Of all its threads, those too that have ended."""
    return time.clock_gettime_ns(~pid << 3 | 2) / 1e6


def reaped_ms(pid):
    """Of its children that have ended."""
    with open(f"/proc/{pid}/stat") as stat:
        user, system = stat.read().rpartition(")")[2].split()[13:15]
    return (int(user) + int(system)) * 1000 / os.sysconf("SC_CLK_TCK")


def spent_ms(system):
    """CPU time so far, by program; the workers that have ended are in it."""
    supervisor = system.process.pid
    spent = {"workers": reaped_ms(supervisor), "supervisor": cpu_ms(supervisor), "gateway": 0}
    for pid in system.family():
        program = harness.program_of(pid)
        try:
            if program == "agentos-gateway":
                spent["gateway"] += cpu_ms(pid)
            elif program == "agentos-worker":
                spent["workers"] += cpu_ms(pid)
        except OSError:
            continue
    return spent


def crowd(agents, each, model):
    """CPU milliseconds a task by program, and tasks a second."""
    names = [f"agent{number:04}" for number in range(agents)]
    system = harness.System(names, model=model, env={"POLL_INTERVAL": "60", "LOG_LEVEL": "warn"})
    try:
        system.start(wait=False)
        system.wait_ready(600)
        text, count, before_model = measure.blocks(0, each), agents * each, model.answered()
        for name in names:  # each has its library, its prompt and its process
            system.append(measure.blocks(each, 1), name)
        harness.wait_until(lambda: model.answered() - before_model >= agents, "the first tasks", 600, 0.2)
        time.sleep(3)
        before_model, model_ms = model.answered(), model.cpu_ms()
        before, begin = spent_ms(system), time.monotonic()
        for name in names:
            system.append(text, name)
        harness.wait_until(lambda: model.answered() - before_model >= count, "every answer", 3600, 0.1)
        seconds = time.monotonic() - begin
        harness.wait_until(lambda: done(system) >= count + agents, "every task done", 600, 1)
        spent = {who: (after - before[who]) / count for who, after in spent_ms(system).items()}
        spent["model"] = (model.cpu_ms() - model_ms) / count
        return spent, count / seconds
    finally:
        system.destroy()


def done(system):
    return sum(agent["tasks_done"] for agent in system.status()["agents"])


def main():
    model = QuickModel()
    figures = {}
    try:
        for agents, each in (*FEW, (AGENTS, EACH)):
            spent, speed = figures[agents] = crowd(agents, each, model)
            for who, milliseconds in spent.items():
                measure.say(f"{agents} agents x {each} tasks, CPU of a task, {who}", milliseconds, "ms")
            measure.say(f"{agents} agents x {each} tasks", speed, "tasks/s", f"(model: {MODEL_MS} ms)")
        many = figures[AGENTS][0]
        for agents, _ in FEW:
            few = figures[agents][0]
            for who in ("workers", "supervisor", "gateway"):
                measure.say(f"{who}, {AGENTS} agents / {agents}", many[who] / few[who], "times")
            ratio = sum(many[who] for who in ("workers", "supervisor", "gateway")) / sum(
                few[who] for who in ("workers", "supervisor", "gateway")
            )
            measure.say(f"all, {AGENTS} agents / {agents}", ratio, "times")
    finally:
        model.stop()


main()
