"""warm_workers: beyond so many idle workers the worker that was idle longest leaves, and any work brings its agent back."""

import contextlib
import os
import pathlib

from harness import agents_yaml, task_block, wait_until

NAMES = [f"agent-{number}" for number in range(6)]


def fleet(make_system, model, warm, names=NAMES, **options):
    return make_system(names, model=model, yaml=f"warm_workers: {warm}\n" + agents_yaml(names), **options)


def watches(system):
    """Of the kernel's, that the supervisor holds."""
    count = 0
    for path in pathlib.Path(f"/proc/{system.process.pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += path.read_text().count("inotify wd:")
    return count


def states(system):
    return {agent["name"]: agent["state"] for agent in system.status()["agents"]}


def living(system):
    return {name for name, state in states(system).items() if state != "hibernating"}


def settled(system, warm, agents=len(NAMES)):
    wait_until(lambda: sorted(states(system).values()) == ["hibernating"] * (agents - warm) + ["idle"] * warm, f"{warm} warm workers")


def test_so_many_idle_workers_stay_and_the_others_have_no_process(make_system, model):
    system = fleet(make_system, model, 2).start()
    settled(system, 2)
    assert sum(agent["pid"] is not None for agent in system.status()["agents"]) == 2
    assert all((system.tree(name) / ".git").is_dir() for name in NAMES), "each was bootstrapped in its turn"
    assert "AgentOS running with 6 agent(s)" in system.log() and "WARN" not in system.log()


def test_work_wakes_an_agent_and_the_one_that_was_idle_longest_leaves(make_system, model):
    system = fleet(make_system, model, 2).start()
    settled(system, 2)
    order = [name for name in NAMES if name not in living(system)]
    for name in order:
        idle_longest_stays_not = living(system)
        system.append(task_block(f"for-{name}", "Do it"), name)
        wait_until(lambda: system.done(name)[f"for-{name}"] == 1, f"{name}'s task done")
        settled(system, 2)
        assert name in living(system) and len(living(system) & idle_longest_stays_not) == 1
    assert all(agent["restarts"] == 0 and agent["problems"] == [] for agent in system.status()["agents"])
    for name in order:
        system.assert_each_once([f"for-{name}"], name)
        system.assert_sound(name)


def test_none_may_stay_and_a_reload_changes_how_many_may(make_system, model):
    system = fleet(make_system, model, 0).start()
    settled(system, 0)
    for name in NAMES:
        system.append(task_block(f"for-{name}", "Do it"), name)
    for name in NAMES:
        wait_until(lambda: system.done(name)[f"for-{name}"] == 1, f"{name}'s task done")
    settled(system, 0)
    (system.data / "agents.yaml").write_text("warm_workers: 6\n" + agents_yaml(NAMES))
    system.cli("reload")
    system.cli("start", "--all")
    settled(system, 6)
    (system.data / "agents.yaml").write_text("warm_workers: 1\n" + agents_yaml(NAMES))
    settled(system, 1)


def descriptors(system):
    return len(os.listdir(f"/proc/{system.process.pid}/fd"))


def test_two_hundred_wakes_leave_no_descriptor_and_each_agent_its_one_watch(make_system, model):
    names = [f"agent-{number}" for number in range(20)]
    system = fleet(make_system, model, 0, names)
    clock = system.movable_clock()
    alone = descriptors(fleet(make_system, model, 0, names[:1]).start())
    system.start()
    for _ in range(10):
        system.cli("start", "--all")
        settled(system, 0, len(names))
    clock.move(16, 16)  # descriptors that were open for the last workers are closed
    wait_until(lambda: descriptors(system) <= alone + 3, "no more descriptors than with one agent")
    status = system.agent_status(names[0])
    assert status["restarts"] == 0 and status["problems"] == []
    wait_until(lambda: watches(system) <= len(names) + 5, "one watch an agent, and the supervisor's own")


def test_a_small_fleet_has_one_worker_an_agent(make_system, model):
    system = make_system(NAMES, model=model).start()
    wait_until(lambda: set(states(system).values()) == {"idle"}, "all idle")


def test_a_worker_that_had_a_reason_to_stay_leaves_when_that_has_gone(make_system, model, tmp_path):
    checker = tmp_path / "check"
    checker.write_text("#!/bin/sh\ncat >/dev/null\nsleep 1\necho '{\"audit_score\": 1, \"reasons\": []}'\n")
    checker.chmod(0o755)
    extra = f"    reward_audit: {{method: command, command: [{checker}]}}\n"
    system = make_system(NAMES[:1], model=model, yaml="warm_workers: 0\n" + agents_yaml(NAMES[:1], extra))
    clock = system.movable_clock()
    system.start()
    settled(system, 0, 1)
    system.append(task_block("one", "Do it"), NAMES[0])
    wait_until(lambda: "audit_score: +1" in system.read("rewards.md", NAMES[0]), "the audit's score")
    clock.move(61, 61)
    settled(system, 0, 1)
