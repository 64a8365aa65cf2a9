"""Locks and segments over two nodes with a real nats-server (contract sections 9 and 12): each has one home."""

import json
import re

import pytest
from harness import agents_yaml, wait_until
from nats_server import nats, pinned, start_nodes  # noqa: F401
from post_office import drop, envelope
from test_locks import lock_file, token
from test_nodes import kill_node
from test_segments import prompt_of, segment, wait_version, writing

HOMES = {"nova": "a", "orion": "a", "iris": "b"}
SEGMENTS = "segments:\n  - {name: glossary, writers: [nova, iris], readers: [orion, iris]}\n"


@pytest.fixture
def nodes(make_system, model, nats):  # noqa: F811
    """A function that starts both supervisors; its arguments: task_seconds, more of the environment."""

    def make(task_seconds=900, **env):
        limits = f"    limits: {{task_seconds: {task_seconds}}}\n"
        return start_nodes(make_system, model, nats, HOMES, pinned(HOMES, lambda name: limits) + SEGMENTS, **env)

    return make


def locks(system):
    return {item["name"]: item for item in json.loads(system.cli("locks", "--json").stdout)["items"]}


def wait_home(systems, lock, node):
    for system in systems:
        wait_until(lambda s=system: locks(s).get(lock, {}).get("home") == node, f"{lock} at home on {node}", 30, 0.1)


def make_home(a, b):
    """The lock db has its home on a."""
    a.add("first", "Begin", name="nova", lock="db")
    a.wait_done("first", name="nova")
    wait_home((a, b), "db", "a")


def hold_from_b(a, b):
    """And iris holds it, from b; its model does not answer."""
    make_home(a, b)
    b.add("held", "Hold it", name="iris", lock="db")
    wait_until(lambda: locks(a)["db"].get("node") == "b", "iris holds it", 60)


def spans_of(model, start):
    return sorted((r["at_ns"], r["end_ns"]) for r in model.requests() if r["task"].startswith(start))


def test_tasks_of_two_nodes_fight_over_a_lock_and_never_two_hold_it(nodes, model):
    a, b = nodes(LLM_BASE_URL=model.url("delay-100"))
    tasks = [(name, f"fight-{name}-{number}") for number in range(5) for name in HOMES]
    for name, task in tasks:
        (a if HOMES[name] == "a" else b).add(task, f"Fight number {task}", name=name, lock="db")
    for name, task in tasks:
        (a if HOMES[name] == "a" else b).wait_done(task, name=name, seconds=120)
    spans = spans_of(model, "Fight")
    assert len(spans) == len(tasks)
    assert all(before[1] <= after[0] for before, after in zip(spans, spans[1:]))
    home = locks(a)["db"]["home"]
    wait_home((a, b), "db", home)
    wait_until(lambda: locks(a)["db"]["token"] == locks(b)["db"]["token"] == len(tasks), "the same tokens on both nodes", 30)
    for system in (a, b):
        assert system.stop() == 0
        system.cli("verify")


def test_the_node_of_a_holder_is_killed_and_the_lock_is_free_when_its_lease_is_over(nodes, model):
    a, b = nodes(8, LLM_BASE_URL__IRIS=model.url("hold"))
    hold_from_b(a, b)
    first = token(a)
    kill_node(b)
    a.add("waits", "Wait for it", name="orion", lock="db")
    wait_until(lambda: "orion: waits" in lock_file(a), "orion waits", 30)
    a.wait_done("waits", name="orion", seconds=90)
    assert token(a) > first


def test_a_supervisor_that_starts_again_loses_what_its_tasks_held_at_once(nodes, model):
    a, b = nodes(LLM_BASE_URL__IRIS=model.url("hold"))
    hold_from_b(a, b)
    kill_node(b)
    (b.tree("iris") / "queue.md").write_text("")
    b.start()
    a.add("waits", "Wait for it", name="orion", lock="db")
    a.wait_done("waits", name="orion", seconds=90)


def test_the_home_of_a_lock_is_killed_and_its_holder_elsewhere_keeps_it(nodes, model):
    a, b = nodes(LLM_BASE_URL__IRIS=model.url("hold"))
    hold_from_b(a, b)
    model.wait_open(1)
    held = token(a)
    kill_node(a)
    a.start()
    a.add("waits", "Wait for it", name="orion", lock="db")
    wait_until(lambda: "orion: waits" in lock_file(a), "orion waits", 60)
    assert locks(a)["db"]["node"] == "b" and token(a) == held
    model.release()
    b.wait_done("held", name="iris", seconds=60)
    a.wait_done("waits", name="orion", seconds=60)
    assert token(a) > held


def test_a_lock_whose_home_is_away_is_waited_for_and_stays_at_home(nodes):
    a, b = nodes()
    make_home(a, b)
    kill_node(a)
    b.add("waits", "Wait for it", name="iris", lock="db")
    b.add("other", "Something else", name="iris")
    b.wait_done("other", name="iris", seconds=60)
    wait_until(lambda: "its home, the node 'a', which is away" in b.log() or "the bus is away" in b.log(), "told", 60)
    assert "waits" not in b.done("iris")
    a.start()
    b.wait_done("waits", name="iris", seconds=90)
    wait_home((a, b), "db", "a")


def test_the_bus_goes_and_a_lock_at_home_is_given_out_all_the_same(nodes, nats):
    a, b = nodes()
    make_home(a, b)
    nats.kill()
    a.add("local", "Go on", name="orion", lock="db")
    a.wait_done("local", name="orion", seconds=60)
    b.add("waits", "Wait for it", name="iris", lock="db")
    wait_until(lambda: "the bus is away, and the lock's home is asked" in b.log(), "told", 60)
    nats.start()
    b.wait_done("waits", name="iris", seconds=90)


def test_a_segment_is_written_from_two_nodes_and_read_on_both(nodes, model):
    a, b = nodes()
    a.add("write", writing("One\n", 0), name="nova")
    for system in (a, b):
        wait_version(system, 1)
    assert segment(b)["home"] == "a" and segment(b)["by"] == "nova"
    assert "Segment glossary, version 1, by nova" in prompt_of(b, model, "iris", "look")
    b.add("there", writing("Two\n", 1), name="iris")
    for system in (a, b):
        wait_version(system, 2)
    assert segment(a)["by"] == "iris" and segment(a)["body"] == "Two"
    assert "Segment glossary, version 2, by iris" in prompt_of(a, model, "orion", "after")
    b.add("stale", writing("Three\n", 1), name="iris")
    b.wait_done("stale", name="iris")
    wait_until(lambda: list((b.tree("iris") / "iac/dead-letter").glob("*.md")), "the refusal in iris's dead letters", 60)
    assert "stale: you saw version 1, it is 2 now" in prompt_of(b, model, "iris", "next")
    assert segment(a)["body"] == segment(b)["body"] == "Two"
    for system in (a, b):
        assert system.stop() == 0
        system.cli("verify")


def test_a_write_waits_for_the_segments_home_and_a_copy_that_was_edited_is_set_aside(nodes):
    a, b = nodes()
    a.add("write", writing("One\n", 0), name="nova")
    wait_version(b, 1)
    kill_node(a)
    b.add("there", writing("Two\n", 1), name="iris")
    b.wait_done("there", name="iris", seconds=60)
    wait_until(lambda: list((b.tree("iris") / "iac/outbox").glob("*.md")), "the write waits", 60)
    path = b.data / "shared/segments/glossary.md"
    path.write_text(path.read_text().replace("One", "By hand"))
    wait_until(lambda: list(path.parent.glob("glossary.md.unreadable-*")), "the edit set aside", 60)
    assert segment(b)["body"] == "One"
    a.start()
    for system in (a, b):
        wait_version(system, 2)
    assert segment(a)["by"] == "iris"
    wait_until(lambda: not list((b.tree("iris") / "iac/outbox").glob("*.md")), "the write settled", 60)


def write_file(system, identity, body, base_version):
    fields = {"base_version": base_version, "status": "pending"}
    drop(system, "iris", "outbox", identity, envelope(identity, "segment", "iris", "segment:glossary", body, **fields))


def test_a_write_that_the_bus_takes_no_message_of_says_why_and_waits_where_its_server_can_be_set_otherwise(nodes, nats):
    a, b = nodes()
    a.add("write", writing("One\n", 0), name="nova")
    wait_version(b, 1)
    write_file(b, "never", "\x01" * 200_000 + "\n", 1)
    reason = lambda: [text for path in (b.tree("iris") / "iac/dead-letter").glob("*.md") if "status: refused" in (text := path.read_text())]
    [text] = wait_until(reason, "the refusal", 60)
    assert re.search(r"node 'a', and the write makes a message of 12\d+ bytes, where the bus takes 1048576", text)
    nats.kill()
    nats.configure("max_payload: 40000")
    nats.start()
    write_file(b, "long", "Two " * 15_000 + "\n", 1)
    b.wait_log(r"stays in the outbox .* node 'a', can't be asked now: it has \d+ bytes, and the bus takes 40000 \(max_payload of its server", 60)
    nats.kill()
    nats.configure()
    nats.start()
    wait_version(a, 2)


def test_segments_of_a_time_before_the_bus_meet_and_the_later_one_is_set_aside(make_system, model, nats):
    yaml = agents_yaml(("nova",)) + "segments:\n  - {name: glossary, writers: [nova], readers: []}\n"
    systems = []
    for text in ("By a\n", "By b\n"):
        system = make_system(("nova",), model=model, yaml=yaml).start()
        system.add("write", writing(text, 0), name="nova")
        wait_version(system, 1)
        assert system.stop() == 0
        systems.append(system)
    for node, system in zip("ab", systems):
        system.env.update(AGENTOS_NODE=node, AGENTOS_BUS=nats.url)
        system.start(wait=node == "a")
        wait_until(lambda s=system: segment(s).get("home") == "a", f"home a, told on {node}", 60)
    assert [segment(system)["body"] for system in systems] == ["By a", "By a"]
    [aside] = (systems[1].data / "shared/segments").glob("glossary.md.unreadable-*")
    assert "By b" in aside.read_text()
