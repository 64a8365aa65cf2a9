"""A kill of the supervisor at every system call of a turn that accepts many letters at once (supervisor/post/journal.c):
a letter whose sender was told that it is accepted lies with its receiver, once.

AGENTOS_KILL_STEP and AGENTOS_KILL_FIRST as in test_cycle_kill.py.
"""

import collections
import contextlib
import json
import signal
import socket

from harness import agents_yaml, send_signal
from post_office import in_folder
from test_cycle_kill import FIRST, STEP, kill_at, release

AT_ONCE = 8
# By name and number: the calls that each letter needs, and the calls that all letters share.
EACH = ["recvfrom", "openat2", "write", "close", "linkat,renameat2", "sendto"]
SHARED = ["pwritev", "fdatasync", "pwrite64"]
CALLS = [(name, number) for name in EACH for number in range(1, AT_ONCE + 1)] + [(name, 1) for name in SHARED]


def connect(system):
    link = socket.socket(socket.AF_UNIX)
    with contextlib.suppress(ConnectionRefusedError):
        link.connect(str(system.data / ".run/control"))
    return link


def send(link, text):
    request = {"verb": "send", "agent": "orion", "text": text}
    with contextlib.suppress(OSError):  # killed already: there is no answer either
        link.sendall(json.dumps(request).encode() + b"\n")


def answer(link):
    """The id; None: the connection ended before."""
    said = b""
    try:
        while not said.endswith(b"\n"):
            part = link.recv(4096)
            if not part:
                return None
            said += part
    except OSError:
        return None
    words = json.loads(said)
    assert words["exit"] == 0, words
    return words["id"]


def test_a_kill_at_any_system_call_of_a_turn_that_accepts_many_loses_none_of_those_that_were_told(make_system, model):
    yaml = "throughput_classes:\n  fast: {window: 10000, backlog: 10}\n" + agents_yaml(["orion"], "    throughput_class: fast\n")
    system = make_system(model=model, yaml=yaml).start()
    system.cli("stop", "orion")
    system.names = []  # from now on a start has nobody to wait for
    told, killed = {}, collections.Counter()

    def ask(texts):
        """All in one turn; whether all were told."""
        send_signal(system.process.pid, signal.SIGSTOP)
        links = [connect(system) for _ in texts]
        for link, text in zip(links, texts):
            send(link, text)
        send_signal(system.process.pid, signal.SIGCONT)
        answers = {text: answer(link) for link, text in zip(links, texts)}
        for link in links:
            link.close()
        told.update({identity: text for text, identity in answers.items() if identity})
        return None not in answers.values()

    assert ask([f"Before {n}." for n in range(AT_ONCE)])
    assert (system.data / ".run/.agentos/journal").exists(), "they were not accepted at once"
    calls = CALLS[FIRST % min(STEP, len(CALLS)) :: STEP]
    for name, number in calls:
        tracer = kill_at(system.process.pid, number, name)
        ask([f"Letter {name} {number} {n}." for n in range(AT_ONCE)])
        release(tracer)
        if not ask([f"After {name} {number}."]):
            system.process.wait(20)
            system.start()
            killed[name] += 1
    assert sum(killed.values()) == len(calls), killed
    lies = in_folder(system, "orion", "inbox")
    assert {identity: lies[identity]["body"].strip() for identity in told} == told
    assert max(collections.Counter(e["body"] for e in lies.values()).values()) == 1
    assert not [path for path in system.data.rglob("*.post-*")]
    assert system.stop() == 0
    verify = system.cli("verify", check=False)
    assert verify.returncode == 0, verify.stdout
