"""queue.md while the system runs: appended to by many, edited, broken, in any order."""

import os
import re
import subprocess

import pytest

import harness
from harness import task_block, wait_until

SHELL = """
i=0
while [ $i -lt 100 ]; do
i=$((i + 1))
cat >> "$1" << EOF

## task-$2-$i
task: Do number $i of shell $2.
priority: normal
created: 2026-04-29T10:05:00Z
EOF
done
"""


def test_400_tasks_appended_by_four_shells_at_once_are_each_done_once(system, model):
    queue = str(system.tree() / "queue.md")
    shells = [subprocess.Popen(["sh", "-c", SHELL, "sh", queue, str(number)]) for number in range(4)]
    assert [shell.wait() for shell in shells] == [0] * 4
    tasks = {f"task-{s}-{i}": f"Do number {i} of shell {s}." for s in range(4) for i in range(1, 101)}
    wait_until(lambda: len(system.done()) == 400, "400 tasks done", 120, 0.2)
    system.wait_queue_empty()
    system.assert_each_once(tasks)
    asked = model.asked()
    assert set(asked) == set(tasks.values())
    assert max(asked.values()) == 1
    wait_until(lambda: system.agent_status()["tasks_done"] == 400, "status counts 400 tasks")
    assert system.read("rewards.md").count("- reward:") == 30
    system.assert_sound()


def test_high_comes_before_normal_before_low_then_as_they_stand(make_system, model):
    system = make_system(model=model).start()
    system.stop()
    for index, priority in enumerate(["low", "normal", "high", "normal", "high", "low"]):
        system.add(f"task-{index}", f"number {index}", priority=priority)
    system.start()
    system.wait_done(*(f"task-{index}" for index in range(6)))
    assert [request["task"] for request in model.requests()] == [f"number {i}" for i in (2, 4, 1, 3, 0, 5)]


def test_a_block_that_lacks_task_stays_blocks_nothing_and_is_reported_with_its_line(system, model):
    system.append("\n## no-task\npriority: high\ncreated: 2026-04-29T10:05:00Z\n" + task_block("fine", "I am fine"))
    system.wait_done("fine")
    assert "## no-task" in system.read("queue.md")
    line = system.read("queue.md").split("## no-task")[0].count("\n") + 1
    wait_until(
        lambda: any(re.search(rf"queue\.md.*\b{line}\b", text) for text in system.agent_status()["problems"]),
        f"a problem that names line {line} of queue.md",
    )
    assert len(model.requests()) == 1
    assert "## no-task" in system.read("queue.md")


def test_two_thousand_blocks_that_lack_task_block_nothing_and_the_first_of_them_are_told(system):
    system.append("".join(f"\n## no-task-{i}\npriority: high\n" for i in range(2000)) + task_block("fine", "I am fine"))
    system.wait_done("fine")
    problems = wait_until(lambda: system.agent_status()["problems"], "problems")
    assert any("'no-task-0'" in text for text in problems)
    assert re.fullmatch(r"and \d+ more; the agent's log has each of them", problems[-1])
    system.wait_log("'no-task-999' stays")
    system.wait_log("queue.md: 1000 more blocks stay where they are")
    system.append(task_block("next", "Me too"))
    system.wait_done("next")
    assert system.log().count("'no-task-999' stays") == 1
    assert system.agent_status()["restarts"] == 0


def test_headings_of_a_sentence_and_of_a_page_end_no_worker(system, model):
    sentence, page = "Всем известный вопрос о том, " * 4, "a page of it " * 100
    system.append(f"\n## {sentence}\ntask: In time\nlock: db\n\n## {page}\ntask: Do the page\nlock: db\n"
                  f"\n## {sentence} too late\ntask: Too late\ncreated: 2026-04-29T10:05:00Z\nttl_seconds: 5\n")
    system.append(task_block("fine", "I am fine"))
    system.wait_done(sentence.strip(), "fine")
    system.wait_queue_empty()
    assert set(model.asked()) == {"In time", "I am fine"}
    letters = {path: path.read_text() for path in (system.tree() / "iac/dead-letter").iterdir()}
    assert sorted(re.search(r"^(?:reason|status): (.*1024.*|expired)$", text, re.MULTILINE)[1] for text in letters.values()) == [
        "expired", "its id is longer than 1024 bytes"]
    [late] = [path for path, text in letters.items() if "\nstatus: expired\n" in text]
    system.cli("requeue", late.stem)
    wait_until(lambda: "Too late" not in system.read("queue.md"), "the requeued one gone again")
    assert system.agent_status()["restarts"] == 0 and "is killed" not in system.log()


def test_a_heading_of_five_megabytes_ends_no_worker_and_its_task_is_set_aside(system):
    system.append(f"\n## {'x' * 5_000_000}\ntask: Never done\n" + task_block("fine", "I am fine"))
    system.wait_done("fine")
    system.wait_queue_empty()
    [letter] = [path.read_text() for path in (system.tree() / "iac/dead-letter").iterdir()]
    assert "\nreason: its id is longer than 1024 bytes\n" in letter and letter.endswith("\nNever done")
    assert len(system.read("reflections.md")) < 10_000
    assert system.agent_status()["restarts"] == 0 and "is killed" not in system.log()


def test_a_malformed_block_that_a_person_mends_is_done(system):
    system.append("\n## mended\npriority: high\n")
    wait_until(lambda: system.agent_status()["problems"], "the problem reported")
    queue = system.tree() / "queue.md"
    new = system.tree() / "queue.md.new"
    new.write_text(queue.read_text().replace("priority: high", "task: now it has one\npriority: high"))
    os.rename(new, queue)
    system.wait_done("mended")
    wait_until(lambda: system.agent_status()["problems"] == [], "the problem forgotten")


def test_a_block_that_was_done_already_is_removed_with_a_warning_that_names_the_commit(system, model):
    system.add("once", "Only once please")
    system.wait_done("once")
    system.wait_queue_empty()
    commit = system.git("rev-parse", "HEAD").strip()
    system.add("once", "Only once please")
    system.wait_log(rf"WARN .*once.*{commit[:7]}")
    system.wait_queue_empty()
    assert system.done() == {"once": 1}
    assert len(model.requests()) == 1


def test_the_same_id_with_another_text_is_another_task(system, model):
    system.add("again", "The first text")
    system.wait_done("again")
    system.wait_queue_empty()
    system.add("again", "Another text")
    wait_until(lambda: model.asked()["Another text"] == 1, "the second text asked")
    wait_until(lambda: system.done()["again"] == 2, "both done")
    system.assert_sound()


def test_an_editor_that_renames_over_the_file_loses_nothing(system, model):
    """As vim does: read, write a new file with one block more, rename it over the old one."""
    model.become("slow-30")
    queue, new = system.tree() / "queue.md", system.tree() / "queue.md~"
    ids = [f"edited-{number}" for number in range(20)]
    for task_id in ids:
        new.write_bytes(queue.read_bytes() + task_block(task_id, f"Do {task_id}").encode())
        os.rename(new, queue)
    system.wait_done(*ids)
    system.wait_queue_empty()
    assert set(model.asked().values()) == {1}
    system.assert_sound()


def test_crlf_bom_missing_last_newline_and_unquoted_colons_are_fine(make_system, model):
    system = make_system(model=model).start()
    system.stop()
    (system.tree() / "queue.md").write_bytes(
        b"\xef\xbb\xbf## crlf\r\ntask: Windows: was here: twice\r\npriority: HIGH\r\n"
        b"\n## no-newline\ntask: The last line has no end"
    )
    system.start()
    system.wait_done("crlf", "no-newline")
    assert model.asked() == {"Windows: was here: twice": 1, "The last line has no end": 1}


def test_a_heading_inside_a_tasks_text_starts_nothing(system, model):
    system.add("outer", "Write this:\n\n## Heading\n\nand text below it\n\n## Another\nmore")
    system.wait_done("outer")
    [request] = model.requests()
    assert "## Heading" in request["task"] and "## Another" in request["task"]
    system.wait_queue_empty()


def test_a_writer_that_keeps_the_file_open_keeps_only_its_own_block_waiting(system, model):
    with open(system.tree() / "queue.md", "ab", buffering=0) as queue:
        queue.write(task_block("whole", "A whole block").encode() + b"\n## slowly\ntask: First half")
        system.wait_done("whole")
        queue.write(b" and second half\npriority: high\n")
    system.wait_done("whole")
    assert model.asked()["A whole block"] == 1


def test_tasks_are_found_by_the_scan_when_inotify_is_not_to_be_had(make_system, model):
    system = make_system(model=model)
    no_inotify = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$0" "$@"'
    prefix = ["unshare", "-Ur", "sh", "-c", no_inotify]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    system.prefix = prefix
    system.start()
    system.add("scanned", "Found by the scan")
    system.wait_done("scanned")
    assert model.asked() == {"Found by the scan": 1}


def test_a_task_is_noticed_at_once_not_at_the_next_scan(make_system, model):
    system = make_system(model=model, env={"POLL_INTERVAL": "3600"}).start()
    for number in range(5):
        system.add(f"quick-{number}", f"Quick {number}")
        system.wait_done(f"quick-{number}")


def test_noise_in_a_queue_file_stops_neither_its_agent_nor_another(make_system, model):
    system = make_system(["orion", "iris"], model=model).start()
    system.append(os.urandom(4096) + b"\n", "iris")
    system.add("good", "Good work")
    system.wait_done("good")
    system.add("after-noise", "Work after the noise", name="iris")
    wait_until(
        lambda: system.done("iris")["after-noise"] or system.agent_status("iris")["problems"],
        "iris works on or says what hinders her",
    )
    assert harness.alive(system.worker("iris"))


def replace(queue, old, new):
    """As an editor that renames over the file."""
    aside = queue.with_name("queue.md.new")
    aside.write_text(queue.read_text().replace(old, new))
    os.rename(aside, queue)


def test_what_was_meant_as_a_block_is_told_once_with_its_line_and_done_when_it_is_mended(system):
    system.append("\n### meant\nTask: Do it\n")
    line = system.read("queue.md").split("\n").index("### meant") + 1

    def told():
        return [text for text in system.agent_status()["problems"] if "look like a block" in text]

    [problem] = wait_until(told, "the hint")
    assert problem.startswith(f"queue.md:{line}: '### meant' and 'Task: Do it'") and "nothing is done with it" in problem
    queue = system.tree() / "queue.md"
    for number in range(3):  # its line number changes
        replace(queue, "\n### meant", "\n\n### meant")
        wait_until(lambda: told() and told()[0].startswith(f"queue.md:{line + 1 + number}:"), "its new line")
    assert len([text for text in system.log().splitlines() if "look like a block" in text]) == 1
    replace(queue, "### meant\nTask:", "## meant\ntask:")
    system.wait_done("meant")
    wait_until(lambda: not told(), "no hint any more")


MEANT = [
    "## meant\nTask: B\n",
    "## meant\ntaks: B\n",
    "##meant\ntask: B\n",
    "### meant\ntask: B\n",
    "meant\n------\ntask: B\n",
    "## meant\ntask\uff1aB\n",
    "## meant\ndescription: B\n",
    "## meant\n- task: B\n",
    "## meant\n**task:** B\n",
    "## meant\n\ttask: B\n",
    "##\u00a0meant\ntask: B\n",
    "## meant\ntask: caf\u00e9\n".encode("latin-1"),
    "## meant\ntask: nul\0\n",
    "## meant\r\nTask: utf-16\r\n".encode("utf-16-le"),
]


def test_what_looks_like_the_start_of_a_block_is_told_with_its_line_stays_and_reaches_no_model(system, model):
    parts = ["## first\ntask: A\n\n", *MEANT, "## last\ntask: C\n"]
    parts = [part if isinstance(part, bytes) else part.encode() for part in parts]
    system.append(b"".join(parts))
    system.wait_done("first")
    system.wait_done("last")
    assert model.asked() == {"A": 1, "C": 1}
    queue = (system.tree() / "queue.md").read_bytes()
    for part in parts[1:-1]:
        assert part.strip(b"\r\n\0") in queue

    def told():
        problems = system.agent_status()["problems"]
        return len(problems) == len(MEANT) and problems

    problems = wait_until(told, "a problem for each")
    lines = [number for number, line in enumerate(queue.split(b"\n"), 1) if b"meant" in line.replace(b"\0", b"")]
    assert sorted(int(text.split(":")[1]) for text in problems) == lines
    system.stop()
    system.start()
    wait_until(told, "the same problems after a new start")
    assert model.asked() == {"A": 1, "C": 1}
