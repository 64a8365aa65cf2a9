"""`keep`: old answers and envelopes leave the work tree, and are still found (contract sections 1, 3 and 14)."""

import json

import pytest

from harness import agents_yaml, task_block, wait_until
from post_office import envelope, reply
from test_http_reads import pages
from test_http_v1 import make_v1  # noqa: F401

OFFLINE = {"LLM_BASE_URL": "offline"}


def files(system, folder, name="orion"):
    return {path.stem for path in (system.tree(name) / folder).glob("*.md")}


def wait_few(system, folder, most, name="orion"):
    return wait_until(lambda: len(found := files(system, folder, name)) <= most and found, f"{folder} pruned", 60)


def keeping(names, outputs=1000, archive=1000):
    return f"keep: {{outputs: {outputs}, archive: {archive}}}\n" + agents_yaml(names)


def give(system, *ids):
    system.append("".join(task_block(task, f"Task {task}") for task in ids))


@pytest.fixture
def pruned(make_system):
    """orion has answered t0 … t29, and its folder has the newest five."""
    system = make_system(yaml=keeping(["orion"], outputs=5), env=OFFLINE).start()
    for number in range(30):
        system.add(f"t{number}", f"Task number {number}")
    system.wait_done(*(f"t{number}" for number in range(30)))
    left = wait_few(system, "outputs", 5)
    assert len(left) == 5 and "t29" in left
    return system


def test_old_answers_leave_the_work_tree_and_are_still_found(pruned):
    assert len(pruned.git("log", "--format=%H", "--", "outputs/t3.md").split()) >= 2
    tidy = [subject for subject in pruned.subjects() if subject.endswith(" leave the work tree")]
    assert tidy and all(subject.startswith("orion(outputs): ") for subject in tidy)
    assert pruned.git("status", "--porcelain") == ""
    answered = pruned.cli("answer", "orion", "t3")
    last = pruned.git("log", "-1", "--format=%H", "--diff-filter=A", "--", "outputs/t3.md").strip()
    assert answered.stdout.strip() and answered.stdout in pruned.git("show", f"{last}:outputs/t3.md")
    shown = pruned.cli("show", "t3", check=False)
    assert shown.returncode == 66 and "agentos answer orion t3" in shown.stderr
    pruned.assert_sound()
    assert pruned.stop() == 0
    assert pruned.cli("answer", "orion", "t3").stdout == answered.stdout
    assert pruned.cli("verify").returncode == 0


def test_a_task_whose_answer_left_is_not_done_again(pruned):
    said = pruned.cli("task", "orion", "Task number 3", "--id", "t3")
    assert "done already" in said.stderr
    waited = pruned.cli("task", "orion", "Task number 3", "--id", "t3", "--wait")
    assert waited.stdout == pruned.cli("answer", "orion", "t3").stdout
    assert pruned.cli("task", "orion", "Another text", "--id", "t3", check=False).returncode == 65
    assert pruned.done()["t3"] == 1


def test_what_left_is_known_without_the_notes(pruned):
    pruned.cli("stop", "orion")
    (pruned.tree() / ".agentos/pruned").unlink()
    pruned.cli("start", "orion")
    pruned.wait_state("orion", "idle")
    assert pruned.cli("task", "orion", "Another text", "--id", "t3", check=False).returncode == 65


def test_a_file_of_a_person_and_an_edited_answer_are_not_lost(make_system):
    system = make_system(yaml=keeping(["orion"], outputs=2), env=OFFLINE).start()
    (system.tree() / "outputs/notes.md").write_text("Mine.\n")
    give(system, "t0", "t1", "t2", "t3")
    system.wait_done("t0", "t1", "t2", "t3")
    path = system.tree() / "outputs/t0.md"
    if path.exists():
        path.write_text(path.read_text() + "Edited by hand.\n")
    edited = path.exists()
    give(system, "u0", "u1", "u2", "u3")
    system.wait_done("u0", "u1", "u2", "u3")
    wait_few(system, "outputs", 3)
    assert system.read("outputs/notes.md") == "Mine.\n"
    assert not edited or "Edited by hand." in system.cli("answer", "orion", "t0").stdout + system.git("log", "-p", "--", "outputs/t0.md")


def test_killed_while_they_leave_nothing_is_lost(make_system):
    system = make_system(yaml=keeping(["orion"], outputs=3), env=OFFLINE).start()
    ids = [f"t{number}" for number in range(40)]
    give(system, *ids)
    system.wait_done(*ids)
    for _ in range(6):
        count = len(files(system, "outputs"))
        wait_until(lambda: len(files(system, "outputs")) < count or count <= 3, "some leave")
        worker = system.worker()
        system.cli("kill", "orion")
        wait_until(lambda: system.worker() not in (None, worker), "the next worker")
    wait_few(system, "outputs", 3)
    for task in ids:
        assert system.cli("answer", "orion", task).stdout.strip()
    assert system.done() == dict.fromkeys(ids, 1)
    system.assert_sound()


def test_envelopes_that_are_over_leave_with_their_requests_and_are_shown(make_system, model):
    system = make_system(["orion", "iris"], model=model, yaml=keeping(["orion", "iris"], archive=4)).start()
    for number in range(12):
        system.add(f"ask{number}", f"Ask {number}. " + reply(handoffs=[{"to": "iris", "task": f"Look at {number}"}]))
    system.wait_done(*(f"ask{number}" for number in range(12)))
    handoffs = wait_until(lambda: len(found := [item for item in json.loads(system.cli("handoffs", "--json").stdout)["items"]
                                               if item["status"] == "finished"]) == 12 and found, "all finished", 60)
    system.add("read", "Read the results")
    system.wait_done("read")
    wait_few(system, "iac/archive", 4, "iris")
    wait_few(system, "iac/archive", 4)
    left = [item for item in handoffs if not (system.data / item["path"]).exists()]
    assert len(left) >= 8
    listed = json.loads(system.cli("handoffs", "--json").stdout)["items"]  # wherever they lie now: also in git alone
    assert [item["id"] for item in listed] == [item["id"] for item in handoffs]
    for count in (2, 6, 12):
        assert [item["id"] for item in json.loads(system.cli("handoffs", "--json", "-n", count).stdout)["items"]] == [item["id"] for item in handoffs][-count:]
    shown = json.loads(system.cli("show", left[0]["id"], "--json").stdout)
    assert shown["status"] == "finished" and "Look at" in shown["body"]
    assert "in git alone" in system.cli("show", left[0]["id"]).stdout
    assert system.cli("verify").returncode == 0


def test_envelopes_that_left_are_listed_over_http_too_a_page_at_a_time(make_v1):  # noqa: F811
    http = make_v1(("orion",), env=OFFLINE, yaml=keeping(["orion"], archive=3))
    sent = []
    for number in range(9):
        sent.append(http.send("/v1/agents/orion/messages", {"text": f"Hello {number}"})[2]["id"])
        http.system.cli("task", "orion", "Read what came", "--wait")
    wait_few(http.system, "iac/archive", 3)
    known = [item["id"] for item in json.loads(http.system.cli("messages", "--json").stdout)["items"]]
    assert sorted(known) == sorted(sent)
    for limit in (2, 4, 100):
        for query in ({}, {"kind": "message"}, {"agent": "orion"}, {"status": "read"}, {"place": "archive"}):
            found, _ = pages(http, "/v1/envelopes", limit, **query)
            assert [item["id"] for item in found] == known[::-1], (limit, query)
    assert sum(not (http.system.data / item["path"]).exists() for item in found) >= 6
    assert found[-1]["body"].startswith("Hello 0") and pages(http, "/v1/envelopes", 2, status="expired")[0] == []


def test_an_answer_that_left_is_told_over_http_too(make_v1):  # noqa: F811
    http = make_v1(("orion",), env=OFFLINE, yaml=keeping(["orion"], outputs=2))
    ids = [f"t{number}" for number in range(6)]
    give(http.system, *ids)
    http.system.wait_done(*ids)
    assert wait_few(http.system, "outputs", 2) == {"t4", "t5"}
    for task in ids:
        for query in ("", "?wait=5"):
            status, fields, told = http.get(f"/v1/agents/orion/tasks/{task}{query}")
            answer = http.system.cli("answer", "orion", task).stdout
            wanted = {"agent": "orion", "id": task, "state": "done", "reward": 1, "answer": answer}
            assert (status, told) == (200, wanted)
        assert http.ask(f"/v1/agents/orion/tasks/{task}", headers={"If-None-Match": fields["etag"]})[0] == 304
    damaged = http.system.tree() / ".git/HEAD"
    damaged.write_text("ref: refs/heads/nowhere\n")
    told = http.get("/v1/agents/orion/tasks/t1?wait=1")[2]
    assert told["answer"] is None and told["state"] == "done" and "git" in told["reason"], told
    damaged.write_text("ref: refs/heads/main\n")


def test_an_envelope_that_left_is_not_read_again(make_system):
    """Delivery may repeat, ids are remembered: also the ids of envelopes whose files have left."""
    system = make_system(["orion"], yaml=keeping(["orion"], archive=1), env=OFFLINE).start()
    text = envelope("again", kind="message", sender="operator", to="orion", body="Read me once.\n")
    for name, body in (("again", text), ("other", text.replace("again", "other")), ("third", text.replace("again", "third"))):
        (system.tree() / f"iac/inbox/{name}.md").write_text(body)
        wait_until(lambda name=name: name in files(system, "iac/archive") or name in system.done(), f"{name} read")
    wait_few(system, "iac/archive", 1)
    assert "again" not in files(system, "iac/archive")
    before = len(system.done())
    (system.tree() / "iac/inbox/again.md").write_text(text)
    system.wait_log(r"iac/inbox/again.md is over already")
    assert len(system.done()) == before


def test_an_unanswered_request_stays(make_system, model):
    system = make_system(["orion", "iris"], model=model, yaml=keeping(["orion", "iris"], archive=1)).start()
    system.cli("pause", "iris")
    for number in range(4):
        system.add(f"ask{number}", f"Ask {number}. " + reply(handoffs=[{"to": "iris", "task": f"Look at {number}", "ttl_seconds": 0}]))
    system.wait_done(*(f"ask{number}" for number in range(4)))
    asked = wait_until(lambda: len(found := files(system, "iac/archive")) == 4 and found, "all delivered")
    system.cli("restart", "orion")
    system.add("more", "Something else")
    system.wait_done("more")
    assert files(system, "iac/archive") >= asked
    system.cli("resume", "iris")
    wait_until(lambda: len(list((system.tree() / "iac/inbox").glob("*.md"))) == 4, "four results", 60)
