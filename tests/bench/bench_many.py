#!/usr/bin/python3
"""Five hundred agents started, ready and stopped, with the memory of all processes, beside supervisord, runit, s6 and
daemontools with as many services that only sleep.

    bench_many.py [AGENTS]

Ready is the supervisor's own log line for the last agent (repositories made at the first start, there at the second);
of the others, the last service's word before it becomes `sleep`. Memory is Pss: shared pages are counted once.
"""

import os
import sys
import time

import measure
import peers
from measure import harness

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 500


def pss_mb(root):
    total = 0
    for pid in [root, *harness.descendants(root)]:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as lines:
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except OSError:
            continue
    return total / 1024


def start(system):
    """Seconds from the command to the word of the last agent."""
    system.log_path.write_text("")
    begin = time.monotonic()
    system.start(wait=False)
    harness.wait_until(
        lambda: f"AgentOS running with {COUNT} agent(s)" in system.log(), "all ready", 300, 0.005
    )
    return time.monotonic() - begin


def stop(system):
    begin = time.monotonic()
    system.stop(seconds=60)
    return time.monotonic() - begin


def ours(model):
    system = harness.System(
        [f"agent{number:03}" for number in range(COUNT)], model=model, env={"POLL_INTERVAL": "60", "LOG_LEVEL": "info"}
    )
    try:
        fresh = start(system)
        stop(system)
        again = start(system)
        memory = pss_mb(system.process.pid)
        return fresh, again, stop(system), memory
    finally:
        system.destroy()


def read_all_words(pipe):
    """Until every service has said that it runs."""
    there, rest = set(), b""
    while len(there) < COUNT:
        *lines, rest = (rest + os.read(pipe, 65536)).split(b"\n")
        there.update(line.split()[0] for line in lines)


def others(kind):
    begin = time.monotonic()
    with peers.running(kind, COUNT) as (process, pipe):
        read_all_words(pipe)
        ready = time.monotonic() - begin
        memory = pss_mb(process.pid)
        begin = time.monotonic()
        peers.stop(kind, process)
        return ready, time.monotonic() - begin, memory


def report(name, ready, down, memory):
    measure.say(f"{COUNT} with {name}, all ready", ready, "s")
    measure.say(f"{COUNT} with {name}, all stopped", down, "s")
    measure.say(f"{COUNT} with {name}, memory", memory, "MB Pss", f"({memory * 1024 / COUNT:.0f} kB each)")


def main():
    model = harness.Model()
    try:
        fresh, again, down, memory = ours(model)
    finally:
        model.stop()
    measure.say(f"{COUNT} with agentos, fresh, all ready", fresh, "s", "(makes the repositories)")
    report("agentos", again, down, memory)
    for kind in peers.available():
        ready, their_down, theirs = others(kind)
        report(kind, ready, their_down, theirs)
        measure.say(f"{kind} / ours: ready", ready / again, "times")
        measure.say(f"{kind} / ours: stopped", their_down / down, "times")
        measure.say(f"{kind} / ours: memory", theirs / memory, "times")


main()
