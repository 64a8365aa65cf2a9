"""Promises that hold for days and weeks, under a clock that the test moves."""

import re
import signal

import pytest
from harness import agents_yaml, alive, send_signal, task_block, wait_until
from post_office import drop, envelope, in_folder

DAY = 86400
START = "2028-02-27T12:00:00Z"  # two days before a leap day


def stamp(clock):
    return clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def problems(system, name="orion"):
    status = system.agent_status(name)
    return status["problems"] if status else []


@pytest.mark.parametrize("receiver", ["paused", "busy", "stopped"])
def test_an_envelope_of_three_days_expires_after_three_days_and_not_before(make_system, model, receiver):
    system = make_system(model=model, scenario="hold", extra="    limits: {task_seconds: 1000000}\n")
    clock = system.movable_clock(START)
    system.start()
    if receiver == "busy":
        system.add("long", "Take your time", created=stamp(clock))
        model.wait_open()
    else:
        system.cli({"paused": "pause", "stopped": "stop"}[receiver], "orion")
    drop(system, "orion", "inbox", "late", envelope("late", kind="message", to="orion", body="Too late\n",
                                                   created=stamp(clock), ttl_seconds=3 * DAY))
    wait_until(lambda: in_folder(system, "orion", "inbox"), "the message seen")
    for _ in range(2):
        clock.move(DAY)
    clock.move(DAY - 600)
    system.status()
    assert not in_folder(system, "orion", "dead-letter")
    clock.move(601)
    wait_until(lambda: [e.get("status") for e in in_folder(system, "orion", "dead-letter").values()] == ["expired"],
               "the dead letter")
    if receiver == "stopped":
        system.cli("start", "orion")
    wait_until(lambda: "orion(escalation): late expired" in system.subjects(), "the commit")
    assert "late" in system.read("reflections.md")


def test_what_expired_while_the_supervisor_was_down_is_a_dead_letter_at_its_start(make_system, model):
    system = make_system(model=model)
    clock = system.movable_clock(START)
    system.start()
    assert system.stop() == 0
    system.append(task_block("late", "Too late", created=stamp(clock), ttl_seconds=3 * DAY))
    system.append(task_block("patient", "In time", created=stamp(clock), ttl_seconds=30 * DAY))
    clock.move(4 * DAY)
    system.start()
    wait_until((system.tree() / "iac/dead-letter/late.md").exists, "the dead letter")
    system.wait_done("patient")
    assert model.asked() == {"In time": 1}


def test_each_midnight_gives_the_tokens_of_a_new_day(make_system, model):
    system = make_system(model=model, env={"LLM_MAX_TOKENS": "100"}, extra="    limits: {tokens_per_day: 3000}\n")
    clock = system.movable_clock(START)
    system.start()
    for number in range(24):
        system.add(f"task-{number}", "Spend some tokens", created=stamp(clock))
    done = 0
    for day in ("2028-02-28", "2028-02-29", "2028-03-01", "2028-03-02"):
        wait_until(lambda: f"waiting: budget (until {day}T00:00:00Z)" in problems(system), f"a wait until {day}")
        assert sum(system.done().values()) > done
        done = sum(system.done().values())
        assert done < 24
        clock.set(f"{day}T00:00:01Z")


def test_an_hour_later_the_hours_tasks_are_given_again(make_system, model):
    system = make_system(model=model, extra="    limits: {tasks_per_hour: 2}\n")
    clock = system.movable_clock(START)
    system.start()
    for number in range(6):
        system.add(f"task-{number}", f"Do {number}", created=stamp(clock))
    for count in (2, 4):
        wait_until(lambda: any(p.startswith("waiting: budget") for p in problems(system)), "waiting for the hour")
        assert sum(system.done().values()) == count
        clock.move(3590)
        wait_until(lambda: any(p.startswith("waiting: budget") for p in problems(system)), "waiting still")
        assert sum(system.done().values()) == count
        clock.move(20)
        wait_until(lambda: sum(system.done().values()) > count, "the next hour's")
    system.wait_queue_empty()
    assert sum(system.done().values()) == 6


def test_a_failure_a_day_is_a_run_for_the_watchdog(make_system, model):
    watchdog = "    watchdog: {negative_streak: 5, action: pause}\n"
    system = make_system(model=model, scenario="minus", extra=watchdog)
    clock = system.movable_clock(START)
    system.start()
    for day in range(1, 6):
        system.add(f"day-{day}", "Fail", created=stamp(clock))
        system.wait_done(f"day-{day}")
        wait_until(lambda: system.agent_status()["negative_streak"] == day, f"a run of {day}")
        assert system.agent_status()["state"] != "paused" or day == 5
        if day == 3:
            assert system.stop() == 0
            system.start()
        clock.move(DAY)
    system.wait_state("orion", "paused")
    system.wait_log("The last 5 tasks failed")


def test_a_worker_that_keeps_ending_is_started_after_a_minute_at_most_and_a_healthy_minute_is_forgotten(make_system, model):
    system = make_system(model=model)
    clock = system.movable_clock(START)
    system.start()

    def end():
        """Kills the worker; the seconds until it is started again, 0 for at once."""
        before = system.worker()
        send_signal(before, signal.SIGKILL)
        wait_until(lambda: not alive(before), "its end")

        def said():
            status = system.agent_status()
            if status["state"] == "idle" and status["pid"] not in (None, before):
                return [0.0]
            found = [re.search(r"started again in (\d+\.\d) s", p) for p in status["problems"]]
            return [float(m[1]) for m in found if m] if status["state"] == "backoff" else []

        return wait_until(said, "a backoff or the next worker")[0]

    seconds = []
    for _ in range(14):
        seconds.append(end())
        if seconds[-1]:
            clock.move(0, monotonic=61)  # no minute of it is a minute of health: no worker is there
        system.wait_state("orion", "idle")
    assert 36 <= max(seconds) <= 60
    assert all(second >= 35 for second in seconds[-3:])
    clock.move(0, monotonic=61)
    assert end() == 0
    system.wait_state("orion", "idle")


def test_a_provider_that_fails_is_asked_ever_more_seldom_and_once_a_minute_at_last(make_system, model):
    system = make_system(model=model, scenario="http-503", env={"LLM_MAX_RETRIES": "0"})
    clock = system.movable_clock(START)
    system.start()
    system.add("first", "Never answered", created=stamp(clock))
    system.wait_state("orion", "waiting")
    for _ in range(10):
        asked = len(model.requests())
        clock.move(61, monotonic=61)
        wait_until(lambda: len(model.requests()) > asked, "asked again within a minute")
        system.wait_state("orion", "waiting")
    asked = len(model.requests())
    clock.move(20, monotonic=20)
    system.status()
    assert len(model.requests()) == asked
    model.become("plain")
    clock.move(41, monotonic=41)
    system.wait_done("first")


def test_a_lease_that_ran_out_gives_the_lock_to_the_next_with_a_higher_token(make_system, model):
    names = ("orion", "iris")
    yaml = agents_yaml(names, "    limits: {task_seconds: 7200}\n")
    system = make_system(names, model=model, yaml=yaml, env={"LLM_BASE_URL__ORION": model.url("hold")})
    clock = system.movable_clock(START)
    system.start()
    path = system.data / "shared/locks/db.md"
    lock = lambda: path.read_text() if path.exists() else ""  # noqa: E731
    system.add("held", "Hold it", created=stamp(clock), lock="db")
    model.wait_open()
    wait_until(lambda: '\nholder: "orion: held"\n' in lock(), "orion's lock")
    token = int(re.search(r"^token: (\d+)$", lock(), re.MULTILINE)[1])
    system.add("waits", "Wait for it", name="iris", created=stamp(clock), lock="db")
    wait_until(lambda: '- "iris: waits"' in lock(), "iris among the waiters")
    clock.move(3600, monotonic=3600)
    system.status()
    assert '\nholder: "orion: held"\n' in lock()
    clock.move(3700, monotonic=3700)
    system.wait_done("waits", name="iris")
    assert int(re.search(r"^token: (\d+)$", lock(), re.MULTILINE)[1]) > token
