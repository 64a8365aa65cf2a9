"""Envelopes between agents of two supervisors, over a real nats-server: section 9 across nodes (contract section 12)."""

import random
import signal
import subprocess

import pytest
from harness import descendants, program_of, send_signal, wait_until
from nats_server import nats, pinned, start_nodes  # noqa: F401
from post_office import drop, ends, envelope, handing, in_folder, moment, with_text

HOMES = {"orion": "a", "nova": "a", "iris": "b"}


@pytest.fixture
def nodes(make_system, model, nats):  # noqa: F811
    """A function that starts both supervisors; its arguments are more of agents in agents.yaml."""

    def make(**extra):
        return start_nodes(make_system, model, nats, HOMES, pinned(HOMES, lambda name: extra.get(name, "")))

    return make


def home(systems, name):
    return systems["ab".index(HOMES[name])]


def finished(systems, name, text):
    return [fields for fields in with_text(home(systems, name), name, "archive", text) if fields["status"] == "finished"]


def wait_finished(systems, name, text, seconds=60):
    return wait_until(lambda: finished(systems, name, text), f"'{text}' finished at {name}", seconds, 0.05)[0]


def test_a_chain_over_two_nodes_with_results_back(nodes):
    a, b = systems = nodes()
    first = handing("iris", "Second. " + handing("nova", "Third."))
    a.append(f"\n## start\ntask: First. {first}\n", "orion")
    third = wait_finished(systems, "nova", "Third.")
    second = wait_finished(systems, "iris", "Second.")
    assert (third["from"], third["hops"]) == ("iris", "2") and (second["from"], second["hops"]) == ("orion", "1")
    assert third["trace"] == second["trace"]
    for name, system, request in (("orion", a, second), ("iris", b, third)):
        result = wait_until(
            lambda: [
                fields
                for folder in ("inbox", "archive")
                for fields in in_folder(system, name, folder).values()
                if fields["kind"] == "result" and fields.get("in_reply_to") == request["id"]
            ],
            f"{name}'s result",
            60,
        )
        assert len(result) == 1 and result[0]["trace"] == second["trace"]
    assert not a.tree("iris").exists() and not b.tree("orion").exists()
    wait_until(lambda: second["id"] in in_folder(a, "orion", "archive"), "orion's copy in its archive", 60)
    for system in systems:
        system.stop()
        system.cli("verify")
    assert "on node b" in a.cli("show", second["id"]).stdout


def test_a_message_from_the_operator_of_another_node(nodes):
    a, b = systems = nodes()
    a.cli("send", "iris", "Hello from a.")
    letter = wait_until(
        lambda: with_text(b, "iris", "archive", "Hello from a.") or with_text(b, "iris", "inbox", "Hello from a."), "the message", 60
    )
    assert letter[0]["from"] == "operator"
    wait_until(lambda: not list((a.data / "shared/outbox").glob("*.md")), "nothing waits", 60)
    wait_until(lambda: not list((a.data / "shared/bus").rglob("*.md")), "nothing is remembered as sent", 60)


def test_a_flood_onto_a_slow_agent_of_another_node(nodes):
    slow = "    throughput_class: slow\n"
    a, b = systems = nodes(iris=slow)
    texts = [f"Flood {i:02}." for i in range(14)]
    a.append(f"\n## flood\ntask: Go. {handing('iris', *texts)}\n", "orion")

    def ended():
        done = [text for text in texts if finished(systems, "iris", text)]
        refused = [text for text in texts if with_text(a, "orion", "dead-letter", text)]
        return (done, refused) if len(done) + len(refused) == len(texts) else None

    done, refused = wait_until(ended, "each has ended", 120)
    assert len(done) >= 9 and set(done).isdisjoint(refused)
    times = [finished(systems, "iris", text)[0]["delivered"] for text in done]
    assert times == sorted(times)
    for fields in in_folder(a, "orion", "dead-letter").values():
        assert (fields["status"], fields["reason"]) == ("refused", "backpressure")


def test_what_waits_for_a_node_that_is_down_expires_on_time_or_goes_when_it_is_back(nodes):
    a, b = systems = nodes()
    b.stop()
    drop(a, "orion", "outbox", "short", envelope("short", sender="orion", to="iris", created=moment(), ttl_seconds=6, status="pending"))
    drop(a, "orion", "outbox", "long", envelope("long", sender="orion", to="iris", status="pending", body="Go on.\n"))
    b.start()
    wait_finished(systems, "iris", "Go on.")
    wait_until(lambda: len(ends(a)["short"] | ends(b)["short"]) == 1, "an end of the short one", 60)


def kill(systems, nats, chance):
    """A process of each kind that may die."""
    what = chance.choice(["a", "b", "bus", "bus", "nats"])
    if what == "nats":
        nats.kill()
        nats.start()
    elif what == "bus":
        for pid in descendants(chance.choice(systems).process.pid):
            if program_of(pid) == "agentos-bus":
                send_signal(pid, signal.SIGKILL)
    else:
        system = systems["ab".index(what)]
        system.process.kill()
        system.process.wait()
        system.start()


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_of_supervisors_bus_and_server_leave_each_envelope_with_one_end_that_its_sender_knows(nodes, nats, seed):
    a, b = systems = nodes()
    chance = random.Random(seed)
    sent = {}
    for batch in range(12):
        for i in range(12):
            sender, to = chance.choice([("orion", "iris"), ("nova", "iris"), ("iris", "orion"), ("iris", "nova")])
            identity = f"e{batch:02}-{i:02}"
            kind = chance.choice(["handoff", "handoff", "message"])
            fields = {"ttl_seconds": chance.choice([0, 0, 3, 30])}
            text = envelope(identity, kind, sender, to, f"Work {identity}.\n", status="pending", **fields)
            drop(home(systems, sender), sender, "outbox", identity, text)
            sent[identity] = (sender, to)
        kill(systems, nats, chance)

    def unfinished():
        left = []
        for identity, (sender, to) in sent.items():
            mine = {folder for folder in ("outbox", "archive", "dead-letter") if identity in in_folder(home(systems, sender), sender, folder)}
            theirs = {f for f in ("inbox", "handoffs", "archive", "dead-letter") if identity in in_folder(home(systems, to), to, f)}
            ended = len(theirs & {"archive", "dead-letter"}) + ("dead-letter" in mine)
            if ended != 1 or "outbox" in mine or theirs & {"inbox", "handoffs"} or not mine:
                left.append((identity, sender, to, mine, theirs))
        return left

    wait_until(lambda: not unfinished() or None, "each envelope in one end, its sender told", 240, 0.5)
    for name in HOMES:
        lying = [fields for folder in ("inbox", "archive") for fields in in_folder(home(systems, name), name, folder).values()]
        answered = [fields["in_reply_to"] for fields in lying if fields["kind"] == "result" and fields["to"] == name]
        assert len(answered) == len(set(answered))
    for identity, (sender, to) in sent.items():
        tree = home(systems, to).tree(to)
        log = subprocess.run(["git", "log", "--format=%s", "--diff-filter=A", "--", f"iac/archive/{identity}.md"], cwd=tree, capture_output=True, text=True)
        assert len(log.stdout.splitlines()) <= 1, (identity, log.stdout)
    assert not [name for system in systems for name in HOMES if name not in system.names and system.tree(name).exists()]
