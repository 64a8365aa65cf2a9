"""The HTTP interface as its clients see it: health, readiness, metrics, the token, and hostile clients."""

import concurrent.futures
import json
import os
import re
import signal
import socket
import time

import pytest

import harness
import needs
from harness import PATIENCE, alive, send_signal, wait_until
from test_secrets_nowhere import places_with

TOKEN = "t0ken-0123456789-abcdefghij"


class Http:
    """A system with its HTTP interface."""

    def __init__(self, system):
        self.system = system
        found = system.wait_log(r"HTTP interface at http://(\S+):(\d+)")
        self.host, self.port = found[1].strip("[]"), int(found[2])

    def connect(self):
        return socket.create_connection((self.host, self.port), timeout=20 * PATIENCE)

    def raw(self, text):
        """All bytes that come back until the connection is closed; '' when none do."""
        with self.connect() as client:
            return exchange(client, text)

    def ask(self, path, method="GET", headers=()):
        """Status (0: the connection ended without), headers (names in small letters) and body."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in dict(headers).items() if name != "Host")
        host = dict(headers).get("Host", f"127.0.0.1:{self.port}")
        answer = self.raw(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n")
        head, _, body = answer.partition("\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        status = int(head.split(" ")[1]) if head else 0
        return status, {name.lower(): value for name, value in fields.items()}, body

    def pid(self):
        return self.system.processes().get("http")

    def metrics(self, headers=()):
        status, fields, body = self.ask("/metrics", headers=headers)
        assert status == 200 and fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return parse(body)

    def wait_status(self, path, status, seconds=30):
        return wait_until(lambda: self.ask(path)[0] == status and self.ask(path), f"{status} of {path}", seconds, 0.1)


def exchange(client, text):
    got = b""
    try:
        client.sendall(text if isinstance(text, bytes) else text.encode())
        while part := client.recv(65536):
            got += part
    except ConnectionError:
        pass
    return got.decode()


LABELS = r'(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*'


def parse(text):
    """The samples of the text format, {(name, labels): value}, strictly: every family with its help and type, its samples
    together, no sample twice, histograms that add up."""
    samples, family, types = {}, None, {}
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert family not in types and len(line.split(" ", 3)[3]) > 10
        elif line.startswith("# TYPE "):
            _, _, name, types[family] = line.split(" ")
            assert name == family and types[family] in ("gauge", "counter", "histogram")
        else:
            found = re.fullmatch(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{({LABELS})\}})? (-?[0-9.e+-]+)", line)
            assert found, line
            name, labels = found[1], frozenset(re.findall(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"', found[2] or ""))
            stem = re.sub(r"_(bucket|sum|count)$", "", name) if types[family] == "histogram" else name
            assert stem == family and (name, labels) not in samples, line
            assert types[family] != "counter" or name.endswith("_total")
            samples[name, labels] = float(found[3])
    for family in (name for name, kind in types.items() if kind == "histogram"):
        check_histogram(samples, family)
    return samples


def check_histogram(samples, family):
    series = {labels for name, labels in samples if name == family + "_count"}
    for labels in series:
        buckets = sorted(
            (float(dict(of)["le"]), value)
            for (name, of), value in samples.items()
            if name == family + "_bucket" and frozenset(pair for pair in of if pair[0] != "le") == labels
        )
        counts = [value for _, value in buckets]
        assert len(buckets) == 15 and counts == sorted(counts) and buckets[-1][0] == float("inf")
        assert counts[-1] == samples[family + "_count", labels] and (family + "_sum", labels) in samples


def value(samples, name, **labels):
    return samples.get((name, frozenset(labels.items())))


@pytest.fixture
def make_http(make_system, model):
    def make(agents=("orion",), env=None, **more):
        wanted = {"AGENTOS_LISTEN": "127.0.0.1:0", **(env or {})}
        return Http(make_system(agents, model=model, env=wanted, **more).start())

    return make


# ---- the answers ----


def test_health_readiness_and_metrics_are_answered(make_http):
    http = make_http(("orion", "iris"), {"AGENTOS_NODE": "dc1"})
    status, fields, body = http.ask("/healthz")
    assert status == 200 and fields["content-type"] == "application/json" and json.loads(body) == {"status": "ok"}
    assert http.ask("/readyz")[0] == 200
    samples = http.metrics()
    assert value(samples, "agentos_agent_up", agent="orion") == value(samples, "agentos_agent_up", agent="iris") == 1
    version = http.system.cli("version").stdout.split()[1]
    assert value(samples, "agentos_build_info", node="dc1", version=version) == 1


def test_head_has_the_head_alone(make_http):
    http = make_http()
    for path in ("/healthz", "/readyz", "/metrics"):
        status, fields, body = http.ask(path, "HEAD")
        assert status == 200 and body == "" and int(fields["content-length"]) > 10


def test_what_is_not_there_and_methods_that_are_not_taken_are_problems(make_http):
    http = make_http()
    for path in ("/v1", "/v1/agents/", "/healthz/", "/metrics/x", "/%2e%2e/etc/passwd", "/healthz%00"):
        status, fields, body = http.ask(path)
        assert status == 404 and fields["content-type"] == "application/problem+json", path
        assert json.loads(body)["status"] == 404 and json.loads(body)["title"] == "Not Found"
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW", "get"):
        status, fields, body = http.ask("/metrics", method)
        assert status == 405 and fields["allow"] == "GET, HEAD" and json.loads(body)["status"] == 405, method


def test_a_body_where_none_belongs_is_refused(make_http):
    http = make_http()
    assert http.ask("/healthz", headers={"Content-Length": "5"})[0] == 400
    assert http.ask("/healthz", headers={"Transfer-Encoding": "chunked"})[0] == 400
    assert http.ask("/healthz", headers={"Content-Length": "0"})[0] == 200


def test_requests_in_a_row_on_one_connection_are_all_answered_in_order(make_http):
    http = make_http()
    keep = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = http.raw(keep * 9 + last)
    assert answer.count("HTTP/1.1 200 OK") == 10
    assert answer.count('"ok"') == 9 and answer.rstrip().endswith('"agents": 1}')


# ---- the metrics ----


def test_the_metrics_agree_with_the_status_and_with_what_was_done(make_http):
    http = make_http(("orion", "iris"))
    system = http.system
    system.add("first", "Do it")
    system.add("second", "Do it again")
    system.wait_done("first", "second")
    system.wait_state("orion", "idle")

    def counted():
        samples = http.metrics()
        return samples if value(samples, "agentos_tasks_total", agent="orion", reward="1") == 2 else None

    samples = wait_until(counted, "two tasks counted")
    for agent in system.status()["agents"]:
        name = agent["name"]
        assert sum(value(samples, "agentos_tasks_total", agent=name, reward=r) for r in ("-1", "0", "1")) == agent["tasks_done"]
        assert value(samples, "agentos_worker_restarts_total", agent=name) == agent["restarts"] == 0
        assert value(samples, "agentos_inbox_depth", agent=name) == agent["inbox_depth"]
        assert value(samples, "agentos_negative_streak", agent=name) == agent["negative_streak"]
        states = {dict(of)["state"]: on for (n, of), on in samples.items() if n == "agentos_agent_state" and ("agent", name) in of}
        assert len(states) == 10 and [state for state, on in states.items() if on] == [agent["state"]]
    assert value(samples, "agentos_cycle_seconds_count", agent="orion") == 2
    assert value(samples, "agentos_cycle_seconds_count", agent="iris") == 0
    model = {"agent": "orion", "gen_ai_operation_name": "chat", "gen_ai_request_model": "test-model"}
    model["gen_ai_provider_name"] = system.env["LLM_BASE_URL"].split("/")[2]
    assert value(samples, "gen_ai_client_operation_duration_seconds_count", **model) == 2
    tokens = {side: value(samples, "gen_ai_client_token_usage_sum", gen_ai_token_type=side, **model) for side in ("input", "output")}
    assert sum(tokens.values()) == system.agent_status()["tokens_today"] and min(tokens.values()) > 0


def test_restarts_streaks_and_envelopes_are_counted(make_http, model):
    http = make_http(("orion", "iris"), scenario="minus", extra="    watchdog: {negative_streak: 2, action: alert}\n")
    system = http.system
    system.cli("send", "iris", "Hello", stdin="")
    for number in range(2):
        system.add(f"bad-{number}", "Fail")
    system.wait_done("bad-0", "bad-1")
    before = system.worker()
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: system.worker() not in (None, before), "another worker")

    def all_there():
        samples = http.metrics()
        return (
            value(samples, "agentos_worker_restarts_total", agent="orion") == 1
            and value(samples, "agentos_negative_streak", agent="orion") == 2
            and value(samples, "agentos_tasks_total", agent="orion", reward="-1") == 2
            and value(samples, "agentos_envelopes_total", kind="message", status="delivered") == 1
            and value(samples, "agentos_envelopes_total", kind="message", status="read") == 1
        )

    wait_until(all_there, "the counts", pause=0.2)


def test_backpressure_is_counted_and_visible(make_http, model):
    """While the model is silent the window of one is in use; eight wait, the tenth is refused."""
    http = make_http(scenario="hold", extra="    throughput_class: slow\n")
    system = http.system
    for number in range(9):
        system.cli("send", "orion", f"Message {number}")
    assert system.cli("send", "orion", "One too many", check=False).returncode == 75

    def told():
        samples = http.metrics()
        return samples if value(samples, "agentos_backpressure_total", agent="orion") == 1 else None

    samples = wait_until(told, "the refusal counted", pause=0.2)
    assert value(samples, "agentos_pressure", agent="orion") == 3
    assert value(samples, "agentos_window_limit", agent="orion") == value(samples, "agentos_window_used", agent="orion") == 1
    assert value(samples, "agentos_backlog_limit", agent="orion") == value(samples, "agentos_backlog_used", agent="orion") == 8
    model.release()


def test_an_agent_that_is_not_ready_is_seen_until_it_is_stopped_by_order(make_http):
    http = make_http(("orion", "iris"))
    system = http.system
    system.cli("stop", "orion")
    assert http.wait_status("/readyz", 200)
    system.cli("start", "orion")
    tree = system.data / "agents" / "iris"
    system.cli("stop", "iris")
    tree.rename(tree.with_name("elsewhere"))
    tree.write_text("a file where the tree was")
    assert system.cli("start", "iris", check=False).returncode != 0
    status, fields, body = http.wait_status("/readyz", 503)
    assert fields["content-type"] == "application/problem+json" and "1 of 2 agents are ready" in json.loads(body)["detail"]
    assert http.ask("/healthz")[0] == 200


# ---- the token ----


def token_env(request, folder):
    if request == "environment":
        return {"AGENTOS_TOKEN": TOKEN}
    (folder / "key").write_text(TOKEN + "\n")  # the one place that places_with passes over
    return {"AGENTOS_TOKEN_FILE": str(folder / "key")}


@pytest.mark.parametrize("given", ["environment", "file"])
def test_metrics_need_the_token_and_health_does_not(make_system, model, given):
    system = make_system(model=model, env={"AGENTOS_LISTEN": "0.0.0.0:0", "LOG_LEVEL": "debug"})
    system.env.update(token_env(given, system.folder))
    http = Http(system.start())
    http.host = "127.0.0.1"
    assert http.ask("/healthz")[0] == http.ask("/readyz")[0] == 200
    for wrong in (None, "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN * 3}"):
        status, fields, body = http.ask("/metrics", headers={"Authorization": wrong} if wrong else {})
        assert status == 401 and fields["www-authenticate"].startswith("Bearer") and TOKEN not in body, wrong
    assert http.metrics({"Authorization": f"Bearer {TOKEN}"}) and http.metrics({"Authorization": f"bearer  {TOKEN}"})
    assert http.ask("/metrics", headers={"Authorization": f"Bearer {TOKEN}", "Host": "agents.example.org"})[0] == 200
    assert places_with(TOKEN, system) == []


def test_beyond_this_machine_nothing_listens_without_a_token_and_the_agents_work(make_system, model):
    system = make_system(model=model, env={"AGENTOS_LISTEN": "0.0.0.0:0"}).start()
    assert "AGENTOS_TOKEN" in system.wait_log(r"ERROR .*The HTTP interface does not listen at 0\.0\.0\.0:0.*")[0]
    assert "http" not in system.processes()
    system.add("anyway", "Do it")
    system.wait_done("anyway")


def test_a_token_file_that_holds_none_answers_nobody_until_it_does(make_system, model):
    system = make_system(model=model, env={"AGENTOS_LISTEN": "127.0.0.1:0"})
    token = system.folder / "key"
    token.write_text("\n")
    system.env["AGENTOS_TOKEN_FILE"] = str(token)
    http = Http(system.start())
    system.wait_log(r"ERROR \[http\] the token file .* is empty; so no client is answered")
    token.write_text(TOKEN)
    assert http.metrics({"Authorization": f"Bearer {TOKEN}"})
    assert http.ask("/metrics")[0] == 401


def test_a_page_that_had_its_own_name_lead_here_is_not_answered(make_http):
    http = make_http()
    for host in ("evil.example.org", f"evil.example.org:{http.port}", "127.0.0.1.evil.example.org", "[evil]"):
        assert http.ask("/metrics", headers={"Host": host})[0] == 421, host
    for host in ("localhost", f"LOCALHOST:{http.port}", "127.0.0.1", "[::1]:80", "192.0.2.1"):
        assert http.ask("/metrics", headers={"Host": host})[0] == 200, host


def test_a_host_that_is_none_or_two_hosts_are_400(make_http):
    http = make_http()
    for host in ("a b", "localhost/x", "user@localhost", "localhost:8o", "[::1"):
        assert http.ask("/healthz", headers={"Host": host})[0] == 400, host
    twice = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert http.raw(twice).startswith("HTTP/1.1 400")


# ---- ports ----


def test_a_port_that_is_taken_is_said_and_taken_up_when_it_is_free(make_system, model):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        system = make_system(model=model, env={"AGENTOS_LISTEN": f"127.0.0.1:{port}"}).start()
        assert system.wait_log(rf"WARN .*Cannot listen at 127.0.0.1:{port} .*in use. The agents go on")
        system.add("anyway", "Do it")
        system.wait_done("anyway")
    assert Http(system).ask("/healthz")[0] == 200
    assert system.log().count("Cannot listen at") == 1


@pytest.mark.parametrize("where", ["localhost:0", "[::1]:0"])
def test_other_addresses_of_this_machine_are_listened_at(make_system, model, where):
    try:
        with socket.socket(socket.AF_INET6 if "[" in where else socket.AF_INET) as probe:
            probe.bind(("::1" if "[" in where else "127.0.0.1", 0))
    except OSError as error:
        pytest.skip(f"not here: {error}")
    http = Http(make_system(model=model, env={"AGENTOS_LISTEN": where}).start())
    assert http.ask("/healthz")[0] == 200


def test_an_empty_address_means_no_interface(system):
    assert "http" not in system.processes() and "HTTP interface" not in system.log()


def test_run_takes_the_address_as_an_option(make_system, model):
    system = make_system(model=model)
    system.options = ["--listen", "127.0.0.1:0"]
    assert Http(system.start()).ask("/healthz")[0] == 200
    wrong = make_system(model=model)
    wrong.options = ["--listen", "somewhere:8080"]
    assert wrong.run_to_end() == 78


# ---- deaths ----


def test_a_killed_process_is_back_and_no_connection_that_waits_is_lost(make_http):
    http = make_http()
    before = http.pid()
    os.kill(before, signal.SIGSTOP)
    with http.connect() as waiting:
        os.kill(before, signal.SIGKILL)
        answer = exchange(waiting, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith("HTTP/1.1 200 OK")
    assert http.pid() != before and http.ask("/readyz")[0] == 200


def test_a_supervisor_that_does_not_answer_is_told_with_503_and_not_waited_for(make_http):
    http = make_http()
    before = http.pid()
    http.system.process.send_signal(signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(20) as many:
            paths = ["/healthz", "/readyz", "/metrics", "/healthz"] * 5
            answers = [(status, fields) for status, fields, _ in many.map(http.ask, paths)]
        assert all(status == 503 and fields["retry-after"] == "1" for status, fields in answers)
    finally:
        http.system.process.send_signal(signal.SIGCONT)
    assert http.wait_status("/healthz", 200)
    assert http.pid() == before and alive(before)


def test_it_ends_with_its_supervisor(make_http):
    http = make_http()
    pid = http.pid()
    http.system.process.kill()
    http.system.process.wait()
    wait_until(lambda: not alive(pid), "its end")
    http.system.start()


def test_a_stop_is_not_held_up_by_clients(make_http):
    http = make_http()
    clients = [http.connect() for _ in range(20)]
    for client in clients:
        client.sendall(b"GET /met")
    pid = http.pid()
    assert http.system.stop() == 0
    assert not alive(pid)
    for client in clients:
        client.close()


# ---- hostile clients ----


HARM = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00" * 2000 + b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n\r\n",
    b"GET " + b"/a" * 40000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100000 + b"\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + b"z" * 1000000,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    os.urandom(5000),
]


def test_garbage_ends_its_own_connection_and_nothing_else(make_http):
    http = make_http()
    before = http.pid()
    for harm in HARM:
        with http.connect() as client:
            try:
                client.sendall(harm)
                client.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            answer = exchange(client, b"")
        assert "HTTP/1.1 200" not in answer, harm[:60]
        assert http.ask("/healthz")[0] == 200
    assert http.pid() == before


def test_thousands_of_connections_that_say_nothing_lock_nobody_out(make_http):
    http = make_http()
    before, silent = http.pid(), []
    for number in range(2000):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex((http.host, http.port))
        silent.append(client)
        if number % 200 == 0:
            http.wait_status("/healthz", 200)
    http.wait_status("/metrics", 200)
    for client in silent:
        client.close()
    assert http.pid() == before and http.ask("/readyz")[0] == 200


def test_a_client_that_drips_its_request_is_cut_off_in_the_end(make_http):
    http = make_http()
    with http.connect() as slow:
        slow.setblocking(False)
        begun = time.monotonic()

        def cut_off():
            try:
                slow.send(b"G")
                return slow.recv(1) == b""
            except BlockingIOError:
                return False
            except ConnectionError:
                return True

        slow.send(b"GET /healthz HTTP/1.1\r\nX: ")
        wait_until(cut_off, "the end of a client that never ends its request", seconds=60, pause=0.3)
        assert time.monotonic() - begun > 5, "a client may take its time"
    assert http.ask("/healthz")[0] == 200


def test_scrapes_without_end_ask_the_supervisor_but_once_in_a_second(make_http):
    http = make_http(env={"LOG_LEVEL": "debug"})
    begun = time.monotonic()
    asked = 0
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with http.connect() as client:
        for _ in range(1000):
            client.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += client.recv(65536)
            head, _, body = answer.partition(b"\r\n\r\n")
            length = int(re.search(rb"Content-Length: (\d+)", head)[1])
            while len(body) < length:
                body += client.recv(65536)
            asked += head.startswith(b"HTTP/1.1 200")
    assert asked == 1000
    assert 1 <= http.system.log().count("The supervisor is asked") <= time.monotonic() - begun + 1


def test_an_idle_process_sleeps(make_http):
    http = make_http()
    http.ask("/healthz")
    pid = http.pid()
    switches = lambda: re.findall(r"ctxt_switches:\t(\d+)", open(f"/proc/{pid}/status").read())  # noqa: E731
    wait_until(lambda: (before := switches(), time.sleep(1), before == switches())[2], "a second without a turn", 30)


# ---- its sandbox ----


def test_it_is_confined_and_has_no_capability(make_http):
    http = make_http(env={"AGENTOS_TOKEN": TOKEN})
    http.ask("/healthz")
    pid = http.pid()
    for thread in os.listdir(f"/proc/{pid}/task"):
        status = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/task/{thread}/status").read().splitlines() if ":\t" in line)
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        assert {status[f"Cap{kind}"].strip("0") for kind in ("Prm", "Eff", "Bnd", "Amb")} == {""}
    assert len(os.listdir(f"/proc/{pid}/task")) == 1


@needs.prying
def test_it_holds_its_socket_its_channel_and_the_data_directory_to_read(make_http):
    http = make_http(env={"AGENTOS_TOKEN": TOKEN})
    http.ask("/healthz")
    pid = http.pid()

    def rests():
        targets = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        sockets = [target for target in targets.values() if target.startswith("socket:")]
        return targets if len(sockets) == 2 else None

    targets = wait_until(rests, "no connection but the channel")
    assert targets.pop(0) == "/dev/null"
    output, error = targets.pop(1), targets.pop(2)
    assert error.startswith("pipe:") and output in (error, "/dev/null"), (output, error)  # a pipe of its own (section 11)
    data = [fd for fd, target in targets.items() if target == str(http.system.data)]
    assert len(data) == 1 and targets.pop(data[0])
    assert all(target.startswith(("socket:", "anon_inode:")) for target in targets.values()), targets
    assert harness.KEY.encode() not in open(f"/proc/{pid}/environ", "rb").read()
    assert send_signal(pid, 0)
