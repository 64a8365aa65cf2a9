"""People work in an agent's repository while the agent does."""

import os
import shutil
import subprocess

import pytest

from harness import task_block, wait_until
from post_office import drop, envelope, moment


def commit_of(system, revision):
    author, subject = system.git("show", "-s", "--format=%an%n%s", revision).splitlines()
    files = system.git("show", "--format=", "--name-only", revision).split()
    return author, subject, files


@pytest.mark.parametrize("name,line", [("persona.md", "Speaks only in rhymes."), ("goals.md", "- [ ] Learn to knit")])
def test_an_edit_is_committed_apart_as_theirs_before_the_cycles_commit(system, model, name, line):
    path = system.tree() / name
    path.write_text(path.read_text().rstrip("\n") + f"\n{line}\n")
    system.add("after-edit", "Work after the edit")
    system.wait_done("after-edit")
    agent_author, subject, files = commit_of(system, "HEAD")
    assert subject == "orion(task): after-edit"
    author, edit_subject, edit_files = commit_of(system, "HEAD~1")
    assert edit_files == [name]
    assert author != agent_author
    assert not edit_subject.startswith("orion(task)")
    assert line in system.git("show", f"HEAD:{name}")
    assert line in system.read(name)
    assert line.removeprefix("- [ ] ") in model.requests(prompts=True)[0]["prompt"]
    system.assert_sound()


@pytest.mark.parametrize("end", ["an expired task", "an expired handoff", "a refusal"])
def test_an_edit_is_theirs_too_before_a_commit_without_an_answer(system, end):
    """Their edit in the agent's commit would be theirs no more, and their own commit would take the agent's line out."""
    path = system.tree() / "reflections.md"
    before = system.git("rev-parse", "HEAD")
    path.write_text(path.read_text().rstrip("\n") + "\n\n## 2026-04-01 mine\nThe person's own thought.\n")
    if end == "an expired task":
        system.add("late", "Too late", created=moment(-100), ttl_seconds=60)
    elif end == "an expired handoff":
        drop(system, "orion", "handoffs", "late", envelope("late", body="Too late.", created=moment(-100), ttl_seconds=60))
    else:
        drop(system, "orion", "outbox", "late", envelope("late", sender="orion", to="nobody", status="pending"))
    wait_until(lambda: "late" in system.git("show", "HEAD:reflections.md"), "the reflection", 10)
    theirs, ours = system.git("rev-list", "--reverse", f"{before.strip()}..HEAD").split()[:2]
    assert commit_of(system, theirs)[1:] == ("people: reflections.md", ["reflections.md"])
    assert "+The person's" not in system.git("show", "--format=", ours)
    system.add("after", "Go on")
    system.wait_done("after")
    for text in (system.git("show", "HEAD:reflections.md"), system.read("reflections.md")):
        assert "own thought" in text and "late" in text
    system.assert_sound()


def test_an_edit_while_the_request_is_out_is_kept(system, model):
    model.become("hold")
    system.add("meanwhile", "Work meanwhile edited")
    model.wait_open(1)
    path = system.tree() / "goals.md"
    path.write_text(path.read_text().rstrip("\n") + "\n- [ ] Added while thinking\n")
    model.release()
    system.wait_done("meanwhile")
    assert "Added while thinking" in system.read("goals.md")
    assert "Added while thinking" in system.git("show", "HEAD:goals.md")
    assert commit_of(system, "HEAD~1")[2] == ["goals.md"]
    system.assert_sound()


def test_a_new_file_of_a_persons_is_committed_apart_too(system):
    (system.tree() / "notes.md").write_text("A note of mine.\n")
    system.add("after-note", "Work after the note")
    system.wait_done("after-note")
    system.add("one-more", "And one more")
    system.wait_done("one-more")
    assert system.git("show", "HEAD:notes.md") == "A note of mine.\n"
    [commit] = system.git("log", "--format=%s", "--", "notes.md").splitlines()
    assert not commit.startswith("orion(task)")
    system.assert_sound()


def test_a_persons_commit_and_gc_in_between_are_part_of_the_history(system):
    system.add("before", "Before the person")
    system.wait_done("before")
    (system.tree() / "persona.md").open("a").write("\nAlso patient.\n")
    person = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    system.git(*person, "commit", "-q", "-am", "Ada: be patient")
    system.git("gc", "-q", "--prune=now")
    system.add("afterwards", "After the person")
    system.wait_done("afterwards")
    system.git("gc", "-q", "--prune=now")
    system.add("last", "After the second gc")
    system.wait_done("last")
    assert system.subjects() == [
        "orion(task): last", "orion(task): afterwards", "Ada: be patient", "orion(task): before",
        "init: agent filesystem",
    ]
    system.assert_sound()


def test_fsck_finds_every_pack_that_it_listed_while_hundreds_of_tasks_are_done(system):
    """The index is left out: it may name objects of a commit that is younger than fsck's list, whoever commits."""
    names = [f"task-{number}" for number in range(400)]
    system.append("".join(task_block(name, f"Do the work of {name}") for name in names))
    environment = {**os.environ, "GIT_INDEX_FILE": str(system.folder / "none")}
    runs = 0
    while runs < 3 or len(system.done()) < len(names):
        command = ["git", "-c", "safe.directory=*", "-C", str(system.tree()), "fsck", "--strict", "--no-dangling"]
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert (result.returncode, result.stdout + result.stderr) == (0, ""), f"run {runs}"
        runs += 1
    system.wait_queue_empty()
    system.assert_sound()


def test_a_persons_commits_between_many_cycles_never_fork_or_lose_history(system, model):
    model.become("slow-20")
    ids = [f"task-{number}" for number in range(40)]
    for task_id in ids:
        system.add(task_id, f"Do {task_id}")
    person = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    made = 0
    while made == 0 or not all(system.done()[task_id] for task_id in ids):  # git gives up where HEAD moved meanwhile
        result = subprocess.run(
            ["git", *person, "-C", system.tree(), "commit", "-q", "--allow-empty", "-m", f"Ada {made}"],
            capture_output=True, text=True,
        )
        made += result.returncode == 0
    subjects = system.subjects()
    assert [s for s in reversed(subjects) if s.startswith("Ada ")] == [f"Ada {n}" for n in range(made)]
    system.assert_each_once(ids)
    system.assert_sound()


def test_a_stale_index_lock_is_broken_with_a_warning(system):
    import os

    lock = system.tree() / ".git/index.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    system.add("locked", "Work behind a stale lock")
    system.wait_done("locked")
    wait_until(lambda: not lock.exists(), "the stale lock gone")
    system.assert_sound()


def test_a_repository_that_somebody_removed_begins_anew_and_the_agent_goes_on(system):
    system.cli("task", "orion", "First", "--id", "first", "--wait")
    shutil.rmtree(system.tree() / ".git")
    system.cli("task", "orion", "Second", "--id", "second", "--wait")
    assert system.subjects()[-1] == "init: agent filesystem"
    assert "orion(task): second" in system.subjects() and "orion(task): first" not in system.subjects()
    assert system.git("fsck", "--strict") == ""
    assert system.git("status", "--porcelain").strip() in ("", "M queue.md")  # it may begin with the second's block


@pytest.mark.parametrize("what", ["an expired task", "an envelope's way"])
def test_a_repository_that_somebody_removed_begins_with_the_agents_files_whatever_is_recorded_first(make_system, model, what):
    system = make_system(["orion", "iris"], model=model).start()
    system.cli("task", "orion", "First", "--id", "first", "--wait")
    shutil.rmtree(system.tree() / ".git")
    if what == "an expired task":
        system.add("late", "Too late", created=moment(-100), ttl_seconds=60)
    else:
        drop(system, "orion", "outbox", "h1", envelope("h1", sender="orion", to="iris", status="pending"))
    wait_until(lambda: system.tip() and len(system.subjects()) > 1, "two commits", 15)
    assert system.subjects()[-1] == "init: agent filesystem"
    system.cli("task", "orion", "Second", "--id", "second", "--wait")
    assert not [subject for subject in system.subjects() if "persona.md" in subject]


def test_an_idle_agent_makes_no_repository_in_the_way_of_the_one_that_is_put_back(system):
    system.cli("task", "orion", "First", "--id", "first", "--wait")
    git, copy = system.tree() / ".git", system.folder / "git-copy"
    git.rename(copy)
    system.cli("pause", "orion")
    system.cli("resume", "orion")
    system.wait_state("orion", "idle")
    assert not git.exists()
    copy.rename(git)
    system.cli("task", "orion", "Second", "--id", "second", "--wait")
    assert system.subjects() == ["orion(task): second", "orion(task): first", "init: agent filesystem"]
    system.assert_sound()


def test_a_repository_put_back_from_a_copy_and_notes_cleaned_away_hold_up_no_answer(system, model):
    """`git clean` takes .agentos/ along, which git ignores."""
    system.cli("task", "orion", "First", "--id", "first", "--wait")
    model.become("slow-1500")
    system.add("second", "Second")
    wait_until(lambda: len(model.requests()) == 2, "the question about the second task", 60)
    git, copy = system.tree() / ".git", system.tree() / ".git-copy"
    shutil.copytree(git, copy)
    shutil.rmtree(git)
    copy.rename(git)
    system.git("clean", "-qfdx")
    system.wait_done("second")
    assert system.subjects() == ["orion(task): second", "orion(task): first", "init: agent filesystem"]
    assert len(model.requests()) == 2
    system.assert_sound()


def test_what_killed_writes_left_goes_at_the_next_start_and_a_persons_file_stays(system):
    tree = system.tree()
    system.cli("stop", "orion")
    system.wait_state("orion", "stopped")
    (tree / ".agentos/retired").mkdir(exist_ok=True)
    left = [tree / name for name in (".goals.md.new-77", ".agentos/.deferred.new-8", ".agentos/retired/.0a1b2c.new-123")]
    for path in [*left, tree / ".mine.new-5"]:
        path.write_text("half")
    system.cli("start", "orion")
    wait_until(lambda: not any(path.exists() for path in left), f"nothing of {left}")
    assert (tree / ".mine.new-5").read_text() == "half"


def test_a_person_removes_a_file_and_the_agent_goes_on(system):
    (system.tree() / "reflections.md").unlink()
    system.add("bereft", "Work without reflections")
    system.wait_done("bereft")
    assert "bereft" in system.read("rewards.md")
    system.assert_sound()


def test_the_template_that_a_person_edits_is_what_the_model_gets(system, model):
    (system.tree() / "system_prompt.md").write_text("ONLY THIS. {{goals}}\n{{persona}}\n{{unknown}}\n")
    system.add("templated", "With my template")
    system.wait_done("templated")
    prompt = model.requests(prompts=True)[0]["prompt"]
    assert prompt.startswith("ONLY THIS.")
    assert "Persona of orion" in prompt and "{{unknown}}" in prompt and "{{goals}}" not in prompt
