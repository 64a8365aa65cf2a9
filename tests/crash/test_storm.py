"""A storm: kill -9 on random processes, the supervisor among them, while agents work; then all is looked at.

AGENTOS_STORM_SEED repeats a storm's choices (its timing is the machine's); AGENTOS_STORM_SECONDS is how long the second
one rages.
"""

import collections
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import time

import harness
from harness import alive, descendants, send_signal, task_block, wait_until

AGENTS = ["orion", "iris", "nova"]
EACH = 50
KILLS = 40


def choose_victim(chance, system):
    processes = system.processes()
    role = chance.choice(["worker", "worker", "worker", "gateway", "gateway", "zygote", "supervisor"])
    if role == "worker":
        role = chance.choice(AGENTS)
    return role, processes.get(role)


def strike(chance, system):
    """One kill; returns the number of requests that it may have cost."""
    role, pid = choose_victim(chance, system)
    if pid is None:
        return 0
    family = descendants(system.process.pid)
    send_signal(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), f"{role} dead")
    if role == "supervisor":
        system.process.wait()
        wait_until(lambda: not any(alive(child) for child in family), "its family ended with it")
        system.start()
    return {"gateway": len(AGENTS), "supervisor": len(AGENTS), "zygote": 0}.get(role, 1)


def answered(model):
    return sum(request["end"] == "answered" for request in model.requests())


def test_a_storm_of_kills_loses_nothing_and_doubles_nothing(make_system, model):
    seed = os.environ.get("AGENTOS_STORM_SEED") or str(int.from_bytes(os.urandom(4), "little"))
    print(f"AGENTOS_STORM_SEED={seed}")
    chance = random.Random(seed)
    system = make_system(AGENTS, model=model, scenario="slow-10").start()
    ids = {name: [f"{name}-{number}" for number in range(EACH)] for name in AGENTS}
    strikes = explained = 0
    for number in range(EACH):
        before = answered(model)
        for name in AGENTS:
            task_id = ids[name][number]
            system.add(task_id, f"Do {task_id}", name=name, priority=chance.choice(["high", "normal", "low"]))
        if strikes < KILLS:
            explained += strike(chance, system)
            strikes += 1
            aim = before + chance.randint(1, 3)
            wait_until(
                lambda: answered(model) >= aim, "progress between two kills", 60, chance.uniform(0.001, 0.02)
            )
    for name in AGENTS:
        system.wait_done(*ids[name], name=name, seconds=120)
        system.wait_queue_empty(name)
        system.assert_each_once(ids[name], name)
    asked = model.asked()
    assert sum(asked.values()) - len(AGENTS) * EACH <= explained
    for name in AGENTS:
        system.assert_sound(name)
    assert system.stop() == 0
    for name in AGENTS:
        system.assert_each_once(ids[name], name)
        system.assert_sound(name)


# --- thousands of kills, without a pause for anybody ---

CROWD = [f"agent{number}" for number in range(10)]
LONG = float(os.environ.get("AGENTOS_STORM_SECONDS", "20"))  # of kills
BACKLOG = 12  # blocks that wait at an agent before its people hold back
WEIGHTS = {"http": 8, "worker": 80, "gateway": 8, "zygote": 8, "supervisor": 4}


class People:
    """A person at each agent who adds tasks in turn by shell, by `agentos task` and by an editor that renames over the file,
    until told to stop. One writer at a time, since an editor takes away a text that another writer adds between its read and
    its rename, storm or not."""

    def __init__(self, system, name, seed):
        self.system, self.name, self.chance = system, name, random.Random(f"{seed}-{name}")
        self.added, self.unsure, self.ended = {}, {}, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.fault = None
        self.thread.start()

    def by_shell(self, task_id, text):
        (self.system.folder / self.name).write_text(task_block(task_id, text))
        command = 'cat "$0" >>"$1"'
        subprocess.run(
            ["sh", "-c", command, str(self.system.folder / self.name), str(self.system.tree(self.name) / "queue.md")],
            check=True,
        )
        self.added[task_id] = text

    def by_command(self, task_id, text):
        """When the supervisor dies in the middle of the order, nobody knows whether the task was added: the task may be
        there, once."""
        sure = self.system.cli("task", self.name, text, "--id", task_id, check=False).returncode == 0
        (self.added if sure else self.unsure)[task_id] = text

    def by_editor(self, task_id, text):
        """Opened at any moment, also while a block is just on its way back into the file."""
        queue = self.system.tree(self.name) / "queue.md"
        copy = queue.with_name("queue.md~")
        before = self.system.read("queue.md", self.name)
        self.added[task_id] = text
        copy.write_text(before + task_block(task_id, text))
        copy.rename(queue)

    def run(self):
        ways = [self.by_shell, self.by_command, self.by_editor]
        try:
            while not self.ended.is_set():
                if self.system.read("queue.md", self.name).count("## ") >= BACKLOG:
                    self.ended.wait(0.01)
                    continue
                task_id = f"{self.name}-{len(self.added) + len(self.unsure)}"
                self.chance.choice(ways)(task_id, f"Do {task_id}")
        except Exception as fault:  # shown by stop(), in the test's own thread
            self.fault = fault

    def stop(self):
        self.ended.set()
        self.thread.join()
        assert self.fault is None, self.fault


    def give_back(self):
        """When the queue is empty: the third death in one task set it aside, and a person gives it back under a new id.
        How many there were."""
        # A worker whose word does not come through is killed after 120 s.
        self.system.wait_queue_empty(self.name, seconds=200)
        self.system.wait_state(self.name, "idle", seconds=60)
        letters = list((self.system.tree(self.name) / "iac/dead-letter").glob("*.md"))
        for letter in letters:
            text = letter.read_text().rstrip()
            assert "reason: poison" in text and text.endswith(f"\nDo {letter.stem}"), text
            self.added.pop(letter.stem, None) or self.unsure.pop(letter.stem)
            self.by_shell(f"{letter.stem}-again", f"Do {letter.stem}")
        return len(letters)


def children(pid):
    try:
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def role_of(pid):
    try:
        name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
    return name.removeprefix("agentos-")


def identity(pid):
    """The part of a process's identity that a later process with the same number doesn't share."""
    try:
        return pid, pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


class Storm:
    def __init__(self, system, seed, names=CROWD):
        self.system, self.chance, self.names = system, random.Random(seed), names
        self.kills, self.seen = collections.Counter(), set()

    def victims(self, role):
        if role == "supervisor":
            return [self.system.process.pid]
        return [pid for pid in children(self.system.process.pid) if role_of(pid) == role and alive(pid)]

    def order_starts(self):
        """As an operator does who won't wait for the backoff."""
        for name in self.names:
            ask(self.system, {"verb": "start", "agent": name, "no_wait": True})

    def strike(self):
        role = self.chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        victims = self.victims(role)
        if not victims:
            self.order_starts()
            return
        self.seen.update(map(identity, children(self.system.process.pid)))
        pid = self.chance.choice(victims)
        self.kills[role] += send_signal(pid, signal.SIGKILL)
        if role == "supervisor":
            self.system.process.wait()
            self.system.start(wait=False)

    def rage(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.strike()
            time.sleep(self.chance.uniform(0, 0.01))
            if self.system.process.poll() is not None:
                raise AssertionError(f"the supervisor ended by itself: {self.system.process.returncode}")


def ask(system, request):
    """A request to the control socket without the cost of a process; whether it was sent."""
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(str(system.data / ".run/control"))
            link.sendall(json.dumps(request).encode() + b"\n")
            return True
        except OSError:
            return False


def temporary_files(system, name):
    """The files that a write which was cut short may leave behind."""
    tree = system.tree(name)
    left = [path for path in tree.rglob("*") if re.search(r"\.new-\d+$|tmp_|\.lock$", path.name)]
    return [str(path.relative_to(tree)) for path in left]


def test_after_thousands_of_kills_every_task_is_done_once_and_every_repository_is_sound(make_system, model):
    seed = os.environ.get("AGENTOS_STORM_SEED") or str(int.from_bytes(os.urandom(4), "little"))
    system = make_system(CROWD, model=model, scenario="slow-5", env={"AGENTOS_LISTEN": "127.0.0.1:0"}).start()
    people = {name: People(system, name, seed) for name in CROWD}
    storm = Storm(system, seed)
    storm.rage(LONG)
    for person in people.values():
        person.stop()
    tasks = sum(len(person.added) for person in people.values())
    print(f"AGENTOS_STORM_SEED={seed}: {dict(storm.kills)} kills, {tasks} tasks")
    storm.order_starts()
    again = sum(person.give_back() for person in people.values())
    print(f"{again} tasks met three deaths and were given back")
    for name, person in people.items():
        system.wait_done(*person.added, name=name, seconds=120)
        system.wait_queue_empty(name)
        came = [task_id for task_id in person.unsure if system.done(name)[task_id]]
        system.assert_each_once([*person.added, *came], name)
    assert sum(storm.kills.values()) > 10 * LONG / harness.PATIENCE
    for name in CROWD:
        wait_until(lambda: not temporary_files(system, name), f"no temporary file in {name}: {temporary_files(system, name)}")
    family = system.family()
    assert system.stop() == 0
    for name in CROWD:
        system.assert_sound(name)
    assert not [pid for pid in family if alive(pid)]
    strays = [known for known in storm.seen if known and identity(known[0]) == known and alive(known[0])]
    assert not strays, strays
    verify = system.cli("verify", check=False)
    assert verify.returncode == 0, verify.stdout + verify.stderr


# --- a fleet of which most hibernate ---

FLEET = int(os.environ.get("AGENTOS_STORM_FLEET", "60"))
FLEET_WARM = 8
BUSY = 10  # every tenth has work
FLEET_SECONDS = float(os.environ.get("AGENTOS_STORM_FLEET_SECONDS", "15"))


def test_after_a_storm_over_a_fleet_with_work_in_every_tenth_nothing_is_lost_or_doubled(make_system, model):
    """Work wakes agents that hibernate, whatever the supervisor and their workers die of meanwhile."""
    seed = os.environ.get("AGENTOS_STORM_SEED") or str(int.from_bytes(os.urandom(4), "little"))
    names = [f"agent{number:04}" for number in range(FLEET)]
    yaml = f"warm_workers: {FLEET_WARM}\n" + harness.agents_yaml(names)
    system = make_system(names, model=model, scenario="slow-5", yaml=yaml).start(wait=False)
    wait_until(lambda: "Every agent has had its first start." in system.log(), "every agent started once", 300)
    added = {name: [] for name in names[::BUSY]}
    storm = Storm(system, seed, list(added))
    end = time.monotonic() + FLEET_SECONDS
    while time.monotonic() < end:
        name = storm.chance.choice(list(added))
        if system.read("queue.md", name).count("## ") < BACKLOG:
            added[name].append(f"{name}-{len(added[name])}")
            system.add(added[name][-1], name=name)
        storm.strike()
        time.sleep(storm.chance.uniform(0, 0.05))
    print(f"AGENTOS_STORM_SEED={seed}: {dict(storm.kills)} kills, {sum(map(len, added.values()))} tasks, {FLEET} agents")
    for name, tasks in added.items():
        ask(system, {"verb": "start", "agent": name, "no_wait": True})
        system.wait_queue_empty(name, seconds=200)
        letters = [path.stem for path in (system.tree(name) / "iac/dead-letter").glob("*.md")]
        system.assert_each_once([task for task in tasks if task not in letters], name)
        system.assert_sound(name)
    assert not [name for name in names if name not in added and system.done(name)]
    assert system.stop() == 0
    verify = system.cli("verify", check=False, seconds=300)
    assert verify.returncode == 0, verify.stdout + verify.stderr
