"""A system that has nothing to do does nothing, and its housekeeping waits for such moments."""

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


def test_packs_are_joined_when_nothing_is_in_hand(make_system, model):
    """The model thinks long enough for it, but other agents may need the processor meanwhile."""
    system = make_system(["orion"], model=model, scenario="delay-300").start()
    joined = system.tree("orion") / ".agentos/retired"
    tasks = [f"task-{number}" for number in range(25)]
    for task in tasks:
        system.add(task, task + (" [[model:hold]]" if task == tasks[-1] else ""))
    system.wait_done(*tasks[:-1], seconds=60)
    assert not joined.exists() or not list(joined.iterdir())
    assert len(list((system.tree("orion") / ".git/objects/pack").glob("*.idx"))) >= 24
    model.release()
    system.wait_done(*tasks)
    wait_until(lambda: joined.exists() and list(joined.iterdir()), "the packs joined", 30)
