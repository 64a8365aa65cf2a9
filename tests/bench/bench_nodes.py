#!/usr/bin/python3
"""Handoffs between two nodes: durable deliveries, one after the other and out of a full outbox, beside the same between two agents
of one node, and beside publishing with acknowledgement to a stream of the same nats-server (the floor).

A handoff is delivered when it lies durably in its receiver's iac/handoffs/; the receiver is stopped, so it stays there. The
time of a handoff counts from the answer of its sender's model: the sender's commit is in it.

    bench_nodes.py [ENVELOPES]
"""

import json
import pathlib
import shutil
import socket
import sys
import tempfile
import time

import bench_post
import measure
from bench_post import BODY, COUNT, MANY, YAML, lie_in
from measure import harness
from post_office import drop, envelope, handing

sys.path.insert(0, str(harness.ROOT / "tests/integration"))
from nats_server import Nats, pinned  # noqa: E402

ONES = 200  # one after the other


# ---- the floor ----


class Publisher:
    """A client of NATS that publishes to a stream of its own and waits for the acknowledgements."""

    def __init__(self, port):
        self.link = socket.create_connection(("127.0.0.1", port))
        self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.link.makefile("rb")
        self.reader.readline()  # INFO
        self.link.sendall(b'CONNECT {"verbose":false}\r\nSUB acks 1\r\n')
        made = json.dumps({"name": "FLOOR", "subjects": ["floor"], "storage": "file", "retention": "limits"}).encode()
        self.publish("$JS.API.STREAM.CREATE.FLOOR", made)
        assert b"error" not in self.acknowledged()

    def publish(self, subject, body):
        self.link.sendall(b"PUB %s acks %d\r\n%s\r\n" % (subject.encode(), len(body), body))

    def acknowledged(self):
        while not (line := self.reader.readline()).startswith(b"MSG "):
            assert line.startswith((b"PING", b"+OK")), line
            if line.startswith(b"PING"):
                self.link.sendall(b"PONG\r\n")
        return self.reader.read(int(line.split()[-1]) + 2)


def floor(nats):
    body, publisher = envelope("floor-000000", body=BODY).encode(), Publisher(nats.port)
    ones = []
    for _ in range(ONES):
        begin = time.perf_counter()
        publisher.publish("floor", body)
        publisher.acknowledged()
        ones.append((time.perf_counter() - begin) * 1e3)
    begin = time.perf_counter()
    for number in range(COUNT + MANY):
        if number >= MANY:
            publisher.acknowledged()
        if number < COUNT:
            publisher.publish("floor", body)
    return ones, COUNT / (time.perf_counter() - begin)


# ---- ours ----


def one_after_the_other(model, sender, home, to):
    there = {}
    for number in range(ONES):
        had, task = lie_in(home, to, "handoffs"), f"one-{to}-{number:03}"
        sender.add(task, f"Begin {task}. " + handing(to, BODY))
        harness.wait_until(lambda: lie_in(home, to, "handoffs") == had + 1, "it is delivered", 60, 0.0002)
        there[task] = time.monotonic_ns()
    asked = {request["task"].split()[1].rstrip("."): request["end_ns"] for request in model.requests()}
    return [(at - asked[task]) / 1e6 for task, at in there.items()]


def out_of_an_outbox(sender, home, to):
    sender.cli("stop", "orion")
    start = lie_in(home, to, "handoffs")
    for number in range(COUNT):
        identity = f"many-{to}-{number:06}"
        drop(sender, "orion", "outbox", identity, envelope(identity, sender="orion", to=to, status="pending", body=BODY))
    sender.cli("start", "orion", "--no-wait")
    harness.wait_until(lambda: lie_in(home, to, "handoffs") > start, "the first delivered", 120, 0.0005)
    begin, had = time.perf_counter(), lie_in(home, to, "handoffs")
    harness.wait_until(lambda: lie_in(home, to, "handoffs") == start + COUNT, "all delivered", 120, 0.0005)
    return (start + COUNT - had) / (time.perf_counter() - begin)


def nodes(nats, model):
    homes = {"orion": "a", "nova": "a", "iris": "b"}
    yaml = YAML + pinned(homes, lambda name: "    throughput_class: fast\n")
    found = []
    for node in "ab":
        env = {"POLL_INTERVAL": "60", "LOG_LEVEL": "warn", "AGENTOS_NODE": node, "AGENTOS_BUS": nats.url}
        system = harness.System(list(homes), model=model, yaml=yaml, env=env)
        system.names = [name for name in homes if homes[name] == node]
        found.append(system.start())
    return found


def measured(model, sender, home, to):
    home.cli("stop", to)
    ones = one_after_the_other(model, sender, home, to)
    return ones, out_of_an_outbox(sender, home, to)


def main():
    bench_post.install(["nats-server"], ["nats-server"])
    model = harness.Model()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-nodes-", dir=harness.SCRATCH))
    nats, systems = Nats(folder), []
    try:
        systems = nodes(nats, model)
        a, b = systems
        rows = {
            "publishing, acknowledged (the floor)": floor(nats),
            "a handoff on one node": measured(model, a, a, "nova"),
            "a handoff to another node": measured(model, a, b, "iris"),
        }
        for name, (ones, many) in rows.items():
            measure.say(f"{name}, one, median", measure.median(ones), "ms")
            measure.say(f"{name}, one, 99 of 100", measure.share(ones, 0.99), "ms")
            measure.say(f"{name}, many", many, "/s")
        *others, ours = rows
        for other in others:
            measure.say(f"another node / {other}, one", measure.median(rows[ours][0]) / measure.median(rows[other][0]), "times")
            measure.say(f"another node / {other}, many", rows[ours][1] / rows[other][1], "times")
    finally:
        for system in systems:
            system.destroy()
        nats.kill()
        model.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
