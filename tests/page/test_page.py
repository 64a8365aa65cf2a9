"""The page at `/` in Chromium: against a whole system, and, with ten thousand agents and hostile texts, against a server
that gives the answers of /v1. Each script is one test; its output names the promises that held."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))

import harness  # noqa: E402
from harness import wait_until  # noqa: E402
from post_office import envelope, handing, reply  # noqa: E402

SOURCES = harness.ROOT / "supervisor/http/page"
TOKEN = "t0ken-of-the-page-0123456789"
ENV = {"AGENTOS_LISTEN": "127.0.0.1:0", "AGENTOS_TOKEN": TOKEN, "LLM_TIMEOUT": "300"}
NAMES = ("orion", "iris", "nova")
YAML = (
    harness.agents_yaml(NAMES)
    + "queues:\n  - {name: reviews, consumers: [iris]}\n"
    + "segments:\n  - {name: glossary, writers: [nova], readers: [orion, iris]}\n"
)


def node(script, **env):
    """Runs a script; its output is the test's."""
    if not (HERE / "node_modules/playwright-core").is_dir():
        pytest.fail("the page's tests need playwright-core and axe-core: run `npm ci` in tests/page")
    if not shutil.which("node") or not shutil.which("chromium"):
        pytest.fail("the page's tests need node and chromium (Debian's packages nodejs and chromium)")
    shots = harness.BIN.parent / "page"
    told = {**os.environ, "PAGE_SHOTS": str(shots), "PAGE_TOKEN": TOKEN, **env}
    result = subprocess.run(["node", str(HERE / script)], env=told, capture_output=True, text=True, timeout=240 * harness.PATIENCE)
    print(result.stdout, result.stderr)
    assert result.returncode == 0 and "ok " in result.stdout, result.stdout + result.stderr


def page_of(system):
    found = system.wait_log(r"HTTP interface at (http://\S+:\d+)")
    return found[1]


def live(system, model):
    """Three agents get a history: skills, handoffs, a message, a dead letter, a lock, a segment, an item, a task in hand."""
    system.add("count-pages", "Plan the report. " + handing("iris", "Count the pages of chapter two."))
    system.add("bad-day", "Translate the appendix [[model:minus]]")
    system.add("so-so", "Sort the references [[model:zero]]")
    system.add("tell", "Tell nova. " + reply(messages=[{"to": "nova", "text": "The chapter is done."}]))
    system.add("terms", "Write " + reply(segments=[{"name": "glossary", "body": "Chapter: a part of the report.\n", "base_version": 0}]), name="nova")
    for task, name in (("count-pages", "orion"), ("bad-day", "orion"), ("so-so", "orion"), ("tell", "orion"), ("terms", "nova")):
        system.wait_done(task, name=name, seconds=60)
    system.cli("stop", "nova")
    dead = system.tree("nova") / "iac/handoffs/late.md"
    dead.write_text(envelope("late", to="nova", sender="orion", created="2026-01-01T00:00:00Z", ttl_seconds=3600, body="Too late to read this.\n"))
    wait_until(lambda: list((system.tree("nova") / "iac/dead-letter").glob("*.md")), "the dead letter")
    model.become("hold")
    system.cli("task", "orion", "Write about the three longest rivers", "--id", "rivers", "--lock", "atlas")
    model.wait_open()
    system.cli("task", "orion", "Draw the map of them", "--id", "map", "--priority", "high")


@pytest.fixture
def world(make_system, model):
    system = make_system(NAMES, model=model, yaml=YAML, env=ENV).start()
    live(system, model)
    return system


def test_the_page_tells_and_orders_what_the_system_does(world):
    node("system.mjs", PAGE_URL=page_of(world))


def test_every_order_is_given_by_keyboard_and_its_refusal_is_shown(make_system, model):
    """Orders beside the orders of system.mjs: message, item, rollback, retry, purge, reload. vega's provider is away until
    the script is it."""
    port, names = harness.free_port(), ("orion", "iris", "vega")
    yaml = harness.agents_yaml(names) + "queues:\n  - {name: reviews, consumers: [orion]}\n"
    system = make_system(names, model=model, yaml=yaml, env={**ENV, "LLM_BASE_URL__VEGA": f"http://127.0.0.1:{port}/v1"}).start()
    system.add("names", "Sort the list of names")
    system.wait_done("names")
    system.cli("stop", "iris")
    for name in ("late-1", "late-2"):
        (system.tree("iris") / f"iac/handoffs/{name}.md").write_text(envelope(name, to="iris", created="2026-01-01T00:00:00Z", ttl_seconds=3600))
    wait_until(lambda: system.agent_status("iris")["dead_letters"] == 2, "the dead letters")
    system.add("ask", "Ask your provider", name="vega")
    system.wait_state("vega", "waiting")
    node("orders.mjs", PAGE_URL=page_of(system), PAGE_PROVIDER=str(port), PAGE_YAML=str(system.data / "agents.yaml"))


def test_the_description_of_the_interface_is_valid_and_true(world):
    node("openapi.mjs", PAGE_URL=page_of(world))


@pytest.mark.parametrize("script", ["views.mjs", "scale.mjs", "hostile.mjs"])
def test_the_page_with_another_world(make_system, model, script):
    """The page's files come from agentos-http, what /v1 tells of the world is made up (fake.mjs)."""
    node(script, PAGE_URL=page_of(make_system(model=model, env=ENV).start()))


def test_no_source_of_the_page_reads_markup_from_a_text():
    """Texts of models and strangers become text: there is no way to markup in the sources at all."""
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|\beval\b|new Function|javascript:|srcdoc|\son[a-z]+="
    for path in SOURCES.iterdir():
        text = path.read_text()
        assert not re.search(ways, text), f"{path.name}: {re.search(ways, text)[0]}"
        if path.suffix in (".js", ".css", ".html"):
            assert not re.search(r"[a-z]+://(?!www\.w3\.org/2000/svg\")|[\"'(]//", text), f"{path.name} names another place"
            assert len(text.splitlines()) < 600, path.name
    assert len(list(SOURCES.iterdir())) <= 30


def test_the_lockfile_names_no_registry():
    lock = json.loads((HERE / "package-lock.json").read_text())
    assert lock["packages"] and "resolved" not in json.dumps(lock) and "://" not in (HERE / "package-lock.json").read_text()


def test_the_readmes_pictures_of_the_page_are_small():
    for name in ("page-agents.png", "page-agent.png"):
        picture = harness.ROOT / "deploy/docs" / name
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and picture.stat().st_size < 200000
        assert f"deploy/docs/{name}" in (harness.ROOT / "README.md").read_text()
