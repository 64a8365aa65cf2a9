"""Work queues with real processes: each item is done once, whoever dies; people may drop files."""

import base64
import collections
import json
import signal
import subprocess
import threading

import pytest

from harness import agents_yaml, send_signal, wait_until
from test_full_disk import fill


def yaml(names, consumers, max_attempts=50, extra=""):
    listed = ", ".join(consumers)
    return agents_yaml(names, extra) + f"queues:\n  - {{name: reviews, consumers: [{listed}], max_attempts: {max_attempts}}}\n"


def handing_on(**keys):
    """The directive that makes the model's reply hand things on."""
    return "[[with:" + base64.b64encode(json.dumps(keys).encode()).decode() + "]]"


def items(system):
    return json.loads(system.cli("queues", "--json").stdout)["items"]


def done_by(system, names):
    """How often each id was finished, over all consumers."""
    total = collections.Counter()
    for name in names:
        total.update(system.done(name))
    return total


def wait_all_done(system, ids, names, seconds=60):
    wait_until(lambda: all(done_by(system, names)[i] for i in ids), f"{len(ids)} items done", seconds, 0.1)
    wait_until(lambda: not items(system), "the queue empty", 20, 0.1)
    done = done_by(system, names)
    assert {i: done[i] for i in ids if done[i] != 1} == {}


def enqueue(system, count, text="Review number {}"):
    return [system.cli("enqueue", "reviews", text.format(number)).stdout.strip() for number in range(count)]


class Killer:
    """Kills an agent's worker whenever it asks the model something."""

    def __init__(self, system, model, name):
        self.system, self.model, self.name, self.kills = system, model, name, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        killed = set()
        while not self.over.wait(0.02):
            asks = [r for r in self.model.requests() if r["agent"] == self.name and r["end"] == "open"]
            worker = (self.system.agent_status(self.name) or {}).get("pid")
            if asks and worker and worker not in killed:
                killed.add(worker)
                self.kills += send_signal(worker, signal.SIGKILL)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def test_an_agents_item_is_done_by_one_consumer_and_the_result_comes_back(make_system, model):
    system = make_system(("nova", "orion", "iris"), model=model, yaml=yaml(("nova", "orion", "iris"), ("orion", "iris"))).start()
    system.add("ask", "Pass it on " + handing_on(enqueue=[{"queue": "reviews", "task": "Review this"}]), name="nova")
    wait_until(lambda: done_by(system, ("orion", "iris")).total() == 1, "the item done")
    [item] = done_by(system, ("orion", "iris"))
    wait_until(lambda: not items(system), "the queue empty")
    answers = wait_until(lambda: list((system.tree("nova") / "iac/inbox").glob("*.md")), "the result")
    assert "kind: result" in answers[0].read_text() and f"in_reply_to: {item}" in answers[0].read_text()
    system.add("next", "What came of it", name="nova")
    system.wait_done("next", name="nova")
    [prompt] = [r["prompt"] for r in model.requests(prompts=True) if r["task"].startswith("What came of it")]
    assert "You had asked queue:reviews: Review this" in prompt and "The answer to: " in prompt


def test_one_of_two_consumers_keeps_dying_and_each_item_is_done_once(make_system, model):
    names = ("orion", "iris")
    system = make_system(names, model=model, yaml=yaml(names, names), env={"LLM_BASE_URL__ORION": model.url("hold")}).start()
    with Killer(system, model, "orion") as killer:
        ids = enqueue(system, 12)
        wait_all_done(system, ids, names, 90)
    assert killer.kills > 0
    assert set(ids) <= set(system.done("iris"))
    assert "waits in its queue again" in system.log()
    for name in names:
        system.wait_state(name, "idle", "backoff")
    assert system.stop() == 0
    for name in names:
        system.assert_sound(name)


def test_after_max_attempts_an_item_is_a_dead_letter_and_the_sender_learns_it(make_system, model):
    names = ("nova", "orion")
    system = make_system(
        names, model=model, yaml=yaml(names, ("orion",), max_attempts=2), env={"LLM_BASE_URL__ORION": model.url("hold")}
    ).start()
    with Killer(system, model, "orion") as killer:
        system.add("ask", "Pass it on " + handing_on(enqueue=[{"queue": "reviews", "task": "Deadly"}]), name="nova")
        dead = system.tree("orion") / "iac/dead-letter"
        [letter] = wait_until(lambda: list(dead.glob("*.md")), "the dead letter", 60)
        bounce = system.tree("nova") / f"iac/inbox/{letter.stem}-bounce.md"
        wait_until(bounce.exists, "the bounce")
    assert killer.kills == 2
    text = letter.read_text()
    assert "status: failed" in text and "attempts: 2" in text and "reason: max_attempts" in text
    assert "kind: bounce" in bounce.read_text() and f"in_reply_to: {letter.stem}" in bounce.read_text()
    assert not items(system)
    system.add("next", "What came of it", name="nova")
    system.wait_done("next", name="nova")
    [prompt] = [r["prompt"] for r in model.requests(prompts=True) if r["task"].startswith("What came of it")]
    assert "max_attempts" in prompt


def test_files_that_people_drop_are_noticed_at_once_and_done(make_system, model):
    names = ("orion", "iris")
    system = make_system(names, model=model, yaml=yaml(names, names), env={"POLL_INTERVAL": "3600"}).start()
    queue = system.data / "shared/queues/reviews"
    (queue / "plain.md").write_text("Look at the plain one\n")
    (queue / "with blanks.md").write_text("---\npriority: high\n---\nLook at the other one\n")
    (queue / "whole.md").write_text(
        "---\nid: whole\nkind: item\nfrom: operator\nto: queue:reviews\ncreated: 2026-04-29T10:05:00Z\n---\nLook at the whole one\n"
    )
    wait_until(lambda: done_by(system, names).total() == 3, "three items done")
    assert done_by(system, names)["plain"] == done_by(system, names)["whole"] == 1
    wait_until(lambda: not items(system), "the queue empty")
    assert not list(queue.iterdir())


def test_work_in_a_queue_that_agents_yaml_does_not_have_is_told_and_waits(make_system, model):
    system = make_system(["orion"], model=model, yaml=yaml(["orion"], ["orion"])).start()
    for name in ("rewiews", "empty"):
        (system.data / "shared/queues" / name).mkdir(parents=True)
    (system.data / "shared/queues/rewiews/one.md").write_text("Look at it\n")
    (system.data / "shared/queues/beside.md").write_text("Look at it, too\n")

    def told(words):
        return any(words in line for line in system.status()["supervisor"]["problems"])

    wait_until(lambda: told("shared/queues/rewiews holds 1 file(s) of work, and agents.yaml has no queue 'rewiews': they wait"), "told")
    wait_until(lambda: told("shared/queues/beside.md lies in no queue's folder"), "the file beside them told")
    assert not told("empty") and not told("/reviews")
    (system.data / "shared/queues/rewiews/one.md").rename(system.data / "shared/queues/reviews/one.md")
    (system.data / "shared/queues/beside.md").unlink()
    system.wait_done("one")
    wait_until(lambda: system.status()["supervisor"]["problems"] == [], "no problem any more")
    system.cli("stop", "orion")
    system.cli("enqueue", "reviews", "Left behind")
    (system.data / "agents.yaml").write_text(agents_yaml(["orion"]))
    wait_until(lambda: told("shared/queues/reviews holds 1 file(s) of work"), "the queue that left, told")


def test_what_is_no_item_is_set_aside_and_stops_nothing(make_system, model):
    names = ("orion", "iris")
    system = make_system(names, model=model, yaml=yaml(names, names)).start()
    queue = system.data / "shared/queues/reviews"
    (queue / "torn.md").write_text("---\nid: torn\nkind: item\n")
    (queue / "binary.md").write_bytes(b"\xff\xfe\x00")
    (queue / "link.md").symlink_to("/etc/passwd")
    ids = enqueue(system, 1)
    wait_all_done(system, ids, names)
    wait_until(lambda: len(list(queue.glob("*.unreadable-*"))) == 3, "three set aside")
    assert system.log().count("is no item") == 3

    def problems():
        return [line for line in system.agent_status("iris")["problems"] if "was set aside" in line]

    wait_until(lambda: len(problems()) == 3, "three problems in status")
    for path in queue.glob("*.unreadable-*"):
        path.unlink()
    wait_until(lambda: not problems(), "no problem left")


def test_without_a_consumer_that_runs_items_wait_and_the_urgent_one_goes_first(make_system, model):
    system = make_system(
        ("orion",), model=model, yaml=yaml(("orion",), ("orion",), extra="    throughput_class: slow\n")
    ).start()
    system.cli("stop", "orion")
    first = system.cli("enqueue", "reviews", "The first").stdout.strip()
    urgent = system.cli("enqueue", "reviews", "--priority", "high", "The urgent one").stdout.strip()
    assert [item["status"] for item in items(system)] == ["pending", "pending"]
    system.cli("start", "orion")
    wait_all_done(system, [first, urgent], ("orion",))
    urgent_at, first_at = ([text in r["task"] for r in model.requests()].index(True) for text in ("The urgent one", "The first"))
    assert urgent_at < first_at


def test_a_stopped_consumers_items_go_to_another_one(make_system, model):
    names = ("orion", "iris")
    system = make_system(names, model=model, yaml=yaml(names, names), env={"LLM_BASE_URL__ORION": model.url("hold"), "STOP_GRACE": "1"})
    system.start()
    system.cli("stop", "iris")
    ids = enqueue(system, 3)
    model.wait_open(1)
    system.cli("start", "iris")
    system.cli("stop", "orion", seconds=30)
    wait_all_done(system, ids, ("iris",))


def test_a_reload_adds_a_queue_and_takes_a_consumer_out(make_system, model):
    names = ("orion", "iris")
    system = make_system(names, model=model, yaml=yaml(names, ("orion",)), env={"LLM_BASE_URL__ORION": model.url("hold")}).start()
    ids = enqueue(system, 1)
    model.wait_open(1)
    (system.data / "agents.yaml").write_text(yaml(("iris",), ("iris",)) + "  - {name: more, consumers: [iris]}\n")
    assert system.cli("reload").returncode == 0
    ids.append(system.cli("enqueue", "more", "In the new queue").stdout.strip())
    wait_all_done(system, ids, ("iris",))
    assert (system.data / "shared/queues/more").is_dir()


def test_an_item_that_nobody_takes_in_time_is_a_dead_letter(make_system, model):
    system = make_system(("orion",), model=model, yaml=yaml(("orion",), ("orion",))).start()
    system.cli("stop", "orion")
    late = system.cli("enqueue", "reviews", "--ttl", "1", "Too late").stdout.strip()
    letter = system.tree() / f"iac/dead-letter/{late}.md"
    wait_until(letter.exists, "the dead letter", 10)
    assert "status: expired" in letter.read_text()
    assert not items(system)
    system.cli("start", "orion")
    wait_until(lambda: f"orion(escalation): {late} expired" in system.subjects(), "the escalation commit")
    assert not any("Too late" in r["task"] for r in model.requests())


@pytest.fixture
def small_disk(make_system, model):
    """Two consumers on a disk of 24 MiB."""
    names = ("orion", "iris")
    system = make_system(names, model=model, yaml=yaml(names, names))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(system.data)], capture_output=True).returncode:
        pytest.skip("cannot mount a small disk")
    (system.data / "agents.yaml").write_text(yaml(names, names))
    yield system.start()
    system.stop()
    subprocess.run(["umount", "-l", str(system.data)], check=True)


def test_on_a_full_disk_no_item_is_accepted_and_none_is_lost(small_disk, model):
    system = small_disk
    system.cli("stop", "iris")
    model.become("hold")
    ids = enqueue(system, 1, "In hand while the disk fills")
    model.wait_open(1)
    fill(system.data / "filler")
    refused = system.cli("enqueue", "reviews", "Too much", check=False)
    assert refused.returncode == 74 and "No space left" in refused.stderr
    send_signal(system.worker("orion"), signal.SIGKILL)
    system.wait_log("can't be (given|taken) back")
    model.become("plain")
    model.release()
    (system.data / "filler").unlink()
    system.cli("start", "iris")
    wait_all_done(system, ids, ("orion", "iris"), 90)
    assert not any("Too much" in r["task"] for r in model.requests())


@pytest.mark.parametrize("kills", [4])
def test_the_supervisor_dies_again_and_again_and_each_item_is_done_once(make_system, model, kills):
    names = ("orion", "iris")
    system = make_system(names, model=model, scenario="delay-30", yaml=yaml(names, names)).start()
    ids = []
    for _ in range(kills):
        ids += enqueue(system, 8)
        wait_until(lambda: done_by(system, names).total() >= len(ids) - 6, "some done", 60)
        system.process.kill()
        system.process.wait()
        system.start()
    wait_all_done(system, ids, names, 60)
    for name in names:
        system.assert_sound(name)


def test_unknown_queues_and_empty_texts_are_refused(make_system, model):
    system = make_system(("orion",), model=model, yaml=yaml(("orion",), ("orion",))).start()
    assert system.cli("enqueue", "nowhere", "x", check=False).returncode == 66
    assert system.cli("enqueue", "reviews", " ", check=False).returncode == 64
    assert system.cli("enqueue", "reviews", "-", stdin="x" * 300000, check=False).returncode == 65
    system.add("ask", "Pass it on " + handing_on(enqueue=[{"queue": "nowhere", "task": "x"}]))
    system.wait_done("ask")
    wait_until(lambda: list((system.tree() / "iac/dead-letter").glob("*.md")), "the refusal")
    [letter] = (system.tree() / "iac/dead-letter").glob("*.md")
    assert "status: refused" in letter.read_text() and "no queue 'nowhere'" in letter.read_text()


def test_an_item_whose_id_is_given_again_is_done_once(make_system, model):
    names = ["orion", "iris"]
    system = make_system(model=model, scenario="hold", yaml=yaml(names, names)).start()

    def enqueue(text, item="mine", check=True):
        return system.cli("enqueue", "reviews", text, "--id", item, check=check)

    threads = [threading.Thread(target=enqueue, args=("Look at it",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    model.wait_open()
    again = enqueue("Look at it")
    assert again.stdout == "mine\n" and "in hand already" in again.stderr
    assert enqueue("Look at something else", check=False).returncode == 65
    model.release()
    wait_all_done(system, ["mine"], names)
    system.stop()
    system.start()
    assert "done already" in enqueue("Look at it\n").stderr
    assert enqueue("Look at something else", check=False).returncode == 65
    assert enqueue("Gr\u00f6\u00dfe", "Gr\u00f6\u00dfe").stdout.startswith("Gr\u00f6\u00dfe-")
    assert model.asked()["Look at it"] == 1
