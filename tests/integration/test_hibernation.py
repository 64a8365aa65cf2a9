"""idle_exit_seconds: a worker that has nothing to do leaves, and any work brings it back."""

import os
import shutil

import pytest
from harness import agents_yaml, alive, wait_until
from post_office import envelope

EXTRA = "    idle_exit_seconds: 1\n"


@pytest.fixture
def sleepy(make_system, model):
    return make_system(model=model, extra=EXTRA).start()


def sleeps(system):
    system.wait_state("orion", "hibernating")
    return system.agent_status()


def test_an_idle_worker_leaves_and_its_figures_stay(sleepy):
    pid = sleepy.worker()
    sleepy.add("first", "Do it")
    sleepy.wait_done("first")
    status = sleeps(sleepy)
    assert status["pid"] is None and status["memory_bytes"] == 0
    assert status["tasks_done"] == 1 and status["tokens_today"] > 0 and status["queue_depth"] == 0
    assert status["last_exit"] == "exit 0" and status["problems"] == []
    wait_until(lambda: not alive(pid), "the worker gone")
    assert "WARN" not in sleepy.log()
    sleepy.assert_sound()


def test_a_block_in_queue_md_brings_it_back_each_time_and_is_done_once(sleepy):
    for number in range(3):
        sleeps(sleepy)
        sleepy.add(f"task-{number}", f"Do number {number}")
        sleepy.wait_done(f"task-{number}")
    status = sleeps(sleepy)
    assert status["restarts"] == 0, "to wake up is no restart"
    sleepy.assert_each_once([f"task-{number}" for number in range(3)])


def test_the_task_verb_the_start_verb_and_a_reload_bring_it_back(sleepy):
    sleeps(sleepy)
    assert "done" in sleepy.cli("task", "orion", "Do it", "--id", "by-verb", "--wait").stderr
    sleeps(sleepy)
    sleepy.cli("start", "orion")
    assert sleepy.agent_status()["state"] == "idle"
    sleeps(sleepy)
    (sleepy.data / "agents.yaml").write_text(agents_yaml(["orion"]))
    sleepy.cli("reload")
    sleepy.wait_state("orion", "idle")


def test_without_the_kernels_notice_the_scan_finds_the_work(make_system, model):
    system = make_system(model=model, extra=EXTRA).start()
    sleeps(system)
    # The kernel tells nothing of a folder that takes the place of the watched one.
    tree = system.tree()
    shutil.copytree(tree, system.folder / "copy", symlinks=True)
    os.rename(tree, system.folder / "old")
    os.rename(system.folder / "copy", tree)
    system.add("found", "Do it")
    system.wait_done("found")


def test_a_tree_that_cannot_be_watched_keeps_its_worker(make_system, model):
    system = make_system(["orion", "iris"], model=model, extra=EXTRA).start()
    inbox = system.tree() / "iac/inbox"
    shutil.rmtree(inbox)
    inbox.write_text("a file in its place")
    for number in range(3):  # a process that sleeps and wakes three times meanwhile has had more than its second
        system.wait_state("iris", "hibernating")
        system.add(f"call-{number}", "Do it", name="iris")
        system.wait_done(f"call-{number}", name="iris")
    assert system.agent_status()["state"] != "hibernating"


def test_with_a_run_directory_elsewhere_the_notes_about_hibernation_are_kept_all_the_same(make_system, model, tmp_path):
    """DATA_DIR/.run was made by nobody then, and each start warned that nothing could be noted there."""
    system = make_system(["orion"], model=model)
    system.env["AGENTOS_RUN_DIR"] = str(tmp_path / "sockets")
    system.start()
    assert (system.data / ".run/rested").is_file()
    assert "can't be noted" not in system.log()


def test_a_file_that_its_worker_may_not_read_lets_it_sleep_and_wakes_it_once_it_may(sleepy):
    path = sleepy.folder / "closed.md"
    path.write_text(envelope("closed", body="Do it"))
    path.chmod(0)
    path = path.rename(sleepy.tree() / "iac/handoffs/closed.md")
    sleepy.add("first", "Do it")
    sleepy.wait_done("first")
    sleeps(sleepy)
    assert "iac/handoffs/closed.md is tried again" in str(sleepy.agent_status()["problems"])
    path.chmod(0o644)
    wait_until((sleepy.tree() / "iac/archive/closed.md").exists, "the handoff done", 90)
    sleepy.assert_sound()


def test_a_stopped_agent_is_not_brought_back_by_work(sleepy):
    sleeps(sleepy)
    sleepy.cli("stop", "orion")
    assert sleepy.agent_status()["state"] == "stopped"
    sleepy.add("later", "Do it")
    assert sleepy.cli("reload").returncode == 0
    assert sleepy.agent_status()["state"] == "stopped"
    sleepy.cli("start", "orion")
    sleepy.wait_done("later")


def test_a_pause_of_a_hibernating_agent_holds_when_it_wakes(sleepy):
    sleeps(sleepy)
    sleepy.cli("pause", "orion")
    sleepy.add("held", "Do it")
    sleepy.wait_state("orion", "paused")
    assert "## held" in sleepy.read("queue.md")
    sleepy.cli("resume", "orion")
    sleepy.wait_done("held")


def test_a_cancel_finds_nothing_in_a_hibernating_agent_and_lets_it_sleep(sleepy):
    sleeps(sleepy)
    assert sleepy.cli("cancel", "orion", "nothing", check=False).returncode == 66
    assert sleepy.agent_status()["state"] == "hibernating"


def test_work_that_comes_while_it_leaves_is_done(sleepy):
    """Blocks are appended at every moment of a short life, over and over; none may be overlooked."""
    ids = []
    for number in range(40):
        sleepy.add(f"t{number}", f"Do number {number}")
        ids.append(f"t{number}")
        if number % 4 == 3:
            sleeps(sleepy)
        else:
            wait_until(lambda: f"t{number}" in sleepy.done(), "it done", 20)
    sleepy.wait_done(*ids)
    sleepy.wait_queue_empty()
    sleepy.assert_each_once(ids)


def test_all_end_in_order_while_one_hibernates(sleepy):
    sleeps(sleepy)
    assert sleepy.stop() == 0
