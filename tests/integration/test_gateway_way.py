"""The way from the gateway to a provider: certificates, proxies, and answers that come while nobody runs."""

import base64
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import harness
import needs
from odd_servers import AUTH, FREE, KNOWN, OK, PASSING, UNSENT, completion, error, good, response
from test_gateway import KEY, serve, start  # noqa: F401 (fixtures)
from test_secrets_nowhere import places_with

PASSWORD = "pass-0123456789@"
USER = "user:" + PASSWORD.replace("@", "%40")


@pytest.fixture
def tls(tmp_path):
    """A server with a certificate that nobody knows: its URL and the certificate's file."""
    pair = [str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost", "-keyout", pair[0], "-out", pair[1]],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair[1], pair[0])
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
                with context.wrap_socket(connection, server_side=True) as stream:
                    stream.recv(65536)
                    stream.sendall(good())
            except OSError:
                if over.is_set():
                    return

    over, accepting = threading.Event(), threading.Thread(target=accept, daemon=True)
    accepting.start()
    yield f"https://localhost:{listener.getsockname()[1]}/v1", pair[1]
    over.set()
    harness.end_accepting(listener, accepting)


def test_a_certificate_of_an_unknown_authority_is_refused(tls, start):
    url, certificate = tls
    refused = start(url, keys={"LLM_API_KEY": KEY}, LLM_MAX_RETRIES=0).talk()
    assert refused.kind == PASSING and "certificate" in refused.text
    assert start(url, LLM_MAX_RETRIES=0, SSL_CERT_FILE=certificate).talk().kind == OK


def test_the_authorities_of_ssl_cert_dir_are_trusted_and_read_inside_the_sandbox(tls, start, tmp_path):
    url, certificate = tls
    folder = tmp_path / "authorities"
    folder.mkdir()
    named = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", certificate], capture_output=True, text=True, check=True)
    os.rename(certificate, folder / "own.pem")
    (folder / f"{named.stdout.strip()}.0").symlink_to("own.pem")
    assert start(url, LLM_MAX_RETRIES=0, SSL_CERT_DIR=folder).talk().kind == OK


def proxy_of(server):
    return server.url.removeprefix("http://").removesuffix("/v1")


def test_a_proxy_gets_the_whole_url_and_its_password_and_no_text_has_it(serve, start):
    proxy = serve(good(), error("502 Bad", f"{USER} and {PASSWORD}"))
    gateway = start("http://models.example/v1", keys={"HTTP_PROXY": f"http://{USER}@{proxy_of(proxy)}/"}, LLM_MAX_RETRIES=0)
    assert gateway.talk().kind == OK
    assert proxy.requests[0].line == "POST http://models.example/v1/chat/completions HTTP/1.1"
    basic = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
    assert proxy.requests[0].headers["proxy-authorization"] == f"Basic {basic}"
    answer = gateway.talk()
    assert f"models.example answered 502: user:[masked] and [masked] (through the proxy {proxy_of(proxy)})" in answer.text
    assert PASSWORD not in gateway.log()


def test_a_tunnel_that_the_proxy_refuses_is_the_proxys_fault_asked_once_and_free(serve, start):
    proxy = serve(b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
    gateway = start("https://models.example/v1", keys={"https_proxy": f"http://{USER}@{proxy_of(proxy)}"})
    answer = gateway.talk()
    assert answer.kind == PASSING and "407" in answer.text and f"(through the proxy {proxy_of(proxy)})" in answer.text
    assert [request.line for request in proxy.requests] == ["CONNECT models.example:443 HTTP/1.1"], "it is not tried again"
    assert all(spent.kind == FREE for spent in gateway.spent)
    assert PASSWORD not in answer.text + gateway.log()


def test_a_password_that_the_proxy_refuses_is_told_as_a_refused_key_is(serve, start):
    proxy = serve(error("407 Who", "who are you"))
    answer = start("http://models.example/v1", keys={"http_proxy": proxy_of(proxy)}).talk()
    assert answer.kind == AUTH and "407: who are you" in answer.text and len(proxy.requests) == 1


def test_a_proxy_that_is_not_there_is_named(start):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = start("https://models.example/v1", keys={"ALL_PROXY": f"http://127.0.0.1:{port}"}, LLM_MAX_RETRIES=0).talk()
    assert answer.kind == PASSING and f"(through the proxy 127.0.0.1:{port})" in answer.text


@pytest.mark.parametrize("variables", [{}, {"NO_PROXY": "corp.example"}])
def test_loopback_is_asked_without_a_proxy(serve, start, variables):
    server, proxy = serve(), serve()
    assert start(server.url, keys={"http_proxy": proxy.url, "all_proxy": proxy.url}, **variables).talk().kind == OK
    assert server.requests and not proxy.requests


def test_a_proxys_password_stands_in_no_file_log_or_picture_of_a_process(serve, make_system):
    proxy = serve(error("502 Bad", f"no {PASSWORD}"))
    address = f"http://{USER}@{proxy_of(proxy)}"
    system = make_system(env={"LLM_BASE_URL": "http://models.example/v1", "http_proxy": address, "LOG_LEVEL": "debug"})
    system.start().add("behind", "Ask through the proxy")
    system.wait_log(rf"through the proxy {proxy_of(proxy)}")
    for secret in (PASSWORD, USER):
        assert places_with(secret, system) == []
    doctor = system.cli("doctor", check=False)
    assert f"through the proxy {proxy_of(proxy)}" in doctor.stdout and PASSWORD not in doctor.stdout + doctor.stderr


# ---- hanging ----


def hangs_on(word):
    def answer(connection, request):
        if word not in json.dumps(request.json):
            connection.sendall(good())
        else:
            connection.recv(1)

    return answer


def test_a_prompt_that_hangs_while_others_are_answered_is_given_back_after_one_timeout(serve, start):
    server = serve(hangs_on("Hang"))
    gateway = start(server.url, LLM_TIMEOUT=1, LLM_MAX_RETRIES=4)
    hung = gateway.ask("Hang, please")
    harness.wait_until(lambda: server.requests, "the request")
    assert gateway.talk(agent="iris").kind == OK
    answer = gateway.answer(hung)
    assert answer.kind == PASSING and "timed out" in answer.text
    assert sum("Hang" in json.dumps(request.json) for request in server.requests) == 1


def test_a_prompt_that_hangs_while_nobody_is_answered_is_tried_again(serve, start):
    server = serve(hangs_on("Hang"))
    answer = start(server.url, LLM_TIMEOUT=1, LLM_MAX_RETRIES=1).talk("Hang, please")
    assert answer.kind == PASSING and "tried 2 times" in answer.text and len(server.requests) == 2


# ---- old connections ----


def test_a_server_that_closes_idle_connections_after_five_seconds_makes_no_request_count_twice(serve, start):
    used = {}

    def closes(connection, request):
        if request.at - used.get(connection, request.at) > 4.5:
            raise OSError  # closed just as the request came
        used[connection] = request.at
        connection.sendall(good())

    server = serve(closes)
    gateway = start(server.url)
    assert gateway.talk().kind == OK and gateway.talk().kind == OK and server.connections == 1
    time.sleep(5)  # the idleness is under test
    assert gateway.talk().kind == OK
    assert [spent.kind for spent in gateway.spent] == [KNOWN] * 3 and len(server.requests) == 3


# ---- standing still ----


def stand_still(pids, seconds, meanwhile):
    """Stop them, and let them go on once more than so many seconds are over."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    meanwhile()
    time.sleep(max(0, begun + seconds - time.monotonic()))  # the time is under test
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("size", [5, 2 << 20])
def test_an_answer_that_came_while_the_gateway_was_stopped_is_read(serve, start, size):
    let_go = threading.Event()

    def late(connection, request):
        let_go.wait()
        connection.sendall(response(completion("x" * size)))

    server = serve(late)
    gateway = start(server.url, LLM_TIMEOUT=1)
    gateway.ask()
    harness.wait_until(lambda: server.requests, "the request")
    stand_still([gateway.process.pid], 2.5, let_go.set)
    answer = gateway.answer()
    assert answer.kind == OK and len(answer.text) == size and len(server.requests) == 1


def test_time_in_which_the_gateway_was_stopped_is_no_time_of_a_request(serve, start):
    let_go = threading.Event()

    def late(connection, request):
        let_go.wait()
        connection.sendall(good())

    server = serve(late)
    gateway = start(server.url, LLM_TIMEOUT=5)
    gateway.ask()
    harness.wait_until(lambda: server.requests, "the request")
    stand_still([gateway.process.pid], 6, lambda: None)
    let_go.set()
    assert gateway.answer().kind == OK and len(server.requests) == 1


def test_a_system_that_was_stopped_past_every_limit_asks_each_task_once(make_system, model):
    names = [f"agent{i}" for i in range(6)]
    yaml = "agents:\n" + "".join(
        f"  - {{name: {name}, persona: 'Persona of {name}', limits: {{task_seconds: 6}}}}\n" for name in names
    )
    system = make_system(names, yaml=yaml, model=model, scenario="hold", env={"LLM_TIMEOUT": "5"}).start()
    for name in names:
        system.add(f"task-{name}", "Wait for it", name=name)
    model.wait_open(6)
    stand_still([system.process.pid, *system.family()], 7.5, model.release)
    for name in names:
        system.wait_done(f"task-{name}", name=name)
    assert len(model.requests()) == 6
    assert "task_seconds" not in system.log()


class Etc:
    """A copy of /etc that a program sees in place of the real one."""

    def __init__(self, folder):
        self.folder = folder
        subprocess.run(["cp", "-a", "/etc", folder], check=True)
        self.prefix = ["unshare", "-m", "sh", "-c", f'mount --bind {folder} /etc && exec "$@"', "sh"]

    def exchange_hosts(self):
        (self.folder / "hosts.new").write_text("127.0.0.1 localhost\n")
        (self.folder / "hosts.new").rename(self.folder / "hosts")


@needs.mounting
def test_a_gateway_that_makes_room_gives_back_what_it_has_not_asked(serve, start, tmp_path):
    etc = Etc(tmp_path / "etc")
    gateway = start(serve(error("503 Later", "not now", ["Retry-After: 600"])).url, prefix=etc.prefix)
    serial = gateway.ask()
    gateway.wait_for(lambda: gateway.waitings)
    etc.exchange_hosts()

    with contextlib.suppress(OSError):  # it has ended
        gateway.wait_for(lambda: gateway.forget(99))
    with contextlib.suppress(OSError):
        while gateway.pump(0):
            pass
    assert gateway.process.wait(20 * harness.PATIENCE) == 0
    assert [(request.serial, request.kind) for request in gateway.spent] == [(serial, FREE), (serial, UNSENT)]


@needs.mounting
def test_a_gateway_that_makes_room_for_the_next_one_stays_until_its_last_answer_is_read(serve, start, tmp_path):
    whole = "All of it. " * 90000
    goes = threading.Event()
    server = serve(lambda connection, request: goes.wait() and connection.sendall(good(whole)))
    etc = Etc(tmp_path / "etc")
    gateway = start(server.url, prefix=etc.prefix)
    gateway.ask()
    gateway.wait_for(lambda: server.requests)
    etc.exchange_hosts()
    gateway.wait_for(lambda: "/etc/hosts is another file now" in gateway.log())
    goes.set()
    assert gateway.answer().text == whole
    assert gateway.process.wait(20 * harness.PATIENCE) == 0
