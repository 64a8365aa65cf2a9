"""A stranger's afternoon at queue.md: vim, VS Code, sed -i, Syncthing, PowerShell and `docker pause`, in turn on a running
system. Every task is done once, and every text that is no task is explained. (A full process table: test_limits.py.)"""

import os
import signal
import subprocess

from harness import task_block, wait_until


def vim_saves(path, change):
    """The backup is the old file, renamed; the new one is written under the old name."""
    text = path.read_text()
    path.rename(f"{path}~")
    path.write_text(change(text))
    os.unlink(f"{path}~")


def code_saves(path, change):
    """In place: the file is emptied and filled again."""
    text = path.read_text()
    with open(path, "r+") as file:
        file.truncate()
        file.write(change(text))


def test_nothing_that_people_do_to_the_queue_file_loses_or_doubles_a_task(system, model):
    queue = system.tree() / "queue.md"
    system.cli("pause", "orion")
    vim_saves(queue, lambda text: text + task_block("by-vim", "With vim"))
    code_saves(queue, lambda text: text + task_block("by-code", "With Code"))
    system.append(task_block("by-sed", "Wiht sed"))
    subprocess.run(["sed", "-i", "s/Wiht/With/", str(queue)], check=True)
    copy = queue.with_name("queue.sync-conflict-20260429-101010-ABCDEFG.md")
    copy.write_text(task_block("by-syncthing", "From the other laptop"))
    system.append(task_block("by-powershell", "With >>").encode("utf-16-le"))
    system.cli("resume", "orion")
    system.wait_done("by-vim", "by-code", "by-sed")

    def told():
        said = "\n".join(system.agent_status()["problems"])
        return copy.name in said and "UTF-16" in said

    wait_until(told, "the conflict copy and the UTF-16 part in status", 60, 0.1)
    family = [system.process.pid, *system.family()]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    system.add("while-paused", "Written meanwhile")
    for pid in reversed(family):
        os.kill(pid, signal.SIGCONT)
    system.wait_done("while-paused")
    assert copy.exists() and "by-powershell" in queue.read_bytes().replace(b"\0", b"").decode(errors="replace")
    system.assert_each_once(["by-vim", "by-code", "by-sed", "while-paused"])
    assert not {"From the other laptop", "With >>"} & set(model.asked())
    assert system.agent_status()["restarts"] == 0
