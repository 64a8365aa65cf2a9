"""The log (contract sections 10, 11 and 13): its reader can stop nobody, and nobody writes in another's name."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import socket
import subprocess

import pytest
from harness import BIN, wait_until

def standard_descriptors(pid):
    return [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)]


def test_closed_standard_descriptors_are_dev_null_and_nothing_else_takes_their_place(make_system, model):
    system = make_system(model=model)
    system.prefix = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    system.start()
    assert standard_descriptors(system.process.pid) == ["/dev/null"] * 3
    system.add("first")
    system.wait_done("first")


class StalledReader:
    """Standard error of a supervisor whose reader doesn't read: a pipe, a socket or a terminal."""

    def __init__(self, system, kind):
        self.ours, theirs = {"pipe": os.pipe, "socket": self.socket_pair, "terminal": pty.openpty}[kind]()
        self.text = b""
        if kind == "pipe":
            fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
        system.process = subprocess.Popen(
            [str(BIN / "agentos"), "run", "--data", str(system.data)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=theirs, env=system.env, start_new_session=True)
        os.close(theirs)

    @staticmethod
    def socket_pair():
        pair = socket.socketpair()
        pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return pair[0].detach(), pair[1].detach()

    def read_until(self, pattern):
        os.set_blocking(self.ours, False)

        def found():
            with contextlib.suppress(BlockingIOError):
                self.text += os.read(self.ours, 1 << 20)
            return re.search(pattern, self.text, re.MULTILINE)

        return wait_until(found, f"{pattern} in the log", 30, pause=0)


FAULTS = "".join(f"  no_setting_{number}: {'x' * 100}\n" for number in range(300))


def reload_with_faults(system, times):
    """Some 50 kB of log each time."""
    right = (system.data / "agents.yaml").read_text()
    (system.data / "agents.yaml").write_text(f"defaults:\n{FAULTS}{right}")
    for _ in range(times):
        system.cli("reload", check=False)
    (system.data / "agents.yaml").write_text(right)


@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal"])
def test_a_reader_of_the_log_that_stalls_stops_neither_work_nor_the_end_and_learns_how_much_it_missed(kind, make_system, model):
    system = make_system(model=model)
    log = StalledReader(system, kind)
    system.wait_ready()
    reload_with_faults(system, 15)
    system.add("unseen")
    system.wait_done("unseen")
    assert system.status() is not None
    log.read_until(rb"^\S+ WARN \[agentos\] [1-9]\d* event\(s\) were dropped here: the reader of this log stalled\r?$")
    system.add("last")
    log.read_until(rb"\[orion\] Processing task: last")
    reload_with_faults(system, 15)
    assert system.stop() == 0


def says(pid, data):
    """As that process would on its standard error."""
    with open(f"/proc/{pid}/fd/2", "wb", buffering=0) as log:
        log.write(data)


def record(component, agent, message, level=1):
    return f"\x01{level}\x1f{component}\x1f{agent}\x1f{message}\n".encode()


def lines_with(system, word):
    return [line[20:] for line in system.log().splitlines() if word in line]


def test_nobody_writes_into_the_log_in_anothers_name_or_what_steers_a_terminal(make_system, model):
    system = make_system(["orion", "iris"], model=model).start()
    orion, gateway = system.worker("orion"), system.processes()["gateway"]
    says(orion, b"2026-04-29T10:00:00 INFO [agent] [iris] word1\n")
    says(orion, record("agent", "iris", "word2\x1e2026-04-29T10:00:00 INFO [agentos] word2"))
    says(orion, record("agentos", "", "word3"))
    says(orion, record("bootstrap", "", f"Initialised git repo at {system.tree('iris')} word4"))
    says(orion, b"word5 \x1b[2J \xc2\x9b \xe2\x80\xae \xff\n")
    says(gateway, record("agentos", "", "word6"))
    says(orion, record("agent", "", "word7 " + "x" * 100000))
    system.wait_log("word7")
    assert lines_with(system, "word1") == ["WARN [agent] [orion] 2026-04-29T10:00:00 INFO [agent] [iris] word1"]
    assert "INFO [agent] [orion] word2\n  2026-04-29T10:00:00 INFO [agentos] word2\n" in system.log()
    assert lines_with(system, "word3") == ["INFO [agent] [orion] word3"]
    assert lines_with(system, "word4")[0].startswith("INFO [bootstrap] [orion] ")
    assert lines_with(system, "word5") == ["WARN [agent] [orion] word5 ?[2J ? ? �"]
    system.wait_log("word6")
    assert lines_with(system, "word6") == ["INFO [gateway] word6"]
    assert len(lines_with(system, "word7")[0]) < 40000 and lines_with(system, "word7")[0].endswith("bytes more)")


def test_a_workers_last_words_are_read_after_its_death(make_system, model):
    system = make_system(model=model).start()
    pid = system.worker()
    os.kill(system.process.pid, signal.SIGSTOP)
    try:
        says(pid, b"the end has come")
        os.kill(pid, signal.SIGKILL)
    finally:
        os.kill(system.process.pid, signal.SIGCONT)
    assert system.wait_log(r"(?s)WARN \[agent\] \[orion\] the end has come\n.*Worker of agent 'orion' .* has ended: signal 9")


def test_a_flood_of_lines_costs_its_writer_lines_and_nobody_else_anything(make_system, model):
    system = make_system(["orion", "iris"], model=model).start()
    pid = system.worker("orion")
    flood = subprocess.Popen(["sh", "-c", f"yes 'a flood of lines' > /proc/{pid}/fd/2"], stderr=subprocess.DEVNULL)
    try:
        for number in range(5):
            system.add(f"t{number}", name="iris")
        system.wait_done(*(f"t{number}" for number in range(5)), name="iris")
        assert system.wait_log(r"WARN \[agent\] \[orion\] [1-9]\d* line\(s\) of its log were dropped: it writes too many$")
        assert len(system.log()) < 10_000_000
    finally:
        flood.kill()
        flood.wait()


def test_repeated_warnings_are_folded_by_agent_and_kind_and_their_number_is_told(make_system, model):
    system = make_system(["orion", "iris"], model=model).start()
    for number in range(50):
        says(system.processes()["gateway"], record("gateway", "orion", f"asked again in 0.{number} s (retry {number} of 4)", 2))
        says(system.worker("orion"), record("agent", "", f"done: task-{number}"))
    says(system.processes()["gateway"], record("gateway", "iris", "asked again in 7 s (retry 7 of 4)", 2))
    system.wait_log("iris. asked again")
    system.wait_log("done: task-49")
    assert len(lines_with(system, "[orion] asked again")) == 2 and len(lines_with(system, "[orion] done: task-")) == 50
    system.stop()
    assert lines_with(system, "of this kind") == [
        "WARN [gateway] [orion] 48 more of this kind, the last: asked again in 0.49 s (retry 49 of 4)"]
