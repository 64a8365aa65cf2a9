"""An import that is killed before any of its system calls leaves the data directory as it was, or with the whole agent;
and the same import again comes to its end."""

import collections
import re
import shutil
import subprocess

import pytest

import needs
from harness import BIN
from places import places

pytestmark = needs.tracing

BEFORE = "# Ours.\nagents:\n  - name: iris\n    persona: x\n"


def files_below(tree):
    skip = (".git", ".agentos")
    return {
        str(path.relative_to(tree)): path.read_bytes()
        for path in tree.rglob("*")
        if path.is_file() and path.relative_to(tree).parts[0] not in skip
    }


@pytest.fixture
def exported(system):
    for task_id in ("one", "two"):
        system.add(task_id, f"Work {task_id} with care")
        system.wait_done(task_id)
    path = system.folder / "orion.bundle"
    system.cli("export", "orion", path)
    system.stop()
    return path, files_below(system.tree()), system.git("rev-parse", "HEAD").strip()


class Target:
    """A data directory to import into."""

    def __init__(self, folder, bundle):
        self.data, self.bundle = folder / "data", bundle
        self.log = folder / "strace"

    def clear(self):
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir()
        (self.data / "agents.yaml").write_text(BEFORE)

    def run(self, *prefix):
        command = [*prefix, str(BIN / "agentos"), "import", "--data", str(self.data), str(self.bundle)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def look(self, files, head):
        """Is the agent there? Then wholly."""
        text = (self.data / "agents.yaml").read_text()
        tree = self.data / "agents/orion"
        if tree.exists():
            assert files_below(tree) == files
            git = ["git", "-c", "safe.directory=*", "-C", str(tree)]
            assert subprocess.run([*git, "fsck", "--strict"], capture_output=True).returncode == 0
            assert subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip() == head
        if text == BEFORE:
            return False
        assert text == BEFORE + text[len(BEFORE):] and text.count("name: orion") == 1 and tree.exists()
        return True


def points(target):
    """Every change that the import and its child make, with its number among the changes of its kind."""
    target.clear()
    done = target.run("strace", "-f", "-qq", "-o", str(target.log))
    assert done.returncode == 0, done.stderr
    return places(target.log.read_text())


def last_words(target):
    """strace's words that kill the import itself before it says that it is done: everything lies behind it then."""
    target.clear()
    assert target.run("strace", "-qq", "-o", str(target.log)).returncode == 0
    writes = len(re.findall(r"^write\(", target.log.read_text(), re.M))
    return ["strace", "-qq", "-o", "/dev/null", "-e", "trace=write", "-e", f"inject=write:signal=KILL:when={writes}"]


def each_kill(target):
    for call, n in points(target):
        yield ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={n}"]
    yield last_words(target)


def test_an_import_killed_before_any_system_call_is_whole_or_not_there(exported, tmp_path):
    bundle, files, head = exported
    target = Target(tmp_path, bundle)
    outcomes = collections.Counter()
    for kill in each_kill(target):
        target.clear()
        target.run(*kill)
        there = target.look(files, head)
        outcomes[there] += 1
        again = target.run()
        assert again.returncode == (73 if there else 0), (kill[-1], again.stderr)
        assert target.look(files, head)
        assert [path.name for path in (target.data / "agents").iterdir()] == ["orion"], kill[-1]
        assert {path.name for path in target.data.iterdir()} == {".run", "agents", "agents.yaml"}, kill[-1]
        assert (target.data / ".run/wanted/orion").read_text() == "stopped\n", kill[-1]
    assert outcomes[True] and outcomes[False] > 20
