"""A kill at every system call of an item of a queue, a lock and a write to a segment, which go through shared/; and queues
in a storm of kills. Each item is done once, whatever state is left, tokens and versions only grow, and no file is left over.

AGENTOS_KILL_STEP walks faster (see test_cycle_kill.py), AGENTOS_STORM_SEED repeats a storm's choices.
"""

import base64
import collections
import json
import os
import random
import re
import signal

import pytest

from harness import agents_yaml, alive, send_signal, wait_until
from test_cycle_kill import EVERY, EVERY_THIRD, kill_at, places_met, release, there

NAMES = ("nova", "orion", "iris")
CONSUMERS = ("orion", "iris")
YAML = agents_yaml(NAMES) + (
    "queues:\n  - {name: reviews, consumers: [orion, iris], max_attempts: 1000}\n"
    "segments:\n  - {name: glossary, writers: [nova], readers: [orion]}\n"
)


def number_in(system, path, key):
    try:
        found = re.search(rf"^{key}: (\d+)$", (system.data / path).read_text(), re.MULTILINE)
    except FileNotFoundError:
        return 0
    return int(found[1]) if found else 0


def token(system):
    return number_in(system, "shared/locks/db.md", "token")


def version(system):
    return number_in(system, "shared/segments/glossary.md", "version")


def queue_files(system):
    folder = system.data / "shared/queues/reviews"
    return list(folder.iterdir()) if folder.exists() else []


def done_items(system):
    """How often each item was committed as done, over all consumers; the texts by id."""
    total = collections.Counter()
    for name in CONSUMERS:
        total.update(system.done(name))
    return total


ENDED = {}  # an item that came to its end stays as it is, and a test looks often: the text that was read of each


def items_with(system, text):
    """Ids of items of this text that came to their end."""
    found = set()
    for name in CONSUMERS:
        for path in (system.tree(name) / "iac/archive").glob("*.md"):
            content = ENDED.get(path) or path.read_text()
            if "\nkind: item\n" in content and "\nstatus: finished\n" in content:
                ENDED[path] = content
                if text in content:
                    found.add(path.stem)
    return found


def restart(system, *names):
    """Forgets the ends before, which would make each start wait longer."""
    for name in names:
        wait_until(lambda: system.control(verb="restart", agent=name)["exit"] == 0, f"{name} restarted")
        system.wait_state(name, "idle")


def give(system, number):
    """A task that takes a lock, puts an item into the queue and writes the segment."""
    keys = {
        "enqueue": [{"queue": "reviews", "task": f"Review the piece {number}."}],
        "segments": [{"name": "glossary", "body": f"Text {number}.", "base_version": version(system)}],
    }
    directive = "[[with:" + base64.b64encode(json.dumps(keys).encode()).decode() + "]]"
    system.add(f"task-{number}", f"Do {number} {directive}", name="nova", lock="db")


def over(system, number):
    text = f"Review the piece {number}."
    return system.done("nova")[f"task-{number}"] and items_with(system, text) and not queue_files(system) and not list(
        (system.tree("nova") / "iac/outbox").glob("*.md")
    )


def check(system, numbers):
    done = done_items(system)
    for number in numbers:
        [item] = items_with(system, f"Review the piece {number}.")
        assert done[item] == 1, (number, item, done[item])
    assert set(done.values()) <= {1}, done
    assert set(system.done("nova").values()) == {1}
    assert version(system) == len(numbers)
    assert token(system) >= len(numbers)
    for name in NAMES:
        system.assert_sound(name)
    assert system.stop() == 0
    verify = system.cli("verify", check=False)
    assert verify.returncode == 0, verify.stdout


def walk(system, who, again, tmp_path):
    numbers, killed, tokens = ["first"], 0, 0

    def act():
        give(system, "first")
        wait_until(lambda: over(system, "first"), "the first piece over", 60, 0.01)

    places = places_met(there(system, who), tmp_path / "calls", act, EVERY if who == "supervisor" else EVERY_THIRD)
    for call, count in places:
        restart(system, *([] if who == "supervisor" else NAMES))
        pid, number = there(system, who), f"{call}-{count}"
        tracer = kill_at(pid, count, call)
        numbers.append(number)
        give(system, number)
        wait_until(lambda: over(system, number) or not alive(pid), f"piece {number} over or {who} killed", 60, 0.01)
        release(tracer)
        if not alive(pid):
            killed += 1
            again()
        wait_until(lambda: over(system, number), f"piece {number} over after the kill", 60, 0.02)
        assert token(system) > tokens
        tokens = token(system)
    assert killed > len(places) / 2, f"{killed} kills at {len(places)} places"
    return numbers


def test_a_kill_of_the_supervisor_at_any_system_call_doubles_no_item_and_takes_no_token_back(make_system, model, tmp_path):
    system = make_system(NAMES, model=model, yaml=YAML).start()

    def again():
        system.process.wait(20)
        system.start()

    check(system, walk(system, "supervisor", again, tmp_path))


@pytest.mark.parametrize("who", ["nova", "orion"], ids=["sender", "consumer"])
def test_a_kill_of_a_worker_at_any_system_call_doubles_no_item(make_system, model, tmp_path, who):
    system = make_system(NAMES, model=model, yaml=YAML).start()
    check(system, walk(system, who, lambda: None, tmp_path))


def test_a_kill_of_the_supervisor_while_an_item_is_taken_back_leaves_it_with_one(make_system, model, tmp_path):
    """The item's consumer dies, and the supervisor dies at every system call of the consequences."""
    system = make_system(CONSUMERS, model=model, yaml=YAML.replace("  - name: nova", "  - name: spare", 1).replace(
        "writers: [nova]", "writers: [orion]")).start()
    ids = []

    def orion_has_one():
        """And iris has nothing to do; orion's pid."""
        assert system.control(verb="stop", agent="iris")["exit"] == 0
        restart(system, "orion")
        model.become("hold")
        ids.append(system.cli("enqueue", "reviews", f"Review number {len(ids)}").stdout.strip())
        model.wait_open(1)
        model.become("plain")
        assert system.control(verb="start", agent="iris")["exit"] == 0
        system.wait_state("iris", "idle")
        return system.worker("orion")

    def is_over():
        return done_items(system)[ids[-1]] and not queue_files(system)

    orion, killed = orion_has_one(), 0

    def act():
        send_signal(orion, signal.SIGKILL)
        wait_until(is_over, "the first item done", 60, 0.01)

    places = places_met(system.process.pid, tmp_path / "calls", act, EVERY)
    model.reset()
    for name, call in places:
        orion, supervisor = orion_has_one(), system.process.pid
        tracer = kill_at(supervisor, call, name)
        send_signal(orion, signal.SIGKILL)
        wait_until(lambda: done_items(system)[ids[-1]] or not alive(supervisor), "done again, or killed", 60, 0.01)
        release(tracer)
        model.reset()
        if not alive(supervisor):
            killed += 1
            system.process.wait(20)
            system.start()
        wait_until(is_over, f"item {len(ids)} done", 60, 0.02)
    assert killed > len(places) / 2, f"{killed} kills at {len(places)} places"
    assert {i: n for i, n in done_items(system).items() if n != 1} == {}
    assert set(done_items(system)) == set(ids)
    assert system.stop() == 0
    verify = system.cli("verify", check=False)
    assert verify.returncode == 0, verify.stdout


def test_a_storm_of_kills_loses_no_item_and_does_none_twice(make_system, model):
    seed = os.environ.get("AGENTOS_STORM_SEED") or str(int.from_bytes(os.urandom(4), "little"))
    print(f"AGENTOS_STORM_SEED={seed}")
    chance = random.Random(seed)
    system = make_system(NAMES, model=model, scenario="slow-10", yaml=YAML).start()
    ids, number = [], 0
    for _ in range(25):
        for _ in range(3):
            ids.append(system.cli("enqueue", "reviews", f"Review number {number}").stdout.strip())
            number += 1
        aim = min(len(ids), done_items(system).total() + chance.randint(1, 3))
        who = chance.choice(["orion", "iris", "orion", "iris", "supervisor"])
        pid = system.processes().get(who)
        if pid:
            send_signal(pid, signal.SIGKILL)
        if who == "supervisor":
            system.process.wait()
            system.start()
        wait_until(lambda: done_items(system).total() >= aim, "progress between two kills", 60, chance.uniform(0.001, 0.02))
    wait_until(lambda: set(done_items(system)) >= set(ids) and not queue_files(system), "every item done", 120, 0.1)
    assert {i: n for i, n in done_items(system).items() if n != 1} == {}
    for name in CONSUMERS:
        assert not list((system.tree(name) / "iac/dead-letter").glob("*.md"))
        system.assert_sound(name)
