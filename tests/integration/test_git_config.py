"""A person's git never runs, obeys or follows an agent's text: such settings are taken out and kept aside.

A person's own settings that can do no harm stay.
"""

import os
import pty
import subprocess
import threading

import pytest

from harness import BIN, wait_until


def plant_config(system, marker, outside):
    """Every way of a configuration to run something, each of which makes the marker."""
    ran = f"touch {marker}"
    git = system.tree() / ".git"
    with open(git / "config", "a") as file:
        file.write(
            f'[core]\n\tpager = {ran}; cat\n\tfsmonitor = {ran}\n\tsshCommand = {ran}\n\teditor = {ran}\n'
            f'\thooksPath = hooks-of-mine\n[diff]\n\texternal = {ran}\n[diff "x"]\n\ttextconv = {ran}; cat\n'
            f'[filter "x"]\n\tclean = {ran}; cat\n\tsmudge = {ran}; cat\n\tprocess = {ran}\n[alias]\n\tlook = !{ran}\n'
            f'[credential]\n\thelper = !{ran}\n[gpg]\n\tprogram = {ran}\n[user]\n\tsignature = kept\n'
        )
    (git / "info").mkdir(exist_ok=True)
    (git / "info/attributes").write_text("* filter=x diff=x\n")
    (system.tree() / ".gitattributes").write_text("* filter=x diff=x\n")
    (git / "hooks").mkdir(exist_ok=True)
    for hook in ["post-checkout", "pre-commit", "post-index-change", "reference-transaction"]:
        (git / "hooks" / hook).write_text(f"#!/bin/sh\n{ran}\n")
        (git / "hooks" / hook).chmod(0o755)
    (git / "config.worktree").write_text("[core]\n\tpager = x\n")


def plant_elsewhere(system, marker, outside):
    git = system.tree() / ".git"
    (git / "objects/info").mkdir(exist_ok=True)
    (git / "objects/info/alternates").write_text(f"{outside}\n")
    (git / "commondir").write_text(f"{outside}\n")
    (git / "objects/aa").symlink_to(outside)


def plant_sizes(system, marker, outside):
    for name in ["HEAD", "index", "packed-refs", "refs/heads/big"]:
        with open(system.tree() / ".git" / name, "ab") as file:
            file.truncate(1500 << 20)


def plant_fifo(system, marker, outside):
    fifo = system.tree() / "fifo"
    os.mkfifo(fifo)
    with open(system.tree() / ".git/config", "a") as file:
        file.write(f'[include]\n\tpath = {fifo}\n[includeIf "gitdir:/"]\n\tpath = {fifo}\n')


PLANTS = {"config": plant_config, "elsewhere": plant_elsewhere, "sizes": plant_sizes, "fifo": plant_fifo}


def look_around(system):
    """People's commands, with a terminal's pager; the exit codes."""
    env = {**os.environ, "GIT_PAGER_IN_USE": "1", "HOME": str(system.folder), "GIT_CONFIG_NOSYSTEM": "1"}
    env.pop("GIT_CONFIG_GLOBAL", None)
    results = []
    for command in ["-p log -n 3", "-p show", "status", "diff", "fsck", "-p log -p -n 2"]:
        result = subprocess.run(
            ["git", *command.split()], cwd=system.tree(), env=env, timeout=30, stdin=subprocess.DEVNULL, capture_output=True
        )
        results.append((command, result.returncode, result.stderr))
    return results


@pytest.fixture
def planted(make_system, model):
    def make(kind):
        # 6 GB of files without content are more than an agent may have otherwise (test_disk_limit.py).
        system = make_system(["orion"], model=model, extra="    limits: {disk_mb: 16384}\n").start()
        system.add("first", "Before it")
        system.wait_done("first")
        system.git("config", "user.name", "Ann")
        system.git("config", "branch.main.description", "mine")
        system.git("config", "remote.home.url", "https://git.example/orion.git")
        outside = system.folder / "outside"
        outside.mkdir()
        return system, system.folder / "ran", outside

    return make


@pytest.mark.parametrize("kind", PLANTS)
@pytest.mark.parametrize("when", ["start", "scan", "verify"])
def test_what_the_agent_wrote_is_not_obeyed_by_a_persons_git(planted, kind, when):
    system, marker, outside = planted(kind)
    if when != "scan":
        system.stop()
    PLANTS[kind](system, marker, outside)
    if when == "start":
        system.start()
    if when == "verify":
        found = system.cli("verify", check=False)
        assert found.returncode == 65 and "agents/orion: .git" in found.stdout, found
    else:
        wait_until(lambda: "set-aside" in str(system.agent_status()["problems"]), "it is a problem of the agent's")
        system.wait_log(r"WARN .*Agent 'orion': .*\.agentos/set-aside/")
    for command, code, complaint in look_around(system):
        assert code == 0, (command, complaint)
    assert not marker.exists()
    assert list((system.tree() / ".agentos/set-aside").iterdir())
    for key, value in {"user.name": "Ann", "branch.main.description": "mine", "remote.home.url": "https://git.example/orion.git"}.items():
        assert system.git("config", key).strip() == value
    if when == "verify":
        again = system.cli("verify", check=False)
        assert again.returncode == 0 and "set-aside" in again.stdout, again
        system.start()
    system.add("second", "After it")
    system.wait_done("second")
    assert "first" in system.git("log", "--format=%s")


def test_the_plants_do_harm_where_nobody_looks(planted):
    """The control: without the supervisor's look each setting has its effect."""
    system, marker, outside = planted("config")
    system.stop()
    plant_config(system, marker, outside)
    look_around(system)
    assert marker.exists()


def test_the_problem_is_over_when_what_was_set_aside_is_gone(planted):
    system, marker, outside = planted("config")
    system.git("config", "core.pager", "less")
    wait_until(lambda: "core.pager" in str(system.agent_status()["problems"]), "it is a problem")
    for path in (system.tree() / ".agentos/set-aside").iterdir():
        path.unlink()
    wait_until(lambda: not system.agent_status()["problems"], "it is none any more")


# --- agentos git ---


def test_agentos_git_is_git_without_a_supervisor(planted):
    system, marker, outside = planted("config")
    log = system.git("log", "--format=%H %s")
    assert system.cli("git", "orion", "--", "log", "--format=%H %s").stdout == log
    system.stop()
    assert system.cli("git", "orion", "--", "log", "--format=%H %s").stdout == log
    assert system.cli("git", "orion", "--", "fsck", "--strict").returncode == 0
    assert system.cli("git", "orion", "--", "rev-parse", "--verify", "no-such", check=False).returncode == 128
    assert system.cli("git", "orion", "--", "diff", "--exit-code", "HEAD~1", check=False).returncode == 1
    assert system.cli("git", "orion", "--", "tag", "mine").returncode == 0
    assert system.git("tag").strip() == "mine"
    assert system.cli("git", "nobody", "--", "log", check=False).returncode == 66
    assert system.cli("git", "orion", check=False).returncode == 64


@pytest.mark.parametrize("kind", PLANTS)
def test_agentos_git_obeys_nothing_that_the_agent_wrote(planted, kind):
    system, marker, outside = planted(kind)
    system.stop()
    marker = system.tree() / "ran"  # which git could make there
    PLANTS[kind](system, marker, outside)
    first = system.cli("git", "orion", "--", "-p", "log", "-p", "-n", "2")
    assert "set-aside" in first.stderr and "first" in first.stdout
    for command in ["status", "show", "diff", "-p log", "fsck", "stash list", "log --show-signature"]:
        assert system.cli("git", "orion", "--", *command.split()).returncode == 0, command
    assert not marker.exists()


def test_agentos_git_runs_nothing_for_a_worker_that_writes_all_the_while(planted):
    """The configuration is there again as soon as it was taken out, and git can't start the program that it names."""
    system, marker, outside = planted("config")
    system.stop()
    marker = system.tree() / "ran"
    plant_config(system, marker, outside)
    text = (system.tree() / ".git/config").read_bytes()
    stop = threading.Event()

    def write():
        while not stop.is_set():
            temporary = system.tree() / ".git/config.next"
            temporary.write_bytes(text)
            temporary.rename(system.tree() / ".git/config")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for command in ["-p log -p -n 2", "status", "look", "diff", "add persona.md", "checkout -q -b other"] * 3:
            system.cli("git", "orion", "--", *command.split(), check=False)
    finally:
        stop.set()
        writer.join()
    assert not marker.exists()


def forge_graph(path, tip):
    """The graph (gitformat-commit-graph(5)) says that the tip has no parent."""
    graph = bytearray(path.read_bytes())
    chunks = {bytes(graph[at : at + 4]): int.from_bytes(graph[at + 4 : at + 12], "big") for at in range(8, 8 + 12 * graph[6], 12)}
    place = (graph.index(bytes.fromhex(tip), chunks[b"OIDL"]) - chunks[b"OIDL"]) // 20
    parents = chunks[b"CDAT"] + 36 * place + 20
    graph[parents : parents + 8] = 2 * bytes.fromhex("70000000")
    path.chmod(0o644)
    path.write_bytes(graph)


@pytest.mark.parametrize("forge", ["replace", "grafts", "graph"])
def test_agentos_git_shows_each_commit_as_it_is(planted, forge):
    """Git shows another object in a commit's place, or other parents, where a file of the repository says so, and believes a graph of
    the commits unseen."""
    system, marker, outside = planted("config")
    system.stop()
    tip, real = system.git("rev-parse", "HEAD").strip(), system.git("log", "--format=%H %s")
    if forge == "replace":
        (system.tree() / ".git/refs/replace").mkdir()
        (system.tree() / ".git/refs/replace" / tip).write_text(system.git("rev-parse", "HEAD~1"))
    elif forge == "graph":
        system.git("commit-graph", "write", "--reachable")
        forge_graph(system.tree() / ".git/objects/info/commit-graph", tip)
    else:
        (system.tree() / ".git/info").mkdir(exist_ok=True)
        (system.tree() / ".git/info/grafts").write_text(f"{tip}\n")
    assert system.git("log", "--format=%H %s") != real
    assert system.cli("git", "orion", "--", "log", "--format=%H %s").stdout == real


def test_agentos_git_sees_no_other_tree_and_no_control_character_reaches_a_terminal(planted):
    system, marker, outside = planted("config")
    system.stop()
    (outside / "file").write_text("x")
    assert system.cli("git", "orion", "--", "diff", "--no-index", "/dev/null", str(outside / "file"), check=False).returncode not in (0, 1)
    system.git("commit", "-q", "--allow-empty", "-m", "\x1b[2Jclear \u202e \x9b")
    end, other = pty.openpty()
    subprocess.run(
        [str(BIN / "agentos"), "git", "orion", "--", "log", "-n", "1"], env=system.env, stdout=other, stdin=subprocess.DEVNULL, timeout=30, check=True
    )
    os.close(other)
    shown = os.read(end, 65536)
    os.close(end)
    assert b"clear" in shown and b"\x1b" not in shown and "\u202e".encode() not in shown and b"\x9b" not in shown


# --- the program's own verbs ---


@pytest.mark.parametrize("kind", PLANTS)
def test_no_verb_opens_a_repository_that_it_has_not_looked_at(planted, kind):
    system, marker, outside = planted(kind)
    system.stop()
    for words in (["log", "orion"], ["export", "orion", str(system.folder / "x.bundle")], ["verify"]):
        PLANTS[kind](system, marker, outside)
        process = subprocess.Popen(
            [str(BIN / "agentos"), *words], env=system.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        said = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == (65 if words == ["verify"] else 0), said
        assert usage.ru_maxrss < 400 << 10, usage.ru_maxrss  # kB
        assert words[0] != "log" or "orion(task): first" in said
        (system.tree() / "fifo").unlink(missing_ok=True)
    assert not marker.exists()


@pytest.mark.parametrize("words", [["verify"], ["export", "orion", "x.bundle"]], ids=["verify", "export"])
def test_a_repository_too_large_for_memory_costs_a_verb_that_verb_alone(planted, words):
    """An object that can't be read in 512 MiB, which no look at names and sizes finds."""
    system, marker, outside = planted("config")
    system.stop()
    big = system.folder / "big"
    with open(big, "wb") as file:
        file.truncate(900 << 20)
    blob = system.git("hash-object", "-w", str(big)).strip()
    big.unlink()
    tree = subprocess.run(["git", "mktree"], cwd=system.tree(), input=f"100644 blob {blob}\tbig\n", capture_output=True, text=True, check=True)
    commit = system.git("commit-tree", "-p", "HEAD", "-m", "big", tree.stdout.strip()).strip()
    system.git("update-ref", "HEAD", commit)
    process = subprocess.Popen(
        [str(BIN / "agentos"), *words], env=system.env, cwd=system.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 65 and blob[:7] in said, said
    assert usage.ru_maxrss < 700 << 10, usage.ru_maxrss
