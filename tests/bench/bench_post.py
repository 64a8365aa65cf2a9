#!/usr/bin/python3
"""The post office: durable deliveries, one after the other and many under way, beside a fsynced Maildir delivery on the
same disk (the floor), redis-server (streams, appendfsync always) and beanstalkd (binlog, a flush each); then handoffs
end to end: accepted, delivered, done by their receiver's cycle, the result back.

The same program (load.c) asks all servers, over connections that stay; Maildir has no server, so its deliveries
are written by threads of one program, each its own, with a flush for each file and one for each name.

    bench_post.py [ENVELOPES]
"""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import measure
from measure import harness
from post_office import drop, envelope, handing, in_folder

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
MANY = 50  # under way at once
MANY_TIMES = 3  # as many as go one after the other; a queue holds 10,000
FLOOR, OURS = "Maildir, fsynced (the floor)", "agentos send"
BODY = "Look at the third chapter, and say what is missing there.\n" * 4
PEER_PROGRAMS = ["redis-server", "beanstalkd"]  # and their packages


def install(packages, programs):
    missing = [program for program in programs if not shutil.which(program)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, env=environment)


def program(name):
    """A program of the benchmarks' own: such programs are built with the tests, which the release build leaves out."""
    places = [harness.BIN / name, harness.ROOT / "build/dev/bin" / name]
    return str(next((place for place in places if place.exists()), name))


def load(where, request, answer, lines, connections, count):
    """(a second, median ms, 99 of 100 under) of so many requests, of which so many are under way at once."""
    words = [program("load"), str(where), answer, str(lines), str(connections), str(count)]
    said = subprocess.run(words, input=request, stdout=subprocess.PIPE, check=True).stdout.split()
    return [float(word) for word in said[:3]]


def one_and_many(*what):
    return load(*what, 1, COUNT), load(*what, MANY, COUNT * MANY_TIMES)


# ---- the floor ----


def maildir(folder):
    def deliver(threads, count):
        words = [program("maildir"), str(folder), str(threads), str(count), str(len(BODY))]
        return [float(word) for word in subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout.split()[:3]]

    return deliver(1, COUNT), deliver(MANY, COUNT * MANY_TIMES)


# ---- the peers ----


@contextlib.contextmanager
def server(command, port):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers():
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True

    try:
        harness.wait_until(answers, command[0])
        yield
    finally:
        process.kill()
        process.wait()


def redis(folder):
    port = harness.free_port()
    command = ["redis-server", "--port", str(port), "--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always",
               "--save", "", "--bind", "127.0.0.1"]
    body = BODY.encode()
    words = b"*5\r\n$4\r\nXADD\r\n$4\r\npost\r\n$1\r\n*\r\n$4\r\nbody\r\n$%d\r\n%s\r\n" % (len(body), body)
    with server(command, port):
        return one_and_many(port, words, "$", 2)


def beanstalkd(folder):
    port = harness.free_port()
    body = BODY.encode()
    words = b"put 1 0 60 %d\r\n%s\r\n" % (len(body), body)
    with server(["beanstalkd", "-l", "127.0.0.1", "-p", str(port), "-b", str(folder), "-f", "0"], port):
        return one_and_many(port, words, "INSERTED ", 1)


PEERS = {"redis, appendfsync always": ("redis-server", redis), "beanstalkd, flush each": ("beanstalkd", beanstalkd)}


# ---- ours ----

YAML = "throughput_classes:\n  fast: {window: 10000, backlog: 1000000}\n"
QUEUES = "queues:\n  - {name: work, consumers: [orion]}\n"


def system_of(names, model, more="", **options):
    yaml = YAML + harness.agents_yaml(names, "    throughput_class: fast\n") + more
    return harness.System(names, model=model, yaml=yaml, env={"POLL_INTERVAL": "60", "LOG_LEVEL": "warn"}, **options)


def asked(model, request, systems):
    """For an agent that sleeps: the time of the post office itself. The system's files stay till the end: where many were
    deleted a short time ago, an ext4 without a journal searches long for each new one's inode."""
    system = system_of(["orion"], model, QUEUES)
    systems.append(system)
    system.start()
    try:
        system.cli("stop", "orion")
        words = json.dumps({**request, "text": BODY}).encode() + b"\n"
        return one_and_many(system.data / ".run/control", words, '{"exit":0,', 1)
    finally:
        system.stop()


def lie_in(system, name, folder):
    with contextlib.suppress(OSError):
        return len(os.listdir(system.tree(name) / "iac" / folder))
    return 0


def out_of_an_outbox(model, count):
    """Envelopes that lie in an outbox when their agent starts, until all lie durably with their receiver."""
    system = system_of(["orion", "iris"], model).start()
    try:
        for name in ("orion", "iris"):
            system.cli("stop", name)
        for number in range(count):
            identity = f"many-{number:06}"
            drop(system, "orion", "outbox", identity, envelope(identity, to="iris", status="pending", body=BODY))
        system.cli("start", "orion", "--no-wait")
        harness.wait_until(lambda: lie_in(system, "iris", "handoffs") > 0, "the first delivered", 120, 0.0005)
        begin, had = time.perf_counter(), lie_in(system, "iris", "handoffs")
        harness.wait_until(lambda: lie_in(system, "iris", "handoffs") == count, "all delivered", 120, 0.0005)
        return (count - had) / (time.perf_counter() - begin)
    finally:
        system.destroy()


def results(system, name):
    """Unread envelopes, and envelopes that a cycle has read meanwhile."""
    return lie_in(system, name, "inbox") + sum(
        e["kind"] == "result" and e["to"] == name for e in in_folder(system, name, "archive").values()
    )


def end_to_end(model, pairs, each):
    """So many senders hand each their receiver some work; a second come the results."""
    senders = [f"sender{n}" for n in range(pairs)]
    receivers = [f"doer{n}" for n in range(pairs)]
    system = system_of(senders + receivers, model).start()
    try:
        for sender, receiver in zip(senders, receivers):
            system.add("start", "Begin. " + handing(receiver, *[f"{n} {BODY}" for n in range(each)]), name=sender)
        harness.wait_until(lambda: any(lie_in(system, name, "inbox") for name in senders), "the first result", 120, 0.001)
        begin, had = time.perf_counter(), sum(lie_in(system, name, "inbox") for name in senders)
        wanted = pairs * each
        harness.wait_until(lambda: sum(lie_in(system, name, "inbox") for name in senders) == wanted, "all results", 600, 0.01)
        taken = time.perf_counter() - begin
        assert all(e["kind"] == "result" for name in senders for e in in_folder(system, name, "inbox").values())
        return (wanted - had) / taken
    finally:
        system.destroy()


def whole_way_ms(model, count=50):
    """From a task's append to the result of its handoff in the sender's inbox, in an idle system: two cycles, two asks of
    the model, two deliveries."""
    system = system_of(["orion", "iris"], model).start()
    taken = []
    try:
        for number in range(count):
            done = number + 1
            begin = time.perf_counter()
            system.add(f"start-{number}", "Begin. " + handing("iris", BODY))
            harness.wait_until(lambda: results(system, "orion") == done, "the result", 30, 0.0005)
            taken.append((time.perf_counter() - begin) * 1e3)
            system.wait_queue_empty()
        return taken
    finally:
        system.destroy()


def main():
    install(PEER_PROGRAMS, PEER_PROGRAMS)
    model = harness.Model()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-post-", dir=harness.SCRATCH))
    systems = []
    try:
        rows = {
            FLOOR: maildir(folder / "maildir"),
            OURS: asked(model, {"verb": "send", "agent": "orion"}, systems),
            "agentos enqueue": asked(model, {"verb": "enqueue", "queue": "work"}, systems),
        }
        for name, (needed, run) in PEERS.items():
            (folder / needed).mkdir()
            if shutil.which(needed):
                rows[name] = run(folder / needed)
        for name, (one, many) in rows.items():
            measure.say(f"{name}, one, median", one[1], "ms")
            measure.say(f"{name}, one, 99 of 100", one[2], "ms")
            measure.say(f"{name}, {MANY} under way", many[0], "/s")
            measure.say(f"{name}, {MANY} under way, 99 of 100", many[2], "ms")
        ours = rows[OURS]
        for name, (one, many) in rows.items():
            if name != OURS:
                measure.say(f"{OURS} / {name}, one", ours[0][1] / one[1], "times")
                measure.say(f"{OURS} / {name}, many", ours[1][0] / many[0], "times")
        measure.say("handoffs out of one outbox, delivered", out_of_an_outbox(model, COUNT), "/s")
        measure.say("task, handoff, answer, result back, median", measure.median(whole_way_ms(model)), "ms")
        measure.say("handoffs done, results back, one pair", end_to_end(model, 1, 60), "/s")
        measure.say("handoffs done, results back, eight pairs", end_to_end(model, 8, 60), "/s")
    finally:
        for system in systems:
            system.destroy()
        model.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
