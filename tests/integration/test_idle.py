"""A system that has nothing to do does nothing."""

import time

from harness import cpu_ns, wait_until


def test_an_idle_system_uses_no_cpu_between_scans(make_system, model):
    system = make_system([f"agent{number}" for number in range(10)], model=model, env={"POLL_INTERVAL": "3600"}).start()
    for name in system.names:
        system.add("warm", "Warm up", name=name)
        system.wait_done("warm", name=name)
    family = [system.process.pid, *system.family()]

    def used_in_two_seconds():
        before = {pid: cpu_ns(pid) for pid in family}
        time.sleep(2)
        return sum(cpu_ns(pid) - before[pid] for pid in family)

    # Housekeeping after work comes first; then a gap must be nearly free: 0.5 % of one CPU for all agents.
    wait_until(lambda: used_in_two_seconds() < 10e6, "two seconds with under 10 ms of CPU for all processes", 30)
