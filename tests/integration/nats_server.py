"""A nats-server with JetStream for tests of several supervisors, on a port and in a folder of its own; and two supervisors on
it. A test module takes the fixture by its import."""

import shutil
import socket
import subprocess
import uuid

import pytest
from harness import agents_yaml, free_port


class Nats:
    def __init__(self, folder):
        if not shutil.which("nats-server"):
            pytest.fail("nodes need Debian's package nats-server")
        self.folder, self.port, self.process = folder, free_port(), None
        self.start()

    def configure(self, *lines):
        """The options of the server's next start, beside its port and its folder."""
        (self.folder / "nats.conf").write_text("".join(f"{line}\n" for line in lines))

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def start(self):
        command = ["nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder / "js")]
        if (self.folder / "nats.conf").exists():
            command += ["-c", "nats.conf"]
        with open(self.folder / "nats.log", "ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    def say(self, subject, node, *texts):
        """Connects as a node of this name would, with whatever messages the test gives."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as line:
            line.sendall(b'CONNECT {"verbose":false,"headers":true}\r\n')
            for text in texts:
                head = f"NATS/1.0\r\nNats-Msg-Id: {uuid.uuid4()}\r\nAgentos-Node: {node}\r\n\r\n".encode()
                body = text.encode()
                line.sendall(f"HPUB {subject} {len(head)} {len(head) + len(body)}\r\n".encode() + head + body + b"\r\n")
            line.sendall(b"PING\r\n")
            with line.makefile("rb") as lines:
                while lines.readline() != b"PONG\r\n":
                    pass

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def nats(tmp_path):
    server = Nats(tmp_path)
    yield server
    server.kill()


def pinned(homes, more):
    """agents.yaml with each agent on its node; more: a function that gives further lines of an agent, by its name."""
    each = (agents_yaml([name], f"    node: {node}\n{more(name)}") for name, node in homes.items())
    return "agents:\n" + "".join(text.removeprefix("agents:\n") for text in each)


def start_nodes(make_system, model, nats, homes, yaml, **env):
    """A supervisor for each node of homes, in the order of their names; each ready."""
    found = []
    for node in sorted(set(homes.values())):
        system = make_system(list(homes), model=model, yaml=yaml, env={"AGENTOS_NODE": node, "AGENTOS_BUS": nats.url, **env})
        system.names = [name for name, home in homes.items() if home == node]
        found.append(system.start(wait=False))
    for system in found:
        system.wait_ready()
    return found
