"""An agent's tree may hold anything: links out of it, FIFOs, sockets, devices, folders, huge files. No process is held up,
the other agents work on, status or the log names the fault, and no file outside the tree is read or written.
"""

import os
import shutil
import socket

import pytest

from harness import alive, wait_until

SECRET = "the-canary-outside-the-tree"


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.exists() or path.is_symlink():
        path.unlink()


def plant(path, kind, outside):
    """Puts a file of a kind that people and programs may leave in the path's place."""
    remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as end, socket.socket(socket.AF_UNIX):
            here = os.open(path.parent, os.O_RDONLY)
            end.bind(f"/proc/self/fd/{here}/{path.name}")
            os.close(here)
    elif kind == "device":
        try:
            os.mknod(path, 0o666 | 0o020000, os.makedev(1, 5))  # /dev/zero
        except PermissionError:
            pytest.skip("no devices can be made here")
    elif kind == "file":
        path.write_text("no folder\n")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to a file":
        path.symlink_to(outside / "file")
    elif kind == "link to a folder":
        path.symlink_to(outside)
    elif kind == "link to itself":
        path.symlink_to(path.name)
    elif kind == "link to nothing":
        path.symlink_to(outside / "not-there")
    elif kind == "huge":
        with open(path, "wb") as file:
            file.truncate(10 << 30)
    elif kind == "deep":
        path.mkdir()
        deep = path
        for _ in range(200):
            deep = deep / "deeper"
            deep.mkdir()
    elif kind == "unreadable":
        path.write_text("no")
        path.chmod(0)


PLACES = {
    "queue.md": ["fifo", "socket", "device", "folder", "link to a file", "link to itself", "link to nothing", "huge"],
    ".agent": ["fifo", "folder", "link to a file", "device", "huge"],
    "rewards.md": ["folder", "socket", "link to a file", "link to nothing", "huge"],
    "skills": ["file", "fifo", "link to a folder", "deep"],
    "skills/odd/SKILL.md": ["huge", "fifo", "link to a file", "folder"],
    "outputs": ["file", "link to a folder", "fifo"],
    "iac": ["file", "link to a folder"],
    "iac/inbox": ["file", "link to a folder", "fifo", "deep"],
    "iac/inbox/odd.md": ["fifo", "huge", "link to a file", "folder", "socket"],
    "iac/dead-letter": ["file", "link to a folder"],
    ".agentos": ["file", "link to a folder", "fifo"],
    ".agentos/journal": ["folder", "fifo", "link to a file", "huge"],
    ".agentos/attempts": ["folder", "fifo", "link to a file", "huge"],
    ".agentos/deferred": ["folder", "fifo", "link to a file", "huge"],
    ".agentos/ledger": ["folder", "fifo", "link to a file", "huge"],
    ".git": ["file", "link to a folder", "fifo"],
    ".git/objects": ["link to a folder", "file"],
    ".git/HEAD": ["link to a file", "folder", "huge"],
    ".git/index": ["fifo", "link to a file", "folder", "huge"],
    ".git/config": ["link to a file", "folder", "huge"],
    ".git/info/exclude": ["huge"],
    ".gitignore": ["huge"],
    ".git/packed-refs": ["fifo", "link to a file", "folder", "huge"],
    ".git/refs/heads/main": ["fifo", "link to a file", "folder", "huge"],
}

READ_FOR_NEW_FILES = [".git/config", ".git/info/exclude", ".gitignore"]


def snapshot(folder):
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.lstat().st_mtime_ns, path.lstat().st_ino)
        for path in [folder, *folder.rglob("*")]
    }


def said(system, name):
    status = system.agent_status(name)
    return status["problems"] or status["state"] in ("failed", "backoff") or f"[{name}]" in "".join(
        line for line in system.log().splitlines() if " WARN " in line or " ERROR " in line
    )


@pytest.mark.parametrize("when", ["stopped", "running"])
@pytest.mark.parametrize("place", PLACES)
def test_whatever_stands_in_a_tree_harms_nobody_and_leads_nowhere(make_system, model, place, when):
    """One agent a kind, all at once, and an agent that is well."""
    kinds = PLACES[place]
    odd = {kind: f"odd-{number}" for number, kind in enumerate(kinds)}
    system = make_system(["orion", *odd.values()], model=model).start()
    outside = system.folder / "outside"
    outside.mkdir()
    (outside / "file").write_text(f"## {SECRET}\ntask: {SECRET}\n")
    for name in odd.values():
        system.add("first", "Before it", name=name)
        system.wait_done("first", name=name)
    if when == "stopped":
        system.stop()
    before = snapshot(outside)
    for kind, name in odd.items():
        plant(system.tree(name) / place, kind, outside)
        if kind == "huge" and place in READ_FOR_NEW_FILES:
            (system.tree(name) / "new.md").write_text("git's lists say whether this file is ignored\n")
    if when == "stopped":
        system.start(wait=False)
        wait_until(lambda: system.states().get("orion") in ("idle", "working"), "orion ready")
    for name in odd.values():
        if (system.tree(name) / "queue.md").is_file() and place != "queue.md":
            system.add("second", f"After it {name}", name=name)
    system.add("well", "Orion works on")
    system.wait_done("well")
    for name in odd.values():
        answer = system.cli("status", name, check=False)
        assert answer.returncode == 0, answer.stderr
    for kind, name in odd.items():
        if place != "queue.md":
            wait_until(
                lambda: (system.tree(name) / "outputs/second.md").exists() or said(system, name),
                f"{name} ({kind}) goes on or says why not",
            )
        else:
            wait_until(lambda: said(system, name), f"{name} ({kind}) says what is wrong")
    assert snapshot(outside) == before
    assert SECRET not in system.log()
    assert not [request for request in model.requests(prompts=True) if SECRET in str(request)]
    family = system.family()
    assert system.stop() == 0
    assert not [pid for pid in family if alive(pid)]
    assert snapshot(outside) == before
    for path in system.data.rglob("*.md"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 20:
            assert SECRET not in path.read_text(errors="replace"), path
