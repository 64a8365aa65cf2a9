"""A nats-server with JetStream for tests of several supervisors, on a port and in a folder of its own."""

import shutil
import subprocess

import pytest
from harness import free_port


class Nats:
    def __init__(self, folder):
        if not shutil.which("nats-server"):
            pytest.fail("nodes need Debian's package nats-server")
        self.folder, self.port, self.process = folder, free_port(), None
        self.start()

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def start(self):
        command = ["nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder / "js")]
        with open(self.folder / "nats.log", "ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    def kill(self):
        self.process.kill()
        self.process.wait()
