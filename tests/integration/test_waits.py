"""A worker that waits costs nothing, whatever it waits for: over some seconds the kernel counts no CPU tick for it."""

import pathlib
import time

from harness import fill, wait_until

WINDOW_S = 3


def ticks(pid):
    """utime and stime of /proc/PID/stat."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def assert_rests(system, name="orion"):
    """The worker tidies up for a moment after work and answers a heartbeat now and then; then a window has no tick."""

    def window_without_a_tick():
        pid = system.worker(name)
        before = ticks(pid)
        time.sleep(WINDOW_S)
        return system.worker(name) == pid and ticks(pid) == before

    wait_until(window_without_a_tick, f"{WINDOW_S} seconds in which the worker of {name} uses no CPU tick", 24)


def refuse(system, name):
    system.cli("task", "orion", "Too odd [[model:http-400]]", "--id", name)
    wait_until(lambda: any(f"task {name}:" in problem for problem in system.agent_status()["problems"]), f"{name} is refused")


def test_an_agent_that_its_watchdog_paused(make_system, model):
    extra = "    watchdog: {negative_streak: 2, action: pause}\n"
    system = make_system(model=model, scenario="minus", extra=extra).start()
    for number in range(4):
        system.add(f"task-{number}", "Fail")
    system.wait_state("orion", "paused")
    assert_rests(system)


def test_an_agent_that_is_paused_by_hand_while_its_provider_fails(make_system, model):
    system = make_system(model=model, env={"LLM_MAX_RETRIES": "0"}).start()
    model.stop()
    system.add("patient", "Wait for the provider")
    system.wait_state("orion", "waiting")
    system.cli("pause", "orion", "--no-wait")
    system.wait_state("orion", "paused")
    assert_rests(system)
    model.start()
    system.cli("resume", "orion")
    system.wait_done("patient", seconds=90)


def test_after_a_refused_task_was_done_by_its_next_try(system, model):
    model.become("http-400")
    system.add("odd", "Too odd at first")
    wait_until(lambda: any("task odd:" in problem for problem in system.agent_status()["problems"]), "odd is refused")
    model.become("")
    system.wait_done("odd", seconds=90)
    wait_until(lambda: system.agent_status()["problems"] == [], "the problem is over")
    assert_rests(system)


def test_after_the_cancel_of_a_refused_task(system):
    refuse(system, "odd")
    system.cli("cancel", "orion", "odd")
    system.wait_queue_empty()
    wait_until(lambda: system.agent_status()["problems"] == [], "the problem of the cancelled task is over")
    system.wait_state("orion", "idle")
    assert_rests(system)


def test_a_task_that_is_deferred_while_its_agent_is_paused(system):
    refuse(system, "odd")
    system.cli("pause", "orion", "--no-wait")
    system.wait_state("orion", "paused")
    assert_rests(system)


def test_a_task_that_waits_for_a_lock(make_system, model):
    system = make_system(("orion", "iris"), model=model).start()
    model.become("delay-60000")
    system.add("first", "Hold the lock", name="iris", lock="db")
    system.wait_state("iris", "working")
    system.add("second", "Wait for the lock", lock="db")
    system.wait_state("orion", "waiting")
    assert_rests(system)
    model.become("")


def test_a_task_that_waits_for_its_budget(make_system, model):
    system = make_system(model=model, extra="    limits: {tasks_per_hour: 1}\n").start()
    system.add("first", "Use the budget up")
    system.wait_done("first")
    system.add("second", "Wait for the next hour")
    system.wait_state("orion", "waiting")
    assert_rests(system)


def test_a_worker_that_stops_while_its_request_is_out(make_system, model):
    system = make_system(model=model, scenario="hold", env={"STOP_GRACE": "600"}).start()
    system.add("long", "Take your time")
    model.wait_open()
    system.cli("stop", "orion", "--no-wait")
    wait_until(lambda: system.agent_status()["state"] == "stopping", "the worker finishes what it began")
    assert_rests(system)
    assert system.agent_status()["state"] == "stopping"
    model.release()
    system.wait_state("orion", "stopped", seconds=60)
    assert system.done() == {"long": 1}


def test_an_agent_whose_storage_fails(small_disk, model):
    system = small_disk
    model.become("hold")
    system.add("flooded", "In the flood")
    model.wait_open()
    filler = system.data / "filler"
    fill(filler)
    model.release()
    system.wait_state("orion", "waiting")
    assert_rests(system)
    assert system.states()["orion"] == "waiting"
    filler.unlink()
    system.wait_done("flooded", seconds=90)


def test_an_audit_that_is_pending(make_system, model):
    system = make_system(model=model, scenario="delay-1500", extra="    reward_audit: {method: llm}\n").start()
    system.add("judged", "Explain leases")
    model.wait_open()
    model.become("delay-600000")  # for the audit; the task is answered as it was begun
    system.wait_done("judged")
    wait_until(lambda: len(model.requests()) == 2, "the audit is asked for")
    assert_rests(system)
    assert model.requests()[1]["end"] == "open"
    assert "audit_score: pending" in system.read("rewards.md")
