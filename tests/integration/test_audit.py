"""The audit of finished tasks: by the built-in rules, by a checker of the operator's, by the model; and checkers that
hang, fork, flood, lie or die, each of which may cost only its own result."""

import json
import os
import re
import subprocess
import threading

import pytest

import harness
import odd_servers as odd
from harness import BIN, agents_yaml, alive, child_table, program_of, send_signal, wait_until

RULES = "    reward_audit: {method: rule_based}\n"
MODEL = "    reward_audit: {method: llm}\n"
ANSWER = "Done.\n\n```agentos\nreward: 1\nreason: it worked\n```\n"
GOOD = """echo '{"audit_score": 1, "reasons": ["fine"]}'"""


def entries(system, name="orion"):
    """{task: {field: value}} of rewards.md."""
    found, fields = {}, None
    for line in system.read("rewards.md", name).splitlines():
        if line.startswith("## "):
            fields = found.setdefault(line[3:], {})
        elif line.startswith("- ") and fields is not None:
            key, _, value = line[2:].partition(": ")
            fields[key] = value
    return found


def score(system, task, name="orion"):
    return entries(system, name).get(task, {}).get("audit_score")


def wait_score(system, task, expected, seconds=30, name="orion"):
    wait_until(lambda: score(system, task, name) == expected, f"audit score {expected} of {task}", seconds)
    return entries(system, name)[task]


def commits(system, name="orion"):
    command = ["git", "-C", str(system.tree(name)), "log", "--format=%s%n%b%x00"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [entry.strip() for entry in text.split("\0") if entry.strip()]


@pytest.fixture
def checked(make_system, model, tmp_path):
    """A function: the system whose checker is a shell script with this text. More agents are named by `agents`."""

    def make(script, agents=("orion",), shell="/bin/sh", start=True, arguments=(), env=None):
        folder = tmp_path / "tools"
        folder.mkdir(exist_ok=True)
        program = folder / "check"
        program.write_text(f"#!{shell}\n{script}\n")
        program.chmod(0o755)
        command = json.dumps([str(program), *arguments])
        extra = f"    reward_audit: {{method: command, command: {command}}}\n"
        system = make_system(model=model, yaml=agents_yaml(agents, extra), agents=agents, env=env)
        return system.start() if start else system

    return make


# --- the rules ---


def test_an_honest_score_is_agreed_with_and_both_stand_in_rewards(make_system, model):
    system = make_system(model=model, yaml=agents_yaml(["orion"], RULES)).start()
    system.add("honest", "Say something useful about leases")
    wait_score(system, "honest", "+1")
    assert entries(system)["honest"]["reward"] == "+1"
    wait_until(lambda: commits(system)[0].startswith("orion(audit): honest +1"), "a commit of the audit's own")
    system.assert_sound()


CLAIM = "Is lock {} free?\nThe lock is free today.\nThe lock is not free today."  # the model says it again


def test_a_dishonest_score_is_disputed_told_and_costs_the_evidence(make_system, model):
    system = make_system(model=model, yaml=agents_yaml(["orion"], RULES)).start()
    told = system.folder / "events"
    with open(told, "w") as out:
        events = subprocess.Popen([str(BIN / "agentos"), "events", "--json"], env=system.env, stdout=out)
    try:
        system.add("claims", CLAIM.format(1))
        entry = wait_score(system, "claims", "-1")
        wait_until(lambda: "audit_divergence" in told.read_text() or events.poll() is not None, "the event")
    finally:
        events.kill()
        events.wait()
    [event] = [json.loads(line) for line in told.read_text().splitlines() if "audit_divergence" in line]
    assert (event["agent"], event["task"], event["reward"], event["audit_score"]) == ("orion", "claims", 1, -1)
    assert event["divergences"] == 1
    assert entry["reward"] == "+1", "the audit never overrides"
    assert "its opposite" in entry["audit_reasons"]
    system.wait_log(r"WARN .*\[orion\] The audit of task claims says -1, the agent said \+1")
    assert re.search(r"^- reward_evidence: 0$", system.read("skills.md"), re.MULTILINE)
    assert "skill weakened:" in commits(system)[0]


def test_the_next_prompt_shows_both_scores(make_system, model):
    system = make_system(model=model, yaml=agents_yaml(["orion"], RULES)).start()
    system.append(harness.task_block("one", "Explain leases") + harness.task_block("two", "Explain tokens"))
    system.wait_done("two")
    prompts = {request["task"]: request["prompt"] for request in model.requests(prompts=True)}
    assert "one: +1 (audit +1)" in prompts["Explain tokens"]


def test_results_that_come_before_the_next_commit_go_into_it(make_system, model):
    system = make_system(model=model, yaml=agents_yaml(["orion"], RULES)).start()
    system.append(harness.task_block("one", "Explain leases") + harness.task_block("two", "Explain tokens"))
    wait_score(system, "two", "+1")
    subjects = [text.splitlines()[0] for text in commits(system)]
    assert "orion(task): two" in subjects and "orion(audit): one +1" not in subjects
    assert "audit of one: +1" in next(text for text in commits(system) if text.startswith("orion(task): two"))


def test_three_divergences_in_a_row_become_a_goal(make_system, model):
    system = make_system(model=model, yaml=agents_yaml(["orion"], RULES)).start()
    for number in range(3):
        system.add(f"claim-{number}", CLAIM.format(number))
        wait_score(system, f"claim-{number}", "-1")
    wait_until(lambda: "- [ ] Score my own work as the audit would" in system.read("goals.md"), "the goal")


def test_without_an_audit_nothing_waits_for_one(system):
    system.add("plain", "Do it")
    system.wait_done("plain")
    assert score(system, "plain") == "none"
    assert "agentos-audit" not in {program_of(pid) for pid in system.family()}


# --- the model ---


def test_the_model_may_be_the_auditor(make_system, model):
    system = make_system(model=model, yaml=agents_yaml(["orion"], MODEL)).start()
    system.add("judged", "Explain leases")
    entry = wait_score(system, "judged", "none")
    assert "no JSON object" in entry["audit_reasons"] or "no audit_score" in entry["audit_reasons"]
    asked = [json.loads(request["task"]) for request in model.requests() if request["task"].startswith("{")]
    assert [case["id"] for case in asked] == ["judged"]
    assert asked[0]["task"] == "Explain leases" and asked[0]["reward"] == 1 and asked[0]["skill"]["body"]
    assert asked[0]["answer"].startswith("The answer to: Explain leases")


def test_a_models_verdict_counts_though_it_talks_around_it_and_costs_tokens(make_system, model):
    system = make_system(model=model, scenario="judging", yaml=agents_yaml(["orion"], MODEL)).start()
    system.add("judged", "Explain leases")
    entry = wait_score(system, "judged", "-1")
    assert entry["audit_reasons"] == "says nothing; twice" and entry["reward"] == "+1"
    wait_until(lambda: system.agent_status()["tokens_today"] > int(entry["tokens"]), "both answers counted")


def test_a_provider_that_fails_leaves_the_audit_due(make_system, model):
    system = make_system(model=model, scenario="judging", yaml=agents_yaml(["orion"], MODEL), env={"LLM_MAX_RETRIES": "0"}).start()
    system.add("first", "Explain leases")
    wait_score(system, "first", "-1")
    model.become("hold")
    system.add("second", "Explain tokens")
    model.wait_open(1)
    model.become("judging")
    model.release()
    wait_score(system, "second", "-1")
    model.become("http-503")
    system.add("third", "Explain locks")
    system.wait_state("orion", "waiting")
    model.become("judging")
    wait_score(system, "third", "-1", seconds=90)


# --- the operator's checker ---


def test_a_checker_gets_the_case_and_its_verdict_counts(checked):
    system = checked(
        """case=$(cat)
case "$case" in *'"agent":"orion"'*'"reward":1'*) ;; *) exit 3 ;; esac
case "$case" in *'"task":"Explain \\"leases\\""'*) ;; *) exit 4 ;; esac
case "$case" in *'"skill":{"name":"explain-leases"'*'"body":"Do it step by step.'*) ;; *) exit 5 ;; esac
echo '{"audit_score": 0, "reasons": ["too short", "no source"]}'"""
    )
    system.add("judged", 'Explain "leases"')
    entry = wait_score(system, "judged", "0")
    assert entry["audit_reasons"] == "too short; no source"


def test_a_checker_finds_what_lies_beside_it_and_its_arguments(checked, tmp_path):
    system = checked('. ./rules.sh; test "$1" = --strict && judge "$2"', start=False, arguments=["--strict", str(tmp_path / "list")])
    (tmp_path / "tools/rules.sh").write_text('judge() { grep -q word "$1" && ' + GOOD + "; }\n")
    (tmp_path / "list").write_text("word\n")
    system.start().add("judged", "Explain leases")
    wait_score(system, "judged", "+1")


HOSTILE = {
    "hangs": ("sleep 1000", r"longer than 10 s"),
    "ignores signals": ("trap '' TERM INT HUP; while :; do :; done", r"longer than 10 s|exit 137|signal"),
    "prints without end": ("yes '{\"audit_score\": 1}'", r"more than 64 KiB"),
    "complains without end": ("yes nonsense >&2", r"more than 64 KiB"),
    "prints nonsense": ("echo maybe", r"no JSON object"),
    "prints binary": ("printf '{\\000}'", r"no text"),
    "prints nothing": (":", r"said nothing"),
    "gives no score": ("echo '{\"audit_score\": 5}'", r"no audit_score"),
    "fails": (GOOD + "; echo 'no rules found' >&2; exit 1", r"exit 1: no rules found"),
    "dies": ("kill -9 $$; " + "exit 9", r"exit 137"),
    "judges two": (GOOD + "; echo '{\"audit_score\": -1, \"task\": \"later\"}'", r"no JSON object"),
    "does not exist": (None, r"no program"),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_checker_that_fails_costs_only_its_own_result(checked, tmp_path, how):
    script, why = HOSTILE[how]
    system = checked(script or "", start=False)
    if script is None:
        (tmp_path / "tools/check").unlink()
    system.start()
    system.add("first", "Explain leases")
    system.wait_done("first")
    system.add("second", "Explain tokens")
    system.wait_done("second", seconds=8)
    for task in ("first", "second"):
        entry = wait_score(system, task, "none", seconds=60)
        assert re.search(why, entry["audit_reasons"]), entry["audit_reasons"]
    assert re.search(r"^- reward_evidence: 1$", system.read("skills.md"), re.MULTILINE), "no result disputes nothing"
    assert len(re.findall(r"WARN .*audit of task (first|second) has no result", system.log())) >= 2
    wait_until(lambda: "check" not in {program_of(pid) for pid in system.family()}, "nothing of it left")
    system.assert_sound()


def test_one_that_does_not_read_its_input_is_no_matter(checked):
    system = checked("exec <&-; " + GOOD)
    system.add("judged", "Explain leases " + "x" * 300000)
    wait_score(system, "judged", "+1")


BOMB = """f() { f | f & }
f
sleep 2
"""


def test_a_fork_bomb_is_bounded_and_leaves_nobody_behind(checked):
    system = checked(BOMB + GOOD, shell="/bin/bash")
    most = 0
    system.add("bombed", "Explain leases")

    def over():
        nonlocal most
        most = max(most, sum(program_of(pid) == "bash" for pid in system.family()))
        return score(system, "bombed") in ("none", "+1")

    wait_until(over, "the audit's end", 40, pause=0.01)
    assert 2 <= most <= 66, most
    wait_until(lambda: "bash" not in {program_of(pid) for pid in system.family()}, "nobody left")


def test_what_a_checker_leaves_behind_is_killed_at_its_end(checked):
    system = checked("(trap '' HUP TERM; sleep 1000 & sleep 1000) >/dev/null 2>&1 &\n" + GOOD)
    system.add("judged", "Explain leases")
    wait_score(system, "judged", "+1")
    assert "sleep" not in {program_of(pid) for pid in system.family()}


def test_only_four_run_at_once_and_all_get_their_turn(checked):
    names = [f"agent{number}" for number in range(9)]
    system = checked("sleep 0.3; " + GOOD, agents=names)
    for name in names:
        system.add("judged", "Explain leases", name=name)
    most = 0

    def all_done():
        nonlocal most
        # The supervisor's own children: each has a child that bears its name until it becomes the checker. A zombie,
        # and a process that becomes a program just now, has no child.
        most = max(most, sum(program_of(pid) == "agentos-audit" for pid in child_table().get(system.process.pid, [])))
        return all(score(system, "judged", name) == "+1" for name in names)

    wait_until(all_done, "every audit", 60)
    assert 2 <= most <= 4


def test_an_agent_works_on_while_its_auditor_hangs(checked, model):
    system = checked("sleep 8; " + GOOD)
    for number in range(3):
        system.add(f"task-{number}", f"Explain {number}")
    system.wait_done("task-2", seconds=7)
    assert score(system, "task-0") == "pending"
    assert system.status()["agents"][0]["state"] in ("idle", "working")


# --- what outlives what ---


def test_a_killed_worker_asks_again_at_its_next_start(checked, tmp_path):
    gate = tmp_path / "tools" / "gate"
    system = checked(f"test -e {gate} || sleep 1000\n" + GOOD)
    system.add("judged", "Explain leases")
    wait_until(lambda: any(program_of(pid) == "sleep" for pid in system.family()), "the audit under way")
    assert score(system, "judged") == "pending"
    worker = system.worker()
    gate.touch()
    os.kill(worker, 9)
    wait_score(system, "judged", "+1")
    assert not any(program_of(pid) == "sleep" for pid in system.family())
    system.assert_sound()


def test_a_killed_supervisor_takes_its_auditors_along_and_the_next_asks_again(checked, tmp_path):
    gate = tmp_path / "tools" / "gate"
    system = checked(f"test -e {gate} || sleep 1000\n" + GOOD)
    system.add("judged", "Explain leases")
    wait_until(lambda: any(program_of(pid) == "sleep" for pid in system.family()), "the audit under way")
    family = system.family()
    send_signal(system.process.pid, 9)
    system.process.wait()
    wait_until(lambda: not any(alive(pid) for pid in family), "nobody left")
    gate.touch()
    system.start()
    wait_score(system, "judged", "+1")
    system.assert_each_once(["judged"])


def test_a_stop_does_not_wait_for_an_auditor(checked, tmp_path):
    gate = tmp_path / "tools" / "gate"
    system = checked(f"test -e {gate} || sleep 1000\n" + GOOD)
    system.add("judged", "Explain leases")
    wait_until(lambda: any(program_of(pid) == "sleep" for pid in system.family()), "the audit under way")
    family = system.family()
    assert system.stop(seconds=5) == 0
    wait_until(lambda: not any(alive(pid) for pid in family), "nobody left")
    gate.touch()
    system.start()
    wait_score(system, "judged", "+1")


def test_what_is_pending_when_the_audit_is_switched_off_ends_without_a_score(checked):
    system = checked("sleep 1000")
    system.add("judged", "Explain leases")
    wait_until(lambda: score(system, "judged") == "pending", "an entry that waits")
    system.stop()
    (system.data / "agents.yaml").write_text(agents_yaml(["orion"]))
    system.start()
    assert "switched off" in wait_score(system, "judged", "none")["audit_reasons"]


def test_a_persons_edit_while_an_audit_is_under_way_survives_it(checked, tmp_path):
    gate = tmp_path / "tools" / "gate"
    system = checked(f"while ! test -e {gate}; do sleep 0.05; done\n" + GOOD.replace("1,", "-1,"))
    system.add("judged", "Explain leases")
    wait_until(lambda: score(system, "judged") == "pending", "an entry that waits")
    path = system.tree() / "skills.md"
    path.write_text(path.read_text() + "\n### by-hand\n- description: A person's.\n")
    gate.touch()
    wait_score(system, "judged", "-1")
    wait_until(lambda: "### by-hand" in system.read("skills.md"), "the person's skill")
    assert re.search(r"^- reward_evidence: 0$", system.read("skills.md"), re.MULTILINE)
    system.assert_sound()


# --- the program by hand ---


def audit(text):
    return subprocess.run([str(BIN / "agentos-audit")], input=text, capture_output=True, text=True)


def test_the_program_judges_what_comes_on_its_standard_input():
    case = {"agent": "orion", "task": "t", "answer": "", "reward": 1, "skill": None}
    result = audit(json.dumps(case))
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {"audit_score": -1, "reasons": ["the answer is empty"]}


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"answer": "a"}', '{"answer": "a", "reward": 3}', "{" * 100000])
def test_the_program_says_what_is_wrong_with_its_input(text):
    result = audit(text)
    assert result.returncode == 65 and result.stdout == ""
    assert result.stderr.startswith("agentos-audit: the case")


def test_what_made_room_for_a_disputed_skill_comes_back_from_the_history(make_system, model):
    system = make_system(model=model, yaml=agents_yaml(["orion"], RULES)).start()
    skills = system.tree() / "skills.md"
    line = "\n### old-{0:02}\n- description: x\n- reward_evidence: 3\n- last_success: 2026-01-{0:02}T00:00:00Z\n- file: skills/old-{0:02}/SKILL.md\n"
    for number in range(1, 21):
        body = system.tree() / f"skills/old-{number:02}/SKILL.md"
        body.parent.mkdir(parents=True)
        body.write_text(f"---\nname: old-{number:02}\ndescription: x\n---\n\n{'Of zebras. ' if number == 1 else ''}Body {number}.\n")
    skills.write_text(skills.read_text() + "".join(line.format(number) for number in range(1, 21)))
    old = line.format(1).split("\n", 2)[2].strip()
    system.add("claims", CLAIM.format(1))
    wait_score(system, "claims", "-1")
    wait_until(lambda: "### old-01\n" in skills.read_text(), "the displaced skill")
    assert old in skills.read_text() and skills.read_text().count("### ") == 20
    assert (system.tree() / "skills/old-01/SKILL.md").read_text().endswith("Body 1.\n")
    [earned] = [text for text in commits(system) if text.startswith("orion(task): claims")]
    assert "skill pruned: old-01 (score" in earned
    name = re.search(r"skill earned: (\S+)", earned)[1]
    [back] = [text for text in commits(system) if "skill brought back" in text]
    assert back.startswith("orion(audit): claims -1")
    assert f"skill brought back: old-01 (evidence 3; it had made room for {name})" in back and f"skill pruned: {name} (score 0.00" in back
    assert not (system.tree() / f"skills/{name}").exists() or not any((system.tree() / f"skills/{name}").iterdir())
    wait_until(lambda: not system.agent_status()["problems"], "no problem")
    system.assert_sound()
    system.add("next", "What is said of zebras, once more")
    system.wait_done("next")
    prompt = next(request["prompt"] for request in model.requests(prompts=True) if request["task"] == "What is said of zebras, once more")
    assert "old-01" in prompt and "Body 1." in prompt


def test_a_checker_that_cannot_run_is_a_warning_at_the_check_the_start_and_a_reload(checked, tmp_path):
    system = checked(GOOD, start=False)
    program = tmp_path / "tools" / "check"
    program.chmod(0o644)
    place = r"agents\.yaml:5:\d+: there is no program \S+/tools/check that can be executed"
    result = system.cli("check")
    assert re.search("warning: " + place, result.stdout) and "orion" in result.stdout
    system.start()
    system.wait_log("WARN .*" + place)
    assert re.search("warning: " + place, system.cli("reload").stdout)
    program.chmod(0o755)
    assert "warning" not in system.cli("reload").stdout
    system.add("judged", "Explain leases")
    wait_score(system, "judged", "+1")


@pytest.fixture
def judge():
    """A model that answers tasks, and each audit with a fault that may have cost tokens."""

    def answer(connection, request):
        audit = request.json["messages"][1]["content"].startswith("{")
        server.audits += audit
        connection.sendall(odd.error("500 Oops", "it broke") if audit else odd.good(ANSWER))

    server = odd.Server(answer)
    server.audits = 0
    yield server
    server.stop()


def test_an_audit_that_its_model_always_fails_ends_without_a_result_and_costs_no_more(make_system, judge):
    system = make_system(env={"LLM_BASE_URL": judge.url, "LLM_MAX_RETRIES": "0"}, extra=MODEL)
    clock = system.movable_clock()
    system.start().add("failed", "Explain leases")
    system.wait_done("failed")
    for tries in range(1, 9):
        wait_until(lambda: judge.audits == tries, f"try {tries}")
        wait_until(lambda: judge.under_way == 0, "its answer")
        if tries < 8:
            wait_until(lambda: judge.audits > tries or clock.move(600, 600), "the next try", pause=0.2)
    entry = wait_score(system, "failed", "none")
    assert "it broke" in entry["audit_reasons"]
    assert judge.audits == 8
    system.wait_log("has no result after 8 tries")


def test_a_paused_agent_asks_no_model_for_an_audit(make_system, judge):
    yaml = agents_yaml(["orion"], MODEL) + agents_yaml(["iris"], "    reward_audit: {enabled: false}\n").partition("\n")[2]
    system = make_system(("orion", "iris"), yaml=yaml, env={"LLM_BASE_URL": judge.url, "LLM_MAX_RETRIES": "0"}).start()
    goes = threading.Event()
    judge.answers.insert(0, lambda connection, request: goes.wait() and connection.sendall(odd.good(ANSWER)))
    system.add("judged", "Explain leases")
    wait_until(lambda: judge.requests, "the task is asked about")
    system.cli("pause", "orion", "--no-wait")
    goes.set()
    system.wait_done("judged")
    system.wait_state("orion", "paused")
    system.add("other", "Another way through the same gateway", name="iris")
    system.wait_done("other", name="iris")
    assert judge.audits == 0 and score(system, "judged") == "pending"
    system.cli("resume", "orion")
    wait_until(lambda: judge.audits == 1, "the audit is asked for")
