"""The files of learning as people leave them: each oddity is told where it matters, contained, and costs nothing else."""

import os
import re

import pytest

from harness import days_ago, wait_until

EARLIER, LATER = days_ago(20), days_ago(10)
FILES = ["skills.md", "goals.md", "rewards.md", "reflections.md"]
ENTRY = {
    "skills.md": "\n### {name}\n- description: What {name} is for.\n- reward_evidence: 3\n- last_success: " + EARLIER + "\n",
    "goals.md": "- [ ] Reach {name}\n",
    "rewards.md": "\n## {name}\n- reward: +1\n- at: " + EARLIER + "\n- reason: it worked\n",
    "reflections.md": "\n## {name}\n- at: " + EARLIER + "\n- text: What {name} taught.\n",
}


def entry(file, name="mine"):
    return ENTRY[file].format(name=name)


def edit(system, file, change):
    path = system.tree() / file
    text = change(path.read_bytes() if path.exists() else b"")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def add(system, file, text):
    edit(system, file, lambda before: before + (text if isinstance(text, bytes) else text.encode()))


def work(system, *task_ids):
    """Tasks that learn, and the last one's prompt."""
    for task_id in task_ids:
        system.add(task_id, f"Work {task_id} with care")
        system.wait_done(task_id)
    wait_until(lambda: is_at_rest(system), "idle, with each task counted")


def is_at_rest(system):
    """The commit is there before the files are written, and on a slow machine before the supervisor hears of the task."""
    agent = system.agent_status()
    return agent["state"] == "idle" and agent["tasks_done"] >= sum(system.done().values())


def last_prompt(model):
    return model.requests(prompts=True)[-1]["prompt"]


def problems(system):
    return "\n".join(system.agent_status()["problems"])


def healthy(system):
    """Skills that were earned after the edit are in their files, and git and verify find no fault."""
    assert "### work-after-with-care" in system.read("skills.md")
    assert "\n## after\n" in system.read("rewards.md") and "\n## after\n" in system.read("reflections.md")
    system.assert_sound()


# ---- headings ----


@pytest.mark.parametrize("file", FILES)
def test_the_same_heading_twice_loses_neither(system, model, file):
    work(system, "before")
    add(system, file, entry(file) + entry(file).replace("evidence: 3", "evidence: 4").replace(EARLIER, LATER))
    work(system, "after")
    text = system.read(file)
    assert text.count(entry(file).strip().splitlines()[0]) == 2
    if file == "skills.md":
        assert 'has "mine" twice; successes count for the first' in problems(system)
    healthy(system)


def test_a_success_of_a_skill_that_stands_twice_counts_for_the_first(system):
    name = "work-after-with-care"
    add(system, "skills.md", entry("skills.md", name) + entry("skills.md", name))
    work(system, "after")
    evidence = re.findall(rf"### {name}\n(?:.*\n)*?- reward_evidence: (\d+)", system.read("skills.md"))
    assert evidence == ["4", "3"]
    healthy(system)


# ---- fields ----


BARE = {
    "skills.md": "\n### mine\n\n### yours\n- reward_evidence: many\n- last_success: yesterday\n\n### theirs\n- reward_evidence: -5\n",
    "goals.md": "- [ ]\n- [x]\n- []\n* [ ] A star will do\n",
    "rewards.md": "\n## mine\n\n## yours\n- reward: lots\n- audit_score: 12\n\n## theirs\n- reward: +1\n- tokens: -3\n",
    "reflections.md": "\n## mine\n\n## yours\nJust words.\n",
}


@pytest.mark.parametrize("file", FILES)
def test_missing_and_senseless_fields_are_no_fault_of_the_rest(system, model, file):
    work(system, "before")
    add(system, file, BARE[file])
    work(system, "after", "again")
    text = system.read(file)
    for line in BARE[file].split("\n"):
        if line and not line.startswith("- [x]"):
            assert line in text, (line, text)
    assert system.cli(file.removesuffix(".md"), "orion").returncode == 0
    assert system.cli(file.removesuffix(".md"), "orion", "--json").returncode == 0
    healthy(system)


def test_a_skill_without_any_date_gets_one_and_counts_as_one_success(system, model):
    add(system, "skills.md", "\n### mine\n- description: Mine alone.\n")
    work(system, "after")
    mine = system.read("skills.md").split("### mine\n")[1].split("\n### ")[0]
    assert re.search(r"- created: 20\d\d-\d\d-\d\dT", mine) and "Mine alone." in mine
    assert "Mine alone." in last_prompt(model)


# ---- dates ----


FUTURE = "2999-01-01T00:00:00Z"


@pytest.mark.parametrize("file", FILES)
def test_a_date_in_the_future_counts_as_now(system, model, file):
    work(system, "before")
    add(system, file, entry(file).replace(EARLIER, FUTURE))
    work(system, "after")
    assert "mine" in system.read(file)
    if file == "skills.md":
        assert 'last_success of "mine" lies in the future and counts as now' in problems(system)
    healthy(system)


def test_a_future_date_saves_no_skill_for_ever(system):
    """Such a skill is as good as a skill of today with the same evidence; of twenty others the weakest goes."""
    add(system, "skills.md", entry("skills.md", "ahead").replace(EARLIER, FUTURE).replace("evidence: 3", "evidence: 1"))
    for number in range(19):
        add(system, "skills.md", entry("skills.md", f"old-{number}").replace("reward_evidence: 3", "reward_evidence: 900"))
    work(system, "after")
    assert "### ahead" not in system.read("skills.md")
    assert "skill pruned: ahead (score 1.00" in system.git("log", "--format=%b")


def test_a_skill_that_was_only_ever_created_in_the_future_is_told_too(system):
    add(system, "skills.md", f"\n### mine\n- description: x\n- created: {FUTURE}\n")
    work(system, "after")
    assert 'created of "mine" lies in the future and counts as now' in problems(system)
    healthy(system)


# ---- line ends and sizes ----


@pytest.mark.parametrize("file", FILES)
def test_an_editor_that_ends_lines_with_carriage_returns_changes_nothing(system, model, file):
    work(system, "before")
    edit(system, file, lambda text: b"\xef\xbb\xbf" + (text + entry(file).encode()).replace(b"\n", b"\r\n"))
    work(system, "after", "again")
    text = (system.tree() / file).read_bytes()
    assert b"mine" in text and text.count(b"before") >= (1 if file != "goals.md" else 0)
    if file == "skills.md":
        assert b"\r" not in text and text.count(b"### ") == 4
    assert b"\r" not in text or file == "goals.md"
    assert "unreadable" not in problems(system) and "future" not in problems(system)
    healthy(system)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("when", ["running", "stopped"])
def test_five_megabytes_in_one_entry_cost_only_themselves(system, model, file, when):
    work(system, "before")
    add(system, file, entry(file, "small"))
    work(system, "between")
    if when == "stopped":
        system.stop()
    add(system, file, entry(file).rstrip("\n") + " " + "word " * 1_000_000 + "\n" + entry(file, "behind"))
    if when == "stopped":
        system.start()
    work(system, "after")
    [aside] = [name for name in os.listdir(system.tree()) if name.startswith(f"{file}.unreadable-")]
    assert (system.tree() / aside).stat().st_size > 5_000_000
    assert f"{aside} was set aside" in problems(system)
    text = system.read(file)
    assert len(text) < 64 * 1024 and "small" in text and "behind" in text
    assert len(last_prompt(model)) < 256 * 1024
    assert "### work-after-with-care" in system.read("skills.md") and "\n## after\n" in system.read("rewards.md")
    size = sum(path.stat().st_size for path in (system.tree() / ".git").rglob("*") if path.is_file())
    assert size < 1_000_000
    (system.tree() / aside).unlink()
    work(system, "again")
    wait_until(lambda: "set aside" not in problems(system), "nothing to be said any more")


def test_five_megabytes_as_a_skills_text_are_told_and_not_shown(system, model):
    work(system, "before")
    add(system, "skills/work-before-with-care/SKILL.md", b"word " * 1_000_000)
    work(system, "after")
    assert "skills/work-before-with-care/SKILL.md can't be read as a text of at most 96 KiB" in problems(system)
    assert len(last_prompt(model)) < 256 * 1024
    healthy_but_for_the_text(system)


def healthy_but_for_the_text(system):
    assert "### work-after-with-care" in system.read("skills.md")
    assert "orion(task): after" in system.subjects()


# ---- names that are paths ----


PATHS = ["../../../../etc/passwd", "/etc/passwd", "skills/../persona.md", "persona.md", "..", ".git/config", "a/b/c", "skills/x/../../../y"]


@pytest.mark.parametrize("name", PATHS)
def test_a_skills_name_or_file_that_is_a_path_leads_nowhere(system, model, name):
    add(system, "skills.md", f"\n### {name}\n- description: A heading.\n- reward_evidence: 0\n")
    add(system, "skills.md", f"\n### sly\n- description: A file.\n- reward_evidence: 0\n- file: {name}\n")
    persona = system.read("persona.md")
    config = system.read(".git/config")
    work(system, "before")
    prompt = last_prompt(model)
    assert "root:" not in prompt and "repositoryformatversion" not in prompt
    assert "is no name for a skill" in problems(system) or "is missing" in problems(system)
    # Pruned, they take nothing with them.
    for number in range(20):
        add(system, "skills.md", entry("skills.md", f"other-{number}"))
    work(system, "after")
    assert "### sly" not in system.read("skills.md") and f"### {name}" not in system.read("skills.md")
    assert system.read("persona.md") == persona and system.read(".git/config") == config
    assert os.path.exists("/etc/passwd")
    healthy(system)


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_skills_text_that_is_no_file_is_told_and_not_followed(system, model, kind):
    work(system, "before")
    path = system.tree() / "skills/work-before-with-care/SKILL.md"
    path.unlink()
    {"link": lambda: path.symlink_to("/etc/passwd"), "fifo": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    work(system, "after")
    assert "root:" not in last_prompt(model)
    assert "skills/work-before-with-care/SKILL.md" in problems(system)
    healthy_but_for_the_text(system)


def test_headings_of_other_files_that_are_paths_are_words(system):
    for name in PATHS:
        add(system, "rewards.md", entry("rewards.md", name))
        add(system, "reflections.md", entry("reflections.md", name))
        add(system, "goals.md", "" if system.read("goals.md").count("- [ ]") > 3 else entry("goals.md", name))
    work(system, "after")
    assert "## ../../../../etc/passwd" in system.read("rewards.md")
    healthy(system)
