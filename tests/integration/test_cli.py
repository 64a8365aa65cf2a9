"""The command line: exit codes, usage, the verbs against a running supervisor, and the verbs that need none."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading

import pytest
from harness import BIN, KEY, PATIENCE, agents_yaml, task_block, wait_until
from test_http_v1 import make_v1  # noqa: F401

AGENTOS = str(BIN / "agentos")
VERBS = (
    "init run check doctor demo task answer cancel send enqueue status start stop restart kill pause resume move reload retry logs events log "
    "skills rewards goals reflections rollback handoffs messages show dead-letters requeue purge queues locks segments "
    "verify git exec export import help version"
).split()
CLIENTS = {
    "status": [],
    "task": ["orion", "Do it"],
    "cancel": ["orion", "x"],
    "reload": [],
    "retry": [],
    "send": ["orion", "Hello"],
    "enqueue": ["reviews", "Look at it"],
    "requeue": ["x"],
    "purge": ["x"],
    "rollback": ["orion", "HEAD"],
    **{verb: ["orion"] for verb in "start stop restart kill pause resume".split()},
}
READERS = {
    "show": ["x"],
    **{verb: [] for verb in "handoffs messages dead-letters locks queues segments".split()},
    **{verb: ["orion"] for verb in "skills rewards goals reflections log".split()},
}


def agentos(*arguments, env=None, stdin="", cwd=None, seconds=60):
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("LLM_", "AGENTOS_")) and k != "DATA_DIR"}
    for name in ("ASAN_OPTIONS", "AGENTOS_SANDBOX"):
        if name in os.environ:
            plain[name] = os.environ[name]
    return subprocess.run(
        [AGENTOS, *map(str, arguments)], capture_output=True, text=True, input=stdin, cwd=cwd,
        timeout=seconds * PATIENCE, env={**plain, **(env or {})},
    )


@pytest.fixture
def offline(make_system):
    """A system whose tasks are done, and that has been stopped in order."""

    def make():
        system = make_system(env={"LLM_BASE_URL": "offline"}).start()
        system.add("one", "Write a retry wrapper.")
        system.wait_done("one")
        system.wait_queue_empty()
        assert system.stop() == 0
        return system

    return make


# ---- usage ----


@pytest.mark.parametrize(
    "words",
    [[], ["frobnicate"], ["--bogus"], ["status", "--bogus"], ["status", "--wait"], ["task"], ["cancel", "orion"],
     ["task", "orion", "a", "b"], ["--data"], ["status", "--data="], ["status", "--json=yes"], ["skills"], ["run", "orion"]],
)
def test_wrong_usage_ends_with_64_and_a_sentence(words):
    result = agentos(*words)
    assert result.returncode == 64
    assert result.stdout == ""
    assert re.fullmatch(r"agentos: .+ --help` tells more\n", result.stderr)


def test_help_lists_every_verb_and_each_has_a_page_of_its_own():
    page = agentos("--help")
    assert page.returncode == 0 and page.stderr == ""
    listed = re.findall(r"^  ([a-z-]+) ", page.stdout, re.MULTILINE)
    assert [verb for verb in listed if verb in VERBS] == listed == VERBS
    assert re.findall(r"^([A-Z].*):$", page.stdout, re.MULTILINE)[:3] == ["To begin", "Give work and get answers", "Agents"]
    for verb in VERBS:
        own = agentos(verb, "--help")
        assert own.returncode == 0 and own.stdout.startswith(f"usage: agentos {verb}"), verb


def test_version_names_the_libraries_as_they_are_loaded():
    result = agentos("--version")
    assert result.returncode == 0
    versions = dict(line.split(" ", 1) for line in result.stdout.splitlines())
    assert set(versions) == {"agentos", "libcurl", "libyaml", "libgit2", "libseccomp", "jansson", "nng", "libnats", "libbsd"}
    assert all(re.match(r"\d+\.\d+", version) for version in versions.values()), versions


@pytest.mark.parametrize("verb", CLIENTS)
def test_a_client_without_a_supervisor_ends_with_69_and_says_what_to_do(verb, tmp_path):
    result = agentos("--data", tmp_path, verb, *CLIENTS[verb])
    assert result.returncode == 69
    assert f"agentos run --data {tmp_path}" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", READERS)
def test_what_only_reads_says_that_a_folder_is_no_data_directory(verb, tmp_path):
    result = agentos("--data", tmp_path, verb, *READERS[verb])
    assert result.returncode == 66 and result.stdout == ""
    assert f"{tmp_path} holds no agents" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_only_reads_works_without_a_supervisor_as_with_one(offline):
    system = offline()
    commits = system.cli("log", "orion").stdout.splitlines()
    assert "orion(task): one" in system.cli("log", "orion", "-n", "1").stdout or len(commits) > 2
    assert len(system.cli("rewards", "orion").stdout.splitlines()) == 2
    for verb, words in READERS.items():
        assert system.cli(verb, *words, check=False).returncode == (66 if verb == "show" else 0), verb
    mistyped = system.cli("goals", "oiron", check=False)
    assert mistyped.returncode == 66 and "did you mean 'orion'?" in mistyped.stderr


NAMES_AN_AGENT = re.compile(r"^  ([a-z-]+) (?:AGENT|\[AGENT\])", re.M)
MORE_WORDS = {"cancel": ["x"], "git": ["--", "log"], "exec": ["--", "true"], "rollback": ["HEAD"], "export": ["x"], "move": ["dc2"]}


def test_every_verb_meets_a_mistyped_agent_or_queue_with_the_nearest(make_system, model):
    yaml = agents_yaml(["orion"]) + "queues:\n  - {name: reviews, consumers: [orion]}\n"
    system = make_system(model=model, yaml=yaml).start()
    verbs = NAMES_AN_AGENT.findall(system.cli("help").stdout)
    assert {"status", "stop", "task", "answer", "git", "exec", "export", "logs", "retry", "events"} < set(verbs)
    for verb in verbs:
        result = system.cli(verb, "orio", *MORE_WORDS.get(verb, []), check=False, stdin="text")
        assert result.returncode == 66 and "did you mean 'orion'?" in result.stderr, f"{verb}: {result.stderr}"
    result = system.cli("enqueue", "reviws", "text", check=False)
    assert result.returncode == 66 and "did you mean 'reviews'?" in result.stderr


def test_init_writes_what_check_finds_right_and_overwrites_nothing(tmp_path):
    made = agentos("init", tmp_path / "new/place")
    assert made.returncode == 0 and f"export DATA_DIR={tmp_path}/new/place" in made.stdout
    assert agentos("check", "--data", tmp_path / "new/place", env={"LLM_BASE_URL": "offline"}).returncode == 0
    yaml = tmp_path / "new/place/agents.yaml"
    yaml.write_text("mine\n")
    again = agentos("init", "--data", tmp_path / "new/place")
    assert again.returncode == 73 and "is there already" in again.stderr
    assert yaml.read_text() == "mine\n" and [p.name for p in yaml.parent.iterdir()] == ["agents.yaml"]
    assert agentos("init", env={"DATA_DIR": str(tmp_path / "other")}).returncode == 0
    assert (tmp_path / "other/agents.yaml").exists()


def test_the_lines_to_type_next_hold_for_a_directory_with_blanks_and_quotes(tmp_path):
    folder = tmp_path / "it's a $HOME"
    said = agentos("init", folder)
    export = next(line for line in said.stdout.splitlines() if "DATA_DIR=" in line)
    shell = subprocess.run(["sh", "-c", f'{export}; printf %s "$DATA_DIR"'], capture_output=True, text=True)
    assert shell.stdout == str(folder)
    refused = agentos("status", "--data", folder)
    assert refused.returncode == 69
    command = refused.stderr.split("`")[1]
    shell = subprocess.run(["sh", "-c", f"printf '%s\n' {command}"], capture_output=True, text=True)
    assert shell.stdout.splitlines() == ["agentos", "run", "--data", str(folder)]


def test_a_data_directory_that_init_made_is_its_owners_and_groups_and_check_says_what_to_do_for_others(tmp_path):
    folder = tmp_path / "made"
    agentos("init", folder)
    assert folder.stat().st_mode & 0o777 == 0o750
    said = agentos("check", "--data", folder, env={"LLM_BASE_URL": "offline"}).stdout
    assert f"uid {os.geteuid()} and group {os.getegid()} alone read {folder}" in said and "chmod o+rx" in said
    folder.chmod(0o755)
    assert "alone read" not in agentos("check", "--data", folder, env={"LLM_BASE_URL": "offline"}).stdout


def test_help_and_version_are_verbs_too():
    assert agentos("help").stdout == agentos("--help").stdout
    assert agentos("help", "stop").stdout == agentos("stop", "--help").stdout
    assert agentos("version").stdout == agentos("--version").stdout
    unknown = agentos("help", "stpo")
    assert unknown.returncode == 64 and "did you mean 'stop'?" in unknown.stderr
    assert agentos("statsu").stderr == "agentos: there is no verb 'statsu'; did you mean 'status'? `agentos --help` tells more\n"


def test_a_count_takes_the_newest(offline):
    system = offline()
    every = system.cli("log", "orion").stdout
    assert every.startswith(system.cli("log", "orion", "-n", "1").stdout)
    assert len(json.loads(system.cli("log", "orion", "-n1", "--json").stdout)["items"]) == 1
    assert system.cli("log", "orion", "-n", "0", check=False).returncode == 64


def test_data_goes_before_or_after_the_verb_and_a_relative_path_is_made_absolute(tmp_path):
    for words in (["--data", ".", "status"], ["status", "--data", "."], ["status", "--data=."]):
        assert f"no supervisor is running on {tmp_path}" in agentos(*words, cwd=tmp_path).stderr
    assert f"running on {tmp_path}/later" in agentos("status", cwd=tmp_path, env={"DATA_DIR": "later"}).stderr


def test_a_result_that_cannot_be_written_is_no_success():
    with open("/dev/full", "w") as full:
        result = subprocess.run([AGENTOS, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 74
    assert "No space left" in result.stderr


# ---- check ----


def test_check_tells_what_would_run(make_system):
    system = make_system(["orion", "iris"], env={"LLM_BASE_URL": "offline"})
    result = system.cli("check")
    assert "2 agent(s)" in result.stdout and "orion" in result.stdout and "iris" in result.stdout
    assert "offline" in result.stdout
    assert result.stderr == ""


def test_check_names_every_fault_of_the_file_and_of_the_environment(make_system):
    yaml = "agents:\n  - name: orion\n    persona: x\n    colour: red\n  - name: Iris\n    persona: y\n"
    system = make_system(yaml=yaml, env={"POLL_INTERVAL": "soon", "LLM_TIMEOUT__ORION": "-1"})
    result = system.cli("check", check=False)
    assert result.returncode == 78
    for part in ("agents.yaml:4:5: ", "agents.yaml:5:11: ", "POLL_INTERVAL", "LLM_TIMEOUT__ORION"):
        assert part in result.stderr, part
    assert result.stderr.count("fault: ") == 4


def test_check_warns_of_a_missing_key_and_never_shows_one(make_system):
    system = make_system(env={"LLM_BASE_URL": "https://models.example/v1", "LLM_API_KEY": ""})
    assert "LLM_API_KEY is not set" in system.cli("check").stdout
    system.env["LLM_API_KEY"] = KEY
    result = system.cli("check")
    assert "LLM_API_KEY" not in result.stdout and KEY not in result.stdout + result.stderr
    system.env["LLM_API_KEY_FILE"] = "/dev/null"
    result = system.cli("check", check=False)
    assert result.returncode == 78 and "both set" in result.stderr


def test_check_warns_that_another_providers_url_needs_a_key_of_its_own(make_system):
    other = {"LLM_FALLBACKS": "spare", "LLM_BASE_URL__SPARE": "https://spare.example/v1"}
    system = make_system(env={"LLM_BASE_URL": "https://models.example/v1", **other})
    assert "LLM_API_KEY__SPARE is not set, and https://spare.example/v1" in system.cli("check").stdout
    system.env["LLM_API_KEY__SPARE"] = KEY
    assert "warning" not in system.cli("check").stdout


def test_check_refuses_a_fallback_that_is_named_like_an_agent(make_system):
    system = make_system(env={"LLM_BASE_URL": "offline", "LLM_FALLBACKS": "orion", "LLM_MODEL__ORION": "m"})
    result = system.cli("check", check=False)
    assert result.returncode == 78 and "the fallback 'orion' of LLM_FALLBACKS would share" in result.stderr
    assert "such as LLM_MODEL__ORION\n" in result.stderr


def test_check_and_the_start_say_of_a_key_what_is_wrong_with_it_and_never_show_it(make_system):
    said = {
        "Bearer sk-one-0123456789": "begins with 'Bearer '",
        "gsk_0123456789": "begins with 'gsk_' as keys of Groq do",
        '"sk-0123456789"': "stands in quotes",
        " sk-0123456789": "has blanks or line breaks around it",
        "sk-01234 0123456789": "has a blank in it",
    }
    for key, sentence in said.items():
        system = make_system(env={"LLM_BASE_URL": "https://models.example/v1", "LLM_API_KEY": key})
        assert f"warning: LLM_API_KEY {sentence}" in system.cli("check").stdout
        system.start().wait_log(f"WARN .*LLM_API_KEY {sentence}")
        assert "0123456789" not in system.log() + system.cli("check").stdout
        system.stop()


@pytest.mark.parametrize(
    "variable,value,sentence",
    [
        ("LLM_MODEL", '"gpt-4o"', "LLM_MODEL stands in quotes"),
        ("LLM_MODEL", "gpt-4o ", "LLM_MODEL begins or ends with a blank"),
        ("LLM_MODEL", os.fsdecode(b"gpt-\xff"), "LLM_MODEL is not valid UTF-8"),
        ("LLM_BASE_URL", "'https://models.example/v1'", "LLM_BASE_URL stands in quotes"),
        ("LLM_BASE_URL", "models.example/v1", "LLM_BASE_URL must start with http"),
    ],
)
def test_a_model_or_a_base_url_that_cannot_be_one_is_refused_by_check_and_the_start(make_system, variable, value, sentence):
    system = make_system(env={"LLM_BASE_URL": "offline", variable: value})
    check = system.cli("check", check=False)
    assert check.returncode == 78 and f"fault: {sentence}" in check.stderr
    assert system.run_to_end() == 78 and sentence in system.log()


def test_a_base_url_that_names_the_whole_path_stops_the_start_and_the_right_one_is_named(make_system):
    system = make_system(env={"LLM_BASE_URL": "http://127.0.0.1:9/v1/chat/completions"})
    check = system.cli("check", check=False)
    assert check.returncode == 78 and "put behind it: http://127.0.0.1:9/v1\n" in check.stderr
    assert system.run_to_end() == 78
    assert "put behind it: http://127.0.0.1:9/v1" in system.log()


# ---- against a running supervisor ----


def test_status_shows_people_a_table_and_programs_the_contract(make_system):
    system = make_system(["orion", "iris"], env={"LLM_BASE_URL": "offline"}).start()
    table = system.cli("status").stdout
    assert re.search(r"^AGENT +STATE +PID", table, re.MULTILINE)
    assert re.search(r"^orion +idle +\d+", table, re.MULTILINE)
    status = json.loads(system.cli("status", "--json").stdout)
    assert set(status) == {"supervisor", "agents"}
    assert set(status["supervisor"]) >= {"pid", "uptime_seconds", "version", "sandbox"}
    assert set(status["agents"][0]) >= set(
        "name state pid uptime_seconds restarts last_exit queue_depth inbox_depth handoff_depth outbox_depth "
        "dead_letters throughput_class negative_streak tasks_done tokens_today memory_bytes problems".split()
    )
    assert [a["name"] for a in json.loads(system.cli("status", "iris", "--json").stdout)["agents"]] == ["iris"]


@pytest.mark.parametrize("words", [["status", "nobody"], ["task", "nobody", "x"], ["log", "nobody"],
                                   ["skills", "nobody"], ["handoffs", "nobody"], ["messages", "nobody"], ["dead-letters", "nobody"],
                                   ["show", "no-such-id"], ["send", "nobody", "x"], ["enqueue", "nothing", "x"],
                                   ["requeue", "no-such-id"], ["purge", "no-such-id"], ["stop", "nobody"], ["cancel", "orion", "no-such-task"]])
def test_what_nobody_knows_ends_with_66(make_system, words):
    system = make_system(env={"LLM_BASE_URL": "offline"}).start()
    result = system.cli(*words, check=False)
    assert result.returncode == 66, result.stderr
    assert result.stdout == "" and result.stderr.startswith("agentos: ")


def test_what_belongs_to_another_user_ends_with_77_and_says_whom_to_ask_as(make_system):
    """Root without capabilities is a user like others; another user can take away the directory's mode."""
    system = make_system(env={"LLM_BASE_URL": "offline"}).start()
    system.cli("task", "orion", "Do it", "--id", "x", "--wait")
    may_not = []
    if os.geteuid() == 0:
        os.chown(system.data, 54321, 54321)
        may_not = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    calls = {**CLIENTS, **READERS, "logs": [], "events": [], "answer": ["orion"], "verify": [], "git": ["orion", "log"], "exec": ["orion", "ls"], "export": ["orion", "x.bundle"]}
    mode = system.data.stat().st_mode
    system.data.chmod(0o700 if may_not else 0)
    try:
        for verb, words in calls.items():
            said = subprocess.run([*may_not, AGENTOS, verb, *words], env=system.env, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=system.folder)
            assert said.returncode == 77 and said.stdout == "" and said.stderr.startswith("agentos: "), f"{verb}: {said.returncode}: {said.stdout}{said.stderr}"
            assert "ermission denied" in said.stderr or "user" in said.stderr, said.stderr
    finally:
        os.chmod(system.data, mode)
        os.chown(system.data, os.geteuid(), os.getegid())


def test_a_task_is_given_waited_for_and_found_in_every_listing(make_system):
    system = make_system(env={"LLM_BASE_URL": "offline"}).start()
    result = system.cli("task", "orion", "Write a retry wrapper.", "--id", "retry", "--wait")
    commit = re.fullmatch(r"retry\n(?:retry: .*\n)*retry: done, reward \+1, commit ([0-9a-f]{7})\n", result.stderr).group(1)
    assert result.stdout == system.read("outputs/retry.md").split("\n---\n", 1)[1]
    assert system.git("rev-parse", "HEAD").startswith(commit)

    [skill] = json.loads(system.cli("skills", "orion", "--json").stdout)["items"]
    assert skill["reward_evidence"] == 1 and skill["body"] and (system.data / skill["path"]).is_file()
    assert skill["name"] in system.cli("skills", "orion").stdout
    [reward] = json.loads(system.cli("rewards", "orion", "--json").stdout)["items"]
    assert (reward["task"], reward["reward"], reward["path"]) == ("retry", 1, "agents/orion/rewards.md")
    assert "+1" in system.cli("rewards", "orion").stdout
    [newest, init] = json.loads(system.cli("log", "orion", "--json").stdout)["items"]
    assert (newest["task"], newest["end"], newest["reward"]) == ("retry", "done", 1)
    assert newest["tokens"] == reward["tokens"] or reward["tokens"] is None
    assert (init["subject"], init["task"]) == ("init: agent filesystem", None)
    diary = system.cli("log", "orion").stdout
    assert diary.index(f"{commit}  +1") < diary.index("init: agent filesystem")
    for verb in ("goals", "reflections"):
        assert "items" in json.loads(system.cli(verb, "orion", "--json").stdout)


def test_a_task_comes_from_standard_input_too(make_system, model):
    system = make_system(model=model).start()
    text = "First line.\n\n## no-block\n  second: line\n"
    system.cli("task", "orion", "-", "--id", "a", "--wait", stdin=text)
    system.cli("task", "orion", "--id", "b", "--wait", stdin="By way of a pipe.")
    tasks = [request["task"] for request in model.requests()]
    assert [task.strip() for task in tasks] == [text.strip(), "By way of a pipe."]
    assert system.cli("task", "orion", stdin=" \n", check=False).returncode == 64
    assert system.cli("task", "orion", "x", "--priority", "urgent", check=False).returncode == 64
    assert system.cli("task", "orion", "x", "--ttl", "soon", check=False).returncode == 64
    assert len(model.requests()) == 2


def test_a_task_that_can_be_no_request_is_refused_and_nothing_is_queued(make_system, model):
    system = make_system(model=model).start()
    assert system.cli("task", "orion", "-", stdin="x" * (2 << 20), check=False).returncode == 65
    result = subprocess.run([AGENTOS, "task", "orion", b"\xff\xfe"], env=system.env, capture_output=True)
    assert result.returncode == 65 and b"UTF-8" in result.stderr
    for option in ("--id", "--lock"):
        result = subprocess.run([AGENTOS, "task", "orion", "x", option, b"\xff"], env=system.env, capture_output=True)
        assert result.returncode == 64 and f"{option} is not valid UTF-8".encode() in result.stderr
    assert "## " not in system.read("queue.md") and model.requests() == []


def test_stop_and_start_return_when_it_is_so(make_system):
    system = make_system(env={"LLM_BASE_URL": "offline"}).start()
    first = system.worker()
    system.cli("stop", "orion")
    assert system.agent_status()["state"] == "stopped" and system.worker() is None
    system.cli("start", "orion")
    assert system.worker() not in (None, first)
    system.cli("pause", "orion")
    assert system.agent_status()["state"] == "paused"
    system.cli("resume", "orion", "--no-wait")
    system.wait_state("orion", "idle")


def test_a_terminal_is_never_steered_by_what_an_agent_wrote(make_system):
    system = make_system(env={"LLM_BASE_URL": "offline"}).start()
    with open(system.tree() / "skills.md", "a") as skills:
        skills.write("\n### evil\n- description: \x1b]0;owned\x07 \x9b31m\n- reward_evidence: 1\n")
    shown = system.cli("skills", "orion").stdout
    assert "evil" in shown and not re.search(r"[\x00-\x09\x0b-\x1f\x7f\x80-\x9f]", shown)


# ---- a supervisor that misbehaves ----


@pytest.fixture
def impostor(tmp_path):
    """Listens where a supervisor would, and answers every request with these bytes."""
    servers = []

    def listen(answer):
        run = tmp_path / ".run"
        run.mkdir()
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(run / "control"))
        server.listen()
        servers.append(server)

        def serve():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.makefile().readline()
                    client.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return tmp_path

    yield listen
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.mark.parametrize(
    "answer, code",
    [(b"", 69), (b'{"exit":0', 69), (b"nonsense\n", 70), (b"[]\n", 70), (b'{"exit":"0"}\n', 70), (b'{"exit":0}\n', 70),
     (b'{"exit":77,"complaint":"not you \\u001b[31m"}\n', 77), (b"\xff\xfe\n", 70), (b"[" * 100000 + b"\n", 70)],
)
def test_an_answer_that_makes_no_sense_is_said_and_never_taken_for_success(impostor, answer, code):
    result = agentos("status", "--data", impostor(answer))
    assert result.returncode == code
    assert result.stdout == "" and result.stderr.startswith("agentos: ") and "\x1b" not in result.stderr


def test_a_wait_that_is_cut_off_is_no_success(impostor):
    result = agentos("task", "orion", "x", "--wait", "--data", impostor(b'{"exit":0,"id":"t"}\n'))
    assert (result.returncode, result.stdout, result.stderr[:2]) == (69, "", "t\n")
    assert "not known" in result.stderr


def test_a_data_directory_of_any_length_has_a_supervisor(make_system):
    system = make_system(env={"LLM_BASE_URL": "offline"})
    deep = system.folder / ("d" * 100) / ("e" * 100)
    deep.parent.mkdir()
    system.data.rename(deep)
    system.data = deep
    system.env["DATA_DIR"] = str(deep)
    system.start()
    assert "reward +1" in system.cli("task", "orion", "Do it", "--wait").stderr


# ---- verify ----


def test_verify_finds_nothing_after_an_orderly_stop(offline):
    system = offline()
    result = system.cli("verify")
    assert "1 agent(s) verified" in result.stdout


def test_verify_changes_nothing(offline):
    system = offline()

    def state():
        paths = sorted(path for path in system.data.rglob("*"))
        return [(str(path), path.lstat().st_mtime_ns, path.lstat().st_size) for path in paths]

    before = state()
    system.cli("verify")
    assert state() == before


def test_verify_while_it_runs_finds_nothing_and_says_that_it_may_race(make_system):
    system = make_system(env={"LLM_BASE_URL": "offline"}).start()
    for number in range(20):
        system.add(f"task-{number}", "Write a retry wrapper.")
    result = system.cli("verify", check=False)
    assert result.returncode == 0, result.stdout
    assert "a supervisor is running" in result.stdout


def blob(system, path):
    """An object's file of its own: a commit's objects may lie in one pack, which is taken apart here."""
    packs = system.tree() / ".git/objects/pack"
    for pack in list(packs.glob("*.pack")):
        content = pack.read_bytes()
        for part in packs.glob(f"{pack.stem}.*"):
            part.unlink()
        subprocess.run(["git", "-c", "safe.directory=*", "-C", str(system.tree()), "unpack-objects", "-q"], input=content, check=True)
    name = system.git("rev-parse", f"HEAD:{path}").strip()
    return system.tree() / ".git/objects" / name[:2] / name[2:], name


def damage_missing_object(system):
    path, name = blob(system, "persona.md")
    path.unlink()
    return name


def damage_object(system):
    path, name = blob(system, "persona.md")
    other, _ = blob(system, "skills.md")
    path.chmod(0o644)
    path.write_bytes(other.read_bytes())
    return name


def damage_head(system):
    (system.tree() / ".git/HEAD").write_text(system.git("rev-parse", "HEAD"))
    return "HEAD is on no branch"


def damage_index(system):
    (system.tree() / ".git/index").write_bytes(b"nonsense")
    return "index"


def damage_lock(system):
    lock = system.tree() / ".git/index.lock"
    lock.touch()
    os.utime(lock, (1, 1))
    return "index.lock"


def damage_repository(system):
    shutil.rmtree(system.tree() / ".git/objects")
    return "cannot be opened"


def damage_skill(system):
    shutil.rmtree(next((system.tree() / "skills").iterdir()))
    return "SKILL.md, which is not there"


def damage_skills_file(system):
    with open(system.tree() / "skills.md", "a") as skills:
        skills.writelines(f"\n### skill-{n}\n- description: x\n" for n in range(20))
    return "holds 21 entries, 20 are the most"


def damage_text(system):
    (system.tree() / "goals.md").write_bytes(b"\xff\xfe")
    return "goals.md is not UTF-8 text"


def damage_envelope(system):
    inbox = system.tree() / "iac/inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / "broken.md").write_text("no front matter\n")
    return "iac/inbox/broken.md is no valid envelope"


ENVELOPE = "---\nid: {}\nkind: message\nfrom: iris\nto: orion\ncreated: 2026-04-29T10:00:00Z\nstatus: delivered\n---\nHello.\n"


def damage_envelope_name(system):
    inbox = system.tree() / "iac/inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / "a.md").write_text(ENVELOPE.format("b"))
    return "holds the envelope b"


def damage_double(system):
    for folder in ("inbox", "archive"):
        path = system.tree() / "iac" / folder
        path.mkdir(parents=True, exist_ok=True)
        (path / "a.md").write_text(ENVELOPE.format("a"))
    return "iac/inbox/a.md lies unfinished and has ended"


DAMAGES = [value for name, value in list(globals().items()) if name.startswith("damage_")]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.removeprefix("damage_"))
def test_verify_finds(offline, damage):
    system = offline()
    finding = damage(system)
    result = system.cli("verify", check=False)
    assert result.returncode == 65
    [line] = [line for line in result.stdout.splitlines() if not line.startswith("note: ")]
    assert line.startswith("agents/orion: ") and finding in line, result.stdout


def test_verify_without_any_data_ends_with_66(tmp_path):
    assert agentos("verify", "--data", tmp_path).returncode == 66


# ---- demo ----


def test_demo_shows_the_whole_cycle_and_leaves_nothing(tmp_path):
    result = agentos("demo", env={"TMPDIR": str(tmp_path), "LLM_BASE_URL": "https://nowhere.invalid/v1"}, seconds=120)
    assert result.returncode == 0, result.stdout + result.stderr
    for part in ("- reward: +1", "### ", "orion(task): first-task", "init: agent filesystem", "Processing task"):
        assert part in result.stdout, part
    assert list(tmp_path.iterdir()) == []


def test_demo_keeps_its_directory_when_asked(tmp_path):
    result = agentos("demo", "--keep", env={"TMPDIR": str(tmp_path)}, seconds=120)
    assert result.returncode == 0, result.stderr
    [scratch] = tmp_path.iterdir()
    assert (scratch / "agents/orion/outputs/first-task.md").is_file()
    assert agentos("verify", "--data", scratch).returncode == 0


def test_who_asks_for_a_task_as_if_it_were_an_envelope_is_told_where_it_is(system):
    system.add("my task/1", "Do it")
    system.wait_done("my task/1")
    result = system.cli("show", "my task/1", check=False)
    assert result.returncode == 66 and "no envelope but a task from orion's queue" in result.stderr
    path = re.search(r"its answer is (\S+\.md),", result.stderr)[1]
    assert "task: my task/1" in pathlib.Path(path).read_text()
    assert "there is no envelope" in system.cli("show", "your-task", check=False).stderr


# ---- ids, waits and answers ----


def test_an_id_given_again_adds_nothing_and_says_what_has_become_of_it(make_system, model):
    system = make_system(model=model, scenario="hold").start()
    system.cli("task", "orion", "First", "--id", "in-hand")
    model.wait_open()
    for number in range(3):
        said = system.cli("task", "orion", "Second\nin lines: two", "--id", "pending", "--priority", ["high", "low", "normal"][number])
        assert said.stdout == "pending\n" and ("pending already" in said.stderr) == (number > 0)
    assert "in hand already" in system.cli("task", "orion", "First", "--id", "in-hand").stderr
    assert system.read("queue.md").count("\n## ") == 2
    for other in ("Second", "First and more"):
        refused = system.cli("task", "orion", other, "--id", "pending", check=False)
        assert refused.returncode == 65 and "another text" in refused.stderr and not refused.stdout
    model.release()
    system.wait_done("in-hand", "pending")
    system.stop()
    system.start()
    model.become("plain")
    for _ in range(2):
        again = system.cli("task", "orion", "First\n", "--id", "in-hand", "--wait")
        assert again.stdout == "The answer to: First\n" and "done already" in again.stderr
    refused = system.cli("task", "orion", "Another", "--id", "in-hand", "--wait", check=False)
    assert refused.returncode == 65 and not refused.stdout
    assert set(model.asked().values()) == {1}


def test_an_id_is_pending_where_its_block_was_appended_while_queue_md_was_exchanged(make_system, model):
    """As a worker leaves it that is killed behind the exchange: queue.K has what queue.md had, and the block that came then."""
    system = make_system(model=model).start()
    system.cli("stop", "orion")
    (system.tree() / ".agentos/queue.777").write_text(task_block("moment", "Do it once"))
    (system.tree() / ".agentos/queue.777.base").write_text("queue-base 1 0 cbf29ce484222325 0\n")
    assert "pending already" in system.cli("task", "orion", "Do it once", "--id", "moment").stderr
    assert system.cli("task", "orion", "Another", "--id", "moment", check=False).returncode == 65
    assert "moment" not in system.read("queue.md")
    system.cli("start", "orion")
    system.wait_done("moment")
    assert model.asked() == {"Do it once": 1}


def test_no_block_of_a_cancelled_task_is_left(make_system, model):
    """It stands in the queue twice, and the one that is being worked at has been edited since."""
    model.become("slow-2000")
    system = make_system(model=model).start()
    queue = system.tree() / "queue.md"
    system.append("\n## dup\ntask: Do it twice\n\n## other\ntask: Something else\n\n## dup\ntask: Do it twice\n")
    wait_until(lambda: model.asked()["Do it twice"] == 1, "the first block with the model", 30)
    queue.write_text(queue.read_text().replace("Do it twice", "Do it thrice", 1))
    system.cli("cancel", "orion", "dup")
    assert "## dup" not in queue.read_text() and "## other" in queue.read_text()
    system.wait_done("other")
    assert model.asked() == {"Do it twice": 1, "Something else": 1}


def test_a_task_that_can_not_be_taken_out_of_queue_md_is_not_said_to_be_none(make_system, model):
    system = make_system(model=model, scenario="hold").start()
    system.cli("task", "orion", "First", "--id", "first")
    model.wait_open()
    system.cli("task", "orion", "Second", "--id", "second")
    queue, aside = system.tree() / "queue.md", system.tree() / "aside"
    queue.rename(aside)
    queue.mkdir()
    refused = system.cli("cancel", "orion", "second", check=False)
    assert refused.returncode == 75 and "queue.md can't be changed now" in refused.stderr
    queue.rmdir()
    aside.rename(queue)
    system.cli("cancel", "orion", "second")
    model.release()
    system.wait_done("first")
    assert model.asked() == {"First": 1}


def test_an_id_whose_task_was_cancelled_may_be_given_again(make_system, model):
    system = make_system(model=model, scenario="hold").start()
    system.cli("task", "orion", "First", "--id", "in-hand")
    model.wait_open()
    system.cli("task", "orion", "Second", "--id", "again")
    system.cli("cancel", "orion", "again")
    assert "already" not in system.cli("task", "orion", "Second", "--id", "again").stderr
    model.release()
    system.wait_done("again")


def test_a_wait_ends_as_the_task_does(make_system, model):
    system = make_system(model=model, scenario="minus").start()
    lost = system.cli("task", "orion", "Fail", "--id", "lost", "--wait", check=False)
    assert lost.returncode == 65 and lost.stdout and "reward -1" in lost.stderr
    assert system.cli("answer", "orion", "lost").stdout == lost.stdout
    assert system.cli("answer", "orion", "lost", "--wait", check=False).returncode == 65
    model.become("hold")
    slow = system.cli("task", "orion", "Slow", "--id", "slow", "--wait", "--timeout", "1s", check=False)
    assert slow.returncode == 75 and not slow.stdout and "slow: orion: working: slow, asks the model test-model\n" in slow.stderr
    assert system.cli("answer", "orion", "slow", check=False).returncode == 75
    assert system.cli("answer", "orion", "slow", "--wait", "--timeout", "1", check=False).returncode == 75
    model.release()
    assert system.cli("answer", "orion", "slow", "--wait").stdout == "The answer to: Slow\n"
    for timeout in ("1s", "1h"):
        unknown = system.cli("answer", "orion", "never-given", "--wait", "--timeout", timeout, check=False)
        assert unknown.returncode == 66 and "no such task is pending" in unknown.stderr
    expired = system.cli("task", "orion", "Too late", "--id", "late", "--ttl", "1s", check=False)
    assert expired.returncode == 0
    for wrong in (["--ttl", "1y"], ["--ttl", "0"], ["--wait", "--timeout", "soon"], ["--timeout", "1m"]):
        assert system.cli("task", "orion", "x", *wrong, check=False).returncode == 64
    system.stop()
    assert system.cli("answer", "orion", "slow").stdout == "The answer to: Slow\n"
    assert system.cli("answer", "orion", "nothing", check=False).returncode == 66
    assert system.cli("answer", "nobody", check=False).returncode == 66


def waits_for(system, task_id):
    """The complaint of a wait of one second: its reasons to wait."""
    return system.cli("answer", "orion", task_id, "--wait", "--timeout", "1s", check=False).stderr


def test_a_wait_says_what_it_waits_for(make_system, model):
    system = make_system(model=model, scenario="hold", env={"LLM_MAX_RETRIES": "0"}, extra="    limits: {tasks_per_hour: 2}\n").start()
    for task_id in ("first", "second", "third"):
        system.cli("task", "orion", f"The {task_id} one", "--id", task_id)
    model.wait_open()
    assert "second: number 2 in the queue; orion: working: first, asks the model test-model\n" in waits_for(system, "second")
    model.become("http-503")
    model.release()
    system.wait_state("orion", "waiting")
    assert "orion: waiting: provider" in (fault := waits_for(system, "second")) and "503" in fault
    model.become("")
    system.wait_done("second", seconds=90)
    system.wait_state("orion", "waiting")
    assert "orion: waiting: budget" in waits_for(system, "third")
    system.cli("stop", "orion")
    assert "third: orion: stopped\n" in waits_for(system, "third")


def test_an_answer_that_can_not_be_read_is_said_and_ends_with_65(make_system, model):
    system = make_system(model=model).start()
    (system.tree() / "outputs/link.md").symlink_to("/etc/hostname")
    (system.tree() / "outputs/folder.md").mkdir()
    for task, words in {"link": "is a link, which is not followed", "folder": "is no regular file"}.items():
        for more in ([], ["--wait"]):
            said = system.cli("answer", "orion", task, *more, check=False)
            assert (said.returncode, said.stdout) == (65, "") and words in said.stderr


def test_a_task_that_expires_ends_its_wait_without_an_answer(make_system, model):
    system = make_system(model=model, scenario="hold").start()
    system.cli("task", "orion", "First", "--id", "first")
    model.wait_open()
    late = system.cli("task", "orion", "Too late", "--id", "late", "--ttl", "1", "--wait", check=False)
    assert late.returncode == 65 and not late.stdout and "expired" in late.stderr
    assert system.cli("answer", "orion", "late", check=False).returncode == 65
    model.release()
    system.wait_done("first")
    assert system.cli("answer", "orion").stdout == "The answer to: First\n"


def test_a_task_of_a_stopped_agent_that_expires_ends_its_wait_too(make_v1):  # noqa: F811
    http = make_v1(("orion",), env={"LLM_BASE_URL": "offline"})
    system = http.system
    system.cli("stop", "orion")
    for task in ("late", "la te"):
        late = system.cli("task", "orion", "Too late", "--id", task, "--ttl", "1", "--wait", "--timeout", "1m", check=False)
        assert late.returncode == 65 and not late.stdout and "expired" in late.stderr
        assert "## " + task in system.read("queue.md")
        for more in ([], ["--wait"]):
            answer = system.cli("answer", "orion", task, *more, check=False)
            assert answer.returncode == 65 and "expired" in answer.stderr, answer.stderr
    assert http.get("/v1/agents/orion/tasks/late?wait=5")[2]["state"] == "expired"


def test_an_id_of_other_letters_is_recognised_in_its_files_and_old_names_are_found(make_system, model):
    system = make_system(model=model).start()
    ids = ["Gr\u00f6\u00dfe \u00e4ndern", "\u0437\u0430\u0434\u0430\u0447\u0430", "-dash", ".dot", "\u6f22\u5b57"]
    for task_id in ids:
        system.cli("task", "orion", f"Do {task_id}", "--id=" + task_id, "--wait")
    names = sorted(path.name for path in (system.tree() / "outputs").iterdir())
    assert len(names) == len(ids) and not any(name[0] in "-." for name in names)
    assert any(name.startswith("Gr\u00f6\u00dfe-\u00e4ndern-") for name in names)
    assert any(name.startswith("\u0437\u0430\u0434\u0430\u0447\u0430-") for name in names)
    [chinese] = [name for name in names if name.startswith("\u6f22\u5b57-")]
    os.rename(system.tree() / "outputs" / chinese, system.tree() / "outputs" / ("------" + chinese[2:]))
    assert system.cli("answer", "orion", "\u6f22\u5b57").stdout == "The answer to: Do \u6f22\u5b57\n"
    assert "done already" in system.cli("task", "orion", "Do \u6f22\u5b57", "--id", "\u6f22\u5b57").stderr


def test_a_dead_letter_under_its_old_name_is_shown_and_requeued_by_the_tasks_id(make_system, model):
    system = make_system(model=model).start()
    system.cli("task", "orion", "Do it", "--id", "\u6f22\u5b57", "--wait")
    [name] = [path.stem for path in (system.tree() / "outputs").iterdir()]
    (system.tree() / f"outputs/{name}.md").unlink()
    for task_id, old in (("\u6f22\u5b57", "------" + name[2:]), ("-dash", "-dash")):
        dead = system.tree() / f"iac/dead-letter/{old}.md"
        dead.write_text(f"---\nid: \"{old}\"\nkind: task\nfrom: operator\nto: orion\ncreated: 2026-04-29T10:00:00Z\nstatus: failed\n"
                        f"reason: poison\ntrace: \"{task_id}\"\n---\nRise again, {task_id}\n")
        shown = json.loads(system.cli("show", "--json", "--", task_id).stdout)
        assert shown["path"] == f"agents/orion/iac/dead-letter/{old}.md"
        assert system.cli("requeue", "--", task_id).returncode == 0
        wait_until(lambda task_id=task_id: model.asked()[f"Rise again, {task_id}"] == 1 and not dead.exists(), "its end")


def test_a_requeued_task_that_is_larger_than_an_envelope_gets_its_text_back_or_is_refused(make_system, model):
    system = make_system(model=model).start()
    text = "word " * 52400 + "end"
    for name in ("large", "gone"):
        system.append(f"\n## {name}\ntask: {text}\ncreated: 2020-01-01T00:00:00Z\nttl_seconds: 60\n")
        wait_until(lambda: (system.tree() / f"iac/dead-letter/{name}.md").exists() and name not in system.read("queue.md"), "its end")
    system.cli("pause", "orion")
    (system.tree() / "outputs/gone.md").write_text("---\ntask: gone\n---\nAn answer.\n")
    refused = system.cli("requeue", "gone", check=False)
    assert refused.returncode == 65 and "not in agents/orion/outputs/gone.md any more" in refused.stderr
    system.cli("requeue", "large")
    assert f"\n## large\ntask: {text}\n" in system.read("queue.md") and "## gone" not in system.read("queue.md")
    assert model.asked() == {}
