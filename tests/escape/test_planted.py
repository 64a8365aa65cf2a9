"""Plants that a worker that was taken over can leave in its tree for others to read: git objects, packs, refs, names,
depths, notes and texts. Every reader, a verb or a request over HTTP, comes to an end, within memory, and sees no control
character; the supervisor answers, and the neighbour works on. Each plant is shown to be there, and to do its harm, without
the wall.
"""

import hashlib
import http.client
import json
import os
import re
import struct
import subprocess
import threading
import zlib

import pytest
from harness import BIN, PATIENCE, wait_until
from test_escape import needs_landlock, without_shadow

pytestmark = [needs_landlock, without_shadow]

MB = 1 << 20
MEMORY = 600 * MB  # a verb reads a repository in a process of 512 MiB
DEEP, MANY = 3000, 1000
STEERING = "\x1b[2J\x1b]0;t\x07\x9b31m\u202e\u2066\u2028".encode()
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def objects(tree):
    return os.fsencode(tree / ".git/objects")


def write_raw(tree, name, packed):
    folder = os.path.join(objects(tree), name[:2].encode())
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name[2:].encode()), "wb") as file:
        file.write(packed)


def write_object(tree, kind, content):
    whole = b"%s %d\0" % (kind.encode(), len(content)) + content
    name = hashlib.sha1(whole).hexdigest()
    write_raw(tree, name, zlib.compress(whole, 1))
    return name


def entry(mode, name, oid):
    return b"%s %s\0" % (mode, name) + bytes.fromhex(oid)


def commit(tree, root, parents, message=b"planted"):
    lines = [b"tree " + root.encode(), *[b"parent " + parent.encode() for parent in parents]]
    return write_object(tree, "commit", b"\n".join(lines) + b"\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\n" + message)


def lead_to(system, name, oid):
    (system.tree(name) / ".git/refs/heads/main").write_text(oid + "\n")


def in_git(system, name, *words):
    return subprocess.run(["git", *words], cwd=system.tree(name), capture_output=True, timeout=60 * PATIENCE, check=False).stdout


def tip_of(system, name):
    return in_git(system, name, "rev-parse", "HEAD").decode().strip()


def bomb(kind, size):
    packer = zlib.compressobj(9)
    packed = packer.compress(b"%s %d\0" % (kind.encode(), size))
    piece = b"\n" * MB
    for _ in range(size // MB):
        packed += packer.compress(piece)
    return packed + packer.flush()


def plant_bombs(system, name):
    """A commit, and a file, of 1 GB that are a MB on disk."""
    tree, tip = system.tree(name), tip_of(system, name)
    blob, huge = "ab" * 20, "cd" * 20
    write_raw(tree, blob, bomb("blob", 1 << 30))
    write_raw(tree, huge, bomb("commit", 1 << 30))
    root = write_object(tree, "tree", entry(b"100644", b"persona.md", blob))
    lead_to(system, name, commit(tree, root, [tip, huge]))
    assert int(in_git(system, name, "cat-file", "-s", blob)) == int(in_git(system, name, "cat-file", "-s", huge)) == 1 << 30


def plant_packs(system, name):
    """Packs whose indexes count 2^30 objects, which times 28 bytes is nothing in 32 bits."""
    folder = system.tree(name) / ".git/objects/pack"
    counts = [(byte + 1) << 22 for byte in range(256)]
    folder.mkdir(exist_ok=True)
    for number in range(MANY):
        path = folder / f"pack-{number:040x}"
        path.with_suffix(".pack").write_bytes(b"PACK" + struct.pack(">II", 2, 1 << 31) + os.urandom(200))
        path.with_suffix(".idx").write_bytes(b"\xfftOc" + struct.pack(">I", 2) + struct.pack(">256I", *counts) + os.urandom(100))
    assert b"pack" in subprocess.run(["git", "count-objects", "-v"], cwd=system.tree(name), capture_output=True, check=False).stdout


def plant_refs(system, name):
    tree, tip = system.tree(name), tip_of(system, name)
    folder = os.fsencode(tree / ".git/refs/heads")
    for ref in [b"-rf", b"a\nb", STEERING.replace(b"/", b""), b"\xff\xfe", b"@{u}", b"x" * 250, *[b"r%d" % n for n in range(MANY)]]:
        with open(os.path.join(folder, ref), "w", encoding="ascii") as file:
            file.write(tip + "\n")
    with open(tree / ".git/logs/HEAD" if (tree / ".git/logs").is_dir() else tree / ".git/reflog", "ab") as file:
        file.write((tip + " " + tip + " a <a> 1 +0000\t").encode() + STEERING * 100000 + b"\n")
    assert in_git(system, name, "for-each-ref").count(b"\n") > MANY


def plant_deep_objects(system, name):
    tree, tip = system.tree(name), tip_of(system, name)
    oid = write_object(tree, "tree", entry(b"100644", b"x", write_object(tree, "blob", b"x")))
    for _ in range(DEEP):
        oid = write_object(tree, "tree", entry(b"40000", b"d", oid))
    lead_to(system, name, commit(tree, oid, [tip]))
    assert in_git(system, name, "rev-parse", "HEAD^{tree}").decode().strip() == oid


def plant_wide_objects(system, name):
    """Two dozen objects that are 10^12 folders, with a file in each of the last folders or without any; and files of 100 MB
    of which each may be another file that was moved."""
    tree, tip = system.tree(name), tip_of(system, name)
    for leaf in (write_object(tree, "tree", b""), write_object(tree, "tree", entry(b"100644", b"x", write_object(tree, "blob", b"x")))):
        for _ in range(12):
            leaf = write_object(tree, "tree", b"".join(entry(b"40000", b"%d" % n, leaf) for n in range(10)))
        tip = commit(tree, leaf, [tip])
    for side in (b"a", b"b"):
        large = write_object(tree, "blob", side * (100 * MB))
        tip = commit(tree, write_object(tree, "tree", b"".join(entry(b"100644", side + b"%02d" % n, large) for n in range(100))), [tip])
    lead_to(system, name, tip)
    assert in_git(system, name, "ls-tree", "HEAD").count(b"blob") == 100
    assert in_git(system, name, "rev-parse", "HEAD~2:0/1/2/3/4/5/6/7/8/9/0/1") == in_git(system, name, "rev-parse", "HEAD~2:" + "9/" * 12)


def plant_odd_entries(system, name):
    tree, tip = system.tree(name), tip_of(system, name)
    text, nowhere = write_object(tree, "blob", b"../../iris/persona.md"), "ef" * 20
    names = sorted([b".git", b"..", b"a/b", b"-rf", b"\xff\xfe", STEERING, b"n\nn", b"y" * 4000])
    entries = [entry(mode, one, text) for one in names for mode in (b"100644",)]
    entries += [entry(b"120000", b"zlink", text), entry(b"160000", b"zmodule", nowhere), entry(b"777", b"zz", nowhere)]
    root = write_object(tree, "tree", b"".join(entries))
    lead_to(system, name, commit(tree, root, [tip], STEERING * 1000))
    assert STEERING in in_git(system, name, "ls-tree", "-z", "HEAD")


def plant_many_parents(system, name):
    tree, tip = system.tree(name), tip_of(system, name)
    lead_to(system, name, commit(tree, in_git(system, name, "rev-parse", "HEAD^{tree}").decode().strip(), [tip] * 20000))
    assert in_git(system, name, "cat-file", "-p", "HEAD").count(b"parent") == 20000


def plant_damage(system, name):
    """Objects cut short (libgit2 reads in them for ever), with bytes behind them, empty, of another's name, and a tree that
    contains itself by its name."""
    tree, tip = system.tree(name), tip_of(system, name)
    good = zlib.compress(b"tree 30\0" + entry(b"40000", b"d", "12" * 20)[:30])
    for oid, packed in {"11" * 20: good[:-5], "12" * 20: good, "13" * 20: b"", "14" * 20: good + b"more", "15" * 20: os.urandom(100)}.items():
        write_raw(tree, oid, packed)
    root = write_object(tree, "tree", b"".join(entry(b"40000", b"%d" % n, f"{n}" * 20) for n in range(11, 16)))
    cut = b"commit 1000\0tree " + root.encode()
    write_raw(tree, "16" * 20, zlib.compress(cut + os.urandom(500))[:-100])
    lead_to(system, name, commit(tree, root, [tip, "16" * 20]))
    assert b"error" in subprocess.run(["git", "fsck"], cwd=system.tree(name), capture_output=True, check=False).stderr


def plant_names(system, name):
    tree = os.fsencode(system.tree(name))
    names = [b"-rf.md", b"a\nb.md", STEERING.replace(b"/", b"") + b".md", b"\xff\xfe.md", b"x" * 252 + b".md", b"--help", b"$(id).md", b"..md"]
    for folder in [b"", b"outputs", b"skills", *[b"iac/" + one for one in (b"inbox", b"handoffs", b"outbox", b"dead-letter", b"archive")]]:
        os.makedirs(os.path.join(tree, folder), exist_ok=True)
        for one in names:
            with open(os.path.join(tree, folder, one), "wb") as file:
                file.write(b"---\nid: " + STEERING + b"\nkind: handoff\nfrom: iris\nto: x\n---\n" + STEERING)
    assert any(b"\x1b" in one for one in os.listdir(os.path.join(tree, b"iac/inbox")))


def plant_depth(system, name):
    for top in ("outputs", "skills", "iac/inbox", ".agentos"):
        folder = os.open(system.tree(name) / top, os.O_RDONLY)
        for _ in range(DEEP):
            os.mkdir("d", dir_fd=folder)
            inner = os.open("d", os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
        os.close(folder)


def plant_texts(system, name):
    """Forged notes and books of 4 MB, of which each byte steers a terminal, or none is text."""
    tree = system.tree(name)
    for path in [*tree.glob("*.md"), *(tree / ".agentos").iterdir()]:
        if path.is_file() and path.name != "queue.md":
            with open(path, "ab") as file:
                file.write(b"\n### " + STEERING + b"\n- reward: +1\n- [ ] " + STEERING * (4 * MB // len(STEERING)) + b"\xff\x00\n")
    assert b"\x1b" in (tree / "skills.md").read_bytes()


def plant_growth(system, name):
    """Files that grow, are cut and renamed all the while; hard links between files that are written and files that are read."""
    tree, over = system.tree(name), threading.Event()
    (tree / "outputs/shared.md").hardlink_to(tree / "persona.md")

    def grow():
        while not over.wait(0.001):
            for one in ("outputs/grows.md", "iac/inbox/grows.md", "rewards.md"):
                try:
                    with open(tree / one, "ab") as file:
                        file.write(b"x" * 65536)
                        if file.tell() > 8 * MB:
                            file.truncate(0)
                    os.rename(tree / one, tree / (one + ".x"))
                    os.rename(tree / (one + ".x"), tree / one)
                except OSError:
                    pass

    thread = threading.Thread(target=grow, daemon=True)
    thread.start()
    return over


PLANTS = {
    "bombs": plant_bombs,
    "packs": plant_packs,
    "refs": plant_refs,
    "deep-objects": plant_deep_objects,
    "wide-objects": plant_wide_objects,
    "odd-entries": plant_odd_entries,
    "many-parents": plant_many_parents,
    "damage": plant_damage,
    "names": plant_names,
    "depth": plant_depth,
    "texts": plant_texts,
    "growth": plant_growth,
}

READS = [
    *(["log"], ["skills"], ["rewards"], ["goals"], ["reflections"], ["handoffs"], ["messages"], ["dead-letters"], ["answer"], ["logs"]),
    *(["status"], ["export", "{file}"]),
]


def read_by(system, *words):
    """The output of a verb, its exit and the most memory that it or one of its children took."""
    command = [str(BIN / "agentos"), *words]
    process = subprocess.Popen(command, env=system.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    timer = threading.Timer(60 * PATIENCE, process.kill)
    timer.start()
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return said, process.returncode, usage.ru_maxrss << 10


def wrong_with(system, name, file):
    wrong = []
    for words in [*READS, ["verify"]]:
        verb, *more = [word.format(file=file) for word in words]
        said, code, memory = read_by(system, verb, *([] if verb == "verify" else [name]), *more)
        steers = STEERS.findall(said.decode(errors="replace"))
        if code < 0 or memory > MEMORY or steers or b"ended by signal 11" in said:
            wrong.append((name, words, code, memory >> 20, steers[:3], said[-300:]))
        if os.path.exists(file):
            os.unlink(file)
    return wrong


def pages_wrong(system, name):
    port = int(re.search(r"http://127\.0\.0\.1:(\d+)", system.log()).group(1))
    known = json.loads(ask(port, "/v1/openapi.json")[1])["paths"]
    wrong = []
    for path in [one for one, methods in known.items() if "get" in methods and "events" not in one]:
        real = re.sub(r"\{(agent|name)\}", name, path)
        for asked in {re.sub(r"\{\w+\}", word, real) for word in ("first", tip_of(system, name))}:
            status, body = ask(port, asked)
            if status is None or (status >= 500 and not json.loads(body)["detail"]):
                wrong.append((name, asked, status, body[:300]))
    return wrong


def ask(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60 * PATIENCE)
    try:
        connection.request("GET", path, headers={"Host": "localhost"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None, b""
    finally:
        connection.close()


@pytest.mark.parametrize("plant", PLANTS)
def test_what_a_worker_leaves_for_its_readers_harms_none_of_them(make_system, model, plant, tmp_path):
    system = make_system(("iris", plant), model=model, env={"AGENTOS_LISTEN": "127.0.0.1:0"}).start()
    for name in ("iris", plant):
        system.add("first", "Before it", name=name)
        system.wait_done("first", name=name)
    over = PLANTS[plant](system, plant)
    try:
        system.add("second", "After it", name="iris")
        system.wait_done("second", name="iris")
        wrong = wrong_with(system, plant, tmp_path / "x.bundle") + pages_wrong(system, plant)
        system.add("third", "With it", name=plant)
        system.add("third", "Beside it", name="iris")
        system.wait_done("third", name="iris")
        assert wrong == []
        assert not STEERS.findall(system.log()), "the log is text"
        assert "can't be read within" not in system.log(), "each read comes to an end by itself"
        assert system.agent_status("iris")["restarts"] == 0
    finally:
        if over:
            over.set()
    assert system.stop() == 0
    assert read_by(system, "verify")[1] >= 0
    subprocess.run(["rm", "-rf", system.tree(plant)], check=True)  # deeper than Python's way of it
