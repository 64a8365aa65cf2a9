"""The README and the pages of deploy/docs: their links lead somewhere, and what they show is what happens."""

import json
import re

import pytest
from harness import ROOT, wait_until

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "deploy/docs").glob("*.md"))]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_that_is_there(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_readme_names_every_page():
    assert {page.name for page in PAGES[1:]} == set(re.findall(r"deploy/docs/([a-z-]+\.md)", README.read_text()))


def test_the_readmes_two_agents_do_what_the_readme_shows(make_system):
    [yaml] = blocks(README, "yaml")
    system = make_system(["orion", "iris"], env={"LLM_BASE_URL": "offline"})
    (system.data / "agents.yaml").write_text(yaml)
    assert system.cli("check").returncode == 0
    system.start()
    [call] = re.findall(r'^\$ agentos task orion "(.*)" --id report --wait$', README.read_text(), re.MULTILINE)
    system.cli("task", "orion", call, "--id", "report", "--wait")

    def handoff():
        return json.loads(system.cli("handoffs", "--json").stdout)["items"]

    wait_until(lambda: [item["status"] for item in handoff()] == ["finished"], "the handoff's end")
    [item] = handoff()
    assert (item["from"], item["to"], item["body"].splitlines()[0]) == ("orion", "iris", "count the pages of chapter two.")
    shown = system.cli("show", item["id"]).stdout
    route = re.findall(r"^\S+  (?:orion|iris)   ?(?:\S+)  +(.*)$", README.read_text(), re.MULTILINE)
    for line in route:
        if not line.startswith("orion(post)"):
            assert re.sub(r"\d{8}T\d{6}-\d{4}-[0-9a-f]{8}", item["id"], line) in shown, line
    assert len(route) > 5
