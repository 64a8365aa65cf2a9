"""agents.yaml while the system runs: however the file is changed, the change is applied, and a refusal is seen until it is right."""

import json
import os
import signal

import pytest

from harness import agents_yaml, wait_until
from test_http import Http

REFUSED = ("agentos_config_refused", frozenset())
NEW = agents_yaml(["orion", "iris"])
BAD = "agents:\n  - name: orion\n    persona: P.\n    domian: x\n"


def behind_a_link(system):
    """agents.yaml is a link to a file elsewhere, which an editor replaces."""
    there = system.folder / "elsewhere.yaml"
    os.rename(system.data / "agents.yaml", there)
    (system.data / "agents.yaml").symlink_to(there)
    return lambda text: replace(there, text)


def replace(path, text):
    path.with_suffix(".tmp").write_text(text)
    os.replace(path.with_suffix(".tmp"), path)


def config_map(mount, turn):
    """As Kubernetes does it: ..data is a link to a folder of one state, and is replaced."""
    (mount / f"..state{turn[0]}").mkdir()

    def write(text):
        turn[0] += 1
        (mount / f"..state{turn[0]}").mkdir()
        (mount / f"..state{turn[0]}/agents.yaml").write_text(text)
        (mount / "..data_tmp").symlink_to(f"..state{turn[0]}")
        os.replace(mount / "..data_tmp", mount / "..data")

    return write


def in_a_config_map(system):
    mount = system.folder / "config"
    mount.mkdir()
    write = config_map(mount, [0])
    write((system.data / "agents.yaml").read_text())
    (mount / "agents.yaml").symlink_to("..data/agents.yaml")
    (system.data / "agents.yaml").unlink()
    (system.data / "agents.yaml").symlink_to(mount / "agents.yaml")
    return write


def in_a_config_map_that_is_the_data_directory(system):
    write = config_map(system.data, [0])
    write((system.data / "agents.yaml").read_text())
    (system.data / "agents.yaml").unlink()
    (system.data / "agents.yaml").symlink_to("..data/agents.yaml")
    return write


def by_another_name(system):
    """As a mount of the one file: the file stays the same, and no notice comes from the data directory."""
    other = system.folder / "other-name.yaml"
    os.link(system.data / "agents.yaml", other)
    return other.write_text


WAYS = [behind_a_link, in_a_config_map, in_a_config_map_that_is_the_data_directory, by_another_name]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_change_without_a_notice_is_applied_and_a_refusal_and_its_repair_are_said(make_system, way):
    system = make_system()
    write = way(system)
    system.start()
    worker = system.worker()
    write(NEW)
    system.wait_state("iris", "idle")
    write(BAD)
    wait_until(lambda: system.status()["supervisor"]["problems"], "the refusal in status")
    assert "agents.yaml:4:5" in system.status()["supervisor"]["problems"][0]
    write(NEW)
    wait_until(lambda: system.status()["supervisor"]["problems"] == [], "no problem any more")
    system.wait_log("agents.yaml is right again")
    assert system.worker() == worker and system.log().count("agents.yaml is refused") == 1


def test_sighup_reads_a_file_that_no_notice_told_of(make_system):
    system = make_system(env={"POLL_INTERVAL": "3600"})
    write = in_a_config_map(system)
    system.start()
    worker = system.worker()
    write(NEW)
    assert "iris" not in system.states(), "no scan comes within the hour"
    system.process.send_signal(signal.SIGHUP)
    system.wait_state("iris", "idle")
    write(BAD)
    system.process.send_signal(signal.SIGHUP)
    system.wait_log("agents.yaml is refused")
    assert system.worker() == worker and set(system.states()) == {"orion", "iris"}


def test_a_refused_or_missing_file_is_a_problem_everywhere_until_it_is_right(make_system):
    system = make_system(env={"AGENTOS_LISTEN": "127.0.0.1:0"}).start()
    http, worker = Http(system), system.worker()
    problem = "agents.yaml is refused, and the agents go on as they were defined: "
    assert http.metrics()[REFUSED] == 0 and "problems" not in http.ask("/readyz")[2]
    for spoil in (lambda: (system.data / "agents.yaml").write_text(BAD), (system.data / "agents.yaml").unlink):
        spoil()
        wait_until(lambda: system.status()["supervisor"]["problems"], "the refusal in status")
        assert f"! {problem}" in system.cli("status").stdout
        said = json.loads(system.cli("status", "--json").stdout)["agents"][0]["problems"]
        assert len(said) == 1 and said[0].startswith(problem) and "agents.yaml" in said[0][len(problem) :]
        wait_until(lambda: http.metrics()[REFUSED] == 1, "the refusal in the metrics")
        status, _, body = http.ask("/readyz")
        assert status == 200 and "agents.yaml is refused" in json.loads(body)["problems"][0] and "orion" not in body
        assert system.worker() == worker
        (system.data / "agents.yaml").write_text(agents_yaml(["orion"]))
        wait_until(lambda: http.metrics()[REFUSED] == 0, "the repair in the metrics")
        assert system.status()["supervisor"]["problems"] == [] and "problems" not in json.loads(http.ask("/readyz")[2])
        assert "!" not in system.cli("status").stdout
    assert system.log().count("agents.yaml is right again") == 2
