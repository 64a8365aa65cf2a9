"""Under a service manager: sd_notify(3) is answered from the start to the end, and nobody else speaks for us."""

import pathlib
import re
import socket
import subprocess

import pytest
from harness import ROOT, wait_until


@pytest.fixture
def manager(make_system, model):
    """A system whose NOTIFY_SOCKET is ours; heard() has its messages."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        system = make_system(["orion", "iris"], model=model)
        path = system.folder / "notify"
        listener.bind(str(path))
        listener.settimeout(0.01)
        said = []

        def heard():
            while True:
                try:
                    said.append(listener.recv(4096).decode())
                except TimeoutError:
                    return said

        system.env.update(NOTIFY_SOCKET=str(path), WATCHDOG_USEC="200000")
        system.heard = heard
        yield system


def test_ready_reloading_and_stopping_are_told_and_the_watchdog_is_fed(manager):
    system = manager.start()
    ready = "READY=1\nSTATUS=Supervising 2 agent(s)"
    wait_until(lambda: ready in system.heard(), "READY=1")
    fed = system.heard().count("WATCHDOG=1")
    wait_until(lambda: system.heard().count("WATCHDOG=1") >= fed + 3, "the watchdog is fed")
    system.cli("reload")
    reloading = next(text for text in system.heard() if text.startswith("RELOADING=1"))
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", reloading)
    heard = system.heard()
    assert ready in heard[heard.index(reloading) :]
    (system.data / "agents.yaml").write_text("nonsense")
    assert system.cli("reload", check=False).returncode == 78
    wait_until(lambda: any("READY=1" in text and "refused" in text for text in system.heard()), "READY=1 after a refusal")
    assert system.stop() == 0
    assert any(text.startswith("STOPPING=1\nSTATUS=SIGTERM") for text in system.heard())


def test_no_child_inherits_the_managers_socket(manager):
    system = manager.start()
    for name, pid in system.processes().items():
        if name != "supervisor":
            try:
                environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
            except PermissionError:
                continue
            assert b"NOTIFY_SOCKET" not in environment and b"WATCHDOG" not in environment, name


def test_the_unit_is_hardened():
    """systemd's own measure, from 0.0 (nothing is exposed) to 10.0; the unit stays under 2."""
    measure = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    unit = str(ROOT / "deploy/systemd/agentos.service")
    held = subprocess.run([*measure, "--threshold=19", unit], capture_output=True, text=True)
    assert held.returncode == 0, held.stdout + held.stderr
    lower = subprocess.run([*measure, "--threshold=1", unit], capture_output=True, text=True)
    assert lower.returncode == 1, "the measure holds for anything"
