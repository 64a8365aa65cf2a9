"""`agentos events`: events are told as they happen, and a reader that does not read harms no other."""

import json
import os
import re
import signal
import socket
import subprocess

import pytest
from harness import BIN, PATIENCE, agents_yaml, wait_until


class Follower:
    def __init__(self, system, *arguments):
        self.path = system.folder / f"events-{len(list(system.folder.iterdir()))}"
        self.process = subprocess.Popen(
            [str(BIN / "agentos"), "events", *arguments], env=system.env, stdin=subprocess.DEVNULL,
            stdout=open(self.path, "wb"), stderr=subprocess.PIPE, text=True,
        )

    def text(self):
        return self.path.read_text()

    def events(self):
        return [json.loads(line) for line in self.text().splitlines()]

    def wait(self, **wanted):
        def found():
            for event in self.events():
                if all(event.get(key) == value for key, value in wanted.items()):
                    return event
            return None

        return wait_until(found, f"the event {wanted}", 20)

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(20 * PATIENCE)


@pytest.fixture
def start_follower():
    """A function that starts followers of a system, which are known to follow."""
    made = []

    def start(system, *arguments):
        follower = Follower(system, *arguments)
        made.append(follower)

        def reached():  # only the first event that reaches the follower says that it follows
            system.cli("reload")
            return follower.text()

        wait_until(reached, "the follower follows", 20, 0.1)
        return follower

    yield start
    for follower in made:
        if follower.process.poll() is None:
            follower.process.kill()
        follower.process.wait()
        follower.process.stderr.close()


@pytest.fixture
def follow(system, start_follower):
    return lambda *arguments: start_follower(system, *arguments)


def test_a_task_is_followed_from_its_beginning_to_its_commit(system, follow):
    follower = follow("--json")
    system.add("first", "Do it")
    follower.wait(event="state", agent="orion", to="working", **{"from": "idle"})
    done = follower.wait(event="finished", task="first")
    assert done["agent"] == "orion" and done["reward"] == 1 and done["end"] == "done" and done["tokens"] > 0
    assert system.git("rev-parse", done["commit"]).startswith(done["commit"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", done["time"])
    follower.wait(event="state", agent="orion", to="idle", **{"from": "working"})


def test_the_death_of_a_worker_and_of_the_gateway_and_what_follows_are_told(system, follow):
    follower = follow("--json")
    pid = system.worker()
    os.kill(pid, signal.SIGKILL)
    assert follower.wait(event="worker_exited", pid=pid)["how"] == "signal 9"
    follower.wait(event="state", to="idle", **{"from": "starting"})
    assert follower.wait(event="worker_started")["pid"] == system.worker()
    gateway = system.processes()["gateway"]
    os.kill(gateway, signal.SIGKILL)
    assert follower.wait(event="gateway_started")["pid"] != gateway


def test_trouble_with_the_provider_is_told_with_its_sentence_and_its_end(make_system, model, start_follower):
    system = make_system(model=model, scenario="http-503", env={"LLM_MAX_RETRIES": "0"}).start()
    follower = start_follower(system, "--json")
    system.add("first", "Do it")
    waiting = follower.wait(event="waiting", agent="orion", what="provider")
    assert "503" in waiting["why"] and waiting["until"].endswith("Z")
    problem = next(e for e in follower.events() if e["event"] == "problem")
    assert "503" in problem["problem"]
    model.become("plain")
    follower.wait(event="finished", task="first")
    follower.wait(event="problem_cleared", agent="orion")


def test_a_reload_is_told_whether_it_was_applied_or_refused(system, follow):
    follower = follow("--json")
    (system.data / "agents.yaml").write_text("agents: nonsense\n")
    assert "agents.yaml:1:" in follower.wait(event="reload_refused")["said"]
    (system.data / "agents.yaml").write_text(agents_yaml(["orion", "iris"]))
    wait_until(
        lambda: any(e["event"] == "reload_applied" and "'iris' is new" in e["said"] for e in follower.events()),
        "iris is told of",
    )


def test_the_text_reads_like_the_log(system, follow):
    follower = follow()
    system.add("first", "Do it")
    line = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d INFO \[event\] \[orion\] "
    wait_until(lambda: re.search(line + r"task first ended: done, reward 1, \d+ tokens, commit [0-9a-f]+$",
                                 follower.text(), re.MULTILINE), "the end in words")
    assert re.search(line + "idle -> working$", follower.text(), re.MULTILINE)
    assert "{" not in follower.text()


def test_it_ends_with_0_on_ctrl_c_and_with_69_when_the_supervisor_ends(system, follow):
    assert follow("--json").end() == 0
    follower = follow("--json")
    assert system.stop() == 0
    assert follower.process.wait(20 * PATIENCE) == 69
    assert "the supervisor has ended" in follower.process.stderr.read()
    assert [e["event"] for e in follower.events()].count("supervisor_stopping") == 1


def test_a_run_of_failures_is_told_and_pauses_the_agent_if_so_configured(make_system, model, start_follower):
    extra = "    watchdog: {negative_streak: 2, action: pause}\n"
    system = make_system(model=model, scenario="minus", extra=extra).start()
    follower = start_follower(system, "--json")
    system.add("one", "Fail")
    system.wait_done("one")
    system.add("two", "Fail too")
    follower.wait(event="negative_streak", agent="orion", count=2)
    system.wait_state("orion", "paused")
    system.wait_log(r"WARN \[agentos\] \[orion\] The last 2 tasks failed")


def test_a_reader_that_never_reads_neither_blocks_nor_grows_the_supervisor_and_is_told_what_it_lost(system):
    run = system.data / ".run"
    with socket.socket(socket.AF_UNIX) as slow:
        here = os.getcwd()
        os.chdir(run)
        try:
            slow.connect("control")
        finally:
            os.chdir(here)
        slow.sendall(b'{"verb":"events"}\n')
        slow.settimeout(20 * PATIENCE)
        assert slow.recv(11) == b'{"exit":0}\n'
        (system.data / "agents.yaml").write_text("agents:\n" + "  - {colour: red}\n" * 500)

        def resident():
            status = open(f"/proc/{system.process.pid}/status").read()
            return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

        for _ in range(5):
            assert system.cli("reload", check=False).returncode == 78
        before = resident()
        for _ in range(60):
            assert system.cli("reload", check=False).returncode == 78
        if "asan" not in str(BIN):  # the sanitizer keeps freed memory
            assert resident() - before < 4096, "kB grown"
        data = b""
        while b'"event":"lost"' not in data:
            data += slow.recv(1 << 20)
        lost = re.search(rb'"event":"lost","count":(\d+)', data)
        assert int(lost[1]) > 0
    assert system.agent_status()["state"] == "idle"
