"""Reads of files and repositories over /v1: envelopes, queues, commits, usage, each by an agentos-reader."""

import concurrent.futures
import json
import os
import re
import select
import subprocess
import time

import pytest

import needs
from harness import PATIENCE, agents_yaml, child_table, program_of, send_signal, wait_until
from test_http import TOKEN
from test_http_v1 import make_v1, problem  # noqa: F401 (a fixture)

PRICES = "prices:\n  test-model: {input: 1, output: 2}\n"
QUEUES = "queues:\n- name: build\n  consumers: [orion]\n- name: idle\n  consumers: [orion]\n"
READS = (
    "/v1/envelopes",
    "/v1/envelopes/none",
    "/v1/queues",
    "/v1/usage",
    "/v1/agents/orion/log",
    "/v1/agents/orion/commits",
    "/v1/agents/orion/commits/abcd",
    "/v1/agents/orion/usage",
    "/v1/agents/orion/skills",
)


def pages(http, path, limit, **parameters):
    """The items of all pages, and how many pages there were."""
    items, cursor, count = [], None, 0
    while count == 0 or cursor:
        query = {"limit": limit, **parameters, **({"cursor": cursor} if cursor else {})}
        text = "&".join(f"{name}={value}" for name, value in query.items())
        status, _, page = http.get(f"{path}?{text}")
        assert status == 200 and len(page["items"]) <= limit, page
        items, cursor, count = items + page["items"], page["next"], count + 1
    return items, count


def readers(http):
    return [pid for pid in child_table().get(http.system.process.pid, []) if program_of(pid) == "agentos-reader"]


def haunt(http, name="ghost"):
    """A folder of an agent whose repository never lets go of who reads it."""
    tree = http.system.data / "agents" / name
    subprocess.run(["git", "init", "-q", tree], check=True)
    (tree / ".git/config").unlink()
    os.mkfifo(tree / ".git/config")
    return f"/v1/agents/{name}/log"


def haunt_all(http):
    """As many of them as hold the reader of all for longer than its time."""
    haunt(http, "ghost")
    for number in range(60):
        tree = http.system.data / f"agents/ghost-{number}"
        subprocess.run(["cp", "-r", http.system.data / "agents/ghost", tree], check=True)
    return "/v1/usage"


# ---- envelopes ----


def test_every_envelope_is_met_once_over_all_pages_the_newest_first(make_v1):  # noqa: F811
    http = make_v1(("orion", "iris"), scenario="hold")
    sent = [http.send("/v1/agents/iris/messages", {"text": f"Hello {number}"})[2]["id"] for number in range(7)]
    items, count = pages(http, "/v1/envelopes", 3)
    assert count == 3 and sorted(item["id"] for item in items) == sorted(sent)
    created = [item["created"] for item in items]
    assert created == sorted(created, reverse=True)
    one = items[0]
    assert one["from"] == "operator" and one["to"] == "iris" and one["owner"] in ("iris", "operator") and one["body"].startswith("Hello")
    assert one["place"] in ("inbox", "operator") and (http.system.data / one["path"]).exists()
    more = http.send("/v1/agents/iris/messages", {"text": "In between"})[2]["id"]
    assert http.get("/v1/envelopes?limit=3")[2]["items"][0]["id"] == more


def test_envelopes_are_chosen_by_agent_kind_status_and_place(make_v1):  # noqa: F811
    http = make_v1(("orion", "iris"), scenario="hold")
    http.send("/v1/agents/iris/stop")
    message = http.send("/v1/agents/iris/messages", {"text": "Hello", "ttl_seconds": 1})[2]["id"]
    other = http.send("/v1/agents/orion/messages", {"text": "Hello"})[2]["id"]
    wait_until(lambda: http.get("/v1/envelopes?place=dead-letters")[2]["items"], "the message is a dead letter")
    chosen = lambda query: {item["id"] for item in http.get(f"/v1/envelopes?{query}")[2]["items"]}  # noqa: E731
    assert chosen("place=dead-letters") == chosen("status=expired") == {message}
    assert chosen("agent=iris") == {message} and chosen("agent=orion") == {other}
    assert chosen("kind=message") == {message, other} and chosen("kind=handoff") == set()
    assert chosen("agent=iris&kind=message&status=expired&place=dead-letters") == {message}
    [dead] = http.get("/v1/envelopes?place=dead-letters")[2]["items"]
    assert dead["owner"] == "iris" and dead["place"] == "dead-letters"
    assert http.send(f"/v1/envelopes/{message}/requeue")[0] == 200
    assert chosen("place=dead-letters") == set() and chosen("agent=iris") == {message}


@pytest.mark.parametrize(
    "query", ["kind=letter", "place=attic", "cursor=here", "limit=-1", "limit=many", "color=red", "kind=item&kind=task", "agent=%ff"]
)
def test_a_wrong_choice_is_400_and_says_what_there_is(make_v1, query):  # noqa: F811
    http = make_v1()
    told = problem(http.get(f"/v1/envelopes?{query}"), 400)
    assert query.partition("=")[0] in told["detail"] or "parameter" in told["detail"]


def test_an_envelope_is_told_with_its_route_as_the_command_line_tells_it(make_v1):  # noqa: F811
    http = make_v1(("orion", "iris"))
    message = http.send("/v1/agents/iris/messages", {"text": "Hello"})[2]["id"]
    http.task({"text": "Read what came", "id": "first"}, agent="iris")
    http.system.wait_done("first", name="iris")
    shown = lambda: json.loads(http.system.cli("show", message, "--json").stdout)  # noqa: E731
    wait_until(lambda: shown()["status"] == "read", "it is read")
    told = wait_until(lambda: (now := http.get(f"/v1/envelopes/{message}")[2]) == shown() and now, "both say the same")
    assert [step["what"] for step in told["route"]][:2] == ["created", "delivered"]
    assert any(step["commit"] for step in told["route"]) and told["copies"] and told["cost"]
    problem(http.get("/v1/envelopes/20260101T000000-0001-00000000"), 404)


# ---- queues ----


def test_the_work_queues_are_told_with_their_items(make_v1):  # noqa: F811
    http = make_v1(scenario="hold", yaml=agents_yaml(("orion",)) + QUEUES)
    sent = [http.send("/v1/queues/build/items", {"text": f"Build {number}"})[2]["id"] for number in range(3)]
    told = http.get("/v1/queues")[2]
    assert {item["id"] for item in told["items"]} == set(sent)
    known = json.loads(http.system.cli("queues", "--json").stdout)["items"]
    assert {item["path"] for item in told["items"]} == {item["path"] for item in known}
    assert all(item["owner"] == "build" and item["kind"] == "item" for item in told["items"])
    assert {"queue": "build", "items": 3} in told["queues"]
    assert http.get("/v1/queues?queue=idle")[2]["items"] == []
    items, count = pages(http, "/v1/queues", 2)
    assert count == 2 and len(items) == 3


# ---- commits ----


def test_the_log_is_told_as_the_command_line_tells_it_in_pages(make_v1):  # noqa: F811
    http = make_v1()
    for number in range(4):
        http.task({"text": "Do it", "id": f"task-{number}"})
        http.system.wait_done(f"task-{number}")
    known = json.loads(http.system.cli("log", "orion", "--json").stdout)["items"]
    assert http.get("/v1/agents/orion/log")[2] == {"items": known, "next": None}
    items, count = pages(http, "/v1/agents/orion/log", 2)
    assert items == known and count == (len(known) + 1) // 2
    problem(http.get("/v1/agents/orion/log?cursor=" + "0" * 40), 400)
    problem(http.get("/v1/agents/nova/log"), 404)


def test_a_commit_says_what_it_changed(make_v1):  # noqa: F811
    http = make_v1()
    http.task({"text": "Do it", "id": "first"})
    http.system.wait_done("first")
    commits = http.get("/v1/agents/orion/commits")[2]["items"]
    [task] = [one for one in commits if one["task"] == "first"]
    files = {file["path"]: file for file in task["files"]}
    assert files["outputs/first.md"]["change"] == "added" and files["outputs/first.md"]["removed"] == 0
    assert files["rewards.md"]["change"] == "modified" and task["more_files"] == 0
    numbers = http.system.git("show", "--format=", "--numstat", "-M", task["commit"])
    assert {(str(file["added"]), str(file["removed"])) for file in task["files"]} == set(re.findall(r"^(\d+)\t(\d+)\t", numbers, re.M))
    status, _, one = http.get(f"/v1/agents/orion/commits/{task['commit'][:9]}")
    assert status == 200 and one["commit"] == task["commit"] and one["reward"] == 1
    diff = {file["path"]: file for file in one["files"]}["outputs/first.md"]
    assert diff["cut"] is False and diff["diff"].startswith("@@ -0,0 +1,")
    answer = (http.system.data / "agents/orion/outputs/first.md").read_text()
    assert "".join(line[1:] for line in diff["diff"].splitlines(True)[1:]) == answer
    for unknown in ("abc", "0" * 40, "zzzz", "HEAD"):
        problem(http.get(f"/v1/agents/orion/commits/{unknown}"), 404)


def test_a_diff_is_cut_where_it_is_long_and_is_none_of_what_is_no_text(make_v1):  # noqa: F811
    http = make_v1()
    http.send("/v1/agents/orion/stop")
    tree = http.system.data / "agents/orion"
    (tree / "long.txt").write_text("".join(f"line {number}\n" for number in range(50_000)))
    (tree / "one.txt").write_text("x" * 100_000 + "\n")
    (tree / "noise.bin").write_bytes(bytes(range(256)) * 10)
    (tree / "broken.txt").write_bytes(b"caf\xe9 <script>\n")
    http.system.git("add", "-f", "long.txt", "one.txt", "noise.bin", "broken.txt")
    http.system.git("-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "-q", "-m", "mine")
    commit = http.system.git("rev-parse", "HEAD").strip()
    files = {file["path"]: file for file in http.get(f"/v1/agents/orion/commits/{commit}")[2]["files"]}
    assert files["long.txt"]["cut"] and 60_000 < len(files["long.txt"]["diff"]) < 70_000 and files["long.txt"]["added"] == 50_000
    assert files["one.txt"]["cut"] and len(files["one.txt"]["diff"]) == 64 * 1024
    assert files["noise.bin"]["diff"] is None and files["noise.bin"]["added"] is None and not files["noise.bin"]["cut"]
    assert "+caf\ufffd <script>\n" in files["broken.txt"]["diff"]


def test_what_cannot_be_read_is_500_and_is_named(make_v1):  # noqa: F811
    http = make_v1()
    tree = http.system.data / "agents/ghost"
    (tree / "skills.md").mkdir(parents=True)
    assert "skills.md" in problem(http.get("/v1/agents/ghost/skills"), 500)["detail"]
    assert "agents/ghost" in problem(http.get("/v1/agents/ghost/commits/abcd"), 500)["detail"]
    status, _, told = http.get("/v1/agents/ghost/log")
    assert status == 200 and told["items"] == [] and "agents/ghost" in told["problems"][0]


def test_a_commit_of_folders_without_end_is_told_without_what_it_changed_and_the_others_with_it(make_v1):  # noqa: F811
    """Each folder has the next folder ten times, so a few objects are ten million folders."""
    http = make_v1()
    in_git = lambda *words, given=None: subprocess.run(  # noqa: E731
        ["git", "-C", http.system.tree(), *words], input=given, capture_output=True, text=True, check=True).stdout.strip()
    folder = in_git("mktree", given="")
    for _ in range(7):
        folder = in_git("mktree", given="".join(f"040000 tree {folder}\t{n}\n" for n in range(10)))
    in_git("update-ref", "refs/heads/main", in_git("commit-tree", folder, "-p", "HEAD", "-m", "without end"))
    status, _, told = http.get("/v1/agents/orion/commits")
    by_subject = {one["subject"]: one["files"] for one in told["items"]}
    assert status == 200 and by_subject["without end"] == [] and by_subject["init: agent filesystem"] != []
    status, _, one = http.get(f"/v1/agents/orion/commits/{in_git('rev-parse', 'HEAD')}")
    for problems in (told["problems"], one["problems"]):
        assert status == 200 and len(problems) == 1 and "more than 500000 entries" in problems[0]


# ---- usage ----


def test_usage_by_day_is_the_sum_of_what_the_commits_say(make_v1):  # noqa: F811
    http = make_v1(("orion", "iris"), yaml=agents_yaml(("orion", "iris")) + PRICES, env={"LLM_MODEL": "test-model"})
    for name, tasks in (("orion", 2), ("iris", 1)):
        for number in range(tasks):
            http.task({"text": "Do it", "id": f"task-{number}"}, agent=name)
            http.system.wait_done(f"task-{number}", name=name)
    logged = {name: json.loads(http.system.cli("log", name, "--json").stdout)["items"] for name in ("orion", "iris")}
    tokens = {name: sum(one["tokens"] or 0 for one in items) for name, items in logged.items()}
    told = http.get("/v1/agents/orion/usage?days=2")[2]
    assert len(told["items"]) == 2 and sum(day["tokens"] for day in told["items"]) == tokens["orion"]
    assert sum(day["tasks"] for day in told["items"]) == 2 and sum(day["cost"] or 0 for day in told["items"]) > 0
    every = http.get("/v1/usage")[2]
    days = [day["day"] for day in every["items"]]
    assert len(days) == 30 and days == sorted(days) and sum(day["tokens"] for day in every["items"]) == sum(tokens.values())
    assert {one["agent"]: one["tokens"] for one in every["agents"]} == tokens
    assert [one["agent"] for one in every["agents"]] == ["orion", "iris"]
    problem(http.get("/v1/agents/nova/usage"), 404)
    problem(http.get("/v1/usage?days=all"), 400)


def test_usage_without_a_price_has_no_cost(make_v1):  # noqa: F811
    http = make_v1()
    http.task({"text": "Do it", "id": "first"})
    http.system.wait_done("first")
    today = http.get("/v1/agents/orion/usage?days=1")[2]["items"][0]
    assert today["tokens"] > 0 and today["cost"] is None


def test_a_repository_that_holds_its_reader_leaves_the_others_in_the_usage_of_all(make_v1):  # noqa: F811
    http = make_v1()
    haunt(http, "ghost")
    http.task({"text": "Do it", "id": "first"})
    http.system.wait_done("first")
    status, _, told = http.get("/v1/usage")
    assert status == 200 and [one["agent"] for one in told["agents"]] == ["orion"]
    assert any("ghost" in problem for problem in told["problems"])


def test_a_repository_that_holds_its_reader_leaves_an_envelope_its_route_elsewhere(make_v1):  # noqa: F811
    http = make_v1()
    haunt(http, "ghost")
    http.send("/v1/agents/orion/stop")
    message = http.send("/v1/agents/orion/messages", {"text": "Hello"})[2]["id"]
    inbox = http.system.data / "agents/ghost/iac/inbox"
    inbox.mkdir(parents=True)
    text = wait_until(lambda: [path.read_text() for path in http.system.data.rglob(f"{message}.md")], "the message lies there")[0]
    (inbox / f"{message}.md").write_text(text)
    status, _, told = http.get(f"/v1/envelopes/{message}")
    assert status == 200 and told["route"][0]["what"] == "created" and any("ghost" in problem for problem in told["problems"])


# ---- polled paths ----


@pytest.mark.parametrize("path", ["/v1/agents", "/v1/agents/orion", "/v1/envelopes", "/v1/agents/orion/log", "/v1/locks", "/v1/openapi.json"])
def test_what_has_not_changed_is_304(make_v1, path):  # noqa: F811
    http = make_v1()
    status, fields, _ = http.ask(path)
    tag = fields["etag"]
    assert status == 200 and re.fullmatch(r'W/"[0-9a-f]{16}"', tag)
    http.system.status()
    time.sleep(1.2)  # the uptimes are others now, and a read is made again
    again = wait_until(lambda: (one := http.ask(path, headers={"If-None-Match": f'"other", {tag}'}))[0] == 304 and one, "304", 10)
    assert again[2] == "" and again[1]["etag"] == tag
    assert http.ask(path, headers={"If-None-Match": '"other"'})[0] == 200
    http.task({"text": "Do it", "id": "first"})
    http.system.wait_done("first")
    if path in ("/v1/agents/orion", "/v1/agents/orion/log"):
        wait_until(lambda: http.ask(path, headers={"If-None-Match": tag})[0] == 200, "the change is told")


def test_an_order_is_never_304(make_v1):  # noqa: F811
    http = make_v1()
    status, fields, _ = http.send("/v1/agents/orion/retry", headers={"If-None-Match": "*"})
    assert status == 200 and "etag" not in fields


# ---- its cost ----


def test_what_many_ask_at_once_is_read_once(make_v1):  # noqa: F811
    http = make_v1(env={"LOG_LEVEL": "debug"})
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: http.ask("/v1/usage"), range(300)))
    assert {answer[0] for answer in answers} == {200} and len({answer[2] for answer in answers}) == 1
    assert 1 <= http.system.log().count("A reader is asked for usage") <= time.monotonic() - begun + 1


@pytest.mark.parametrize("what", ["log", "commits", "usage"])
def test_a_repository_that_holds_its_reader_is_left_within_its_second(make_v1, what):  # noqa: F811
    http = make_v1()
    haunt(http, "ghost")
    begun = time.monotonic()
    status, _, told = http.get(f"/v1/agents/ghost/{what}")
    assert time.monotonic() - begun < 10 * PATIENCE and "within 30 s" not in http.system.log()
    assert status == 200 and any("ghost" in problem for problem in told["problems"])


def test_a_repository_that_holds_its_reader_holds_up_nobody_else(make_v1):  # noqa: F811
    http = make_v1()
    path = haunt_all(http)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(http.get, path)
        [reader] = wait_until(lambda: readers(http), "a reader is at it")
        for other in ("/v1/agents", "/v1/agents/orion/log", "/healthz", "/v1/agents/orion/rewards"):
            assert http.ask(other)[0] == 200, other
        http.task({"text": "Do it", "id": "first"})
        http.system.wait_done("first")
        assert not asked.done()
        send_signal(reader, 9)
        answer = asked.result(20 * PATIENCE)
    problem(answer, 503)
    assert answer[1]["retry-after"] == "1"
    wait_until(lambda: not readers(http), "no reader is left")
    http.system.wait_log("agentos-reader ended with signal 9")


def test_a_reader_is_given_up_when_its_time_is_over(make_v1):  # noqa: F811
    http = make_v1()
    path = haunt_all(http)
    answer = http.get(path)
    problem(answer, 503)
    assert "can't be read within 30 s" in http.system.log() and not readers(http)
    assert "agentos-reader ended" not in http.system.log()


def all_are_read(port, count):
    """The server has taken whatever `count` clients have sent."""
    with open("/proc/net/tcp") as table:
        rows = [row.split() for row in table.readlines()[1:]]
    queues = [row[4] for row in rows if int(row[1].split(":")[1], 16) == port and row[3] == "01"]
    return len(queues) >= count and all(int(queue.split(":")[1], 16) == 0 for queue in queues)


def test_who_asks_for_more_than_can_be_read_is_told_to_come_again(make_v1):  # noqa: F811
    http = make_v1()
    path = haunt_all(http)  # each read holds its reader for all of its time: none of them ends before all have asked
    waiting = []
    for days in range(1, 33):
        client = http.connect()
        client.sendall(f"GET {path}?days={days} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        waiting.append(client)
    wait_until(lambda: len(readers(http)) == 2, "two are at it")
    wait_until(lambda: all_are_read(waiting[0].getpeername()[1], len(waiting)), "all have asked")
    answer = wait_until(lambda: (one := http.get(f"{path}?days=33"))[0] == 429 and one, "there is no room")
    problem(answer, 429)
    assert answer[1]["retry-after"] == "1" and http.ask("/v1/agents")[0] == 200

    def all_answered():
        for reader in readers(http):
            send_signal(reader, 9)
        return len(select.select(waiting, [], [], 0)[0]) == len(waiting)

    wait_until(all_answered, "each has had its turn")
    assert all(client.recv(64).startswith(b"HTTP/1.1 503") for client in waiting)
    wait_until(lambda: http.get("/v1/queues")[0] == 200, "there is room again")


def test_a_client_that_has_said_all_and_listens_is_answered(make_v1):  # noqa: F811
    http = make_v1()
    for path in ("/v1/agents", "/v1/usage"):
        with http.connect() as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            client.shutdown(1)
            got = b""
            while part := client.recv(65536):
                got += part
        assert got.startswith(b"HTTP/1.1 200"), path


@needs.prying
def test_a_reader_is_confined_and_has_nothing_but_the_data_directory(make_v1):  # noqa: F811
    http = make_v1(env={"AGENTOS_TOKEN": TOKEN})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(http.ask, haunt(http), "GET", {"Authorization": f"Bearer {TOKEN}"})
        [reader] = wait_until(lambda: readers(http), "a reader is at it")
        status = lambda: dict(  # noqa: E731
            line.split(":\t", 1) for line in open(f"/proc/{reader}/status").read().splitlines() if ":\t" in line
        )
        wait_until(lambda: status()["Seccomp"] == "2", "it is in its sandbox")
        assert status()["NoNewPrivs"] == "1" and {status()[f"Cap{kind}"].strip("0") for kind in ("Prm", "Eff", "Bnd", "Amb")} == {""}
        targets = {int(fd): os.readlink(f"/proc/{reader}/fd/{fd}") for fd in os.listdir(f"/proc/{reader}/fd")}
        assert [targets.pop(fd) for fd in (0, 1, 2)] == ["/dev/null"] * 3
        assert targets.pop(3).startswith("socket:") and targets.pop(4) == str(http.system.data) and len(targets) <= 1
        assert TOKEN.encode() not in open(f"/proc/{reader}/environ", "rb").read()
        http.system.stop()
        asked.result(20 * PATIENCE)
    wait_until(lambda: not os.path.exists(f"/proc/{reader}"), "it ends with its supervisor")


# ---- who may ----


def test_what_is_read_needs_the_token_and_takes_no_other_method(make_v1):  # noqa: F811
    http = make_v1(env={"AGENTOS_TOKEN": TOKEN})
    for path in READS:
        problem(http.get(path), 401)
        answer = http.send(path, method="PATCH", headers={"Authorization": f"Bearer {TOKEN}"})
        problem(answer, 405)
        assert answer[1]["allow"].startswith("GET, HEAD")
