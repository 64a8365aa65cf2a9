"""The next task's question, which goes out while the last one is committed (worker/cycle/prefetch.c, worker/cycle/answer_store.h)."""

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
    system.append(blocks(identities))  # a new skill each: the next prompt shows the skill that the last answer earned
    for identity in identities:
        system.wait_done(identity)
    assert {identity: asked(model, identity) for identity in identities} == dict.fromkeys(identities, 1)
    system.assert_each_once(identities)
    system.assert_sound()


@attaching
def test_the_next_question_is_asked_when_the_last_answer_is_kept_and_before_it_is_committed(make_system, model, tmp_path):
    system = make_system(model=model).start()
    log, pid = tmp_path / "calls", system.worker("orion")
    tracer = trace(pid, "-y", "-o", str(log), "-e", "trace=pwritev,fdatasync,sendmsg")
    identities = [f"next-{number}" for number in range(16)]
    system.append(blocks(identities))
    for identity in identities:
        system.wait_done(identity)
    release(tracer)
    lines = re.findall(rf"^{pid}\s+(\w+)\((?:\d+<(\S+?)>)?", log.read_text(), re.M)
    calls = " ".join(call if call == "sendmsg" else pathlib.Path(path).name for call, path in lines)
    assert calls.count("answer") == len(identities)
    # sendmsg may be nng's other threads' too, so not every question is seen here
    assert re.search(r"answer sendmsg (sendmsg )*journal journal", calls), calls


@attaching
def test_an_answer_whose_worker_is_killed_before_its_commit_is_committed_by_the_next_and_not_asked_for_again(make_system, model):
    system = make_system(model=model).start()
    pid = system.worker("orion")
    # The first is the answer's, the second the commit's record.
    tracer = trace(pid, "-o", "/dev/null", "-e", "trace=pwritev", "-e", "inject=pwritev:signal=KILL:when=2")
    system.append(blocks(["paid", "next"]))
    for identity in ("paid", "next"):
        system.wait_done(identity)
    tracer.wait(20)
    assert system.worker("orion") != pid
    assert asked(model, "paid") == 1 and asked(model, "next") <= 2
    assert "Task paid was answered before the last worker's end" in system.log()
    assert "The answer to: Handle the matter paid with care" in system.read("outputs/paid.md")
    system.assert_each_once(["paid", "next"])
    system.assert_sound()


COMMIT_KILLS = ["-e", "trace=pwritev", "-e", "inject=pwritev:signal=KILL:when=2"]  # the first is the answer's


def first_dies_of_the_answer(make_system, model):
    """A system whose first worker has died between the answer to the task deadly and its commit, the next one being paused;
    and the first one's pid."""
    system = make_system(model=model, scenario="hold").start()
    first = system.worker("orion")
    system.append(blocks(["deadly"]))
    model.wait_open()
    system.cli("pause", "orion", "--no-wait")
    tracer = trace(first, "-o", "/dev/null", *COMMIT_KILLS)
    model.release()
    tracer.wait(20)
    return system, first


@attaching
def test_an_answer_that_two_workers_have_died_of_is_not_used_a_third_time(make_system, model):
    system, first = first_dies_of_the_answer(make_system, model)
    wait_until(lambda: system.worker("orion") not in (None, first), "the next worker", 20)
    system.wait_state("orion", "paused")
    tracer = trace(system.worker("orion"), "-o", "/dev/null", *COMMIT_KILLS)
    system.cli("resume", "orion")
    tracer.wait(20)
    assert asked(model, "deadly") == 1
    system.wait_done("deadly")
    assert asked(model, "deadly") == 2
    assert "Requests: 2\n" in system.git("log", "--format=%B", "--grep=(task): deadly"), "both were paid"
    system.assert_each_once(["deadly"])
    system.assert_sound()


@attaching
def test_a_worker_that_died_before_the_answer_came_does_not_count_against_the_answer(make_system, model):
    system = make_system(model=model, scenario="hold").start()
    first = system.worker("orion")
    system.append(blocks(["paid"]))
    model.wait_open()
    send_signal(first, signal.SIGKILL)
    wait_until(lambda: asked(model, "paid") == 2, "the next worker's question", 20)
    tracer = trace(system.worker("orion"), "-o", "/dev/null", *COMMIT_KILLS)
    model.release()
    tracer.wait(20)
    system.wait_done("paid")
    assert asked(model, "paid") == 2
    system.assert_each_once(["paid"])
    system.assert_sound()


ANSWER_STOPS = ["-e", "trace=pwritev", "-e", "inject=pwritev:signal=STOP:when=1"]


def die_of_the_answer(system, from_pid):
    """The paused next worker of orion goes on, and is killed between its answer's file and the commit: the worker stands
    still there until the pause of the worker after it is ordered."""
    wait_until(lambda: system.worker("orion") not in (None, from_pid), "the next worker", 20)
    system.wait_state("orion", "paused")
    pid, calls = system.worker("orion"), system.folder / "calls"
    tracer = trace(pid, "-o", str(calls), *ANSWER_STOPS)
    system.cli("resume", "orion", "--no-wait")
    wait_until(lambda: "stopped by SIGSTOP" in calls.read_text(), "the answer to be kept", 20, 0.01)
    system.cli("pause", "orion", "--no-wait")
    send_signal(pid, signal.SIGKILL)
    tracer.wait(20)
    return pid


@attaching
def test_a_dead_letter_has_the_cost_of_an_answer_that_was_kept_when_its_last_worker_died(make_system, model):
    system, first = first_dies_of_the_answer(make_system, model)
    model.become("")
    pid = die_of_the_answer(system, first)
    die_of_the_answer(system, pid)
    system.cli("resume", "orion")
    wait_until(lambda: (system.tree() / "iac/dead-letter/deadly.md").exists(), "the dead letter", 20)
    assert "reason: poison" in (system.tree() / "iac/dead-letter/deadly.md").read_text()
    assert asked(model, "deadly") == 2
    assert "Requests: 2\n" in system.git("log", "--format=%B", "--grep=deadly failed: poison"), "both were paid"


@attaching
def test_deaths_before_an_orderly_end_do_not_count_for_an_answer(make_system, model):
    system = make_system(model=model, scenario="hold").start()
    system.append(blocks(["paid"]))
    for number in (1, 2):  # of two workers that died before it came
        wait_until(lambda number=number: asked(model, "paid") == number, "the question", 20)
        send_signal(system.worker("orion"), signal.SIGKILL)
    wait_until(lambda: asked(model, "paid") == 3, "the third question", 20)
    pid = system.worker("orion")
    tracer = trace(pid, "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO")
    model.release()
    system.wait_log("Waiting for the storage")
    system.cli("stop", "orion")
    tracer.wait(20)
    model.become("")
    system.cli("pause", "orion", "--no-wait")
    system.cli("start", "orion", "--no-wait")
    pid = die_of_the_answer(system, pid)
    die_of_the_answer(system, pid)
    assert asked(model, "paid") == 3
    system.cli("resume", "orion")
    system.wait_done("paid")
    assert asked(model, "paid") == 4, "an answer that two workers have died of is not used again"


def cancelled_with_an_answer(system):
    """A task that was cancelled while its answer could not be committed."""
    for number in range(20):  # the storage is tried again after a second, and may be faster than the cancel
        identity, told = f"again-{number}", system.log().count("Waiting for the storage")
        tracer = trace(system.worker("orion"), "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO")
        system.append(blocks([identity]))
        wait_until(lambda: system.log().count("Waiting for the storage") > told, "the commit to fail", 20, 0.01)
        release(tracer)
        taken_out = system.cli("cancel", "orion", identity, check=False).returncode == 0
        if taken_out and not system.done()[identity]:
            return identity
    pytest.fail("the storage was always faster")


@attaching
def test_the_answer_to_a_task_that_was_cancelled_is_not_used_for_one_that_is_given_anew(make_system, model):
    system = make_system(model=model).start()
    identity = cancelled_with_an_answer(system)
    assert asked(model, identity) == 1
    system.cli("restart", "orion")
    system.append(blocks([identity]))
    wait_until(lambda: asked(model, identity) == 2, "the question", 20)


@attaching
def test_an_answer_that_its_worker_could_not_commit_before_a_restart_is_not_asked_for_again(make_system, model):
    system = make_system(model=model, env={"STOP_GRACE": "1"}).start()
    tracer = trace(system.worker("orion"), "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO")
    system.append(blocks(["paid"]))
    wait_until(lambda: "Waiting for the storage" in system.log(), "the commit to fail", 20, 0.01)
    system.cli("restart", "orion")
    release(tracer)
    system.wait_done("paid")
    assert asked(model, "paid") == 1
    system.assert_each_once(["paid"])
    system.assert_sound()


def flushes(system):
    return pathlib.Path(f"/proc/{system.worker('orion')}/syscall").read_text().split()[0] == FDATASYNC


def first_at_its_flush(system, first="first", guessed="guessed"):
    """The first task is being committed, and guessed may be asked about: for three seconds."""
    tracer = trace(system.worker("orion"), "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=3000000:when=1")
    system.append(blocks([first, guessed]))
    wait_until(lambda: flushes(system), "the first commit at its flush", 20, 0.002)
    return tracer


def order(system):
    return re.findall(r"Processing task: (\S+)", system.log())


@attaching
@pytest.mark.skipif(not FDATASYNC, reason="the number of fdatasync isn't known here")
def test_what_was_asked_ahead_is_next_though_something_more_urgent_comes_and_nothing_is_asked_twice(make_system, model):
    system = make_system(model=model).start()
    tracer = first_at_its_flush(system)
    system.append(task_block("urgent", "Handle the matter urgent with care", priority="high"))
    for identity in ("urgent", "guessed"):
        system.wait_done(identity)
    release(tracer)
    assert order(system) == ["first", "guessed", "urgent"]
    assert [asked(model, identity) for identity in order(system)] == [1, 1, 1]
    system.assert_each_once(["first", "guessed", "urgent"])
    system.assert_sound()


@attaching
@pytest.mark.skipif(not FDATASYNC, reason="the number of fdatasync isn't known here")
def test_a_question_that_was_asked_ahead_is_taken_back_when_somebody_changes_its_task_and_none_is_for_an_hour(make_system, model):
    system = make_system(model=model)
    clock = system.movable_clock()
    system.start()
    tracer = first_at_its_flush(system)
    queue = system.tree("orion") / "queue.md"
    changed = queue.with_name("queue.md.new")
    changed.write_text(queue.read_text().replace("the matter guessed", "the matter otherwise"))
    changed.rename(queue)
    system.wait_done("guessed")
    release(tracer)
    assert asked(model, "otherwise") == asked(model, "first") == 1
    assert "The answer to: Handle the matter otherwise with care" in system.read("outputs/guessed.md")
    system.assert_each_once(["first", "guessed"])
    system.assert_sound()

    def asked_at_the_flush(first, guessed):
        tracer = first_at_its_flush(system, first, guessed)
        wait_until(lambda: asked(model, guessed), "the question", 20)
        ahead = not system.done()[first]
        system.wait_done(guessed)
        release(tracer)
        assert asked(model, guessed) == 1
        return ahead

    assert not asked_at_the_flush("second", "not-yet"), "the next wrong guess may cost money, too"
    clock.move(0, monotonic=3600)
    assert asked_at_the_flush("third", "again")
