"""A disk that is full: everybody says so, nothing is lost, and work goes on when there is room."""

import subprocess

import pytest

from harness import fill, wait_until


def test_a_full_disk_loses_nothing_and_work_goes_on_when_there_is_room(small_disk, model):
    system = small_disk
    system.add("before", "Before the flood")
    system.wait_done("before")
    model.become("hold")
    system.add("flooded", "In the flood")
    model.wait_open(1)
    fill(system.data / "filler")
    model.release()
    system.wait_log(r"(?i)(WARN|ERROR) .*(space|disk|full)")
    assert system.done() == {"before": 1}
    assert "## flooded" in system.read("queue.md")
    (system.data / "filler").unlink()
    system.wait_done("flooded", seconds=90)
    system.wait_queue_empty()
    system.assert_each_once(["before", "flooded"])
    system.assert_sound()


@pytest.mark.parametrize("small_disk", ["    limits: {tokens_per_day: 100000}\n"], indirect=True)
def test_what_the_supervisor_cannot_write_down_it_says_and_does_not_do_or_holds_only_in_memory(small_disk, model):
    system = small_disk
    system.add("before", "Before the flood")
    system.wait_done("before")
    system.add("kept", "In the queue already")
    system.wait_done("kept")
    fill(system.data / "filler")
    refused = system.cli("task", "orion", "No room for this. " * 5000, "--id", "refused", check=False)
    assert refused.returncode in (73, 74) and "not added" in refused.stderr
    assert "No room" not in system.read("queue.md")
    system.cli("pause", "orion")
    system.wait_log("the order holds only until the supervisor ends")
    system.wait_state("orion", "paused")
    (system.data / "filler").unlink()
    system.add("after", "After the flood")
    fill(system.data / "filler")
    system.cli("resume", "orion")
    wait_until(lambda: "waiting" in system.states().values(), "no request without room for its tokens")
    assert model.asked()["After the flood"] == 0
    (system.data / "filler").unlink()
    system.wait_done("after", seconds=90)
    system.wait_queue_empty()
    system.assert_each_once(["before", "kept", "after"])
    system.assert_sound()


def test_a_task_whose_commit_is_not_at_its_end_is_not_asked_about_again(system, model):
    stuck = [system.tree() / name for name in ("rewards.md", "queue.md")]
    model.become("hold")
    system.add("one", "Once only")
    model.wait_open(1)
    if subprocess.run(["chattr", "+i", *stuck], capture_output=True).returncode:
        pytest.skip("no file can be made immutable here")
    try:
        model.release()
        system.wait_log("the commit is safe in the journal")
        wait_until(lambda: any("rewards.md" in line for line in system.agent_status()["problems"]), "the reason is told")
        assert model.asked()["Once only"] == 1
    finally:
        subprocess.run(["chattr", "-i", *stuck], check=True)
    system.wait_queue_empty()
    system.assert_each_once(["one"])
    assert model.asked()["Once only"] == 1
    system.assert_sound()
