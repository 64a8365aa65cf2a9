"""git and synchronisers as people leave them: told in `status`, nothing lost, nothing half merged done."""

import subprocess

import needs
import pytest
from harness import BIN, wait_until


def problems(system, *words):
    """Wait for a problem that has all the words."""
    def found():
        lines = system.agent_status()["problems"]
        return next((line for line in lines if all(word in line for word in words)), None)

    return wait_until(found, f"a problem with {words}", 60, 0.1)


def no_problems(system):
    wait_until(lambda: system.agent_status()["problems"] == [], "no problem any more", 60, 0.1)


def test_commits_on_a_detached_head_are_kept_on_a_branch_and_told(system):
    system.cli("task", "orion", "First", "--wait")
    system.git("checkout", "-q", "--detach")
    system.cli("task", "orion", "Second", "--id", "second", "--wait")
    told = problems(system, "HEAD is on no branch", "kept/2")  # not "kept/TIME", as before the first commit
    system.cli("task", "orion", "Third", "--id", "third", "--wait")
    kept = system.git("for-each-ref", "--format=%(refname:short)", "refs/heads/kept").split()
    assert len(kept) == 1 and kept[0] in told
    lost = system.git("rev-parse", "HEAD")
    system.git("checkout", "-q", "main")
    problems(system, "kept on the branch", kept[0])
    assert system.git("rev-parse", kept[0]) == lost
    system.git("merge", "-q", kept[0])
    system.git("branch", "-D", kept[0])
    no_problems(system)
    assert {"orion(task): second", "orion(task): third"} <= set(system.git("log", "--format=%s").splitlines())


def test_a_later_detached_head_gets_a_branch_of_its_own(system):
    for text in ("one", "two"):
        system.git("checkout", "-q", "--detach")
        system.cli("task", "orion", text, "--wait")
        system.git("checkout", "-q", "main")
        system.cli("task", "orion", f"on main after {text}", "--wait")
    commits = system.git("for-each-ref", "--format=%(objectname)", "refs/heads/kept").split()
    texts = [system.git("log", "-1", "--format=%s", commit) for commit in commits]
    assert len(commits) == len(set(texts)) == 2


MARKS = "<<<<<<< HEAD\nBe brief.\n=======\nBe long.\n>>>>>>> other\n"


@pytest.mark.parametrize("name", ["constraints.md", "skills.md", "goals.md", "rewards.md", "reflections.md"])
def test_conflict_marks_in_a_state_file_are_told_with_their_line_and_never_sent(system, model, name):
    system.cli("task", "orion", "Learn something", "--wait")
    path = system.tree() / name
    whole = path.read_text()
    path.write_text(f"{whole}\n{MARKS}")
    line = whole.count("\n") + 2
    problems(system, f"{name}:{line}: a merge left its conflict marks", "no work is begun")
    system.cli("task", "orion", "Wait for the merge", "--id", "held")
    told = problems(system, name, "conflict marks")
    assert told and "held" not in system.done()
    path.write_text(whole + "\n- Be brief.\n")
    system.wait_done("held", seconds=60)
    no_problems(system)
    assert not any("<<<<<<<" in request["prompt"] for request in model.requests(prompts=True))


def test_marks_that_come_while_a_task_is_with_the_model_hold_up_the_next_one(make_system, model):
    system = make_system(model=model, scenario="hold").start()
    system.add("first", "First")
    model.wait_open()
    path = system.tree() / "constraints.md"
    whole = path.read_text()
    path.write_text(f"{whole}\n{MARKS}")
    system.add("second", "Second")
    model.release()
    problems(system, "constraints.md:", "conflict marks")
    system.wait_done("first")
    assert "second" not in system.done()
    path.write_text(whole)
    system.wait_done("second")
    assert not any("<<<<<<<" in request["prompt"] for request in model.requests(prompts=True))


def test_a_skills_text_with_conflict_marks_is_told_and_never_sent_and_one_that_shows_them_in_code_is(system, model):
    for skill, marks in (("merged", MARKS), ("merging", f"```\n{MARKS}```\n")):
        (system.tree() / "skills" / skill).mkdir(parents=True)
        (system.tree() / "skills" / skill / "SKILL.md").write_text(f"---\nname: {skill}\n---\nHow {skill} goes:\n{marks}")
    system.cli("task", "orion", "How merged and merging goes", "--wait")
    problems(system, "skills/merged/SKILL.md has the conflict marks of a merge")
    prompt = model.requests(prompts=True)[-1]["prompt"]
    assert "How merging goes" in prompt and "How merged goes" not in prompt and prompt.count("<<<<<<< HEAD") == 1


def test_an_unfinished_merge_is_told_and_how_it_ends(system):
    (system.tree() / ".git/MERGE_HEAD").write_text(system.git("rev-parse", "HEAD"))
    problems(system, "merge is unfinished", "git merge --abort")
    (system.tree() / ".git/MERGE_HEAD").unlink()
    no_problems(system)


@pytest.mark.parametrize(
    "copy",
    [
        "queue.sync-conflict-20260429-101010-ABCDEFG.md",
        "queue (anna's conflicted copy 2026-04-29).md",
        "queue.md~",
        "queue.md.orig",
        "skills.sync-conflict-20260429-101010-ABCDEFG.md",
    ],
)
def test_a_copy_beside_a_state_file_is_told_and_never_work(system, model, copy):
    (system.tree() / copy).write_text("## other\ntask: Never do this\n")
    problems(system, copy, "AgentOS does not read the copy")
    system.cli("task", "orion", "Do it", "--wait")
    (system.tree() / copy).unlink()
    no_problems(system)
    assert not model.asked()["Never do this"]


def configure(system, keys):
    """The scan that looks at .git/config holds git's lock on it for a moment."""
    def taken(key):
        try:
            return system.git("config", key, keys[key]) == ""
        except AssertionError as fault:
            assert "could not lock" in str(fault)

    for key in keys:
        wait_until(lambda key=key: taken(key), f"{key} in .git/config")


@pytest.mark.parametrize(
    "keys",
    [
        {"core.repositoryformatversion": "1", "extensions.worktreeConfig": "true"},
        {"core.repositoryformatversion": "1", "extensions.preciousObjects": "true"},
        {"core.worktree": "/tmp"},
    ],
)
def test_what_the_worker_accepts_log_verify_and_export_accept(make_system, model, keys):
    system = make_system(model=model).start()
    system.cli("task", "orion", "Do it", "--id", "before", "--wait")
    for running in (True, False):
        configure(system, keys)
        if not running:
            assert system.stop() == 0
            configure(system, keys)
        assert "orion(task): before" in system.cli("log", "orion").stdout
        system.cli("verify")
        system.cli("export", "orion", system.folder / f"{running}.bundle")
    system.start()
    system.cli("task", "orion", "Do it", "--id", "after", "--wait")


@needs.mounting
@pytest.mark.parametrize(
    "folder, data", [(".git", "data"), ("outputs", "data"), ("iac", "data"), (".agentos", "data"), (".git", "my data")]
)
def test_a_folder_that_is_a_mount_of_its_own_is_foreseen_by_check_and_doctor(make_system, model, folder, data):
    system = make_system(model=model, env={"LLM_BASE_URL": "offline"})
    system.data = system.data.rename(system.folder / data)
    place, other = system.tree() / folder, system.folder / "other"
    place.mkdir(parents=True)
    other.mkdir()
    for verb in ("check", "doctor"):
        command = f'mount --bind "$0" "$1" && exec {BIN}/agentos {verb} --data "$2"'
        said = subprocess.run(
            ["unshare", "-m", "sh", "-c", command, other, place, system.data], env=system.env, capture_output=True, text=True
        )
        assert f"{place} is a mount of its own" in said.stdout, said.stdout + said.stderr
        assert said.stdout.count("is a mount of its own") == 1
        assert "is a mount of its own" not in system.cli(verb, check=False).stdout
