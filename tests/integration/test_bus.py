"""agentos-bus against real nats-servers, through the supervisor's side of it (bus_driver.c; contract section 12)."""

import base64
import binascii
import contextlib
import json
import os
import pathlib
import queue
import re
import signal
import socket
import subprocess
import threading

import pytest

from harness import BIN, KEY, agents_yaml, alive, child_table, end_accepting, free_port, program_of, send_signal, wait_until
from test_http import Http

IRIS = "agentos.agent.iris"
PROBLEMS = ("agentos_supervisor_problems", frozenset())


class Nats:
    """A nats-server on loopback with a store of its own."""

    def __init__(self, folder, config="", jetstream=True):
        self.folder, self.port, self.config, self.jetstream = folder, free_port(), config, jetstream
        self.process = None

    def start(self):
        path = self.folder / f"nats-{self.port}.conf"
        store = f'jetstream {{ store_dir: "{self.folder}/store" }}\n' if self.jetstream else ""
        path.write_text(f"listen: 127.0.0.1:{self.port}\n{store}{self.config}\n")
        with open(self.folder / "nats.log", "ab") as log:
            self.process = subprocess.Popen(["nats-server", "-c", path], cwd=self.folder, stdout=log, stderr=log)
        wait_until(lambda: answers(self.port), "nats-server answers")
        return self

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def lose(self):
        subprocess.run(["rm", "-rf", self.folder / "store"], check=True)

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def ask(self, subject, body=None):
        """JetStream's answer to a question of the test's own."""
        with socket.create_connection(("127.0.0.1", self.port)) as line, line.makefile("rb") as lines:
            text = json.dumps(body).encode() if body else b""
            line.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB back 1\r\n')
            line.sendall(f"PUB $JS.API.{subject} back {len(text)}\r\n".encode() + text + b"\r\n")
            for said in lines:
                if said.startswith((b"MSG", b"HMSG")):
                    return json.loads(lines.read(int(said.split()[-1])))

    def overhear(self, subject, wanted):
        """Until somebody has said so."""
        with socket.create_connection(("127.0.0.1", self.port)) as line, line.makefile("rb") as lines:
            line.settimeout(60)
            line.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB ' + subject.encode() + b" 1\r\n")
            for said in lines:
                if said.startswith((b"MSG", b"HMSG")) and lines.read(int(said.split()[-1])) == wanted:
                    return

    def messages(self, stream="AGENTOS"):
        return self.ask(f"STREAM.INFO.{stream}")["state"]["messages"]


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


class Bus:
    """A supervisor's side of the bus: its requests, and the messages that its owner has heard."""

    def __init__(self, url, node="a", **env):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTOS_", "LLM_"))}
        clean.update({"AGENTOS_BUS": url, "AGENTOS_NODE": node}, **{name: str(value) for name, value in env.items()})
        self.process = subprocess.Popen([BIN / "bus_driver", BIN], env=clean, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.heard, self.answers = [], queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            said = json.loads(line)
            if said[0] in ("asked", "problem", "taken"):
                self.answers.put(said)
            else:
                self.heard.append(said)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answers.get(timeout=60)

    def next(self, *wanted):
        """The first message that begins so; it and the earlier ones of this kind are taken away."""

        def found():
            return next((said for said in list(self.heard) if said[: len(wanted)] == list(wanted)), None)

        said = wait_until(found, f"the owner hears {wanted} in {self.heard[-5:]}")
        self.heard.remove(said)
        return said

    def connected(self):
        self.next("state", True)
        return self

    def away(self, *words):
        def found():
            return next((said[2] for said in list(self.heard) if said[:2] == ["state", False] and all(word in said[2] for word in words)), None)

        why = wait_until(found, f"the bus is away with {words}: {self.heard}")
        self.heard[:] = [said for said in self.heard if said[:2] != ["state", False]]
        return why

    def publish(self, subject, message, text):
        _, ticket, sent = self.ask(f"publish {subject} {message} {text}")
        return self.next("published", ticket)[2] if sent else False

    def put(self, line):
        _, ticket, sent = self.ask(line)
        return self.next("kept", ticket)[2:] if sent else False

    def arrived(self, text):
        said = wait_until(lambda: next((said for said in list(self.heard) if said[0] == "arrived" and said[4] == text), None), f"{text} arrives")
        self.heard.remove(said)
        return said[1]

    @property
    def pid(self):
        pids = [pid for pid in child_table().get(self.process.pid, []) if program_of(pid) == "agentos-bus"]
        return pids[0] if pids else None

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def make_nats(tmp_path):
    made = []

    def make(config="", jetstream=True):
        folder = tmp_path / f"nats-{len(made)}"
        folder.mkdir()
        made.append(Nats(folder, config, jetstream))
        return made[-1]

    yield make
    for server in made:
        server.kill()


@pytest.fixture
def nats(make_nats):
    return make_nats().start()


@pytest.fixture
def make_bus():
    made = []

    def make(url, **options):
        made.append(Bus(url, **options))
        return made[-1]

    yield make
    for bus in made:
        bus.end()


# --- messages ---


def test_a_message_that_is_sent_twice_arrives_once_and_is_gone_when_it_is_acknowledged(nats, make_bus):
    sender, receiver = make_bus(nats.url).connected(), make_bus(nats.url, node="b").connected()
    assert sender.publish(IRIS, "id-1", "hello world") is None
    assert sender.publish(IRIS, "id-1", "hello world") is None
    assert sender.publish(IRIS, "id-2", "the next") is None
    assert "no subject" in sender.publish("agentos.other.iris", "id-3", "elsewhere")
    receiver.ask(f"follow {IRIS}")
    said = receiver.next("arrived")
    assert said[2:] == [IRIS, "a", "hello world"]
    receiver.ask(f"took {said[1]}")
    receiver.ask(f"took {receiver.arrived('the next')}")
    wait_until(lambda: nats.messages() == 0, "the stream is empty")
    made = nats.ask("STREAM.INFO.AGENTOS")["config"]
    assert (made["retention"], made["discard"], made["storage"], made["duplicate_window"]) == ("workqueue", "new", "file", 120 * 10**9)
    assert not [said for said in receiver.heard if said[0] == "arrived"]


def test_what_is_not_acknowledged_comes_again_after_its_time_and_after_the_process_was_killed(nats, make_bus):
    bus = make_bus(nats.url).connected()
    bus.ask(f"follow {IRIS}")
    assert bus.publish(IRIS, "id-1", "one") is None
    bus.ask(f"later {bus.arrived('one')} 300")
    bus.arrived("one")
    send_signal(bus.pid, signal.SIGKILL)
    bus.away("agentos-bus has ended")
    bus.connected()
    bus.ask(f"took {bus.arrived('one')}")
    wait_until(lambda: nats.messages() == 0, "the stream is empty")


def test_what_is_in_hand_for_long_is_told_to_be_worked_on_and_does_not_come_again(nats, make_bus):
    bus = make_bus(nats.url).connected()
    bus.ask(f"follow {IRIS}")
    assert bus.publish(IRIS, "id-1", "one") is None
    token = bus.arrived("one")
    nats.overhear("$JS.ACK.AGENTOS.agent-iris.>", b"+WPI")
    bus.ask(f"took {token}")
    wait_until(lambda: nats.messages() == 0, "the stream is empty")
    assert not [said for said in bus.heard if said[0] == "arrived"]


def test_a_process_that_stood_still_goes_on(nats, make_bus):
    sender, receiver = make_bus(nats.url).connected(), make_bus(nats.url, node="b").connected()
    receiver.ask(f"follow {IRIS}")
    send_signal(receiver.pid, signal.SIGSTOP)
    assert receiver.ask(f"flood {IRIS} 100 1000000")[2]
    assert not receiver.ask(f"publish {IRIS} id-0 too-much")[2]  # requests to it meanwhile are bounded
    assert sender.publish(IRIS, "id-1", "one") is None
    send_signal(receiver.pid, signal.SIGCONT)
    receiver.ask("mute")
    for said in [said for said in receiver.heard if said[0] == "arrived"]:
        receiver.ask(f"took {said[1]}")
    wait_until(lambda: nats.messages() == 0, "the stream is empty")


def test_another_node_that_follows_gets_at_once_what_the_one_before_has_in_hand(nats, make_bus):
    first, second = make_bus(nats.url).connected(), make_bus(nats.url, node="b").connected()
    first.ask(f"follow {IRIS}")
    assert first.publish(IRIS, "id-1", "one") is None
    first.arrived("one")
    first.ask(f"unfollow {IRIS}")
    second.ask(f"follow {IRIS}")
    second.ask(f"took {second.arrived('one')}")
    wait_until(lambda: nats.messages() == 0, "the stream is empty")


def test_no_more_is_in_hand_than_there_is_room_for_and_all_of_a_flood_is_taken(nats, make_bus):
    sender, receiver = make_bus(nats.url).connected(), make_bus(nats.url, node="b").connected()
    sender.ask(f"flood {IRIS} 3000 2000")
    wait_until(lambda: nats.messages() == 3000, "all of it is in the stream")
    receiver.ask(f"follow {IRIS}")
    wait_until(lambda: len(receiver.heard) >= 256, "the room is filled")
    assert nats.ask("CONSUMER.INFO.AGENTOS.agent-iris")["num_ack_pending"] == 256
    first = list(receiver.heard)
    receiver.ask("mute")
    for said in first:
        receiver.ask(f"took {said[1]}")
    wait_until(lambda: nats.messages() == 0, "the stream is empty")
    assert receiver.ask("taken")[1] + len([said for said in receiver.heard if said[0] == "arrived"]) == 3000


def test_a_message_that_is_larger_than_the_server_takes_is_answered_with_its_limit(make_nats, make_bus):
    bus = make_bus(make_nats("max_payload: 1000").start().url).connected()
    assert "max_payload" in bus.publish(IRIS, "id-1", "x" * 2000)
    assert bus.publish(IRIS, "id-2", "small") is None


# --- keys ---


def test_a_key_is_made_changed_and_deleted_by_its_revision_and_everybody_sees_it(nats, make_bus):
    writer = make_bus(nats.url).connected()
    revision, why = writer.put("put lease.iris 0 one")
    assert revision and not why
    assert writer.put("put lease.iris 0 two") == [0, "the key has another revision"]
    assert writer.put("put lease.iris 99 two") == [0, "the key has another revision"]
    second, _ = writer.put(f"put lease.iris {revision} two")
    assert writer.put(f"delete lease.iris {revision}")[0] == 0
    mark, _ = writer.put(f"delete lease.iris {second}")
    writer.next("key", "lease.iris", None, mark)
    third, _ = writer.put("put lease.iris 0 three")
    assert third > mark
    assert writer.put("put node.a any x y z")[0]
    reader = make_bus(nats.url, node="b").connected()
    reader.next("key", "lease.iris", "three", third)
    reader.next("key", "node.a", "x y z")
    reader.next("key", None)
    assert writer.put("put lease..iris 0 x") == [0, "that is no key"]


# --- the server goes and comes ---


def test_a_server_that_is_killed_costs_time_and_nothing_else(nats, make_bus):
    bus = make_bus(nats.url).connected()
    bus.ask(f"follow {IRIS}")
    assert bus.publish(IRIS, "id-1", "one") is None
    bus.arrived("one")
    revision, _ = bus.put("put lease.iris 0 one")
    nats.kill()
    bus.away("no server listens")
    assert bus.ask(f"publish {IRIS} id-2 two")[2] is False
    nats.start()
    bus.connected()
    bus.ask(f"took {bus.arrived('one')}")
    bus.next("key", "lease.iris", "one", revision)
    bus.next("key", None)
    wait_until(lambda: nats.messages() == 0, "the stream is empty")


def test_a_server_that_lost_its_store_gets_stream_bucket_and_consumers_again(nats, make_bus):
    bus = make_bus(nats.url).connected()
    bus.ask(f"follow {IRIS}")
    bus.put("put lease.iris 0 one")
    nats.kill()
    nats.lose()
    bus.away("no server listens")
    bus.heard.clear()
    nats.start()
    bus.connected()
    bus.next("key", None)
    assert not [said for said in bus.heard if said[0] == "key"]
    assert bus.publish(IRIS, "id-1", "one") is None
    bus.arrived("one")


@pytest.mark.parametrize("stream", ["AGENTOS", "KV_agentos"])
def test_a_stream_that_somebody_deleted_is_said_and_made_anew(nats, make_bus, stream):
    bus = make_bus(nats.url).connected()
    bus.ask(f"follow {IRIS}")
    assert "success" in nats.ask(f"STREAM.DELETE.{stream}")
    assert bus.away("deleted")
    bus.connected()
    assert bus.publish(IRIS, "id-1", "one") is None
    bus.arrived("one")
    assert bus.put("put lease.iris 0 one")[0]


def test_a_consumer_that_somebody_deleted_is_made_anew(nats, make_bus):
    bus = make_bus(nats.url).connected()
    bus.ask(f"follow {IRIS}")
    assert bus.publish(IRIS, "id-1", "one") is None
    bus.ask(f"took {bus.arrived('one')}")
    said = nats.ask("CONSUMER.DELETE.AGENTOS.agent-iris")
    assert "success" in said or "directory not empty" in said["error"]["description"]  # nats-server 2.9's own race with its files
    assert bus.publish(IRIS, "id-2", "two") is None
    bus.arrived("two")


def test_a_server_that_stands_still_is_left_after_some_seconds_and_taken_again(nats, make_bus):
    bus = make_bus(nats.url).connected()
    nats.process.send_signal(signal.SIGSTOP)
    bus.away("has not answered")
    nats.process.send_signal(signal.SIGCONT)
    bus.connected()
    assert bus.publish(IRIS, "id-1", "one") is None


def test_a_full_stream_refuses_and_says_so_until_there_is_room(nats, make_bus):
    config = {"name": "AGENTOS", "subjects": ["agentos.agent.*", "agentos.node.*"], "retention": "workqueue", "storage": "file"}
    nats.ask("STREAM.CREATE.AGENTOS", {**config, "discard": "new", "duplicate_window": 120 * 10**9, "num_replicas": 1, "max_msgs": 2})
    bus = make_bus(nats.url).connected()
    assert [bus.publish(IRIS, f"id-{i}", f"text {i}") for i in range(2)] == [None, None]
    assert "maximum messages" in bus.publish(IRIS, "id-2", "text 2")
    assert "the stream AGENTOS is full" in bus.ask("problem")[1]
    bus.ask(f"follow {IRIS}")
    bus.ask(f"took {bus.arrived('text 0')}")
    wait_until(lambda: nats.messages() == 1, "one is taken")
    assert bus.publish(IRIS, "id-3", "text 3") is None
    assert bus.ask("problem")[1] == ""


def test_a_stream_that_is_not_as_it_should_be_is_said_and_one_that_can_not_be_used_is_not_used(nats, make_bus):
    config = {"name": "AGENTOS", "subjects": ["agentos.agent.*", "agentos.node.*"], "num_replicas": 1, "storage": "file"}
    nats.ask("STREAM.CREATE.AGENTOS", {**config, "retention": "workqueue", "discard": "old"})
    bus = make_bus(nats.url).connected()
    assert "the stream AGENTOS was made with another discard" in bus.ask("problem")[1]
    nats.ask("STREAM.DELETE.AGENTOS")
    nats.ask("STREAM.CREATE.AGENTOS", {**config, "retention": "limits"})
    bus.away("another retention", "can't be used")


# --- what servers may lack ---


def test_a_server_without_jetstream_is_said(make_nats, make_bus):
    make_bus(make_nats(jetstream=False).start().url).away("has no JetStream")


def test_several_servers_are_tried_in_turn_and_each_says_why(make_nats, make_bus):
    nats, nobody = make_nats(), free_port()
    bus = make_bus(f"nats://127.0.0.1:{nobody},{nats.url}")
    bus.away(f"127.0.0.1:{nobody}: no server listens", f"127.0.0.1:{nats.port}: no server listens")
    nats.start()
    bus.connected()
    assert bus.ask("problem")[1] == ""


def test_a_name_that_is_not_found_is_said(make_bus):
    make_bus("nats://no-such-host.invalid:4222").away("its name is not found")


@contextlib.contextmanager
def fake_server(speak):
    """Each connection is handed to speak; the list has their number."""
    listener, seen = socket.create_server(("127.0.0.1", 0)), []

    def accept():
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            seen.append(line)
            with contextlib.suppress(OSError):
                speak(line)

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1], seen
    finally:
        end_accepting(listener, accepting)


def info(**more):
    return b"INFO " + json.dumps({"server_id": "x", "version": "2.9.10", "proto": 1, "headers": True, "max_payload": 1048576, **more}).encode() + b"\r\n"


def close_after(*parts):
    def speak(line):
        for part in parts:
            line.sendall(part)
        line.shutdown(socket.SHUT_WR)

    return speak


@pytest.mark.parametrize(
    "speak, words",
    [
        (lambda line: None, "says nothing"),
        (close_after(b""), "closed the connection"),
        (lambda line: line.sendall(info(tls_required=True)), "TLS fails"),
        (close_after(b"\x00\xff" * 5000 + b"\r\n"), "127.0.0.1"),
        (close_after(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "doesn't speak NATS"),
        (close_after(b"INFO {{{{\r\n"), "doesn't speak NATS"),
        (close_after(info(), b"MSG a 1 2147483647\r\n" + b"x" * 100000), "127.0.0.1"),
        (close_after(info(), b"PONG\r\n", b"MSG " + b"y" * 10000 + b"\r\n"), "127.0.0.1"),
        (close_after(info(), b"PONG\r\n", b"HMSG x 1 99999999 12\r\nNATS/1.0\r\n\r\n"), "127.0.0.1"),
    ],
    ids=["hangs", "closes", "hangs-in-tls", "garbage", "http", "no-json", "huge-before", "long-line", "short-header"],
)
def test_a_server_that_hangs_or_talks_nonsense_is_said_and_does_no_harm(make_bus, speak, words):
    with fake_server(speak) as (port, seen):
        bus = make_bus(f"nats://127.0.0.1:{port}")
        bus.away(words)
        pid = bus.pid
        before = len(seen)
        wait_until(lambda: len(seen) > before + 1, "it is tried again")
        assert bus.pid == pid and alive(pid)


@pytest.mark.parametrize("then", [b"PONG\r\n", b""], ids=["taken", "not-taken"])
def test_servers_that_the_bus_announces_are_not_connected_to(make_bus, then):
    with fake_server(lambda line: None) as (other, others):
        with fake_server(close_after(info(connect_urls=[f"127.0.0.1:{other}"]), then)) as (port, seen):
            make_bus(f"nats://127.0.0.1:{port}")
            wait_until(lambda: len(seen) > 3, "the server that is configured is tried again and again")
            assert not others


# --- certificates and credentials ---


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture
def authority(tmp_path):
    folder = tmp_path / "ca"
    folder.mkdir()

    def issue(name, subject):
        key, request, certificate, more = (folder / f"{name}.{end}" for end in ("key", "csr", "crt", "ext"))
        more.write_text(f"subjectAltName={subject}\n")
        openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", more, "-out", certificate)
        return certificate, key

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca", "-keyout", folder / "ca.key", "-out", folder / "ca.crt")
    issue.ca = folder / "ca.crt"
    return issue


def tls(certificate, key, more=""):
    return f'tls {{ cert_file: "{certificate}", key_file: "{key}" {more} }}'


def test_tls_with_the_certificate_of_a_known_authority_works_and_any_other_is_said(make_nats, make_bus, authority):
    good = make_nats(tls(*authority("good", "DNS:localhost,IP:127.0.0.1"))).start()
    wrong = make_nats(tls(*authority("wrong", "DNS:elsewhere.example"))).start()
    for host in ("localhost", "127.0.0.1"):
        bus = make_bus(f"tls://{host}:{good.port}", AGENTOS_BUS_CA_FILE=authority.ca).connected()
        assert bus.publish(IRIS, f"id-{host}", "one") is None
    make_bus(f"tls://localhost:{good.port}").away("an authority that is not trusted here")
    make_bus(f"tls://localhost:{wrong.port}", AGENTOS_BUS_CA_FILE=authority.ca).away("its certificate is for another host")


def test_tls_that_the_server_does_not_have_is_said_and_not_gone_without(nats, make_bus):
    make_bus(f"tls://127.0.0.1:{nats.port}").away("it has no TLS, and AGENTOS_BUS says tls://")


def test_a_server_that_wants_a_certificate_of_the_node_gets_it_from_the_files(make_nats, make_bus, authority):
    server = make_nats(tls(*authority("good", "DNS:localhost"), f', ca_file: "{authority.ca}", verify: true')).start()
    certificate, key = authority("node", "DNS:node")
    url = f"tls://localhost:{server.port}"
    make_bus(url, AGENTOS_BUS_CA_FILE=authority.ca, AGENTOS_BUS_CERT_FILE=certificate, AGENTOS_BUS_KEY_FILE=key).connected()
    make_bus(url, AGENTOS_BUS_CA_FILE=authority.ca).away("certificate", "AGENTOS_BUS_CERT_FILE")


@pytest.mark.parametrize(
    "config, good, bad",
    [("authorization { user: u, password: 'p:q' }", "u:p:q\n", "u:other"), ("authorization { token: s3cret }", "s3cret", "other")],
    ids=["password", "token"],
)
def test_credentials_come_from_their_file_and_a_refusal_is_said(make_nats, make_bus, tmp_path, config, good, bad):
    server, creds = make_nats(config).start(), tmp_path / "creds"
    make_bus(server.url).away("it wants credentials, and AGENTOS_BUS_CREDS_FILE is not set")
    creds.write_text(bad)
    make_bus(server.url, AGENTOS_BUS_CREDS_FILE=creds).away("it refuses the credentials of AGENTOS_BUS_CREDS_FILE")
    creds.write_text(good)
    bus = make_bus(server.url, AGENTOS_BUS_CREDS_FILE=creds).connected()
    assert bus.publish(IRIS, "id-1", "one") is None


class Nkey:
    """A key of NATS's kind, and its signatures: as `nsc` makes them, by openssl."""

    def __init__(self, folder, name, prefix):
        self.key, self.prefix = folder / f"{name}.der", prefix
        openssl("genpkey", "-algorithm", "ed25519", "-outform", "DER", "-out", self.key)
        openssl("pkey", "-in", self.key, "-inform", "DER", "-pubout", "-outform", "DER", "-out", folder / "public")
        self.public = self.encode(bytes([prefix]) + (folder / "public").read_bytes()[-32:])

    @staticmethod
    def encode(text):
        return base64.b32encode(text + binascii.crc_hqx(text, 0).to_bytes(2, "little")).decode().rstrip("=")

    @property
    def seed(self):
        return self.encode(bytes([144 | self.prefix >> 5, (self.prefix & 31) << 3]) + self.key.read_bytes()[-32:])

    def sign(self, subject, kind, **claims):
        def part(thing):
            return base64.urlsafe_b64encode(json.dumps(thing).encode()).rstrip(b"=")

        said = {"jti": "x", "iat": 1700000000, "iss": self.public, "name": kind, "sub": subject.public, "nats": {"type": kind, "version": 2, **claims}}
        text = part({"typ": "JWT", "alg": "ed25519-nkey"}) + b"." + part(said)
        (unsigned := self.key.with_suffix(".txt")).write_bytes(text)
        openssl("pkeyutl", "-sign", "-inkey", self.key, "-keyform", "DER", "-rawin", "-in", unsigned, "-out", signed := self.key.with_suffix(".sig"))
        return (text + b"." + base64.urlsafe_b64encode(signed.read_bytes()).rstrip(b"=")).decode()


def test_a_creds_file_is_shown_and_signed_with(make_nats, make_bus, tmp_path):
    operator, account, above, user = (Nkey(tmp_path, name, prefix) for name, prefix in (("o", 112), ("a", 0), ("s", 0), ("u", 160)))
    names = "subs data payload imports exports conn leaf mem_storage disk_storage streams consumer".split()
    limits = {**dict.fromkeys(names, -1), "wildcards": True}
    accounts = f"{account.public}: {operator.sign(account, 'account', limits=limits)}, {above.public}: {operator.sign(above, 'account')}"
    server = make_nats(f"operator: {operator.sign(operator, 'operator')}\nsystem_account: {above.public}\n"
                       f"resolver: MEMORY\nresolver_preload: {{ {accounts} }}").start()  # fmt: skip
    jwt, other = account.sign(user, "user", subs=-1, data=-1, payload=-1), Nkey(tmp_path, "x", 160)
    for name, seed in (("good", user.seed), ("bad", other.seed)):
        (tmp_path / name).write_text(
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    bus = make_bus(server.url, AGENTOS_BUS_CREDS_FILE=tmp_path / "good").connected()
    assert bus.publish(IRIS, "id-1", "one") is None
    make_bus(server.url, AGENTOS_BUS_CREDS_FILE=tmp_path / "bad").away("it refuses the credentials of AGENTOS_BUS_CREDS_FILE")


def test_what_the_server_does_not_permit_is_said(make_nats, make_bus, tmp_path):
    (tmp_path / "creds").write_text("u:p")
    rule = 'authorization { users = [ { user: u, password: p, permissions: { publish: { deny: ["$JS.API.>"] } } } ] }'
    bus = make_bus(make_nats(rule).start().url, AGENTOS_BUS_CREDS_FILE=tmp_path / "creds")
    bus.away("the server does not permit it", "$JS.API")


def test_the_rights_that_the_manual_names_are_enough(make_nats, make_bus, tmp_path):
    (tmp_path / "creds").write_text("u:p")
    page = (pathlib.Path(__file__).resolve().parents[2] / "deploy/docs/machines.md").read_text()
    told = re.findall(r"`([^`]+)`", re.search(r"rights of its own needs to publish to(.*?)\. Servers", page, re.DOTALL)[1])
    rights = f"publish: {json.dumps(told[:-1])}, subscribe: {json.dumps(told[-1:])}"
    server = make_nats(f"authorization {{ users = [ {{ user: u, password: p, permissions: {{ {rights} }} }} ] }}").start()
    bus = make_bus(server.url, AGENTOS_BUS_CREDS_FILE=tmp_path / "creds").connected()
    bus.ask(f"follow {IRIS}")
    assert bus.publish(IRIS, "id-1", "one") is None
    bus.ask(f"took {bus.arrived('one')}")
    revision, _ = bus.put("put lease.iris 0 one")
    bus.next("key", "lease.iris", "one", revision)
    assert bus.ask("problem")[1] == ""


# --- the process, and the supervisor around it ---


def test_the_process_has_nothing_of_an_agent_and_no_key_of_the_model(nats, make_system, model):
    system = make_system(model=model, env={"AGENTOS_BUS": nats.url, "AGENTOS_NODE": "a"}).start()

    def bus_of():
        return next((pid for pid in child_table().get(system.process.pid, []) if program_of(pid) == "agentos-bus"), None)

    pid = wait_until(bus_of, "agentos-bus runs")
    system.wait_log("Connected to AGENTOS_BUS")
    with open(f"/proc/{pid}/environ", "rb") as environ:
        assert KEY.encode() not in environ.read()
    opened = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    assert all(path.startswith(("socket:", "pipe:", "anon_inode:", "/dev/null")) for path in opened), opened
    with open(f"/proc/{pid}/cmdline", "rb") as title:
        assert b"agentos-bus [sealed: landlock" in title.read()
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        said = status.read()
    assert "Seccomp:\t2" in said and "NoNewPrivs:\t1" in said and "CapEff:\t0000000000000000" in said
    assert system.status()["supervisor"]["problems"] == []


def test_a_bus_that_is_away_costs_no_local_work_and_is_a_problem_of_the_supervisor_everywhere(make_system, make_nats, model):
    nats = make_nats().start()
    env = {"AGENTOS_BUS": nats.url, "AGENTOS_NODE": "a", "AGENTOS_LISTEN": "127.0.0.1:0"}
    system = make_system(model=model, env=env, yaml=agents_yaml(["orion"], "    node: a\n")).start()
    nats.kill()
    system.add("one")
    system.wait_done("one")
    http = Http(system)
    wait_until(lambda: any("the bus is away: nats://" in said for said in system.status()["supervisor"]["problems"]), "status says it")
    wait_until(lambda: http.metrics()[PROBLEMS] == 1, "the metrics say it")
    status, _, body = http.ask("/readyz")
    assert status == 200 and "problems of its own" in json.loads(body)["problems"][0] and "nats" not in body
    nats.start()
    wait_until(lambda: system.status()["supervisor"]["problems"] == [], "no problem any more")
    wait_until(lambda: http.metrics()[PROBLEMS] == 0, "the metrics have no problem any more")
    assert "problems" not in json.loads(http.ask("/readyz")[2])
    assert system.log().count("The bus is away") < 3


def test_doctor_says_where_the_bus_is_and_which_file_can_not_be_read(make_system):
    system = make_system(env={"AGENTOS_BUS": "tls://one:4222,tls://two", "AGENTOS_NODE": "a", "AGENTOS_BUS_CA_FILE": "/nonexistent"})
    said = system.cli("doctor", check=False).stdout
    assert "AGENTOS_BUS_CA_FILE names /nonexistent, which cannot be read" in said
    system.env["AGENTOS_BUS_CA_FILE"] = ""
    assert "2 server(s), tls://one:4222 first; this node is 'a'" in system.cli("doctor", check=False).stdout
    assert "libnats 3." in system.cli("--version").stdout


@pytest.mark.parametrize(
    "env, words",
    [
        ({"AGENTOS_BUS": "http://x"}, "AGENTOS_BUS is no nats:// or tls:// URL"),
        ({"AGENTOS_BUS": "nats://u:p@x"}, "put user:password into the file that AGENTOS_BUS_CREDS_FILE names"),
        ({"AGENTOS_BUS": "nats://x:1,tls://y:2"}, "all servers are reached the same way"),
        ({"AGENTOS_BUS": "nats://x:99999"}, "a port that is no number"),
        ({"AGENTOS_BUS": "nats://x", "AGENTOS_BUS_CREDS_FILE": "/nonexistent"}, "AGENTOS_BUS_CREDS_FILE names /nonexistent, which cannot be read"),
        ({"AGENTOS_BUS": "nats://x", "AGENTOS_BUS_CERT_FILE": "/etc/hostname"}, "belong together"),
    ],
)
def test_a_setting_that_can_not_be_right_is_refused_by_check_and_run(make_system, env, words):
    system = make_system(env=env)
    for verb in ("check", "run"):
        done = system.cli(verb, check=False)
        assert done.returncode == 78 and words in done.stdout + done.stderr
