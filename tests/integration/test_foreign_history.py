"""A history that comes with `agentos import` is one that git's own strict check takes: `git fsck --strict` and every other
git command work on an agent's repository at any moment."""

import fcntl
import os
import shutil
import subprocess

import pytest

from harness import BIN, wait_until
from test_bundle import Forge, bundle, elsewhere, git, refused  # noqa: F401  (fixtures)


@pytest.fixture
def forge(bundle, elsewhere):  # noqa: F811
    return Forge(bundle, elsewhere.folder)


def is_strict(folder):
    command = ["git", "-c", "safe.directory=*", "fsck", "--strict", "--no-dangling"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def judged_as_by_git(forge, elsewhere, oid, good, name="refs/heads/odd"):  # noqa: F811
    """The import refuses a history that git's strict check refuses, and takes the other; then the agent's is strict, too."""
    subprocess.run(["git", "update-ref", name, oid], cwd=forge.folder, check=True)
    assert is_strict(forge.folder) == good, name
    path = forge.write({name: oid})
    if good:
        elsewhere.cli("import", path)
        assert is_strict(elsewhere.tree()) and elsewhere.git("rev-parse", name).strip() == oid
        shutil.rmtree(elsewhere.tree())
        (elsewhere.data / "agents.yaml").write_text("agents:\n  - {name: iris, persona: x}\n")
    else:
        refused(elsewhere, path, 65, "was not imported")
    subprocess.run(["git", "update-ref", "-d", name], cwd=forge.folder, check=True)
    git("reflog", "expire", "--expire=now", "--all", cwd=forge.folder)
    git("prune", "--expire=now", cwd=forge.folder)


# Some disk takes each of the first for ".git"; none takes one of the others.
GITS = [".g\u200cit", ".git\u200f", ".G\u202aI\ufeffT", "\u206a.git", "git~1", "GIT~1", ".git.", ".git ", ".git . .", ".git::$INDEX_ALLOCATION",
        ".git\\config", "x\\git~1", ".git\udcffx", ".git\ufffe"]
OTHERS = ["git~2", ".gi\udcfft", ".git\u20acx", ".gitx", ".git\u200b", "x.git", "a\\b", "a:b", "-rf", "\x1b[2J", "\x9b", "\u202ex", "x" * 255, "é" * 127]


def test_no_folder_that_some_disk_takes_for_git_is_taken(forge, elsewhere):  # noqa: F811
    def with_folders(*names):
        inner = forge.tree(("100644", "config", forge.object("blob", b"x")))
        return forge.tree(*(("40000", name, inner) for name in sorted(names, key=lambda name: os.fsencode(name) + b"/")))

    for name in GITS:
        refused(elsewhere, forge.parcel(files=with_folders(name)), 65, "a name that no agent's tree may have")
        judged_as_by_git(forge, elsewhere, forge.commit(with_folders(name), "refs/heads/main"), False)
    judged_as_by_git(forge, elsewhere, forge.commit(with_folders(*OTHERS), "refs/heads/main"), True)


FILE, FOLDER, BETWEEN = ("100644", "a"), ("40000", "a"), [("100644", "a-b"), ("100644", "a.b")]
TREES = {
    "in order": ([FILE, *BETWEEN, ("40000", "a0")], True),
    "two cases of one name": ([("100644", "A"), FILE], True),
    "two normal forms of one name": ([("100644", "cafe\u0301"), ("100644", "caf\u00e9")], True),
    "out of order": ([("100644", "b"), FILE], False),
    "a file twice": ([FILE, FILE], False),
    "a file and a folder": ([FILE, FOLDER], False),
    "a file and a folder apart": ([FILE, *BETWEEN, FOLDER], False),
    "a mode with a zero in front": ([("0100644", "a")], False),
    "submodules": ([("100644", ".gitmodules")], False),
    "submodules behind a backslash": ([("100644", "x\\.gitmodules")], False),
    "submodules and no text": ([("100644", ".gitmodules\udcff")], False),
    "a folder for submodules": ([("40000", ".gitmodules")], False),
    "a folder for attributes": ([("40000", ".gitattributes")], False),
    "a folder for attributes and no text": ([("40000", ".gitattributes\udcff")], False),
    "attributes": ([("100644", ".gitattributes")], True),
}


def test_trees(forge, elsewhere):  # noqa: F811
    for entries, good in TREES.values():
        blob = forge.object("blob", b'[submodule "x"]\n\tpath = y\n\turl = --upload-pack=touch\n')
        ids = {"40000": forge.tree(("100644", "x", blob))}
        root = forge.tree(*((mode, name, ids.get(mode, blob)) for mode, name in entries))
        judged_as_by_git(forge, elsewhere, forge.commit(root, "refs/heads/main"), good)


def test_attributes(forge, elsewhere):  # noqa: F811
    """The blob is another file, too: as such it may be looked at first."""
    for name in (".gitattributes", "GITATT~1", ".GIT\u200cattributes", ".gitattributes\udcff"):
        for text, good in ((b"x" * 2047 + b"\n" + b"y" * 2047, True), (b"x\n" + b"x" * 2048, False), (b"x\0" + b"x" * 2048, True)):
            blob = forge.object("blob", text)
            files = forge.tree(*sorted((("100644", entry, blob) for entry in (".a", name, "z")), key=lambda entry: os.fsencode(entry[1])))
            judged_as_by_git(forge, elsewhere, forge.commit(files, "refs/heads/main"), good)


WRITER = "x <x@y> 1 +0000"
PEOPLE = {
    WRITER: True,
    "x <> 0 -0000": True,
    "\x1b[2J\x9b <\u202e> 253402300799 +9999": True,
    "x" * 100000 + " <x> 1 +0000": True,
    "x <x@y> -1 +0000": False,
    "x <x@y> 01 +0000": False,
    "x <x@y> 18446744073709551616 +0000": False,
    "x <x@y> word +0000": False,
    "x <x@y> 1 ": False,
    "x <x@y> 1 00000": False,
    "x <x@y> 1 +00000": False,
    "x <x@y>1 +0000": False,
    "<x@y> 1 +0000": False,
    "x<x@y> 1 +0000": False,
    "x <x<y>> 1 +0000": False,
    "x>y <x@y> 1 +0000": False,
    "x\0y <x@y> 1 +0000": False,
}


def commit(forge, author, committer, rest="\nx\n"):
    head = f"tree {forge.id('refs/heads/main^{tree}')}\nparent {forge.id('refs/heads/main')}\n"
    return forge.object("commit", f"{head}author {author}\ncommitter {committer}\n{rest}".encode())


def test_people_and_dates(forge, elsewhere):  # noqa: F811
    for person, good in PEOPLE.items():
        judged_as_by_git(forge, elsewhere, commit(forge, person, WRITER), good)
        judged_as_by_git(forge, elsewhere, commit(forge, WRITER, person), good)
        tag = f"object {forge.id('refs/heads/main')}\ntype commit\ntag t\ntagger {person}\n\nx\n"
        judged_as_by_git(forge, elsewhere, forge.object("tag", tag.encode()), good, "refs/tags/t")


def test_commits(forge, elsewhere):  # noqa: F811
    judged_as_by_git(forge, elsewhere, commit(forge, WRITER, WRITER, ""), True)
    judged_as_by_git(forge, elsewhere, commit(forge, WRITER, WRITER, "tool x"), False)
    judged_as_by_git(forge, elsewhere, commit(forge, WRITER, WRITER, "tool x\n" * 10000 + "\nx\n"), True)
    judged_as_by_git(forge, elsewhere, commit(forge, WRITER, WRITER, "\n" + "\x1b[2J\x9b\u202e\n" * 1_000_000), True)
    judged_as_by_git(forge, elsewhere, commit(forge, f"{WRITER}\nauthor {WRITER}", WRITER), False)
    judged_as_by_git(forge, elsewhere, commit(forge, WRITER, WRITER, "\nx\0y\n"), False)
    judged_as_by_git(forge, elsewhere, commit(forge, WRITER, WRITER, "tool \0\n\nx\n"), False)


def test_a_file_is_read_as_long_as_it_was_when_it_was_opened(bundle, elsewhere):  # noqa: F811
    """The import waits for another one with the file open; the file grows meanwhile, past any limit that was asked of it."""
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[:-100])
    (elsewhere.data / "agents").mkdir()
    folder = os.open(elsewhere.data / "agents", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    command = [str(BIN / "agentos"), "import", str(bundle)]
    with subprocess.Popen(command, env=elsewhere.env, stderr=subprocess.PIPE, text=True) as process:
        descriptors = f"/proc/{process.pid}/fd"
        wait_until(lambda: str(elsewhere.data / "agents") in {os.readlink(f"{descriptors}/{fd}") for fd in os.listdir(descriptors)}, "it waits")
        with open(bundle, "ab") as file:
            file.write(whole[-100:])
        os.close(folder)
        assert "cut short" in process.communicate()[1] and process.returncode == 65
    elsewhere.cli("import", bundle)
