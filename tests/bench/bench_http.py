#!/usr/bin/python3
"""The HTTP interface: GET /v1/agents/NAME beside nginx's static file of the same size, and tasks, durable when they are
answered, beside beanstalkd's put (binlog, a flush each). The same program (load.c) asks both, over connections that stay:
one connection, and many at once.

    bench_http.py [REQUESTS]
"""

import json
import pathlib
import re
import shutil
import socket
import sys
import tempfile

import measure
from bench_post import BODY, beanstalkd, install, load, server
from measure import harness

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
TASKS = max(COUNT // 10, 20)
MANY = 50  # under way at once
NGINX = """daemon off; master_process off; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 256; }}
http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {folder}; proxy_temp_path {folder};
fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
server {{ listen 127.0.0.1:{port}; root {folder}; }} }}
"""


def request(method, path, body=""):
    more = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n{body}".encode()


def answer_to(port, words):
    """One whole answer."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(words)
        got = b""
        while b"\r\n\r\n" not in got:
            got += client.recv(65536)
        head, _, body = got.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        while len(body) < length:
            body += client.recv(65536)
    return head + b"\r\n\r\n" + body, body


def one_and_many(port, words, begins, count):
    lines = answer_to(port, words)[0].count(b"\n")
    return load(port, words, begins, lines, 1, count), load(port, words, begins, lines, MANY, count)


def nginx(folder, body):
    port = harness.free_port()
    (folder / "agent.json").write_bytes(body)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    with server(["nginx", "-c", str(folder / "nginx.conf")], port):
        return one_and_many(port, request("GET", "/agent.json"), "HTTP/1.1 200", COUNT)


def ours(model):
    """GET of an agent with its answer, and tasks for an agent that is stopped: the time of the interface and of the queue."""
    system = harness.System(["orion"], model=model, env={"AGENTOS_LISTEN": "127.0.0.1:0", "POLL_INTERVAL": "60"})
    system.start()
    try:
        port = int(system.wait_log(r"HTTP interface at http://\S+:(\d+)")[1])
        look = request("GET", "/v1/agents/orion")
        got = one_and_many(port, look, "HTTP/1.1 200", COUNT), answer_to(port, look)[1]
        system.cli("pause", "orion")
        task = request("POST", "/v1/agents/orion/tasks", json.dumps({"text": BODY}))
        return *got, one_and_many(port, task, "HTTP/1.1 201", TASKS)
    finally:
        system.destroy()


def show(name, measured, beside=None):
    (one, many), (beside_one, beside_many) = measured, beside or (None, None)
    measure.say(f"{name}, one", one[0], "/s")
    measure.say(f"{name}, one, median", one[1], "ms")
    measure.say(f"{name}, {MANY} under way", many[0], "/s")
    measure.say(f"{name}, {MANY} under way, 99 of 100", many[2], "ms")
    if beside:
        measure.say(f"{name} / the peer's, one", one[0] / beside_one[0], "times")
        measure.say(f"{name} / the peer's, {MANY} under way", many[0] / beside_many[0], "times")


def main():
    install(["nginx-light", "beanstalkd"], ["nginx", "beanstalkd"])
    model = harness.Model()
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            agents, body, tasks = ours(model)
            static = nginx(folder, body) if shutil.which("nginx") else None
            (folder / "binlog").mkdir()
            put = beanstalkd(folder / "binlog") if shutil.which("beanstalkd") else None
    finally:
        model.stop()
    if static:
        show("nginx, a static file of that size", static)
    show("GET /v1/agents/NAME", agents, static)
    if put:
        show("beanstalkd, put with a flush", put)
    show("POST tasks, durable", tasks, put)


if __name__ == "__main__":
    main()
