"""A kill of the receiver or of the sender at every system call of a handoff's life: it is done once, and told once.

As test_cycle_kill.py: strace kills the worker at its Nth system call, N walks until a whole life passes without
reaching it."""

import signal

import pytest
from harness import alive, send_signal, wait_until
from post_office import everywhere, handing, in_folder
from test_cycle_kill import FIRST, STEP, kill_at


def over(system, text):
    """The one handoff with this text is finished at its receiver and known to its sender, and its result lies with it."""
    done = [e for e in in_folder(system, "iris", "archive").values() if e["body"].startswith(text + "\n")]
    told = [e for e in in_folder(system, "orion", "archive").values() if done and e["id"] == done[0]["id"]]
    results = [
        (folder, e)
        for name, folder, e in everywhere(system)
        if name == "orion" and e["kind"] == "result" and done and e["in_reply_to"] == done[0]["id"]
    ]
    return done and done[0]["status"] == "finished" and told and len(results) == 1 and done[0]


def walk(system, model, who, other):
    call, survived, texts = FIRST, 0, {}
    while survived < 2:
        # It forgets the ends before, which would make each restart wait longer.
        wait_until(lambda: system.cli("restart", who, check=False).returncode == 0, f"{who} restarted")
        system.wait_state(who, "idle")
        system.wait_state(other, "idle")
        pid = system.worker(who)
        tracer = kill_at(pid, call)
        text = f"Work for {who} {call}."
        system.add(f"ask-{call}", "Ask. " + handing("iris", text), name="orion")
        wait_until(lambda: over(system, text) or not alive(pid), f"{text} done or {who} killed", 30, 0.005)
        survived += alive(pid)
        send_signal(tracer.pid, signal.SIGINT)
        tracer.wait(20)
        system.wait_done(f"ask-{call}")
        texts[text] = wait_until(lambda: over(system, text), f"{text} done and told", 30)
        call += STEP
    asked = [request["task"] for request in model.requests()]
    for text, envelope in texts.items():
        assert system.done("iris")[envelope["id"]] == 1, text
        assert sum(text in task for task in asked) <= 2, f"{text}: one kill explains one more question"
    for name in ("orion", "iris"):
        wait_until(lambda: not in_folder(system, name, "handoffs") and not in_folder(system, name, "outbox"), "nothing left")
        assert not in_folder(system, name, "dead-letter")
        system.assert_sound(name)
    return call


@pytest.mark.parametrize("who, other", [("iris", "orion"), ("orion", "iris")])
def test_a_kill_at_any_system_call_of_a_handoff_neither_loses_nor_doubles_it(make_system, model, who, other):
    system = make_system(("orion", "iris"), model=model).start()
    last = walk(system, model, who, other)
    assert last > 2 * STEP, "the walk ended before it met a system call"
