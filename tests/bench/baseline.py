#!/usr/bin/python3
"""The straightforward Python implementation that the benchmarks compare with, after the article: PyYAML, httpx, and
`git add -A` and `git commit` as commands. No flush anywhere. As quick as its shape allows: one kept connection,
TCP_NODELAY, state read once a cycle.

    baseline.py cycle DIR BASE_URL    process DIR/queue.md until it is empty
    baseline.py start DIR COUNT       make COUNT agents' trees and repositories below DIR
"""

import pathlib
import re
import socket
import subprocess
import sys
import time

STATE_FILES = ("persona", "constraints", "skills", "goals", "rewards", "reflections")
BLOCK = re.compile(r"^## (\S+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
STRUCTURE = re.compile(r"```agentos\n(.*?)```", re.DOTALL)


def git(folder, *arguments):
    subprocess.run(["git", "-C", folder, *arguments], check=True, stdout=subprocess.DEVNULL)


def bootstrap(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    for state in (*STATE_FILES, "queue", "system_prompt"):
        path = folder / f"{state}.md"
        if not path.exists():
            path.write_text(f"# {state.title()} of {name}\n\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", name)
    git(folder, "config", "user.email", f"{name}@agentos.local")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "init: agent filesystem")


def next_task(queue):
    import yaml

    for found in BLOCK.finditer(queue.read_text()):
        fields = yaml.safe_load(found[2])
        if isinstance(fields, dict) and fields.get("task"):
            return found[1], fields["task"], found[0]
    return None


def keep_last(path, entry, count):
    entries = re.split(r"^(?=## )", path.read_text(), flags=re.MULTILINE)
    path.write_text("".join([entries[0], *entries[1:][-(count - 1) :], entry]))


def add_skill(path, skill, now):
    parts = re.split(r"^(?=### )", path.read_text(), flags=re.MULTILINE)
    skills = {part.split("\n", 1)[0][4:]: part for part in parts[1:]}
    name = skill["name"]
    evidence = int(re.search(r"reward_evidence: (\d+)", skills[name])[1]) + 1 if name in skills else 1
    skills[name] = (
        f"### {name}\n- description: {skill['description']}\n- reward_evidence: {evidence}\n"
        f"- last_success: {now}\n\n{skill['body']}\n"
    )
    while len(skills) > 20:
        weakest = min(skills, key=lambda key: int(re.search(r"reward_evidence: (\d+)", skills[key])[1]))
        del skills[weakest]
    path.write_text(parts[0] + "".join(skills.values()))


def cycle(folder, client, url):
    import yaml

    queue = folder / "queue.md"
    task = next_task(queue)
    if task is None:
        return False
    task_id, text, block = task
    prompt = "\n\n".join((folder / f"{state}.md").read_text() for state in STATE_FILES)
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": text}]
    reply = client.post(url, json={"model": "test-model", "messages": messages, "max_tokens": 2048})
    reply.raise_for_status()
    content = reply.json()["choices"][0]["message"]["content"]
    structure = yaml.safe_load(STRUCTURE.search(content)[1])
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    entry = f"## {task_id}\n- reward: {structure['reward']:+d}\n- at: {now}\n- reason: {structure['reason']}\n\n"
    keep_last(folder / "rewards.md", entry, 30)
    if structure["reward"] == 1 and "skill" in structure:
        add_skill(folder / "skills.md", structure["skill"], now)
    if "reflection" in structure:
        keep_last(folder / "reflections.md", f"## {task_id}\n{structure['reflection']}\n\n", 15)
    (folder / "outputs").mkdir(exist_ok=True)
    (folder / f"outputs/{task_id}.md").write_text(content)
    queue.write_text(queue.read_text().replace(block, "", 1))
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", f"orion(task): {task_id}")
    return True


def without_delay():
    """httpx of Debian 12 has no option for it: every socket that is connected gets TCP_NODELAY."""
    connect = socket.create_connection

    def quick(*arguments, **options):
        link = connect(*arguments, **options)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return link

    socket.create_connection = quick


def main():
    verb, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    if verb == "start":
        for number in range(int(sys.argv[3])):
            bootstrap(folder / f"agent{number:03}", f"agent{number:03}")
        return
    import httpx

    without_delay()
    if not (folder / ".git").exists():
        bootstrap(folder, "orion")
    with httpx.Client(timeout=60) as client:
        while cycle(folder, client, sys.argv[3].rstrip("/") + "/chat/completions"):
            pass


if __name__ == "__main__":
    main()
