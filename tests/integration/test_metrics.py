"""The metrics as Prometheus and its tools see them, and what deploy/ makes of them: alerts and a dashboard."""

import json
import pathlib
import re
import subprocess

import needs
from harness import wait_until
from test_http import Http, make_http, parse, value  # noqa: F401

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
RULES = DEPLOY / "prometheus/agentos.rules.yml"


def promtool(*words, text=""):
    result = subprocess.run(["promtool", *words], input=text, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


def names_of(text):
    """The samples' names, of histograms too."""
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M):
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return names


@needs.promtool
def test_promtool_accepts_the_metrics(make_http):  # noqa: F811
    http = make_http(("orion", "iris"))
    http.system.cli("task", "orion", "Do it", "--wait")
    http.system.cli("send", "iris", "Hello")
    text = wait_until(lambda: 'reward="1"} 1' in (said := http.ask("/metrics")[2]) and said, "the task counted")
    assert promtool("check", "metrics", text=text) == (0, "")
    assert promtool("check", "metrics", text=text.replace("agentos_problems", "agentos_problems_total"))[0] != 0


def test_queues_dead_letters_and_problems_are_as_in_the_status_and_a_sleeping_agent_is_up(make_http):  # noqa: F811
    http = make_http(("orion", "iris"), extra="    idle_exit_seconds: 1\n")
    system = http.system
    system.cli("pause", "iris")
    system.cli("task", "iris", "Wait", "--id", "waits")
    system.cli("task", "iris", "Too late", "--id", "late", "--ttl", "1")
    (system.tree("iris") / "queue.md~").write_text("a copy")
    wait_until(lambda: system.agent_status("iris")["dead_letters"] == 1 and system.agent_status("iris")["problems"], "its troubles")
    system.wait_state("orion", "hibernating")

    def agrees():
        samples = http.metrics()
        iris = system.agent_status("iris")
        return (value(samples, "agentos_queue_depth", agent="iris") == iris["queue_depth"] == 1
                and value(samples, "agentos_dead_letters", agent="iris") == 1
                and value(samples, "agentos_problems", agent="iris") == len(iris["problems"]) > 0
                and value(samples, "agentos_problems", agent="orion") == 0
                and value(samples, "agentos_agent_up", agent="orion") == 1)

    wait_until(agrees, "the metrics as the status", pause=0.2)
    status, _, everything = http.ask("/metrics?agents=all")
    assert status == 200 and value(parse(everything), "agentos_dead_letters", agent="iris") == 1
    assert http.ask("/metrics?agnets=all")[0] == 400


@needs.promtool
def test_the_rules_of_the_alerts_fire_when_they_should_and_not_before():
    code, said = promtool("test", "rules", str(RULES.with_name("agentos.rules.test.yml")))
    assert code == 0, said
    rules = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    tested = set(re.findall(r"alertname: (\w+)", RULES.with_name("agentos.rules.test.yml").read_text()))
    assert rules == tested and len(rules) > 10


def test_the_rules_and_the_dashboard_ask_for_metrics_that_there_are(make_http):  # noqa: F811
    names = names_of(make_http().ask("/metrics")[2]) | {"up"}
    board = json.loads((DEPLOY / "grafana/agentos.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [variable["query"]["query"] for variable in board["templating"]["list"] if isinstance(variable["query"], dict)]
    asked.append(RULES.read_text())
    used = {name for text in asked for name in re.findall(r"\b(?:agentos|gen_ai_client)_[a-z_]+", text)}
    assert used and used <= names, used - names
    assert {panel["fieldConfig"]["defaults"].get("unit") for panel in board["panels"]} == {"short", "s"}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
