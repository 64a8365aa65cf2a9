"""The gateway process by itself, against servers that misbehave."""

import email.utils
import gzip
import os
import select
import socket
import threading
import time

import pytest

import odd_servers as odd
from odd_servers import AUTH, FREE, KNOWN, LENGTH, OK, PASSING, QUOTA, REQUEST, completion, error, good, response

KEY = "sk-proj-verysecret0123456789"


@pytest.fixture
def serve():
    servers = []

    def make(*answers):
        servers.append(odd.Server(*answers))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def start():
    gateways = []

    def make(*arguments, **options):
        gateways.append(odd.Gateway(*arguments, **options))
        return gateways[-1]

    yield make
    for gateway in gateways:
        gateway.destroy()


# ---- the plain way ----


def test_a_question_gets_the_models_reply_and_its_figures(serve, start):
    server = serve()
    gateway = start(server.url, keys={"LLM_API_KEY": KEY}, LLM_MODEL="m-1", LLM_MAX_TOKENS=77)
    answer = gateway.talk("Täsk ✓", system="Be kind.")
    assert (answer.kind, answer.text, answer.finish, answer.model) == (OK, "hello", "stop", "odd-1")
    assert (answer.tokens_in, answer.tokens_out, answer.agent) == (12, 3, "orion")
    request = server.requests[0]
    assert request.line == "POST /v1/chat/completions HTTP/1.1"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert "expect" not in request.headers
    assert request.json == {
        "model": "m-1",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Täsk ✓"}],
        "max_tokens": 77,
    }


def test_without_a_key_no_authorization_is_sent_and_a_trailing_slash_is_fine(serve, start):
    server = serve()
    assert start(server.url + "/").talk().kind == OK
    assert "authorization" not in server.requests[0].headers
    assert server.requests[0].line.startswith("POST /v1/chat/completions ")


def test_connections_are_kept_and_shared_by_all_agents(serve, start):
    server = serve()
    gateway = start(server.url)
    for agent in ["orion", "iris", "nova"] * 4:
        assert gateway.talk(agent=agent).kind == OK
    assert server.connections == 1


def test_optional_settings_are_sent_only_when_set(serve, start):
    server = serve()
    gateway = start(
        server.url, LLM_TEMPERATURE="0.25", LLM_RESPONSE_FORMAT="json_schema", LLM_MODEL__MY_AGENT="own"
    )
    gateway.talk(agent="my-agent")
    gateway.talk(agent="other")
    first, second = (request.json for request in server.requests)
    assert first["temperature"] == 0.25 and first["model"] == "own" and second["model"] == "gpt-4o"
    schema = first["response_format"]["json_schema"]
    assert schema["name"] == "agentos_reply" and "answer" in schema["schema"]["properties"]


def test_the_gateway_ends_when_its_peer_closes(serve, start):
    gateway = start(serve().url)
    gateway.talk()
    assert gateway.stop() == 0


def test_it_ends_also_in_the_middle_of_a_request(serve, start):
    server = serve(odd.silent)
    gateway = start(server.url)
    gateway.ask()
    gateway.wait_for(lambda: server.requests)
    assert gateway.stop() == 0


def test_a_message_that_is_none_ends_the_gateway_with_a_sentence(start):
    gateway = start("offline")
    gateway.socket.sendall(odd.pack(odd.ASK, 1, "orion", "s", "t", *[odd.NOWHERE] * 4, 0, "left over"))
    gateway.process.wait(odd.PATIENCE)
    assert "isn't understood (ASK)" in gateway.log()


def test_an_idle_gateway_uses_no_cpu(serve, start):
    gateway = start(serve().url)
    gateway.talk()

    def switches():
        with open(f"/proc/{gateway.process.pid}/status") as status:
            return [line for line in status if "ctxt_switches" in line]

    time.sleep(0.5)  # libcurl's own timers of the last request
    before = switches()
    time.sleep(1.5)
    assert switches() == before


# ---- retries ----


@pytest.mark.parametrize("status", ["408 Timeout", "409 Conflict", "429 Slow", "500 Oops", "503 Busy", "529 Over"])
def test_passing_faults_are_asked_again(serve, start, status):
    server = serve(error(status, "not now", ["retry-after-ms: 10"]), good())
    gateway = start(server.url)
    assert gateway.talk().kind == OK
    assert len(server.requests) == 2
    serial, agent, why, until, sentence = gateway.waitings[0]
    assert (serial, agent, why) == (1, "orion", "provider") and "not now" in sentence
    assert abs(until - time.time()) < 5


def test_retries_end_at_the_limit_with_a_passing_answer(serve, start):
    server = serve(error("503 Busy", "overloaded", ["Retry-After: 0"]))
    answer = start(server.url, LLM_MAX_RETRIES=3).talk()
    assert answer.kind == PASSING and len(server.requests) == 4
    assert "503: overloaded" in answer.text and "tried 4 times" in answer.text


def test_no_retries_means_one_request_and_the_answer_says_when_to_come_back(serve, start):
    server = serve(error("429 Slow", "slow down", ["Retry-After: 7"]))
    answer = start(server.url, LLM_MAX_RETRIES=0).talk()
    assert (answer.kind, answer.retry_after, len(server.requests)) == (PASSING, 7000, 1)


def test_without_retry_after_the_backoff_is_jittered_and_short_at_first(serve, start):
    server = serve(error("500 Oops", "x"), good())
    gateway = start(server.url)
    assert gateway.talk().kind == OK
    assert server.requests[1].at - server.requests[0].at < 0.5 * odd.harness.PATIENCE + 1


@pytest.mark.parametrize("value", ["86400", "999999999999999999999999", "Fri, 31 Dec 2099 23:59:59 GMT"])
def test_a_huge_retry_after_is_clamped_to_a_minute(serve, start, value):
    gateway = start(serve(error("503 Busy", "x", [f"Retry-After: {value}"])).url)
    gateway.ask()
    gateway.wait_for(lambda: gateway.waitings)
    assert 55 <= gateway.waitings[0][3] - time.time() <= 62


@pytest.mark.parametrize("value", ["-5", "soon", "", "nan", "1e9", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_retry_after_that_is_nonsense_or_past_is_ignored(serve, start, value):
    server = serve(error("503 Busy", "x", [f"Retry-After: {value}"]), good())
    assert start(server.url).talk().kind == OK


def test_a_retry_after_date_is_honoured(serve, start):
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    gateway = start(serve(error("503 Busy", "x", [f"Retry-After: {date}"])).url)
    gateway.ask()
    gateway.wait_for(lambda: gateway.waitings)
    assert 25 <= gateway.waitings[0][3] - time.time() <= 32


def test_one_providers_limit_holds_back_every_agent_that_uses_it(serve, start):
    server = serve(error("429 Slow", "slow", ["Retry-After: 1"]), good())
    other = serve()
    gateway = start(server.url, LLM_BASE_URL__NOVA=other.url)
    first = gateway.ask(agent="orion")
    gateway.wait_for(lambda: gateway.waitings)
    second, third = gateway.ask(agent="iris"), gateway.ask(agent="nova")
    assert gateway.answer(third).kind == OK  # another provider's agent isn't held back
    assert gateway.answer(first).kind == OK and gateway.answer(second).kind == OK
    assert len(server.requests) == 3
    assert min(request.at for request in server.requests[1:]) - server.requests[0].at >= 0.9
    assert {waiting[1] for waiting in gateway.waitings} == {"orion", "iris"}


def test_connection_faults_are_asked_again(serve, start):
    server = serve(odd.hang_up, odd.cut_short, good())
    assert start(server.url).talk().kind == OK
    assert len(server.requests) == 3


def test_a_kept_connection_that_the_server_gave_up_costs_no_retry(serve, start):
    def good_and_gone(connection, request):
        connection.sendall(good())
        connection.close()

    server = serve(good_and_gone, good(), odd.hang_up, good())
    gateway = start(server.url, LLM_MAX_RETRIES=0)
    for _ in range(3):
        assert gateway.talk().kind == OK
    assert not gateway.waitings and len(server.requests) == 4
    assert [spent.kind for spent in gateway.spent] == [odd.KNOWN] * 2 + [odd.UNKNOWN, odd.KNOWN]


def test_a_question_is_asked_again_at_once_for_one_kept_connection_and_not_for_each(serve, start):
    together = threading.Barrier(3)

    def keeps(connection, request):
        together.wait(odd.PATIENCE)
        connection.sendall(good())

    server = serve(keeps, keeps, keeps, odd.hang_up)
    gateway = start(server.url, LLM_MAX_RETRIES=0)
    for serial in [gateway.ask(f"Say {number}.") for number in range(3)]:
        assert gateway.answer(serial).kind == OK
    assert server.connections == 3
    assert gateway.talk().kind == PASSING and len(server.requests) == 3 + 2, "each of them may be paid"


def test_a_server_that_speaks_no_http_is_given_up_at_once(serve, start):
    server = serve(b"220 mail.example.org ESMTP\r\n")
    answer = start(server.url).talk()
    assert answer.kind == PASSING and len(server.requests) == 1


def test_nobody_listening_is_a_passing_fault_that_names_the_host(start):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    answer = start(f"http://127.0.0.1:{port}/v1", LLM_MAX_RETRIES=1).talk()
    assert answer.kind == PASSING and f"127.0.0.1:{port}" in answer.text


def test_a_server_that_never_answers_is_given_up_after_the_timeout(serve, start):
    server = serve(odd.silent)
    answer = start(server.url, LLM_TIMEOUT=1, LLM_MAX_RETRIES=0).talk()
    assert answer.kind == PASSING and "timed out" in answer.text.lower()


# ---- faults that no retry mends ----


@pytest.mark.parametrize(
    "answer, kind",
    [
        (error("401 No", "Incorrect API key provided: sk-proj-abc***6789."), AUTH),
        (error("403 No", "not yours"), AUTH),
        (error("402 Pay", "Payment Required"), QUOTA),
        (error("429 Quota", "You exceeded your current quota", type="insufficient_quota"), QUOTA),
        (error("400 Bad", "Your credit balance is too low to access the Anthropic API."), QUOTA),
        (error("400 Bad", "bad request"), REQUEST),
        (error("404 None", "The model `x` does not exist"), REQUEST),
        (error("413 Big", "too large"), LENGTH),
        (error("422 What", "unprocessable"), REQUEST),
    ],
)
def test_what_no_retry_mends_is_answered_at_once(serve, start, answer, kind):
    server = serve(answer)
    got = start(server.url, keys={"LLM_API_KEY": KEY}).talk()
    assert got.kind == kind and len(server.requests) == 1
    assert "sk-proj" not in got.text


def test_a_404_where_the_address_has_no_version_says_that_v1_may_be_missing(serve, start):
    server = serve(error(404, "not here"), error(404, "not here"))
    assert "often ends in /v1" in start(server.url.removesuffix("/v1")).talk().text
    assert "often ends in /v1" not in start(server.url).talk().text


def test_an_answer_says_when_its_url_and_model_last_answered_anybody(serve, start):
    server = serve(error(400, "no"), good(), error(400, "no"))
    gateway = start(server.url)
    assert gateway.talk().answered == 0
    good_one = gateway.talk(agent="iris").answered
    assert 0 < good_one <= time.monotonic() * 1000
    assert gateway.talk().answered == good_one


def test_a_redirect_is_not_followed_and_named(serve, start):
    trap = serve()
    server = serve(response("", "307 Away", [f"Location: {trap.url}/chat/completions"]))
    answer = start(server.url, keys={"LLM_API_KEY": KEY}).talk()
    assert answer.kind == REQUEST and trap.url in answer.text and "redirect" in answer.text
    assert not trap.requests


# ---- bodies ----


def test_a_dripped_body_is_read_whole(serve, start):
    assert start(serve(odd.dripped).url).talk().text == "drip"


@pytest.mark.parametrize("answer", [odd.endless, odd.endless_header])
def test_endless_bodies_and_headers_are_cut_off(serve, start, answer):
    got = start(serve(answer).url, LLM_MAX_RETRIES=0).talk()
    assert got.kind == PASSING and "more than" in got.text


def test_the_cap_counts_decoded_bytes_and_gzip_is_read(serve, start):
    bomb = response(gzip.compress(b" " * (64 << 20)), headers=["Content-Encoding: gzip"])
    fine = response(gzip.compress(odd.json.dumps(completion("zip")).encode()), headers=["Content-Encoding: gzip"])
    gateway = start(serve(fine, bomb).url, LLM_MAX_RETRIES=0)
    assert gateway.talk().text == "zip"
    assert "more than 4 MiB" in gateway.talk().text


def test_invalid_utf8_is_cleaned_and_not_fatal(serve, start):
    body = odd.json.dumps(completion("a#b")).encode().replace(b"#", b"\xff\xc3")
    assert start(serve(response(body)).url).talk().text == "a\ufffd\ufffdb"


def test_a_web_page_instead_of_a_reply_is_named_as_one(serve, start):
    page = response("<!doctype html><title>Welcome</title><p>Log in", type="text/html")
    answer = start(serve(page).url).talk()
    assert answer.kind == REQUEST and "web page" in answer.text and "Welcome" in answer.text


def test_an_empty_200_is_asked_again(serve, start):
    server = serve(response(""), good())
    assert start(server.url).talk().kind == OK and len(server.requests) == 2


def test_an_error_inside_a_200_is_an_error(serve, start):
    inside = response({"error": {"code": 429, "message": "Provider returned error"}}, headers=["retry-after-ms: 5"])
    server = serve(inside, good())
    assert start(server.url).talk().kind == OK and len(server.requests) == 2


def test_a_stream_that_nobody_asked_for_is_joined(serve, start):
    lines = [
        'data: {"choices":[{"delta":{"content":"a"}}]}',
        'data: {"choices":[{"delta":{"content":"b"},"finish_reason":"stop"}]}',
        "data: [DONE]",
    ]
    answer = start(serve(response("\n\n".join(lines), type="text/event-stream")).url).talk()
    assert (answer.kind, answer.text, answer.finish) == (OK, "ab", "stop")


OPTIONS = {"LLM_TEMPERATURE": "0.2", "LLM_RESPONSE_FORMAT": "json_schema", "LLM_MAX_RETRIES": 0}
UNSUPPORTED = {
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "temperature": "Unsupported value: 'temperature' does not support 0.2 with this model.",
    "response_format": "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
    "system": "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
}


def parts(request):
    return set(request.json) | {message["role"] for message in request.json["messages"]}


def picky(connection, request):
    """Takes none of it from the model m-picky, everything from others."""
    refusals = [text for name, text in UNSUPPORTED.items() if name in parts(request) and request.json["model"] == "m-picky"]
    connection.sendall(error("400 Bad", refusals[0]) if refusals else good())


def test_what_a_model_refuses_is_learned_for_it_and_its_url_alone(serve, start):
    server, other = serve(picky), serve()
    gateway = start(server.url, LLM_MODEL__ORION="m-picky", LLM_MODEL__NOVA="m-picky", LLM_BASE_URL__NOVA=other.url, **OPTIONS)
    assert gateway.talk(agent="orion").kind == OK
    assert len(server.requests) == 5  # each refusal teaches one
    assert parts(server.requests[-1]) == {"model", "messages", "max_completion_tokens", "user"}
    assert [spent.kind for spent in gateway.spent] == [FREE] * 4 + [KNOWN]
    assert gateway.talk(agent="orion").kind == OK and len(server.requests) == 6
    assert gateway.talk(agent="iris").kind == OK and gateway.talk(agent="nova").kind == OK
    assert len(server.requests) == 7 and len(other.requests) == 1
    assert set(UNSUPPORTED) <= parts(server.requests[-1]) and set(UNSUPPORTED) <= parts(other.requests[-1])


def test_a_server_that_only_streams_is_asked_for_a_stream_and_its_usage_counts(serve, start):
    lines = [
        'data: {"choices":[{"delta":{"content":"a"}}]}',
        'data: {"choices":[{"delta":{"content":"b"},"finish_reason":"stop"}]}',
        'data: {"choices":[],"usage":{"prompt_tokens":70,"completion_tokens":5}}',
        "data: [DONE]\n\n",
    ]

    def streams_only(connection, request):
        stream = response("\n\n".join(lines), type="text/event-stream")
        connection.sendall(stream if request.json.get("stream") else error("400 Bad", "stream must be set to true"))

    server = serve(streams_only)
    gateway = start(server.url, LLM_MAX_RETRIES=0)
    answer = gateway.talk()
    assert (answer.kind, answer.text, answer.tokens_in, answer.tokens_out) == (OK, "ab", 70, 5)
    assert server.requests[1].json["stream_options"] == {"include_usage": True}
    assert gateway.talk().kind == OK and len(server.requests) == 3


def test_a_learned_form_is_unlearned_when_it_is_refused(serve, start):
    back = "Unsupported parameter: 'max_completion_tokens'. Use 'max_tokens' instead."
    server = serve(error("400 Bad", UNSUPPORTED["max_tokens"]), good(), error("400 Bad", back), good())
    gateway = start(server.url, LLM_MAX_RETRIES=0)
    assert gateway.talk().kind == OK and gateway.talk().kind == OK and gateway.talk().kind == OK
    names = [[k for k in request.json if k.startswith("max")] for request in server.requests]
    assert names == [["max_tokens"], *[["max_completion_tokens"]] * 2, *[["max_tokens"]] * 2]


def test_a_server_that_refuses_both_forms_ends_the_question(serve, start):
    def refuse(connection, request):
        sent, other = ["max_tokens", "max_completion_tokens"][:: 1 if "max_tokens" in request.json else -1]
        connection.sendall(error("400 Bad", f"Unsupported parameter: '{sent}'. Use '{other}' instead."))

    server = serve(refuse)
    assert start(server.url).talk().kind == REQUEST and len(server.requests) == 2


def test_a_value_that_is_too_large_teaches_no_form(serve, start):
    large = "max_tokens is too large: 2048. This model supports at most 1024 completion tokens: max_completion_tokens."
    server = serve(error("400 Bad", large), good())
    gateway = start(server.url)
    assert gateway.talk().kind == REQUEST and gateway.talk().kind == OK
    assert all("max_tokens" in request.json for request in server.requests)


# ---- keys ----


def test_the_key_is_masked_in_replies_faults_and_the_log(serve, start):
    server = serve(good(f"your key is {KEY}!"), error("500 Oops", f"key {KEY} broke", ["Retry-After: 0"]))
    gateway = start(server.url, keys={"LLM_API_KEY": KEY}, LLM_MAX_RETRIES=1, LOG_LEVEL="debug")
    assert gateway.talk("secret task").text == "your key is [masked]!"
    fault = gateway.talk("secret task")
    assert fault.kind == PASSING and KEY not in fault.text
    log = gateway.log()
    assert KEY not in log and "secret task" not in log and KEY not in str(gateway.waitings)


@pytest.mark.parametrize("filling", [255, 262, 270, 280])
def test_a_fault_that_is_cut_through_the_key_shows_no_part_of_it(serve, start, filling):
    key = "AIzaSyD-verysecret0123456789abcdef"
    gateway = start(serve(error("401 No", f"{'x' * filling} your key {key} is refused")).url, keys={"LLM_API_KEY": key})
    answer = gateway.talk()
    assert answer.kind == AUTH
    assert key[:8] not in answer.text and key[:8] not in gateway.log()


def test_the_key_is_read_from_its_file(serve, start, tmp_path):
    server = serve()
    (tmp_path / "key").write_text(f"{KEY}\n\n")
    assert start(server.url, LLM_API_KEY_FILE=tmp_path / "key").talk().kind == OK
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("content", [None, "", "two\nlines", pytest.param("x" * 70000, id="too large"), "fifo"])
def test_a_key_file_that_is_no_key_is_an_auth_fault_and_no_exit(serve, start, tmp_path, content):
    path, server = tmp_path / "key", serve()
    if content == "fifo":
        os.mkfifo(path)
    elif content is not None:
        path.write_text(content)
    gateway = start(server.url, LLM_API_KEY_FILE=path)
    answer = gateway.talk()
    assert answer.kind == AUTH and str(path) in answer.text and not server.requests
    assert content != "fifo" or "no regular file" in answer.text
    assert gateway.talk().kind == AUTH


def test_a_key_and_a_key_file_together_are_refused(serve, start, tmp_path):
    (tmp_path / "key").write_text("other-key-0123")
    server = serve()
    answer = start(server.url, keys={"LLM_API_KEY": KEY}, LLM_API_KEY_FILE=tmp_path / "key").talk()
    assert answer.kind == AUTH and "both set" in answer.text and not server.requests


def test_the_general_key_never_goes_to_another_address(serve, start):
    general, own = serve(), serve()
    gateway = start(general.url, keys={"LLM_API_KEY": KEY}, LLM_BASE_URL__IRIS=own.url)
    gateway.talk(agent="iris")
    gateway.talk(agent="orion")
    assert "authorization" not in own.requests[0].headers
    assert general.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_the_process_cannot_be_read_by_others_of_the_same_user(start):
    gateway = start("offline")
    gateway.talk()
    with open(f"/proc/{gateway.process.pid}/limits") as limits:
        core = next(line for line in limits if line.startswith("Max core"))
    assert core.split()[4:6] == ["0", "0"]


# ---- fallbacks ----


@pytest.mark.parametrize(
    "fault", [error("503 Busy", "x"), error("401 No", "x"), error("402 Pay", "x"), odd.hang_up]
)
def test_the_next_provider_is_asked_when_one_ends(serve, start, fault):
    first, second = serve(fault), serve(good("from the second"))
    gateway = start(
        first.url,
        keys={"LLM_API_KEY": KEY, "LLM_API_KEY__BACKUP": "backup-key-123"},
        LLM_MAX_RETRIES=0,
        LLM_FALLBACKS="backup",
        LLM_BASE_URL__BACKUP=second.url,
        LLM_MODEL__BACKUP="small",
    )
    answer = gateway.talk()
    assert (answer.kind, answer.text, answer.provider) == (OK, "from the second", "backup")
    assert second.requests[0].headers["authorization"] == "Bearer backup-key-123"
    assert second.requests[0].json["model"] == "small"


def test_a_bad_request_is_not_taken_to_the_fallback(serve, start):
    second = serve()
    gateway = start(
        serve(error("400 Bad", "x")).url, LLM_FALLBACKS="backup", LLM_BASE_URL__BACKUP=second.url
    )
    assert gateway.talk().kind == REQUEST and not second.requests


def test_when_all_providers_fail_the_answer_names_each(serve, start):
    gateway = start(
        serve(error("402 Pay", "no money")).url,
        LLM_MAX_RETRIES=0,
        LLM_FALLBACKS="backup",
        LLM_BASE_URL__BACKUP=serve(error("503 Busy", "overloaded")).url,
    )
    answer = gateway.talk()
    assert answer.kind == PASSING and "no money" in answer.text and "backup answered 503" in answer.text


# ---- many at once ----


def held(event_server):
    """An answer that waits until the server's `let` is set."""

    def answer(connection, request):
        event_server.let.wait(odd.PATIENCE)
        connection.sendall(good())

    return answer


def test_no_more_requests_are_under_way_than_allowed(serve, start):
    server = serve()
    server.let = threading.Event()
    server.answers = [held(server)]
    gateway = start(server.url, LLM_MAX_CONCURRENCY=3)
    serials = [gateway.ask(agent=f"agent-{i}") for i in range(8)]
    gateway.wait_for(lambda: len(server.requests) == 3)
    server.let.set()
    assert all(gateway.answer(serial).kind == OK for serial in serials)
    assert server.peak == 3 and len(server.requests) == 8


def test_an_agent_with_many_questions_does_not_hold_up_the_others(serve, start):
    server = serve()
    gateway = start(server.url, LLM_MAX_CONCURRENCY=1)
    many = [gateway.ask("many", agent="greedy") for _ in range(10)]
    last = gateway.ask("one", agent="modest")
    gateway.answer(last)
    for serial in many:
        gateway.answer(serial)
    order = [request.json["messages"][1]["content"] for request in server.requests]
    assert order.index("one") <= 2 and order.count("many") == 10


def test_too_many_questions_of_one_agent_are_answered_and_not_kept(serve, start):
    server = serve(odd.silent)
    gateway = start(server.url)
    serials = [gateway.ask() for _ in range(17)]
    assert gateway.answer(serials[-1]).kind == PASSING
    assert "16 questions" in gateway.answers[0].text


def test_a_forgotten_question_is_dropped_and_gives_its_place_free(serve, start):
    server = serve(odd.silent, good())
    gateway = start(server.url, LLM_MAX_CONCURRENCY=1)
    first = gateway.ask(agent="orion")
    gateway.wait_for(lambda: server.requests)
    second = gateway.ask(agent="iris")
    gateway.forget(first, "orion")
    assert gateway.answer(second).kind == OK
    gateway.wait_for(lambda: server.under_way == 0)  # the first's connection is closed
    assert [answer.serial for answer in gateway.answers] == [second]


def test_a_question_that_waits_can_be_forgotten(serve, start):
    server = serve(error("503 Busy", "x", ["Retry-After: 60"]), good())
    gateway = start(server.url)
    first = gateway.ask()
    gateway.wait_for(lambda: gateway.waitings)
    gateway.forget(first)
    assert gateway.talk(agent="iris").kind == OK
    assert len(gateway.answers) == 1


def test_two_hundred_agents_at_once_are_each_answered_once(serve, start):
    server = serve()
    gateway = start(server.url)
    serials = [gateway.ask(agent=f"agent-{i}") for i in range(200)]
    for serial in serials:
        assert gateway.answer(serial).kind == OK
    assert len(gateway.answers) == 200


def test_a_hundred_agents_keep_their_connections(serve, start):
    server = serve()
    gateway = start(server.url)
    for _ in range(3):
        server.let = threading.Event()
        server.answers = [held(server)]
        serials = [gateway.ask(agent=f"agent-{i}") for i in range(100)]
        gateway.wait_for(lambda: server.under_way == 100)
        server.let.set()
        for serial in serials:
            gateway.answer(serial)
    assert server.connections == 100


def test_a_reader_that_is_slow_loses_no_answer(serve, start):
    server = serve(good("x" * 1_000_000))
    gateway = start(server.url)
    serials = [gateway.ask(agent=f"agent-{i}") for i in range(8)]
    gateway_busy = lambda: len(server.requests) == 8 and server.under_way == 0
    deadline = time.monotonic() + odd.PATIENCE
    while not gateway_busy() and time.monotonic() < deadline:
        select.select([], [], [], 0.01)  # no message is read from the channel meanwhile
    for serial in serials:
        assert len(gateway.answer(serial).text) == 1_000_000


# ---- offline ----


def test_the_offline_model_answers_the_articles_first_task_with_its_text_and_a_skill(start):
    gateway = start("offline")
    answer = gateway.talk("List your active constraints and explain how the reward system works.")
    assert answer.kind == OK and answer.provider == answer.model == "offline"
    assert answer.text.startswith("The active constraints are: skills.md capped at 20 entries,")
    assert "offline model" in answer.text and "```agentos\nreward: 1\n" in answer.text
    assert "name: explain-constraints" in answer.text
    assert answer.tokens_in > 10 and answer.tokens_out > 50


def test_the_offline_model_gives_the_same_answer_to_the_same_task(start):
    gateway = start("offline", LLM_MAX_CONCURRENCY=1)
    task = 'Write a "Python" function that fetches all pages.\nHandle rate limits.'
    first, second = gateway.talk(task), gateway.talk(task, agent="iris")
    assert first.text == second.text and "name: write-python-function-fetches" in first.text
