"""Files that are taken away from under a running supervisor are made anew, and no second supervisor gets in meanwhile."""

import os
import shutil
import socket
import subprocess

from harness import BIN, PATIENCE, wait_until


def second_supervisor(system):
    command = [str(BIN / "agentos"), "run", "--data", str(system.data)]
    return subprocess.run(command, env=system.env, capture_output=True, text=True, timeout=120)


def test_a_removed_run_directory_is_made_anew_with_the_orders_and_lets_no_second_supervisor_in(make_system, model):
    system = make_system(["orion", "iris"], model=model).start()
    system.cli("stop", "iris")
    shutil.rmtree(system.data / ".run")
    refused = second_supervisor(system)
    assert refused.returncode == 75
    assert f"another supervisor runs on {system.data} already (pid {system.process.pid})" in refused.stderr
    system.wait_log("The run directory .* is made anew")
    wait_until(lambda: system.status() is not None, "the control socket")
    assert (system.data / ".run/lock").read_text().strip() == str(system.process.pid)
    assert second_supervisor(system).returncode == 75
    worker = system.worker()
    os.kill(worker, 9)
    wait_until(lambda: system.worker() not in (None, worker), "a new worker")
    assert "done" in system.cli("task", "orion", "Do it", "--wait").stderr
    system.cli("send", "orion", "Good morning")
    assert system.stop() == 0
    system.start(wait=False)
    system.wait_state("orion", "idle")
    assert system.states()["iris"] == "stopped"


def test_a_removed_control_socket_is_made_anew_and_clients_stay(make_system, model):
    system = make_system(model=model).start()
    watcher = socket.socket(socket.AF_UNIX)
    watcher.settimeout(30 * PATIENCE)
    watcher.connect(str(system.data / ".run/control"))
    watcher.sendall(b'{"verb":"events"}\n')
    lines = watcher.makefile()
    assert '"exit":0' in lines.readline().replace(" ", "")
    os.unlink(system.data / ".run/control")
    wait_until(lambda: system.status() is not None, "the control socket")
    system.wait_log("The control socket in .* is made anew")
    system.cli("task", "orion", "Do it", "--id", "seen", "--wait")
    assert any("seen" in line for line in lines)
    watcher.close()


def test_who_finds_no_socket_is_told_that_the_data_lock_is_held_and_by_whom(make_system, model):
    system = make_system(model=model, env={"POLL_INTERVAL": "600"}).start()
    os.unlink(system.data / ".run/control")
    told = system.cli("status", check=False)
    assert told.returncode == 75
    assert f"process {system.process.pid} holds the lock of {system.data}" in told.stderr
    system.process.terminate()
    system.process.wait()
    assert "no supervisor is running" in system.cli("status", check=False).stderr
