"""The books of AgentOS against those of a server that charges first and then fails in every way."""

import itertools
import json
import os
import re
import signal
import subprocess
import threading

import pytest

import odd_servers as odd
from harness import BIN, agents_yaml, wait_until

BLOCK = "Done.\n\n```agentos\nreward: 1\nreason: it worked\n```\n"
OUT = 100  # LLM_MAX_TOKENS; all tokens are charged
RESERVE = 4000  # tokens of one request: more than any of these takes


class Books(odd.Server):
    """Every request is charged, then answered well and in one of the ways of `failures` by turns.

    A failure is a function (connection, body) or bytes; reported: the usage that the good replies tell."""

    def __init__(self, *failures, reported=True):
        self.failures = itertools.cycle(failures or [None])
        self.reported, self.turn = reported, itertools.count()
        self.tokens = self.cached = self.free = 0
        self.books = threading.Lock()
        super().__init__(self.answer)

    def answer(self, connection, request):
        with self.books:
            usage = {"prompt_tokens": request.size // 4, "completion_tokens": OUT}
            usage["total_tokens"] = sum(usage.values())
            failure = next(self.failures) if next(self.turn) % 2 == 0 else None
            if callable(failure) and failure.__name__ == "refused":
                self.free += 1
            else:
                self.tokens += usage["total_tokens"]
        if failure is None:
            connection.sendall(odd.response(odd.completion(BLOCK, usage=usage if self.reported else None)))
        else:
            failure(connection, usage)


def refused(connection, usage):
    connection.sendall(odd.error("429 Slow", "slower please", ["retry-after-ms: 5"]))


def with_status(status, **more):
    def fail(connection, usage):
        connection.sendall(odd.response({"error": {"message": "charged for nothing"}, **more}, status, ["retry-after-ms: 5"]))

    return fail


def empty(connection, usage):
    connection.sendall(odd.response(""))


def junk(connection, usage):
    connection.sendall(odd.response("no JSON at all"))


def cut(connection, usage):
    connection.sendall(odd.response(odd.completion(BLOCK, usage=usage))[:-30])
    connection.close()


def no_choices_but_usage(connection, usage):
    connection.sendall(odd.response({"choices": [], "usage": usage}))


def error_with_usage(connection, usage):
    connection.sendall(odd.response({"error": {"message": "it broke", "code": 502}, "usage": usage}))


def unusable_content(connection, usage):
    connection.sendall(odd.response(odd.completion(7, usage=usage)))


def stream_cut(connection, usage):
    piece = {"choices": [{"index": 0, "delta": {"content": "half of an ans"}}]}
    connection.sendall(odd.response(f"data: {json.dumps(piece)}\n\n", type="text/event-stream"))


REPORTED = [no_choices_but_usage, error_with_usage, unusable_content]
UNREPORTED = [odd.hang_up, odd.silent, cut, empty, junk, stream_cut, odd.endless_header]
UNREPORTED += [with_status(s) for s in ("500 Oops", "502 Bad", "504 Late", "524 Late", "408 Late", "529 Over")]


@pytest.fixture
def serve():
    servers = []

    def make(*arguments, **options):
        servers.append(Books(*arguments, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


def begin(make_system, server, more="", end="", **env):
    yaml = agents_yaml(["orion"], more) + end
    env = {"LLM_BASE_URL": server.url, "LLM_MAX_TOKENS": str(OUT), "LLM_TIMEOUT": "1", "LLM_MAX_RETRIES": "9", **env}
    return make_system(env=env, yaml=yaml).start()


def figures(system):
    """The usage of today as `status` tells it, as soon as no request is under way."""
    return {key: system.agent_status()[f"{key}_today"] for key in ("tokens", "cached_tokens", "requests", "cost")}


def test_where_usage_arrives_the_books_agree_to_the_token(make_system, serve):
    server = serve(*REPORTED, refused)
    system = begin(make_system, server)
    for number in range(12):
        system.add(f"task-{number}", "Spend some tokens")
    system.wait_done(*(f"task-{number}" for number in range(12)), seconds=60)
    assert figures(system) == {"tokens": server.tokens, "cached_tokens": 0, "requests": len(server.requests), "cost": None}
    assert server.free > 0 and len(server.requests) > 20


@pytest.mark.parametrize("reported", [True, False])
def test_a_budget_holds_within_one_reserve_however_the_provider_fails(make_system, serve, reported):
    server = serve(*UNREPORTED, *REPORTED, reported=reported)
    limit = 60000
    system = begin(make_system, server, f"    limits: {{tokens_per_day: {limit}}}\n")
    for number in range(60):
        system.add(f"task-{number}", "Spend some tokens")
    wait_until(lambda: any("limits.tokens_per_day" in p for p in system.agent_status()["problems"]), "out of tokens", seconds=180)
    assert len(server.requests) > len(UNREPORTED)
    used = figures(system)
    assert server.tokens <= used["tokens"] <= limit
    assert used["requests"] == len(server.requests)
    assert used["tokens"] > limit - RESERVE


def test_a_restart_forgets_nothing_that_was_spent(make_system, serve):
    server = serve(with_status("502 Bad"))
    system = begin(make_system, server)
    system.add("task", "Spend some tokens")
    system.wait_done("task")
    before = figures(system)
    assert before["requests"] == 2 and before["tokens"] > server.tokens
    assert system.stop() == 0
    system.start()
    assert figures(system) == before


def test_a_commit_tells_what_all_requests_of_its_task_took(make_system, serve):
    server = serve(no_choices_but_usage)
    system = begin(make_system, server, end="prices:\n  test-model: {input: 2.5, output: 10}\n")
    system.add("task", "Spend some tokens")
    system.wait_done("task")
    trailers = dict(re.findall(r"^Agentos-(\w+): (.*)$", system.git("log", "-1", "--grep=orion(task)", "--format=%B"), re.MULTILINE))
    taken_in, taken_out = map(int, trailers["Tokens"].split())
    assert taken_in + taken_out == server.tokens and trailers["Requests"] == "2"
    cost = (taken_in * 2.5 + taken_out * 10) / 1e6
    assert float(trailers["Cost"]) == pytest.approx(cost, abs=1e-8)
    assert figures(system)["cost"] == pytest.approx(cost, abs=1e-8)


@pytest.mark.parametrize("most", [2**53 + 1, 2**63 - 1])
def test_a_card_that_says_more_than_can_be_counted_ends_no_worker(make_system, model, most):
    system = make_system(model=model).start()
    system.add("first", "Do it")
    system.wait_done("first")
    assert system.stop() == 0
    card = system.tree() / ".agent"
    said, count = re.subn(r"tokens_today: \d+", f"tokens_today: {most}", card.read_text())
    assert count == 1
    card.write_text(said)
    system.start()
    system.add("second", "Do it, too")
    system.wait_done("second")
    assert system.agent_status()["restarts"] == 0
    assert 0 < system.agent_status()["tokens_today"] <= 2**53


def test_requests_that_a_gateway_died_with_stand_in_the_commit_too(make_system, serve):
    server = serve(odd.silent, odd.silent)
    system = begin(make_system, server, end="prices:\n  test-model: {input: 2.5, output: 10}\n", LLM_TIMEOUT="600")
    system.add("task", "Spend some tokens")
    wait_until(lambda: len(server.requests) == 1, "the first request")
    os.kill(system.processes()["gateway"], signal.SIGKILL)
    system.wait_done("task")
    trailers = dict(re.findall(r"^Agentos-(\w+): (.*)$", system.git("log", "-1", "--grep=orion(task)", "--format=%B"), re.MULTILINE))
    used = figures(system)
    assert trailers["Requests"] == "2" and used["requests"] == 2
    assert sum(map(int, trailers["Tokens"].split())) == used["tokens"] > server.tokens
    assert float(trailers["Cost"]) == pytest.approx(used["cost"], abs=1e-8)


def test_a_day_has_so_much_money_and_a_raised_limit_gives_more(make_system, serve):
    server = serve(with_status("504 Late"))
    prices = "prices:\n  test-model: {input: 1000, output: 1000}\n"
    system = begin(make_system, server, "    limits: {cost_per_day: 12}\n", prices)
    for number in range(20):
        system.add(f"task-{number}", "Spend some money")
    wait_until(lambda: any("limits.cost_per_day is 12" in p for p in system.agent_status()["problems"]), "out of money", seconds=60)
    used = figures(system)
    assert server.tokens / 1000 <= used["cost"] <= 12 and used["cost"] > 12 - RESERVE / 1000
    (system.data / "agents.yaml").write_text(agents_yaml(["orion"], "    limits: {cost_per_day: 1000}\n") + prices)
    system.wait_queue_empty()


def test_a_limit_of_money_without_every_price_is_refused_with_its_line(make_system, tmp_path):
    (tmp_path / "agents.yaml").write_text(
        agents_yaml(["orion"], "    limits: {cost_per_day: 12}\n") + "prices:\n  gpt-4o: {input: 1, output: 1}\n"
    )
    env = {"LLM_FALLBACKS": "other", "LLM_MODEL__OTHER": "m-2", "LLM_API_KEY": "sk-123456789", "PATH": "/usr/bin:/bin"}
    for verb in ("check", "run"):
        ended = subprocess.run([BIN / "agentos", verb, "--data", tmp_path], env=env, capture_output=True, text=True)
        assert ended.returncode == 78
        assert re.search(r"agents.yaml:5:\d+: cost_per_day needs a price .* 'm-2', the fallback other", ended.stderr)


def test_the_same_id_again_and_again_is_as_many_tasks(make_system, model):
    system = make_system(model=model, extra="    limits: {tasks_per_hour: 3}\n").start()
    for number in range(8):
        system.add("same", f"Do it the {number}th time")
    wait_until(lambda: any("limits.tasks_per_hour is 3" in p for p in system.agent_status()["problems"]), "an hour's tasks")
    assert len(model.requests()) == 3
