"""The next task's question, which goes out as soon as the last one's commit is durable (worker/ahead.c)."""

import pathlib
import platform
import re
import signal
import subprocess

import pytest
from harness import send_signal, task_block, wait_until
from needs import attaching, attach_or_skip

FDATASYNC = {"x86_64": "75", "aarch64": "83"}.get(platform.machine())


def traced(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return not re.search(r"^TracerPid:\s+0$", status, re.M)


def trace(pid, *words):
    attach_or_skip()
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-p", str(pid), *words], stderr=subprocess.DEVNULL)
    wait_until(lambda: traced(pid), "strace attached", 20, 0.002)
    return tracer


def release(tracer):
    send_signal(tracer.pid, signal.SIGINT)
    tracer.wait(20)


def blocks(identities):
    return "".join(task_block(identity, f"Handle the matter {identity} with care") for identity in identities)


def asked(model, identity):
    return model.asked()[f"Handle the matter {identity} with care"]


def test_each_of_many_tasks_is_asked_about_once_whatever_the_one_before_it_taught(make_system, model):
    system = make_system(model=model).start()
    identities = [f"new-{number}" for number in range(30)]
    system.append(blocks(identities))  # a new skill each: the next prompt shows what the last answer earned
    for identity in identities:
        system.wait_done(identity)
    assert {identity: asked(model, identity) for identity in identities} == dict.fromkeys(identities, 1)
    system.assert_each_once(identities)
    system.assert_sound()


@attaching
def test_the_next_question_is_on_its_way_before_the_last_answers_files_are_in_place(make_system, model, tmp_path):
    system = make_system(model=model).start()
    log = tmp_path / "calls"
    tracer = trace(system.worker("orion"), "-o", str(log), "-e", "trace=fdatasync,renameat2,sendmsg")
    identities = [f"next-{number}" for number in range(8)]
    system.append(blocks(identities))
    for identity in identities:
        system.wait_done(identity)
    release(tracer)
    calls = re.findall(r"^\d+\s+(?:<\.\.\. )?(fdatasync|renameat2|sendmsg)\b.* = ", log.read_text(), re.M)
    assert ("fdatasync", "sendmsg") in zip(calls, calls[1:]), calls


@attaching
@pytest.mark.skipif(not FDATASYNC, reason="the number of fdatasync isn't known here")
def test_a_question_that_was_asked_ahead_and_is_not_the_next_is_taken_back_and_asked_again_in_its_turn(make_system, model):
    system = make_system(model=model).start()
    pid = system.worker("orion")
    # The guess is made by then, and what is next changes before its turn.
    tracer = trace(pid, "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=3000000:when=1")
    system.append(blocks(["first", "guessed"]))
    flushing = lambda: pathlib.Path(f"/proc/{pid}/syscall").read_text().split()[0] == FDATASYNC  # noqa: E731
    wait_until(flushing, "the first commit at its flush", 20, 0.002)
    system.append(task_block("urgent", "Handle the matter urgent with care", priority="high"))
    for identity in ("urgent", "guessed"):
        system.wait_done(identity)
    release(tracer)
    assert asked(model, "first") == asked(model, "urgent") == 1
    assert asked(model, "guessed") <= 2  # the first time it may have been taken back before it was sent
    for identity in ("first", "urgent", "guessed"):
        assert f"The answer to: Handle the matter {identity} with care" in system.read(f"outputs/{identity}.md")
    order = re.findall(r"Processing task: (\S+)", system.log())
    assert order == ["first", "urgent", "guessed"]
    system.assert_each_once(["first", "guessed", "urgent"])
    system.assert_sound()
