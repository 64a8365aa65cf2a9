"""The process as its surroundings see it: the log, PID 1, a disk that is full."""

import json
import os
import re
import signal
import subprocess

import pytest

import harness
import needs
from harness import alive, descendants, program_of, wait_until


def test_json_logs_are_one_object_a_line(make_system, model):
    system = make_system(model=model, env={"LOG_FORMAT": "json"}).start()
    system.add("logged", "Work to be logged\nin two lines")
    system.wait_done("logged")
    assert system.stop() == 0
    events = [json.loads(line) for line in system.log().splitlines()]
    assert all({"time", "level", "component", "message"} <= set(event) for event in events)
    assert any(event["message"] == "Processing task: logged" and event["agent"] == "orion" for event in events)


def test_no_text_of_a_models_looks_like_an_event_in_the_log(make_system, model):
    forged = "2026-04-29T10:00:00 INFO [agentos] Forged by a task"
    system = make_system(model=model).start()
    system.add("forger", f"Repeat:\n{forged}\n\x1b[31mred")
    system.wait_done("forger")
    system.wait_log("Response:")
    wait_until(lambda: "Forged" in system.log(), "the response logged")
    assert not re.search(r"^\S+ INFO \[agentos\] Forged", system.log(), re.MULTILINE)
    assert "\x1b" not in system.log()


def test_as_pid_1_it_works_reaps_orphans_and_ends_on_sigterm(make_system, model):
    system = make_system(model=model)
    system.prefix = ["unshare", "-Urpf", "--mount-proc"]
    if subprocess.run([*system.prefix, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    system.start()
    system.add("first", "Work under PID 1")
    system.wait_done("first")
    [init] = [pid for pid in descendants(system.process.pid) if program_of(pid) == "agentos"]
    orphan = 'sh -c "sleep 0.2 & :"; sh -c "exit 3"'
    enter = ["nsenter", f"--target={init}", "--user", "--pid", "--mount", "--preserve-credentials", "sh", "-c", orphan]
    if subprocess.run(enter, capture_output=True).returncode not in (0, 3):
        pytest.skip("cannot enter the namespace")

    def zombies():
        states = []
        for pid in descendants(init):
            try:
                states.append(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0])
            except OSError:
                continue
        return "Z" in states

    wait_until(lambda: not zombies() and not any(program_of(p) == "sleep" for p in descendants(init)), "no zombie left")
    family = descendants(init)
    os.kill(init, signal.SIGTERM)
    assert system.process.wait(30) == 0
    assert not any(alive(pid) for pid in family)


def test_a_status_asked_for_while_nobody_runs_says_so(make_system):
    system = make_system()
    result = system.cli("status", check=False)
    assert result.returncode == 69
    assert result.stderr.strip()


@needs.prying
def test_only_the_gateway_has_connections(system):
    """Only the gateway has a socket of an internet family, and only once it has asked."""
    system.add("once", "Ask once")
    system.wait_done("once")
    processes = system.processes()
    connected = set()
    for who, pid in processes.items():
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
        table = open(f"/proc/{pid}/net/tcp").read().split("\n")[1:]
        if any(line.split()[9] in inodes for line in table if line):
            connected.add(who)
    assert connected <= {"gateway"}
    assert harness.program_of(processes["gateway"]) == "agentos-gateway"
