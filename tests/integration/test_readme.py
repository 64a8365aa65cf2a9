"""The README and the pages of deploy/docs: their links lead somewhere, and what they show is what happens."""

import json
import re
import subprocess

import pytest
from harness import BIN, ROOT, wait_until

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


ID = r"\d{8}T\d{6}-\d{4}-[0-9a-f]{8}"


def alike(line):
    """A line of output without what differs each time: ids, times, numbers and the widths of columns."""
    line = re.sub(rf"{ID}|\d{{4}}-\d\d-\d\dT\S+", "#", line)
    return re.sub(r"\s+", " ", re.sub(r"\b\d+(\.\d+)?( ?(s|kB|MB|min))?\b", "#", line)).strip()


def commands(page):
    """[(what is typed, the lines that are shown below it)] of a page's blocks without a language."""
    found = []
    for block in blocks(page, ""):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            here = re.match(r".*<< '(\w+)'\n(.*\n)*?\1\n", part)
            typed = here[0] if here else part.partition("\n")[0]
            found.append((typed, part[len(typed) :].strip().splitlines()))
    return found


def test_the_tour_is_as_it_says(make_system):
    """From one agent to three, a chain of handoffs, a kill, a dead letter and its fresh life: each command as it stands."""
    system = make_system(["orion"], env={"LLM_BASE_URL": "offline"}).start()
    env = {**system.env, "PATH": f"{BIN}:{system.env['PATH']}"}
    [first, second, *typed] = commands(ROOT / "deploy/docs/tour.md")
    assert first[0] == "deploy/run" and second[0].startswith("export DATA_DIR=")
    assert {"status", "kill", "stop", "dead-letters", "start", "requeue", "show"} <= {line.split()[1] for line, _ in typed}

    letter = "none"

    def said(command):
        return subprocess.run(["bash", "-c", re.sub(ID, letter, command)], env=env, capture_output=True, text=True, timeout=300)

    for command, shown in typed:
        if command.startswith("sleep"):
            [dead] = wait_until(lambda: json.loads(system.cli("dead-letters", "--json").stdout)["items"], "the dead letter")
            letter = dead["id"]
            continue
        wanted = {alike(line) for line in shown}

        def is_shown():
            result = said(command)
            assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
            return wanted <= {alike(line) for line in result.stdout.splitlines()} or None

        if any(word in command for word in ("status", "handoffs")):
            wait_until(is_shown, f"{command}: {shown}")
        else:
            assert is_shown(), command


def test_every_verb_that_the_pages_name_is_one(make_system):
    system = make_system(["orion"])
    known = set(re.findall(r"^  +([a-z-]+) ", system.cli("help").stdout, re.MULTILINE)) | {"help", "version"}
    for page in PAGES:
        named = set(re.findall(r"(?:`|^\$ |agentos )agentos ([a-z][a-z-]*)", page.read_text(), re.MULTILINE))
        assert named <= known, f"{page.name}: {named - known}"


def test_what_operators_are_told_to_type_works(make_system):
    system = make_system(["orion"], env={"LLM_BASE_URL": "offline"}).start()
    env = {**system.env, "PATH": f"{BIN}:{system.env['PATH']}"}
    typed = [command for command, _ in commands(ROOT / "deploy/docs/operating.md")]
    assert len(typed) >= 7
    for command in typed:
        result = subprocess.run(["bash", "-c", command], env=env, cwd=system.folder, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"


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
