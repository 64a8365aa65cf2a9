"""A kill at every system call of a cycle: whatever is left, the task is done exactly once.

strace counts the system calls of a process from the moment a task is given and kills it at the Nth; N walks until
a whole cycle passes without reaching it. AGENTOS_KILL_STEP walks faster (CI takes every 7th, another phase each time).
"""

import os
import signal
import subprocess
import time

import pytest

from harness import alive, send_signal, wait_until

STEP = int(os.environ.get("AGENTOS_KILL_STEP", "7"))
FIRST = 1 + int(time.time()) % STEP


def traced(pid):
    with open(f"/proc/{pid}/status") as status:
        return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status)


def kill_at(pid, call):
    """strace that will kill the process at its `call`th system call from now on."""
    tracer = subprocess.Popen(
        ["strace", "-qq", "-p", str(pid), "-o", "/dev/null", "-e", "trace=all", "-e", f"inject=all:signal=KILL:when={call}"],
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: traced(pid), "strace attached", 20, 0.002)
    return tracer


def release(tracer):
    send_signal(tracer.pid, signal.SIGINT)
    tracer.wait(20)


def rested(system):
    return "## " not in system.read("queue.md") and system.states().get("orion") == "idle"


def walk(system, model, who, again):
    """Kill `who` at one system call after another; again() brings the system back when it must be done by hand."""
    call, survived, given = FIRST, 0, []
    while survived < 2:
        system.wait_state("orion", "idle")
        pid = system.processes()[who]
        tracer = kill_at(pid, call)
        task_id = f"kill-{who}-{call}"
        given.append(task_id)
        system.add(task_id, f"Do {task_id}")
        wait_until(lambda: system.done()[task_id] or not alive(pid), f"{task_id} done or {who} killed", 30, 0.005)
        wait_until(lambda: not alive(pid) or rested(system), f"{who} killed or the cycle over", 30, 0.005)
        if alive(pid):
            survived += 1
        release(tracer)
        if not alive(pid):
            again()
        system.wait_done(task_id)
        system.wait_queue_empty()
        call += STEP
    asked = model.asked()
    for task_id in given:
        assert system.done()[task_id] == 1, task_id
        assert asked[f"Do {task_id}"] <= 2, f"{task_id}: one kill explains one more question"
    system.assert_each_once(given)
    system.assert_sound()
    return call


@pytest.mark.parametrize("who", ["orion", "gateway"])
def test_a_kill_at_any_system_call_of_a_cycle_neither_loses_nor_doubles_its_task(make_system, model, who):
    system = make_system(model=model).start()

    def again():
        """A start anew, so that the backoff of worker after worker does not add up."""
        assert system.stop() == 0
        system.start()

    last = walk(system, model, who, again)
    assert last > 2 * STEP, "the walk ended before it met a system call"


def test_a_kill_of_the_supervisor_at_any_system_call_neither_loses_nor_doubles_the_task(make_system, model):
    system = make_system(model=model).start()

    def again():
        system.process.wait(20)
        system.start()

    walk(system, model, "supervisor", again)
