"""`agentos export` and `agentos import`: the whole agent as one file, and no file that harms."""

import hashlib
import fcntl
import os
import random
import re
import shutil
import struct
import subprocess
import zlib

import pytest

from harness import CREATED, task_block, wait_until

EXPORTED = "refs/agentos/export"


def learn(system, *task_ids, name="orion"):
    for task_id in task_ids:
        system.add(task_id, f"Work {task_id} with care", name=name)
        system.wait_done(task_id, name=name)
    wait_until(lambda: system.agent_status(name)["state"] == "idle", "idle")


@pytest.fixture
def elsewhere(make_system, model):
    """Another data directory, with another agent; not running."""
    return make_system(agents=("iris",), model=model)


@pytest.fixture
def bundle(system):
    """orion after two tasks, as a file."""
    learn(system, "one", "two")
    path = system.folder / "orion.bundle"
    system.cli("export", "orion", path)
    return path


def git(*arguments, cwd, **more):
    identity = ["-c", "user.name=x", "-c", "user.email=x@y", "-c", "safe.directory=*"]
    result = subprocess.run(["git", *identity, *map(str, arguments)], cwd=cwd, capture_output=True, **more)
    assert result.returncode == 0, result.stderr
    return result.stdout.decode().strip()


def picture(data):
    """All files of a data directory but the supervisor's own, by path: kind and content."""
    found = {}
    for folder, folders, files in os.walk(data):
        folders[:] = [name for name in folders if name != ".run"]
        for name in folders + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, data)] = open(path, "rb").read() if os.path.isfile(path) else None
    return found


def files_of(system, name="orion"):
    """The agent's files but the worker's own."""
    skip = (".git", ".agentos")
    tree = system.tree(name)
    return {
        str(path.relative_to(tree)): path.read_bytes()
        for path in tree.rglob("*")
        if path.is_file() and path.relative_to(tree).parts[0] not in skip
    }


# ---- what an export is ----


def test_it_is_one_git_bundle_that_git_verifies_and_clones(system, bundle):
    before = picture(system.tree() / ".git")
    git("bundle", "verify", bundle, cwd=system.tree())
    git("clone", "-q", bundle, system.folder / "clone", cwd=system.folder)
    log = git("log", "--format=%H", cwd=system.folder / "clone")
    assert log == system.git("log", "--format=%H").strip()
    git("fsck", "--strict", cwd=system.folder / "clone")
    assert system.git("for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]
    shutil.rmtree(system.folder / "clone")
    again = system.folder / "again.bundle"
    assert "agent orion at " in system.cli("export", "orion", again).stdout
    assert picture(system.tree() / ".git") == before
    assert [path.name for path in system.folder.glob(".*")] == []


def test_no_key_is_in_it(system, bundle):
    scratch = system.folder / "scratch"
    git("init", "-q", scratch, cwd=system.folder)
    git("bundle", "unbundle", bundle, cwd=scratch)
    everything = subprocess.run(["git", "cat-file", "--batch-all-objects", "--batch"], cwd=scratch, capture_output=True, check=True).stdout
    assert len(everything) > 5000 and system.env["LLM_API_KEY"].encode() not in everything


def test_a_file_that_is_there_stays(system, bundle):
    content = bundle.read_bytes()
    result = system.cli("export", "orion", bundle, check=False)
    assert result.returncode == 73 and "is there already" in result.stderr
    assert bundle.read_bytes() == content


def test_what_cannot_be_exported_is_said(system):
    target = system.folder / "x.bundle"
    assert system.cli("export", "nobody", target, check=False).returncode == 66
    assert system.cli("export", "orion", system.folder / "none/x.bundle", check=False).returncode == 73
    assert system.cli("export", "orion", f"{system.folder}/", check=False).returncode == 64
    loose = next(path for path in (system.tree() / ".git/objects").rglob("*.pack"))
    loose.chmod(0o644)
    loose.write_bytes(loose.read_bytes()[:-30])
    result = system.cli("export", "orion", target, check=False)
    assert result.returncode == 65 and not target.exists()


@pytest.mark.parametrize("part", [".git", ".git/objects", ".git/refs", ".git/objects/info/alternates", ".git/commondir"])
def test_what_leads_a_repository_elsewhere_is_taken_out_before_an_export(system, part):
    """As an agent that was taken over could make its own: no file of another agent is exported, and the way there is told."""
    learn(system, "one")
    system.stop()
    path = system.tree() / part
    if linked := path.exists():
        path.rename(system.folder / "moved")
        path.symlink_to(system.folder / "moved")
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(system.folder) + "\n")
    bundle = system.folder / "x.bundle"
    result = system.cli("export", "orion", bundle, check=False)
    assert re.search(rf"^{re.escape(part)} .*; it lies in \.agentos/set-aside/", result.stderr, re.MULTILINE)
    assert not path.exists() and not path.is_symlink()
    if linked:  # without the link's target the folder is no repository
        assert result.returncode == 65 and not bundle.exists()
    else:
        assert result.returncode == 0
        subprocess.run(["git", "clone", "-q", bundle, system.folder / "clone"], check=True)
        assert (system.folder / "clone/outputs/one.md").exists()


# ---- there and back ----


def let_in(system):
    """A person has read the import's words, and starts the agent."""
    if system.process is None:
        system.start(wait=False)
        wait_until(lambda: system.cli("status", check=False).returncode == 0, "the supervisor answers")
    system.cli("start", "orion")
    system.names.append("orion")
    system.wait_ready()


def test_an_import_arrives_stopped_and_says_what_it_would_do(make_system, model, elsewhere):
    there = make_system(
        model=model,
        yaml="agents:\n  - name: orion\n    persona: x\n    limits: {memory_mb: 111, tokens_per_day: 7777}\n"
        "    reward_audit: {method: command, command: [/bin/cat, '--odd']}\n"
        "    schedule: [{cron: '0 7 * * 1-5', task: 'Write the report'}]\n",
    ).start()
    there.stop()
    there.add("first", "Work that waits")
    there.add("second", "Work that waits too")
    path = there.folder / "orion.bundle"
    there.cli("export", "orion", path)
    said = elsewhere.cli("import", path).stdout
    for words in (
        "the agent is stopped; `agentos start orion`",
        "queue: 2 pending task(s) and 0 envelope(s)",
        "checker: /bin/cat --odd",
        "schedule: 0 7 * * 1-5: Write the report",
        "memory_mb 111",
        "tokens_per_day 7777",
    ):
        assert words in said, said
    elsewhere.start()
    assert elsewhere.states()["orion"] == "stopped" and elsewhere.done().get("first") is None
    elsewhere.stop()
    elsewhere.start()
    assert elsewhere.states()["orion"] == "stopped", "a restart starts it no more than the import did"
    let_in(elsewhere)
    elsewhere.wait_done("first", "second")


def test_no_text_of_a_bundle_forges_a_line_of_the_imports_words(forge, elsewhere):
    forged = "checker: no program of its own"
    definition = (
        "- name: orion\n  persona: x\n"
        f"  reward_audit: {{method: command, command: [\"/bin/sh\\n  {forged}\", -c, \"true\\n  {forged}\\r\\n\\n\"]}}\n"
        f"  schedule: [{{cron: '* * * * *', task: \"Spend\\n  {forged}\\n  limits: none\"}}]\n"
    )
    said = elsewhere.cli("import", forge.parcel(definition=definition.encode())).stdout
    heads = [line.split(":")[0].strip() for line in said[said.index("the agent is stopped") :].splitlines()[1:]]
    assert heads == ["queue", "checker", "schedule", "limits"], said
    assert not re.search(rf"^\s*{forged}", said, re.MULTILINE) and "cost_per_day 0" in said, said


def test_an_agent_that_is_imported_is_the_agent_that_was_exported(system, bundle, elsewhere):
    elsewhere.start()
    said = elsewhere.cli("import", bundle).stdout
    assert said.startswith("orion: imported at ") and "agent 'orion' is new; it stays stopped" in said
    assert elsewhere.states()["orion"] == "stopped"
    let_in(elsewhere)
    assert files_of(elsewhere) == files_of(system)
    assert elsewhere.git("log", "--format=%H") == system.git("log", "--format=%H")
    learn(elsewhere, "three")
    elsewhere.add("one", "Work one with care")
    elsewhere.wait_queue_empty()
    assert elsewhere.done() == {"one": 1, "two": 1, "three": 1}
    assert elsewhere.read("skills.md").count("### ") == 3
    elsewhere.assert_sound()
    assert "2 agent(s) verified" in elsewhere.cli("verify").stdout
    assert not list((elsewhere.data / "agents").glob(".import-*"))
    assert not (elsewhere.tree() / ".agentos/import").exists()


def test_what_is_pending_and_what_people_have_not_committed_comes_along(system, elsewhere):
    learn(system, "one")
    system.stop()  # an export needs nobody
    system.add("pending", "Work that waits")
    (system.tree() / "persona.md").write_text("A person's persona.\n")
    (system.tree() / "notes.txt").write_text("A person's note.\n")
    for folder, name in (("archive", "a1"), ("inbox", "m1")):
        text = f"---\nid: {name}\nkind: message\nfrom: operator\nto: orion\ncreated: {CREATED}\n---\nWords of {name}.\n"
        (system.tree() / "iac" / folder / f"{name}.md").write_text(text)
    (system.tree() / "outputs/older.md").write_text("An answer that left the tree.\n")
    path = system.folder / "orion.bundle"
    os.symlink("/etc/passwd", system.tree() / "link")
    result = system.cli("export", "orion", path)
    assert "link is not in it: it is a link" in result.stderr
    (system.tree() / "link").unlink()
    elsewhere.cli("import", path)
    assert files_of(elsewhere) == files_of(system)
    let_in(elsewhere)
    elsewhere.wait_done("pending")
    assert (elsewhere.tree() / "iac/archive/a1.md").exists()
    assert elsewhere.read("persona.md") == "A person's persona.\n"
    assert any(subject.startswith("people: ") for subject in elsewhere.subjects())


def test_a_file_that_an_import_refuses_keeps_no_agent_where_it_is(system, elsewhere):
    learn(system, "one")
    odd = [".gitmodules", ".g\u200cit", "git~1", "skills/work-one-with-care/.gitmodules"]
    for name in odd:
        (system.tree() / name).write_text("[submodule]\n")
    (system.tree() / ".gitattributes").write_text("x" * 2048)
    learn(system, "two")
    git("fsck", "--strict", cwd=system.tree())
    path = system.folder / "orion.bundle"
    said = system.cli("export", "orion", path).stderr
    assert all(f"{name} is not in it: it is a " in said for name in (*odd, ".gitattributes")), said
    elsewhere.cli("import", path)
    assert elsewhere.git("fsck", "--strict", "--no-dangling") == "" and elsewhere.read("outputs/two.md")


def test_a_program_of_a_skill_can_still_be_run_and_the_longest_name_is_no_hindrance(system, elsewhere):
    learn(system, "one")
    tool, long = system.tree() / "skills/work-one-with-care/tool", system.tree() / ("n" * 255)
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    long.write_text("x\n")
    git("add", tool, long, cwd=system.tree())
    git("commit", "-q", "-m", "A person's", cwd=system.tree())
    assert system.git("ls-files", "-s", "skills").count("100755") == 1
    path = system.folder / "orion.bundle"
    system.cli("export", "orion", path)
    elsewhere.cli("import", path)
    assert elsewhere.git("status", "--porcelain") == "" and files_of(elsewhere) == files_of(system)
    assert os.access(elsewhere.tree() / tool.relative_to(system.tree()), os.X_OK)
    assert (elsewhere.tree() / "persona.md").stat().st_mode & 0o777 == 0o644


def test_an_export_of_an_agent_at_work_is_of_one_moment(make_system, model, elsewhere):
    system = make_system(model=model).start()
    given, exports = [], []
    while len(exports) < 5:  # an export that meets a commit says "try again": how often, is the machine's affair
        tasks = [f"t{len(given) + n}" for n in range(3)]
        system.append("".join(task_block(task_id, f"Work {task_id} with care") for task_id in tasks))
        given += tasks
        path = system.folder / f"{len(given)}.bundle"
        result = system.cli("export", "orion", path, check=False)
        assert result.returncode in (0, 75), result.stderr
        if result.returncode == 0:
            exports.append((path, list(given)))
        system.wait_done(*tasks)
    path, tasks = exports[2]
    elsewhere.cli("import", path)
    let_in(elsewhere)
    elsewhere.wait_done(*tasks)
    elsewhere.wait_queue_empty()
    elsewhere.assert_each_once(tasks)
    assert not [subject for subject in elsewhere.subjects() if subject.startswith("people")]
    elsewhere.assert_sound()


def test_branches_and_tags_come_along(system, bundle, elsewhere):
    tree = system.tree()
    git("branch", "side", "HEAD~1", cwd=tree)
    git("tag", "-a", "-m", "noted", "v1", cwd=tree)
    path = system.folder / "more.bundle"
    system.cli("export", "orion", path)
    elsewhere.cli("import", path)
    wanted = system.git("for-each-ref", "--format=%(refname) %(objectname)")
    assert elsewhere.git("for-each-ref", "--format=%(refname) %(objectname)") == wanted and wanted.count("\n") == 3
    assert elsewhere.git("symbolic-ref", "HEAD").strip() == "refs/heads/main"
    assert elsewhere.git("status", "--porcelain") == ""


def test_a_skill_that_was_taken_out_of_the_list_stays_out(system, elsewhere):
    learn(system, "one", "two")
    skills = system.tree() / "skills.md"
    skills.write_text(skills.read_text().split("### work-two")[0])
    learn(system, "three")
    path = system.folder / "orion.bundle"
    system.cli("export", "orion", path)
    elsewhere.cli("import", path)
    let_in(elsewhere)
    learn(elsewhere, "four")
    assert (elsewhere.tree() / "skills/work-two-with-care/SKILL.md").exists()
    assert "### work-two" not in elsewhere.read("skills.md")


# ---- agents.yaml ----


def test_comments_and_layout_of_agents_yaml_stay(bundle, elsewhere):
    before = "# Ours.\nagents:\n  # the first\n  - {name: iris, persona: x} # short\n\n# The rest.\nbudget: {tokens_per_day: 9}\n"
    (elsewhere.data / "agents.yaml").write_text(before)
    (elsewhere.data / "agents.yaml").chmod(0o640)
    elsewhere.cli("import", bundle)
    after = (elsewhere.data / "agents.yaml").read_text()
    head, tail = before.split("\n\n# The rest")
    assert after.startswith(head + "\n  - name: orion\n") and after.endswith("\n\n# The rest" + tail)
    assert (elsewhere.data / "agents.yaml").stat().st_mode & 0o777 == 0o640


def test_an_agents_yaml_that_is_a_link_stays_one(bundle, elsewhere):
    real = elsewhere.folder / "real.yaml"
    (elsewhere.data / "agents.yaml").rename(real)
    (elsewhere.data / "agents.yaml").symlink_to(real)
    elsewhere.cli("import", bundle)
    assert (elsewhere.data / "agents.yaml").is_symlink() and "name: orion" in real.read_text()


def test_an_empty_data_directory_gets_its_agents_yaml(bundle, elsewhere):
    (elsewhere.data / "agents.yaml").unlink()
    elsewhere.cli("import", bundle)
    assert elsewhere.cli("check", check=False).returncode == 0
    elsewhere.names = []
    let_in(elsewhere)
    elsewhere.assert_sound()


def test_the_definition_comes_as_it_held_there(make_system, model, elsewhere):
    there = make_system(
        model=model,
        yaml="defaults: {ttl_seconds: 7, throughput_class: slow}\nagents:\n  - name: orion\n    persona: |\n      Two\n      lines.\n"
        "    may_send_to: [iris, gone]\n    goals: [Learn]\n    reward_audit: {method: command, command: [/opt/check, '5']}\n"
        "  - {name: iris, persona: x}\n  - {name: gone, persona: x}\n",
        agents=("orion", "iris", "gone"),
    ).start()
    path = there.folder / "orion.bundle"
    there.cli("export", "orion", path)
    said = elsewhere.cli("import", path).stdout
    assert "may_send_to: there is no agent gone here" in said
    assert "names a checker of its own, /opt/check" in said
    text = (elsewhere.data / "agents.yaml").read_text()
    for line in ("throughput_class: slow", "ttl_seconds: 7", "may_send_to: [iris]", r'persona: "Two\nlines.\n"'):
        assert line in text, text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_imports_belongs_to_the_owner_of_the_other_agents(bundle, elsewhere):
    (elsewhere.data / "agents").mkdir()
    for path in (elsewhere.data / "agents", elsewhere.data / "agents.yaml"):
        os.chown(path, 65534, 65534)
    elsewhere.cli("import", bundle)
    everything = [elsewhere.data / "agents.yaml", elsewhere.tree(), *elsewhere.tree().rglob("*")]
    assert {path.stat().st_uid for path in everything} == {65534}


# ---- files that are refused, and change nothing ----


def refused(system, path, code, reason):
    before = picture(system.data)
    result = system.cli("import", path, check=False, seconds=60)
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    assert reason in result.stderr, result.stderr
    after = picture(system.data)
    for picture_of in (before, after):
        for path in ("agents", "shared", "shared/usage.md"):  # a running supervisor keeps its books there meanwhile
            picture_of.pop(path, None)
    assert after == before


def test_a_name_that_is_taken_is_refused(system, bundle, elsewhere):
    system.cli("stop", "orion")  # a worker that rests tidies its journal
    refused(system, bundle, 73, "there is an agent 'orion' in agents.yaml already")
    (elsewhere.data / "agents/orion").mkdir(parents=True)
    (elsewhere.data / "agents/orion/mine").write_text("x")
    refused(elsewhere, bundle, 73, "agents/orion is there already")


def test_files_that_are_none(bundle, elsewhere, system):
    os.mkfifo(elsewhere.folder / "fifo")
    refused(elsewhere, elsewhere.folder / "fifo", 65, "no regular file")
    refused(elsewhere, elsewhere.folder / "missing", 66, "No such file")
    refused(elsewhere, "/dev/zero", 65, "no regular file")
    other = elsewhere.folder / "other.bundle"
    git("bundle", "create", other, "main", cwd=system.tree())
    refused(elsewhere, other, 65, "but no agent's")
    git("bundle", "create", other, "HEAD~1..main", cwd=system.tree())
    refused(elsewhere, other, 65, "cannot stand alone")
    for content in (b"", b"PK\x03\x04", b"# v2 git bundle\n", bytes(range(256)) * 40):
        other.write_bytes(content)
        refused(elsewhere, other, 65, "was not imported")


def test_an_unsound_agents_yaml_is_left_alone(bundle, elsewhere):
    (elsewhere.data / "agents.yaml").write_text("agents:\n  - name: iris\n    perona: x\n")
    refused(elsewhere, bundle, 78, "unknown key 'perona'")


def test_cut_and_flipped_files_change_nothing(bundle, elsewhere):
    whole = bundle.read_bytes()
    start = whole.index(b"\n\nPACK") + 2
    damaged = elsewhere.folder / "damaged.bundle"
    places = random.Random(5)
    for length in sorted(places.sample(range(len(whole)), 12)) + [start, len(whole) - 1]:
        damaged.write_bytes(whole[:length])
        refused(elsewhere, damaged, 65, "was not imported")
    for at in sorted(places.sample(range(start, len(whole)), 25)) + [start + 4, start + 11, len(whole) - 1]:
        flipped = bytearray(whole)
        flipped[at] ^= 1 << places.randrange(8)
        damaged.write_bytes(flipped)
        refused(elsewhere, damaged, 65, "was not imported")
    for at in places.sample(range(start - 2), 20):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << places.randrange(8)
        damaged.write_bytes(flipped)
        result = elsewhere.cli("import", damaged, check=False)
        if result.returncode == 0:  # a ref has another name now: still one whole history
            assert b"refs/heads/main" not in flipped
            (elsewhere.data / "agents.yaml").write_text("agents:\n  - {name: iris, persona: x}\n")
            shutil.rmtree(elsewhere.tree())
        else:
            assert result.returncode == 65 and not elsewhere.tree().exists()


class Forge:
    """Bundles as somebody who means harm would make them, out of a good one."""

    def __init__(self, bundle, folder):
        self.folder = folder / "forge"
        git("init", "-q", "--bare", self.folder, cwd=folder)
        git("fetch", "-q", bundle, "+refs/*:refs/*", cwd=self.folder)
        self.out = folder / "forged.bundle"

    def object(self, kind, content):
        return git("hash-object", "-t", kind, "-w", "--literally", "--stdin", cwd=self.folder, input=content)

    def tree(self, *entries):
        """A tree of (mode, name, id), whatever git would say to it."""
        raw = b"".join(os.fsencode(f"{mode} {name}") + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
        return self.object("tree", raw)

    def id(self, name):
        return git("rev-parse", name, cwd=self.folder)

    def parcel(self, files=None, definition=None, parent="refs/heads/main"):
        """The bundle with other files, or another definition."""
        text = self.object("blob", definition) if definition is not None else self.id(f"{EXPORTED}:definition.yaml")
        root = self.tree(("100644", "definition.yaml", text), ("40000", "tree", files or self.id(f"{EXPORTED}:tree")))
        return self.write({EXPORTED: self.commit(root, parent)})

    def commit(self, root, parent):
        return self.object(
            "commit", f"tree {root}\nparent {self.id(parent)}\nauthor x <x@y> 1 +0000\ncommitter x <x@y> 1 +0000\n\nx\n".encode()
        )

    def write(self, refs, extra=b""):
        all_refs = {"refs/heads/main": self.id("refs/heads/main"), "HEAD": self.id("refs/heads/main"), EXPORTED: self.id(EXPORTED), **refs}
        ids = "".join(f"{oid}\n" for oid in all_refs.values())
        pack = subprocess.run(
            ["git", "pack-objects", "--revs", "--stdout", "-q"], input=ids.encode(), cwd=self.folder, capture_output=True, check=True
        ).stdout
        header = "# v2 git bundle\n" + "".join(f"{oid} {name}\n" for name, oid in all_refs.items()) + "\n"
        self.out.write_bytes(header.encode() + pack + extra)
        return self.out


@pytest.fixture
def forge(bundle, elsewhere):
    return Forge(bundle, elsewhere.folder)


def test_what_was_forged_well_is_taken(forge, elsewhere):
    blob = forge.object("blob", b"hello\n")
    elsewhere.cli("import", forge.parcel(files=forge.tree(("100644", "hello", blob))))
    assert elsewhere.read("hello") == "hello\n"


@pytest.mark.parametrize(
    "mode,name", [("120000", "link"), ("160000", "module"), ("100644", ".."), ("40000", ".."), ("100644", "."), ("100644", ".git"),
                  ("40000", ".GiT"), ("100644", "a/b"), ("100644", "../../x"), ("100644", "n" * 300)]
)
def test_links_submodules_and_names_that_lead_out(forge, elsewhere, mode, name):
    inner = forge.tree(("100644", "config", forge.object("blob", b"x")))
    oid = {"40000": inner, "160000": forge.id("refs/heads/main")}.get(mode, forge.object("blob", b"/etc/passwd"))
    bad = forge.tree((mode, name, oid))
    refused(elsewhere, forge.parcel(files=bad), 65, "was not imported")
    refused(elsewhere, forge.parcel(files=forge.tree(("40000", "skills", bad))), 65, "was not imported")
    # In the history it is no better.
    commit = forge.commit(forge.tree((mode, name, oid)), "refs/heads/main")
    git("update-ref", "refs/heads/bad", commit, cwd=forge.folder)
    refused(elsewhere, forge.write({"refs/heads/bad": commit}), 65, "was not imported")


def test_the_workers_own_notes_cannot_be_planted(forge, elsewhere):
    notes = forge.tree(("100644", "journal", forge.object("blob", b"x")))
    refused(elsewhere, forge.parcel(files=forge.tree(("40000", ".agentos", notes))), 65, "notes of a worker")


@pytest.mark.parametrize(
    "definition",
    [b"", b"[]", b"- {name: ../../etc, persona: x}", b"- {name: nova}", b"- {name: operator, persona: x}", b"agents: [{name: a, persona: x}]",
     b"- {name: a, persona: x}\n- {name: b, persona: x}\n", b"- &a {name: nova, persona: *a}", b"\xff\xfe", b"- {name: nova, persona: x}\nqueues: []\n",
     b"- {name: nova, persona: x, hints: [" + b"[" * 5000, b"- {name: nova, persona: x}\0", b"x" * 2_000_000],
    ids=lambda text: text[:30].decode(errors="replace").strip().replace("\0", "NUL"),
)
def test_definitions_that_are_none(forge, elsewhere, definition):
    refused(elsewhere, forge.parcel(definition=definition), 65, "definition")


def test_a_parcel_that_belongs_to_another_commit(forge, elsewhere):
    refused(elsewhere, forge.parcel(parent="refs/heads/main~1"), 65, "does not belong to its HEAD")
    refused(elsewhere, forge.write({EXPORTED: forge.object("blob", b"x")}), 65, "was not imported")
    refused(elsewhere, forge.write({"refs/heads/x": forge.id("refs/heads/main:skills.md")}), 65, "was not imported")


def test_refs_that_lead_nowhere_or_into_each_other(forge, elsewhere):
    good = forge.write({})
    missing = elsewhere.folder / "missing.bundle"
    missing.write_bytes(good.read_bytes().replace(b"\n\nPACK", b"\n" + b"1" * 40 + b" refs/heads/x\n\nPACK", 1))
    refused(elsewhere, missing, 65, "is missing")
    head = forge.id("refs/heads/main")
    refused(elsewhere, forge.write({"refs/heads/main/inner": head}), 65, "was not imported")


# ---- packs that grow ----


def pack(*entries, count=None):
    """A pack of (type, size, deflated content) as they stand."""
    raw = b"PACK" + struct.pack(">II", 2, len(entries) if count is None else count)
    for kind, size, prefix, content in entries:
        byte, size = (kind << 4) | (size & 15), size >> 4
        while size:
            raw += bytes([byte | 0x80])
            byte, size = size & 0x7F, size >> 7
        raw += bytes([byte]) + prefix + zlib.compress(content)
    return raw + hashlib.sha1(raw).digest()


def numbered(size):
    raw = b""
    while True:
        raw += bytes([(size & 0x7F) | (0x80 if size > 0x7F else 0)])
        size >>= 7
        if not size:
            return raw


def header_of(forge):
    whole = forge.write({}).read_bytes()
    return whole[: whole.index(b"\n\nPACK") + 2]


def delta_bomb(copies):
    """A blob of 16 MB, and a few bytes of delta that make `copies` of it into one object."""
    base = b"\0" * 0xFFFFFF
    oid = hashlib.sha1(b"blob %d\0" % len(base) + base).digest()
    copy = bytes([0x80 | 0x70]) + (0xFFFFFF).to_bytes(3, "little")
    delta = numbered(len(base)) + numbered(len(base) * copies) + copy * copies
    return pack((3, len(base), b"", base), (7, len(delta), oid, delta))


@pytest.mark.parametrize("copies", [2, 70, 3000])
def test_a_pack_that_grows_out_of_nothing_is_stopped(forge, elsewhere, copies):
    bomb = elsewhere.folder / "bomb.bundle"
    bomb.write_bytes(header_of(forge) + delta_bomb(copies))
    assert bomb.stat().st_size < 200_000
    refused(elsewhere, bomb, 65, "was not imported")


def test_a_pack_that_claims_four_thousand_million_objects(forge, elsewhere):
    bomb = elsewhere.folder / "bomb.bundle"
    bomb.write_bytes(header_of(forge) + pack((3, 1, b"", b"x"), count=0xFFFFFFFF))
    refused(elsewhere, bomb, 65, "was not imported")


def test_a_file_larger_than_an_agent_has(forge, elsewhere):
    big = forge.object("blob", b"\0" * (65 * 1024 * 1024))
    refused(elsewhere, forge.parcel(files=forge.tree(("100644", "big", big))), 65, "larger than 64 MiB")


def test_folders_that_multiply(forge, elsewhere):
    level = forge.tree(("100644", "x", forge.object("blob", b"x")))
    for _ in range(12):
        level = forge.tree(*((("40000", f"{n:02}", level)) for n in range(30)))
    refused(elsewhere, forge.parcel(files=level), 65, "more f")


# ---- ended in the middle ----


def test_two_imports_at_once_end_in_one_agent(bundle, elsewhere):
    from harness import BIN

    both = [subprocess.Popen([str(BIN / "agentos"), "import", str(bundle)], env=elsewhere.env, stderr=subprocess.PIPE) for _ in range(2)]
    codes = sorted(process.wait(60) for process in both)
    for process in both:
        process.stderr.close()
    assert codes == [0, 73]
    assert (elsewhere.data / "agents.yaml").read_text().count("name: orion") == 1


def test_what_a_killed_import_left_is_told_by_verify_and_removed_by_the_next(bundle, elsewhere):
    left = elsewhere.data / "agents" / ".import-a1b2c3"
    (left / "skills").mkdir(parents=True)
    (left / "skills.md").write_text("half of it")
    folder = os.open(elsewhere.data / "agents", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    assert "note: agents/.import-a1b2c3: an import is under way\n" in elsewhere.cli("verify").stdout
    os.close(folder)
    assert "note: agents/.import-a1b2c3: was left by an import" in elsewhere.cli("verify").stdout
    assert left.exists()
    elsewhere.cli("import", bundle)
    assert not left.exists() and ".import-" not in elsewhere.cli("verify").stdout
