#!/usr/bin/python3
"""The post office: durable deliveries, one after the other and many under way, beside a fsynced Maildir delivery on the
same disk (the floor), redis-server (streams, appendfsync always) and beanstalkd (binlog, a flush each); then handoffs
end to end: accepted, delivered, done by their receiver's cycle, the result back.

    bench_post.py [ENVELOPES]
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import measure
from measure import harness
from post_office import drop, envelope, handing, in_folder

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
MANY = 50  # under way at once
BODY = "Look at the third chapter, and say what is missing there.\n" * 4
PACKAGES = ["redis-server", "redis-tools", "beanstalkd"]


def install():
    missing = [program for program in ("redis-server", "redis-benchmark", "beanstalkd") if not shutil.which(program)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, env=environment)


def each_ms(act, count):
    """How long each of so many took, in milliseconds, one after the other."""
    taken = []
    for number in range(count):
        begin = time.perf_counter()
        act(number)
        taken.append((time.perf_counter() - begin) * 1e3)
    return taken


def rate_of(act, count, workers=MANY):
    """How many a second, with so many under way at once."""
    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(act, range(count)))
    return count / (time.perf_counter() - begin)


# ---- the floor ----


def maildir(folder):
    for name in ("tmp", "new"):
        (folder / name).mkdir(parents=True)

    def deliver(number):
        name = f"{threading.get_ident()}.{number}"
        fd = os.open(folder / "tmp" / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(fd, BODY.encode())
        os.fsync(fd)
        os.close(fd)
        os.rename(folder / "tmp" / name, folder / "new" / name)
        fd = os.open(folder / "new", os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    return deliver


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


class Line:
    """A connection for each thread; says something and takes the answer's line."""

    def __init__(self, port):
        self.port, self.local = port, threading.local()

    def ask(self, words):
        if not hasattr(self.local, "link"):
            self.local.link = socket.create_connection(("127.0.0.1", self.port))
            self.local.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local.link.sendall(words)
        answer = b""
        while not answer.endswith(b"\n"):
            answer += self.local.link.recv(4096)
        return answer


def redis(folder):
    port = harness.free_port()
    command = ["redis-server", "--port", str(port), "--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always",
               "--save", "", "--bind", "127.0.0.1"]
    body = BODY.encode()
    words = b"*5\r\n$4\r\nXADD\r\n$4\r\npost\r\n$1\r\n*\r\n$4\r\nbody\r\n$%d\r\n%s\r\n" % (len(body), body)
    with server(command, port):
        line = Line(port)
        taken = each_ms(lambda _: line.ask(words), COUNT)
        said = subprocess.run(["redis-benchmark", "-p", str(port), "-c", str(MANY), "-n", str(COUNT * 10), "-q", "--csv",
                               "XADD", "post", "*", "body", BODY], capture_output=True, text=True, check=True).stdout
    return taken, float(said.strip().splitlines()[-1].split('","')[1].strip('"'))


def beanstalkd(folder):
    port = harness.free_port()
    body = BODY.encode()
    words = b"put 1 0 60 %d\r\n%s\r\n" % (len(body), body)
    with server(["beanstalkd", "-l", "127.0.0.1", "-p", str(port), "-b", str(folder), "-f", "0"], port):
        line = Line(port)
        taken = each_ms(lambda _: line.ask(words), COUNT)
        rate = rate_of(lambda _: line.ask(words), COUNT * 2)
    return taken, rate


PEERS = {"redis, appendfsync always": ("redis-server", redis), "beanstalkd, flush each": ("beanstalkd", beanstalkd)}


# ---- ours ----

YAML = "throughput_classes:\n  fast: {window: 10000, backlog: 1000000}\n"


def system_of(names, model, **options):
    yaml = YAML + harness.agents_yaml(names, "    throughput_class: fast\n")
    return harness.System(names, model=model, yaml=yaml, env={"POLL_INTERVAL": "60", "LOG_LEVEL": "warn"}, **options)


def ask(system, request):
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(system.data / ".run/control"))
        link.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(link.makefile().readline())
        assert answer["exit"] == 0, answer


def messages(model):
    """Into an inbox whose owner sleeps: what the post office itself takes."""
    system = system_of(["orion"], model).start()
    try:
        system.cli("stop", "orion")
        request = {"verb": "send", "agent": "orion", "text": BODY}
        taken = each_ms(lambda _: ask(system, request), COUNT)
        return taken, rate_of(lambda _: ask(system, request), COUNT * 2)
    finally:
        system.destroy()


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
    """Unread ones, and those that a cycle has read meanwhile."""
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
    install()
    model = harness.Model()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-post-", dir=harness.SCRATCH))
    try:
        deliver = maildir(folder / "maildir")
        floor = each_ms(deliver, COUNT), rate_of(deliver, COUNT * 2)
        rows = {"Maildir, fsynced (the floor)": floor, "agentos send": messages(model)}
        for name, (program, run) in PEERS.items():
            (folder / program).mkdir()
            if shutil.which(program):
                rows[name] = run(folder / program)
        for name, (taken, rate) in rows.items():
            measure.say(f"{name}, one, median", measure.median(taken), "ms")
            measure.say(f"{name}, one, 99 of 100 under", measure.share(taken, 0.99), "ms")
            measure.say(f"{name}, {MANY} under way", rate, "/s")
        ours = rows["agentos send"]
        for name, (taken, rate) in rows.items():
            if name != "agentos send":
                measure.say(f"agentos / {name}, one", measure.median(ours[0]) / measure.median(taken), "times")
                measure.say(f"agentos / {name}, many", ours[1] / rate, "times")
        measure.say("handoffs out of one outbox, delivered", out_of_an_outbox(model, COUNT), "/s")
        measure.say("task, handoff, answer, result back, median", measure.median(whole_way_ms(model)), "ms")
        measure.say("handoffs done, results back, one pair", end_to_end(model, 1, 60), "/s")
        measure.say("handoffs done, results back, eight pairs", end_to_end(model, 8, 60), "/s")
    finally:
        model.stop()
        shutil.rmtree(folder, ignore_errors=True)


main()
