"""Every broken input gets a sentence; sound input goes on."""

import os
import re
import shutil
import subprocess

import pytest

import harness
from harness import wait_until

AGENT = 'agents:\n  - name: orion\n    persona: "Persona of orion."\n'

BAD_YAML = {
    "empty": ("", r"agents\.yaml"),
    "no agents": ("defaults:\n  ttl_seconds: 5\n", r"agents\.yaml"),
    "unknown key": (AGENT + "    persnoa: x\n", r"agents\.yaml:4:5\b.*persnoa"),
    "unknown top key": (AGENT + "agnets: []\n", r"agents\.yaml:4:1\b.*agnets"),
    "wrong type": (AGENT + "    goals: 7\n", r"agents\.yaml:4:\d+\b.*goals"),
    "duplicate name": (AGENT + "  - name: orion\n    persona: y\n", r"agents\.yaml:4:\d+\b.*orion"),
    "bad name": ('agents:\n  - name: "../evil"\n    persona: y\n', r"agents\.yaml:2:\d+\b"),
    "unknown consumer": (AGENT + "queues:\n  - {name: q, consumers: [ghost]}\n", r"agents\.yaml:5:\d+\b.*ghost"),
    "no yaml": ("agents: [\n  - {\n", r"agents\.yaml:\d+:\d+\b"),
    "a list": ("- one\n- two\n", r"agents\.yaml:1:1\b"),
    "tab": ("agents:\n\t- name: x\n", r"agents\.yaml:2:1\b"),
}


@pytest.mark.parametrize("case", BAD_YAML)
def test_a_fault_in_agents_yaml_ends_the_start_with_78_and_names_its_place(make_system, case):
    yaml, pattern = BAD_YAML[case]
    system = make_system(yaml=yaml)
    assert system.run_to_end() == 78
    assert re.search(pattern, system.log()), system.log()
    assert not (system.data / "agents").exists()


def test_every_fault_is_named_not_only_the_first(make_system):
    system = make_system(yaml=AGENT + "    persnoa: x\n    domain: [1]\nagnets: 1\n")
    assert system.run_to_end() == 78
    for place in ("agents.yaml:4:5", "agents.yaml:5:", "agents.yaml:6:1"):
        assert place in system.log()


def no_utf8(path):
    path.write_bytes(AGENT.encode() + b"    domain: \xff\xfe\n")


def huge(path):
    path.write_text(AGENT + "# filler\n" * 1000000)


def folder(path):
    path.unlink()
    path.mkdir()


def fifo(path):
    path.unlink()
    os.mkfifo(path)


def aliases(path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    path.write_text("\n".join(lines) + "\nagents: *a11\n")


def deep(path):
    path.write_text("agents: " + "[" * 100000 + "]" * 100000 + "\n")


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), folder, fifo, no_utf8, huge, aliases, deep],
                         ids=["missing", "folder", "fifo", "not-utf8", "huge", "alias-bomb", "deep"])
def test_an_agents_yaml_that_is_none_ends_the_start_with_a_sentence(make_system, spoil):
    system = make_system()
    spoil(system.data / "agents.yaml")
    assert system.run_to_end() == 78
    assert "agents.yaml" in system.log()


def test_a_data_directory_that_is_missing_is_named(make_system):
    system = make_system()
    shutil.rmtree(system.data)
    assert system.run_to_end() in (66, 73, 78)
    assert str(system.data) in system.log() or "agents.yaml" in system.log()


def test_a_bad_setting_is_named(make_system):
    system = make_system(env={"POLL_INTERVAL": "often", "LLM_MAX_TOKENS__ORION": "-3"})
    assert system.run_to_end() == 78
    assert "POLL_INTERVAL" in system.log() and "LLM_MAX_TOKENS__ORION" in system.log()


def test_a_read_only_data_directory_ends_the_start_with_a_sentence(make_system, model):
    system = make_system(model=model)
    read_only = 'mount --bind "$D" "$D" && mount -o remount,ro,bind "$D" && exec "$0" "$@"'
    system.prefix = ["unshare", "-Urm", "sh", "-c", read_only.replace("$D", str(system.data))]
    if subprocess.run([*system.prefix, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    assert system.run_to_end() not in (0, -11, -6)
    assert str(system.data) in system.log()


def test_a_second_supervisor_on_the_same_data_is_refused_and_the_first_goes_on(system):
    second = subprocess.run(
        [harness.BIN / "agentos", "run", "--data", system.data], env=system.env, capture_output=True, text=True,
        timeout=20,
    )
    assert second.returncode not in (0, -6, -11)
    assert str(system.process.pid) in second.stderr or "already" in second.stderr
    system.add("still", "The first still works")
    system.wait_done("still")


def spoiled(path, kind):
    if path.is_file():
        path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "binary":
        path.write_bytes(bytes(range(256)) * 64)
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "empty":
        path.touch()
    elif kind == "huge":
        path.write_bytes(b"x" * (5 * 1024 * 1024))


STATE_FILES = "persona constraints skills goals rewards reflections system_prompt".split()


@pytest.mark.parametrize("kind", ["folder", "fifo", "binary", "link", "huge", "empty", "missing"])
@pytest.mark.parametrize("when", ["running", "stopped"])
def test_state_files_that_people_broke_are_reported_and_the_agent_goes_on(make_system, model, kind, when):
    system = make_system(model=model).start()
    if when == "stopped":
        system.stop()
    for name in STATE_FILES:
        spoiled(system.tree() / f"{name}.md", kind)
    if when == "stopped":
        system.start()
    system.add("anyway", "Work anyway")
    system.wait_done("anyway")
    assert "anyway" in system.read("outputs/anyway.md") or "Work anyway" in system.read("outputs/anyway.md")
    if kind in ("folder", "fifo", "binary", "link", "huge"):
        wait_until(lambda: system.agent_status()["problems"] or "WARN" in system.log(), "the breakage reported")
    fsck = subprocess.run(["git", "-C", system.tree(), "fsck", "--strict"], capture_output=True, text=True)
    assert fsck.returncode == 0, fsck.stderr


@pytest.mark.parametrize("kind", ["folder", "fifo", "link", "missing"])
def test_a_queue_that_is_no_file_is_reported_and_used_again_when_it_is_one(system, kind):
    queue = system.tree() / "queue.md"
    spoiled(queue, kind)
    if kind != "missing":
        wait_until(lambda: any("queue.md" in text for text in system.agent_status()["problems"]), "queue.md reported")
        queue.rmdir() if kind == "folder" else queue.unlink()
    system.add("again", "The queue is back")
    system.wait_done("again")


def corrupt_head(git):
    (git / "HEAD").write_bytes(b"\x00garbage\n")


def corrupt_ref(git):
    (git / "refs/heads/main").write_text("0123456789012345678901234567890123456789\n")


def truncated_objects(git):
    for path in [*git.glob("objects/??/*"), *git.glob("objects/pack/*.pack")]:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:10])


def no_objects(git):
    shutil.rmtree(git / "objects")


def garbage_index(git):
    (git / "index").write_bytes(b"DIRC garbage")


def no_repository(git):
    shutil.rmtree(git)


def a_file(git):
    shutil.rmtree(git)
    git.write_text("this is no repository\n")


def stale_lock(git):
    for name in ("index.lock", "HEAD.lock", "refs/heads/main.lock"):
        (git / name).touch()
        os.utime(git / name, (0, 0))


DAMAGES = [corrupt_head, corrupt_ref, truncated_objects, no_objects, garbage_index, no_repository, a_file, stale_lock]


@pytest.mark.parametrize("damage", DAMAGES, ids=[d.__name__ for d in DAMAGES])
def test_a_damaged_repository_stops_nothing_and_no_learning_is_lost(make_system, model, damage):
    system = make_system(["orion", "iris"], model=model).start()
    system.add("before", "Work before the damage")
    system.wait_done("before")
    system.stop()
    skills = system.read("skills.md")
    damage(system.tree() / ".git")
    system.start()
    system.add("other", "Work of the other", name="iris")
    system.wait_done("other", name="iris")
    system.add("after", "Work after the damage")
    system.wait_done("after")
    assert skills.split("### ")[1].splitlines()[0] in system.read("skills.md")
    assert model.asked()["Work before the damage"] == 1
    system.assert_sound()


def test_one_broken_agent_never_stops_another(make_system, model):
    system = make_system(["orion", "iris"], model=model)
    (system.data / "agents").mkdir()
    (system.data / "agents/iris").write_text("a file where a folder should be\n")
    system.names = ["orion"]
    system.start()
    system.add("healthy", "Orion works")
    system.wait_done("healthy")
    wait_until(lambda: system.states()["iris"] in ("failed", "backoff", "starting"), "iris is not well")
    assert "iris" in system.log()


def test_verify_names_objects_that_are_cut_short_and_comes_to_an_end(system):
    system.add("before", "Work before the damage")
    system.wait_done("before")
    system.stop()
    truncated_objects(system.tree() / ".git")
    result = system.cli("verify", check=False)
    assert result.returncode == 65
    assert "orion" in result.stdout + result.stderr
