"""A task's time to live: within a second of its end it is a dead letter, whatever its agent does at that moment."""

import datetime
import json
import os
import threading
import time

import pytest
from harness import PATIENCE, wait_until
from post_office import drop, envelope, in_folder


MANY = 800


def now(offset=0):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def expiry_of(system, task_id, seconds=10):
    """Waits for the dead letter; how long it came after the end of the task's life, in seconds."""
    created = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    system.add(task_id, "Too late", created=created.strftime("%Y-%m-%dT%H:%M:%SZ"), ttl_seconds=2)
    letter = system.tree() / "iac/dead-letter" / f"{task_id}.md"
    wait_until(letter.exists, f"{task_id} a dead letter", seconds)
    late = time.time() - created.timestamp() - 2
    assert late > -0.1, "it expired too early"
    return late


def check_letter(system, task_id):
    assert "status: expired" in system.read(f"iac/dead-letter/{task_id}.md")
    wait_until(lambda: f"orion(escalation): {task_id} expired" in system.subjects(), "the commit", 5)
    assert task_id in system.read("reflections.md")
    wait_until(lambda: f"## {task_id}\n" not in system.read("queue.md"), "the block gone", 5)
    assert not (system.tree() / f"outputs/{task_id}.md").exists()


def test_a_task_behind_a_request_that_is_out_expires_within_a_second(make_system, model):
    system = make_system(model=model, scenario="hold").start()
    system.add("long", "Take your time")
    model.wait_open()
    system.wait_state("orion", "working")
    assert expiry_of(system, "late") < 1 * PATIENCE
    check_letter(system, "late")
    model.release()
    system.wait_done("long")
    assert [request["task"] for request in model.requests()] == ["Take your time"]
    system.assert_sound()


def test_a_second_task_with_less_time_than_the_first_expires_in_its_own_time_while_a_request_is_out(make_system, model):
    system = make_system(model=model, scenario="hold").start()
    system.add("long", "Take your time")
    model.wait_open()
    system.add("patient", "Later", created=now(), ttl_seconds=3000)
    wait_until(lambda: system.agent_status()["queue_depth"] == 3 or "patient" in system.read("queue.md"), "both there")
    assert expiry_of(system, "late") < 1 * PATIENCE
    check_letter(system, "late")
    assert "## patient" in system.read("queue.md")


def test_a_task_of_a_paused_agent_expires_within_a_second(system):
    system.cli("pause", "orion")
    assert expiry_of(system, "late") < 1 * PATIENCE
    check_letter(system, "late")
    assert system.agent_status()["state"] == "paused"


def test_a_task_that_waits_for_a_provider_expires_within_a_second(make_system, model):
    system = make_system(model=model, scenario="http-503", env={"LLM_MAX_RETRIES": "0"}).start()
    system.add("first", "Never answered", created=now(), ttl_seconds=3000)
    system.wait_state("orion", "waiting")
    assert expiry_of(system, "late") < 1 * PATIENCE
    check_letter(system, "late")
    assert "## first" in system.read("queue.md")


def test_what_is_put_by_hand_to_an_agent_that_is_stopped_from_the_start_expires_long_before_a_scan(make_system, model):
    system = make_system(model=model, env={"POLL_INTERVAL": "600"}).start()
    system.cli("stop", "orion")
    system.stop()
    system.start(wait=False)
    wait_until(lambda: system.states().get("orion") == "stopped", "the agent stopped")
    for folder in ("inbox", "handoffs"):
        kind = "message" if folder == "inbox" else "handoff"
        drop(system, "orion", folder, f"late-{folder}",
             envelope(f"late-{folder}", kind=kind, to="orion", body="Too late\n", created=now(), ttl_seconds=2))
    wait_until(lambda: [e.get("status") for e in in_folder(system, "orion", "dead-letter").values()] == ["expired"] * 2,
               "both dead letters", 60)
    expiry_of(system, "late", 60)


def test_a_task_that_expired_while_its_agent_was_idle_or_stopped_is_never_asked(make_system, model):
    system = make_system(model=model).start()
    system.add("old", "Too late", created="2020-01-01T00:00:00Z", ttl_seconds=60)
    check = system.tree() / "iac/dead-letter/old.md"
    wait_until(check.exists, "old a dead letter", 5)
    check_letter(system, "old")
    system.cli("stop", "orion")
    system.add("older", "Too late", created="2020-01-01T00:00:00Z", ttl_seconds=60)
    system.cli("start", "orion")
    wait_until((system.tree() / "iac/dead-letter/older.md").exists, "older a dead letter", 5)
    check_letter(system, "older")
    assert model.requests() == []
    system.assert_sound()


@pytest.mark.parametrize("restart", [False, True])
def test_a_task_without_a_created_that_expired_while_its_agent_was_stopped_is_never_asked(make_system, model, restart):
    """Its time counts from when the supervisor saw it, and only its dead letter has that time."""
    system = make_system(["orion", "iris"], model=model).start()
    system.cli("stop", "orion", "iris")

    def bury(name, task_id):
        with (system.tree(name) / "queue.md").open("a") as queue:
            queue.write(f"\n## {task_id}\ntask: Too late\nttl_seconds: 2\n")
        letter = system.tree(name) / f"iac/dead-letter/{task_id}.md"
        wait_until(letter.exists, f"{task_id} a dead letter", 10)
        return letter

    letter = bury("orion", "late")
    buried = letter.read_text()
    if restart:
        system.stop()
        system.start(wait=False)
        wait_until(lambda: list(system.states().values()) == ["stopped"] * 2, "both agents stopped")
        bury("iris", "later")
        assert letter.read_text() == buried
    system.cli("start", "orion")
    check_letter(system, "late")
    assert system.cli("requeue", "late").returncode == 0
    system.wait_done("late")
    with (system.tree() / "queue.md").open("a") as queue:
        queue.write("\n## again\ntask: In time\nttl_seconds: 3000\n")
    system.wait_done("again")
    assert model.asked() == {"Too late": 1, "In time": 1}
    system.assert_sound()


@pytest.mark.parametrize("buried_by", ["worker", "supervisor"])
def test_a_requeued_task_asks_for_its_lock_again(system, buried_by):
    if buried_by == "supervisor":
        system.cli("stop", "orion")
    with (system.tree() / "queue.md").open("a") as queue:
        queue.write("\n## late\ntask: Too late\ncreated: 2020-01-01T00:00:00Z\nttl_seconds: 3000\nlock: the printer\n")
    letter = system.tree() / "iac/dead-letter/late.md"
    wait_until(letter.exists, "late a dead letter", 15)
    assert "\nlock: the printer\n" in letter.read_text()
    assert "lock: the printer" in system.cli("show", "late").stdout
    [listed] = [item for item in json.loads(system.cli("dead-letters", "--json").stdout)["items"] if item["id"] == "late"]
    assert listed["lock"] == "the printer"
    if buried_by == "worker":
        wait_until(lambda: "## late\n" not in system.read("queue.md"), "its block gone", 10)
        system.cli("stop", "orion")
    system.cli("requeue", "late")
    assert "\nlock: the printer\n" in system.read("queue.md").split("## late\n")[-1]
    system.cli("start", "orion")
    system.wait_done("late")
    assert "under the lock the printer, token " in system.git("log", "-1", "--format=%b", "--grep", "task): late")


def test_a_requeued_task_whose_expired_block_still_stands_has_one_life(make_system, model):
    """The agent is stopped, so nobody takes the old block away; its letter came back at once, and again at the start."""
    system = make_system(model=model).start()
    system.cli("stop", "orion")
    with (system.tree() / "queue.md").open("a") as queue:
        queue.write("\n## late\ntask: Too late\ncreated: 2020-01-01T00:00:00Z\nttl_seconds: 3000\n")
    letter = system.tree() / "iac/dead-letter/late.md"
    wait_until(letter.exists, "late a dead letter", 10)
    system.cli("requeue", "late")
    assert system.read("queue.md").count("## late\n") == 2 and not letter.exists()
    system.cli("restart", "orion")
    system.wait_done("late")
    wait_until(lambda: "## late\n" not in system.read("queue.md"), "both blocks gone", 10)
    assert "An expired block of task late is removed; another block of it has time left." in system.log()
    assert not letter.exists() and "expired" not in "".join(system.subjects())
    assert model.asked() == {"Too late": 1}
    system.assert_sound()


@pytest.mark.parametrize("verb", ["requeue", "purge"])
def test_a_block_without_a_created_stays_expired_when_its_dead_letter_goes(make_system, model, verb):
    """The dead letter had the time from which the block counts, and the start comes without it."""
    system = make_system(model=model).start()
    system.cli("stop", "orion")
    with (system.tree() / "queue.md").open("a") as queue:
        queue.write("\n## late\ntask: Too late\nttl_seconds: 5\n")
    letter = system.tree() / "iac/dead-letter/late.md"
    wait_until(letter.exists, "late a dead letter", 15)
    system.cli(verb, "late")
    assert not letter.exists()
    system.cli("start", "orion")
    wait_until(lambda: "## late\n" not in system.read("queue.md"), "no block left", 10)
    if verb == "requeue":
        system.wait_done("late")
    assert model.asked() == ({"Too late": 1} if verb == "requeue" else {})
    system.assert_sound()


def test_the_supervisor_hears_of_a_worker_between_thousands_of_tasks_that_expire_at_once(system):
    system.append("".join(f"## late-{i}\ntask: Late\nttl_seconds: 1\ncreated: {now(-60)}\n\n" for i in range(MANY)))
    wait_until(lambda: 0 < system.agent_status()["queue_depth"] < MANY, "some of them over, and told")
    system.wait_queue_empty(seconds=120)
    wait_until(lambda: system.agent_status()["dead_letters"] == MANY, "all of them told")
    assert system.agent_status()["restarts"] == 0
    system.assert_sound()


def test_a_worker_is_ready_before_thousands_of_envelopes_that_expired_in_its_absence_are_recorded(system):
    system.cli("stop", "orion")
    for i in range(MANY):
        text = envelope(f"late-{i}", created=now(-60), ttl_seconds=1, status="expired", finished=now())
        (system.tree() / f"iac/dead-letter/late-{i}.md").write_text(text)
    system.cli("start", "orion", "--no-wait")

    def recorded():
        return sum("(escalation)" in subject for subject in system.subjects())

    wait_until(lambda: system.states()["orion"] == "idle" and 0 < recorded() < MANY, "ready, some of them recorded")
    restarts = system.agent_status()["restarts"]
    wait_until(lambda: recorded() == MANY, "all of them recorded", 120)
    assert system.agent_status()["restarts"] == restarts
    system.assert_sound()


def test_a_block_that_is_being_written_does_not_expire(system):
    queue = os.open(system.tree() / "queue.md", os.O_WRONLY | os.O_APPEND)
    os.write(queue, f"## slow\ntask: In time\ncreated: {now(-60)}\nttl_seconds: 3".encode())
    half = os.fstat(queue).st_size
    enough = threading.Event()

    def go_on():
        while not enough.wait(0.05):
            os.write(queue, b" ")

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        wait_until(lambda: system.agent_status()["queue_depth"] == 1, "the block seen")
    finally:
        enough.set()
        writer.join()
    os.ftruncate(queue, half)
    os.write(queue, b"600\n")
    os.close(queue)
    system.wait_done("slow")
    assert not list((system.tree() / "iac/dead-letter").iterdir())
