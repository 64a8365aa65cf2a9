"""A start with more agents than warm_workers: an agent that hibernated goes on so, agents with work start first, the others
wait."""

import re
import signal

from harness import agents_yaml, days_ago, task_block, wait_until

NAMES = [f"agent-{number:02}" for number in range(24)]
WARM = 2


def yaml(names=NAMES, tone="plain"):
    return f"defaults: {{tone: {tone}}}\nwarm_workers: {WARM}\n" + agents_yaml(names)


def fleet(make_system, model):
    system = make_system(NAMES, model=model, yaml=yaml(), env={"POLL_INTERVAL": "60"}).start(wait=False)
    rested(system)
    return system


def rested(system):
    expected = ["hibernating"] * (len(NAMES) - WARM) + ["idle"] * WARM
    wait_until(lambda: sorted(system.states().values()) == expected, "all looked at and most hibernating", 60, 0.05)


def sleepers(system):
    return [name for name, state in system.states().items() if state == "hibernating"]


def again(system, number=signal.SIGKILL):
    if number == signal.SIGKILL:
        system.process.kill()
        system.process.wait()
    else:
        assert system.stop(number) == 0
    system.log_path.write_text("")
    return system


def started(system):
    return re.findall(r"Agent '([^']+)' ready at", system.log())


def test_hibernating_agents_go_on_after_an_end_and_after_a_kill(make_system, model):
    system = fleet(make_system, model)
    for number in (signal.SIGTERM, signal.SIGKILL):
        asleep = sleepers(system)
        again(system, number).start(wait=False)
        rested(system)
        assert not set(started(system)) & set(asleep), "their workers were not started to find nothing"
        assert sorted(sleepers(system)) == sorted(asleep)
    assert f"AgentOS running with {len(NAMES)} agent(s)" in system.log()
    sleeper = sleepers(system)[0]
    system.add("woken", name=sleeper)
    system.wait_done("woken", name=sleeper)


def test_what_came_while_the_supervisor_was_down_is_done_without_a_touch(make_system, model):
    system = fleet(make_system, model)
    blocks, letters, *_ = sleepers(system)
    again(system)
    system.append(task_block("by-hand", "Do it"), blocks)
    letter = "---\nid: put-by-hand\nkind: handoff\nfrom: operator\nto: %s\ncreated: %s\n---\n\nDo this too.\n"
    (system.tree(letters) / "iac/handoffs/put-by-hand.md").write_text(letter % (letters, days_ago(1)))
    system.start(wait=False)
    system.wait_done("by-hand", name=blocks)
    wait_until(lambda: not list((system.tree(letters) / "iac/handoffs").iterdir()), "the handoff is done")
    rested(system)
    assert set(started(system)) >= {blocks, letters}
    system.assert_each_once(["by-hand"], blocks)


def test_another_definition_or_another_boot_is_reason_to_look_at_an_agent(make_system, model):
    system = fleet(make_system, model)
    again(system)
    (system.data / "agents.yaml").write_text(yaml(tone="cheerful"))
    system.start(wait=False)
    rested(system)
    assert set(started(system)) == set(NAMES)
    assert all("cheerful" in (system.tree(name) / "persona.md").read_text() for name in NAMES)
    again(system)
    listed = system.data / ".run/rested"
    listed.write_text(listed.read_text().replace("\n", "of another boot\n", 1))
    system.start(wait=False)
    rested(system)
    assert set(started(system)) == set(NAMES), "a crash of the machine may have lost writes"


def test_an_agent_whose_worker_was_started_since_is_not_taken_for_asleep(make_system, model):
    """The file's last word of it counts; a line that was cut short says nothing."""
    system = fleet(make_system, model)
    woken, cut, *_ = sleepers(system)
    again(system)
    with open(system.data / ".run/rested", "a") as file:
        file.write(f"-{woken}\n-{cut}")
    system.start(wait=False)
    rested(system)
    assert woken in started(system) and cut not in started(system)


def test_an_agent_with_work_is_started_before_those_without(make_system, model):
    system = fleet(make_system, model)
    assert again(system).data.joinpath(".run/rested").exists()
    (system.data / ".run/rested").unlink()
    system.add("first", name=NAMES[-1])
    system.start(wait=False)
    system.wait_done("first", name=NAMES[-1])
    rested(system)
    system.wait_log("Every agent has had its first start.")
    assert system.status()["supervisor"]["problems"] == []
    order = started(system)
    assert set(order) == set(NAMES) and order.index(NAMES[-1]) < len(NAMES) - 1


def test_status_says_how_far_the_first_starts_are(make_system, model):
    system = make_system(NAMES, model=model, yaml=yaml(), env={"POLL_INTERVAL": "60"}).start(wait=False)
    said = set()

    def seen():
        status = system.status()
        said.update(status["supervisor"]["problems"] if status else [])
        return "Every agent has had its first start." in system.log()

    wait_until(seen, "every agent has had its first start", 60, 0.01)
    counts = [re.fullmatch(rf"(\d+) of {len(NAMES)} agent\(s\) have started; the others wait for their first start", line) for line in said]
    assert counts and all(counts)


def test_an_order_given_right_after_a_start_does_not_forget_the_one_before(make_system, model):
    system = fleet(make_system, model)
    name = sleepers(system)[0]
    system.cli("stop", name)
    again(system).start(wait=False)
    wait_until(lambda: system.control(verb="status"), "the supervisor answers")
    system.cli("pause", name)
    again(system).start(wait=False)
    wait_until(lambda: system.states().get(name) == "stopped", "it stays stopped")


def scanned(system, clock):
    """After two whole safety scans: each brings a control socket back that somebody removed."""
    for _ in range(2):
        (system.data / ".run/control").unlink()
        clock.move(1, monotonic=1)
        wait_until(lambda: (system.data / ".run/control").exists(), "a scan", 60)


def minute(system, clock):
    """A minute later every tree of three has had its turn."""
    clock.move(56, monotonic=56)
    for _ in range(3):
        scanned(system, clock)


def looks(system):
    """The last lines of .run/rested about the looks at each tree: the marks, and the time of the look."""
    lines = [line.split() for line in (system.data / ".run/rested").read_text().splitlines()[1:]]
    return {line[0][1:]: line[10:] for line in lines}


def test_a_tree_is_noted_as_looked_at_when_its_worker_has_ended_and_no_scan_is_needed(make_system, model):
    system = make_system(NAMES, model=model, yaml=yaml(), env={"POLL_INTERVAL": "3600"}).start(wait=False)
    rested(system)
    wait_until(lambda: all(looks(system)[name][0] != "0" for name in sleepers(system)), "marks that the next supervisor trusts", 20)


def test_a_tree_that_was_looked_at_is_not_read_again_by_the_next_supervisor_unless_somebody_touched_it(make_system, model):
    names = ["iris", "nova", "orion"]
    system = make_system(names, model=model, yaml="warm_workers: 0\n" + agents_yaml(names), env={"POLL_INTERVAL": "1"})
    clock = system.movable_clock()
    system.start(wait=False)
    wait_until(lambda: set(system.states().values()) == {"hibernating"}, "all hibernate", 60)
    scanned(system, clock)  # their bytes are counted
    wait_until(lambda: minute(system, clock) or all(marks[0] != "0" for marks in looks(system).values()), "all looked at", 120)
    before = looks(system)
    assert all(int(marks[4]) > 0 for marks in before.values()), "the limit that each was counted by"
    again(system)
    (system.tree("nova") / ".gitattributes").write_text("* filter=planted\n")
    system.start(wait=False)
    wait_until(lambda: system.states(), "the supervisor answers")
    wait_until(lambda: minute(system, clock) or "filter" in system.log(), "found", 120)
    assert not (system.tree("nova") / ".gitattributes").exists()
    assert {name: marks[3] for name, marks in looks(system).items() if name != "nova"} == {
        name: marks[3] for name, marks in before.items() if name != "nova"
    }, "the others were not read"
    wait_until(lambda: minute(system, clock) or looks(system)["nova"][0] == "0", "it is looked at again", 120)
    for _ in range(3):  # of the tree's top the kernel tells by now
        minute(system, clock)
    (system.tree("iris") / ".gitattributes").write_text("* filter=planted\n")
    minute(system, clock)
    minute(system, clock)
    assert not (system.tree("iris") / ".gitattributes").exists(), "found before the tree's turn to be read came"
