"""Budgets: tokens of a day and tasks of an hour, reserved before a request and settled after it, through every kill."""

import datetime
import os
import re
import signal

import pytest

from harness import agents_yaml, wait_until

MAX_TOKENS = {"LLM_MAX_TOKENS": "100"}


def limits(**limit):
    return "    limits: {" + ", ".join(f"{name}: {value}" for name, value in limit.items()) + "}\n"


def rewrite(system, names=("orion",), extra="", end=""):
    (system.data / "agents.yaml").write_text(agents_yaml(names, extra) + end)


def ledger(system):
    path = system.data / "shared/budget.md"
    return path.read_text() if path.exists() else ""


def spent(system, name="orion"):
    """The tokens of the agent's latest day."""
    section = ledger(system).partition(f"## {name}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^- tokens: (\d+) on (\S+)", section, re.MULTILINE)
    return int(max(found, key=lambda pair: pair[1])[0]) if found else 0


def wait_for_budget(system, name="orion"):
    def waits():
        status = system.agent_status(name)
        found = [p for p in status["problems"] if p.startswith("waiting: budget")] if status else []
        return found[0] if status and status["state"] == "waiting" and found else None

    return wait_until(waits, f"{name} waiting: budget", pause=0.05)


def midnight():
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return (today + datetime.timedelta(days=1)).strftime("%Y-%m-%dT00:00:00Z")


@pytest.fixture
def tight(make_system, model):
    """An agent that has tokens for some tasks of a day, and an agent that has used them up."""
    system = make_system(model=model, env=MAX_TOKENS, extra=limits(tokens_per_day=3000)).start()
    count = 0
    while system.agent_status()["state"] != "waiting":
        count += 1
        assert count < 50
        system.add(f"task-{count}", "Spend some tokens")
        wait_until(
            lambda: system.done()[f"task-{count}"] or system.agent_status()["state"] == "waiting", "done or out of tokens"
        )
    assert count > 1
    return system, f"task-{count}", count


def test_an_agent_at_its_limit_waits_until_midnight_and_says_so(tight, model):
    system, held, _ = tight
    assert wait_for_budget(system) == f"waiting: budget (until {midnight()})"
    assert any("limits.tokens_per_day is 3000" in problem for problem in system.agent_status()["problems"])
    assert f"## {held}" in system.read("queue.md")
    assert spent(system) <= 3000
    assert "until" in system.cli("status").stdout


def test_what_was_spent_is_what_the_model_counted(make_system, model):
    system = make_system(model=model, env=MAX_TOKENS, extra=limits(tokens_per_day=1000000)).start()
    system.add("first", "Spend some")
    system.add("second", "Spend more")
    system.wait_done("first", "second")
    taken = sum(int(n) for n in re.findall(r"^- tokens: (\d+)", system.read("rewards.md"), re.MULTILINE))
    wait_until(lambda: spent(system) == taken, f"{taken} tokens in the ledger")
    assert system.stop() == 0
    assert spent(system) == taken


def test_a_raised_limit_lets_it_go_on_at_once(tight):
    system, held, _ = tight
    rewrite(system, extra=limits(tokens_per_day=300000))
    system.wait_done(held)
    system.wait_queue_empty()
    system.wait_state("orion", "idle")
    assert not system.agent_status()["problems"]


def test_a_person_who_gives_tokens_back_in_the_file_is_obeyed(tight):
    system, held, _ = tight
    path = system.data / "shared/budget.md"
    path.write_text(re.sub(r"- tokens: \d+ on", "- tokens: 0 on", path.read_text()))
    system.wait_done(held)


def test_an_edit_is_not_lost_to_a_save_while_the_file_is_written_over(make_system, model):
    system = make_system(model=model, env=MAX_TOKENS, extra=limits(tokens_per_day=1000000)).start()
    system.add("first", "Spend some")
    system.wait_done("first")
    path = system.data / "shared/budget.md"
    text = re.sub(r"- tokens: \d+ on", "- tokens: 500000 on", path.read_text())
    with open(path, "w") as file:
        system.add("second", "Spend more")

        def saved_or_waits():
            file.truncate(0)  # the file is being written still
            replaced = os.fstat(file.fileno()).st_nlink == 0
            return replaced or system.agent_status()["state"] == "waiting"

        wait_until(saved_or_waits, "the budget saved, or waiting for the file")
        file.write(text)
    system.wait_done("second")
    assert spent(system) > 500000


def test_the_budget_outlives_every_kill(tight, model):
    system, held, count = tight
    before = spent(system)
    for _ in range(3):
        system.process.kill()
        system.process.wait()
        system.start()
        wait_for_budget(system)
        os.kill(system.worker(), signal.SIGKILL)
        wait_for_budget(system)
    assert spent(system) == before
    assert sum(model.asked().values()) == count - 1
    assert system.done()[held] == 0
    assert not list((system.tree() / "iac/dead-letter").iterdir())


def test_a_request_whose_end_nobody_knows_counts_as_spent(make_system, model):
    system = make_system(model=model, scenario="hold", env=MAX_TOKENS, extra=limits(tokens_per_day=100000)).start()
    system.add("held", "Nobody hears the answer")
    model.wait_open(1)
    reserved = spent(system)
    assert reserved > 100
    system.process.kill()
    system.process.wait()
    assert spent(system) == reserved
    system.start()
    wait_until(lambda: len(model.requests()) == 2, "asked again")
    assert 1.9 * reserved < spent(system) < 2.1 * reserved
    model.release()
    system.wait_done("held")
    assert system.stop() == 0
    assert reserved < spent(system) < 2 * reserved + 100


def test_a_gateway_that_dies_with_a_request_leaves_its_tokens_spent(make_system, model):
    system = make_system(model=model, scenario="hold", env=MAX_TOKENS, extra=limits(tokens_per_day=100000)).start()
    system.add("held", "Asked twice")
    model.wait_open(1)
    reserved = spent(system)
    os.kill(system.processes()["gateway"], signal.SIGKILL)
    wait_until(lambda: len(model.requests()) == 2, "asked again")
    assert 2 * reserved <= spent(system) < 2 * reserved + 20  # the prompt has the sums that were spent
    model.release()
    system.wait_done("held")


def test_tasks_of_an_hour_are_counted_and_retries_are_not(make_system, model):
    system = make_system(
        model=model, scenario="http-503-times-2", env={"LLM_MAX_RETRIES": "0"}, extra=limits(tasks_per_hour=2)
    ).start()
    for name in ("first", "second", "third"):
        system.add(name, f"Do {name}")
    system.wait_done("first", "second", seconds=60)
    until = re.search(r"until (\S+)\)", wait_for_budget(system))[1]
    until = datetime.datetime.fromisoformat(until.replace("Z", "+00:00"))
    left = until - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(minutes=55) < left <= datetime.timedelta(hours=1)
    assert system.done() == {"first": 1, "second": 1}
    system.process.kill()
    system.process.wait()
    system.start()
    wait_for_budget(system)
    rewrite(system, extra=limits(tasks_per_hour=3))
    system.wait_done("third")


def test_the_budget_of_all_holds_for_all(make_system, model):
    names = ("orion", "iris")
    yaml = agents_yaml(names) + "budget: {tokens_per_day: 2500}\n"
    system = make_system(names, model=model, env=MAX_TOKENS, yaml=yaml).start()
    for number in range(10):
        for name in names:
            system.add(f"{name}-{number}", "Spend", name=name)
    for name in names:
        wait_for_budget(system, name)
    assert 0 < spent(system, "orion") + spent(system, "iris") <= 2500
    rewrite(system, names)
    system.wait_queue_empty("orion")
    system.wait_queue_empty("iris")


def test_without_limits_nothing_is_written(system):
    system.add("first", "Do it")
    system.wait_done("first")
    assert system.stop() == 0
    assert not (system.data / "shared/budget.md").exists()


def test_a_limit_below_one_request_says_that_no_day_is_long_enough(make_system, model):
    system = make_system(model=model, extra=limits(tokens_per_day=1000)).start()
    system.add("first", "Do it")
    wait_for_budget(system)
    assert any("no day is long enough" in problem for problem in system.agent_status()["problems"])


@pytest.mark.parametrize("damage", [b"\xff\x00nonsense", b"## orion\n- tokens: lots on 2026\n- tokens: 5 on 2026-04-29\n"])
def test_a_damaged_ledger_is_set_aside_and_stops_nobody(make_system, model, damage):
    system = make_system(model=model, extra=limits(tokens_per_day=100000))
    (system.data / "shared").mkdir()
    (system.data / "shared/budget.md").write_bytes(damage)
    system.start()
    system.add("first", "Do it")
    system.wait_done("first")
    [aside] = (system.data / "shared").glob("budget.md.unreadable-*")
    assert aside.read_bytes() == damage
    assert "budget.md" in system.log()


def test_a_ledger_that_is_too_long_to_be_read_counts_as_spent_until_it_is_shorter(make_system, model):
    system = make_system(model=model, extra=limits(tokens_per_day=100000))
    (system.data / "shared").mkdir()
    path = system.data / "shared/budget.md"
    path.write_text("## orion\n- tokens: 5 on 2026-04-29\n" + "\n" * (16 << 20))
    system.start()
    system.add("first", "Do it")
    wait_for_budget(system)
    assert any("shared/budget.md could not be read" in problem for problem in system.agent_status()["problems"])
    assert not model.requests() and path.stat().st_size > 16 << 20
    path.write_text("## orion\n- tokens: 5 on 2026-04-29\n")
    system.wait_done("first")
    assert "- tokens: 5 on 2026-04-29" in ledger(system) and not list(path.parent.glob("*unreadable*"))
    assert "is taken as it is now" in system.log()


def test_a_ledger_that_could_not_be_written_for_one_agent_keeps_no_other_waiting(make_system, model):
    both = lambda tasks: agents_yaml(["orion"], limits(tasks_per_hour=tasks)) + agents_yaml(["iris"], limits(tasks_per_hour=9)).partition("\n")[2]
    system = make_system(("orion", "iris"), model=model, yaml=both(1)).start()
    system.add("first", "Use the hour up")
    system.wait_done("first")
    system.add("second", "Wait for the next hour")
    wait_for_budget(system)
    wait_until(lambda: "in hand" not in ledger(system), "everything is in the ledger")
    shared = system.data / "shared"
    shared.rename(system.data / "aside")
    shared.write_text("in the way")
    system.add("other", "Find the ledger unwritable", name="iris")
    system.wait_log("agents with a budget wait until it can be written")
    system.cli("stop", "iris")
    shared.unlink()
    (system.data / "aside").rename(shared)
    system.wait_log("The budget's file is written again")
    (system.data / "agents.yaml").write_text(both(5))
    system.wait_done("second")


def test_where_the_ledger_cannot_be_written_nobody_asks(make_system, model):
    system = make_system(model=model, extra=limits(tokens_per_day=100000))
    (system.data / "shared").write_text("in the way")
    system.start()
    system.add("first", "Do it")
    wait_for_budget(system)
    assert not model.requests()
    (system.data / "shared").unlink()
    system.wait_done("first")
