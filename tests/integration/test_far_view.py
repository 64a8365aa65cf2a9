"""The other nodes, seen from one: items of work queues, handoffs, one envelope's way (contract section 12)."""

import itertools
import json
import socket

import pytest
from harness import program_of, wait_until
from nats_server import nats, pinned, start_nodes  # noqa: F401
from post_office import drop, envelope, handing
from test_far import HOMES, wait_finished
from test_http import Http
from test_nodes import kill_node
from test_queues import enqueue
from test_segments import prompt_of

QUEUE = "queues:\n  - {name: reviews, consumers: [iris], max_attempts: 3}\n"


@pytest.fixture
def nodes(make_system, model, nats):  # noqa: F811
    def make(**env):
        yaml = pinned(HOMES, lambda name: "") + QUEUE
        return start_nodes(make_system, model, nats, HOMES, yaml, AGENTOS_LISTEN="127.0.0.1:0", **env)

    return make


def listed(system, *words):
    return json.loads(system.cli(*words, "--json").stdout)["items"]


def chain(a):
    """orion hands to iris on the other node, and iris hands on to nova; both handoffs are done. The two envelopes' ids."""
    systems = chain.systems
    a.append(f"\n## start\ntask: First. {handing('iris', 'Second. ' + handing('nova', 'Third.'))}\n", "orion")
    third = wait_finished(systems, "nova", "Third.")
    second = wait_finished(systems, "iris", "Second.")
    return second["id"], third["id"]


def test_handoffs_are_listed_on_each_node_wherever_they_lie_and_each_once(nodes):
    a, b = chain.systems = nodes()
    second, third = chain(a)
    for system in (a, b):
        items = wait_until(lambda s=system: [i for i in listed(s, "handoffs") if i["status"] == "finished"][1:] and listed(s, "handoffs"), "both", 30)
        assert [(item["id"], item["node"], item["status"]) for item in items] == sorted([(second, "b", "finished"), (third, "a", "finished")])
        assert "owner" not in items[0] and "ignorance" not in items[0] and any("Second." in item["body"] for item in items)
        assert "NODE" in system.cli("handoffs").stdout
    assert [item["id"] for item in listed(a, "handoffs", "-n", "1")] == [max(second, third)]
    assert {item["id"] for item in listed(a, "handoffs", "iris")} == {second, third}


def test_an_envelope_is_shown_with_its_way_over_both_nodes(nodes):
    a, b = chain.systems = nodes()
    second, third = chain(a)
    look = lambda system: json.loads(system.cli("show", second, "--json").stdout)
    settled = lambda: "iac/outbox → iac/archive (delivered)" in (said := json.dumps(look(a), ensure_ascii=False)) and '"not yet"' not in said
    wait_until(settled, "all commits", 30)
    shown = [look(system) for system in (a, b)]
    assert shown[0]["route"] == shown[1]["route"] and shown[0]["status"] == "finished" and shown[0]["node"] == "b"
    steps = [(step["agent"], step["node"], step["what"]) for step in shown[0]["route"]]
    assert ("orion", "a", "iac/outbox (pending)") in steps
    assert any(agent == "iris" and node == "b" and "iac/archive (finished)" in what for agent, node, what in steps)
    assert {(copy["node"], copy["path"].split("/")[1]) for copy in shown[0]["copies"]} == {("a", "orion"), ("b", "iris")}
    for whole in shown:
        assert [item["id"] for item in whole["of_trace"] if item["kind"] == "handoff"] == [third]
        hands = {hand["agent"]: hand["state"] for hand in whole["cost"]["hands"]}
        assert hands == {"orion": "known", "iris": "known", "nova": "known"} and whole["cost"]["complete"]
    text = a.cli("show", second).stdout
    assert "iris on b" in text and "on node b" in text and "what the trace start cost" in text


def get(system, path):
    status, _, body = Http(system).ask(path)
    assert status == 200, body
    return json.loads(body)


def test_items_of_work_queues_are_seen_from_each_node_and_one_that_is_away_is_a_sentence(nodes, model):
    a, b = nodes()
    b.cli("pause", "iris")
    home = {enqueue(a, 1)[0]: "a", enqueue(b, 1)[0]: "b"}
    older, newer = sorted(home)
    for system in (a, b):
        items = wait_until(lambda s=system: (found := listed(s, "queues"))[1:] and found, "both", 30)
        assert [(item["id"], item["node"], item["to"]) for item in items] == [(i, home[i], "queue:reviews") for i in (older, newer)]
        page = get(system, "/v1/queues")
        assert [(item["id"], item["node"]) for item in page["items"]] == [(i, home[i]) for i in (newer, older)]
        assert page["queues"] == [{"queue": "reviews", "items": 2}] and page["next"] is None
        first = get(system, "/v1/queues?limit=1")
        rest = get(system, f"/v1/queues?limit=1&cursor={first['next']}")
        assert [item["id"] for item in first["items"] + rest["items"]] == [newer, older]
    looks = (prompt_of(a, model, "orion", f"look-{number}") for number in itertools.count())
    wait_until(lambda: "queue reviews: 2 waiting, 0 under way" in next(looks), "both in a prompt", 60, 1)
    kill_node(b)
    gone = wait_until(lambda: (said := a.cli("queues", seconds=60)) and "node 'b' is away" in said.stderr and said, "b is missed", 90)
    [mine] = [item for item in home if home[item] == "a"]
    assert mine in gone.stdout and not [item for item in home if home[item] == "b" and item in gone.stdout]
    assert "node 'b' is away: its items are not shown" in get(a, "/v1/queues")["problems"]
    [iris] = json.loads(a.cli("status", "iris", "--all-nodes", "--json").stdout)["agents"]
    assert iris["node"] == "b" and iris["state"] == "stopped"


def test_messages_and_dead_letters_are_listed_on_each_node_wherever_they_lie(nodes):
    a, b = chain.systems = nodes()
    b.cli("pause", "iris")
    drop(a, "orion", "outbox", "late", envelope("late", sender="orion", to="iris", body="Too late.", status="pending", ttl_seconds=2))
    a.cli("send", "nova", "Stay here.")
    for system in (a, b):
        dead = wait_until(lambda s=system: [i for i in listed(s, "dead-letters") if i["id"] == "late"] and listed(s, "dead-letters"), "it has expired", 60)
        assert [(item["id"], item["status"], item["node"]) for item in dead] == [("late", "expired", "b")]
        assert listed(system, "dead-letters", "iris") == dead and listed(system, "dead-letters", "orion") == []
        table = system.cli("dead-letters").stdout
        assert "NODE" in table and "iris" in table
        told = lambda s=system: {item["kind"] for item in listed(s, "messages") if item["node"] == "a"}
        wait_until(lambda t=told: t() == {"message", "bounce"}, "the message, and the bounce of the late one", 60)
        letters = listed(system, "messages")
        assert not [item for item in letters if item["kind"] == "handoff"] and any("Stay here." in item["body"] for item in letters)
        assert {item["to"] for item in listed(system, "messages", "nova")} == {"nova"}
        ids = [item["id"] for item in get(system, "/v1/envelopes?kind=message,bounce")["items"]]
        assert sorted(ids) == sorted(item["id"] for item in letters)
        assert Http(system).ask("/v1/envelopes?kind=message,letter")[0] == 400


def test_the_bus_away_is_a_sentence_and_what_is_here_is_shown(nodes, nats):  # noqa: F811
    a, b = chain.systems = nodes()
    second, third = chain(a)
    nats.kill()
    wait_until(lambda: "the bus is away" in a.cli("queues").stderr, "that is said", 60)
    shown = a.cli("show", second)
    assert "the bus is away" in shown.stderr and "iac/outbox (pending)" in shown.stdout and "iris on b" not in shown.stdout
    assert {item["id"] for item in listed(a, "handoffs")} == {second, third}
    assert second in json.dumps(get(a, f"/v1/envelopes/{second}"))


def test_an_envelope_between_two_other_nodes_is_shown_and_an_agents_files_are_said_to_be_elsewhere(nodes):
    a, b = chain.systems = nodes()
    a.cli("send", "nova", "Stay here.")
    letter = wait_until(lambda: listed(a, "messages"), "the message", 30)[0]["id"]
    assert "Stay here." in b.cli("show", letter).stdout
    assert get(b, f"/v1/envelopes/{letter}")["node"] == "a"
    assert letter in [item["id"] for item in get(b, "/v1/envelopes?agent=nova")["items"]]
    for words in (["skills", "nova"], ["log", "nova"], ["answer", "nova"]):
        refused = b.cli(*words, check=False)
        assert refused.returncode == 66 and "agent 'nova' lives on node 'a', and its files are there" in refused.stderr
    unknown = b.cli("show", "nothing", check=False)
    assert unknown.returncode == 66 and "there is no envelope 'nothing'" in unknown.stderr


def overheard(nats, subject, until, seconds=60):  # noqa: F811
    """The messages under the subject, as JSON, until there are so many; say: called once the test listens."""
    line = socket.create_connection(("127.0.0.1", nats.port), seconds)
    line.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB ' + subject.encode() + b" 1\r\nPING\r\n")
    lines, said = line.makefile("rb"), []
    while lines.readline() != b"PONG\r\n":
        pass
    yield
    while len(said) < until:
        words = lines.readline().split()
        if words[0] == b"HMSG":
            whole = lines.read(int(words[-1]) + 2)[:-2]
            said.append(json.loads(whole[int(words[-2]) :]))
    line.close()
    yield said


STRANGE = [
    {"read_question": 1}, {"read_question": 2, "request": 3}, {"read_question": 3, "request": {"read": "skills", "agent": "nova"}},
    {"read_question": 4, "request": {"read": "queues", "queue": "x" * 5000}}, {"read_question": 5, "request": {"read": "envelope", "id": ["a"]}},
    {"read_question": 6, "request": {"read": "envelopes", "cursor": "no", "limit": -7}},
    {"read_question": 7, "request": {"read": "envelopes", "agent": "../../etc", "limit": 10**15, "bytes": 1}},
]


def test_a_node_that_asks_for_anything_and_answers_what_nobody_asked_is_held_to_its_bounds(nodes, nats):  # noqa: F811
    a, b = chain.systems = nodes()
    chain(a)
    listening = overheard(nats, "agentos.node.evil", len(STRANGE))
    next(listening)
    nats.say("agentos.node.a", "evil", *map(json.dumps, STRANGE))
    said = {answer["read_answer"]: answer for answer in next(listening)}
    for number in (1, 2, 3, 4):
        assert "reads nothing of that kind" in said[number]["complaint"]
    assert "complaint" in said[5] and "cursor" in said[6]["complaint"] and said[7]["answer"]["items"] == []
    listening = overheard(nats, "agentos.node.evil", 100)
    next(listening)
    nats.say("agentos.node.a", "evil", *(json.dumps({"read_question": n, "request": {"read": "envelopes"}}) for n in range(100)))
    most = 0
    while most == 0 or (now := sum(program_of(pid) == "agentos-reader" for pid in a.family())) > 0:
        most = max(most, sum(program_of(pid) == "agentos-reader" for pid in a.family()), 1)
    assert most <= 4
    assert {answer.get("exit", 0) for answer in next(listening)} == {0, 75}
    deep = '{"read_answer":1,"answer":' + "[" * 2000 + "]" * 2000 + "}"
    nats.say("agentos.node.a", "b", deep, '{"read_answer":"x"}', '{"read_answer":-1,"answer":{}}', '{"read_question":{},"read_answer":[]}')
    wait_until(lambda: a.cli("queues").stderr == "", "all nodes are asked and answer", 60)
    assert a.process.poll() is None


def test_prompts_and_the_status_tell_of_agents_of_other_nodes_and_not_as_they_were_when_their_node_is_away(nodes, model):
    a, b = nodes()
    status = lambda: json.loads(a.cli("status", "--all-nodes", "--json").stdout)
    iris = lambda: [agent for agent in status()["agents"] if agent["name"] == "iris"][0]
    wait_until(lambda: (iris()["state"], iris()["node"]) == ("idle", "b"), "iris is seen", 60, 0.2)
    assert status()["supervisor"]["node"] == "a" and {agent["node"] for agent in status()["agents"]} == {"a", "b"}
    [line] = [line for line in prompt_of(a, model, "orion", "look").split("\n") if line.startswith("- iris")]
    assert "out of reach" not in line and "in hand" in line
    kill_node(b)
    wait_until(lambda: iris()["state"] == "stopped", "iris is out of reach", 90, 0.5)
    assert iris()["node"] == "b"
    [line] = [line for line in prompt_of(a, model, "orion", "again").split("\n") if line.startswith("- iris")]
    assert "out of reach, so work for it waits" in line
