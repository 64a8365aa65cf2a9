"""Schedules: each time once, missed ones once, whatever is killed and wherever the clock goes."""

import datetime
import os
import random
import re
import time

from harness import agents_yaml, wait_until
from nats_server import nats  # noqa: F401

YEARLY = "0 0 1 1 *"
THIS_YEAR = f"schedule-{datetime.datetime.now(datetime.timezone.utc).year}0101T0000-1"


def schedule(*entries):
    lines = "".join(f'      - {{cron: "{cron}", task: "{task}"}}\n' for cron, task in entries)
    return f"    schedule:\n{lines}"


def book(system):
    path = system.data / "shared/schedule.md"
    return path.read_text() if path.exists() else ""


def set_last(system, last, count=0):
    """As if the entry had been given then last: the supervisor was down, or died before it noted more."""
    path = system.data / "shared/schedule.md"
    path.write_text(re.sub(r"^- last: .*$", f"- last: {last}", path.read_text(), count=count, flags=re.MULTILINE))


def kill(system):
    system.process.kill()
    system.process.wait()


def last_of(system):
    return re.findall(r"^- last: (\S+)$", book(system), re.MULTILINE)


def new_year():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-01-01T00:00:00Z")


def begin(make_system, model, *entries, **options):
    system = make_system(model=model, extra=schedule(*entries), **options).start()
    wait_until(lambda: book(system).count("- entry:") == len(entries), "the entries noted")
    return system


def test_of_many_missed_times_the_latest_is_given_once(make_system, model):
    system = begin(make_system, model, (YEARLY, "Look back on the year"))
    assert system.stop() == 0
    set_last(system, "2019-06-01T00:00:00Z")
    system.start()
    system.wait_done(THIS_YEAR)
    assert "missed" in system.log()
    assert system.done() == {THIS_YEAR: 1}
    wait_until(lambda: last_of(system) == [new_year()], "noted")
    for _ in range(2):
        kill(system)
        system.start()
    system.add("after", "Something else")
    system.wait_done("after")
    system.assert_each_once([THIS_YEAR, "after"])
    assert model.asked()["Look back on the year"] == 1


def test_a_new_entry_begins_with_its_next_time(make_system, model):
    system = begin(make_system, model, (YEARLY, "Look back"))
    system.add("first", "Something")
    system.wait_done("first")
    assert system.done() == {"first": 1}


def test_what_a_person_writes_into_the_book_is_taken_while_it_runs(make_system, model):
    system = begin(make_system, model, (YEARLY, "Look back"))
    set_last(system, "2020-01-01T00:00:00Z")
    system.wait_done(THIS_YEAR)


def test_a_crash_before_it_is_remembered_gives_no_second_one(make_system, model):
    system = begin(make_system, model, (YEARLY, "Look back"))
    for _ in range(4):
        kill(system)
        set_last(system, "2020-01-01T00:00:00Z")
        system.start()
        system.wait_done(THIS_YEAR)
        system.wait_queue_empty()
    assert system.done() == {THIS_YEAR: 1}
    assert sum(model.asked().values()) == 1
    assert "was done already" in system.log()


def test_kills_at_any_moment_give_it_once(make_system, model):
    system = begin(make_system, model, (YEARLY, "Look back"), (YEARLY, "Look ahead"))
    chance = random.Random(7)
    for _ in range(15):
        kill(system)
        set_last(system, "2020-01-01T00:00:00Z")
        system.start(wait=False)
        time.sleep(chance.random() * 0.15)  # not to wait for something, but to be killed anywhere
    kill(system)
    system.start()
    both = [THIS_YEAR, THIS_YEAR[:-1] + "2"]
    system.wait_done(*both)
    system.wait_queue_empty()
    system.assert_each_once(both)
    system.assert_sound()


def test_entries_that_change_places_keep_their_numbers(make_system, model):
    a, b = (YEARLY, "Task A"), (YEARLY, "Task B")
    system = begin(make_system, model, a, b)
    kill(system)
    set_last(system, "2020-01-01T00:00:00Z")
    (system.data / "agents.yaml").write_text(agents_yaml(["orion"], schedule(b, a)))
    system.start()
    system.wait_queue_empty()
    system.wait_done(THIS_YEAR)
    assert "Task A" in system.read(f"outputs/{THIS_YEAR}.md")


def test_a_reload_takes_entries_in_and_out(make_system, model):
    system = begin(make_system, model, (YEARLY, "Old"))
    (system.data / "agents.yaml").write_text(agents_yaml(["orion"], schedule((YEARLY, "New"), ("@daily", "More"))))
    wait_until(lambda: book(system).count("- entry:") == 2 and "Old" not in book(system), "the entries noted")
    set_last(system, "2020-01-01T00:00:00Z", count=1)
    wait_until(lambda: sum(system.done().values()) == 1, "the new one given")
    assert model.asked() == {"New": 1}


def test_while_the_one_before_waits_another_is_left_out(make_system, model):
    system = begin(make_system, model, (YEARLY, "Look back"))
    system.cli("pause", "orion")
    system.append("\n## schedule-20200101T0000-1\ntask: Look back\npriority: normal\ncreated: 2020-01-01T00:00:00Z\n")
    set_last(system, "2020-01-01T00:00:00Z")
    system.wait_log("left out")
    assert system.read("queue.md").count("## ") == 1
    wait_until(lambda: last_of(system) == [new_year()], "its time noted")


def test_neither_utf_16_nor_a_nul_ahead_of_it_hides_the_one_before(make_system, model):
    system = begin(make_system, model, (YEARLY, "Look back"))
    system.cli("stop", "orion")
    before = "\n## schedule-20200101T0000-1\ntask: Look back\npriority: normal\ncreated: 2020-01-01T00:00:00Z\n"
    for ahead in "## mine\ntask: Mine\n".encode("utf-16"), b"## mine\ntask: a\0b\n":
        (system.tree() / "queue.md").write_bytes(ahead + before.encode())
        set_last(system, "2020-01-01T00:00:00Z")
        wait_until(lambda: last_of(system) == [new_year()], "its time noted")
        assert THIS_YEAR.encode() not in (system.tree() / "queue.md").read_bytes()


def test_a_queue_that_cannot_be_read_gets_no_block_and_the_time_stays_due(make_system, model):
    system = begin(make_system, model, (YEARLY, "Look back"))
    system.cli("stop", "orion")
    size = 65 * 1024 * 1024
    os.truncate(system.tree() / "queue.md", size)
    set_last(system, "2020-01-01T00:00:00Z")
    system.wait_log(f"orion's task {THIS_YEAR} can't be added: agents/orion/queue.md has {size} bytes")
    assert (system.tree() / "queue.md").stat().st_size == size
    assert last_of(system) == ["2020-01-01T00:00:00Z"]
    os.truncate(system.tree() / "queue.md", 0)
    system.cli("start", "orion")
    system.wait_done(THIS_YEAR)


def test_a_stopped_agent_finds_it_when_it_is_started(make_system, model):
    system = begin(make_system, model, (YEARLY, "Look back"))
    system.cli("stop", "orion")
    set_last(system, "2020-01-01T00:00:00Z")
    wait_until(lambda: f"## {THIS_YEAR}" in system.read("queue.md"), "the block")
    system.cli("start", "orion")
    system.wait_done(THIS_YEAR)


def test_it_wakes_an_agent_that_hibernates(make_system, model):
    extra = schedule((YEARLY, "Look back")) + "    idle_exit_seconds: 1\n"
    system = make_system(model=model, extra=extra).start()
    system.wait_state("orion", "hibernating")
    set_last(system, "2020-01-01T00:00:00Z")
    system.wait_done(THIS_YEAR)


def test_a_clock_that_was_far_ahead_holds_nothing_up(make_system, model):
    system = begin(make_system, model, (YEARLY, "Look back"))
    set_last(system, "2099-01-01T00:00:00Z")
    system.wait_log("clock far ahead")
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m")
    wait_until(lambda: last_of(system)[0].startswith(now), "it goes on from now")
    assert not system.done()


def test_where_it_cannot_be_noted_nothing_is_given_until_it_can(make_system, model):
    system = make_system(model=model, extra=schedule((YEARLY, "Look back")))
    (system.data / "shared").write_text("in the way")
    system.start()
    system.wait_log("ERROR .*Schedule: ")
    assert len(re.findall("ERROR .*Schedule: ", system.log())) == 1
    (system.data / "shared").unlink()
    wait_until(lambda: "- entry:" in book(system), "noted", 30)
    set_last(system, "2020-01-01T00:00:00Z")
    system.wait_done(THIS_YEAR)


def test_a_queue_that_cannot_be_written_gets_it_later(make_system, model):
    system = begin(make_system, model, (YEARLY, "Look back"))
    system.cli("stop", "orion")
    queue = system.tree() / "queue.md"
    queue.unlink()
    queue.mkdir()
    set_last(system, "2020-01-01T00:00:00Z")
    system.wait_log("ERROR .*can't be added")
    assert last_of(system) == ["2020-01-01T00:00:00Z"]
    os.rmdir(queue)
    wait_until(lambda: f"## {THIS_YEAR}" in system.read("queue.md"), "the block", 30)


def test_damage_in_the_book_is_set_aside_and_stops_nobody(make_system, model):
    system = begin(make_system, model, (YEARLY, "Look back"))
    assert system.stop() == 0
    (system.data / "shared/schedule.md").write_text("## orion 1\n- entry: nonsense\n- last: never\n")
    system.start()
    system.add("first", "Something")
    system.wait_done("first")
    assert list((system.data / "shared").glob("schedule.md.unreadable-*"))
    assert system.done() == {"first": 1}


def test_every_minute_is_every_minute(make_system, model):
    system = make_system(model=model, extra=schedule(("* * * * *", "Look around")))
    clock = system.movable_clock("2028-02-28T23:57:30Z")
    system.start()
    wait_until(lambda: book(system).count("- entry:") == 1, "the entry noted")
    expected = ["20280228T2358", "20280228T2359", "20280229T0000", "20280229T0001"]
    clock.set("2028-02-28T23:57:59Z")  # a second before the minute, which comes by itself
    for count, minute in enumerate(expected, 1):
        system.wait_done(f"schedule-{minute}-1")
        assert sum(system.done().values()) == count
        clock.move(60)


def test_weeks_of_a_schedule_have_every_end_of_a_month_and_the_leap_day(make_system, model):
    system = make_system(model=model, extra=schedule(("30 7 29-31 * *", "Close the month")))
    clock = system.movable_clock("2028-01-28T12:00:00Z")
    system.start()
    wait_until(lambda: book(system).count("- entry:") == 1, "the entry noted")
    expected = []
    for _ in range(64):  # to 1 April, a day at a time
        clock.move(86400)
        day = clock.now()
        if day.day >= 29:
            expected.append(f"schedule-{day:%Y%m%d}T0730-1")
            system.wait_done(expected[-1])
    assert [task[9:17] for task in expected] == [
        "20280129", "20280130", "20280131", "20280229", "20280329", "20280330", "20280331"]
    system.wait_queue_empty()
    system.assert_each_once(expected)


def test_a_week_of_downtime_gives_the_latest_time_once(make_system, model):
    system = make_system(model=model, extra=schedule(("0 7 * * *", "Look around")))
    clock = system.movable_clock("2026-12-28T12:00:00Z")
    system.start()
    wait_until(lambda: book(system).count("- entry:") == 1, "the entry noted")
    assert system.stop() == 0
    clock.move(7 * 86400)
    system.start()
    system.wait_done("schedule-20270104T0700-1")
    assert system.done() == {"schedule-20270104T0700-1": 1}
    assert "missed" in system.log()


def test_without_schedules_nothing_is_written(system):
    system.add("first", "Do it")
    system.wait_done("first")
    assert not (system.data / "shared/schedule.md").exists()


def test_the_times_of_an_agent_are_given_on_the_node_that_it_lives_on(make_system, model):
    def yaml(node):
        entry = schedule((YEARLY, "Look back on the year"))
        return agents_yaml(["orion"], entry) + agents_yaml(["iris"], f"    node: {node}\n{entry}").removeprefix("agents:\n")

    system = make_system(["orion"], model=model, yaml=yaml("there"), env={"AGENTOS_NODE": "here"}).start()
    wait_until(lambda: book(system).count("- entry:") == 2, "the entries noted")
    assert system.stop() == 0
    set_last(system, "2019-06-01T00:00:00Z")
    system.start()
    system.wait_done(THIS_YEAR)
    wait_until(lambda: last_of(system) == [new_year(), "2019-06-01T00:00:00Z"], "orion's time alone noted")
    assert not (system.data / "agents/iris").exists()
    (system.data / "agents.yaml").write_text(yaml("here"))
    system.cli("reload")
    wait_until(lambda: last_of(system) == [new_year()] * 2, "the time that iris missed noted")
    wait_until(lambda: system.done("iris") == {THIS_YEAR: 1}, "iris has done it, once", 30)


def test_a_time_that_a_node_gave_is_done_once_whatever_schedules_the_next_node_had_before(make_system, model, nats):  # noqa: F811
    """orion's directory goes from a node that had another entry before to a node that never had; neither knows the
    other's book."""
    entry, earlier = (YEARLY, "Look back on the year"), ("0 0 2 1 *", "Something else")
    system = make_system(model=model, extra=schedule(earlier, entry), env={"AGENTOS_NODE": "a", "AGENTOS_BUS": nats.url}).start()
    wait_until(lambda: book(system).count("- entry:") == 2, "the entries noted")
    (system.data / "agents.yaml").write_text(agents_yaml(["orion"], schedule(entry)))
    system.cli("reload")
    for restart in range(2):
        wait_until(lambda: book(system).count("- entry:") == 1, "the entry noted")
        set_last(system, "2019-06-01T00:00:00Z")
        wait_until(lambda: last_of(system) == [new_year()], "the missed time given")
        system.wait_queue_empty()
        assert system.stop() == 0
        if restart == 0:
            (system.data / "shared/schedule.md").unlink()
            system.start()
    assert model.asked()["Look back on the year"] == 1
    assert list(system.done().values()) == [1]
