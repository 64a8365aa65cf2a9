"""A supervisor that runs out of descriptors says so, serves on, and loses nothing."""

import os
import resource
import socket

from harness import agents_yaml, wait_until

NAMES = [f"agent-{number}" for number in range(8)]


def few(make_system, model, limit, names=NAMES):
    system = make_system(names, model=model)
    system.prefix = ["prlimit", f"--nofile={limit}:{limit}"]
    system.start(wait=False)
    wait_until(lambda: "AgentOS running with" in system.log(), "the start")
    return system


def connect(system):
    client = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(system.data / ".run")
    try:
        client.connect("control")
    finally:
        os.chdir(here)
    return client


def test_as_many_agents_as_there_are_descriptors_for_work_and_the_others_say_what_is_lacking(make_system, model):
    system = few(make_system, model, 64)
    states = lambda agents: {agent["state"] for agent in agents}  # of one moment: the place of an agent that ends is another's
    agents = wait_until(lambda: (s := system.status()) and "idle" in states(s["agents"]) and s["agents"], "some agent ready")
    assert states(agents) == {"idle", "failed"}
    for agent in agents:
        if agent["state"] == "failed":
            said = "too few descriptors (RLIMIT_NOFILE): the limit of open files (ulimit -n) is 64; 128 would do"
            assert said in agent["problems"][0]
        else:
            assert "done" in system.cli("task", agent["name"], "Do it", "--wait").stderr
    left = next(agent["name"] for agent in agents if agent["state"] == "failed")
    system.cli("task", left, "Wait for better times", "--id", "kept")
    assert system.stop() == 0
    system.prefix = []
    system.start()
    system.wait_done("kept", name=left)


def test_clients_cannot_take_the_descriptors_that_work_needs(make_system, model):
    system = few(make_system, model, 64, ["orion"])
    system.wait_state("orion", "idle")
    clients = [connect(system) for _ in range(100)]
    system.wait_log("clients are turned away")
    system.add("meanwhile", "Work on")
    system.wait_done("meanwhile")
    refused = system.cli("status", check=False)
    assert refused.returncode == 75
    for client in clients:
        client.close()
    wait_until(lambda: system.cli("status", check=False).returncode == 0, "clients are served again")


def test_with_none_left_at_all_work_goes_on_and_nothing_is_lost(make_system, model):
    system = make_system(["orion", "iris"], model=model).start()
    pid = system.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
        for number in range(3):
            for name in ("orion", "iris"):
                system.add(f"{name}-{number}", "Work on", name=name)
        for name in ("orion", "iris"):
            system.wait_done(*(f"{name}-{number}" for number in range(3)), name=name)
        with connect(system):
            system.wait_log("Cannot take a client")
        (system.data / "agents.yaml").write_text(agents_yaml(["orion", "iris", "nova"]))
        system.wait_log("agents.yaml.*(?i:too many open files)")
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    system.cli("reload")
    system.wait_state("nova", "idle", seconds=70)
    for name in ("orion", "iris"):
        assert system.agent_status(name)["restarts"] == 0
        system.assert_each_once([f"{name}-{number}" for number in range(3)], name=name)
