#!/usr/bin/python3
"""CPU time of all processes of an idle system, with and without scans.

    bench_idle.py [SECONDS [AGENTS]]
"""

import sys
import time

import measure
from measure import harness

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 60
AGENTS = int(sys.argv[2]) if len(sys.argv) > 2 else 20


def used(model, poll):
    names = [f"agent{number:02}" for number in range(AGENTS)]
    system = harness.System(names, model=model, env={"POLL_INTERVAL": poll})
    try:
        system.start()
        time.sleep(2)
        found = system.processes()
        before = {pid: harness.cpu_ns(pid) for pid in found.values()}
        time.sleep(SECONDS)
        spent = {who: (harness.cpu_ns(pid) - before[pid]) / 1e6 for who, pid in found.items()}
        workers = sum(spent.pop(name) for name in names)
        return {**spent, "workers": workers}
    finally:
        system.destroy()


def main():
    model = harness.Model()
    try:
        for poll, what in (("3600", "no scan"), ("5", "scan every 5 s")):
            spent = used(model, poll)
            for who, milliseconds in spent.items():
                measure.say(f"idle, {what}, {who}", milliseconds / SECONDS, "ms/s")
            measure.say(f"idle, {what}, all with {AGENTS} agents", sum(spent.values()) / SECONDS, "ms/s")
    finally:
        model.stop()


main()
