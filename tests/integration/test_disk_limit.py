"""limits.disk_mb: the bytes and files of a tree, counted by every scan."""

import itertools
import json
import subprocess

import pytest
from harness import BIN, wait_until

LIMITED = "    limits: {disk_mb: 16}\n"
MB = 1 << 20


def fill(system, megabytes, name="big"):
    (system.tree() / "outputs" / name).write_bytes(b"x" * (megabytes * MB))


def litter(system, files):
    folder = system.tree() / "outputs" / "many"
    folder.mkdir()
    for number in range(files):
        (folder / str(number)).touch()


def told(system, words):
    return wait_until(lambda: [line for line in system.agent_status()["problems"] if words in line], f"the problem {words}")[0]


def is_of_the_limit(event):
    return event["event"] == "problem" and event["agent"] == "orion" and "limits.disk_mb" in event["problem"]


@pytest.mark.parametrize("grow", [lambda s: fill(s, 17), lambda s: litter(s, 4200)], ids=["bytes", "files"])
def test_past_its_limit_the_worker_is_ended_and_the_agent_paused_and_that_is_said(make_system, model, grow):
    system = make_system(model=model, extra=LIMITED).start()
    system.add("before", "Go on")
    system.wait_done("before")
    worker = system.worker()
    grow(system)
    problem = told(system, "limits.disk_mb (16)")
    assert "its worker was ended, and the agent is paused" in problem and "`agentos resume orion`" in problem
    system.wait_log("WARN .*Agent 'orion': its files .*limits.disk_mb")
    system.wait_state("orion", "paused")
    assert system.worker() != worker
    system.add("meanwhile", "Go on")
    subprocess.run(["rm", "-r", *(path for path in (system.tree() / "outputs").glob("*") if path.name in ("big", "many"))], check=True)
    wait_until(lambda: not system.agent_status()["problems"], "no problem any more")
    assert system.states()["orion"] == "paused", "its owner says when it goes on"
    system.cli("resume", "orion")
    system.wait_done("meanwhile")
    assert system.agent_status()["restarts"] == 1


def test_a_tree_that_is_larger_at_the_start_is_told_of_and_paused_when_it_grows(make_system, model):
    system = make_system(model=model, extra=LIMITED).start()
    system.stop()
    fill(system, 40)
    system.start()
    assert "When they take a twentieth more" in told(system, "take 41 MB, more than limits.disk_mb (16)")
    system.add("as-before", "Go on")
    system.wait_done("as-before")
    assert system.states()["orion"] == "idle"
    fill(system, 4, "more")
    told(system, "its worker was ended, and the agent is paused")
    system.wait_state("orion", "paused")


def test_a_tree_that_grows_while_its_agent_is_paused_stops_it(make_system, model):
    system = make_system(model=model, extra=LIMITED).start()
    fill(system, 40)
    told(system, "the agent is paused")
    system.wait_state("orion", "paused")
    sizes = itertools.count(1)

    def stopped():
        """The files at the next count are the tree's measure; then the tree grows."""
        fill(system, 5 * next(sizes), "more")
        return [line for line in system.agent_status()["problems"] if "the agent is stopped, as they grew while it was paused" in line]

    wait_until(stopped, "the problem", pause=1.5)
    system.wait_state("orion", "stopped")


def test_the_events_tell_of_it(make_system, model):
    system = make_system(model=model, extra=LIMITED).start()
    heard = system.folder / "events"
    with open(heard, "wb") as output:
        events = subprocess.Popen([BIN / "agentos", "events", "--json"], env=system.env, stdout=output)

    def listens():
        system.cli("pause", "orion")
        system.cli("resume", "orion")
        return heard.stat().st_size > 0

    try:
        wait_until(listens, "an event")
        fill(system, 17)
        wait_until(lambda: [line for line in heard.read_text().splitlines() if is_of_the_limit(json.loads(line))], "the event")
    finally:
        events.kill()
