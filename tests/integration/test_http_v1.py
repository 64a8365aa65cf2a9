"""The /v1 interface: agents, orders, tasks, events, and the description that is made from its table."""

import concurrent.futures
import json
import re
import select
import signal
import time

import pytest

from harness import wait_until
from test_http import TOKEN, Http

JSON = {"Content-Type": "application/json"}


class V1(Http):
    def send(self, path, body=None, method="POST", headers=()):
        """Status, headers and the object that came back."""
        text = body if isinstance(body, str) else json.dumps(body) if body is not None else ""
        host = dict(headers).get("Host", f"127.0.0.1:{self.port}")
        lines = "".join(f"{name}: {value}\r\n" for name, value in dict(headers).items() if name != "Host")
        length = len(text.encode())
        answer = self.raw(
            f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{lines}\r\n{text}"
        )
        head, _, rest = answer.partition("\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        return int(head.split(" ")[1]), {name.lower(): value for name, value in fields.items()}, json.loads(rest)

    def get(self, path, headers=()):
        status, fields, body = self.ask(path, headers=headers)
        return status, fields, json.loads(body)

    def task(self, body, agent="orion", **headers):
        return self.send(f"/v1/agents/{agent}/tasks", body, headers={key.replace("_", "-"): value for key, value in headers.items()})


class Events:
    """A client of /v1/events that stays."""

    def __init__(self, http, last=None):
        self.socket = http.connect()
        more = f"Last-Event-ID: {last}\r\n" if last else ""
        self.socket.sendall(f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())
        self.socket.settimeout(0.2)
        self.got = b""
        wait_until(lambda: self.read() and b":\n\n" in self.got or b"event:" in self.got, "the stream begins")

    def read(self):
        try:
            while part := self.socket.recv(65536):
                self.got += part
        except TimeoutError:
            pass
        return self.got

    def all(self):
        """[(id, event, object)]; the chunks' lengths stand between lines of their own."""
        text = re.sub(r"\r\n[0-9a-f]+\r\n", "", "\r\n" + self.read().partition(b"\r\n\r\n")[2].decode())
        return [(i, e, json.loads(d)) for i, e, d in re.findall(r"id: (\S+)\nevent: (\S+)\ndata: (.*)\n\n", text)]

    def wait(self, event, **fields):
        def there():
            return next((one for one in self.all() if one[1] == event and fields.items() <= one[2].items()), None)

        return wait_until(there, f"an event {event} {fields}")


@pytest.fixture
def make_v1(make_system, model):
    def make(agents=("orion",), env=None, **more):
        wanted = {"AGENTOS_LISTEN": "127.0.0.1:0", **(env or {})}
        return V1(make_system(agents, model=model, env=wanted, **more).start())

    return make


def problem(answer, status):
    assert answer[0] == status and answer[1]["content-type"] == "application/problem+json", answer
    assert answer[2]["status"] == status and answer[2]["title"] and answer[2]["detail"]
    return answer[2]


# ---- agents ----


def test_agents_are_told_as_status_tells_them(make_v1):
    http = make_v1(("orion", "iris"))
    told, known = http.get("/v1/agents")[2], http.system.status()
    assert [agent["name"] for agent in told["agents"]] == [agent["name"] for agent in known["agents"]]
    assert all(set(agent) >= set(known["agents"][0]) for agent in told["agents"])
    assert told["supervisor"]["pid"] == known["supervisor"]["pid"]
    status, fields, one = http.get("/v1/agents/iris")
    assert status == 200 and one["name"] == "iris" and one["state"] == "idle" and one["pid"] == http.system.worker("iris")
    problem(http.get("/v1/agents/nova"), 404)


def test_orders_are_answered_when_they_are_carried_out(make_v1):
    http = make_v1(("orion", "iris"))
    for order, state in (("stop", "stopped"), ("start", "idle"), ("pause", "paused"), ("resume", "idle")):
        assert http.send(f"/v1/agents/orion/{order}")[0] == 200
        assert http.system.agent_status("orion")["state"] in (state, "idle" if order == "resume" else state)
    for order in ("restart", "kill"):
        before = http.system.worker("orion")
        assert http.send(f"/v1/agents/orion/{order}")[0] == 200
        wait_until(lambda: http.system.worker("orion") not in (None, before), "another worker")
    problem(http.send("/v1/agents/nova/stop"), 404)
    assert http.system.agent_status("iris")["restarts"] == 0
    assert http.send("/v1/reload")[2]["said"]
    assert http.send("/v1/agents/orion/retry")[0] == 200


# ---- tasks ----


def test_a_task_is_in_the_queue_when_it_is_answered_and_is_done(make_v1, model):
    http = make_v1(scenario="hold")
    status, fields, told = http.task({"text": "Write about rivers", "priority": "high"})
    assert status == 201 and fields["location"] == f"/v1/agents/orion/tasks/{told['id']}"
    assert f"## {told['id']}\n" in http.system.read("queue.md")
    model.release()
    http.system.wait_done(told["id"])


def test_one_idempotency_key_is_one_task_across_restarts(make_v1):
    http = make_v1()
    first = http.task({"text": "Write about rivers"}, Idempotency_Key="one")
    assert first[0] == 201
    http.system.wait_done(first[2]["id"])
    http.system.stop()
    http = V1(http.system.start())
    http.port = int(re.findall(r"HTTP interface at http://\S+:(\d+)", http.system.log())[-1])
    again = http.task({"text": "Write about rivers"}, Idempotency_Key="one")
    assert again[0] == 201 and again[2]["id"] == first[2]["id"] and again[2]["known"] == "done"
    problem(http.task({"text": "Write about lakes"}, Idempotency_Key="one"), 422)
    other = http.task({"text": "Write about rivers"}, Idempotency_Key="two")
    assert other[2]["id"] != first[2]["id"]
    http.system.wait_done(other[2]["id"])
    http.system.assert_each_once([first[2]["id"], other[2]["id"]])


def test_an_idempotency_key_with_another_body_is_refused_whether_the_task_is_pending_or_done(make_v1, model):
    http = make_v1(scenario="hold")
    body = {"text": "Write about rivers", "priority": "high", "ttl_seconds": 9000}
    others = [body | other for other in ({"priority": "low"}, {"ttl_seconds": 90}, {"lock": "pen"}, {"text": "Write"})]
    first = http.task(body, Idempotency_Key="one")
    model.wait_open(1)
    for _ in range(2):
        for other in others:
            assert "another" in problem(http.task(other, Idempotency_Key="one"), 422)["detail"]
        again = http.task(body, Idempotency_Key="one")
        assert again[0] == 201 and again[2]["id"] == first[2]["id"] and again[2]["known"] != "new"
        assert http.task(others[0] | {"id": first[2]["id"]})[0] == 201, "an id has its text alone"
        model.release()
        http.system.wait_done(first[2]["id"])
    http.system.cli("stop", "orion")
    answer = http.system.tree() / "outputs" / f"{first[2]['id']}.md"
    answer.write_text(re.sub("whole_hash: .*\n", "", answer.read_text()))  # as earlier versions wrote it
    assert http.task(others[0], Idempotency_Key="one")[0] == http.task(body, Idempotency_Key="one")[0] == 201
    problem(http.task(others[-1], Idempotency_Key="one"), 422)
    http.system.assert_each_once([first[2]["id"]])


def test_many_at_once_with_one_key_add_one_task(make_v1):
    http = make_v1()
    with concurrent.futures.ThreadPoolExecutor(16) as many:
        answers = list(many.map(lambda _: http.task({"text": "Only once"}, Idempotency_Key="k"), range(16)))
    assert {answer[0] for answer in answers} == {201} and len({answer[2]["id"] for answer in answers}) == 1
    task_id = answers[0][2]["id"]
    http.system.wait_done(task_id)
    http.system.wait_queue_empty()
    http.system.assert_each_once([task_id])


def test_a_pending_task_is_cancelled(make_v1, model):
    http = make_v1(scenario="hold")
    for task_id in ("first", "wait a while"):
        assert http.task({"text": "Do it", "id": task_id})[0] == 201
    model.wait_open(1)
    assert http.send("/v1/agents/orion/tasks/wait%20a%20while", method="DELETE")[0] == 200
    assert "wait a while" not in http.system.read("queue.md")
    problem(http.send("/v1/agents/orion/tasks/nothing", method="DELETE"), 404)
    model.release()
    http.system.wait_done("first")


def test_a_tasks_state_is_told_and_its_answer_when_it_is_done(make_v1, model):
    http = make_v1(scenario="hold")
    for task_id in ("first", "second"):
        http.task({"text": f"Do {task_id}", "id": task_id})
    model.wait_open(1)
    path = "/v1/agents/orion/tasks/"
    wait_until(lambda: http.get(path + "first")[2]["state"] == "working", "the first task in hand")
    second = http.get(path + "second")[2]
    assert second["state"] == "pending" and second["place"] == 2 and second["agent"] == "orion" and second["id"] == "second"
    problem(http.get(path + "third"), 404)
    problem(http.get("/v1/agents/nova/tasks/first"), 404)
    problem(http.get(path + "first?wait=soon"), 400)
    with concurrent.futures.ThreadPoolExecutor(4) as many:
        waits = [many.submit(http.get, f"{path}{task_id}?wait=60") for task_id in ("first", "second", "first")]
        wait_until(lambda: http.get("/v1/agents")[0] == 200, "others are answered meanwhile")
        assert not any(wait.done() for wait in waits)
        model.release()
        told = [wait.result()[2] for wait in waits]
    assert [(one["id"], one["state"], one["reward"]) for one in told] == [
        ("first", "done", 1), ("second", "done", 1), ("first", "done", 1)]
    assert "Do first" in told[0]["answer"]


def test_a_wait_ends_with_the_state_of_the_task_when_its_time_is_over(make_v1, model):
    http = make_v1(scenario="hold")
    http.task({"text": "Do it", "id": "first"})
    model.wait_open(1)
    status, _, told = http.get("/v1/agents/orion/tasks/first?wait=1")
    assert status == 200 and told["state"] in ("pending", "working")
    problem(http.get("/v1/agents/orion/tasks/nothing?wait=60"), 404)
    model.release()


WAITING = {  # the request, how many of its sort are served at once, and a request of the other sort
    "a task's end": ("GET /v1/agents/orion/tasks/held?wait=60", 48, ("/v1/reload", "POST")),
    "an order": ("POST /v1/agents/orion/stop", 32, ("/v1/agents/orion/tasks/held?wait=1", "GET")),
}


@pytest.mark.parametrize("what", WAITING)
def test_clients_that_wait_leave_room_for_all_others(make_v1, model, what):
    http = make_v1(scenario="hold", env={"STOP_GRACE": "60"})
    http.task({"text": "Hold it", "id": "held"})
    model.wait_open()
    request, served, other = WAITING[what]
    crowd = []
    for _ in range(110):
        crowd.append(http.connect())
        crowd[-1].sendall(f"{request} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    more = len(crowd) - served
    refused = wait_until(lambda: len(told := select.select(crowd, [], [], 0)[0]) >= more and told, f"{more} answers")
    assert len(refused) == more and all(client.recv(4096).startswith(b"HTTP/1.1 429 ") for client in refused)
    assert http.ask("/healthz")[0] == 200 and http.get("/v1/agents")[0] == 200
    Events(http).socket.close()
    assert http.ask(*other)[0] == 200
    method, path = request.split()
    answer = http.send(path, method=method)
    assert "wait" in problem(answer, 429)["detail"] and answer[1]["retry-after"] == "1"
    model.release()
    assert next(client for client in crowd if client not in refused).recv(4096).startswith(b"HTTP/1.1 200 ")
    for client in crowd:
        client.close()


@pytest.mark.parametrize("more", ["", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"], ids=["", "with a request that was not read"])
def test_clients_that_have_gone_keep_no_place_of_those_who_wait(make_v1, model, more):
    http = make_v1(scenario="hold")
    http.task({"text": "Hold it", "id": "held"})
    model.wait_open()
    path = "/v1/agents/orion/tasks/held?wait=%d"
    crowd = [http.connect() for _ in range(48)]
    for client in crowd:
        client.sendall(f"GET {path % 60} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    wait_until(lambda: http.get(path % 1)[0] == 429, "every place taken")
    begun = time.monotonic()
    for client in crowd:
        client.sendall(more.encode())
        client.close()
    wait_until(lambda: http.get(path % 1)[0] == 200, "a place", 20)
    assert time.monotonic() - begun < 20  # the waits of those who left have 60 s
    model.release()


def test_a_task_that_ended_without_an_answer_says_why(make_v1, model):
    http = make_v1(scenario="hold")
    http.task({"text": "Do it", "id": "first"})
    model.wait_open(1)
    http.task({"text": "Too late", "id": "late", "ttl_seconds": 1})
    told = http.get("/v1/agents/orion/tasks/late?wait=60")[2]
    assert told["state"] == "expired"
    model.release()


def test_a_text_may_have_the_name_that_files_give_it(make_v1):
    http = make_v1()
    assert http.task({"task": "Name three rivers.", "id": "rivers"})[0] == 201
    assert http.get("/v1/agents/orion/tasks/rivers?wait=60")[2]["state"] == "done"
    assert http.send("/v1/agents/orion/messages", {"body": "Good morning"})[0] == 201


@pytest.mark.parametrize(
    "body, pointer",
    [
        ("{", None),
        ("[]", "#"),
        ({}, "#/text"),
        ({"text": 7}, "#/text"),
        ({"text": "x", "ttl_seconds": -1}, "#/ttl_seconds"),
        ({"text": "x", "priority": "urgent"}, "#/priority"),
        ({"text": "x", "colour": "red"}, "#/colour"),
        ({"text": "x", "task": "y"}, "#/task"),
        ({"body": "x"}, "#/body"),
    ],
)
def test_a_wrong_body_is_told_with_its_place_and_adds_nothing(make_v1, body, pointer):
    http = make_v1()
    assert problem(http.task(body), 400).get("pointer") == pointer
    assert "##" not in http.system.read("queue.md")


def test_a_body_that_is_too_large_is_refused_however_it_comes(make_v1):
    http = make_v1()
    head = "POST /v1/agents/orion/tasks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    assert http.raw(head + "Content-Length: 99999999\r\n\r\n").startswith("HTTP/1.1 413 ")
    chunk = "10000\r\n" + "x" * 0x10000 + "\r\n"
    assert http.raw(head + "Transfer-Encoding: chunked\r\n\r\n" + chunk * 20 + "0\r\n\r\n").startswith("HTTP/1.1 413 ")
    assert http.get("/v1/agents")[0] == 200


CHUNKED = "1c\r\n{body}\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "heads, sent, status",
    [("Transfer-Encoding: chunked", CHUNKED, 201), ("Expect: 100-continue\r\nContent-Length: 28", "{body}", 201),
     ("Transfer-Encoding: chunked\r\nContent-Length: 3", CHUNKED, 400), ("Content-Length: 28\r\nContent-Length: 3", "{body}", 400),
     ("Content-Length: 28\r\nContent-Length: 28", "{body}", 400), ("Transfer-Encoding: gzip, chunked", CHUNKED, 400), ("Content-Length: 99999999\r\nExpect: 100-continue", "", 413)],
)
def test_a_body_ends_in_one_place_or_the_connection_does(make_v1, heads, sent, status):
    """A proxy that sees the request's end elsewhere would take the rest for the next client's request, or the other way
    round."""
    http = make_v1()
    body = '{"text":"Once","id":"there"}'
    close = "" if status == 400 else "Connection: close\r\n"
    got = http.raw(f"POST /v1/agents/orion/tasks HTTP/1.1\r\nHost: localhost\r\n{close}{heads}\r\n\r\n{sent.replace('{body}', body)}")
    answers = re.findall(r"^HTTP/1.1 (\d+)", got, re.MULTILINE)
    assert [answer for answer in answers if answer != "100"] == [str(status)], got
    assert "Connection: close" in got and ("100" in answers) == (heads.startswith("Expect") and status == 201)
    assert http.ask("/v1/agents/orion/tasks/there")[0] == (200 if status == 201 else 404)


@pytest.mark.parametrize("path", ["/v1/agents", "/v1/agents/orion", "/v1/agents/orion/goals", "/v1/locks", "/v1/openapi.json", "/v1/agents/orion/skills"])
def test_a_parameter_that_a_path_does_not_take_is_400(make_v1, path):
    http = make_v1()
    assert http.ask(path)[0] == 200 and http.ask(f"{path}?limits=5")[0] == 400
    assert http.ask("/healthz?verbose")[0] == 200


@pytest.mark.parametrize("path", ["log?limit=", "commits?limit=", "usage?days="])
def test_a_parameter_with_a_wrong_value_is_400(make_v1, path):
    http = make_v1()
    place = f"/v1/agents/orion/{path}"
    assert http.ask(f"{place}1")[0] == 200
    for wrong in ("0", "-1", "x", "1.5", ""):
        assert http.ask(f"{place}{wrong}")[0] == 400, wrong


def test_messages_and_items_are_durable_when_they_are_answered(make_v1):
    yaml_of_queues = "queues:\n  - {name: reviews, consumers: [orion]}\n"
    http = make_v1(extra="")
    status, _, told = http.send("/v1/agents/orion/messages", {"text": "Good morning"})
    assert status == 201 and http.system.cli("show", told["id"]).stdout
    problem(http.send("/v1/queues/reviews/items", {"text": "Review it"}), 404)
    yaml = http.system.data / "agents.yaml"
    yaml.write_text(yaml.read_text() + yaml_of_queues)
    assert http.send("/v1/reload")[0] == 200
    assert http.send("/v1/queues/reviews/items", {"text": "Review it"})[0] == 201


def test_what_has_no_room_is_refused_with_429_and_when_to_try_again(make_v1):
    http = make_v1(scenario="hold", extra="    throughput_class: slow\n")
    path = "/v1/agents/orion/messages"
    for number in range(9):
        assert http.send(path, {"text": f"Message {number}"})[0] == 201
    answer = http.send(path, {"text": "One too many"})
    problem(answer, 429)
    assert int(answer[1]["retry-after"]) >= 1


# ---- paths that read files ----


def test_locks_and_segments_are_told_as_the_command_line_tells_them(make_v1, model):
    http = make_v1(scenario="hold")
    segments = http.system.data / "shared/segments"
    segments.mkdir(parents=True, exist_ok=True)
    (segments / "glossary.md").write_text("---\nname: glossary\nversion: 3\n---\nA text.\n")
    (segments / "broken.md").write_text("---\nno end\n")
    assert http.task({"text": "Do it", "id": "locker", "lock": "db"})[0] == 201
    model.wait_open(1)
    for what in ("locks", "segments"):
        told = http.get(f"/v1/{what}")[2]
        assert told == json.loads(http.system.cli(what, "--json").stdout) and len(told["items"]) == 1, what
    assert http.get("/v1/locks")[2]["items"][0]["task"] == "locker"
    model.release()
    http.system.wait_done("locker")


def test_what_an_agent_learned_is_told_as_the_command_line_tells_it(make_v1):
    http = make_v1(scenario="json")
    for task_id in ("first", "second"):
        http.task({"text": f"Do {task_id}", "id": task_id})
        http.system.wait_done(task_id)
    for what in ("skills", "rewards", "goals", "reflections"):
        told = http.get(f"/v1/agents/orion/{what}")[2]
        assert told == json.loads(http.system.cli(what, "orion", "--json").stdout), what
    assert [one["task"] for one in http.get("/v1/agents/orion/rewards")[2]["items"]] == ["second", "first"]
    problem(http.get("/v1/agents/nova/skills"), 404)
    problem(http.get("/v1/agents/..%2f..%2fetc/skills"), 404)


# ---- who may ----


def test_nothing_but_health_is_told_without_the_token(make_v1):
    http = make_v1(("orion",), env={"AGENTOS_TOKEN": TOKEN})
    for method, path in (("GET", "/v1/agents"), ("POST", "/v1/agents/orion/stop"), ("GET", "/v1/events"), ("GET", "/v1/openapi.json")):
        problem(http.send(path, method=method), 401)
    assert http.get("/v1/agents", headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
    assert http.system.agent_status("orion")["state"] == "idle"


def test_another_sites_page_gives_no_orders(make_v1):
    http = make_v1()
    problem(http.send("/v1/agents/orion/stop", headers={"Origin": "http://evil.example"}), 403)
    assert http.system.agent_status("orion")["state"] == "idle"
    assert http.send("/v1/agents/orion/stop", headers={"Origin": f"http://127.0.0.1:{http.port}"})[0] == 200


def test_other_methods_are_told_which_there_are(make_v1):
    http = make_v1()
    for path, allow in (("/v1/agents", "GET, HEAD"), ("/v1/agents/orion/stop", "POST"), ("/v1/agents/orion/tasks/x", "GET, HEAD, DELETE")):
        answer = http.send(path, method="PUT")
        problem(answer, 405)
        assert answer[1]["allow"] == allow


def test_a_supervisor_that_stands_still_is_told_with_503(make_v1):
    http = make_v1()
    http.system.process.send_signal(signal.SIGSTOP)
    try:
        answer = http.get("/v1/agents")
        problem(answer, 503)
        assert answer[1]["retry-after"] == "1"
    finally:
        http.system.process.send_signal(signal.SIGCONT)


# ---- events ----


def test_events_come_live_and_go_on_where_a_client_left(make_v1):
    http = make_v1()
    events = Events(http)
    http.task({"text": "Do it", "id": "first"})
    seen = events.wait("finished", task="first", agent="orion", reward=1)
    events.socket.close()
    http.task({"text": "Do it", "id": "second"})
    http.system.wait_done("second")
    back = Events(http, last=seen[0])
    back.wait("finished", task="second")
    ids = [one[0] for one in back.all()]
    assert seen[0] not in ids and len(ids) == len(set(ids))
    assert "lost" not in [one[1] for one in back.all()]


def test_a_stream_in_which_nothing_happens_has_a_heartbeat(make_v1):
    """A comment at the beginning, and then one every fifteen seconds: proxies end connections that are silent."""
    events = Events(make_v1())
    wait_until(lambda: events.read().count(b":\n\n") >= 2, "a second comment", seconds=40)


def test_an_id_of_another_life_is_answered_with_what_was_lost(make_v1):
    http = make_v1()
    events = Events(http, last="00000000-7")
    assert events.all()[0][1] == "lost"
    http.task({"text": "Do it", "id": "first"})
    events.wait("finished", task="first")


def test_a_client_of_the_events_that_does_not_read_holds_up_nobody(make_v1):
    http = make_v1()
    deaf = [http.connect() for _ in range(20)]
    for client in deaf:
        client.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    events = Events(http)
    for number in range(20):
        http.task({"text": "Do it", "id": f"task-{number}"})
    events.wait("finished", task="task-19")
    assert http.get("/v1/agents")[0] == 200
    for client in deaf:
        client.close()


def test_more_clients_of_the_events_than_there_is_room_for_are_told_so(make_v1):
    http = make_v1()
    streams = [Events(http) for _ in range(32)]
    answer = http.get("/v1/events")
    problem(answer, 503)
    for stream in streams:
        stream.socket.close()


# ---- the description ----


def test_the_description_has_every_path_with_its_methods_and_fields(make_v1):
    http = make_v1()
    described = http.get("/v1/openapi.json")[2]
    assert described["openapi"] == "3.1.0" and described["info"]["title"] == "AgentOS"
    ids = []
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            ids.append(operation["operationId"])
            assert operation["summary"].endswith(".") and {"4XX", "5XX"} <= set(operation["responses"])
            named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))
            concrete = re.sub(r"\{\w+\}", "none", path)
            if path != "/v1/events" and "reload" not in path:
                assert http.send(concrete, method=method.upper())[0] != 405 if method != "get" else http.ask(concrete)[0] != 405
    assert len(ids) == len(set(ids)) >= 20
    body = described["paths"]["/v1/agents/{agent}/tasks"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"]["required"] == ["text"]
    keyed = {
        path
        for path, operations in described["paths"].items()
        for operation in operations.values()
        if any((one["in"], one["name"]) == ("header", "Idempotency-Key") for one in operation["parameters"])
    }
    assert keyed == {"/v1/agents/{agent}/tasks", "/v1/queues/{queue}/items"}
