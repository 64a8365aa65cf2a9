"""The watchdog over failures: event and warning, pause where asked, and how to go on; limits of time and life of tasks."""

import os
import re
import signal

from harness import alive, send_signal, wait_until


def watchdog(streak, action):
    return f"    watchdog: {{negative_streak: {streak}, action: {action}}}\n"


def fail_some(system, count, start=1):
    for number in range(start, start + count):
        system.add(f"task-{number}", "Fail")


def test_not_one_task_more_than_the_run_is_done_before_the_pause(make_system, model):
    system = make_system(model=model, scenario="minus", extra=watchdog(3, "pause")).start()
    fail_some(system, 20)
    system.wait_state("orion", "paused")
    assert sum(system.done().values()) == 3
    assert re.search(r"WARN \[agentos\] \[orion\] The last 3 tasks failed .*`agentos resume`", system.log())
    [problem] = [line for line in system.agent_status()["problems"] if "watchdog" in line]
    assert "`agentos resume orion`" in problem


def test_the_pause_outlives_every_kill_and_resume_ends_it(make_system, model):
    system = make_system(model=model, scenario="minus", extra=watchdog(2, "pause")).start()
    fail_some(system, 4)
    system.wait_state("orion", "paused")
    before = system.worker()
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: system.worker() not in (None, before), "another worker")
    system.wait_state("orion", "paused")
    system.process.kill()
    system.process.wait()
    system.start()
    system.wait_state("orion", "paused")
    wait_until(lambda: any("agentos resume orion" in p for p in system.agent_status()["problems"]), "why it is paused")
    assert sum(system.done().values()) == 2
    system.cli("resume", "orion")
    system.wait_log("The last 3 tasks failed")
    system.wait_state("orion", "paused")
    assert sum(system.done().values()) == 3
    model.become("plain")
    system.cli("resume", "orion")
    system.wait_queue_empty()
    system.wait_state("orion", "idle")
    assert not system.agent_status()["problems"]


def test_an_alert_warns_and_the_work_goes_on(make_system, model):
    system = make_system(model=model, scenario="minus", extra=watchdog(2, "alert")).start()
    fail_some(system, 3)
    system.wait_queue_empty()
    system.wait_log(r"WARN \[agentos\] \[orion\] The last \d tasks failed")
    assert system.agent_status()["negative_streak"] == 3


def test_a_run_that_is_longer_than_the_list_of_rewards_is_counted_on(make_system, model):
    system = make_system(model=model, scenario="minus", extra=watchdog(33, "pause")).start()
    fail_some(system, 20)
    system.wait_queue_empty(seconds=60)
    assert system.stop() == 0
    system.start()
    fail_some(system, 20, start=21)
    system.wait_state("orion", "paused", seconds=60)
    assert sum(system.done().values()) == 33
    assert system.agent_status()["negative_streak"] == 33
    assert "negative_streak: 33\n" in system.read(".agent")


def test_a_task_that_outlives_task_seconds_is_done_again_once(make_system, model):
    """The agent's worker is killed; the second attempt is answered."""
    system = make_system(model=model, scenario="hold", extra="    limits: {task_seconds: 1}\n").start()
    system.add("slow", "Takes its time")
    system.add("next", "Waits for its turn")
    system.wait_log(r"its task slow took more than task_seconds \(1 s\)")
    model.release()
    system.wait_done("slow", "next")
    system.wait_queue_empty()
    system.assert_each_once(["slow", "next"])


def test_a_task_that_outlives_task_seconds_three_times_is_poison(make_system, model):
    system = make_system(model=model, extra="    limits: {task_seconds: 1}\n").start()
    system.add("slow", "Never ends [[model:silent]]")
    system.add("next", "Waits for its turn")
    system.wait_done("next", seconds=60)
    letter = system.read("iac/dead-letter/slow.md")
    assert "status: failed" in letter and "reason: poison" in letter
    assert model.asked()["Never ends [[model:silent]]"] == 3
    assert system.log().count("task slow took more than task_seconds") == 3
    system.wait_queue_empty()
    system.assert_sound()


def test_a_worker_that_waits_to_be_started_again_is_a_problem_until_it_is_up_for_good(make_system, model):
    system = make_system(model=model).start()

    def backing_off():
        status = system.agent_status()
        if status["pid"] and alive(status["pid"]):
            send_signal(status["pid"], signal.SIGKILL)
        found = [p for p in status["problems"] if "in a row, the last time with signal 9" in p]
        return status["state"] == "backoff" and found

    [problem] = wait_until(backing_off, "a backoff and its reason", pause=0.001)
    assert re.search(r"it is started again in \d+\.\d s", problem)
    system.wait_state("orion", "idle")
