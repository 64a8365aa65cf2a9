"""A fault from any write, flush or rename of a worker while it works at a handoff: said, tried again, done once."""

import re
import signal
import subprocess

import pytest
from harness import alive, send_signal, wait_until
from post_office import drop, envelope, everywhere, in_folder
from test_cycle_kill import FIRST, STEP, traced

CALLS = ["renameat2", "fsync,fdatasync,syncfs", "pwrite64,write", "openat2", "unlinkat", "getdents64,read,pread64"]


def fail_at(pid, calls, fault, number):
    """strace that lets one of these calls fail once, among calls that concern files alone."""
    tracer = subprocess.Popen(
        ["strace", "-qq", "-f", "-p", str(pid), "-o", "/dev/null", "-e", f"trace={calls}",
         "-e", f"inject={calls}:error={fault}:when={number}"],
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: traced(pid), "strace attached", 20, 0.002)
    return tracer


def is_over(system, identity):
    done = in_folder(system, "orion", "archive").get(identity)
    told = [e for name, folder, e in everywhere(system) if name == "iris" and e.get("in_reply_to") == identity]
    return done and done["status"] == "finished" and told and not in_folder(system, "orion", "outbox")


@pytest.mark.parametrize("fault", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("calls", CALLS)
def test_a_fault_of_the_storage_while_a_handoff_is_done_neither_loses_nor_doubles_it(make_system, model, calls, fault):
    system = make_system(("orion", "iris"), model=model).start()
    number, given = FIRST, []
    for _ in range(max(2, 24 // STEP)):
        system.wait_state("orion", "idle")
        pid = system.worker("orion")
        tracer = fail_at(pid, calls, fault, number)
        identity = f"h-{number}"
        given.append(identity)
        # iris sends nothing herself here: her archive says that the work is hers, so its result is delivered to her.
        drop(system, "iris", "archive", identity, envelope(identity, sender="iris", to="orion"))
        drop(system, "orion", "handoffs", identity, envelope(identity, sender="iris", to="orion"))
        wait_until(lambda: is_over(system, identity) or not alive(pid), f"{identity} over after a fault of {calls}", 60, 0.02)
        send_signal(tracer.pid, signal.SIGINT)
        tracer.wait(20)
        wait_until(lambda: is_over(system, identity), f"{identity} over", 60, 0.02)
        number += STEP
    for identity in given:
        assert system.done()[identity] == 1
        results = [e for name, _, e in everywhere(system) if name == "iris" and e.get("in_reply_to") == identity]
        assert len(results) == 1
    system.assert_sound()


@pytest.mark.parametrize("path", ["shared/locks/press.md", ".run/lock-token"])
@pytest.mark.parametrize("fault", ["EIO", "EMFILE"])
def test_what_says_a_locks_token_and_can_not_be_read_at_start_is_neither_set_aside_nor_taken_for_absent(
    make_system, model, path, fault
):
    system = make_system(model=model).start()
    system.add("first", "Print it", lock="press")
    system.wait_done("first")
    shown = system.data / "shared/locks/press.md"
    token = int(wait_until(lambda: re.search(r"^holder: none\n(?:.*\n)*?token: (\d+)", shown.read_text(), re.M), "free again")[1])
    system.stop()
    if path == "shared/locks/press.md":
        (system.data / ".run/lock-token").unlink()  # then the locks' files alone say how far the tokens have grown
    # -D: the program that is started keeps its pid, and strace is its grandchild.
    system.prefix = ["strace", "-D", "-qq", "-o", "/dev/null", "-P", path, "-e", "trace=openat2",
                     "-e", f"inject=openat2:error={fault}:when=1..2"]
    system.start()
    system.wait_log(f"can't be read whole, and the read is tried again: cannot read {re.escape(path)}")
    system.add("second", "Print it again", lock="press")
    system.wait_done("second")
    assert not list(shown.parent.glob("*.unreadable-*"))
    assert int(re.search(r"^token: (\d+)", shown.read_text(), re.M)[1]) > token
    system.assert_sound()
