"""Shared segments with real processes: readers see them in their prompts, stale writes are refused and told."""

import base64
import json
import re

from harness import agents_yaml, wait_until

NAMES = ("nova", "iris", "orion")
YAML = agents_yaml(NAMES) + "segments:\n  - {name: glossary, writers: [nova, iris], readers: [orion, iris]}\n"


def writing(body, base_version):
    keys = {"segments": [{"name": "glossary", "body": body, "base_version": base_version}]}
    return "Write " + "[[with:" + base64.b64encode(json.dumps(keys).encode()).decode() + "]]"


def segment(system):
    found = json.loads(system.cli("segments", "--json").stdout)["items"]
    return {**found[0], "body": found[0]["body"].rstrip("\n")} if found else {"version": 0, "body": ""}


def wait_version(system, version):
    wait_until(lambda: segment(system)["version"] == version, f"version {version}")


def prompt_of(system, model, name, task):
    """The prompt of a task that is done now."""
    system.add(task, f"Tell me {task}", name=name)
    system.wait_done(task, name=name)
    [prompt] = [r["prompt"] for r in model.requests(prompts=True) if r["task"] == f"Tell me {task}"]
    return prompt


def test_a_write_is_in_every_readers_next_prompt_with_its_version(make_system, model):
    system = make_system(NAMES, model=model, yaml=YAML).start()
    assert "Segment glossary, version 0, not written yet" in prompt_of(system, model, "orion", "before")
    system.add("write", writing("Terms: alpha, beta\n", 0), name="nova")
    wait_version(system, 1)
    assert segment(system)["by"] == "nova"
    prompt = prompt_of(system, model, "orion", "after")
    assert "Segment glossary, version 1, by nova" in prompt and "Terms: alpha, beta" in prompt
    assert "you may write it" not in prompt
    writer = prompt_of(system, model, "nova", "writer")
    assert "you may write it with base_version 1" in writer and "Terms: alpha" not in writer


def test_a_stale_write_is_refused_and_told_in_the_writers_next_prompt(make_system, model):
    system = make_system(NAMES, model=model, yaml=YAML).start()
    system.add("write", writing("One\n", 0), name="nova")
    wait_version(system, 1)
    system.add("stale", writing("Two\n", 0), name="iris")
    system.wait_done("stale", name="iris")
    wait_until(lambda: list((system.tree("iris") / "iac/dead-letter").glob("*.md")), "the refusal in iris's dead letters")
    assert "stale: you saw version 0, it is 1 now" in prompt_of(system, model, "iris", "next")
    assert segment(system)["body"] == "One"
    system.add("good", writing("Two\n", 1), name="iris")
    wait_version(system, 2)
    assert segment(system)["by"] == "iris"


def test_of_two_who_saw_the_same_version_one_wins_and_the_other_is_told(make_system, model):
    system = make_system(NAMES, model=model, yaml=YAML).start()
    system.add("mine", writing("By nova\n", 0), name="nova")
    system.add("mine", writing("By iris\n", 0), name="iris")
    wait_version(system, 1)
    winner = segment(system)["by"]
    loser = "iris" if winner == "nova" else "nova"
    assert segment(system)["body"] == f"By {winner}"
    wait_until(lambda: list((system.tree(loser) / "iac/dead-letter").glob("*.md")), "the refusal")
    assert not list((system.tree(winner) / "iac/dead-letter").glob("*.md"))


def test_a_persons_edit_counts_and_makes_older_writes_stale(make_system, model):
    system = make_system(NAMES, model=model, yaml=YAML).start()
    system.add("write", writing("One\n", 0), name="nova")
    wait_version(system, 1)
    path = system.data / "shared/segments/glossary.md"
    path.write_text(re.sub(r"\bOne\b", "By hand", path.read_text()))
    prompt = prompt_of(system, model, "orion", "look")
    assert "Segment glossary, version 2, by operator" in prompt and "By hand" in prompt
    system.add("stale", writing("Two\n", 1), name="nova")
    wait_until(lambda: list((system.tree("nova") / "iac/dead-letter").glob("*.md")), "the refusal in nova's dead letters")
    assert "stale: you saw version 1, it is 2 now" in prompt_of(system, model, "nova", "next")
    assert segment(system)["body"] == "By hand"


def test_who_is_no_writer_is_refused(make_system, model):
    system = make_system(NAMES, model=model, yaml=YAML).start()
    system.add("write", writing("Mine\n", 0), name="orion")
    system.wait_done("write", name="orion")
    wait_until(lambda: list((system.tree("orion") / "iac/dead-letter").glob("*.md")), "the refusal")
    [letter] = (system.tree("orion") / "iac/dead-letter").glob("*.md")
    assert "orion is no writer of the segment" in letter.read_text()
    assert segment(system)["version"] == 0


def test_writes_survive_a_killed_supervisor_once(make_system, model):
    system = make_system(NAMES, model=model, yaml=YAML).start()
    for version in range(4):
        system.add(f"write-{version}", writing(f"Text {version}\n", version), name="nova")
        wait_until(lambda: segment(system)["version"] > version, f"write {version}")
        system.process.kill()
        system.process.wait()
        system.start()
    assert segment(system)["version"] == 4
    assert segment(system)["body"] == "Text 3"
    wait_until(lambda: not list((system.tree("nova") / "iac/outbox").glob("*.md")), "nova's outbox empty")
    assert not list((system.tree("nova") / "iac/dead-letter").glob("*.md"))
