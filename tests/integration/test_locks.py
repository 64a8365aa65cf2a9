"""Locks with real processes: one task at a time, whoever dies, with tokens that only grow."""

import json
import re
import signal
import time

from harness import agents_yaml, send_signal, wait_until
from post_office import seconds_of

NAMES = ("orion", "iris")


def lock_file(system, name="db"):
    try:
        return (system.data / f"shared/locks/{name}.md").read_text()
    except FileNotFoundError:
        return ""


def token(system):
    found = re.search(r"^token: (\d+)$", lock_file(system), re.MULTILINE)
    return int(found[1]) if found else 0


def wait_holder(system, holder):
    wait_until(lambda: f"\nholder: {holder}\n" in lock_file(system), f"lock held by {holder}")


def asked_for(model, text):
    return [request for request in model.requests() if request["task"] == text]


def test_ten_tasks_fight_over_a_lock_and_never_two_hold_it(make_system, model):
    names = ("orion", "iris", "nova")
    system = make_system(names, model=model, scenario="delay-100").start()
    tasks = [(names[number % 3], f"fight-{number}") for number in range(10)]
    for name, task in tasks:
        system.add(task, f"Fight number {task}", name=name, lock="db")
    for name, task in tasks:
        system.wait_done(task, name=name, seconds=60)
    wait_holder(system, "none")
    spans = sorted((r["at_ns"], r["end_ns"]) for r in model.requests() if r["task"].startswith("Fight"))
    assert len(spans) == 10
    assert all(before[1] <= after[0] for before, after in zip(spans, spans[1:]))
    assert token(system) == 10
    for name in names:
        system.assert_each_once([task for other, task in tasks if other == name], name)
    [lock] = json.loads(system.cli("locks", "--json").stdout)["items"]
    assert lock["name"] == "db" and lock["token"] == 10 and lock["waiters"] == []


def test_a_lock_is_free_when_its_holders_worker_dies(make_system, model):
    system = make_system(NAMES, model=model, env={"LLM_BASE_URL__ORION": model.url("hold")}).start()
    system.add("held", "Hold it", name="orion", lock="db")
    wait_holder(system, '"orion: held"')
    model.wait_open(1)
    system.add("waits", "Wait for it", name="iris", lock="db")
    system.wait_state("iris", "waiting")
    wait_until(lambda: "- \"iris: waits\"" in lock_file(system), "iris among the waiters")
    assert not asked_for(model, "Wait for it")
    first = token(system)
    send_signal(system.worker("orion"), signal.SIGKILL)
    system.wait_done("waits", name="iris")
    assert token(system) > first
    model.release()
    system.wait_done("held", name="orion")
    system.assert_each_once(["held"], "orion")


def test_while_one_task_waits_for_its_lock_others_go_on(make_system, model):
    system = make_system(NAMES, model=model, env={"LLM_BASE_URL__IRIS": model.url("hold")}).start()
    system.add("held", "Hold it", name="iris", lock="db")
    wait_holder(system, '"iris: held"')
    system.add("locked", "Wait for it", lock="db")
    system.add("free", "Need no lock")
    system.wait_done("free")
    system.wait_state("orion", "waiting")
    assert not asked_for(model, "Wait for it")
    model.release()
    system.wait_done("locked")
    system.wait_done("held", name="iris")


def test_a_cancelled_waiter_leaves_its_place(make_system, model):
    system = make_system(NAMES, model=model, env={"LLM_BASE_URL__IRIS": model.url("hold")}).start()
    system.add("held", "Hold it", name="iris", lock="db")
    wait_holder(system, '"iris: held"')
    system.add("locked", "Wait for it", lock="db")
    wait_until(lambda: "orion: locked" in lock_file(system), "orion among the waiters")
    system.cli("cancel", "orion", "locked")
    wait_until(lambda: "orion: locked" not in lock_file(system), "orion no waiter any more")
    model.release()
    system.wait_done("held", name="iris")
    wait_holder(system, "none")


def test_a_holder_that_outlives_its_lease_loses_the_lock(make_system, model):
    yaml = agents_yaml(("orion",), "    limits: {task_seconds: 2}\n") + agents_yaml(("iris",)).removeprefix("agents:\n")
    system = make_system(NAMES, model=model, yaml=yaml, env={"LLM_BASE_URL__ORION": model.url("hold")}).start()
    system.add("held", "Hold it", name="orion", lock="db")
    wait_holder(system, '"orion: held"')
    system.add("waits", "Wait for it", name="iris", lock="db")
    system.wait_done("waits", name="iris")
    assert "## held" in system.read("queue.md")


def lease_until(system):
    return seconds_of(re.search(r"^lease_until: (\S+)$", lock_file(system), re.MULTILINE)[1])


def test_a_lease_that_was_given_to_a_busy_agent_runs_from_when_its_task_begins(make_system, model):
    system = make_system(NAMES, model=model).start()
    system.add("held", "Hold it [[model:hold]]", name="iris", lock="db")
    wait_holder(system, '"iris: held"')
    system.add("locked", "Wait for it [[model:delay-600000]]", name="orion", lock="db")
    wait_until(lambda: "orion: locked" in lock_file(system), "orion waits")
    system.add("other", "Something else [[model:hold]]", name="orion")
    model.wait_open(2)
    system.cli("cancel", "iris", "held")
    wait_holder(system, '"orion: locked"')
    given = lease_until(system)
    wait_until(lambda: time.time() > given - 900 + 3, "a part of the lease has gone by")
    assert lease_until(system) == given
    model.release()
    wait_until(lambda: lease_until(system) >= given + 2, "the lease runs from now")
    system.cli("cancel", "orion", "locked")
    wait_holder(system, "none")
    assert system.done() == {"other": 1} and token(system) == 2


def test_tokens_grow_over_restarts_and_what_people_do_to_the_file_decides_nothing(make_system, model):
    system = make_system(NAMES, model=model).start()
    system.add("first", "One", lock="db")
    system.wait_done("first")
    wait_holder(system, "none")
    assert token(system) == 1
    assert system.stop() == 0
    (system.data / "shared/locks/db.md").unlink()
    system.start()
    system.add("second", "Two", lock="db")
    system.wait_done("second")
    wait_until(lambda: token(system) == 2, "the second token")
    (system.data / "shared/locks/db.md").write_text("---\nname: db\nholder: \"iris: never\"\ntoken: 1\n---\n")
    system.wait_log(r"shared/locks/db\.md was changed by hand")
    system.add("third", "Three", name="iris", lock="db")
    system.wait_done("third", name="iris")
    wait_until(lambda: token(system) == 3, "the third token")


def test_names_of_locks_that_people_write_harm_nobody(make_system, model):
    system = make_system(NAMES, model=model).start()
    system.add("odd", "Odd name", lock="../../etc/Passwd und mehr")
    system.add("plain", "Plain")
    system.wait_done("odd", "plain")
    [path] = (system.data / "shared/locks").glob("*.md")
    assert "name: \"../../etc/Passwd und mehr\"" in path.read_text()
    worker = system.worker()
    system.add("long", "Too long a name", lock="x" * 100)
    system.add("after", "After it")
    system.wait_done("after")
    assert system.worker() == worker


def test_a_file_that_is_no_lock_is_set_aside_and_told_in_status(make_system, model):
    system = make_system(NAMES, model=model)
    folder = system.data / "shared/locks"
    folder.mkdir(parents=True)
    (folder / "db.md").write_text("No lock at all.\n")
    system.start()
    [kept] = folder.glob("db.md.unreadable-*")
    assert kept.read_text() == "No lock at all.\n"
    for name in NAMES:
        wait_until(lambda: any(kept.name in line for line in system.agent_status(name)["problems"]), f"told of to {name}")
    system.add("first", "One", lock="db")
    system.wait_done("first")
    kept.unlink()
    wait_until(lambda: not system.agent_status()["problems"], "told no more")
