"""`agentos rollback`: a new commit undoes the learning since an earlier one; the record of the tasks stays."""

import os
import re
import shutil
import subprocess

import pytest

from harness import BIN, days_ago, wait_until

LEARNED = ["skills.md", "goals.md", "reflections.md"]


def learn(system, *task_ids):
    for task_id in task_ids:
        system.add(task_id, f"Work {task_id} with care")
        system.wait_done(task_id)
    wait_until(lambda: system.agent_status()["state"] in ("idle", "paused"), "idle")


def head(system, revision="HEAD"):
    return system.git("rev-parse", revision).strip()


def state_at(system, revision):
    """Every file of learning, by path."""
    paths = system.git("ls-tree", "-r", "--name-only", revision, "--", *LEARNED, "skills/").split()
    return {path: system.git("show", f"{revision}:{path}") for path in paths}


def rollback(system, commit, **more):
    return system.cli("rollback", "orion", commit, **more)


def test_what_was_learned_since_goes_back_and_the_record_stays(system):
    learn(system, "one")
    then = head(system)
    learn(system, "two", "three")
    before = head(system)
    said = rollback(system, then[:7]).stdout
    new = head(system)
    assert system.git("rev-list", "--parents", "-1", "HEAD").split() == [new, before]
    assert system.subjects()[0] == f"orion(rollback): to {then[:7]}"
    assert state_at(system, "HEAD") == state_at(system, then)
    for path, text in state_at(system, then).items():
        assert system.read(path) == text
    changed = system.git("diff", "--name-only", before, "HEAD").split()
    assert all(path in LEARNED + [".agent"] or path.startswith("skills/") for path in changed)
    assert (system.tree() / "outputs/three.md").exists()
    assert system.read("rewards.md").count("\n## ") == 3
    assert said.startswith(f"{new[:7]} orion(rollback): to {then[:7]}\n")
    assert "skill gone: work-two-with-care (evidence 1, last success " in said
    assert "skill gone: work-three-with-care" in said
    assert "reflection gone: two" in said and "work-one" not in said
    assert said.split("\n", 1)[1].strip() == system.git("log", "-1", "--format=%b").strip()
    assert "work-two" not in system.read(".agent")
    assert [path.name for path in (system.tree() / "skills").iterdir()] == ["work-one-with-care"]
    assert [skill for skill in system.cli("skills", "orion").stdout.split() if skill.startswith("work-")] == [
        "work-one-with-care"
    ]
    system.assert_sound()


def test_a_rollback_is_rolled_back_and_no_task_is_done_again(system, model):
    learn(system, "one", "two")
    full = head(system)
    rollback(system, "HEAD~2")
    assert system.read("skills.md").count("### ") == 0
    said = rollback(system, full).stdout
    assert "skill restored: work-one-with-care (evidence 1" in said
    assert state_at(system, "HEAD") == state_at(system, full)
    learn(system, "three")
    assert system.read("skills.md").count("### ") == 3
    assert set(system.done().values()) == {1} and max(model.asked().values()) == 1
    prompt = model.requests(prompts=True)[-1]["prompt"]
    assert "work-one-with-care" in prompt
    system.assert_sound()


def test_a_goal_that_was_done_since_is_open_again_and_evidence_goes_back(system):
    goals = system.tree() / "goals.md"
    goals.write_text(goals.read_text() + "- [ ] Know the tests\n")
    learn(system, "one")
    then = head(system)
    goals.write_text(goals.read_text().replace("- [ ] Know the tests", "- [x] Know the tests\n- [ ] Another"))
    skills = system.tree() / "skills.md"
    skills.write_text(skills.read_text().replace("reward_evidence: 1", "reward_evidence: 7"))
    said = rollback(system, then).stdout
    assert "goal open again: Know the tests" in said and "goal gone: Another" in said
    assert "skill put back: work-one-with-care (evidence 7 becomes 1)" in said
    assert "- [ ] Know the tests" in system.read("goals.md")
    # People's uncommitted edits are in the history as theirs before they are undone.
    author, subject = system.git("show", "-s", "--format=%an%n%s", "HEAD~1").splitlines()
    assert author != "orion" and subject.startswith("people: ")
    assert "- [ ] Another" in system.git("show", "HEAD~1:goals.md")


def test_what_people_wrote_into_the_definition_files_stays(system):
    learn(system, "one")
    for name in ("persona.md", "constraints.md", "system_prompt.md"):
        path = system.tree() / name
        path.write_text(path.read_text() + "\nA person's line.\n")
    learn(system, "two")
    rollback(system, "HEAD~2")
    for name in ("persona.md", "constraints.md", "system_prompt.md"):
        assert "A person's line." in system.read(name)
    system.assert_sound()


def test_a_task_in_hand_is_finished_first(system, model):
    learn(system, "one")
    then = head(system)
    model.become("hold")
    system.add("two", "Work two while someone rolls back")
    model.wait_open(1)
    command = [str(BIN / "agentos"), "rollback", "orion", then]
    clients = [subprocess.Popen(command, env=system.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    refused = wait_until(lambda: next((client for client in clients if client.poll() is not None), None), "one of two is refused")
    assert refused.returncode == 75 and "another rollback" in refused.communicate()[1]
    model.release()
    [other] = [client for client in clients if client is not refused]
    said, _ = other.communicate(timeout=60)
    assert other.returncode == 0 and "skill gone: work-two" in said
    assert system.subjects()[:2] == [f"orion(rollback): to {then[:7]}", "orion(task): two"]
    system.assert_sound()


@pytest.mark.parametrize(
    "name,code,reason",
    [
        ("01", 65, "is too short to name a commit"),
        ("0123abc", 66, "no commit '0123abc'"),
        ("HEAD:skills.md", 66, "names no commit"),
        ("--help-me", 64, ""),
        ("../../etc/passwd", 66, "no commit"),
        ("x" * 500, 64, "names a commit"),
    ],
)
def test_what_names_no_commit_is_refused_and_changes_nothing(system, name, code, reason):
    before = head(system)
    result = rollback(system, name, check=False)
    assert (result.returncode, reason in result.stderr) == (code, True), result.stderr
    assert head(system) == before


def test_a_commit_beside_the_history_is_refused(system):
    learn(system, "one")
    tree = system.git("rev-parse", "HEAD^{tree}").strip()
    stray = system.git("-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "-m", "stray", tree).strip()
    before = head(system)
    result = rollback(system, stray, check=False)
    assert result.returncode == 65 and "is not among the commits that led to the present one" in result.stderr
    assert head(system) == before


def test_nothing_learned_since_is_said_and_makes_no_commit(system):
    learn(system, "one")
    before = head(system)
    result = rollback(system, "HEAD")
    assert result.stdout.startswith("nothing to undo: the agent has learned nothing since")
    assert head(system) == before


def test_agents_that_cannot_do_it_now(system):
    assert system.cli("rollback", "nobody", "HEAD", check=False).returncode == 66
    system.cli("pause", "orion")
    assert rollback(system, "HEAD").returncode == 0
    system.cli("stop", "orion")
    stopped = rollback(system, "HEAD", check=False)
    assert stopped.returncode == 75 and "agentos start orion" in stopped.stderr
    system.stop()
    assert rollback(system, "HEAD", check=False).returncode == 69


def test_one_that_hibernates_is_woken(make_system, model):
    system = make_system(model=model, extra="    idle_exit_seconds: 1\n").start()
    learn(system, "one")
    system.wait_state("orion", "hibernating")
    assert "skill gone" in rollback(system, "HEAD~1").stdout
    system.assert_sound()


def test_a_pruned_skill_comes_back_with_its_evidence(system):
    skills, earlier = system.tree() / "skills.md", days_ago(20)
    lines = "".join(
        f"\n### old-{n:02}\n- description: An old one.\n- reward_evidence: {n + 2}\n- last_success: {earlier}\n"
        for n in range(20)
    )
    skills.write_text(skills.read_text() + lines)
    learn(system, "one")
    assert re.search(r"skill pruned: old-00 ", system.git("log", "-1", "--format=%b"))
    said = rollback(system, "HEAD~1").stdout
    assert f"skill restored: old-00 (evidence 2, last success {earlier})" in said
    assert system.read("skills.md").count("### ") == 20


@pytest.mark.parametrize("kind", ["folder", "fifo", "link"])
def test_a_file_that_somebody_broke_is_set_aside_and_goes_back_too(system, kind):
    learn(system, "one", "two")
    goals = system.tree() / "goals.md"
    goals.unlink()
    {"folder": goals.mkdir, "fifo": lambda: os.mkfifo(goals), "link": lambda: goals.symlink_to("/etc/passwd")}[kind]()
    rollback(system, "HEAD~1")
    assert state_at(system, "HEAD") == state_at(system, "HEAD~2")
    assert goals.read_text() == system.git("show", "HEAD:goals.md")
    assert [path.name for path in system.tree().glob("goals.md.unreadable-*")]
    learn(system, "three")


def commit_before(system, skills, message="planted"):
    """A commit that an agent that was taken over could make: its skills/ is this tree (None: as it is); the present state stands
    behind it."""
    entries = system.git("ls-tree", "HEAD").splitlines()
    entries = [f"040000 tree {skills}\tskills" if skills and entry.endswith("\tskills") else entry for entry in entries]
    root = plumb(system, "mktree", stdin="\n".join(entries))
    made = plumb(system, "commit-tree", root, "-p", "HEAD", stdin=message)
    system.git("update-ref", "refs/heads/main", plumb(system, "commit-tree", "HEAD^{tree}", "-p", made, stdin="after it"))
    return made


def plumb(system, *words, stdin):
    command = ["git", "-c", "safe.directory=*", "-c", "user.name=x", "-c", "user.email=x@y", *words]
    done = subprocess.run(command, cwd=system.tree(), input=stdin, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def folder_of(system, tree, count):
    return plumb(system, "mktree", stdin="".join(f"040000 tree {tree}\t{number}\n" for number in range(count)))


def file_of(system, size):
    blob = plumb(system, "hash-object", "-w", "--stdin", stdin="x" * size)
    return plumb(system, "mktree", stdin=f"100644 blob {blob}\tSKILL.md\n")


def many_times(system, tree):
    for _ in range(8):
        tree = folder_of(system, tree, 10)
    return tree


@pytest.mark.parametrize(
    "skills",
    [
        lambda system: many_times(system, file_of(system, 1)),
        lambda system: many_times(system, plumb(system, "mktree", stdin="")),
        lambda system: folder_of(system, file_of(system, 20_000_000), 30),
    ],
    ids=["files", "folders", "bytes"],
)
def test_a_commit_of_more_skills_than_an_agent_has_is_refused_and_its_worker_lives(system, skills):
    learn(system, "one")
    worker = system.worker()
    planted = commit_before(system, skills(system))
    result = rollback(system, planted, check=False, seconds=60)
    assert result.returncode == 74, result.stderr
    assert f"commit {planted[:7]} has more than 5000 files in skills, or more than 32 MiB" in result.stderr
    assert system.subjects()[0] == "after it" and system.worker() == worker
    learn(system, "two")
    assert system.worker() == worker


def test_a_present_state_of_too_many_skills_is_named_and_can_be_cleared_by_hand(system):
    learn(system, "one")
    then = head(system)
    learn(system, "two")
    many = system.tree() / "skills/many"
    many.mkdir()
    for number in range(9):
        (many / str(number)).write_bytes(b"x" * (4 << 20))
    result = rollback(system, then, check=False, seconds=60)
    assert result.returncode == 74, result.stderr
    assert f"commit {head(system)[:7]} has more than 5000 files in skills" in result.stderr
    shutil.rmtree(many)
    assert "skill gone: work-two" in rollback(system, then).stdout


def test_a_commit_with_a_subject_of_megabytes_is_named_by_its_beginning(system):
    learn(system, "one")
    worker = system.worker()
    planted = commit_before(system, folder_of(system, file_of(system, 1), 1), "\u00e9" * 6_000_000)
    said = rollback(system, planted).stdout
    assert said.startswith(head(system)[:7]) and "skill gone: work-one" not in said and "file gone: skills/work-one" in said
    assert "\u00e9" * 100 + ")\n" in said and len(said) < 1000
    assert len(system.git("log", "-1", "--format=%B")) < 1000 and system.worker() == worker
