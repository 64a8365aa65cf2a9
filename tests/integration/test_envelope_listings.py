"""Envelopes as people see them: the listings, `agentos show`, and the findings of `agentos verify`."""

import json

import pytest

from harness import agents_yaml, wait_until

HEAD = "id kind from to created ttl_seconds priority status attempts hops trace".split()


def envelope(identity, kind="handoff", sender="orion", to="iris", created="2026-04-29T10:00:00Z", body="Look at it.\n", **fields):
    values = {"id": identity, "kind": kind, "from": sender, "to": to, "created": created, "status": "delivered", **fields}
    return "---\n" + "".join(f"{key}: {value}\n" for key, value in values.items()) + f"---\n{body}"


def put(system, path, text):
    path = system.data / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def idle(make_system):
    """Two agents that take no work, so that files that are put there stay."""
    system = make_system(["orion", "iris"], env={"LLM_BASE_URL": "offline"}).start()
    for name in system.names:
        system.cli("stop", name)
    return system


def items(system, *words):
    return json.loads(system.cli(*words, "--json").stdout)["items"]


def test_every_handoff_is_listed_once_oldest_first_by_the_copy_that_knows_most(make_system):
    yaml = "throughput_classes:\n  medium: {window: 1, backlog: 9}\n" + agents_yaml(["orion", "iris"])
    idle = make_system(["orion", "iris"], env={"LLM_BASE_URL": "offline"}, yaml=yaml).start()
    for name in idle.names:
        idle.cli("stop", name)
    put(idle, "agents/iris/iac/handoffs/d.md", envelope("d", created="2026-04-29T10:00:04Z"))
    wait_until(lambda: idle.agent_status("iris")["handoff_depth"] == 1, "a full window, so that c stays where it is")
    put(idle, "agents/orion/iac/archive/b.md", envelope("b", created="2026-04-29T10:00:02Z"))
    put(idle, "agents/iris/iac/archive/b.md", envelope("b", created="2026-04-29T10:00:02Z", status="finished", attempts=2))
    put(idle, "agents/orion/iac/outbox/c.md", envelope("c", created="2026-04-29T10:00:03Z", status="deferred"))
    put(idle, "agents/iris/iac/dead-letter/a.md", envelope("a", status="failed", reason="poison"))
    put(idle, "agents/iris/iac/archive/m.md", envelope("m", kind="message", sender="operator", status="read"))
    found = items(idle, "handoffs")
    assert [(item["id"], item["status"]) for item in found] == [
        ("a", "failed"), ("b", "finished"), ("c", "deferred"), ("d", "delivered"),
    ]
    assert found[1]["path"] == "agents/iris/iac/archive/b.md" and found[1]["attempts"] == 2
    assert set(found[0]) >= {*HEAD, "body", "path"} and found[0]["reason"] == "poison"
    assert found[0]["body"] == "Look at it.\n"
    assert [item["id"] for item in items(idle, "messages")] == ["m"]
    assert [item["id"] for item in items(idle, "messages", "orion")] == []
    assert [item["id"] for item in items(idle, "handoffs", "iris")] == ["a", "b", "c", "d"]
    assert [item["id"] for item in items(idle, "dead-letters")] == ["a"]
    assert items(idle, "dead-letters", "orion") == []
    shown = idle.cli("handoffs").stdout.splitlines()
    assert len(shown) == 5 and "finished" in shown[2] and "Look at it." in shown[2]


def test_a_listing_without_anything_says_so(idle):
    for verb in ("handoffs", "messages", "dead-letters", "locks", "queues", "segments"):
        assert items(idle, verb) == []
        assert len(idle.cli(verb).stdout.splitlines()) == 1, verb


def test_a_file_that_is_no_envelope_stops_no_listing(idle):
    put(idle, "agents/iris/iac/handoffs/a.md", envelope("a"))
    put(idle, "agents/iris/iac/handoffs/broken.md", "---\nnonsense: [\n")
    put(idle, "agents/iris/iac/handoffs/other.md", envelope("another"))
    (idle.data / "agents/iris/iac/handoffs/link.md").symlink_to("/etc/passwd")
    assert [item["id"] for item in items(idle, "handoffs")] == ["a"]


def test_locks_and_segments_are_listed_with_the_keys_of_their_files(idle):
    put(idle, "shared/segments/glossary.md", "---\nname: glossary\nversion: 3\nby: nova\nwrites: [a, b]\n---\nWords.\n")
    [segment] = items(idle, "segments")
    assert (segment["version"], segment["writes"], segment["body"]) == (3, ["a", "b"], "Words.\n")
    assert segment["path"] == "shared/segments/glossary.md"
    assert "glossary" in idle.cli("segments").stdout


def test_show_tells_the_route_with_the_commits_that_know_of_it(idle):
    put(idle, "agents/iris/iac/archive/b.md",
        envelope("b", status="finished", trace="t", delivered="2026-04-29T10:00:01Z", read="2026-04-29T10:00:02Z",
                 finished="2026-04-29T10:00:03Z", attempts=1, body="Count them.\n"))
    put(idle, "agents/orion/iac/archive/b.md", envelope("b", trace="t"))
    put(idle, "agents/orion/iac/inbox/r.md", envelope("r", kind="result", sender="iris", to="orion", trace="t", in_reply_to="b"))
    put(idle, "agents/orion/iac/archive/s.md", envelope("s", trace="t"))
    git = ["-c", "user.name=t", "-c", "user.email=t@t"]
    idle.git("add", "-f", "iac/archive/b.md", name="iris")
    idle.git(*git, "commit", "-qm", "iris(task): b", name="iris")
    commit = idle.git("rev-parse", "HEAD", name="iris").strip()
    told = json.loads(idle.cli("show", "b", "--json").stdout)
    assert told["status"] == "finished" and told["body"] == "Count them.\n"
    assert {copy["path"] for copy in told["copies"]} == {"agents/iris/iac/archive/b.md", "agents/orion/iac/archive/b.md"}
    assert [step["what"] for step in told["route"]][:4] == ["created", "delivered", "read", "finished"]
    [step] = [step for step in told["route"] if step["commit"]]
    assert (step["commit"], step["agent"], step["subject"]) == (commit, "iris", "iris(task): b")
    assert "iac/archive (finished)" in step["what"]
    assert [answer["id"] for answer in told["answers"]] == ["r"]
    assert [other["id"] for other in told["of_trace"]] == ["s"]
    text = idle.cli("show", "b").stdout
    for part in ("handoff b", "from orion to iris: finished", commit[:7], "Count them.", "agents/iris/iac/archive/b.md"):
        assert part in text, part


def test_show_tells_of_a_requeue_that_it_was_one(idle):
    """`created` is counted anew then; a route in which the creation follows the first sending would be a riddle."""
    git = ["-c", "user.name=t", "-c", "user.email=t@t"]
    put(idle, "agents/iris/iac/dead-letter/b.md", envelope("b", status="expired"))
    idle.git("add", "-f", "iac/dead-letter/b.md", name="iris")
    idle.git(*git, "commit", "-qm", "iris(escalation): b expired", name="iris")
    told = json.loads(idle.cli("show", "b", "--json").stdout)
    assert "created" in [step["what"] for step in told["route"]], "a dead letter has one life so far"
    idle.cli("requeue", "b")
    told = json.loads(idle.cli("show", "b", "--json").stdout)
    [step] = [step for step in told["route"] if "requeued" in step["what"]]
    assert step["agent"] == "operator" and "created" not in [step["what"] for step in told["route"]]


def test_show_tells_who_did_what_people_moved(idle):
    put(idle, "agents/orion/iac/archive/b.md", envelope("b", sender="iris", to="iris", status="finished", read="2026-04-29T10:00:02Z"))
    told = json.loads(idle.cli("show", "b", "--json").stdout)
    assert [(step["what"], step["agent"]) for step in told["route"]] == [("created", "iris"), ("read", "orion")]


def ended_twice(system):
    put(system, "agents/iris/iac/archive/a.md", envelope("a", status="finished"))
    put(system, "agents/orion/iac/dead-letter/a.md", envelope("a", status="refused"))
    return "has ended twice"


def unfinished_twice(system):
    put(system, "agents/iris/iac/handoffs/a.md", envelope("a"))
    put(system, "agents/orion/iac/handoffs/a.md", envelope("a"))
    return "lies unfinished in two places"


def status_of_another_folder(system):
    put(system, "agents/iris/iac/inbox/a.md", envelope("a", kind="message", status="finished"))
    return "has status: finished, which doesn't belong there"


def half_expired(system):
    put(system, "agents/iris/iac/dead-letter/a.md", envelope("a"))
    return "the next start of the supervisor finishes its end"


def window_exceeded(system):
    for name in "abcde":
        put(system, f"agents/iris/iac/handoffs/{name}.md", envelope(name, delivered="2026-04-29T10:00:01Z"))
    return "5 envelopes lie there unfinished, its class medium takes 4"


def item_that_nobody_has(system):
    put(system, "shared/queues/reviews/a.md", envelope("a", kind="item", to="queue:reviews", consumer="iris"))
    return "is given to iris, who has no copy"


def item_out_of_its_queue(system):
    put(system, "agents/iris/iac/handoffs/a.md", envelope("a", kind="item", to="queue:reviews", consumer="iris"))
    return "is an item of queue:reviews, where it isn't any more"


def lock_without_token(system):
    put(system, "shared/locks/door.md", "---\nname: door\n---\n")
    return "'token' must be a whole number from 0"


DAMAGES = [ended_twice, unfinished_twice, status_of_another_folder, half_expired, window_exceeded, item_that_nobody_has,
           item_out_of_its_queue, lock_without_token]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_verify_finds_offline(idle, damage):
    assert idle.stop() == 0
    finding = damage(idle)
    result = idle.cli("verify", check=False)
    assert result.returncode == 65, result.stdout
    [line] = [line for line in result.stdout.splitlines() if not line.startswith("note: ")]
    assert finding in line


def test_what_a_worker_set_aside_is_a_note_and_no_finding(idle):
    assert idle.stop() == 0
    put(idle, "agents/iris/iac/handoffs/a.md.unreadable-20260429T100000", "nonsense")
    result = idle.cli("verify")
    assert "was set aside" in result.stdout
