"""Work queues with consumers on two nodes, over a real nats-server (contract sections 9 and 12): each item is done once."""

import collections

import pytest
from harness import wait_until
from nats_server import nats, pinned, start_nodes  # noqa: F401
from test_nodes import kill_node
from test_queues import Killer, enqueue, handing_on, items

HOMES = {"nova": "a", "orion": "a", "iris": "b"}


@pytest.fixture
def nodes(make_system, model, nats):  # noqa: F811
    """A function that starts both supervisors; its arguments: the consumers, max_attempts, more of the environment."""

    def make(consumers=("orion", "iris"), max_attempts=50, **env):
        queue = f"queues:\n  - {{name: reviews, consumers: [{', '.join(consumers)}], max_attempts: {max_attempts}}}\n"
        return start_nodes(make_system, model, nats, HOMES, pinned(HOMES, lambda name: "") + queue, **env)

    return make


def done_by(systems):
    total = collections.Counter()
    for name in ("orion", "iris"):
        total.update(systems["ab".index(HOMES[name])].done(name))
    return total


def wait_all_done(systems, ids, seconds=120):
    wait_until(lambda: all(done_by(systems)[i] for i in ids), f"{len(ids)} items done", seconds, 0.1)
    wait_until(lambda: not any(items(system) for system in systems), "the queue empty on both nodes", 60, 0.1)
    assert {i: done_by(systems)[i] for i in ids if done_by(systems)[i] != 1} == {}


def letters(system, name, folder):
    return [path.read_text() for path in (system.tree(name) / "iac" / folder).glob("*.md")]


def test_an_item_is_done_by_a_consumer_of_another_node_and_the_result_comes_back(nodes):
    a, b = systems = nodes(("iris",))
    a.add("ask", "Pass it on " + handing_on(enqueue=[{"queue": "reviews", "task": "Review this"}]), name="nova")
    wait_until(lambda: done_by(systems).total() == 1, "the item done", 60)
    [item] = done_by(systems)
    assert item in b.done("iris") and not a.tree("iris").exists()
    wait_until(lambda: not items(a) and not items(b), "the queue empty on both nodes", 60)
    wait_until(
        lambda: any(
            "kind: result" in text and f"in_reply_to: {item}" in text
            for folder in ("inbox", "archive")
            for text in letters(a, "nova", folder)
        ),
        "the result at the sender's",
        60,
    )


def test_of_consumers_on_two_nodes_one_node_is_killed_and_each_item_is_done_once(nodes, model):
    slow = {"LLM_BASE_URL__IRIS": model.url("hold")}
    a, b = systems = nodes(**slow)
    ids = enqueue(a, 8) + enqueue(b, 4)
    wait_until(lambda: letters(b, "iris", "handoffs"), "iris has some", 60)
    kill_node(b)
    held = {path.stem for path in (b.tree("iris") / "iac/handoffs").glob("*.md")}
    wait_until(lambda: done_by(systems).total() >= 8 - len(held), "orion has done the rest of its node", 120)
    del b.env["LLM_BASE_URL__IRIS"]
    b.start()
    wait_all_done(systems, ids)
    assert held <= set(b.done("iris"))
    for system in systems:
        assert system.stop() == 0
        system.cli("verify")


def test_the_home_of_items_is_killed_while_a_consumer_of_another_node_has_some(nodes):
    a, b = systems = nodes(("iris",))
    ids = enqueue(a, 12)
    for _ in range(3):
        wait_until(lambda: letters(b, "iris", "handoffs") or done_by(systems).total() == 12, "iris has some", 60)
        kill_node(a)
        a.start()
    wait_all_done(systems, ids)


def test_a_consumer_of_another_node_keeps_dying_and_its_items_go_to_the_one_here(nodes, model):
    a, b = systems = nodes(LLM_BASE_URL__IRIS=model.url("hold"))
    with Killer(b, model, "iris") as killer:
        a.cli("pause", "orion")
        ids = enqueue(a, 10)
        wait_until(lambda: killer.kills > 0, "iris has had some", 60)
        a.cli("resume", "orion")
        wait_all_done(systems, ids, 180)
    assert set(ids) <= set(a.done("orion"))


def test_after_max_attempts_the_dead_letter_is_the_far_consumers_and_the_sender_learns_it(nodes, model):
    a, b = nodes(("iris",), 2, LLM_BASE_URL__IRIS=model.url("hold"))
    with Killer(b, model, "iris") as killer:
        a.add("ask", "Pass it on " + handing_on(enqueue=[{"queue": "reviews", "task": "Deadly"}]), name="nova")
        [letter] = wait_until(lambda: letters(b, "iris", "dead-letter"), "the dead letter", 120)
        wait_until(
            lambda: any("kind: bounce" in text for folder in ("inbox", "archive") for text in letters(a, "nova", folder)),
            "the bounce",
            60,
        )
    assert killer.kills == 2 and "status: failed" in letter and "attempts: 2" in letter and "reason: max_attempts" in letter
    wait_until(lambda: not items(a) and not items(b), "the queue empty on both nodes", 60)


def test_the_bus_goes_and_comes_back_and_each_item_is_done_once(nodes, nats):
    a, b = systems = nodes()
    ids = enqueue(a, 6) + enqueue(b, 6)
    nats.kill()
    ids += enqueue(a, 4)
    nats.start()
    wait_all_done(systems, ids)


def test_an_item_that_expires_with_its_only_consumer_away_is_its_senders_dead_letter(nodes):
    a, b = nodes(("iris",))
    b.stop()
    item = {"queue": "reviews", "task": "Too late", "ttl_seconds": 3}
    a.add("ask", "Pass it on " + handing_on(enqueue=[item]), name="nova")
    wait_until(lambda: any("Too late" in text and "status: expired" in text for text in letters(a, "nova", "dead-letter")), "expired", 60)
    a.cli("enqueue", "reviews", "Nobody had it", "--ttl", "1")
    dead = a.data / "shared/dead-letter"
    wait_until(lambda: any("Nobody had it" in path.read_text() for path in dead.glob("*.md")), "the operator's dead letter", 60)
    wait_until(lambda: not items(a), "the queue empty", 60)
