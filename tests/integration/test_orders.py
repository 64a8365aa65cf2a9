"""stop, start, restart, kill, pause, resume: the verbs return when the order is carried out, and orders hold."""

import json
import os
import signal
import subprocess
import threading

import pytest
from harness import BIN, alive, wait_until

ORDERS = ("start", "stop", "restart", "kill", "pause", "resume")


@pytest.mark.parametrize("verb", [*ORDERS, "status", "task", "cancel", "log", "skills"])
def test_an_agent_that_does_not_exist_ends_with_66(system, verb):
    words = {"task": ["nobody", "Do it"], "cancel": ["nobody", "x"]}.get(verb, ["nobody"])
    result = system.cli(verb, *words, check=False)
    assert result.returncode == 66
    assert "nobody" in result.stderr and result.stdout == ""


def test_each_order_returns_when_it_is_so(system):
    first = system.worker()
    system.cli("stop", "orion")
    assert system.agent_status()["state"] == "stopped" and system.worker() is None and not alive(first)
    system.cli("start", "orion")
    assert system.agent_status()["state"] == "idle"
    second = system.worker()
    system.cli("restart", "orion")
    third = system.worker()
    assert third not in (None, second) and not alive(second)
    system.cli("pause", "orion")
    assert system.agent_status()["state"] == "paused" and system.worker() == third
    system.cli("resume", "orion")
    assert system.agent_status()["state"] in ("idle", "working")
    system.cli("kill", "orion")
    assert not alive(third)
    system.wait_state("orion", "idle")


@pytest.mark.parametrize("wait", ["budget", "provider"])
def test_a_resume_returns_though_the_agent_waits_and_it_is_said_to_wait_as_before(make_system, model, wait):
    limit = "    limits: {tasks_per_hour: 1}\n" if wait == "budget" else ""
    system = make_system(model=model, extra=limit, env={"LLM_MAX_RETRIES": "0"}).start()
    system.add("first", "Do it")
    system.wait_done("first")
    if wait == "provider":
        model.become("http-503-retryafter-60")
    system.add("second", "Wait for it")
    before = wait_until(lambda: next((p for p in system.agent_status()["problems"] if p.startswith(f"waiting: {wait}")), None), wait)
    system.cli("pause", "orion")
    assert system.agent_status()["state"] == "paused"
    system.cli("resume", "orion")
    assert system.agent_status()["state"] == "waiting"
    assert before in system.agent_status()["problems"]


def test_a_pause_and_a_resume_return_though_the_marks_of_a_merge_hold_the_work_up(make_system, model):
    system = make_system(model=model, scenario="hold").start()
    system.add("under-way", "Be done first")
    model.wait_open()
    constraints = system.tree() / "constraints.md"
    whole = constraints.read_text()
    constraints.write_text(whole + "<<<<<<< HEAD\nThis\n=======\nThat\n>>>>>>> other\n")
    system.add("held", "Wait for the merge")
    model.release()
    system.wait_done("under-way")
    wait_until(lambda: any("conflict marks" in problem for problem in system.agent_status()["problems"]), "the marks are told of")
    system.wait_state("orion", "idle")
    system.cli("pause", "orion")
    assert system.agent_status()["state"] == "paused"
    system.cli("resume", "orion")
    assert system.agent_status()["state"] == "idle"
    constraints.write_text(whole)
    system.wait_done("held")


def test_an_order_to_several_agents_is_so_of_all_of_them_when_it_returns(make_system, model):
    system = make_system(["orion", "iris", "nova"], model=model).start()
    state = lambda: {agent["name"]: agent["state"] for agent in system.status()["agents"]}
    system.cli("stop", "orion", "nova")
    assert (state()["orion"], state()["nova"]) == ("stopped", "stopped") and state()["iris"] != "stopped"
    system.cli("stop", "--all")
    assert set(state().values()) == {"stopped"}
    result = system.cli("start", "nobody", "iris", check=False)
    assert result.returncode == 66 and "nobody" in result.stderr
    assert state()["iris"] == "idle" and state()["orion"] == "stopped"
    assert system.cli("start", "--all", "iris", check=False).returncode == 64


def test_an_order_that_is_fulfilled_already_is_no_fault(system):
    for verb in ("start", "resume", "pause", "pause", "resume", "stop", "stop", "kill", "start"):
        assert system.cli(verb, "orion").returncode == 0


def test_without_waiting_an_order_returns_while_the_worker_is_still_at_it(make_system, model):
    system = make_system(model=model, scenario="hold").start()
    system.add("long", "Take your time")
    model.wait_open()
    system.wait_state("orion", "working")
    system.cli("pause", "orion", "--no-wait")
    assert system.agent_status()["state"] == "working"
    model.release()
    system.wait_state("orion", "paused")
    assert system.done()["long"] == 1


def test_a_stop_lets_the_cycle_finish_within_the_grace(make_system, model):
    system = make_system(model=model, scenario="delay-700+plain", env={"STOP_GRACE": "20"}).start()
    system.add("under-way", "Do it")
    model.wait_open()
    system.cli("stop", "orion")
    assert system.agent_status()["state"] == "stopped"
    assert system.done()["under-way"] == 1


def test_a_stop_lets_a_request_that_is_another_try_end_within_the_grace(make_system, model):
    system = make_system(model=model, scenario="http-503-retryafter-0", env={"STOP_GRACE": "60", "LLM_MAX_RETRIES": "99"}).start()
    system.add("retried", "Try again")
    system.wait_log("asked again in")
    model.become("hold")
    model.wait_open()
    system.wait_state("orion", "working")
    assert system.agent_status()["problems"] == []
    requests = len(model.requests())
    system.cli("stop", "orion", "--no-wait")
    wait_until(lambda: system.agent_status()["state"] == "stopping", "the worker finishes its cycle")
    model.release()
    system.wait_state("orion", "stopped")
    assert system.done() == {"retried": 1} and len(model.requests()) == requests


def test_a_stop_abandons_after_the_grace_what_does_not_end_and_it_is_done_once_later(make_system, model):
    system = make_system(model=model, scenario="hold", env={"STOP_GRACE": "1"}).start()
    system.add("long", "Take your time")
    model.wait_open()
    system.cli("stop", "orion")
    assert system.agent_status()["state"] == "stopped"
    assert "## long" in system.read("queue.md") and not system.done()["long"]
    model.release()
    system.cli("start", "orion")
    system.wait_done("long")
    system.wait_queue_empty()
    system.assert_each_once(["long"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stop_and_a_pause_outlive_the_supervisor_however_it_ends(make_system, model, number):
    system = make_system(["orion", "iris", "nova"], model=model).start()
    system.cli("stop", "orion")
    system.cli("pause", "iris")
    system.stop(number)
    for name in ("orion", "iris"):
        system.add("waits", "Do it", name=name)
    system.start(wait=False)
    wait_until(lambda: system.states() == {"orion": "stopped", "iris": "paused", "nova": "idle"}, "states as ordered")
    assert model.requests() == [], "a paused agent begins nothing, not even at its start"
    system.cli("start", "orion")
    system.cli("resume", "iris")
    for name in ("orion", "iris"):
        system.wait_done("waits", name=name)
    system.stop()
    system.start()
    assert set(system.states().values()) == {"idle"}


def test_an_order_that_can_not_be_read_is_waited_for_and_then_kept(make_system, model):
    """No agent runs that was stopped, and none stays down that wasn't, because a file could not be read once."""
    names = ("orion", "iris", "nova")
    system = make_system(names, model=model).start()
    system.cli("stop", "orion")
    system.stop()
    orders = system.data / ".run/wanted"
    for name in names:
        order = orders / name
        if order.exists():
            order.rename(system.folder / name)
        order.symlink_to(order)
    system.start(wait=False)
    wait_until(lambda: system.states() == dict.fromkeys(names, "stopped"), "all three wait")
    for name in names:
        assert any(f".run/wanted/{name}" in line for line in system.agent_status(name)["problems"])
    system.cli("start", "nova")
    assert system.states()["nova"] == "idle" and not (orders / "nova").is_symlink()
    os.replace(system.folder / "orion", orders / "orion")
    (orders / "iris").unlink()
    system.wait_state("iris", "idle")
    system.wait_log("Agent 'orion' stays stopped, as it was ordered")
    assert system.states()["orion"] == "stopped"
    assert not any(system.agent_status(name)["problems"] for name in names)


def test_a_killed_workers_task_is_done_again_once(make_system, model):
    system = make_system(model=model, scenario="hold").start()
    system.add("long", "Take your time")
    model.wait_open()
    pid = system.worker()
    system.cli("kill", "orion")
    assert not alive(pid)
    model.release()
    system.wait_done("long")
    system.wait_queue_empty()
    system.assert_each_once(["long"])
    assert system.agent_status()["restarts"] == 1 and system.agent_status()["last_exit"] == "signal 9"


def test_one_who_waits_for_a_task_hears_of_it_though_its_worker_was_killed(make_system, model):
    system = make_system(model=model, scenario="hold").start()
    waiting = subprocess.Popen(
        [str(BIN / "agentos"), "task", "orion", "Do it", "--id", "awaited", "--wait"], env=system.env,
        stderr=subprocess.PIPE, text=True,
    )
    try:
        model.wait_open()
        os.kill(system.worker(), signal.SIGKILL)
        model.release()
        _, said = waiting.communicate(timeout=60)
        assert waiting.returncode == 0 and "awaited: done" in said
    finally:
        waiting.kill()
        waiting.wait()


def test_one_who_waits_for_a_task_is_told_no_end_while_the_queue_can_not_be_read(make_system, model):
    system = make_system(model=model, scenario="hold").start()
    waiting = subprocess.Popen(
        [str(BIN / "agentos"), "task", "orion", "Do it", "--id", "awaited", "--wait"], env=system.env,
        stderr=subprocess.PIPE, text=True,
    )
    try:
        model.wait_open()
        worker, queue = system.worker(), system.tree() / "queue.md"
        size = queue.stat().st_size
        os.truncate(queue, 65 * 2**20)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: system.worker() not in (None, worker), "another worker")
        system.wait_state("orion", "idle")
        system.cli("status")  # the client's turn came before this one's
        model.release()
        os.truncate(queue, size)
        _, said = waiting.communicate(timeout=60)
        assert waiting.returncode == 0 and "awaited: done" in said
    finally:
        waiting.kill()
        waiting.wait()


def test_opposite_orders_at_once_leave_nobody_waiting(system):
    """A client that is overtaken by a contrary order is told so, and does not hang."""
    results = []

    def order(verb):
        results.append(system.cli(verb, "orion", check=False, seconds=60).returncode)

    for _ in range(10):
        threads = [threading.Thread(target=order, args=(verb,)) for verb in ("stop", "start", "pause", "resume", "restart")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(results) <= {0, 75} and len(results) == 50
    system.cli("start", "orion")
    system.cli("resume", "orion")
    system.add("after", "Do it")
    system.wait_done("after")


def test_every_verb_that_lists_has_json(system):
    system.add("first", "Do it")
    system.wait_done("first")
    for verb in ("skills", "rewards", "goals", "reflections", "log"):
        listed = json.loads(system.cli(verb, "orion", "--json").stdout)
        assert isinstance(listed["items"], list), verb
    assert json.loads(system.cli("status", "--json").stdout)["agents"][0]["name"] == "orion"
