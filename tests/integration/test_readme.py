"""The README and the pages of deploy/docs: their links lead somewhere, and their examples show the real output."""

import json
import re
import subprocess

import pytest
from harness import BIN, ROOT, wait_until

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "deploy/docs").glob("*.md"))]


def blocks(page, language):
    fences = re.findall(r"^(`{3,})(\S*)\n(.*?)^\1$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for _, tongue, text in fences if tongue == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_that_is_there(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def test_the_readme_names_every_page():
    assert {page.name for page in PAGES[1:]} == set(re.findall(r"deploy/docs/([a-z-]+\.md)", README.read_text()))


ID = r"\d{8}T\d{6}-\d{4}-[0-9a-f]{8}"


def alike(line):
    """A line of output without what differs each time: ids, times, numbers and the widths of columns."""
    line = re.sub(rf"\b(?=[0-9a-f]*\d)[0-9a-f]{{7}}\b|{ID}|\d{{4}}-\d\d-\d\dT\S+", "#", line)
    return re.sub(r"\s+", " ", re.sub(r"\b\d+(\.\d+)?( ?(s|kB|MB|min))?\b", "#", line)).strip()


def commands(page):
    """[(a command, the lines that are shown below it)] of a page's blocks without a language."""
    found = []
    for block in blocks(page, ""):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            here = re.match(r".*<< '(\w+)'\n(.*\n)*?\1\n", part)
            typed = here[0] if here else part.partition("\n")[0]
            found.append((typed, part[len(typed) :].strip().splitlines()))
    return found


def typed(system, command):
    env = {**system.env, "PATH": f"{BIN}:{system.env['PATH']}"}
    return subprocess.run(["bash", "-c", command], env=env, cwd=system.folder, capture_output=True, text=True, timeout=300)


def test_the_tour_is_as_it_says(make_system):
    """From one agent to three, a chain of handoffs, a kill, a dead letter and its fresh life: each command as it stands."""
    system = make_system(["orion"], env={"LLM_BASE_URL": "offline"}).start()
    [first, second, *rest] = commands(ROOT / "deploy/docs/tour.md")
    assert first[0] == "deploy/run" and second[0].startswith("export DATA_DIR=")
    assert {"status", "kill", "stop", "dead-letters", "start", "requeue", "show"} <= {line.split()[1] for line, _ in rest}

    letter = "none"

    def said(command):
        return typed(system, re.sub(ID, letter, command))

    for command, shown in rest:
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
    told = [command for command, _ in commands(ROOT / "deploy/docs/operating.md")]
    assert len(told) >= 7
    for command in told:
        result = typed(system, command)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"


def test_what_the_guide_shows_is_what_happens(make_system):
    """The guide's commands as they stand, with this system's commits and folders; of the output, the lines that do not
    depend on the day."""
    guide = ROOT / "deploy/docs/guide.md"
    system = make_system(["orion"], env={"LLM_BASE_URL": "offline"}).start()
    system.cli("task", "orion", "List your active constraints and explain how the reward system works.", "--id", "first-task", "--wait")
    commit = system.git("rev-parse", "--short=7", "HEAD").strip()
    elsewhere = system.folder / "elsewhere"
    elsewhere.mkdir()
    [append] = [block for block in blocks(guide, "sh") if "queue.md" in block]
    assert typed(system, append).returncode == 0
    system.wait_done("paginated-api")
    shown = []
    for command, lines in commands(guide):
        if command.startswith("export "):
            continue
        command = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7}\b", commit, command.replace("/srv/elsewhere", str(elsewhere)))
        result = typed(system, command)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        said = {alike(line) for line in (result.stdout + result.stderr).splitlines()}
        if any(word in command for word in ("verify", "export", "import", "rollback", "audit <<<", "task orion")):
            missing = [line for line in lines if alike(line) not in said and "…" not in line and not line.startswith(("note: ", "undone: "))]
            assert not missing, f"{command}: {missing}: {said}"
            shown.append(command.split()[1])
    assert len(shown) >= 6


def test_the_handoff_of_between_agents_is_as_it_shows(make_system):
    page = ROOT / "deploy/docs/between-agents.md"
    system = make_system(["orion", "iris"], env={"LLM_BASE_URL": "offline"}).start()
    system.cli("task", "orion", "Ask iris to count the pages of chapter two.", "--id", "report", "--wait")
    wait_until(lambda: "finished" in system.cli("handoffs").stdout, "the handoff's end")
    [item] = json.loads(system.cli("handoffs", "--json").stdout)["items"]
    for command, lines in commands(page):
        result = typed(system, re.sub(ID, item["id"], command.replace("agents/", f"{system.data}/agents/")))
        assert result.returncode == 0, f"{command}: {result.stderr}"
        keys = [line.partition(":")[0] for line in lines[1 : lines.index("---", 1)]] if command.startswith("cat ") else []
        assert all(re.search(rf"^{key}: ", result.stdout, re.MULTILINE) for key in keys), result.stdout
        heads = [line for line in lines if line in ("route", "lies in", "answers")]
        assert all(f"\n{head}\n" in result.stdout for head in heads), result.stdout


def test_what_settings_asks_by_curl_is_answered_so(make_system):
    system = make_system(["orion"], env={"LLM_BASE_URL": "offline", "AGENTOS_LISTEN": "127.0.0.1:0"}).start()
    place = system.wait_log(r"HTTP interface at http://(\S+:\d+)")[1]
    asked = [(command, lines) for command, lines in commands(ROOT / "deploy/docs/settings.md") if command.startswith("curl ")]
    assert len(asked) >= 3
    for command, lines in asked:
        result = typed(system, command.replace("localhost:8080", place))
        assert result.returncode == 0, command
        if lines[0].startswith("{"):
            assert json.loads(result.stdout).keys() == json.loads(lines[0]).keys(), result.stdout
            continue
        names = {re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")}
        wait_until(lambda: names <= {re.split(r"[{ ]", line)[0] for line in typed(system, command.replace("localhost:8080", place)).stdout.splitlines()}, names)


def test_the_settings_page_names_every_route_and_every_status_of_http(make_system):
    system = make_system(["orion"], env={"LLM_BASE_URL": "offline", "AGENTOS_LISTEN": "127.0.0.1:0"}).start()
    place = system.wait_log(r"HTTP interface at (http://\S+:\d+)")[1]
    described = json.loads(typed(system, f"curl -s {place}/v1/openapi.json").stdout)
    page = (ROOT / "deploy/docs/settings.md").read_text()
    rows = re.findall(r"^\| `(.*?) \| ", page, re.MULTILINE)
    named = set()
    for row in rows:
        for path in re.findall(r"/[^\s`,]*(?:\{[^}]*\})?[^\s`]*", row):
            head, choice, tail = re.fullmatch(r"([^{]*)(?:\{(.*)\})?(.*)", path.rstrip("`,")).groups()
            named |= {head + one + tail for one in (choice or "").split(",")}
    for path in described["paths"]:
        meant = re.sub(r"\{(\w+)\}", lambda piece: {"agent": "NAME", "queue": "QUEUE", "file": "FILE"}.get(piece[1], "ID"), path)
        assert any(meant == one or meant.endswith(one) and one.count("/") > 1 for one in named) or path.startswith("/page/"), f"{meant}: {sorted(named)}"
    told = set(re.findall(r"[45]\d\d", " ".join(re.findall(r"^\| ([\d, ]+) \| ", page, re.MULTILINE))))
    given = set(re.findall(r"(?:document_problem(?:_at)?\(\w+, |is_done\(answer, |return )([45]\d\d)\b", "".join(path.read_text() for path in (ROOT / "supervisor/http").glob("*.c"))))
    assert {"400", "404", "409", "429"} <= given <= told, given ^ told


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
