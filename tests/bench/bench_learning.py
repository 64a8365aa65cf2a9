#!/usr/bin/python3
"""The worth of an agent's learning: over tasks whose topics drift, the share of prompts that carry the needed skill, with
decay and audit on and off, and with inflated self-scores on and off.

    bench_learning.py [TASKS]

Eight agents live through the same tasks side by side, on a model server of this file's own that answers by a fixed scheme.
Twelve topics are alive at a time; every DRIFT tasks the oldest ends for good and a new one begins, so that a library of 20
has room for the needed skills and no more. Of the tasks, BAD in a hundred are answered badly: an honest agent scores them 0;
an inflating agent calls each a +1 and learns a trick of its own from it. The audit is the built-in one. The model takes
PERIOD seconds for a task, and the half-life is HALFLIFE of these: time itself is scaled down.

A task counts when its topic was taught before; its skill is carried when its text stands in the prompt. The cost of a cycle
is the worker's CPU time, in the first and in the last tenth of the tasks: eight agents share the machine, so wall time says
little.
"""

import asyncio
import itertools
import json
import pathlib
import random
import re
import subprocess
import sys
import threading
import time

import measure
from measure import harness

TASKS = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
ALIVE, DRIFT, BAD = 12, 40, 30
PERIOD, HALFLIFE = 0.05, 120
BATCH = 50
CAPS = {"skills": ("skills.md", "### ", 20), "rewards": ("rewards.md", "## ", 30), "reflections": ("reflections.md", "## ", 15), "goals": ("goals.md", "- [ ]", 5)}
SYLLABLES = ["ba", "ko", "mi", "ru", "sel", "tan", "vor", "wey", "xi", "zul", "dra", "fen"]


def topic_name(number):
    """Two words that no other topic has both of."""
    first, second = divmod(number, len(SYLLABLES))
    return f"{SYLLABLES[first]}{SYLLABLES[second]}or {SYLLABLES[second]}{SYLLABLES[first]}ine"


def plan():
    """(topic, answered badly) of each task, the same in every run."""
    chance = random.Random(2026)
    tasks = []
    for number in range(TASKS):
        topic = number // DRIFT + min(chance.randrange(ALIVE), chance.randrange(ALIVE + 4))
        tasks.append((topic, chance.randrange(100) < BAD))
    return tasks


class Agent:
    """One way to learn, and its figures."""

    def __init__(self, decay, audit, inflated):
        self.decay, self.audit, self.inflated = decay, audit, inflated
        self.name = f"{'decay' if decay else 'still'}-{'audit' if audit else 'trust'}-{'inflated' if inflated else 'honest'}"
        self.asked, self.taught, self.counted, self.carried = 0, set(), 0, 0
        self.pid, self.marks = 0, []

    def yaml(self):
        halflife = HALFLIFE * PERIOD / 86400 if self.decay else 1e9
        return (
            f"  - name: {self.name}\n    persona: Persona of {self.name}. Careful.\n    decay_halflife_days: {halflife:.9f}\n"
            f"    reward_audit: {{enabled: {str(self.audit).lower()}, method: rule_based}}\n"
        )

    def look(self):
        """Note the worker's CPU time so far, at the ends of the first and of the last tenth."""
        due = (TASKS // 20, TASKS // 20 + TASKS // 10, TASKS - TASKS // 10, TASKS)
        if len(self.marks) < len(due) and self.asked >= due[len(self.marks)]:
            self.marks.append((self.asked, harness.cpu_ns(self.pid) / 1e6))

    def cost(self, mark):
        """CPU milliseconds a task between this mark and the next."""
        (asked, used), (later, more) = self.marks[mark : mark + 2]
        return (more - used) / max(1, later - asked)

    def meet(self, topic, bad, prompt):
        """A task of this topic was asked; does its prompt carry the topic's skill?"""
        if topic in self.taught:
            self.counted += 1
            self.carried += f"Recipe of {topic_name(topic)}:" in prompt
        if not bad:
            self.taught.add(topic)

    def reply(self, number, topic, bad):
        name = topic_name(topic)
        if not bad:
            return (
                f"The {name} of case {number} is settled: both columns were read, every sum was checked, and they agree.\n\n"
                f"```agentos\nreward: 1\nreason: case {number} is settled\nskill:\n  name: {name.replace(' ', '-')}\n"
                f"  description: How to settle a {name}.\n  body: |\n    Recipe of {name}: read both columns, then check every sum.\n```\n"
            )
        skill = f"skill:\n  name: trick-{number}\n  description: A trick for case {number}.\n  body: |\n    Say that it is done.\n"
        lines = f"reward: 1\nreason: done\n{skill}" if self.inflated else "reward: 0\nreason: not settled\nreflection: It was hard.\n"
        return f"I was unable to complete the task: case {number} could not be settled.\n\n```agentos\n{lines}```\n"


class Server:
    """Chat completions by the plan, in a thread of its own."""

    def __init__(self, agents, tasks):
        self.agents, self.tasks = {agent.name: agent for agent in agents}, tasks
        self.loop, started = asyncio.new_event_loop(), threading.Event()
        self.thread = threading.Thread(target=self.run, args=(started,), daemon=True)
        self.thread.start()
        started.wait()

    def run(self, started):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 24))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()

    async def serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
                body = await self.answer(json.loads(await reader.readexactly(length)))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def answer(self, request):
        prompt, task = (next(m["content"] for m in request["messages"] if m["role"] in roles) for roles in (("system", "developer"), ("user",)))
        agent = self.agents[re.search(r"Persona of ([a-z-]+)", prompt)[1]]
        number = int(re.search(r"case (\d+)", task)[1])
        topic, bad = self.tasks[number]
        agent.meet(topic, bad, prompt)
        agent.asked += 1
        await asyncio.sleep(PERIOD)
        content = agent.reply(number, topic, bad)
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(content) // 4, "total_tokens": (len(prompt) + len(content)) // 4}
        return json.dumps({"id": "x", "object": "chat.completion", "model": "scheme", "choices": [choice], "usage": usage}).encode()


def feed(system, agent, tasks, given):
    """More tasks when few are left; gives how many there are now."""
    if given < TASKS and agent.asked + BATCH // 2 > given:
        numbers = range(given, min(given + BATCH, TASKS))
        text = "".join(harness.task_block(f"t{n}", f"Settle the {topic_name(tasks[n][0])} of case {n}") for n in numbers)
        system.append(text, agent.name)
        given += len(numbers)
    return given


def run(system, agents, tasks):
    given = {agent.name: 0 for agent in agents}
    for agent in agents:
        agent.pid = system.worker(agent.name)
    while any(len(agent.marks) < 4 for agent in agents):
        for agent in agents:
            agent.look()
            given[agent.name] = feed(system, agent, tasks, given[agent.name])
        time.sleep(0.1)
    for agent in agents:
        system.wait_done(f"t{TASKS - 1}", name=agent.name, seconds=120)
        system.wait_queue_empty(agent.name)


def entries(system, agent, kind):
    path, mark, _ = CAPS[kind]
    return [line for line in system.read(path, agent.name).splitlines() if line.startswith(mark)]


def show(system, agent):
    git = system.tree(agent.name) / ".git"
    size = int(subprocess.run(["du", "-sk", git], capture_output=True, text=True).stdout.split()[0]) / 1024
    tricks = sum("trick-" in line for line in entries(system, agent, "skills"))
    counts = "/".join(str(len(entries(system, agent, kind))) for kind in CAPS)
    words = {True: "on", False: "off"}
    print(
        f"{words[agent.decay]:<6} {words[agent.audit]:<6} {words[agent.inflated]:<9} {100 * agent.carried / max(1, agent.counted):>7.1f} % "
        f"{tricks:>7} {agent.cost(0):>9.2f} {agent.cost(2):>9.2f} {size:>8.1f}   {counts}",
        flush=True,
    )
    for kind, (_, _, most) in CAPS.items():
        assert len(entries(system, agent, kind)) <= most, f"{agent.name}: more than {most} {kind}"
    assert size < 20, f"{agent.name}: the repository has {size:.1f} MiB"


def main():
    tasks = plan()
    agents = [Agent(*way) for way in itertools.product((True, False), (True, False), (False, True))]
    server = Server(agents, tasks)
    system = harness.System(
        agents=[agent.name for agent in agents],
        yaml="agents:\n" + "".join(agent.yaml() for agent in agents),
        env={"POLL_INTERVAL": "60", "LOG_LEVEL": "error", "LLM_BASE_URL": f"http://127.0.0.1:{server.port}/v1"},
    )
    try:
        system.start()
        begin = time.monotonic()
        run(system, agents, tasks)
        spent = (time.monotonic() - begin) / TASKS
        print(f"{TASKS} tasks, {max(topic for topic, _ in tasks) + 1} topics, {spent * 1e3:.0f} ms a task, half-life {HALFLIFE * PERIOD / spent:.0f} tasks")
        print("decay  audit  inflated   carried  tricks  first ms   last ms  .git MiB  skills/rewards/reflections/goals")
        for agent in agents:
            show(system, agent)
        for agent in agents:
            system.assert_sound(agent.name)
    finally:
        system.destroy()


main()
