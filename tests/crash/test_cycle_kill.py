"""A kill at every system call of a cycle: whatever is left, the task is done exactly once.

strace counts the system calls of a process from the moment a task is given and kills it at the Nth; N walks until
a whole cycle passes without reaching it. AGENTOS_KILL_STEP walks faster (CI takes every 7th, another phase each time), AGENTOS_KILL_FIRST begins
at that one: so a phase that failed is walked again.
"""

import os
import signal
import subprocess
import time

import pytest

import needs
from harness import alive, send_signal, task_block, wait_until

STEP = int(os.environ.get("AGENTOS_KILL_STEP", "7"))
KILLS = 20  # on one system: what a worker looks at when it begins grows with each task, and the walk shall get ahead of it
FIRST = int(os.environ.get("AGENTOS_KILL_FIRST") or 1 + int(time.time()) % STEP)


def traced(pid):
    """Or dead already: to attach interrupts a call, and that the kernel takes it up again counts as the first."""
    if not alive(pid):
        return True
    with open(f"/proc/{pid}/status") as status:
        return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status)


def kill_at(pid, call, name="all"):
    """strace that will kill the process at its `call`th system call of one name from now on; all: whichever comes to it first."""
    needs.attach_or_skip()
    tracer = subprocess.Popen(
        ["strace", "-qq", "-p", str(pid), "-o", "/dev/null", "-e", "trace=all", "-e", f"inject={name}:signal=KILL:when={call}"],
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: traced(pid), "strace attached", 20, 0.002)
    return tracer


def release(tracer):
    """Nothing is asked of the system while the counting goes on: that would count too."""
    send_signal(tracer.pid, signal.SIGINT)
    tracer.wait(20)


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


def stretch(system, model, who, again, call, at_once):
    """Kills on one system, from this call on: the call after the last, and how many times nothing was met before the end."""
    survived, given = 0, []
    for call in range(call, call + KILLS * STEP, STEP):
        system.cli("restart", "orion")  # forgets the ends before, which would make each restart wait longer
        system.wait_state("orion", "idle")
        pid = system.processes()[who]
        tracer = kill_at(pid, call)
        tasks = [f"kill-{who}-{call}-{number}" for number in range(at_once)]
        given.append(tasks)
        system.append("".join(task_block(task_id, f"Do {task_id}") for task_id in tasks))
        over = lambda: system.done()[tasks[-1]] and "## " not in system.read("queue.md")  # noqa: E731
        wait_until(lambda: over() or not alive(pid), f"{tasks} done or {who} killed", 30, 0.005)
        survived += alive(pid)
        release(tracer)
        if not alive(pid):
            again(system)
        for task_id in tasks:
            system.wait_done(task_id)
        system.wait_queue_empty()
        if survived == 2:
            break
    judge(system, model, given)
    return call + STEP, survived


def walk(make_system, model, who, again, at_once=1):
    """Kill `who` at one system call after another; again(system) brings it back when it must be done by hand."""
    call, survived = FIRST, 0
    while survived < 2:
        system = make_system(model=model).start()
        call, survived = stretch(system, model, who, again, call, at_once)
        system.stop()
    return call


def by_itself(system):
    assert system.process.poll() is None


@pytest.mark.parametrize("who", ["orion", "gateway"])
def test_a_kill_at_any_system_call_of_a_cycle_neither_loses_nor_doubles_its_task(make_system, model, who):
    last = walk(make_system, model, who, by_itself)
    assert last > 2 * STEP, "the walk ended before it met a system call"


def test_a_kill_at_any_system_call_between_two_tasks_costs_one_question_at_most(make_system, model):
    last = walk(make_system, model, "orion", by_itself, at_once=2)
    assert last > 4 * STEP, "the walk ended before the second task"


def test_a_kill_of_the_supervisor_at_any_system_call_neither_loses_nor_doubles_the_task(make_system, model):
    def again(system):
        system.process.wait(20)
        system.start()

    walk(make_system, model, "supervisor", again)
