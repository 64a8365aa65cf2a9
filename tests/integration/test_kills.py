"""kill -9 on any process while work is under way: no work is lost or done twice."""

import os
import random
import signal
import subprocess
import urllib.request

import pytest

from harness import alive, child_table, descendants, free_port, send_signal, wait_until
from needs import attaching

VICTIMS = ["worker", "gateway", "zygote", "supervisor"]


def kill(system, victim, name="orion"):
    """SIGKILL to one of the system's processes; a killed supervisor is started again at once."""
    processes = system.processes()
    pid = processes.get(name if victim == "worker" else victim)
    if pid is None:
        return
    family = descendants(system.process.pid)
    send_signal(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), f"{victim} dead")
    if victim == "supervisor":
        system.process.wait()
        wait_until(lambda: not any(alive(child) for child in family), "its workers ended with it")
        system.start()


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_while_a_request_is_out_loses_and_doubles_nothing(system, model, victim):
    model.become("hold")
    tasks = [f"task-{number}" for number in range(5)]
    for task_id in tasks:
        system.add(task_id, f"Do {task_id}")
    model.wait_open(1)
    kill(system, victim)
    model.release()
    system.wait_done(*tasks, seconds=60)
    system.wait_queue_empty()
    system.assert_each_once(tasks)
    asked = model.asked()
    assert asked["Do task-0"] <= 2
    assert all(asked[f"Do {task_id}"] == 1 for task_id in tasks[1:])
    system.assert_sound()


@pytest.mark.parametrize("victim", VICTIMS)
def test_kills_at_random_moments_lose_and_double_nothing(system, model, victim):
    rounds, tasks = 6, []
    model.become("slow-5")
    moment = random.Random(int.from_bytes(os.urandom(4), "little"))
    for number in range(rounds):
        batch = [f"task-{number}-{index}" for index in range(8)]
        tasks += batch
        for task_id in batch:
            system.add(task_id, f"Do {task_id}")
        before = len(model.requests())
        wanted = before + moment.randint(1, 5)
        wait_until(lambda: len(model.requests()) >= min(wanted, len(tasks)), "some requests more", pause=0.002)
        kill(system, victim)
    system.wait_done(*tasks, seconds=90)
    system.wait_queue_empty()
    system.assert_each_once(tasks)
    assert sum(model.asked().values()) <= len(tasks) + rounds
    system.assert_sound()


def test_a_new_worker_is_there_after_the_zygote_and_then_the_worker_was_killed(system):
    kill(system, "zygote")
    kill(system, "worker")
    system.wait_state("orion", "idle")
    system.add("after", "After both deaths")
    system.wait_done("after")


def test_a_task_that_takes_its_worker_down_three_times_is_set_aside_as_poison_and_the_agent_goes_on(system, model):
    system.add("poison", "Poisonous [[model:hold]]", priority="high")
    system.add("healthy", "A healthy task")
    for death in range(1, 4):
        wait_until(lambda: model.asked()["Poisonous [[model:hold]]"] == death, f"attempt {death}")
        kill(system, "worker")
    system.wait_done("healthy", seconds=60)
    system.wait_queue_empty()
    [letter] = list((system.tree() / "iac/dead-letter").glob("*.md"))
    text = letter.read_text()
    assert "status: failed" in text and "reason: poison" in text and "Poisonous" in text
    assert model.asked() == {"Poisonous [[model:hold]]": 3, "A healthy task": 1}
    wait_until(lambda: system.agent_status()["dead_letters"] == 1, "status counts the dead letter")
    assert system.agent_status()["restarts"] >= 3
    system.assert_sound()


def test_deaths_between_tasks_poison_nothing(system, model):
    for number in range(4):
        system.add(f"fine-{number}", f"Fine {number}")
        system.wait_done(f"fine-{number}")
        kill(system, "worker")
        system.wait_state("orion", "idle", "working")
    assert not list((system.tree() / "iac/dead-letter").glob("*.md"))
    assert set(model.asked().values()) == {1}


@pytest.mark.parametrize("victim", ["gateway", "zygote", "http"])
def test_a_program_that_somebody_stopped_is_ended_and_started_again_and_work_goes_on(make_system, model, victim):
    listen = f"127.0.0.1:{free_port()}"
    system = make_system(model=model, env={"AGENTOS_LISTEN": listen}).start()
    stopped = system.processes()[victim]
    send_signal(stopped, signal.SIGSTOP)
    system.wait_log(rf"WARN \[agentos\] The .* \(pid {stopped}\) was stopped by signal 19")
    if victim == "zygote":
        send_signal(system.worker(), signal.SIGKILL)
    wait_until(lambda: system.processes().get(victim) not in (None, stopped), "another in its place", 40)
    system.add("meanwhile", "Go on")
    system.wait_done("meanwhile")
    wait_until(lambda: urllib.request.urlopen(f"http://{listen}/healthz", timeout=20).status == 200, "the interface answers")
    system.assert_sound()


def test_a_program_that_was_stopped_and_goes_on_in_time_is_left_alone(make_system, model):
    system = make_system(model=model)
    clock = system.movable_clock()
    system.start()
    gateway = system.processes()["gateway"]
    send_signal(gateway, signal.SIGSTOP)
    system.wait_log("The gateway .* was stopped by signal 19")
    send_signal(gateway, signal.SIGCONT)
    system.add("afterwards", "Go on")
    system.wait_done("afterwards")
    clock.move(0, monotonic=20)  # where the patience with it would be over
    system.add("later", "Go on once more")
    system.wait_done("later")
    assert system.processes()["gateway"] == gateway
    assert "it is ended\n" not in system.log()


def test_an_answer_that_came_while_the_gateway_was_stopped_is_paid_once(make_system, model):
    system = make_system(model=model, scenario="hold", env={"LLM_TIMEOUT": "60"})
    clock = system.movable_clock()
    system.start()
    stopped = {name: system.processes()[name] for name in ("gateway", "zygote")}
    system.add("asked", "Wait for it")
    model.wait_open(1)
    for pid in stopped.values():
        send_signal(pid, signal.SIGSTOP)
        system.wait_log(rf"\(pid {pid}\) was stopped by signal 19")
    clock.move(0, monotonic=20)
    wait_until(lambda: system.processes().get("zygote") not in (None, stopped["zygote"]), "the patience with others to end", 40)
    model.release()
    send_signal(stopped["gateway"], signal.SIGCONT)
    system.wait_done("asked")
    assert system.processes()["gateway"] == stopped["gateway"]
    assert set(model.asked().values()) == {1}


def test_sigterm_lets_the_cycle_finish_and_starts_no_other(system, model):
    model.become("hold")
    system.add("under-way", "Under way")
    system.add("waiting", "Still waiting")
    model.wait_open(1)
    system.process.send_signal(signal.SIGTERM)
    wait_until(lambda: model.release() or system.process.poll() is not None, "the end", 20, 0.2)
    assert system.process.returncode == 0
    assert system.done() == {"under-way": 1}
    assert "## waiting" in system.read("queue.md")
    assert len(model.requests()) == 1
    system.assert_sound()


def test_sigterm_abandons_a_cycle_that_outlives_the_grace_and_it_is_done_later(make_system, model):
    system = make_system(model=model, env={"STOP_GRACE": "1"}).start()
    model.become("hold")
    system.add("long", "A long one")
    model.wait_open(1)
    family = system.family()
    assert system.stop() == 0
    assert not any(alive(pid) for pid in family)
    assert system.done() == {}
    assert "## long" in system.read("queue.md")
    model.release()
    system.start()
    system.wait_done("long")
    assert model.asked()["A long one"] == 2
    system.assert_sound()


def test_sigterm_drains_all_agents_side_by_side(make_system, model):
    names = [f"agent{number}" for number in range(8)]
    system = make_system(names, model=model, env={"STOP_GRACE": "30"}).start()
    model.become("hold")
    for name in names:
        system.add("last", f"Last work of {name}", name=name)
    model.wait_open(8)
    system.process.send_signal(signal.SIGTERM)
    model.release()
    assert system.process.wait(30) == 0
    for name in names:
        assert system.done(name) == {"last": 1}
        system.assert_sound(name)


def test_nothing_is_left_running_after_the_supervisors_death(system):
    family = system.family()
    assert len(family) >= 3
    send_signal(system.process.pid, signal.SIGKILL)
    system.process.wait()
    wait_until(lambda: not any(alive(pid) for pid in family), "the whole family ended")


@attaching
def test_a_worker_that_dies_before_its_supervisor_knows_it_is_started_again(system):
    """The zygote is held up between making a worker and telling of it; the worker is killed, and reaped, meanwhile."""
    zygote = system.processes()["zygote"]
    children = set(child_table()[system.process.pid])
    tracer = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-p", str(zygote), "-e", "inject=sendto:delay_enter=1000000"],
                              stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: "TracerPid:\t0" not in open(f"/proc/{zygote}/status").read(), "strace attached", 20, 0.002)
        system.cli("kill", "orion", "--no-wait")
        [unknown] = wait_until(lambda: set(child_table()[system.process.pid]) - children, "the next worker", 20, 0.002)
        send_signal(unknown, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{unknown}"), "it is reaped", 20, 0.002)
        wait_until(lambda: system.worker() not in (None, unknown), "another worker", 20)
    finally:
        tracer.terminate()
        tracer.wait()
    system.add("afterwards")
    system.wait_done("afterwards")
