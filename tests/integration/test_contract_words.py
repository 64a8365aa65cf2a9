"""Promises of the contract that are kept to the letter: names, keys, exit codes, words."""

import json
import re
import shutil
import signal

import pytest

from harness import ROOT, wait_until

AGENT_KEYS = {
    "name", "state", "pid", "uptime_seconds", "restarts", "last_exit", "queue_depth", "inbox_depth", "handoff_depth",
    "outbox_depth", "dead_letters", "throughput_class", "negative_streak", "tasks_done", "tokens_today", "cached_tokens_today",
    "requests_today", "cost_today", "memory_bytes", "problems",
}
TEXTS = {"name": str, "state": str, "throughput_class": str}


def test_status_json_has_the_contracts_keys_and_no_other(system, model):
    model.become("hold")
    system.add("held", "Hold on")
    model.wait_open(1)
    status = json.loads(system.cli("status", "orion", "--json").stdout)
    assert set(status) == {"supervisor", "agents"}
    assert set(status["supervisor"]) == {"pid", "uptime_seconds", "version", "sandbox"}
    [agent] = status["agents"]
    assert set(agent) == AGENT_KEYS
    for key in AGENT_KEYS - {"pid", "last_exit", "problems", "cost_today"}:
        assert type(agent[key]) is TEXTS.get(key, int), key
    assert type(agent["pid"]) is int and agent["last_exit"] is None and agent["problems"] == []
    assert agent["cost_today"] is None  # no price is known
    assert agent["state"] == "working"
    model.release()


def test_what_run_says_of_a_wrong_environment_is_a_log_line_each(make_system):
    for variables in ({"LLM_TIMEOUT": "soon", "POLL_INTERVAL": "0"}, {"LLM_API_KEY_FILE": "/nowhere/key", "LLM_API_KEY": ""}):
        system = make_system(env={"LOG_FORMAT": "json", **variables})
        assert system.run_to_end() == 78
        lines = [json.loads(line) for line in system.log().splitlines()]
        assert all(line["level"] == "ERROR" for line in lines)
        said = " ".join(line["message"] for line in lines)
        assert all(name in said for name, value in variables.items() if value)
        assert system.cli("check", check=False).returncode == 78


def test_a_data_directory_that_is_not_there_is_a_matter_of_configuration(make_system):
    system = make_system()
    shutil.rmtree(system.data)
    assert system.run_to_end() == 78
    assert str(system.data) in system.log() and "DATA_DIR" in system.log()


def test_a_refused_reload_ends_with_one_line_end(system):
    (system.data / "agents.yaml").write_text("agents: 3\n")
    result = system.cli("reload", check=False)
    assert result.returncode == 78
    assert re.search(r"agents\.yaml:1:9: ", result.stderr)
    assert result.stderr.endswith("nothing was changed\n")


@pytest.mark.parametrize(
    "field,said",
    [("priority: urgent", "priority"), ("created: yesterday", "created"), ("ttl_seconds: soon", "ttl_seconds")],
)
def test_a_field_that_is_not_understood_is_said_and_the_task_is_done(system, field, said):
    system.append(f"\n## odd\ntask: Do it anyhow\n{field}\n")
    system.wait_done("odd")
    system.wait_log(rf"WARN \[agent\] \[orion\] Task odd: its {said} ")


def test_a_skill_without_fields_is_not_kept(system):
    system.add("flawed", "[[model:partial]] With a list for a skill")
    system.wait_done("flawed")
    assert "### " not in system.read("skills.md")
    assert "skill" in system.read("reflections.md")
    assert "- reward: +1" in system.read("rewards.md")


def test_what_the_build_installs_is_given_to_the_containers_build():
    wanted = re.findall(r"install\(FILES (\S+)", (ROOT / "CMakeLists.txt").read_text())
    copied = re.findall(r"^COPY (\S+) ", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert wanted
    for path in wanted:
        assert any(path.startswith(folder + "/") for folder in copied), f"Dockerfile copies no {path}"
        assert any(path.startswith(folder + "/") for folder in sent), f".dockerignore keeps {path} out"


def test_an_agent_that_was_stopped_and_paused_starts_without_doing_anything(system, model):
    system.cli("stop", "orion")
    system.cli("pause", "orion")
    system.cli("task", "orion", "Not yet", "--id", "not-yet")
    system.cli("start", "orion")
    system.wait_state("orion", "paused")
    system.process.send_signal(signal.SIGHUP)
    assert wait_until(lambda: system.agent_status()["queue_depth"] == 1, "the task is seen")
    assert model.requests() == []
    system.cli("resume", "orion")
    system.wait_done("not-yet")


def test_a_repository_that_was_set_aside_is_not_committed_into_the_new_one(system):
    system.add("before", "Before the damage")
    system.wait_done("before")
    system.stop()
    shutil.rmtree(system.tree() / ".git/objects")
    system.start()
    assert list(system.tree().glob(".git.damaged-*"))
    system.add("after", "After the damage")
    system.wait_done("after")
    assert ".git.damaged" not in system.git("log", "--name-only", "--format=%s")
    system.assert_sound()


def test_check_says_that_a_key_with_a_line_break_cannot_be_used(make_system):
    system = make_system(env={"LLM_API_KEY": "sk-one\nsk-two", "LLM_BASE_URL": "http://127.0.0.1:9/v1"})
    result = system.cli("check")
    assert "LLM_API_KEY holds a line break" in result.stdout and "sk-one" not in result.stdout + result.stderr


def test_a_refused_key_is_an_error_in_the_log_once_a_try(make_system, model):
    model.become("auth")
    system = make_system(model=model).start()
    system.add("locked-out", "Nobody lets me in")
    system.wait_log(r"WARN \[agent\] \[orion\] Waiting for the provider, next try in 2\.")
    assert len(re.findall(r"ERROR .* answered 401", system.log())) == 2
    assert "waiting: provider" in " ".join(system.agent_status()["problems"] + [system.cli("status").stdout])
