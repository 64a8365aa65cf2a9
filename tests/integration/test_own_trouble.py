"""A task that its provider does not answer: whose trouble it is, what goes on meanwhile, and how it ends."""

import json
import re
import time

import odd_servers as odd
import pytest
from harness import wait_until
from post_office import handing, in_folder

TRIES = 8
LEAST_S = 600


def refused(system, task, name="orion"):
    status = system.agent_status(name)
    return status and any(f"task {task}:" in problem for problem in status["problems"])


def asked(model, word):
    return sum(word in request["task"] for request in model.requests())


@pytest.mark.parametrize("fault", ["http-400", "http-500"])
def test_a_task_that_fails_while_others_are_answered_is_stepped_over(make_system, model, fault):
    system = make_system(model=model, env={"LLM_MAX_RETRIES": "0"}).start()
    system.cli("task", "orion", f"Too odd [[model:{fault}]]", "--id", "odd", "--priority", "high")
    wait_until(lambda: asked(model, "Too odd") > 0, "the odd one is tried")
    system.add("plain", "Go on", created="")
    system.wait_done("plain", seconds=30)
    assert "## odd" in system.read("queue.md")
    wait_until(lambda: refused(system, "odd"), "the status says why")
    wait_until(lambda: system.states()["orion"] == "waiting", "an agent that only waits for its next try is not idle")


def test_a_handoff_that_is_refused_for_ten_minutes_is_a_dead_letter_and_its_sender_is_told(make_system, model):
    system = make_system(("orion", "iris"), model=model)
    clock = system.movable_clock()
    system.start()
    system.add("hand", "Hand it on " + handing("orion", "Too odd [[model:http-400]]"), name="iris")
    wait_until(lambda: asked(model, "another agent") and in_folder(system, "orion", "handoffs"), "the first try")
    wait_until(lambda: system.states()["orion"] == "waiting", "it waits")
    for number in range(TRIES + 3):
        if not in_folder(system, "orion", "handoffs"):
            break
        system.add(f"other-{number}", "Something else", name="iris")
        system.wait_done(f"other-{number}", name="iris")
        before = len(model.requests())
        clock.move(301, 301)
        wait_until(lambda: len(model.requests()) > before or not in_folder(system, "orion", "handoffs"), "the next try")
        wait_until(lambda: system.states()["orion"] in ("waiting", "idle"), "its end")
    (letter,) = in_folder(system, "orion", "dead-letter").values()
    assert letter["status"] == "failed" and "400" in letter["reason"]
    told = lambda: [*in_folder(system, "iris", "inbox").values(), *in_folder(system, "iris", "archive").values()]
    wait_until(lambda: any(e["kind"] == "bounce" and "400" in e["reason"] for e in told()), "iris is told")


def test_a_task_that_is_refused_for_ten_minutes_is_a_dead_letter_and_a_requeue_gives_it_a_fresh_life(make_system, model):
    system = make_system(("orion", "iris"), model=model)
    clock = system.movable_clock()
    system.start()
    system.add("answered", "Something else", name="iris")
    system.wait_done("answered", name="iris")
    system.cli("task", "orion", "Too odd [[model:http-400]]", "--id", "odd")
    wait_until(lambda: refused(system, "odd"), "the first try")
    for number in range(2, TRIES + 1):
        assert "## odd" in system.read("queue.md")
        system.add(f"other-{number}", "Something else", name="iris")
        system.wait_done(f"other-{number}", name="iris")
        clock.move(301, 301)
        wait_until(lambda: asked(model, "Too odd") == number, f"try {number}")
        wait_until(lambda: system.states()["orion"] in ("waiting", "idle"), "its end")
    wait_until(lambda: "odd" in in_folder(system, "orion", "dead-letter"), "the dead letter")
    letter = in_folder(system, "orion", "dead-letter")["odd"]
    assert letter["status"] == "failed" and "400" in letter["reason"]
    assert "## odd" not in system.read("queue.md")
    wait_until(lambda: not refused(system, "odd"), "the problem is over")
    before = asked(model, "Too odd")
    system.cli("requeue", "odd")
    wait_until(lambda: asked(model, "Too odd") > before, "it is tried again")
    wait_until(lambda: refused(system, "odd"), "and stays")
    assert "## odd" in system.read("queue.md")


def test_a_provider_that_refuses_every_task_empties_no_queue(make_system, model):
    model.become("http-404")
    system = make_system(model=model)
    clock = system.movable_clock()
    system.start()
    for number in range(5):
        system.add(f"task-{number}", f"Refused {number}")
    wait_until(lambda: system.states()["orion"] == "waiting", "it waits")
    for _ in range(2 * TRIES):
        before = len(model.requests())
        clock.move(301, 301)
        wait_until(lambda: len(model.requests()) > before, "the next try")
    assert in_folder(system, "orion", "dead-letter") == {}
    assert len(re.findall(r"^## task-", system.read("queue.md"), re.MULTILINE)) == 5
    model.become("")
    clock.move(301, 301)
    for number in range(5):
        system.wait_done(f"task-{number}", seconds=60)


@pytest.mark.parametrize("whose,retries", [("the gateway's", "4"), ("the worker's", "0")])
def test_retry_asks_a_provider_now_whatever_backoff_runs(make_system, model, whose, retries):
    system = make_system(model=model, scenario="http-429-retryafter-50-times-1", env={"LLM_MAX_RETRIES": retries}).start()
    began = time.monotonic()
    system.add("patient", "Wait for the provider")
    wait_until(lambda: system.states()["orion"] == "waiting", f"{whose} wait")
    system.cli("retry", "orion")
    system.wait_done("patient")
    assert time.monotonic() - began < 40
    assert system.cli("retry", "nobody", check=False).returncode == 66


def test_retry_asks_about_a_refused_task_now(make_system, model):
    model.become("http-400")
    system = make_system(model=model).start()
    system.cli("task", "orion", "Too odd at first", "--id", "odd")
    wait_until(lambda: len(model.requests()) >= 4, "a pause of half a minute")
    wait_until(lambda: system.states()["orion"] == "waiting", "the pause")
    model.become("")
    began = time.monotonic()
    system.cli("retry")
    system.wait_done("odd")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("fault", ["http-404", "http-401", "http-403"])
def test_what_is_everybodys_trouble_empties_no_queue(make_system, model, fault):
    system = make_system(model=model, scenario=fault, env={"LLM_MAX_RETRIES": "0"})
    clock = system.movable_clock()
    system.start()
    for number in range(3):
        system.add(f"task-{number}", "Do it")
    for _ in range(3 * TRIES + 3):
        before = len(model.requests())
        wait_until(lambda: system.states()["orion"] == "waiting", "it waits")
        clock.move(301, 301)
        wait_until(lambda: len(model.requests()) > before, "the next try")
    assert all(f"## task-{number}" in system.read("queue.md") for number in range(3))
    assert not in_folder(system, "orion", "dead-letter")


class Charging(odd.Server):
    """One task always fails after it was charged, while other tasks are answered."""

    def __init__(self):
        self.charged = []
        super().__init__(self.answer)

    def answer(self, connection, request):
        took = (request.size // 4, 90)
        usage = {"prompt_tokens": took[0], "completion_tokens": took[1]}
        if "Too odd" not in request.json["messages"][-1]["content"]:
            connection.sendall(odd.response(odd.completion("Done.\n\n```agentos\nreward: 1\nreason: fine\n```\n", usage=usage)))
            return
        self.charged.append(took)
        body = {"error": {"message": "it is too odd", "code": 400}, "usage": usage}
        connection.sendall(odd.response(body, "400 Bad Request"))


def test_a_restart_forgets_no_try_and_a_dead_letter_tells_what_they_took(make_system):
    server = Charging()
    system = make_system(("orion", "iris"), env={"LLM_BASE_URL": server.url})
    clock = system.movable_clock()
    system.start()
    system.add("other-0", "Something else", name="iris")
    system.wait_done("other-0", name="iris")
    system.cli("task", "orion", "Too odd", "--id", "odd")
    for number in range(1, TRIES):
        wait_until(lambda: len(server.charged) == number, f"try {number}")
        wait_until(lambda: system.states()["orion"] == "waiting", "its end")
        system.add(f"other-{number}", "Something else", name="iris")
        system.wait_done(f"other-{number}", name="iris")
        if number + 1 < TRIES:
            system.cli("restart", "orion")  # the pause is over by that
    clock.move(LEAST_S, LEAST_S)
    wait_until(lambda: "odd" in in_folder(system, "orion", "dead-letter"), "the dead letter")
    cost = json.loads(system.cli("show", "odd", "--json").stdout)["cost"]
    assert len(server.charged) == TRIES
    assert (cost["tokens_in"], cost["tokens_out"]) == tuple(map(sum, zip(*server.charged)))
    assert cost["requests"] == TRIES and cost["hands"][0]["state"] == "known" and cost["complete"]
    server.stop()
