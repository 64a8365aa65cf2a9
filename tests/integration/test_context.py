"""Contract sections 2 and 6: an agent that learns keeps within its model's context, whatever the server does about it."""

import os
import re
import signal
import threading

import pytest

import odd_servers as odd
from harness import wait_until

HOLDS = 4096  # tokens, reply included
REPLY = 2048
TASKS = 30


class Small(odd.Server):
    """A model of HOLDS tokens at 4 bytes each. words: how it refuses a prompt that leaves the reply no room, from the
    prompt's tokens; None: it cuts the prompt without a word, and a cut prompt gets no report in the reply. cache:
    `prompt_tokens` counts only tokens that were not cached."""

    def __init__(self, words=None, cache=False, status="400 Bad"):
        self.words, self.cache, self.status = words, cache, status
        self.prompts, self.sizes, self.tasks = [], [], []
        self.refused, self.tokens = 0, 0
        self.books = threading.Lock()
        super().__init__(self.answer)

    def answer(self, connection, request):
        system, task = (message["content"] for message in request.json["messages"])
        asked = (len(system.encode()) + len(task.encode())) // 4
        with self.books:
            if self.words and asked + request.json["max_tokens"] > HOLDS:
                self.refused += 1
                connection.sendall(odd.response(self.words(asked), self.status))
                return
            front = os.path.commonprefix([system, self.prompts[-1][0]]) if self.prompts else ""
            self.prompts.append((system, task))
            self.sizes.append(asked)
            self.tasks.append(task)
            kept = min(asked, HOLDS)
            cached = len(front) // 4 // 128 * 128 if self.cache and asked <= HOLDS else 100 if self.cache else 0
            reply = "Just prose." if asked > HOLDS else self.lesson(task)
            said = len(reply) // 4 + 1
            self.tokens += kept + said
        usage = {"prompt_tokens": kept - cached, "completion_tokens": said}
        if self.cache:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        connection.sendall(odd.response(odd.completion(reply, usage=usage)))

    def lesson(self, task):
        number = re.findall(r"\d+", task)[:1] or ["0"]
        body = " ".join(f"Step {i} of page {number[0]} is done with care." for i in range(95 + 4 * len(self.tasks)))
        return (
            "Done.\n\n```agentos\nreward: 1\nreason: the words of the page are counted\n"
            f"skill:\n  name: page-{number[0]}\n  description: How the words of page {number[0]} are counted well.\n"
            f"  body: |\n    {body}\nreflection: Page {number[0]} went well because each step was done.\n```\n"
        )


def openai(asked):
    text = f"This model's maximum context length is {HOLDS} tokens. However, your messages resulted in {asked} tokens."
    return {"error": {"message": text, "type": "invalid_request_error", "code": "context_length_exceeded"}}


def llama(asked):
    return {"error": {"code": 400, "message": "the request exceeds the available context size", "n_ctx": HOLDS}}


def wordless(asked):
    return {"error": {"message": "prompt too long"}}


@pytest.fixture
def serve():
    servers = []

    def make(*arguments, **options):
        servers.append(Small(*arguments, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


def begin(make_system, server, agents=("orion",), **env):
    env = {"LLM_BASE_URL": server.url, "LLM_MAX_TOKENS": str(REPLY), **env}
    return make_system(agents, env=env).start()


def learn(system, tasks=TASKS):
    ids = [f"task-{number}" for number in range(tasks)]
    for number, task in enumerate(ids):
        system.add(task, f"Count the words of page {number} and say how it is done")
    system.wait_done(*ids, seconds=120)


def rewards(system):
    return re.findall(r"^- reward: (\S+)", system.read("rewards.md"), re.M)


def books(system):
    agent = system.agent_status()
    return {"requests": agent["requests_today"], "tokens": agent["tokens_today"]}


@pytest.mark.parametrize("words, most", [(openai, 2), (llama, 2), (wordless, 4)])
def test_a_server_that_refuses_does_all_tasks(make_system, serve, words, most):
    server = serve(words)
    system = begin(make_system, server)
    learn(system)
    assert rewards(system) == ["+1"] * TASKS
    assert 1 <= server.refused <= most
    assert len(server.requests) == TASKS + server.refused
    assert books(system) == {"requests": len(server.requests), "tokens": server.tokens}
    assert "as too long" in system.log() and any("holds" in p for p in system.agent_status()["problems"])


@pytest.mark.parametrize("cache", [False, True])
def test_a_server_that_cuts_silently_is_noticed(make_system, serve, cache):
    server = serve(cache=cache)
    system = begin(make_system, server)
    learn(system, 2 * TASKS)
    cut = [size for size in server.sizes if size > HOLDS]
    assert len(server.requests) == 2 * TASKS and 2 <= len(cut) <= 4
    assert all(size <= HOLDS - REPLY for size in server.sizes[server.sizes.index(cut[-1]) + 1 :])
    assert "cuts prompts without a word" in system.log()
    assert any(f"holds {HOLDS} tokens" in p for p in system.agent_status()["problems"])


def test_a_setting_keeps_prompts_within_it_from_the_start(make_system, serve):
    server = serve(openai)
    system = begin(make_system, server, LLM_CONTEXT_TOKENS__ORION=str(HOLDS))
    learn(system)
    assert server.refused == 0 and len(server.requests) == TASKS
    assert max(server.sizes) > HOLDS / 3 and not system.agent_status()["problems"]


def test_a_new_worker_knows_the_room_without_another_refusal(make_system, serve):
    server = serve(openai)
    system = begin(make_system, server)
    learn(system)
    refused = server.refused
    system.cli("restart", "orion")
    system.add("after", "Count the words of page 99 once more")
    system.wait_done("after")
    assert server.refused == refused and server.sizes[-1] <= HOLDS - REPLY


def start_the_gateway_anew(system):
    gateway = system.processes()["gateway"]
    os.kill(gateway, signal.SIGKILL)
    wait_until(lambda: system.processes().get("gateway", gateway) != gateway, "the next gateway")


@pytest.mark.parametrize("words", [openai, None])
def test_a_new_gateway_knows_what_the_last_one_learned(make_system, serve, words):
    server = serve(words)
    system = begin(make_system, server, agents=("orion", "iris"))
    learn(system, 2 * TASKS)
    before = (server.refused, sum(size > HOLDS for size in server.sizes))
    assert sum(before) > 0
    start_the_gateway_anew(system)
    system.cli("restart", "orion")
    for number in range(3):
        system.add(f"after-{number}", f"Count the words of page {90 + number} once more")
        system.wait_done(f"after-{number}")
    assert (server.refused, sum(size > HOLDS for size in server.sizes)) == before


def test_a_new_gateway_asks_in_the_form_that_the_last_one_learned(make_system):
    def picky(connection, request):
        if "max_tokens" in request.json:
            text = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
            connection.sendall(odd.error("400 Bad", text, code="unsupported_parameter"))
        else:
            connection.sendall(odd.response(odd.completion("Done.")))

    server = odd.Server(picky)
    system = make_system(env={"LLM_BASE_URL": server.url}).start()
    system.add("before", "Do it")
    system.wait_done("before")
    assert len(server.requests) == 2
    start_the_gateway_anew(system)
    system.add("after", "Do it again")
    system.wait_done("after")
    assert len(server.requests) == 3
    server.stop()


@pytest.mark.parametrize("words", [openai, wordless])
def test_a_task_that_alone_is_too_long_ends_with_a_sentence(make_system, serve, words):
    server = serve(words)
    system = begin(make_system, server)
    system.add("huge", "Count these words: " + "many words " * 4000)
    system.add("small", "Count the words of page 1")
    system.wait_done("small")
    wait_until(lambda: list((system.tree() / "iac/dead-letter").glob("*huge*")), "the dead letter")
    letter = next((system.tree() / "iac/dead-letter").glob("*huge*")).read_text()
    assert "status: failed" in letter
    assert re.search(r"reason: .*(context length|too long)", letter)
    assert len(server.requests) <= 6
    system.wait_queue_empty()
