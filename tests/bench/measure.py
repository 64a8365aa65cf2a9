"""The benchmarks' shared parts: the harness's place, medians, gaps between cycles, one line of output a figure."""

import json
import pathlib
import socket
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import harness  # noqa: E402, F401


def say(name, value, unit, note=""):
    print(f"{name:<44} {value:>10.3f} {unit:<8} {note}".rstrip(), flush=True)


def median(values):
    return statistics.median(values)


def share(values, part):
    """The value below which `part` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def gaps_ms(requests):
    """From each answer's last byte to the next request's arrival: the cost of a cycle apart from the model."""
    ordered = sorted(requests, key=lambda request: request["at_ns"])
    return [(after["at_ns"] - before["end_ns"]) / 1e6 for before, after in zip(ordered, ordered[1:])]


def model_ms(model, count=300):
    """The cost of one request over a kept connection from a bare socket: the model server's own share."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "ping"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    times = []
    with socket.create_connection(("127.0.0.1", model.port)) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            begin = time.perf_counter()
            link.sendall(head + body)
            received = b""
            while b'"usage"' not in received:
                received += link.recv(65536)
            times.append((time.perf_counter() - begin) * 1e3)
    return median(times)


KINDS = 12  # of tasks, each with its skill: the library of 20 has room for them, as an agent's at home has


def blocks(start, count, kinds=KINDS):
    """So many task blocks; a kind's tasks all name the same skill."""
    return "".join(
        harness.task_block(f"task-{number}", f"Handle case {number % kinds} of the list with care")
        for number in range(start, start + count)
    )


def fill_queue(system, count, name="orion", start=0, kinds=KINDS):
    """So many blocks in one append."""
    system.append(blocks(start, count, kinds), name)


def wait_count(system, count, name="orion", seconds=600):
    """Waits until that many tasks are done, by the number of commits; cheap enough not to disturb the measurement."""

    def enough():
        said = system.git("rev-list", "--count", "HEAD", name=name, check=False).strip()
        return int(said or 0) >= count + 1

    harness.wait_until(enough, f"{count} tasks done", seconds, 0.2)
