"""A rollback whose worker is killed at any of its system calls is done wholly or not at all."""

import subprocess

import needs
from harness import BIN, PATIENCE, alive
from test_cycle_kill import kill_at, places_met, release

pytestmark = needs.attaching

LEARNED = ("skills.md", "goals.md", "reflections.md")


def learned_at(system, revision):
    paths = system.git("ls-tree", "-r", "--name-only", revision, "--", *LEARNED, "skills/").split()
    return {path: system.git("show", f"{revision}:{path}") for path in paths}


def learned_now(system):
    tree = system.tree()
    paths = [tree / name for name in LEARNED] + [path for path in (tree / "skills").rglob("*") if path.is_file()]
    return {str(path.relative_to(tree)): path.read_text() for path in paths}


def test_a_rollback_killed_at_any_system_call_is_whole_or_not_there(system, tmp_path):
    for task_id in ("one", "two", "three"):
        system.add(task_id, f"Work {task_id} with care")
        system.wait_done(task_id)
    states = [system.git("rev-parse", revision).strip() for revision in ("HEAD", "HEAD~2")]
    pictures = [learned_at(system, state) for state in states]
    now, killed, undone = 0, 0, 0

    def roll():
        command = [str(BIN / "agentos"), "rollback", "orion", states[1 - now]]
        return subprocess.run(command, env=system.env, capture_output=True, text=True, timeout=60 * PATIENCE)

    def restarted():
        assert system.control(verb="restart", agent="orion")["exit"] == 0
        system.wait_state("orion", "idle")
        return system.worker()

    places = places_met(restarted(), tmp_path / "calls", roll, 1)
    now = 1
    for name, call in places:
        pid = restarted()
        tracer = kill_at(pid, call, name)
        client = roll()
        release(tracer)
        survived = alive(pid)
        assert client.returncode == 0 or (client.returncode == 75 and not survived), client.stderr
        system.wait_state("orion", "idle")
        rolled = system.subjects()[0] == f"orion(rollback): to {states[1 - now][:7]}" and learned_now(system) == pictures[1 - now]
        assert rolled or (learned_now(system) == pictures[now] and client.returncode != 0), (name, call)
        assert learned_at(system, "HEAD") == learned_now(system)
        now = 1 - now if rolled else now
        killed += not survived
        undone += not rolled
    assert undone > 3 and killed > len(places) / 2, f"{undone} undone by {killed} kills at {len(places)} places"
    system.assert_sound()
    assert set(system.done().values()) == {1}
