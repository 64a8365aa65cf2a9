"""A kill at every system call of a cycle: the task is done exactly once, whatever state is left.

strace tells which system calls a process makes from the moment a task is given until it is done, and which calls are changes
(places.py); then a task after the other is given, and strace kills the process at one of the changes. A worker's cycle is
830 calls, 61 of them changes: of each name every second is taken, so that 32 kills find half of the states that a kill can
leave; a kill at every seventh of all calls needed 129 kills for as many. AGENTOS_KILL_STEP=1 takes all changes, CI takes 7,
each time in another phase; AGENTOS_KILL_FIRST is the phase: so a phase that failed is walked again.
"""

import contextlib
import os
import re
import signal
import subprocess
import time

import pytest

import needs
from harness import alive, send_signal, task_block, wait_until
from places import places

STEP = int(os.environ.get("AGENTOS_KILL_STEP", "7"))
EVERY = max(1, STEP // 7)  # change of a supervisor or gateway, which make few
EVERY_SECOND, EVERY_THIRD = max(1, STEP * 2 // 7), max(1, STEP * 3 // 7)
KILLS = 20  # on one system: a worker's first look grows with each task, and the walk shall get ahead of the growth
FIRST = int(os.environ.get("AGENTOS_KILL_FIRST") or 1 + int(time.time()) % STEP)


def traced(pid):
    """Or dead already: to attach interrupts a call, and that the kernel takes it up again counts as the first."""
    if not alive(pid):
        return True
    with open(f"/proc/{pid}/status") as status:
        return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status)


def trace(pid, *words):
    needs.attach_or_skip()
    tracer = subprocess.Popen(["strace", "-qq", "-p", str(pid), *words], stderr=subprocess.DEVNULL)
    wait_until(lambda: traced(pid), "strace attached", 20, 0.002)
    return tracer


def kill_at(pid, call, name):
    """strace that will kill the process at its `call`th system call of that name from now on."""
    return trace(pid, "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={call}")


def dying(pid):
    """Killed, and not gone yet."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        with open(f"/proc/{pid}/stat") as stat:
            state, *_, flags = stat.read().rsplit(")", 1)[1].split()[:7]
        with open(f"/proc/{pid}/status") as status:
            pending = re.findall(r"^(?:SigPnd|ShdPnd):\s+(\w+)$", status.read(), re.M)
        killed = any(int(mask, 16) & 1 << signal.SIGKILL - 1 for mask in pending)
        return state not in "ZX" and (killed or int(flags) & 4 != 0)
    return False


def release(tracer):
    """The test asks the system for nothing while the counting goes on: such calls would count too."""
    send_signal(tracer.pid, signal.SIGINT)
    tracer.wait(20)
    pid = tracer.args[tracer.args.index("-p") + 1]
    wait_until(lambda: not dying(pid), "whoever was killed to be gone")


def judge(system, model, given_at_once):
    asked = model.asked()
    given = [task_id for kill in given_at_once for task_id in kill]
    for task_id in given:
        assert system.done()[task_id] == 1, task_id
        assert asked[f"Do {task_id}"] <= 2, f"{task_id}: one kill explains one more question"
    for kill in given_at_once:
        questions = sum(asked[f"Do {task_id}"] for task_id in kill)
        assert questions <= len(kill) + 1, f"{kill}: one kill costs one question, whichever's"
    system.assert_each_once(given)
    system.assert_sound()


def there(system, who):
    """The process's pid; the last kill may have been so late that its successor isn't there yet."""
    found = {}

    def is_there():
        found.update(system.processes())
        return who in found and alive(found[who])

    wait_until(is_there, f"{who} is there")
    return found[who]


def give(system, tasks):
    system.append("".join(task_block(task_id, f"Do {task_id}") for task_id in tasks))


def are_over(system, tasks):
    return "## " not in system.read("queue.md") and system.done()[tasks[-1]]


def places_met(pid, path, act, step):
    """[(name, number)] of the changes that the process makes while act() runs: of each name one at least, further ones in
    steps, from another start each time."""
    tracer = trace(pid, "-o", str(path))
    act()
    release(tracer)
    met, taken = places(path.read_text()), []
    for name in sorted({name for name, _ in met}):
        numbers = [number for other, number in met if other == name]
        taken += [(name, number) for number in numbers[min((FIRST - 1) % step, len(numbers) - 1) :: step]]
    return taken


def stretch(system, model, who, again, places, at_once):
    """Kills on one system, at each of these places: how many there were."""
    given, killed = [], 0
    for name, call in places:
        assert system.control(verb="restart", agent="orion")["exit"] == 0  # forgets the ends before, which would make each restart wait longer
        system.wait_state("orion", "idle")
        pid = there(system, who)
        tracer = kill_at(pid, call, name)
        tasks = [f"kill-{who}-{name}-{call}-{number}" for number in range(at_once)]
        given.append(tasks)
        give(system, tasks)
        wait_until(lambda: are_over(system, tasks) or not alive(pid), f"{tasks} done or {who} killed", 30, 0.005)
        release(tracer)
        if not alive(pid):
            killed += 1
            again(system)
        for task_id in tasks:
            system.wait_done(task_id)
        system.wait_queue_empty()
    judge(system, model, given)
    return killed


def walk(make_system, model, tmp_path, who, again, at_once=1):
    """Kill `who` at one system call after another; again(system) brings it back when it must be done by hand."""
    system, tasks = make_system(model=model).start(), [f"calls-{number}" for number in range(at_once)]

    def act():
        give(system, tasks)
        wait_until(lambda: are_over(system, tasks), f"{tasks} done", 30, 0.005)

    step = EVERY_SECOND if who == "orion" else EVERY
    places, killed = places_met(there(system, who), tmp_path / "calls", act, step), 0
    system.stop()
    kills = 1 if who == "gateway" else KILLS  # a worker that has connected already keeps its connection and makes none
    for first in range(0, len(places), kills):
        system = make_system(model=model).start()
        killed += stretch(system, model, who, again, places[first : first + kills], at_once)
        system.stop()
    assert killed > len(places) / 2, f"{killed} kills at {len(places)} places"


def by_itself(system):
    assert system.process.poll() is None


@pytest.mark.parametrize("who", ["orion", "gateway"])
def test_a_kill_at_any_system_call_of_a_cycle_neither_loses_nor_doubles_its_task(make_system, model, tmp_path, who):
    walk(make_system, model, tmp_path, who, by_itself)


def test_a_kill_at_any_system_call_between_two_tasks_costs_one_question_at_most(make_system, model, tmp_path):
    walk(make_system, model, tmp_path, "orion", by_itself, at_once=2)


def test_a_kill_of_the_supervisor_at_any_system_call_neither_loses_nor_doubles_the_task(make_system, model, tmp_path):
    def again(system):
        system.process.wait(20)
        system.start()

    walk(make_system, model, tmp_path, "supervisor", again)
