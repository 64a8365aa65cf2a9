"""Contract section 6: between two tasks in a row at least 70 % of the shorter prompt is a common prefix."""

import os
import re

import odd_servers as odd
import pytest
from harness import wait_until
from post_office import prompts_of

TASKS = 40  # past the point where rewards and reflections are full and drop their oldest
NEW_SKILLS = 20  # each of these tasks teaches one more
LEAST = 0.70


def shares(model):
    """Of each prompt and the next one: the common front's share of the shorter one."""
    prompts = [prompt for prompt, _ in prompts_of(model, "orion")]
    return [len(os.path.commonprefix([a, b])) / min(len(a), len(b)) for a, b in zip(prompts, prompts[1:])]


def run(make_system, model, tasks, **env):
    system = make_system(("orion", "iris"), model=model, env=env).start()
    for number, task in enumerate(tasks):
        system.add(f"task-{number}", task)
    wait_until(lambda: len(prompts_of(model, "orion")) >= len(tasks), "all tasks", 240)
    return system


def test_the_front_of_the_prompt_stays_from_task_to_task(make_system, model):
    run(make_system, model, [f"Count the words of the page with number {number}" for number in range(TASKS)])
    assert min(shares(model)) >= LEAST, [round(share, 2) for share in shares(model)]


def test_the_front_stays_while_each_task_teaches_a_new_skill(make_system, model):
    run(make_system, model, [f"Page {number}: count its words" for number in range(NEW_SKILLS)])
    assert min(shares(model)) >= LEAST, [round(share, 2) for share in shares(model)]


def test_the_front_stays_in_a_small_context(make_system, model):
    run(make_system, model, [f"Page {number}: count its words" for number in range(NEW_SKILLS)], LLM_CONTEXT_TOKENS="2048")
    assert min(shares(model)) >= LEAST, [round(share, 2) for share in shares(model)]
    assert 3000 < max(len(prompt) for prompt, _ in prompts_of(model, "orion")) <= 1024 * 4


class Teacher(odd.Server):
    """Each task teaches a skill with a text of so many steps of 40 bytes, or without any a reflection, out of so many kinds;
    with topics, no kind shares a word with another. With wants, each reply reaches two goals and sets two. The server holds so many tokens of four bytes, and cuts a longer prompt
    without a word; then the reply is mere prose."""

    def __init__(self, steps=130, kinds=12, holds=10**6, about="", topics=False, wants=False):
        self.steps, self.kinds, self.holds, self.about, self.topics, self.wants = steps, kinds, holds, about, topics, wants
        self.prompts, self.cut = [], []
        super().__init__(self.answer)

    def answer(self, connection, request):
        system, task = (message["content"] for message in request.json["messages"])
        case = int(re.search(r"\d+", task)[0])
        asked = (len(system) + len(task)) // 4
        self.cut += [len(self.prompts)] if asked > self.holds else []
        self.prompts.append(system)
        step = f"topic{case} " * 5 if self.topics else f"Step of case {case} is done with care."
        about = f"topic{case}" if self.topics else f"How case {case} of the list is handled. {self.about}"
        skill = f"skill:\n  name: case-{case}\n  description: {about}\n  body: |\n    {(step + ' ') * self.steps}\n"
        learned = skill if self.steps else f"reflection: Case {case} {'was hard, ' * 90}\n"
        learned += self.goals(len(self.prompts)) if self.wants else ""
        reply = f"Done.\n\n```agentos\nreward: 1\nreason: handled\n{learned}```\n" if asked <= self.holds else "Prose."
        usage = {"prompt_tokens": min(asked, self.holds), "completion_tokens": len(reply) // 4}
        connection.sendall(odd.response(odd.completion(reply, usage=usage)))

    def goals(self, number):
        names = [[f"Look at the {word} way of the cases after task {n}" for word in ("first", "second")] for n in (number, number - 1)]
        lists = ["".join(f"    - {name}\n" for name in two) for two in names]
        return f"goals:\n  add:\n{lists[0]}  done:\n{lists[1]}"

    def front(self):
        return [len(os.path.commonprefix([a, b])) / min(len(a), len(b)) for a, b in zip(self.prompts, self.prompts[1:])]


def teach(make_system, server, count, agents=("orion",), **env):
    system = make_system(agents, env={"LLM_BASE_URL": server.url, **env}).start()
    tasks = [f"task-{number}" for number in range(count)]
    told = "Write about topic{}" if server.topics else "Handle case {} of the list with care and write down how it was done"
    for number, task in enumerate(tasks):
        system.add(task, told.format(number % server.kinds))
    system.wait_done(*tasks, seconds=120)
    server.stop()
    return server.front()


@pytest.mark.parametrize("holds", ["32768", "4096"])
def test_the_front_stays_where_skills_are_large_and_each_task_has_its_own(make_system, holds):
    server = Teacher()
    front = teach(make_system, server, NEW_SKILLS, LLM_CONTEXT_TOKENS=holds)
    assert min(front) >= LEAST, [round(share, 2) for share in front]
    assert holds == "4096" or max(map(len, server.prompts)) > 15000


@pytest.mark.parametrize("steps", [8, 20, 40])
def test_the_front_stays_where_the_texts_of_skills_are_of_middle_length(make_system, steps):
    server = Teacher(steps, kinds=NEW_SKILLS)
    front = teach(make_system, server, NEW_SKILLS)
    assert min(front) >= LEAST, [round(share, 2) for share in front]
    assert server.prompts[-1].count("\n### Skill case-") == 3


def test_the_front_stays_where_the_room_shrinks_and_where_that_is_looked_at_again(make_system):
    """A server that cuts silently: the room shrinks when that is noticed, and after 64 answers one long prompt tries whether
    it is still so."""
    server = Teacher(holds=4096)
    front = teach(make_system, server, 85, LLM_MAX_TOKENS="2048")
    tried = [number for number in server.cut if number > 64]
    assert tried and len(server.prompts[tried[0]]) > 2 * len(server.prompts[tried[0] + 1])
    assert min(front) >= LEAST, [round(share, 2) for share in front]


@pytest.mark.parametrize("peers", [0, 7])
def test_the_front_stays_where_nothing_but_long_reflections_is_learned(make_system, peers):
    """A young agent's prompt is short, so the peers count for the front and a long reflection is cut."""
    server = Teacher(steps=0)
    front = teach(make_system, server, 12, agents=["orion", *(f"peer-{number}" for number in range(peers))])
    assert min(front) >= LEAST, [round(share, 2) for share in front]
    assert "was hard, was hard" in server.prompts[-1] and "…" in server.prompts[-1]


@pytest.mark.parametrize("steps", [8, 20, 40])
def test_the_front_stays_where_each_task_changes_the_goals(make_system, steps):
    """A young agent's prompt is short, and its text about skills is a large part of it."""
    server = Teacher(steps, kinds=3, wants=True)
    front = teach(make_system, server, 12)
    assert min(front) >= LEAST, [round(share, 2) for share in front]
    assert "after task 11" in server.prompts[-1] and "after task 10" not in server.prompts[-1]


# Where each task teaches a skill of its own, so that each skill past the twentieth takes another's place: the prompts'
# text about skills is made anew once in 64 prompts at most, and in a room of 4,096 tokens when it is full.


def test_the_front_stays_where_each_new_skill_takes_an_old_ones_place(make_system):
    front = teach(make_system, Teacher(steps=8, kinds=60), 60)
    assert min(front) >= LEAST, [round(share, 2) for share in front]


def test_the_front_stays_from_one_worker_to_the_next(make_system):
    server = Teacher(steps=40, kinds=40)
    system = make_system(env={"LLM_BASE_URL": server.url}).start()
    for number in range(24):
        system.add(f"task-{number}", f"Handle case {number} of the list with care and write down how it was done")
        system.wait_done(f"task-{number}")
        if number % 4 == 3:
            system.cli("restart", "orion")
    server.stop()
    assert min(server.front()) >= LEAST, [round(share, 2) for share in server.front()]


def test_the_front_stays_in_a_small_room_where_long_descriptions_take_the_texts_room(make_system):
    server = Teacher(steps=8, kinds=60, about="x" * 300)
    front = teach(make_system, server, 60, LLM_CONTEXT_TOKENS="4096")
    assert sum(share < LEAST for share in front) <= 60 // 20, [round(share, 2) for share in front]
    assert max(map(len, server.prompts)) <= 2048 * 4


def test_the_front_stays_in_a_small_room_where_long_texts_change_with_the_topic(make_system):
    server = Teacher(steps=42, kinds=12, topics=True)
    front = teach(make_system, server, 60, LLM_CONTEXT_TOKENS="4096")
    assert min(front) >= LEAST, [round(share, 2) for share in front]
    assert any("\n### Skill case-" in prompt for prompt in server.prompts)


def test_a_model_that_copies_the_example_makes_one_request(make_system, model):
    """The example comes back, optional keys and all: no part of it is acted on, and the worker says so."""
    model.become("parrot")
    system = run(make_system, model, ["Say something"])
    system.wait_done("task-0")
    assert len(model.requests()) == 1
    assert "- reward: 0" in system.read("rewards.md") and "example" in system.read("reflections.md")
    assert "\n### " not in system.read("skills.md") and "\n- [ ]" not in system.read("goals.md")
    iac = system.tree("orion") / "iac"
    assert not [path for folder in ("outbox", "dead-letter") for path in (iac / folder).glob("*.md")]
