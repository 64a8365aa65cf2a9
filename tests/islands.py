"""Machines that a test makes: network namespaces joined by a bridge in one of their own, on addresses that exist nowhere
else (10.77.0.0/24 within these namespaces). A machine's line can be cut, or made deaf (the others' packets don't arrive);
a slow line goes through a relay that holds every piece back.

    with islands.Islands(["dc1", "dc2", "hub"]) as net:
        net.run("hub", ["nats-server", "-a", net.address("hub"), ...])
        net.cut("dc1"), net.mend("dc1"), net.deafen("dc2"), net.slow("dc2", "hub", 4222, 0.2)
"""

import contextlib
import itertools
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

SERIAL = itertools.count()
RELAY = pathlib.Path(__file__).resolve().parent / "slow_relay.py"


def ip(*words, namespace=None):
    inside = ["-n", namespace] if namespace else []
    subprocess.run(["ip", *inside, *words], check=True, capture_output=True, text=True)


class Islands:
    def __init__(self, names):
        if os.geteuid() or not shutil.which("ip"):
            pytest.fail("network namespaces need root and Debian's package iproute2")
        self.mark = f"ao{os.getpid()}-{next(SERIAL)}"
        self.names, self.children = list(names), []

    def space(self, name):
        return f"{self.mark}-{name}"

    def address(self, name):
        return f"10.77.0.{self.names.index(name) + 1}"

    def hardware(self, name):
        return f"02:00:00:00:77:{self.names.index(name) + 1:02x}"

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def build(self):
        bridge = self.space("bridge")
        ip("netns", "add", bridge)
        ip("link", "add", "name", "bridge", "type", "bridge", namespace=bridge)
        ip("link", "set", "dev", "bridge", "up", namespace=bridge)
        for name in self.names:
            space = self.space(name)
            ip("netns", "add", space)
            ip("link", "set", "dev", "lo", "up", namespace=space)
            ip("link", "add", "name", "line", "address", self.hardware(name), "type", "veth", "peer", "name", name, "netns", bridge, namespace=space)
            ip("addr", "add", f"{self.address(name)}/24", "dev", "line", namespace=space)
            ip("link", "set", "dev", "line", "up", namespace=space)
            ip("link", "set", "dev", name, "master", "bridge", namespace=bridge)
            ip("link", "set", "dev", name, "up", namespace=bridge)

    def __exit__(self, *_):
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            child.wait()
        for name in ["bridge", *self.names]:
            subprocess.run(["ip", "netns", "del", self.space(name)], capture_output=True)

    def prefix(self, name):
        """Words before a command that is to run on the machine."""
        return ["ip", "netns", "exec", self.space(name)]

    def run(self, name, command, **options):
        child = subprocess.Popen([*self.prefix(name), *command], stdin=subprocess.DEVNULL, **options)
        self.children.append(child)
        return child

    def cut(self, name):
        ip("link", "set", "dev", name, "down", namespace=self.space("bridge"))

    def mend(self, name):
        """After cut and deafen."""
        ip("link", "set", "dev", name, "up", namespace=self.space("bridge"))
        for other in self.names:
            if other != name:
                ip("neigh", "flush", "to", self.address(name), "nud", "all", namespace=self.space(other))

    def deafen(self, name):
        """The others' packets to the machine are addressed to a card that isn't there; its own packets arrive."""
        for other in self.names:
            if other != name:
                ip("neigh", "replace", self.address(name), "lladdr", "02:00:00:00:77:ff", "nud", "permanent", "dev", "line", namespace=self.space(other))

    def loses(self, name, percent):
        """So many of a hundred packets on its line are lost, in each direction."""
        rules = ["flush ruleset"]
        if percent:
            rules += ["add table inet lossy"]
            for hook in ("input", "output"):
                rules += [f"add chain inet lossy {hook} {{ type filter hook {hook} priority 0; }}",
                          f"add rule inet lossy {hook} meta {'iif' if hook == 'input' else 'oif'}name line numgen random mod 100 < {percent} drop"]
        subprocess.run([*self.prefix(name), "nft", "-f", "-"], input="\n".join(rules) + "\n", check=True, capture_output=True, text=True)

    def slow(self, name, to, port, seconds):
        """A port on the machine itself (127.0.0.1:port) that leads to the other's, each piece held back so long."""
        child = self.run(name, [sys.executable, str(RELAY), str(port), self.address(to), str(port), str(seconds)], stdout=subprocess.PIPE)
        child.stdout.readline()
        return f"127.0.0.1:{port}"
