"""Small servers that misbehave on purpose, and the gateway on its own to be sent against them.

A server is a list of answers: functions (connection, request) that write raw bytes. The n-th request gets the n-th
answer, later ones the last; a plain string of bytes is written as it is. Only the standard library is used.
"""

import json
import os
import select
import socket
import struct
import subprocess
import tempfile
import threading
import time

import harness

PATIENCE = 20 * harness.PATIENCE

ASK, ANSWER, WAITING, FORGET, SPENT, AGAIN, ROOM, LEARNED = 30, 31, 32, 33, 37, 36, 38, 39
PROVIDER, NOTIFY, NOTIFIED = 45, 46, 47
FREE, KNOWN, UNKNOWN, UNSENT = range(4)
NOWHERE = 2**64 - 1
OK, PASSING, AUTH, QUOTA, REQUEST, BUDGET, LENGTH = range(7)


# ---- answers of servers ----


def response(body, status="200 OK", headers=(), type="application/json"):
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {type}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def completion(content="hello", finish="stop", **more):
    message = {"role": "assistant", "content": content}
    return {
        "object": "chat.completion",
        "model": "odd-1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3},
        **more,
    }


def good(content="hello"):
    return response(completion(content))


def error(status, message, headers=(), **more):
    return response({"error": {"message": message, **more}}, status, headers)


def cut_short(connection, request):
    whole = good()
    connection.sendall(whole[:-10])
    connection.close()


def dripped(connection, request):
    for byte in good("drip"):
        connection.sendall(bytes([byte]))


def endless(connection, request):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
    while True:
        connection.sendall(b" " * 65536)


def endless_header(connection, request):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: " + b"y" * 1000 + b"\r\n")


def silent(connection, request):
    connection.recv(1)


def hang_up(connection, request):
    connection.close()


class Request:
    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        self.json = json.loads(body) if body else None
        self.size = len(body or b"")
        self.at = time.monotonic()


class Server:
    def __init__(self, *answers):
        self.answers = list(answers) or [good()]
        self.requests, self.connections = [], 0
        self.under_way = self.peak = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        self.accepting = threading.Thread(target=self.accept, daemon=True)
        self.accepting.start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def read(self, connection, pending):
        while b"\r\n\r\n" not in pending:
            more = connection.recv(65536)
            if not more:
                return None, b""
            pending += more
        head, _, pending = pending.partition(b"\r\n\r\n")
        length = int(Request(head, None).headers.get("content-length", 0))
        while len(pending) < length:
            pending += connection.recv(65536)
        return Request(head, pending[:length]), pending[length:]

    def serve(self, connection):
        pending = b""
        try:
            while True:
                request, pending = self.read(connection, pending)
                if not request:
                    return
                with self.lock:
                    answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
                    self.requests.append(request)
                    self.under_way += 1
                    self.peak = max(self.peak, self.under_way)
                try:
                    if callable(answer):
                        answer(connection, request)
                    else:
                        connection.sendall(answer)
                finally:
                    with self.lock:
                        self.under_way -= 1
        except (OSError, ValueError):
            pass
        finally:
            connection.close()

    def stop(self):
        harness.end_accepting(self.listener, self.accepting)


# ---- the gateway on its own ----


def pack(type, *fields):
    out = struct.pack("<BBH", 1, 0, type)
    for field in fields:
        if isinstance(field, int):
            out += struct.pack("<Q", field)
        else:
            data = field if isinstance(field, bytes) else field.encode()
            out += struct.pack("<I", len(data)) + data
    return struct.pack("<I", len(out)) + out


def unpack(data, shape):
    _, _, type = struct.unpack_from("<BBH", data)
    at, fields = 4, []
    for kind in shape[type]:
        if kind == "n":
            fields.append(struct.unpack_from("<Q", data, at)[0])
            at += 8
        else:
            (length,) = struct.unpack_from("<I", data, at)
            fields.append(data[at + 4 : at + 4 + length].decode())
            at += 4 + length
    assert at == len(data)
    return type, fields


SHAPES = {ANSWER: "ntntttnntnnnnn", WAITING: "nttnt", SPENT: "nttnnnnn", ROOM: "ntnnn", LEARNED: "ttt", PROVIDER: "tttnt", NOTIFIED: "nnnt"}


class Spent:
    """The seconds that one request took."""

    names = "serial agent model kind tokens_in tokens_out cached again".split()

    def __init__(self, fields):
        self.__dict__.update(zip(self.names, fields))

    def __repr__(self):
        return f"Spent({self.__dict__})"


class Answer:
    """With the tokens of its question's last request."""

    names = "serial agent kind text finish model tokens_in tokens_out provider retry_after answered".split()

    def __init__(self, fields, spent):
        self.__dict__.update(zip(self.names, fields))
        for request in spent:
            if request.serial == self.serial:
                self.tokens_in, self.tokens_out = request.tokens_in, request.tokens_out

    def __repr__(self):
        return f"Answer({self.__dict__})"


class Gateway:
    """A real agentos-gateway on a socket pair. keys: {variable: value}, handed over as the supervisor does."""

    def __init__(self, base_url=None, keys=None, prefix=(), **settings):
        ours, theirs = socket.socketpair()
        secrets = os.memfd_create("secrets")
        os.write(secrets, b"".join(f"{k}={v}".encode() + b"\0" for k, v in (keys or {}).items()))
        env = {k: v for k, v in os.environ.items() if not k.startswith(("LLM_", "AGENTOS_"))}
        env = {k: v for k, v in env.items() if not k.lower().endswith("_proxy")}
        if base_url:
            env["LLM_BASE_URL"] = base_url
        env.update({k: str(v) for k, v in settings.items()})
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*prefix, harness.BIN / "agentos-gateway", str(theirs.fileno()), str(secrets)],
            pass_fds=[theirs.fileno(), secrets],
            env=env,
            stderr=self.stderr,
        )
        theirs.close()
        os.close(secrets)
        self.socket = ours
        self.pending = b""
        self.waitings, self.answers, self.spent, self.rooms, self.serial = [], [], [], [], 0
        self.went_out = []  # questions whose wait was told of, and is over
        self.leave = True  # further requests are in the budget

    def ask(self, task="Say hello.", agent="orion", serial=None, system="You are a test.", least=0):
        self.serial = serial or self.serial + 1
        self.socket.sendall(pack(ASK, self.serial, agent, system, task, *[NOWHERE] * 4, least))
        return self.serial

    def forget(self, serial, agent="orion"):
        self.socket.sendall(pack(FORGET, serial, agent))

    def pump(self, seconds):
        """Read the messages of so many seconds, until at least one is there. False: none came."""
        deadline = time.monotonic() + seconds
        while True:
            if len(self.pending) >= 4:
                (length,) = struct.unpack_from("<I", self.pending)
                if len(self.pending) >= 4 + length:
                    message, self.pending = self.pending[4 : 4 + length], self.pending[4 + length :]
                    self.hear(*unpack(message, SHAPES))
                    return True
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self.socket], [], [], max(left, 0))[0]:
                return False
            more = self.socket.recv(1 << 20)
            if not more:
                return False
            self.pending += more

    def hear(self, type, fields):
        if type == ANSWER:
            self.answers.append(Answer(fields, self.spent))
        elif type == WAITING:
            (self.waitings if fields[2] else self.went_out).append(fields)
        elif type == ROOM:
            self.rooms.append(tuple(fields[1:4]))
        elif type == SPENT:
            self.spent.append(Spent(fields))
            if self.spent[-1].again and self.leave:
                self.socket.sendall(pack(AGAIN, fields[0], fields[1]))

    def answer(self, serial=None):
        """The answer to this serial (default: the last asked), waited for."""
        serial = serial or self.serial
        deadline = time.monotonic() + PATIENCE
        while True:
            for answer in self.answers:
                if answer.serial == serial:
                    return answer
            assert time.monotonic() < deadline and self.pump(deadline - time.monotonic()), (
                f"no answer to {serial}; the log: {self.log()}"
            )

    def wait_for(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"never came true; the log: {self.log()}"
            self.pump(0.01)

    def talk(self, *arguments, **options):
        return self.answer(self.ask(*arguments, **options))

    def log(self):
        # pread: the offset is shared with the gateway, which writes there
        return os.pread(self.stderr.fileno(), 1 << 24, 0).decode()

    def stop(self):
        self.socket.close()
        status = self.process.wait(PATIENCE)
        return status

    def destroy(self):
        self.socket.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.stderr.close()
