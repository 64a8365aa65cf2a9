"""A storm: kill -9 on random processes, the supervisor among them, while three agents work; then all is looked at.

AGENTOS_STORM_SEED repeats a storm's choices (its timing is the machine's).
"""

import os
import random
import signal

from harness import alive, descendants, send_signal, wait_until

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
    """One kill; how many requests it may have cost."""
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
