"""The seven promises of the post office (contract section 9), each held by tests of its name, with real processes."""

import os
import re
import signal
import subprocess
import threading
import time

import needs
import pytest
from harness import PATIENCE, agents_yaml, send_signal, wait_until
from post_office import (
    drop,
    ends,
    envelope,
    everywhere,
    handing,
    in_folder,
    lateness,
    listed,
    prompts_of,
    reply,
    seconds_of,
    shown_in_prompts,
    wait_letter,
    with_text,
)

TEAM = ["orion", "iris", "nova"]
SLOW_IRIS = agents_yaml(["orion"]) + agents_yaml(["iris"], "    throughput_class: slow\n").removeprefix("agents:\n")


@pytest.fixture
def team(make_system, model):
    return make_system(TEAM, model=model).start()


@pytest.fixture
def slow(make_system, model):
    """orion, and iris who takes one envelope at a time and lets eight wait."""
    return make_system(["orion", "iris"], model=model, yaml=SLOW_IRIS).start()


def finished(system, name, text):
    return [fields for fields in with_text(system, name, "archive", text) if fields["status"] == "finished"]


def wait_finished(system, name, text, seconds=30):
    return wait_until(lambda: finished(system, name, text), f"'{text}' finished at {name}", seconds, 0.05)[0]


def wait_nothing_unfinished(system, seconds=30):
    def left():
        return [(n, f, e["id"]) for n, f, e in everywhere(system) if f in ("outbox", "handoffs", "inbox")
                and e["kind"] not in ("result", "bounce")]

    try:
        wait_until(lambda: not left(), "nothing unfinished", seconds, 0.1)
    except AssertionError as error:
        raise AssertionError(f"{error} {left()}") from None


# ---- 1. durable before accepted; always somewhere; one end; the sender learns it ----


def system_calls(pid, path, act):
    """A process's writes, flushes and renames while act runs."""
    trace = "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,linkat,write,writev,sendto,sendmsg"
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-s", "65536", "-o", str(path), "-p", str(pid), "-e", trace],
                              stderr=subprocess.DEVNULL)
    wait_until(lambda: re.search(r"TracerPid:\t[1-9]", open(f"/proc/{pid}/status").read()), "strace attached", 20, 0.002)
    act()
    send_signal(tracer.pid, signal.SIGINT)
    tracer.wait(20)
    return path.read_text(errors="replace").splitlines()


@needs.attaching
def test_promise_1_an_envelope_is_durable_on_disk_before_anyone_is_told_that_it_was_accepted(team):
    said = []
    lines = system_calls(team.process.pid, team.folder / "trace",
                         lambda: said.append(team.cli("send", "iris", "Remember this").stdout.strip()))
    flush = re.compile(r"\b(fsync|fdatasync|syncfs)\(")
    [identity] = said
    named = next(i for i, line in enumerate(lines) if re.search(r"\b(rename\w*|linkat)\(", line) and f"{identity}.md" in line)
    told = next(i for i, line in enumerate(lines)
                if re.search(r"\b(write|writev|sendto|sendmsg)\(", line) and '\\"id\\"' in line and identity in line)
    assert any(flush.search(line) for line in lines[:named]), "the text was not flushed before it got its name"
    assert any(flush.search(line) for line in lines[named:told]), "the folder was not flushed before the sender was told"


def test_promise_1_a_finished_handoff_tells_its_sender_by_a_result(team, model):
    team.add("start", "Begin. " + handing("iris", "Count the sheep"))
    fields = wait_finished(team, "iris", "Count the sheep")
    assert fields["from"] == "orion" and fields["trace"] == "start" and fields["hops"] == "1"
    assert fields["attempts"] == "1" and fields["read"] and fields["delivered"]
    assert "The answer to" in fields["body"], "the answer stands in the file that tells the story"
    result = wait_until(
        lambda: [e for n, f, e in everywhere(team) if n == "orion" and e["kind"] == "result"], "the result at orion", 30, 0.05
    )[0]
    assert (result["from"], result["in_reply_to"], result["trace"]) == ("iris", fields["id"], "start")
    assert f"iris(task): {fields['id']}" in team.subjects("iris")
    wait_until(lambda: in_folder(team, "orion", "archive").get(fields["id"]), "the sender's copy archived")
    assert ends(team)[fields["id"]] == {("finished", "iris", "archive")}
    team.add("next", "Another task")
    team.wait_done("next")
    assert any("The answer to" in prompt and "Count the sheep" in prompt for prompt, _ in prompts_of(model, "orion"))
    for name in TEAM:
        team.assert_sound(name)


def test_promise_1_a_message_is_read_in_the_next_cycle_and_ends_as_read(team, model):
    identity = team.cli("send", "iris", "The door is green").stdout.strip()
    fields = wait_letter(team, "iris", "archive", lambda e: e["id"] == identity, "the message")
    assert fields["status"] in ("read", "finished") and fields["from"] == "operator"
    assert any("The door is green" in prompt + task for prompt, task in prompts_of(model, "iris"))
    assert [item["id"] for item in listed(team, "messages", "iris")] == [identity]


@pytest.mark.parametrize(
    "to, reason", [("nobody", "there is no agent"), ("nova", "may not send"), ("segment:nothing", ""), ("queue:nothing", "")]
)
def test_promise_1_a_refused_envelope_lies_with_its_sender_who_is_told_in_the_next_prompt(make_system, model, to, reason):
    yaml = agents_yaml(["orion"], "    may_send_to: [iris]\n") + agents_yaml(["iris", "nova"]).removeprefix("agents:\n")
    system = make_system(TEAM, model=model, yaml=yaml).start()
    wanted = {"queue": {"enqueue": [{"queue": "nothing", "task": "Refuse me"}]},
              "segment": {"segments": [{"name": "nothing", "body": "Refuse me", "base_version": 0}]}}
    more = wanted.get(to.partition(":")[0]) or {"handoffs": [{"to": to, "task": "Refuse me"}]}
    system.add("start", "Begin. " + reply(**more))
    fields = wait_letter(system, "orion", "dead-letter", lambda e: e["status"] == "refused", "the refused one")
    assert reason in fields["reason"] and fields["body"].startswith("Refuse me")
    system.add("next", "Another task")
    system.wait_done("next")
    told = [prompt for prompt, task in prompts_of(model, "orion") if "Another task" in task]
    assert told and "refused" in told[0]
    assert ends(system)[fields["id"]] == {("refused", "orion", "dead-letter")}


def test_promise_1_what_took_its_worker_down_three_times_has_failed_and_its_sender_gets_a_bounce(team, model):
    team.cli("pause", "orion")
    model.become("hold")
    drop(team, "orion", "outbox", "deadly", envelope("deadly", sender="orion", to="iris", body="Deadly work\n", status="pending"))
    for times in range(1, 4):
        wait_until(lambda: sum("Deadly work" in r["task"] for r in model.requests()) >= times, "iris at it again", 60)
        team.cli("kill", "iris")
    fields = wait_letter(team, "iris", "dead-letter", lambda e: e["status"] == "failed", "deadly", 60)
    assert fields["reason"] and fields["id"] == "deadly"
    bounce = wait_letter(team, "orion", "inbox", lambda e: e["kind"] == "bounce", "the bounce")
    assert bounce["in_reply_to"] == "deadly"
    model.become("")
    model.release()
    team.add("after", "Go on", name="iris")
    team.wait_done("after", name="iris")


# ---- 2. effects once ----


def test_promise_2_what_was_done_and_lies_there_again_is_not_done_again(team, model):
    team.add("start", "Begin. " + handing("iris", "Count the sheep"))
    fields = wait_finished(team, "iris", "Count the sheep")
    drop(team, "iris", "handoffs", fields["id"],
         envelope(fields["id"], sender="orion", to="iris", body="Count the sheep\n", created=fields["created"],
                  status="delivered", trace="start", delivered=fields["delivered"]))
    wait_until(lambda: fields["id"] not in in_folder(team, "iris", "handoffs"), "the repeated one gone")
    team.cli("restart", "iris")
    team.wait_state("iris", "idle")
    assert shown_in_prompts(model, "Count the sheep") == 1


def test_promise_2_a_receiver_killed_after_its_answer_does_the_work_once(team, model):
    team.add("start", "Begin. " + handing("iris", *[f"Piece {n}" for n in range(4)]))
    for n in range(4):
        wait_finished(team, "iris", f"Piece {n}")
        worker = team.worker("iris")
        if worker:
            send_signal(worker, signal.SIGKILL)
    wait_nothing_unfinished(team, 60)
    subjects = [s for s in team.subjects("iris") if s.startswith("iris(task): ")]
    assert len(subjects) == len(set(subjects)) == 4
    results = {e["id"]: e["in_reply_to"] for _, _, e in everywhere(team) if e["kind"] == "result"}
    assert len(results) == len(set(results.values())) == 4


# ---- 3. order ----


def test_promise_3_between_one_sender_and_one_receiver_order_is_kept_within_a_priority(slow, model):
    work = [{"to": "iris", "task": f"Step {n:02}", "priority": p} for n, p in
            enumerate(["low", "normal", "high", "normal", "low", "high", "normal", "low", "high"])]
    slow.cli("pause", "iris")
    slow.add("start", "Begin. " + reply(handoffs=work))
    slow.wait_done("start")
    wait_until(lambda: len(in_folder(slow, "iris", "handoffs")) == 1, "the first delivered")
    slow.cli("resume", "iris")
    wait_until(lambda: len(finished(slow, "iris", "Step")) == len(work), "all steps finished", 60, 0.1)
    order = [re.search(r"Step (\d\d)", task)[1] for _, task in prompts_of(model, "iris")]
    for priority in ("high", "normal", "low"):
        mine = [f"{n:02}" for n, item in enumerate(work) if item["priority"] == priority]
        assert [n for n in order if n in mine] == mine, priority


# ---- 4. throughput classes ----


def live_at(system, name):
    return [e for folder in ("handoffs", "inbox") for e in in_folder(system, name, folder).values()
            if e["kind"] in ("handoff", "message", "item")]


def test_promise_4_a_flood_onto_a_slow_agent_fills_its_window_then_waits_at_the_sender_then_is_refused(slow, model):
    slow.cli("pause", "iris")
    slow.add("flood", "Begin. " + handing("iris", *[f"Wave {n:02}" for n in range(12)]))
    slow.wait_done("flood")
    wait_until(lambda: len(with_text(slow, "orion", "dead-letter", "Wave")) == 3, "three refused", 30, 0.05)
    assert {e["reason"] for e in with_text(slow, "orion", "dead-letter", "Wave")} == {"backpressure"}
    assert [e["body"][:7] for e in live_at(slow, "iris")] == ["Wave 00"]
    wait_until(lambda: [e["status"] for e in with_text(slow, "orion", "outbox", "Wave")] == ["deferred"] * 8, "eight deferred")
    seen = {a["name"]: a for a in slow.status()["agents"]}
    assert seen["iris"]["throughput_class"] == "slow" and seen["iris"]["handoff_depth"] == 1
    assert seen["orion"]["outbox_depth"] == 8 and seen["orion"]["dead_letters"] == 3
    refused = slow.cli("send", "iris", "One more", check=False)
    assert refused.returncode == 75 and "backpressure" in refused.stderr
    slow.add("next", "Another task")
    slow.wait_done("next")
    told = [prompt for prompt, task in prompts_of(model, "orion") if "Another task" in task][0]
    peers, _, messages = told.partition("\n# Other agents\n")[2].partition("\n# Messages\n")
    assert messages.count("was refused: backpressure") == 3 and messages.count("waits until its receiver has room") == 8
    assert re.search(r"iris .*1 of 1 in hand, 8 of 8 waiting", peers)
    over, ended = [], threading.Event()

    def watch():
        while not ended.is_set():
            names = [path.name for folder in ("handoffs", "inbox") for path in (slow.tree("iris") / "iac" / folder).glob("*.md")]
            time.sleep(0.001)
            again = [path.name for folder in ("handoffs", "inbox") for path in (slow.tree("iris") / "iac" / folder).glob("*.md")]
            if len(set(names) & set(again)) > 1:  # two at the same time, not in turn
                over.append(names)

    watcher = threading.Thread(target=watch)
    watcher.start()
    slow.cli("resume", "iris")
    try:
        wait_until(lambda: len(finished(slow, "iris", "Wave")) == 9, "nine finished", 60, 0.1)
    finally:
        ended.set()
        watcher.join()
    assert not over, over[:3]
    wait_nothing_unfinished(slow)
    assert {e["body"][:7] for e in finished(slow, "iris", "Wave")} == {f"Wave {n:02}" for n in range(9)}


def test_promise_4_the_operators_messages_wait_in_shared_outbox_and_are_delivered_in_their_turn(slow):
    slow.cli("pause", "iris")
    sent = [slow.cli("send", "iris", f"Note {n}").stdout.strip() for n in range(9)]
    assert len(live_at(slow, "iris")) == 1
    waiting = sorted(path.stem for path in (slow.data / "shared/outbox").glob("*.md"))
    assert waiting == sorted(sent[1:])
    assert {item["status"] for item in listed(slow, "messages", "iris")} == {"delivered", "deferred"}
    assert slow.cli("send", "iris", "Too many", check=False).returncode == 75
    slow.cli("resume", "iris")
    wait_until(lambda: {i for i, e in in_folder(slow, "iris", "archive").items()} >= set(sent), "all read", 60, 0.1)
    assert not list((slow.data / "shared/outbox").glob("*.md"))


def test_promise_4_windows_are_settled_in_agents_yaml_and_peers_show_the_pressure(make_system, model):
    yaml = "throughput_classes:\n  medium: {window: 2, backlog: 1}\n" + agents_yaml(["orion", "iris"])
    system = make_system(["orion", "iris"], model=model, yaml=yaml).start()
    system.cli("pause", "iris")
    system.add("flood", "Begin. " + handing("iris", *[f"Wave {n}" for n in range(5)]))
    wait_until(lambda: len(with_text(system, "orion", "dead-letter", "Wave")) == 2, "two refused")
    assert len(live_at(system, "iris")) == 2
    system.add("next", "Look around")
    system.wait_done("next")
    prompt = [prompt for prompt, task in prompts_of(model, "orion") if "Look around" in task][0]
    line = next(line for line in prompt.splitlines() if "iris" in line and "medium" in line)
    assert "2" in line


def peer_line(system, model, task):
    """The prompt's words about iris when orion does this task."""
    system.add(task, f"Look around: {task}")
    system.wait_done(task)
    [prompt] = [prompt for prompt, asked in prompts_of(model, "orion") if asked.startswith(f"Look around: {task}")]
    return next(line for line in prompt.splitlines() if line.startswith("- iris"))


def test_peers_say_that_a_receiver_is_away_and_since_when(make_system, model):
    system = make_system(["orion", "iris"], model=model).start()
    assert "since" not in peer_line(system, model, "up")
    system.cli("pause", "iris")
    paused = re.search(r"; paused since (\S+Z), so work for it waits$", peer_line(system, model, "paused"))[1]
    assert abs(seconds_of(paused) - time.time()) < 60
    system.cli("stop", "iris")
    stopped = re.search(r"; stopped since (\S+Z), so work for it waits$", peer_line(system, model, "stopped"))[1]
    assert seconds_of(stopped) >= seconds_of(paused)
    assert system.stop() == 0
    system.start(wait=False)
    assert stopped in peer_line(system, model, "after")  # a restart of the supervisor is no new order
    system.cli("start", "iris")
    system.cli("resume", "iris")
    assert "since" not in peer_line(system, model, "again")


# ---- 5. time to live ----


def expire(system, seconds=2):
    """A handoff from orion to iris with little time; its id. The handoff is created when orion's cycle ends."""
    system.add("start", "Begin. " + handing("iris", "Too late", ttl_seconds=seconds))
    system.wait_done("start")


def busy(system, model):
    model.become("hold")
    system.add("long", "Take your time", name="iris")
    wait_until(lambda: any(r["task"].startswith("Take your time") for r in model.requests()), "iris busy")
    model.become("")


def paused(system, model):
    system.cli("pause", "iris")


def stopped(system, model):
    system.cli("stop", "iris")


def frozen(system, model):
    os.kill(system.worker("iris"), signal.SIGSTOP)


def in_backoff(system, model):
    """Dead, and not to come back for longer than the envelope lives."""

    def struck():
        status = system.agent_status("iris")
        if status["pid"]:
            send_signal(status["pid"], signal.SIGKILL)
        return status["state"] == "backoff" and status["restarts"] >= 7

    wait_until(struck, "iris in backoff", 60, 0.01)


@pytest.mark.parametrize("state", [paused, busy, stopped, frozen, in_backoff], ids=lambda state: state.__name__)
def test_promise_5_whatever_its_receiver_does_an_envelope_is_a_dead_letter_within_a_second_of_its_end(team, model, state):
    state(team, model)
    expire(team)
    fields = wait_letter(team, "iris", "dead-letter", lambda e: e["status"] == "expired", "the expired one")
    late = lateness(fields)
    assert -0.1 < late < 1 * PATIENCE, f"{late:.2f} s after its end"
    identity = fields["id"]
    assert fields["finished"] and fields["reason"]
    bounce = wait_letter(team, "orion", "inbox", lambda e: e["kind"] == "bounce", "the bounce")
    assert bounce["in_reply_to"] == identity
    model.release()
    if state is frozen:
        send_signal(team.worker("iris"), signal.SIGCONT)
    if state in (stopped, in_backoff):
        team.cli("start", "iris")
    wait_until(lambda: f"iris(escalation): {identity} expired" in team.subjects("iris"), "the commit", 60, 0.05)
    assert identity in team.read("reflections.md", "iris")
    assert not any("Too late" in task and "[[" not in task for _, task in prompts_of(model, "iris"))
    assert not in_folder(team, "iris", "handoffs")
    team.add("next", "Another task")
    team.wait_done("next")
    told = [prompt for prompt, task in prompts_of(model, "orion") if "Another task" in task]
    assert identity in told[0], "the bounce is read in the sender's next prompt"


def test_promise_5_what_waits_at_its_sender_expires_there_too(slow, model):
    slow.cli("pause", "iris")
    slow.cli("send", "iris", "It fills the window")
    expire(slow)
    fields = wait_letter(slow, "iris", "dead-letter", lambda e: e["status"] == "expired", "the deferred one")
    assert lateness(fields) < 1 * PATIENCE
    wait_until(lambda: not in_folder(slow, "orion", "outbox"), "the outbox empty")
    assert len(ends(slow)[fields["id"]]) == 1
    wait_until(lambda: any(e["kind"] == "bounce" for n, f, e in everywhere(slow) if n == "orion"), "the bounce")


def test_promise_5_what_expired_while_nobody_ran_is_a_dead_letter_at_the_next_start_and_never_asked(team, model):
    team.cli("stop", "iris")
    expire(team, 2)
    began = time.time()
    wait_until(lambda: not in_folder(team, "orion", "outbox"), "on its way")
    if in_folder(team, "iris", "handoffs"):
        team.stop(signal.SIGKILL)
        wait_until(lambda: time.time() > began + 3, "its time over while nobody runs")
        team.names = ["orion", "nova"]
        team.start()
        team.names = TEAM
    fields = wait_letter(team, "iris", "dead-letter", lambda e: e["status"] == "expired", "the expired one")
    team.cli("start", "iris")
    wait_until(lambda: f"iris(escalation): {fields['id']} expired" in team.subjects("iris"), "the commit", 30, 0.05)
    assert not any("Too late" in task and "[[" not in task for _, task in prompts_of(model, "iris"))


def test_promise_5_a_dead_letter_does_not_expire_again_and_requeue_gives_it_a_fresh_life(team, model):
    team.cli("pause", "iris")
    expire(team)
    fields = wait_letter(team, "iris", "dead-letter", lambda e: e["status"] == "expired", "the expired one")
    before = (team.tree("iris") / f"iac/dead-letter/{fields['id']}.md").read_text()
    team.cli("restart", "iris")
    team.cli("resume", "iris")
    team.wait_state("iris", "idle")
    assert (team.tree("iris") / f"iac/dead-letter/{fields['id']}.md").read_text() == before
    assert [item["id"] for item in listed(team, "dead-letters", "iris")] == [fields["id"]]
    team.cli("requeue", fields["id"])
    again = wait_finished(team, "iris", "Too late")
    assert again["id"] == fields["id"] and seconds_of(again["created"]) >= seconds_of(fields["created"])
    assert not in_folder(team, "iris", "dead-letter")
    assert any("Too late" in task for _, task in prompts_of(model, "iris"))
    answers = lambda: [e for _, _, e in everywhere(team) if e["kind"] == "result" and e["in_reply_to"] == fields["id"]]  # noqa: E731
    wait_until(answers, "a result")


def test_promise_5_a_purged_dead_letter_is_gone(team):
    team.cli("pause", "iris")
    expire(team, 1)
    fields = wait_letter(team, "iris", "dead-letter", lambda e: e["status"] == "expired", "the expired one")
    team.cli("purge", fields["id"])
    assert listed(team, "dead-letters") == []
    assert team.cli("purge", fields["id"], check=False).returncode == 66
    assert team.cli("requeue", fields["id"], check=False).returncode == 66


# ---- 6. hops ----


def test_promise_6_two_agents_that_feed_each_other_come_to_an_end(team, model):
    team.add("start", "[[pass:orion,iris]]")
    dead = lambda: [e for n, f, e in everywhere(team) if f == "dead-letter" and e["status"] == "refused"]  # noqa: E731
    refused = wait_until(dead, "one refused", 120, 0.1)[0]
    assert refused["hops"] == "17" and "hops" in refused["reason"]
    done = [e for n, f, e in everywhere(team) if f == "archive" and e["kind"] == "handoff" and e["status"] == "finished"]
    assert sorted(int(e["hops"]) for e in done) == list(range(1, 17))
    assert {e["trace"] for e in done} == {"start"}
    wait_until(lambda: not [r for r in model.requests() if r["end"] == "open"], "silence")


# ---- 7. size, and files that are no envelopes ----


def test_promise_7_an_envelope_over_256_kib_is_refused_with_its_size_and_its_sender_is_told(team, model):
    body = "Huge.\n" + "x" * (300 << 10)
    drop(team, "orion", "outbox", "huge", envelope("huge", sender="orion", to="iris", status="pending", body=body))
    wait_until(lambda: "huge.md" not in os.listdir(team.tree() / "iac/outbox"), "huge out of the way")
    said = team.log() + " ".join(team.agent_status()["problems"])
    assert re.search(r"huge.*30\d{4}|30\d{4}.*huge", said), "its size is said"
    assert not in_folder(team, "iris", "handoffs")
    too_long = team.cli("send", "iris", "-", stdin="y" * (300 << 10), check=False)
    assert too_long.returncode == 65 and "30720" in too_long.stderr
    team.add("start", "Begin. " + handing("iris", "Small enough"))
    wait_finished(team, "iris", "Small enough")


def sized(identity, size, **fields):
    """An envelope of so many bytes."""
    head = envelope(identity, body="", **fields)
    return head + "x" * (size - len(head))


def test_promise_7_an_envelope_of_256_kib_is_delivered_and_done_and_one_byte_more_is_refused(team, model):
    limit = 256 << 10
    for identity, size in {"exact": limit, "over": limit + 1, "far": 300 << 10}.items():
        drop(team, "orion", "outbox", identity, sized(identity, size, sender="orion", to="iris"))
    done = wait_letter(team, "iris", "archive", lambda e: e["id"] == "exact", "the one of 256 KiB")
    assert done["status"] == "finished" and done["body"].count("x") > limit - 1024
    for identity, size in {"over": limit + 1, "far": 300 << 10}.items():
        letter = wait_letter(team, "orion", "dead-letter", lambda e: e["id"] == identity, identity)
        assert letter["status"] == "refused" and f"{size} bytes" in letter["reason"]
    assert team.read("outputs/far-refused.md").count("x") > (300 << 10) - 1024, "its whole text is kept"
    team.add("next", "Another task")
    team.wait_done("next")
    told = [prompt for prompt, task in prompts_of(model, "orion") if "Another task" in task]
    assert "over" in told[0] and f"{limit + 1} bytes" in told[0]
    assert team.cli("verify", check=False).returncode == 0


def test_promise_7_one_that_waits_and_is_made_too_large_meanwhile_is_refused(slow, model):
    slow.cli("pause", "iris")
    limit = 256 << 10
    for identity in ("first", "exact", "grows"):
        size = limit if identity == "exact" else 1000
        drop(slow, "orion", "outbox", identity, sized(identity, size, sender="orion", to="iris"))
        folder, name = ("handoffs", "iris") if identity == "first" else ("outbox", "orion")
        status = "delivered" if identity == "first" else "deferred"
        wait_letter(slow, name, folder, lambda e: e["id"] == identity and e.get("status") == status, identity)
    drop(slow, "orion", "outbox", "grows", sized("grows", limit + 2000, sender="orion", to="iris", status="deferred"))
    slow.cli("resume", "iris")
    wait_letter(slow, "iris", "archive", lambda e: e["id"] == "exact" and e["status"] == "finished", "the one of 256 KiB")
    letter = wait_letter(slow, "orion", "dead-letter", lambda e: e["id"] == "grows", "the refused one")
    assert letter["status"] == "refused" and f"{limit + 2000} bytes" in letter["reason"]


@pytest.mark.parametrize("folder", ["handoffs", "inbox"])
def test_promise_7_what_people_put_into_a_tree_has_256_kib_too_and_no_byte_more(team, folder):
    kind = "handoff" if folder == "handoffs" else "message"
    for identity, size in {"exact": 256 << 10, "over": (256 << 10) + 1}.items():
        drop(team, "iris", folder, identity, sized(identity, size, to="iris", kind=kind))
    wait_letter(team, "iris", "archive", lambda e: e["id"] == "exact", "the one of 256 KiB")
    iac = team.tree("iris") / "iac" / folder
    wait_until(lambda: list(iac.glob("over.md.unreadable-*")), "the larger one set aside")
    wait_until(lambda: any("over.md" in line for line in team.agent_status("iris")["problems"]), "told in status")


@pytest.mark.parametrize("folder", ["handoffs", "inbox", "outbox"])
def test_promise_7_a_file_that_is_no_valid_envelope_is_set_aside_reported_and_stops_nothing(team, folder):
    iac = team.tree("iris") / "iac" / folder
    for name, text in {"garbage": "\0\xff\xfe nonsense", "bomb": "---\na: &a [x]\nb: *a\n---\n", "other": envelope("another"),
                       "endless": "---\n" + "key: value\n" * 20000}.items():
        drop(team, "iris", folder, name, text)
    names = ("garbage", "bomb", "other", "endless")
    wait_until(lambda: not [n for n in names if (iac / f"{n}.md").exists()], "all set aside", 30, 0.05)
    aside = sorted(path.name.partition(".md.unreadable-")[0] for path in iac.glob("*.unreadable-*"))
    assert aside == sorted(names)
    assert in_folder(team, "iris", "dead-letter") == {}
    problems = " ".join(wait_until(lambda: team.agent_status("iris")["problems"], "problems"))
    assert any(name in problems for name in names)
    team.add("start", "Begin. " + handing("iris", "Go on"))
    wait_finished(team, "iris", "Go on")


def test_promise_7_links_and_pipes_in_its_folders_lead_nowhere_and_stop_nothing(team):
    secret = team.folder / "secret.md"
    secret.write_text(envelope("secret", to="iris", sender="orion"))
    for folder in ("handoffs", "inbox", "outbox"):
        iac = team.tree("iris") / "iac" / folder
        (iac / "secret.md").symlink_to(secret)
        os.mkfifo(iac / "pipe.md")
        (iac / "folder.md").mkdir()
    team.add("start", "Begin. " + handing("iris", "Go on"))
    wait_finished(team, "iris", "Go on")
    assert secret.exists() and not finished(team, "iris", "Do it")


# ---- who sent it ----


def test_from_is_set_by_the_supervisor_never_by_what_stands_in_the_file(team):
    drop(team, "orion", "outbox", "forged", envelope("forged", sender="nova", to="iris", status="pending", body="Who am I\n"))
    fields = wait_finished(team, "iris", "Who am I")
    assert fields["from"] == "orion"
    wait_until(lambda: any(e["kind"] == "result" and n == "orion" for n, f, e in everywhere(team)), "the result goes to orion")
    own = wait_letter(team, "orion", "archive", lambda e: e["id"] == "forged", "its sender's own copy")
    assert own["from"] == "orion"
    drop(team, "orion", "outbox", "refused", envelope("refused", sender="nova", to="nobody", status="pending"))
    assert wait_letter(team, "orion", "dead-letter", lambda e: e["id"] == "refused", "the refused one")["from"] == "orion"
    assert team.cli("verify", check=False).returncode == 0


# ---- the whole way ----


def test_a_chain_over_three_agents_keeps_one_trace_and_shows_its_route(team):
    inner = handing("nova", "Third hand")
    team.add("first-task", "Begin. " + handing("iris", f"Second hand {inner}"))
    last = wait_finished(team, "nova", "Third hand", 60)
    second = wait_finished(team, "iris", "Second hand", 60)
    assert (second["trace"], last["trace"]) == ("first-task", "first-task")
    assert (second["hops"], last["hops"]) == ("1", "2")
    wait_until(lambda: in_folder(team, "iris", "archive").get(last["id"]), "iris's copy archived")
    text = team.cli("show", last["id"]).stdout
    for part in ("from iris to nova: finished", f"nova(task): {last['id']}", f"iris(task): {second['id']}", second["id"],
                 "iac/outbox", "delivered", "read"):
        assert part in text, f"{part!r} not in\n{text}"
    results = [e for _, _, e in everywhere(team) if e["kind"] == "result"]
    assert {e["in_reply_to"] for e in results} == {second["id"], last["id"]}
    wait_nothing_unfinished(team)
    assert team.stop() == 0
    verify = team.cli("verify", check=False)
    assert verify.returncode == 0, verify.stdout


# ---- people ----


def test_people_may_drop_edit_and_delete_envelopes(team, model):
    team.cli("pause", "iris")
    drop(team, "iris", "handoffs", "by-hand", envelope("by-hand", to="iris", body="Put here by a person\n"))
    team.add("start", "Begin. " + handing("iris", "To be edited", "To be deleted"))
    edited = wait_letter(team, "iris", "handoffs", lambda e: e["body"].startswith("To be edited"), "the first")
    deleted = wait_letter(team, "iris", "handoffs", lambda e: e["body"].startswith("To be deleted"), "the second")
    path = team.tree("iris") / f"iac/handoffs/{edited['id']}.md"
    path.write_text(path.read_text().replace("To be edited", "Edited by a person"))
    (team.tree("iris") / f"iac/handoffs/{deleted['id']}.md").unlink()
    bounce = wait_until(lambda: next((e for n, f, e in everywhere(team) if e["kind"] == "bounce"), None), "a bounce", 30, 0.05)
    assert bounce["in_reply_to"] == deleted["id"] and "by hand" in str(bounce)
    team.cli("resume", "iris")
    wait_finished(team, "iris", "Put here by a person")
    assert wait_finished(team, "iris", "Edited by a person")["id"] == edited["id"]
    assert shown_in_prompts(model, "To be deleted") == 0


def test_who_copies_an_envelope_is_told_that_it_is_work_twice_and_who_moves_it_is_not(team):
    for name in ("iris", "nova"):
        team.cli("pause", name)
    for identity in ("moved", "copied"):
        drop(team, "iris", "handoffs", identity, envelope(identity, to="iris"))
        team.wait_log(rf"\[iris\] Envelope {identity} was put into iac/handoffs by hand")
    (team.tree("iris") / "iac/handoffs/moved.md").rename(team.tree("nova") / "iac/handoffs/moved.md")
    team.wait_log(r"\[nova\] Envelope moved was put into iac/handoffs by hand")
    drop(team, "nova", "handoffs", "copied", envelope("copied", to="iris"))
    team.wait_log(r"WARN .*\[nova\] Envelope copied was copied into iac/handoffs by hand: it lies with iris too")
    for name in ("iris", "nova"):
        team.cli("resume", name)
    for name in ("iris", "nova"):
        wait_letter(team, name, "archive", lambda e: e["id"] == "copied" and e["status"] == "finished", "done by both")
    wait_letter(team, "nova", "archive", lambda e: e["id"] == "moved" and e["status"] == "finished", "done by one")
    assert "moved" not in in_folder(team, "iris", "archive")


def test_status_and_listings_agree_with_the_files(team):
    team.cli("stop", "iris")
    team.add("start", "Begin. " + handing("iris", "One", "Two"))
    wait_until(lambda: len(in_folder(team, "iris", "handoffs")) == 2, "both delivered")
    status = team.agent_status("iris")
    assert (status["handoff_depth"], status["inbox_depth"], status["dead_letters"]) == (2, 0, 0)
    assert [item["body"].strip() for item in listed(team, "handoffs", "iris")] == ["One", "Two"]
