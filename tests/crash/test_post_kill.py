"""A kill at every system call of a handoff's life, of supervisor, sender and receiver; and hundreds of envelopes in a storm
of kills. Each envelope comes to exactly one end, once, whatever state is left, and its sender is told.

AGENTOS_KILL_STEP walks faster (see test_cycle_kill.py). AGENTOS_STORM_ENVELOPES is the number of envelopes in the storm,
AGENTOS_STORM_PAUSE the most seconds between two kills, AGENTOS_STORM_SEED repeats the storm's choices.
"""

import collections
import os
import random
import signal
import threading
import time

import pytest
from harness import agents_yaml, alive, send_signal, wait_until
from post_office import ends, everywhere, handing, in_folder, reply, with_text
from test_cycle_kill import EVERY, EVERY_THIRD, kill_at, places_met, release, there
from test_storm import ask, children, role_of

# ---- at every Nth system call ----


def over(system, text):
    """Done at iris, told to orion, and both outboxes empty."""
    done = [e for e in with_text(system, "iris", "archive", text + "\n") + with_text(system, "iris", "archive", text)
            if e["status"] == "finished"]
    if not done:
        return False
    told = [e for folder in ("inbox", "archive") for e in in_folder(system, "orion", folder).values()
            if e.get("in_reply_to") == done[0]["id"]]
    return told and not in_folder(system, "orion", "outbox") and not in_folder(system, "iris", "outbox")


def walk(system, who, again, tmp_path):
    given, killed = [], 0

    def give(what):
        text = f"Piece {who} {what}."
        given.append((f"give-{who}-{what}", text))
        system.add(given[-1][0], "Begin. " + handing("iris", text))
        return text

    def act():
        text = give("first")
        wait_until(lambda: over(system, text), f"{text} over", 60, 0.01)

    places = places_met(there(system, who), tmp_path / "calls", act, EVERY if who == "supervisor" else EVERY_THIRD)
    for name, call in places:
        for agent in () if who == "supervisor" else ("orion", "iris"):  # a supervisor that was killed has begun anew
            assert system.control(verb="restart", agent=agent)["exit"] == 0
            system.wait_state(agent, "idle")
        pid = there(system, who)
        tracer = kill_at(pid, call, name)
        text = give(f"{name} {call}")
        wait_until(lambda: over(system, text) or not alive(pid), f"{text} over or {who} killed", 60, 0.01)
        release(tracer)
        if not alive(pid):
            killed += 1
            again()
        try:
            wait_until(lambda: over(system, text), f"{text} over after the kill", 60, 0.02)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{[(n, f, e['id'], e['status']) for n, f, e in everywhere(system)][-8:]}") from None
    assert killed > len(places) / 2, f"{killed} kills at {len(places)} places"
    return given


def check(system, given):
    """Each task is committed once, its handoff done once and answered once, by the files in the trees and in git."""
    for name in ("orion", "iris"):
        system.wait_queue_empty(name)
        counted = system.done(name)
        assert set(counted.values()) <= {1}, counted
    ended = ends(system)
    results = collections.Counter(e["in_reply_to"] for n, _, e in everywhere(system) if e["kind"] == "result" and n == e["to"])
    for task, text in given:
        found = {e["id"] for n, f, e in everywhere(system) if e["kind"] == "handoff" and e["body"].startswith(text)}
        assert len(found) == 1, f"{text} became {found}"
        [identity] = found
        assert [end[0] for end in ended[identity]] == ["finished"], (text, ended[identity])
        assert results[identity] == 1, f"{text}: {results[identity]} results"
    system.assert_sound("orion")
    system.assert_sound("iris")
    assert system.stop() == 0
    verify = system.cli("verify", check=False)
    assert verify.returncode == 0, verify.stdout


@pytest.mark.parametrize("who", ["orion", "iris"], ids=["sender", "receiver"])
def test_a_kill_of_a_worker_at_any_system_call_of_a_handoffs_life_neither_loses_nor_doubles_it(make_system, model, tmp_path, who):
    system = make_system(["orion", "iris"], model=model).start()
    check(system, walk(system, who, lambda: None, tmp_path))


def test_a_kill_of_the_supervisor_at_any_system_call_of_a_handoffs_life_neither_loses_nor_doubles_it(make_system, model, tmp_path):
    system = make_system(["orion", "iris"], model=model).start()

    def again():
        system.process.wait(20)
        system.start()

    check(system, walk(system, "supervisor", again, tmp_path))


# ---- a storm ----

CROWD = ["orion", "iris", "nova", "lex", "revu"]
EACH = 10  # envelopes of one task
COUNT = int(os.environ.get("AGENTOS_STORM_ENVELOPES", "300"))
WEIGHTS = {"worker": 85, "gateway": 5, "zygote": 5, "supervisor": 5}
KILL_PAUSE = float(os.environ.get("AGENTOS_STORM_PAUSE", "0.05"))  # seconds at most between two kills


class Storm(threading.Thread):
    """Kills until it is told to stop."""

    def __init__(self, system, chance):
        super().__init__(daemon=True)
        self.system, self.chance = system, chance
        self.kills, self.over, self.fault = collections.Counter(), threading.Event(), None
        self.start()

    def strike(self):
        role = self.chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if role == "supervisor":
            self.kills[role] += send_signal(self.system.process.pid, signal.SIGKILL)
            self.system.process.wait()
            self.system.start(wait=False)
            return
        victims = [pid for pid in children(self.system.process.pid) if role_of(pid) == role and alive(pid)]
        if victims:
            self.kills[role] += send_signal(self.chance.choice(victims), signal.SIGKILL)
        for name in CROWD:
            ask(self.system, {"verb": "start", "agent": name, "no_wait": True})

    def run(self):
        try:
            while not self.over.wait(self.chance.uniform(0, KILL_PAUSE)):
                self.strike()
        except Exception as fault:  # shown by stop(), in the test's own thread
            self.fault = fault

    def stop(self):
        self.over.set()
        self.join()
        assert self.fault is None, self.fault


def directive(chance, sender, task):
    """Ten envelopes to others: handoffs and messages of every priority, some of them with little time."""
    handoffs, messages = [], []
    for number in range(EACH):
        to = chance.choice([name for name in CROWD if name != sender] + ["nobody"] * (number == 0 and chance.random() < 0.1))
        if chance.random() < 0.2:
            messages.append({"to": to, "body": f"<{task}/{number}>"})
            continue
        work = {"to": to, "task": f"<{task}/{number}>", "priority": chance.choice(["high", "normal", "low"])}
        if chance.random() < 0.1:
            work["ttl_seconds"] = chance.randint(1, 3)
        handoffs.append(work)
    return reply(handoffs=handoffs, messages=messages)


def left(system):
    """The envelopes that have not ended. The folders of ended envelopes are not read: they hold thousands."""
    return [(n, f, e["id"], e["status"]) for n in CROWD for f in ("outbox", "handoffs", "inbox")
            for e in in_folder(system, n, f).values()]


def settle(system):
    """Until nothing is on its way: results wait for a cycle that reads them, so everybody gets one as often as needed."""
    rounds = 0
    while True:
        work = lambda: [x for x in left(system) if x[1] != "inbox"]  # noqa: E731
        try:
            wait_until(lambda: not work(), "no work unfinished", 120, 0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{work()[:20]}") from None
        if not left(system):
            return
        rounds += 1
        assert rounds < 200, left(system)[:20]
        for name in CROWD:
            if in_folder(system, name, "inbox"):
                system.add(f"read-{name}-{rounds}", "Read what has come", name=name)
        for name in CROWD:
            system.wait_queue_empty(name, 60)


def fate(system):
    """text -> {id: (kind, sender, ends)}"""
    ended, found = ends(system), collections.defaultdict(dict)
    for _, _, e in everywhere(system):
        if e["kind"] in ("handoff", "message") and e["body"].startswith("<"):
            text = e["body"].partition(">")[0] + ">"
            found[text][e["id"]] = (e["kind"], e["from"], ended[e["id"]])
    return found


def assert_told(archives, identity, kind, sender, end, answers):
    status, where, _ = end
    if status == "refused":
        assert where == sender, f"{identity} was refused at {where}, not at {sender}"
    elif status == "finished":
        assert answers[(identity, sender)] == ["result"], (identity, answers[(identity, sender)])
    elif status in ("expired", "failed"):
        assert answers[(identity, sender)] == ["bounce"], (identity, status, answers[(identity, sender)])
    else:
        assert kind == "message" and identity in archives[sender], (identity, status)


def test_hundreds_of_envelopes_under_a_storm_of_kills_end_each_once_and_every_sender_is_told(make_system, model):
    seed = os.environ.get("AGENTOS_STORM_SEED") or str(int.from_bytes(os.urandom(4), "little"))
    print(f"AGENTOS_STORM_SEED={seed}")
    chance = random.Random(seed)
    yaml = agents_yaml(CROWD, "    throughput_class: fast\n")
    system = make_system(CROWD, model=model, yaml=yaml).start()
    storm = Storm(system, random.Random(chance.random()))
    tasks = []
    for number in range(COUNT // EACH):
        sender = chance.choice(CROWD)
        tasks.append((sender, f"give-{number}"))
        system.add(f"give-{number}", "Begin. " + directive(chance, sender, f"give-{number}"), name=sender)
        # Results wait in the inbox for a cycle that reads them, and none comes while nothing is given.
        wait_until(lambda: sum(x[1] != "inbox" for x in left(system)) < 100, "room for more", 300, 0.05)
    began = time.monotonic()
    done = lambda: all("## give-" not in system.read("queue.md", name) for name in CROWD)  # noqa: E731
    wait_until(lambda: done() or time.monotonic() - began > 10 + COUNT / 20, "the queues empty", 300 + COUNT, 0.2)
    storm.stop()
    print(f"{dict(storm.kills)} kills")
    for name in CROWD:
        ask(system, {"verb": "start", "agent": name, "no_wait": True})
    system.wait_ready()
    for name in CROWD:
        system.wait_queue_empty(name, 120)
    settle(system)

    found = fate(system)
    archives = {name: in_folder(system, name, "archive") for name in CROWD}
    answers = collections.defaultdict(list)
    for name, _, e in everywhere(system):
        if e["kind"] in ("result", "bounce") and e["to"] == name:
            answers[(e["in_reply_to"], name)].append(e["kind"])
    counters = collections.Counter()
    dead = {name: in_folder(system, name, "dead-letter") for name in CROWD}
    for sender, task in tasks:
        if task in dead[sender]:
            counters["tasks that met three deaths"] += 1
            continue
        assert system.done(sender)[task] == 1, f"{task} of {sender}"
        for number in range(EACH):
            fates = found[f"<{task}/{number}>"]
            assert len(fates) == 1, f"{task}/{number} became {fates}"
            [(identity, (kind, from_, ended))] = fates.items()
            assert len(ended) == 1, f"{identity} ended {ended}"
            assert_told(archives, identity, kind, from_, next(iter(ended)), answers)
            counters[next(iter(ended))[0]] += 1
    print(dict(counters))
    for name in CROWD:
        subjects = [s for s in system.subjects(name) if s.startswith(f"{name}(task): ")]
        assert len(subjects) == len(set(subjects)), "something was done twice"
    assert system.stop() == 0
    for name in CROWD:
        system.assert_sound(name)
    verify = system.cli("verify", check=False)
    assert verify.returncode == 0, verify.stdout
