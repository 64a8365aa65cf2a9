"""The terminal's view of a running system: the kept log, followed listings, sentences of events, the screen of status, pager
and colour."""

import json
import os
import pty
import re
import signal
import subprocess

import pytest

from harness import BIN, PATIENCE, agents_yaml, task_block, wait_until
from post_office import handing

OFFLINE = {"LLM_BASE_URL": "offline"}


class Running:
    """A client that goes on, and its output so far."""

    def __init__(self, system, *words):
        self.path = system.folder / f"said-{len(list(system.folder.iterdir()))}"
        self.process = subprocess.Popen([str(BIN / "agentos"), *words], env=system.env, stdin=subprocess.DEVNULL,
                                        stdout=open(self.path, "wb"), stderr=subprocess.STDOUT)

    def text(self):
        return self.path.read_text()

    def wait(self, wanted):
        return wait_until(lambda: wanted in self.text() and self.text(), f"'{wanted}' said", 30)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)  # a program that a shell runs in the background ignores SIGINT
        return self.process.wait(20 * PATIENCE)


@pytest.fixture
def go_on():
    made = []

    def start(*words):
        made.append(Running(*words))
        return made[-1]

    yield start
    for running in made:
        running.end()


def on_terminal(system, *words, **environment):
    """The screen of a person at a terminal of 80 columns, and the exit code."""
    pid, fd = pty.fork()
    if pid == 0:
        env = {**system.env, "TERM": "xterm", **environment}
        os.execve(BIN / "agentos", ["agentos", *words], env)
    shown = b""
    while True:
        try:
            piece = os.read(fd, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(fd)
    return shown.decode(errors="replace"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# ---- logs ----


def test_logs_tell_what_the_log_said_of_one_agent_or_of_all_also_when_nobody_runs(make_system):
    system = make_system(["orion", "iris"], env=OFFLINE).start()
    system.add("one", "First")
    system.wait_done("one")
    assert system.stop() == 0
    everything = system.cli("logs").stdout
    assert set(system.log().splitlines()) - set(everything.splitlines()) <= {line for line in system.log().splitlines() if "offline" in line}
    orion = system.cli("logs", "orion").stdout
    assert "[orion] Processing task: one" in orion and "Agent 'orion' ready" in orion and "iris" not in orion
    assert "\n  " in orion.split("Response:")[1]
    last = system.cli("logs", "orion", "-n", "2").stdout
    assert "Agent 'orion' ready" not in last and last in orion
    assert len([line for line in last.splitlines() if not line.startswith("  ")]) == 2
    near = system.cli("logs", "oryon", check=False)
    assert near.returncode == 66 and "orion" in near.stderr


def test_logs_follow_what_comes_also_over_a_full_file(make_system, go_on):
    system = make_system(env=OFFLINE).start()
    following = go_on(system, "logs", "orion", "--follow", "-n", "1")
    following.wait("Agent 'orion' ready")
    system.add("one", "First")
    following.wait("Processing task: one")
    (system.data / ".run/log").rename(system.data / ".run/log.1")
    system.stop()
    system.start()
    system.add("two", "Second")
    following.wait("Processing task: two")
    assert following.text().count("Processing task: one") == 1


def test_a_log_that_is_sent_into_the_kept_one_has_each_line_once(make_system):
    system = make_system(env=OFFLINE)
    (system.data / ".run").mkdir(mode=0o700)
    system.log_path = system.data / ".run/log"
    system.start()
    system.add("one", "First")
    system.wait_done("one")
    assert system.log().count("AgentOS running with 1 agent(s)") == system.log().count("Processing task: one") == 1


def test_log_follows_the_commits_as_they_are_made(make_system, go_on):
    system = make_system(env=OFFLINE).start()
    following = go_on(system, "log", "orion", "-f")
    following.wait("init: agent filesystem")
    for task in ("one", "two"):
        system.add(task, "Do it")
        following.wait(f"orion(task): {task}")
    said = following.text()
    assert said.index("init:") < said.index("task): one") < said.index("task): two") and said.count("task): one") == 1


# ---- events ----


def test_an_event_is_a_sentence_with_ids_from_to_and_reasons_of_one_agent_or_all(make_system, model, go_on):
    system = make_system(["orion", "iris", "nova"], model=model).start()
    everything, iris, nova = go_on(system, "events"), go_on(system, "events", "iris"), go_on(system, "events", "nova")

    def follow():
        system.cli("reload")
        return all("agents.yaml applied" in one.text() for one in (everything, iris, nova))

    wait_until(follow, "they follow", 20, 0.1)
    system.add("start", "Begin. " + handing("iris", "Look at it"))
    said = everything.wait("from iris to orion is delivered")
    assert "INFO [event] [iris] handoff " in said and " from orion to iris is delivered\n" in said
    iris.wait("from orion to iris is finished")
    assert "[nova]" not in iris.text() and "handoff" not in nova.text()
    for line in said.splitlines():
        assert "envelope_" not in line


# ---- status ----


def test_status_names_first_what_needs_attention_with_dead_letters_cost_and_problems(make_system, model):
    system = make_system(["alpha", "beta"], model=model, yaml=agents_yaml(["alpha", "beta"]) + "prices:\n  test-model: {input: 2, output: 10}\n").start()
    system.append(task_block("late", "Too late", ttl_seconds=1), "beta")
    wait_until(lambda: system.agent_status("beta")["dead_letters"] == 1, "a dead letter")
    system.add("one", "Do it", "alpha")
    system.wait_done("one", name="alpha")
    lines = system.cli("status").stdout.splitlines()
    head = next(line for line in lines if line.startswith("AGENT")).split()
    rows = [line.split() for line in lines if line.startswith(("alpha", "beta"))]
    assert {"DEAD", "COST", "PROBLEMS"} <= set(head)
    assert [row[0] for row in rows] == ["beta", "alpha"]
    assert rows[0][head.index("DEAD")] == "1" and float(rows[1][head.index("COST")]) > 0


def test_status_watches_again_and_again(make_system, go_on):
    system = make_system(env=OFFLINE).start()
    watching = go_on(system, "status", "--watch")
    wait_until(lambda: watching.text().count("AGENT") >= 2, "two screens")
    assert "\033" not in watching.text()
    assert watching.end() == 0


# ---- the terminal ----


def test_colour_and_pager_are_for_terminals_alone(make_system):
    system = make_system(env=OFFLINE).start()
    system.add("one", "Do it")
    system.wait_done("one")
    marking = {"PAGER": "sed 's/^/paged: /'"}
    paged, code = on_terminal(system, "log", "orion", **marking)
    assert code == 0 and "paged: 20" in paged and "orion(task): one" in paged
    assert "paged:" not in on_terminal(system, "log", "orion", PAGER="cat")[0]
    assert "orion(task): one" in on_terminal(system, "log", "orion", PAGER="no-such-program")[0]
    assert "\033[1m" in on_terminal(system, "status")[0]
    assert "\033" not in on_terminal(system, "status", NO_COLOR="1")[0]
    system.env.update(marking)
    assert "paged:" not in system.cli("log", "orion").stdout and "\033" not in system.cli("status").stdout


def test_no_text_of_an_agent_steers_a_terminal_through_the_pager(make_system):
    system = make_system(env=OFFLINE).start()
    system.cli("stop", "orion")
    (system.tree() / "iac/archive").mkdir(parents=True, exist_ok=True)
    (system.tree() / "iac/archive/evil.md").write_text(
        "---\nid: evil\nkind: message\nfrom: operator\nto: orion\ncreated: 2026-04-29T10:00:00Z\nstatus: read\n---\n\033]0;owned\007\033[2J\n")
    shown, code = on_terminal(system, "show", "evil", PAGER="cat -", NO_COLOR="1")
    assert code == 0 and "owned" in shown and "\033" not in shown and "\007" not in shown


# ---- much of it ----


def test_the_newest_envelopes_are_the_end_of_the_whole_list(make_system):
    system = make_system(["orion", "iris"], env=OFFLINE)
    for number in range(300):
        name, kind = ("orion", "iris")[number % 2], ("handoff", "message")[number % 3 == 0]
        path = system.tree(name) / f"iac/archive/e{number * 7 % 300}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"---\nid: {path.stem}\nkind: {kind}\nfrom: operator\nto: {name}\ncreated: 2026-04-29T10:{number // 60:02}:{number % 60:02}Z\n"
                        f"status: {'read' if kind == 'message' else 'finished'}\n---\nText {number}\n")
        written = 1777456800 + number + number % 5 * 30  # some were written long after they were created
        os.utime(path, (written, written))
    for verb in ("handoffs", "messages"):
        everything = json.loads(system.cli(verb, "--json").stdout)["items"]
        assert len(everything) == (200 if verb == "handoffs" else 100)
        for count in (1, 5, 50, 99, 1000):
            assert json.loads(system.cli(verb, "--json", "-n", str(count)).stdout)["items"] == everything[-count:]


def test_verify_takes_the_newest_commits_alone(make_system):
    system = make_system(env=OFFLINE).start()
    system.add("one", "Do it")
    system.wait_done("one")
    assert system.stop() == 0
    assert system.cli("verify", "-n", "1").returncode == 0
    assert system.cli("verify", "-n", "0", check=False).returncode == 64
    first = system.git("rev-list", "--max-parents=0", "HEAD").strip()
    text = system.git("cat-file", "commit", "HEAD").replace(f"parent {first}", "parent " + "1" * 40)
    path = system.folder / "commit"
    path.write_text(text)
    broken = system.git("hash-object", "-t", "commit", "-w", "--literally", str(path)).strip()
    system.git("update-ref", "refs/heads/main", broken)
    assert "1" * 40 in system.cli("verify", check=False).stdout
    assert "1" * 40 not in system.cli("verify", "-n", "1", check=False).stdout


@pytest.fixture
def much(make_system):
    """30,000 objects and 10,000 envelopes."""
    system = make_system(env=OFFLINE)
    tree = system.tree()
    (tree / "iac/archive").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "-b", "main", tree], check=True)
    blobs = "".join(f"M 100644 inline {number % 200}/{number}\ndata {len(str(number))}\n{number}\n" for number in range(30000))
    commit = f"commit refs/heads/main\ncommitter a <a@b> 1777456800 +0000\ndata 2\nt\n{blobs}"
    (system.folder / "commit").write_text(commit)
    with open(system.folder / "commit") as stream:
        subprocess.run(["git", "-C", tree, "fast-import", "--quiet"], stdin=stream, check=True, timeout=60 * PATIENCE)
    for number in range(10000):
        (tree / f"iac/archive/e{number}.md").write_text(
            f"---\nid: e{number}\nkind: handoff\nfrom: operator\nto: orion\n"
            f"created: 2026-04-29T{number // 3600 + 10}:{number // 60 % 60:02}:{number % 60:02}Z\nstatus: finished\n---\nText\n")
    return system


def test_what_takes_long_says_on_a_terminal_how_far_it_is_and_goes_by_pages(much):
    for verb, what in (("verify", "objects checked"), ("handoffs", "envelopes read")):
        shown = on_terminal(much, verb, PAGER="cat")[0]
        counts = [int(count) for count in re.findall(rf"\r\033\[K(\d+) {what}", shown)]
        assert len(counts) > 0 and counts == sorted(counts)
        goes = shown.rindex("\r\033[K") > shown.rindex(what)
        said = what in much.cli(verb, check=False).stderr
        assert goes and not said
    assert len(much.cli("handoffs", "-n", "10").stdout.splitlines()) == 1 + 10


# ---- what hands do that know other programs ----


def narrow(system, columns, *words):
    """Like on_terminal, on a terminal of so many columns."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen([str(BIN / "agentos"), *words], env={**system.env, "TERM": "dumb"}, stdout=theirs) as running:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:
            pass
        assert running.wait(20 * PATIENCE) == 0
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def test_status_fits_a_narrow_terminal_and_a_pipe_has_every_column(make_system):
    system = make_system(["orion", "iris"], env=OFFLINE).start()
    wide = re.search(r"^AGENT .*$", system.cli("status").stdout, re.MULTILINE)[0].split()
    assert len(wide) == 17 and wide[-2:] == ["LAST", "EXIT"]
    for columns, fewer in ((200, 0), (80, 3), (62, 5)):
        shown = narrow(system, columns, "status").split("\n\n")[1]
        heads = shown.splitlines()[0].split()
        assert max(map(len, shown.splitlines())) <= columns and set(heads) <= set(wide), shown
        assert len(wide) - len(heads) >= fewer and {"AGENT", "STATE", "QUEUE", "DEAD", "COST", "PROBLEMS"} <= set(heads)
        assert len(heads) == len(wide) or fewer


@pytest.mark.parametrize(
    "words, near",
    [(["ps"], "status"), (["list"], "status"), (["inspect", "x"], "show"), (["unpause", "orion"], "resume"), (["stat"], "status"),
     (["statsu"], "status"), (["status", "--josn"], "--json"), (["task", "orion", "x", "--prioritty=low"], "--priority"),
     (["logs", "--tail", "5"], "-n"), (["log", "orion", "--lines=5"], "-n"), (["stop", "orion", "--no-block"], "--no-wait"), (["status", "-o", "json"], "--json")],
)
def test_what_other_programs_call_otherwise_is_met_with_the_verb_or_option_that_was_meant(words, near):
    said = subprocess.run([str(BIN / "agentos"), *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert said.returncode == 64 and re.search(rf"did you mean '?{near}\b", said.stderr), said.stderr


def test_an_option_that_the_verb_does_not_have_is_not_what_was_meant():
    said = subprocess.run([str(BIN / "agentos"), "logs", "--tll", "5"], capture_output=True, text=True)
    assert said.returncode == 64 and "no option --tll" in said.stderr and "did you mean" not in said.stderr
    said = subprocess.run([str(BIN / "agentos"), "task", "orion", "x", "--tll", "5"], capture_output=True, text=True)
    assert said.returncode == 64 and "did you mean --ttl?" in said.stderr


def test_what_is_far_from_every_verb_is_met_with_none():
    said = subprocess.run([str(BIN / "agentos"), "gut"], capture_output=True, text=True)
    assert "did you mean 'git'?" in said.stderr
    said = subprocess.run([str(BIN / "agentos"), "frob"], capture_output=True, text=True)
    assert said.returncode == 64 and "did you mean" not in said.stderr


def test_a_command_goes_with_and_without_dashes_before_it_and_its_exit_code_is_kept(make_system):
    system = make_system(env=OFFLINE).start()
    for dashes in (["--"], []):
        assert system.cli("exec", "orion", *dashes, "sh", "-c", "exit 5", check=False).returncode == 5
        assert system.cli("git", "orion", *dashes, "log", "--format=%s", "-n", "1").stdout == "init: agent filesystem\n"
        assert system.cli("git", "orion", *dashes, "rev-parse", "--verify", "nope", check=False).returncode == 128


def test_the_newest_are_counted_as_git_counts_them_too(make_system):
    system = make_system(env=OFFLINE).start()
    for task in ("one", "two"):
        system.cli("task", "orion", "Hello", "--id", task, "--wait")
    wanted = system.cli("rewards", "orion", "-n", "1").stdout
    assert "two" in wanted and "one" not in wanted.split("REASON")[1].split("  ")[:3]
    assert all(system.cli("rewards", "orion", count).stdout == wanted for count in ("-1", "-n1", "-n=1"))
    assert system.cli("status", "-1", check=False).returncode == 64
    said = system.cli("task", "orion", "-5", check=False)
    assert said.returncode == 64 and "goes behind '--'" in said.stderr


def test_no_page_of_help_is_wider_than_a_wide_terminal():
    table = subprocess.run([str(BIN / "agentos"), "help", "--table"], capture_output=True, text=True).stdout
    for verb in [line.split("\t")[0] for line in table.splitlines()]:
        page = subprocess.run([str(BIN / "agentos"), verb, "--help"], capture_output=True, text=True).stdout
        assert page and max(map(len, page.splitlines())) <= 120, f"{verb}: {max(page.splitlines(), key=len)}"


def test_a_reader_that_has_gone_ends_a_listing_as_it_ends_every_program(make_system):
    system = make_system(env=OFFLINE).start()
    for words in ("log orion", "skills orion", "status", "help"):
        line = f"set -o pipefail; {BIN}/agentos {words} | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
        assert subprocess.run(["bash", "-c", line], env=system.env, capture_output=True, text=True).stdout.strip() in ("0", "141"), words
    line = f"{BIN}/agentos log orion --follow | true; echo ${{PIPESTATUS[0]}}"
    system.cli("task", "orion", "Hello", "--wait")
    assert subprocess.run(["bash", "-c", line], env=system.env, capture_output=True, text=True, timeout=60).stdout.strip() == "141"


def test_a_text_with_a_nul_is_refused_and_not_cut_at_it(make_system):
    system = make_system(env=OFFLINE).start()
    for words in (["task", "orion", "-"], ["send", "orion"]):
        said = subprocess.run([str(BIN / "agentos"), *words], env=system.env, input=b"before\0behind", capture_output=True)
        assert said.returncode == 65 and b"NUL" in said.stderr and said.stdout == b""
    assert system.read("queue.md").count("## ") == 0 and not list((system.tree() / "iac/inbox").glob("*.md"))


def test_an_agent_that_nobody_has_started_yet_is_told_from_one_that_is_not_there(tmp_path):
    env = {**os.environ, "DATA_DIR": str(tmp_path)}
    subprocess.run([str(BIN / "agentos"), "init"], env=env, check=True, capture_output=True)
    said = subprocess.run([str(BIN / "agentos"), "log", "orion"], env=env, capture_output=True, text=True)
    assert said.returncode == 66 and "the first `agentos run` makes" in said.stderr
