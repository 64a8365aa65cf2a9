"""A rollback whose worker is killed at any of its system calls is done wholly or not at all."""

import signal
import subprocess

import needs
from harness import BIN, PATIENCE, alive, send_signal, wait_until

pytestmark = needs.attaching

FIRST, STEP = 1, 3
LEARNED = ("skills.md", "goals.md", "reflections.md")


def learned_at(system, revision):
    paths = system.git("ls-tree", "-r", "--name-only", revision, "--", *LEARNED, "skills/").split()
    return {path: system.git("show", f"{revision}:{path}") for path in paths}


def learned_now(system):
    tree = system.tree()
    paths = [tree / name for name in LEARNED] + [path for path in (tree / "skills").rglob("*") if path.is_file()]
    return {str(path.relative_to(tree)): path.read_text() for path in paths}


def kill_at(pid, call):
    tracer = subprocess.Popen(
        ["strace", "-qq", "-p", str(pid), "-o", "/dev/null", "-e", "trace=all", "-e", f"inject=all:signal=KILL:when={call}"],
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: not alive(pid) or "TracerPid:\t0" not in open(f"/proc/{pid}/status").read(), "strace attached", 20, 0.002)
    return tracer


def test_a_rollback_killed_at_any_system_call_is_whole_or_not_there(system):
    for task_id in ("one", "two", "three"):
        system.add(task_id, f"Work {task_id} with care")
        system.wait_done(task_id)
    states = [system.git("rev-parse", revision).strip() for revision in ("HEAD", "HEAD~2")]
    pictures = [learned_at(system, state) for state in states]
    now, call, done, undone = 0, FIRST, 0, 0
    while done < 2:
        system.cli("restart", "orion")
        system.wait_state("orion", "idle")
        pid = system.worker()
        tracer = kill_at(pid, call)
        client = subprocess.run(
            [str(BIN / "agentos"), "rollback", "orion", states[1 - now]], env=system.env, capture_output=True, text=True, timeout=60 * PATIENCE
        )
        survived = alive(pid)
        send_signal(tracer.pid, signal.SIGINT)
        tracer.wait(20)
        assert client.returncode == 0 or (client.returncode == 75 and not survived), client.stderr
        system.wait_state("orion", "idle")
        rolled = system.subjects()[0] == f"orion(rollback): to {states[1 - now][:7]}" and learned_now(system) == pictures[1 - now]
        assert rolled or (learned_now(system) == pictures[now] and client.returncode != 0), call
        assert learned_at(system, "HEAD") == learned_now(system)
        now = 1 - now if rolled else now
        done += survived
        undone += not rolled
        call += STEP
    assert undone > 3 and call > 5 * STEP
    system.assert_sound()
    assert set(system.done().values()) == {1}
