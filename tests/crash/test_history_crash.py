"""A commit is whole or it isn't there: killed before every single system call, and with the power cut behind it.

The real git looks at the state that is left, first as it lies there, then after the next start.
"""

import collections
import os
import random
import shutil
import subprocess
import time

import pytest

import needs
from places import places, steps

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DRIVER = os.environ.get("HISTORY_DRIVER") or os.path.join(TOP, "build/dev/bin/history_driver")
ENVIRONMENT = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent", "LOG_LEVEL": "error"}

pytestmark = pytest.mark.skipif(not os.path.exists(DRIVER), reason="history_driver is not built")


def run(*command, **more):
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, **more)


def driver(tree, *words):
    done = run(DRIVER, tree, *map(str, words))
    assert done.returncode == 0, done.stderr
    return done.stdout


def git(tree, *words):
    return run("git", "-C", tree, *words)


def expected(number):
    """Path to text of every tracked file after the commit of this number."""
    def text(word, n, lines):
        return "".join(f"{word} {n} line {i}\n" for i in range(lines))
    files = {"rewards.md": text("rewards", number, 300)}
    for n in range(max(1, number - 1), number + 1):
        files[f"skills/s{n}/SKILL.md"] = text("skill", n, 5)
        files[f"outputs/task-{n}.md"] = text("output", n, 20)
    return files


def look_as_it_lies(tree):
    """Before anything is repaired: no broken object, no torn branch."""
    if not os.path.isdir(os.path.join(tree, ".git")):
        return
    checked = git(tree, "fsck", "--strict", "--no-progress", "--no-dangling")
    complaints = [line for line in (checked.stdout + checked.stderr).splitlines()
                  if not line.startswith("notice:")]
    assert checked.returncode == 0 and complaints == []


def commits(tree):
    log = git(tree, "log", "--format=%s")
    return log.stdout.splitlines() if log.returncode == 0 else []


def look_repaired(tree, at_least, at_most):
    """After the next start: whole commits, a clean work tree, no leftovers. Returns how many commits there are."""
    told = driver(tree, "open")
    subjects = commits(tree)
    count = len(subjects)
    assert at_least <= count <= at_most
    assert subjects == [f"orion(task): task-{n}" for n in range(count, 0, -1)]
    assert f"tasks {count}\n" in told
    assert told.count("finished") == count
    look_as_it_lies(tree)
    assert git(tree, "status", "--porcelain").stdout == ""
    if count:
        tracked = git(tree, "ls-files").stdout.split()
        assert sorted(tracked) == sorted(expected(count))
        for path, text in expected(count).items():
            with open(os.path.join(tree, path)) as file:
                assert file.read() == text, path
    assert os.listdir(os.path.join(tree, ".agentos/new")) == []
    locks = [name for _, _, names in os.walk(os.path.join(tree, ".git")) for name in names if name.endswith(".lock")]
    assert locks == []
    return count


def changes(tree, *words, chosen=places):
    """The changes that the driver makes in this situation (places.py)."""
    log = tree + ".strace"
    done = run("strace", "-f", "-qq", "-o", log, DRIVER, tree, *map(str, words))
    assert done.returncode == 0, done.stderr
    with open(log) as file:
        found = chosen(file.read())
    os.unlink(log)
    return found


def killed_at(call, number, tree, *words):
    return run("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
               f"inject={call}:signal=KILL:when={number}", DRIVER, tree, *map(str, words))


def copies_of(start):
    """Makes trees that begin with the state of this tree."""
    def prepared(name):
        tree = start + "-" + name
        shutil.copytree(start, tree, symlinks=True)
        return tree
    return prepared


@needs.tracing
@pytest.mark.parametrize("before", [0, 3])
def test_a_commit_killed_before_any_system_call_is_whole_or_not_there(tmp_path, before):
    start = str(tmp_path / "start")
    os.mkdir(start)
    if before:
        driver(start, "commit", 1, before)
    prepared = copies_of(start)
    words = ("commit", before + 1, 1)
    points = changes(prepared("count"), *words)
    assert any(call.startswith("rename") for call, _ in points)
    outcomes = collections.Counter()
    for call, n in points:
        tree = prepared(f"{call}-{n}")
        killed = killed_at(call, n, tree, *words)
        told = killed.stdout.count("committed")
        look_as_it_lies(tree)
        count = look_repaired(tree, before + told, before + 1)
        outcomes[count] += 1
        driver(tree, "commit", count + 1, 1)
        look_repaired(tree, count + 1, count + 1)
        shutil.rmtree(tree)
    assert set(outcomes) == {before, before + 1}, "both outcomes must have been met"


@needs.tracing
def test_housekeeping_killed_before_any_system_call_loses_nothing(tmp_path):
    """libgit2 writes the joined pack in hundreds of pieces into a file that no reader looks for: these writes are one run of
    steps()."""
    commits_made = 20
    full = str(tmp_path / "full")
    os.mkdir(full)
    driver(full, "commit", 1, commits_made)

    prepared = copies_of(full)
    tidied = prepared("count")
    points = changes(tidied, "tidy", chosen=steps)
    packs = [name for name in os.listdir(os.path.join(tidied, ".git/objects/pack")) if name.endswith(".pack")]
    assert len(packs) == commits_made + 1, "they must have been joined"
    assert {"renameat2", "unlinkat"} & {call for call, _ in points}
    for call, n in points:
        tree = prepared(f"{call}-{n}")
        killed_at(call, n, tree, "tidy")
        look_as_it_lies(tree)
        look_repaired(tree, commits_made, commits_made)
        shutil.rmtree(tree, ignore_errors=True)


def files_below(tree):
    found = {}
    for folder, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, tree)] = file.read()
    return found


def write(tree, path, content):
    whole = os.path.join(tree, path)
    if os.path.exists(whole):
        os.chmod(whole, 0o644)
    if content is None:
        if os.path.exists(whole):
            os.unlink(whole)
        return
    os.makedirs(os.path.dirname(whole), exist_ok=True)
    with open(whole, "wb") as file:
        file.write(content)


def states_after_power_cut(before, after, chance):
    """The states that a file system may hold: each file as it was, as it became, or under its new name without content."""
    for path in sorted(set(before) | set(after)):
        if path == ".agentos/journal" or before.get(path) == after.get(path):
            continue
        choices = [before.get(path), after.get(path)]
        if after.get(path):
            choices.append(b"")
        yield path, chance.choice(choices)


@pytest.mark.parametrize("seed", range(25))
def test_after_a_power_cut_what_was_flushed_is_all_there(tmp_path, seed):
    chance = random.Random(seed)
    tree = str(tmp_path / "tree")
    os.mkdir(tree)
    durable = chance.choice([0, 2])
    if durable:
        driver(tree, "commit", 1, durable, "boot-1")
        driver(tree, "tidy")
        driver(tree, "open", "boot-1")
    before = files_below(tree)
    more = chance.choice([1, 1, 2, 4])
    driver(tree, "commit", durable + 1, more, "boot-2")
    after = files_below(tree)
    for path, content in states_after_power_cut(before, after, chance):
        write(tree, path, content)
    told = driver(tree, "open", "boot-3")
    assert f"tasks {durable + more}\n" in told and "damage" not in told
    look_repaired(tree, durable + more, durable + more)
    driver(tree, "commit", durable + more + 1, 1)
    look_repaired(tree, durable + more + 1, durable + more + 1)


@pytest.mark.parametrize("cut", [1, 100, 5000])
def test_a_torn_record_means_that_the_commit_never_happened(tmp_path, cut):
    tree = str(tmp_path / "tree")
    os.mkdir(tree)
    driver(tree, "commit", 1, 2, "boot-1")
    before = files_below(tree)
    driver(tree, "commit", 3, 1, "boot-1")
    after = files_below(tree)
    for path, content in before.items():
        write(tree, path, content)
    for path in set(after) - set(before):
        if not path.startswith(".git/objects/"):
            write(tree, path, None)
    journal = after[".agentos/journal"]
    end = len(journal.rstrip(b"\0"))
    write(tree, ".agentos/journal", journal[:end - cut] + bytes(len(journal) - end + cut))
    driver(tree, "open", "boot-2")
    look_repaired(tree, 2, 2)


@needs.tracing
def test_the_locks_of_a_commit_that_was_killed_are_no_fault_to_verify(make_system, model, tmp_path):
    """Not every tree has a next start: its agent may live on another machine since."""
    system = make_system(["orion"], model=model).start()
    system.add("first", "Work")
    system.wait_done("first")
    system.stop()
    tree, lock = str(system.tree()), system.tree() / ".git/index.lock"
    whole = str(tmp_path / "whole")
    shutil.copytree(tree, whole, symlinks=True)
    number = 0
    while not lock.exists():
        number += 1
        assert number < 100
        shutil.rmtree(tree)
        shutil.copytree(whole, tree, symlinks=True)
        killed_at("fdatasync", number, tree, "commit", 1, 1)
    os.utime(lock, (1, 1))
    told = system.cli("verify").stdout
    assert "note: agents/orion: .git/index.lock was left by a process that is gone" in told
    assert "1 commit(s) that a crash left half done" in told


MINE = "a person's words\n"


def commit_with_a_save_in_its_middle(tree, number, save, *injections):
    """The flush is held up for a moment; by then the commit has looked at the files. `save` happens there."""
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:delay_enter=400000"]
    for injection in injections:
        command += ["-e", injection]
    process = subprocess.Popen([*command, DRIVER, tree, "commit", str(number), "1"], env=ENVIRONMENT,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lock = os.path.join(tree, ".git/index.lock")
    while not os.path.exists(lock) and process.poll() is None:
        time.sleep(0.002)
    assert process.poll() is None
    kept = save()
    output, _ = process.communicate(timeout=60)
    return output, kept


def path_of(tree, name):
    return os.path.join(tree, name)


def save_in_place(tree):
    with open(path_of(tree, "rewards.md"), "w") as file:
        file.write(MINE)


def save_by_rename(tree):
    with open(path_of(tree, "saving"), "w") as file:
        file.write(MINE)
    os.rename(path_of(tree, "saving"), path_of(tree, "rewards.md"))


def save_later(tree):
    """An editor that has the file open and writes only after the commit."""
    return open(path_of(tree, "rewards.md"), "r+")


def read(path):
    with open(path) as file:
        return file.read()


@needs.tracing
@pytest.mark.parametrize("save", [save_in_place, save_by_rename, save_later])
def test_a_save_in_the_middle_of_a_commit_is_not_lost(tmp_path, save):
    tree = str(tmp_path)
    driver(tree, "commit", 1, 2)
    output, editor = commit_with_a_save_in_its_middle(tree, 3, lambda: save(tree))
    assert "committed 3" in output
    if editor:
        editor.truncate(0)
        editor.write(MINE)
        editor.close()
    assert read(path_of(tree, "rewards.md")) == MINE
    assert git(tree, "show", "HEAD:rewards.md").stdout == expected(3)["rewards.md"]
    assert git(tree, "status", "--porcelain").stdout == " M rewards.md\n"


@needs.tracing
@pytest.mark.parametrize("save", [save_in_place, save_by_rename])
def test_a_save_and_a_kill_in_the_same_commit_lose_neither(tmp_path, save):
    renames = system_calls_of_commit(tmp_path)
    # Only the calls behind the flush: ref, three files put in place, one removed, index; and two to put theirs back.
    for n in range(1, 9):
        tree = str(tmp_path / str(n))
        os.mkdir(tree)
        driver(tree, "commit", 1, 2)
        commit_with_a_save_in_its_middle(
            tree, 3, lambda: save(tree), f"inject=renameat2:signal=KILL:when={renames - 6 + n}")
        driver(tree, "open")
        texts = [read(path_of(tree, "rewards.md"))]
        texts += [read(path_of(tree, ".agentos/" + name)) for name in os.listdir(path_of(tree, ".agentos"))
                  if name.startswith("saved-")]
        assert MINE in texts
        assert git(tree, "show", "HEAD:rewards.md").stdout == expected(3)["rewards.md"]
        look_as_it_lies(tree)


def system_calls_of_commit(tmp_path, known={}):
    """How many renames the third commit makes."""
    if not known:
        tree = str(tmp_path / "count")
        os.mkdir(tree)
        driver(tree, "commit", 1, 2)
        log = str(tmp_path / "count.strace")
        assert run("strace", "-f", "-o", log, "-e", "trace=renameat2", DRIVER, tree, "commit", "3", "1").returncode == 0
        known["renames"] = read(log).count(" renameat2(")
    return known["renames"]
