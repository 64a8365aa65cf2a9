"""Alerts (`notify`): to a real HTTP server, signed as Standard Webhooks has it, until it says 2xx, and at nobody else's cost."""

import base64
import collections
import hashlib
import hmac
import http.server
import json
import os
import re
import signal
import ssl
import subprocess
import threading
import time

import pytest

import harness
from harness import agents_yaml, send_signal, wait_until
from test_secrets_nowhere import places_with

SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-six bytes").decode()
EVENTS = ["watchdog", "dead_letter", "budget", "agent_failed", "provider"]


class Hook:
    """A hook that answers as told and keeps its messages: `taken` those that it answered 2xx."""

    def __init__(self, secret=SECRET, tls=None):
        self.secret, self.answer = secret, lambda handler: handler.say(204)
        self.seen, self.taken = [], []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.message = hook.check(self.headers, body)
                hook.seen.append(self.message)
                hook.answer(self)

            def say(self, status, body=b"", **headers):
                if 200 <= status < 300:
                    hook.taken.append(self.message)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.scheme = "https" if tls else "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}/hooks/T0KEN-IN-PATH"

    def check(self, headers, body):
        """The message, after the checks that a receiver must make."""
        assert headers["Content-Type"] == "application/json"
        assert harness.KEY not in str(headers) and "Authorization" not in headers
        ident, at = headers["webhook-id"], headers["webhook-timestamp"]
        assert abs(time.time() - int(at)) < 300
        if self.secret:
            raw = base64.b64decode(self.secret[6:]) if self.secret.startswith("whsec_") else self.secret.encode()
            code = hmac.new(raw, f"{ident}.{at}.".encode() + body, hashlib.sha256).digest()
            assert hmac.compare_digest(headers["webhook-signature"], "v1," + base64.b64encode(code).decode())
        else:
            assert "webhook-signature" not in headers
        message = json.loads(body)
        assert set(message) == {"type", "timestamp", "data"}
        return {"id": ident, "body": body, **message}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def again(self):
        """Listens at the same port as before stop."""
        fresh = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self.server.RequestHandlerClass)
        fresh.daemon_threads = True
        self.server = fresh
        threading.Thread(target=fresh.serve_forever, args=(0.05,), daemon=True).start()

    def wait(self, count=1, type=None, seconds=30):
        def there():
            found = [m for m in self.taken if type in (None, m["type"])]
            return len(found) >= count and found

        return wait_until(there, f"{count} alerts of {type}", seconds)


@pytest.fixture
def hook():
    one = Hook()
    yield one
    one.stop()


def notify(url, events=EVENTS, secret_file=None):
    entry = {"url": url, "events": events}
    if secret_file:
        entry["secret_file"] = str(secret_file)
    return f"notify: {json.dumps([entry])}\n"


def begin(make_system, model, hook, extra="", end="", agents=("orion",), **options):
    system = make_system(agents, model=model, **options)
    secret = system.folder / "hook-secret"
    secret.write_text((hook.secret or "") + "\n")
    system.env["LLM_MAX_RETRIES"] = "0"
    text = agents_yaml(agents, extra) + notify(hook.url, secret_file=secret if hook.secret else None) + end
    (system.data / "agents.yaml").write_text(text)
    return system


def files(system):
    return sorted((system.data / "shared/notify").glob("*.json"))


def dead_letter(system, ident, name="orion"):
    system.add(ident, "Too late", name=name, created="2020-01-01T00:00:00Z", ttl_seconds=1)


def names(messages):
    """The ids of all dead letters that these messages tell of, in order."""
    data = [m["data"] for m in messages if m["type"] == "dead_letter"]
    return [one["id"] for first in data for one in [first, *first.get("more", [])]]


# ---- the alerts ----


def test_a_dead_letter_reaches_the_hook_signed_and_its_file_goes(make_system, model, hook):
    system = begin(make_system, model, hook).start()
    dead_letter(system, "late")
    [message] = hook.wait()
    assert message["type"] == "dead_letter"
    data = message["data"]
    assert (data["agent"], data["id"], data["status"], data["reason"], data["count"]) == ("orion", "late", "expired", "expired", 1)
    wait_until(lambda: not files(system), "no file")
    assert not system.status()["supervisor"]["problems"]


def test_the_dead_letter_of_a_task_that_failed_says_why(make_system, model, hook):
    system = begin(make_system, model, hook).start()
    system.add("odd", "Wait for nothing", lock="x" * 300)
    [message] = hook.wait()
    assert (message["data"]["status"], message["data"]["reason"]) == ("failed", "no lock can have this name")


def test_an_envelopes_dead_letter_says_from_whom_and_to_whom(make_system, model, hook):
    system = begin(make_system, model, hook, agents=("orion", "iris")).start()
    system.cli("stop", "orion")
    system.cli("send", "orion", "Soon over", "--ttl", "1")
    [message] = hook.wait(type="dead_letter")
    assert (message["data"]["from"], message["data"]["to"], message["data"]["status"]) == ("operator", "orion", "expired")


def test_the_watchdog_alerts_when_its_run_is_reached_and_when_it_has_doubled(make_system, model, hook):
    system = begin(make_system, model, hook, "    watchdog: {negative_streak: 2, action: alert}\n", scenario="minus").start()
    for number in range(1, 8):
        system.add(f"task-{number}", "Fail")
        system.wait_done(f"task-{number}")
    hook.wait(type="watchdog")

    def streaks():
        data = [m["data"] for m in hook.taken if m["type"] == "watchdog"]
        return [one["negative_streak"] for first in data for one in [first, *first.get("more", [])]]

    wait_until(lambda: streaks() == [2, 4], "two alerts")
    assert all(m["data"]["action"] == "alert" for m in hook.taken)


def test_a_spent_budget_alerts_once_a_day_with_its_scope(make_system, model, hook):
    # the plain model's replies count little, reservations count much: the second task doesn't fit any more
    system = begin(make_system, model, hook, "    limits: {tokens_per_day: 9000}\n", scenario="delay-300").start()
    for number in range(6):
        system.add(f"task-{number}", "Spend " + "words " * 1500)
    [message] = hook.wait(type="budget", seconds=60)
    data = message["data"]
    assert data["scope"] == "agent" and data["agent"] == "orion" and data["limit"] == 9000
    assert 0 < data["spent"] <= 9000 and "limits.tokens_per_day" in data["sentence"]
    system.cli("restart", "orion")  # its new worker asks again, and is refused again
    system.wait_state("orion", "waiting")
    time.sleep(1.5)
    assert len([m for m in hook.taken if m["type"] == "budget"]) == 1


def test_a_budget_of_tokens_and_one_of_money_alert_once_each_whatever_their_order(make_system, model, hook):
    """The large tasks do not fit into the tokens, the small one does not fit into the money."""
    end = "budget: {tokens_per_day: 9000, cost_per_day: 0.01}\nprices:\n  test-model: {input: 1000, output: 1000}\n"
    agents = ("orion", "iris", "nova", "luna")
    system = begin(make_system, model, hook, end=end, agents=agents).start()
    for name, words in zip(agents, (8000, 1, 8000)):
        system.add("task", "Spend " + "words " * words, name=name)
        system.wait_state(name, "waiting")
    dead_letter(system, "last", "luna")
    hook.wait(type="dead_letter")
    data = [m["data"] for m in hook.taken if m["type"] == "budget"]
    told = [one["limit_name"] for first in data for one in [first, *first.get("more", [])]]
    assert told == ["budget.tokens_per_day", "budget.cost_per_day"]


def test_an_agent_that_cannot_be_started_alerts_once(make_system, model, hook):
    system = begin(make_system, model, hook, agents=("orion", "iris"))
    (system.data / "agents").mkdir(parents=True)
    (system.data / "agents/iris").write_text("a file in the place of its folder")
    system.names = ["orion"]
    system.start()
    [message] = hook.wait(type="agent_failed")
    assert message["data"]["agent"] == "iris" and message["data"]["state"] == "failed" and message["data"]["sentence"]
    system.cli("start", "iris", check=False)
    time.sleep(1.5)
    assert len([m for m in hook.taken if m["type"] == "agent_failed"]) == 1


def test_a_worker_that_keeps_ending_alerts(make_system, model, hook):
    system = begin(make_system, model, hook).start()

    def told():
        pid = system.agent_status()["pid"]
        if pid and harness.alive(pid):
            send_signal(pid, signal.SIGKILL)
        return [m for m in hook.taken if m["type"] == "agent_failed"]

    [message] = wait_until(told, "an alert", pause=0.001)
    assert "the last time with signal 9" in message["data"]["sentence"]


def test_a_provider_that_is_down_and_comes_back_is_told_once_each(make_system, model, hook):
    system = begin(make_system, model, hook, scenario="http-503")
    clock = system.movable_clock()
    system.start()
    system.add("work", "Do it")
    wait_until(lambda: model.requests(), "a first request")
    assert not hook.seen
    clock.move(61, monotonic=61)
    system.cli("retry", "orion")
    hook.wait(type="provider", seconds=60)
    clock.move(61, monotonic=61)
    system.cli("retry", "orion")
    model.become("plain")
    system.cli("retry", "orion")
    system.wait_done("work", seconds=60)
    wait_until(lambda: [m["data"]["state"] for m in hook.taken] == ["down", "back"], "down and back")
    down = hook.taken[0]["data"]
    assert down["host"] == f"127.0.0.1:{model.port}" and down["model"] == "test-model" and "503" in down["sentence"]


def test_only_the_events_that_a_hook_names_reach_it(make_system, model, hook):
    other = Hook(secret=None)
    try:
        system = begin(make_system, model, hook)
        text = (system.data / "agents.yaml").read_text()
        entry = json.dumps({"url": other.url, "events": ["watchdog"]})
        (system.data / "agents.yaml").write_text(text.replace("notify: [", f"notify: [{entry}, "))
        system.start()
        dead_letter(system, "late")
        hook.wait()
        assert not other.seen
    finally:
        other.stop()


def test_a_secret_without_whsec_signs_with_its_own_characters(make_system, model):
    hook = Hook(secret="plain-secret-of-ours")
    try:
        system = begin(make_system, model, hook).start()
        dead_letter(system, "late")
        hook.wait()
    finally:
        hook.stop()


def test_the_secret_and_the_url_are_in_no_log_no_environment_and_no_file_of_ours(make_system, model, hook):
    system = begin(make_system, model, hook, env={"LOG_LEVEL": "debug"})
    system.start()
    hook.answer = lambda handler: handler.say(500)
    dead_letter(system, "late")
    wait_until(lambda: len(hook.seen) > 1, "two tries")
    problem = wait_until(lambda: system.status()["supervisor"]["problems"], "a problem")[0]
    assert "it answered 500" in problem and "T0KEN" not in problem
    (system.folder / "hook-secret").rename(system.folder / "key")  # the place that places_with leaves out
    raw = base64.b64decode(SECRET[6:]).decode()
    for secret in (SECRET, raw):
        assert places_with(secret, system) == []
    [yaml] = places_with("T0KEN-IN-PATH", system)
    assert yaml.endswith("agents.yaml")


# ---- hooks that fail ----


def slow(handler):
    time.sleep(3)
    handler.say(204)


def huge(handler):
    hook_size = 512 * 1024 * 1024
    handler.send_response(500)
    handler.send_header("Content-Length", str(hook_size))
    handler.end_headers()
    try:
        for _ in range(hook_size // 65536):
            handler.wfile.write(b"x" * 65536)
    except OSError:
        pass


def hang_up(handler):
    handler.close_connection = True
    handler.connection.close()


@pytest.mark.parametrize("trouble", [lambda h: h.say(500), lambda h: h.say(404), huge, hang_up], ids=["500", "404", "huge", "hangs up"])
def test_a_hook_that_fails_gets_the_same_message_again_until_it_takes_it(make_system, model, hook, trouble):
    system = begin(make_system, model, hook).start()
    hook.answer = trouble
    dead_letter(system, "late")
    wait_until(lambda: len(hook.seen) >= 2, "a second try")
    assert len(files(system)) == 1
    hook.answer = lambda handler: handler.say(200, b"x" * 1000)
    hook.wait()
    assert len({m["id"] for m in hook.seen}) == 1 and len({m["body"] for m in hook.seen}) == 1
    wait_until(lambda: not files(system), "no file")
    system.wait_log("Alerts reach 127.0.0.1")


def test_a_redirect_is_not_followed(make_system, model, hook):
    other = Hook()
    try:
        system = begin(make_system, model, hook).start()
        hook.answer = lambda handler: handler.say(307, Location=other.url)
        dead_letter(system, "late")
        wait_until(lambda: len(hook.seen) >= 2, "a second try")
        assert not other.seen and files(system)
    finally:
        other.stop()


def test_410_ends_it_for_the_hook_until_a_reload_and_is_a_problem(make_system, model, hook):
    system = begin(make_system, model, hook).start()
    hook.answer = lambda handler: handler.say(410)
    dead_letter(system, "late")
    [problem] = wait_until(lambda: system.status()["supervisor"]["problems"], "a problem")
    assert "410 Gone" in problem and not files(system)
    dead_letter(system, "later")
    time.sleep(1.5)
    assert len(hook.seen) == 1
    hook.answer = lambda handler: handler.say(204)
    system.cli("reload")
    dead_letter(system, "latest")
    [message] = hook.wait()
    assert names([message]) == ["latest"]
    assert not system.status()["supervisor"]["problems"]


def test_retry_after_is_honoured(make_system, model, hook):
    system = begin(make_system, model, hook).start()
    times = []

    def answer(handler):
        times.append(time.monotonic())
        handler.say(503 if len(times) == 1 else 204, Retry_After="4")

    hook.answer = answer
    dead_letter(system, "late")
    hook.wait()
    assert times[1] - times[0] >= 3.9


def test_a_hook_is_left_alone_for_the_hours_that_its_retry_after_says(make_system, model, hook):
    system = begin(make_system, model, hook).start()
    hook.answer = lambda handler: handler.say(503, Retry_After="7200")
    dead_letter(system, "late")
    system.wait_log(r"tried again in 7(199|200)\.\d s")


def test_a_hook_that_is_away_costs_no_task_anything(make_system, model, hook):
    """The hook's port refuses, then the hook hangs: tasks go through as without it, and the messages kept for it are
    bounded."""
    system = begin(make_system, model, hook, agents=("orion", "iris")).start()
    hook.stop()
    for number in range(40):
        dead_letter(system, f"late-{number}", "iris")
    wait_until(lambda: "late-39" not in system.read("queue.md", "iris"), "all expired", 60)
    began = time.monotonic()
    for number in range(20):
        system.add(f"task-{number}", "Work")
    system.wait_done(*[f"task-{n}" for n in range(20)])
    assert time.monotonic() - began < 10 * harness.PATIENCE
    assert len(files(system)) <= 64
    hook.again()
    hook.wait()
    wait_until(lambda: not files(system), "all delivered", 120)


def test_a_hanging_hook_holds_up_neither_the_model_nor_another_hook(make_system, model, hook):
    hanging, held = Hook(), threading.Event()
    hanging.answer = lambda handler: held.wait(60)
    try:
        system = begin(make_system, model, hook)
        text = (system.data / "agents.yaml").read_text()
        entry = json.dumps({"url": hanging.url, "secret_file": str(system.folder / "hook-secret")})
        (system.data / "agents.yaml").write_text(text.replace("notify: [", f"notify: [{entry}, "))
        system.start()
        dead_letter(system, "late")
        hook.wait()
        wait_until(lambda: hanging.seen, "the hanging one asked")
        began = time.monotonic()
        system.add("task", "Work")
        system.wait_done("task")
        assert time.monotonic() - began < 5 * harness.PATIENCE
        assert len(files(system)) == 1
    finally:
        held.set()
        hanging.stop()


# ---- bursts and order ----


def test_a_burst_is_one_message_with_its_count_and_the_first_details(make_system, model, hook):
    system = begin(make_system, model, hook).start()
    system.cli("stop", "orion")
    system.append("".join(harness.task_block(f"late-{n}", "Too late", created="2020-01-01T00:00:00Z", ttl_seconds=1) for n in range(60)))
    system.cli("start", "orion")
    wait_until(lambda: sum(m["data"]["count"] for m in hook.taken) == 60, "all told", 60)
    assert len(hook.taken) < 12
    for message in hook.taken:
        assert len(message["data"].get("more", [])) == min(message["data"]["count"], 20) - 1
    told = names(hook.taken)
    assert len(set(told)) == len(told)


def test_messages_come_in_order_after_an_outage(make_system, model, hook):
    system = begin(make_system, model, hook).start()
    hook.answer = lambda handler: handler.say(503)
    for number in range(4):
        dead_letter(system, f"late-{number}")
        wait_until(lambda: f"late-{number}" in "".join(p.read_text() for p in files(system)), "it is kept")
        time.sleep(1.1)
    hook.answer = lambda handler: handler.say(204)
    wait_until(lambda: len(names(hook.taken)) == 4, "all of them", 60)
    assert names(hook.taken) == [f"late-{n}" for n in range(4)]


# ---- kills ----


def test_what_was_not_delivered_is_after_a_kill_of_the_supervisor(make_system, model, hook):
    system = begin(make_system, model, hook).start()
    hook.stop()
    dead_letter(system, "first")
    wait_until(lambda: files(system), "a file")
    before = files(system)[0].stem
    wait_until(lambda: system.status()["supervisor"]["problems"], "a try that failed")
    system.process.kill()
    system.process.wait()
    hook.again()
    system.start()
    [message] = hook.wait()
    assert message["id"] == before and names([message]) == ["first"]


@pytest.mark.parametrize("victim", ["supervisor", "gateway"])
@pytest.mark.parametrize("moment", ["in the file", "asked", "answered"])
def test_a_kill_at_any_step_loses_no_alert_and_repeats_under_the_same_id(make_system, model, hook, victim, moment):
    system = begin(make_system, model, hook).start()
    reached, go_on = threading.Event(), threading.Event()

    def stop_here(handler):
        if moment == "answered":
            handler.say(204)
        reached.set()
        go_on.wait(30)
        if moment != "answered":
            hang_up(handler)

    hook.answer = stop_here
    dead_letter(system, "late")
    if moment == "in the file":
        wait_until(lambda: files(system), "a file", pause=0.001)
    else:
        assert reached.wait(30 * harness.PATIENCE)
    gateway = [pid for pid in system.family() if harness.program_of(pid) == "agentos-gateway"]
    if victim == "supervisor":
        system.process.kill()
        system.process.wait()
    else:
        send_signal(gateway[0], signal.SIGKILL)
    hook.answer = lambda handler: handler.say(204)
    go_on.set()
    if victim == "supervisor":
        system.start()
    hook.wait()
    wait_until(lambda: not files(system), "all delivered", 60)
    told = collections.defaultdict(set)
    for message in hook.seen:
        told[message["id"]].add(message["body"])
    assert all(len(bodies) == 1 for bodies in told.values())
    assert set(names(hook.taken)) == {"late"} and len({m["id"] for m in hook.taken}) == 1


def test_a_file_that_is_no_alert_is_set_aside_and_reported(make_system, model, hook):
    system = begin(make_system, model, hook)
    folder = system.data / "shared/notify"
    folder.mkdir(parents=True)
    (folder / "20260429T100505-0001-9f86d081.json").write_text('{"hook": 7}')
    system.start()
    [problem] = system.status()["supervisor"]["problems"]
    assert "set aside" in problem
    assert [p.name.split(".unreadable-")[0] for p in folder.iterdir()] == ["20260429T100505-0001-9f86d081.json"]


# ---- agents.yaml ----


FAULTS = {
    "events: [watchdogs]": r"agents.yaml:\d+:\d+: events has no 'watchdogs'; did you mean 'watchdog'",
    "events: []": r"agents.yaml:\d+:\d+: events is an empty list",
    'url: "ftp://host/x"': r"agents.yaml:\d+:\d+: url must start with http:// or https://",
    'url: "https://user:pw@host/x"': r"agents.yaml:\d+:\d+: url must not hold a user name",
    "secret_file: relative": r"agents.yaml:\d+:\d+: secret_file must be an absolute path",
    "secret_file: /nowhere/at/all": r"agents.yaml:\d+:\d+: the secret file /nowhere/at/all can't be read",
    "event: x": r"agents.yaml:\d+:\d+: unknown key 'event' in an entry of notify; did you mean 'events'",
}


@pytest.mark.parametrize("line", FAULTS)
def test_what_is_wrong_with_notify_is_said_with_its_place_and_nothing_starts(make_system, model, line):
    system = make_system(model=model)
    entry = "" if line.startswith("url") else '"url": "https://example.com/x", '
    (system.data / "agents.yaml").write_text(agents_yaml(["orion"]) + "notify:\n  - {" + entry.replace('"url"', "url") + line + "}\n")
    checked = system.cli("check", check=False)
    assert checked.returncode == 78
    assert re.search(FAULTS[line], checked.stderr), checked.stderr
    assert system.run_to_end() == 78


def test_check_warns_of_alerts_without_signature_or_encryption(make_system, model):
    system = make_system(model=model)
    (system.data / "agents.yaml").write_text(agents_yaml(["orion"]) + "notify:\n  - {url: 'http://example.com/x'}\n")
    said = system.cli("check").stdout
    assert "are not signed" in said and "plain text (http)" in said


def test_a_reload_puts_a_hook_in_and_takes_it_out_with_what_waits_for_it(make_system, model, hook):
    system = make_system(model=model).start()
    plain = (system.data / "agents.yaml").read_text()
    (system.folder / "hook-secret").write_text(SECRET)
    (system.data / "agents.yaml").write_text(plain + notify(hook.url, secret_file=system.folder / "hook-secret"))
    system.cli("reload")
    hook.answer = lambda handler: handler.say(500)
    dead_letter(system, "late")
    wait_until(lambda: hook.seen, "a try")
    (system.data / "agents.yaml").write_text(plain)
    system.cli("reload")
    system.wait_log("are dropped: agents.yaml has this hook no more")
    assert not files(system) and not system.status()["supervisor"]["problems"]


def test_tls_is_verified(make_system, model, tmp_path):
    """A certificate that nobody trusts gets nothing; with its authority named it does."""
    pem = tmp_path / "hook.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pem, "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )
    pem.write_bytes(pem.read_bytes() + (tmp_path / "cert.pem").read_bytes())
    hook = Hook(tls=pem)
    try:
        system = begin(make_system, model, hook).start()
        dead_letter(system, "late")
        problem = wait_until(lambda: system.status()["supervisor"]["problems"], "a problem")[0]
        assert "certificate" in problem and not hook.seen
        system.stop()
        trusted = system.folder / "cert.pem"
        trusted.write_bytes((tmp_path / "cert.pem").read_bytes())
        system.env["SSL_CERT_FILE"] = str(trusted)
        system.start()
        hook.wait()
    finally:
        hook.stop()
