"""The shared parts of tests of the post office: replies that hand on, and envelopes as they lie in a scratch system's files."""

import base64
import collections
import datetime
import json
import re
import time

from harness import wait_until

FOLDERS = ("outbox", "inbox", "handoffs", "archive", "dead-letter")


def reply(**keys):
    """A directive for the model server: its reply's block has these keys."""
    return "[[with:" + base64.b64encode(json.dumps(keys).encode()).decode() + "]]"


def handing(to, *texts, **fields):
    """A directive: hand these texts to an agent, in this order."""
    return reply(handoffs=[{"to": to, "task": text, **fields} for text in texts])


def moment(offset=0):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()


def parse(text):
    """The front matter as a dictionary of texts, with `body`; None when it is no envelope."""
    found = re.match(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL)
    if not found:
        return None
    fields = dict(line.split(": ", 1) for line in found[1].split("\n") if ": " in line)
    fields = {key: value.strip("\"'") for key, value in fields.items()}
    return {**fields, "body": found[2]}


def envelope(identity, kind="handoff", sender="operator", to="orion", body="Do it.\n", **fields):
    values = {"id": identity, "kind": kind, "from": sender, "to": to, "created": moment(), **fields}
    return "---\n" + "".join(f"{key}: {value}\n" for key, value in values.items()) + f"---\n{body}"


def drop(system, name, folder, identity, text):
    """As a careful person puts a file there: by a rename."""
    directory = system.tree(name) / "iac" / folder
    directory.mkdir(parents=True, exist_ok=True)
    aside = system.folder / f"{identity}.md"
    aside.write_text(text)
    aside.rename(directory / f"{identity}.md")


KNOWN = {}  # path -> (what tells that a file has changed, its envelope): tests look often, and archives grow


def envelope_at(path):
    """A file that changed within the last second is read each time, since it may change again under the same time."""
    status = path.stat()
    state = (status.st_ino, status.st_mtime_ns, status.st_size)
    if KNOWN.get(path, (None,))[0] != state:
        fields = parse(path.read_text(errors="replace"))
        if time.time() - status.st_mtime < 1:
            return fields
        KNOWN[path] = (state, fields)
    return KNOWN[path][1] and dict(KNOWN[path][1])


def in_folder(system, name, folder):
    """Every envelope there: a dictionary by id; files that move while they are read are left out."""
    found = {}
    for path in sorted((system.tree(name) / "iac" / folder).glob("*.md")):
        try:
            fields = envelope_at(path)
        except OSError:
            continue
        if fields:
            found[path.stem] = fields
    return found


def everywhere(system):
    """[(agent, folder, envelope)], in the order of an envelope's life."""
    return [
        (name, folder, fields)
        for folder in FOLDERS
        for name in system.names
        for fields in in_folder(system, name, folder).values()
    ]


def with_text(system, name, folder, text):
    """The envelopes of a folder whose body begins with this text."""
    return [fields for fields in in_folder(system, name, folder).values() if fields["body"].startswith(text)]


def wait_letter(system, name, folder, test, what, seconds=30):
    """The first envelope of the folder for which test is true."""

    def look():
        return next((fields for fields in in_folder(system, name, folder).values() if test(fields)), None)

    return wait_until(look, f"{what} in {name}'s {folder}", seconds, 0.05)


def listed(system, *words):
    return json.loads(system.cli(*words, "--json").stdout)["items"]


def prompts_of(model, agent):
    """All prompts of an agent's model, oldest first: (system prompt, task)."""
    return [(request["prompt"], request["task"]) for request in model.requests(prompts=True) if request["agent"] == agent]


def shown_in_prompts(model, text):
    """How often a text stood in a task."""
    return sum(text in request["task"] for request in model.requests())


def lateness(fields):
    """How long ago the envelope's time was over, in seconds."""
    return time.time() - seconds_of(fields["created"]) - int(fields["ttl_seconds"])


ENDS = {"finished", "read", "expired", "refused", "failed"}


def ends(system):
    """id -> the ends that the envelope's copies know of, over all agents: an end that its sender was only told is none."""
    found = collections.defaultdict(set)
    for name, folder, fields in everywhere(system):
        mine = fields["from"] == name and fields.get("to") != name
        if folder == "dead-letter" or (folder == "archive" and not (mine and fields["status"] != "finished")):
            if fields["status"] in ENDS:
                found[fields["id"]].add((fields["status"], name, folder))
    return found
