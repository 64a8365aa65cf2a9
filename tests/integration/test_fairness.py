"""No work starves: a sender's share of the turns, and work that has waited for ten minutes (contract section 5)."""

import re

from harness import agents_yaml, wait_until
from post_office import handing, in_folder

LONG = {"LLM_TIMEOUT": "7200"}


def done_in_order(system, name="orion"):
    """The ids of the agent's finished work, the first first."""
    subjects = system.git("log", "--reverse", "--format=%s", name=name).splitlines()
    return [found[1] for line in subjects if (found := re.match(rf"{name}\(task\): (\S+)$", line))]


def waited_minutes(system):
    """The time of the work that has waited longest, as the worker notes it."""
    try:
        lines = (system.tree("orion") / ".agentos/waiting").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return max((int(line.split()[1]) for line in lines), default=0) / 60000


def test_urgent_work_of_one_sender_does_not_hold_up_the_operators(make_system, model):
    system = make_system(["orion", "iris"], model=model).start()
    system.cli("pause", "orion")
    system.add("flood", "Begin. " + handing("orion", *[f"Urgent {n}" for n in range(12)], priority="high"), name="iris")
    wait_until(lambda: len(in_folder(system, "orion", "handoffs")) == 4, "a full window")
    system.cli("task", "orion", "Mine", "--id", "mine", "--priority", "low")
    system.cli("task", "orion", "Mine too", "--id", "mine-too", "--priority", "low")
    system.cli("resume", "orion")
    wait_until(lambda: len(done_in_order(system)) == 14, "everything", seconds=60)
    order = done_in_order(system)
    assert order.index("mine") <= 1 and order.index("mine-too") == order.index("mine") + 2


def test_what_waited_for_ten_minutes_is_next_and_a_restart_forgets_none_of_them(make_system, model):
    yaml = agents_yaml(["orion"], "    limits: {task_seconds: 7200}\n")
    system = make_system(model=model, env=LONG, yaml=yaml)
    clock = system.movable_clock()
    system.start()
    model.become("hold")
    system.add("first", "Take long", priority="high")
    wait_until(lambda: model.requests(), "the first request")
    system.add("low", "Wait", priority="low")

    def wait_to(minutes):
        moved = lambda: clock.move(0, monotonic=20) or waited_minutes(system) >= minutes
        wait_until(moved, f"{minutes} minutes", pause=0.5)

    wait_to(6)
    assert system.stop() == 0
    system.start()
    wait_until(lambda: len(model.requests()) == 2, "the first request again")
    for n in range(3):
        system.add(f"high-{n}", "Hurry", priority="high")
    wait_to(10)
    model.become("")
    system.cli("cancel", "orion", "first")
    system.wait_done("low", "high-0", "high-1", "high-2")
    assert done_in_order(system)[0] == "low"
