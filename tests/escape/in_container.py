"""The adversary of test_taken_over.py in a container: in_container.py CONTAINER FOLDER

In CONTAINER `agentos run` has the agent orion, whose worker is taken over, and /adversary holds `adversary`. FOLDER is
its /data. Every attempt is made by a process of the container without a sandbox, where it must work, or it would prove
nothing, and by the worker. Started by deploy/docker-test.
"""

import errno
import pathlib
import subprocess
import sys

from harness import wait_until
from test_taken_over import PRIVILEGED, RARE, attempts, results_of, stage

HELD = (-errno.EPERM, -errno.EACCES, -errno.EXDEV)
SOMEBODY = 4000111  # stands for a process that the container starts
CONTAINED = {"personality", "sched_setattr", "unshare descriptors"}  # refused by the container itself

OUTSIDE = """cd /data/stage; sleep 1000 & somebody=$!
for n in *; do (cd $n; sed -i s/%d/$somebody/g script; /adversary/adversary script results); done; kill $somebody"""


def give(place, folder):
    """To the container's user: some calls are for a file's owner alone."""
    owner = (folder / "agents/orion").stat()
    subprocess.run(["chown", "-R", f"{owner.st_uid}:{owner.st_gid}", place], check=True)


def outside(container, folder, names):
    """All at once, as it takes long to enter a container."""
    for name, number in names.items():
        place = folder / "stage" / str(number)
        stage(place)
        (place / "script").write_text("\n".join(attempts(f"/data/stage/{number}/own", f"/data/stage/{number}/foreign", SOMEBODY)[name]))
    give(folder / "stage", folder)
    subprocess.run(["docker", "exec", container, "sh", "-c", OUTSIDE % SOMEBODY], check=False)
    return {name: results_of((folder / "stage" / str(number) / "results").read_text()) for name, number in names.items()}


def inside(folder, lines):
    own = folder / "agents/orion/.agentos"
    (own / "results").unlink(missing_ok=True)
    (own / "script.new").write_text("\n".join(lines))
    (own / "script.new").rename(own / "script")

    def ended():
        text = (own / "results").read_text() if (own / "results").exists() else ""
        return text if "end\n" in text else None

    return results_of(wait_until(ended, "the script's end", pause=0.01))


def main(container, folder):
    names = {name: number for number, name in enumerate(attempts("", "", 0))}
    empty = folder / "agents/orion/empty"
    empty.mkdir(exist_ok=True)
    give(empty, folder)
    tried = outside(container, folder, names)
    shown = held = bad = 0
    for name in names:
        got = inside(folder, attempts("/data/agents/orion", "/data/stage/0/foreign", 1)[name])
        works = len(tried[name]) >= len(attempts("", "", 0)[name]) and tried[name][-1] >= 0
        shown, held = shown + works, held + (works and got[-1] in HELD)
        if got[-1] not in HELD or not (works or name in RARE | PRIVILEGED | CONTAINED):
            bad += 1
            print(f"BAD  outside: {tried[name]} inside: {got} {name}")
    print(f"a worker that was taken over: {shown} attempts work outside, {held} of them are refused inside, {bad} are bad")
    return 1 if bad or shown < 60 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], pathlib.Path(sys.argv[2])))
