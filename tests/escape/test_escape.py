"""No process gets out of the sandbox: a table of attempts (attempts.c), living agents, and kernels that lack a part.

AGENTOS_BIN's folder also holds `attempts` and `inject`.
"""

import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile

import needs
import pytest
from harness import BIN, KEY, PATIENCE, wait_until

SHOWN_LEAST = 40
AGENTS = ("orion", "iris")
LIMITS = "    limits: {memory_mb: 128, open_files: 100}\n"


def landlock_there():
    shown = subprocess.run([BIN / "agentos", "doctor"], env={"LLM_BASE_URL": "offline", "DATA_DIR": "/tmp"}, capture_output=True, text=True)
    return re.search(r"^ok +Landlock", shown.stdout, re.MULTILINE) is not None


needs_landlock = pytest.mark.skipif(not landlock_there(), reason="this kernel has no Landlock: agents are refused here")


without_shadow = pytest.mark.skipif("asan" in str(BIN), reason="the sanitizer's shadow memory is beyond any limit")


def fields(path):
    lines = pathlib.Path(path).read_text().splitlines()
    return {line.split(":")[0]: line.split(":", 1)[1].strip() for line in lines if ":" in line}


def thread_fields(pid):
    return [fields(f"/proc/{pid}/task/{thread}/status") for thread in os.listdir(f"/proc/{pid}/task")]


def limit(pid, name):
    line = next(line for line in pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith(name))
    return line[len(name) :].split()[:2]


@needs_landlock
@without_shadow
@pytest.mark.parametrize("kernel", [[], ["--floor"]], ids=["this kernel", "the oldest kernel"])
def test_every_attempt_that_works_outside_is_refused_inside(kernel):
    result = subprocess.run([BIN / "attempts", *kernel], capture_output=True, text=True, timeout=300 * PATIENCE)
    lines = result.stdout.splitlines()
    assert result.returncode == 0, "\n".join(line for line in lines if not line.startswith("ok")) + result.stderr
    assert not [line for line in lines if line.startswith("BAD")]
    shown, refused, bad = map(int, re.findall(r"\d+", lines[-1]))
    assert shown == refused >= SHOWN_LEAST and bad == 0


@needs_landlock
@without_shadow
@pytest.mark.parametrize("role, least", [("auditor", 100), ("checker", 90 if os.geteuid() == 0 else 85), ("http", 100), ("exec", 90), ("git", 90)])
def test_no_other_role_gets_out_more_than_a_worker(role, least):
    """A checker may execute programs and read its own folder, which is its purpose. Without capabilities 89 of its attempts
    can be shown to work outside, as root 133."""
    result = subprocess.run([BIN / "attempts", "--as", role], capture_output=True, text=True, timeout=300 * PATIENCE)
    assert result.returncode == 0, "\n".join(line for line in result.stdout.splitlines() if not line.startswith("ok")) + result.stderr
    shown, refused, bad = map(int, re.findall(r"\d+", result.stdout.splitlines()[-1]))
    assert shown == refused >= least and bad == 0


# --- the operator's checker, as it runs ---

CHECKER = """#!/usr/bin/python3
import json, os, resource, signal, socket, subprocess, sys
def attempt(name, act):
    try:
        act()
        print(name, file=found)
    except (OSError, KeyError, MemoryError, ValueError, subprocess.SubprocessError):
        pass
import io
found = io.StringIO()
ppid, data = os.getppid(), {data!r}
attempt("positive", lambda: open("beside").read())
def end_child():
    child = subprocess.Popen(["sleep", "20"])
    child.terminate()
    if child.wait() != -signal.SIGTERM:
        raise OSError
attempt("own-child", end_child)
attempt("read-tree", lambda: open(data + "/agents/orion/persona.md").read())
attempt("read-roster", lambda: open(data + "/agents.yaml").read())
attempt("list", lambda: os.listdir(data))
attempt("passwd", lambda: open("/etc/passwd").read())
attempt("environ", lambda: open("/proc/%d/environ" % ppid).read())
attempt("write-tmp", lambda: open("/tmp/agentos-escaped", "w"))
attempt("write-beside", lambda: open("new", "w"))
attempt("change-beside", lambda: open("beside", "a"))
attempt("write-dev", lambda: open("/dev/shm/agentos-escaped", "w"))
attempt("tcp", lambda: socket.create_connection(("127.0.0.1", {port}), 1))
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
attempt("unix", lambda: socket.socket(socket.AF_UNIX))
attempt("pair", lambda: socket.socketpair())
attempt("signal-launcher", lambda: os.kill(ppid, 0))
attempt("signal-group", lambda: os.kill(0, 0))
attempt("signal-all", lambda: os.kill(-1, 0))
attempt("session", os.setsid)
attempt("group", lambda: os.setpgid(0, 0))
attempt("memory", lambda: bytearray(200 << 20))
attempt("limits", lambda: resource.setrlimit(resource.RLIMIT_DATA, (1 << 40, 1 << 40)))
attempt("many-files", lambda: [open("beside") for _ in range(100)])
attempt("child-writes", lambda: subprocess.run(["sh", "-c", "echo x > /tmp/agentos-escaped"], check=True, stderr=2))
attempt("children", lambda: [subprocess.Popen(["sleep", "1"]) for _ in range(100)])
attempt("secret", lambda: [os.environ["LLM_API_KEY"]])
print(json.dumps({{"audit_score": 0, "reasons": [" ".join(found.getvalue().split()) + " " + ",".join(sorted(os.environ))]}}))
"""


@needs_landlock
@without_shadow
def test_a_checker_reaches_nothing_writes_nothing_and_signals_its_own_children_alone(make_system, model, tmp_path):
    program = tmp_path / "check"
    yaml = f"    reward_audit: {{method: command, command: [{program}]}}\n"
    system = make_system(model=model, extra=yaml)
    program.write_text(CHECKER.format(data=str(system.data), port=model.port))
    program.chmod(0o755)
    (tmp_path / "beside").write_text("what lies beside it\n")
    outside = subprocess.run([str(program)], cwd=tmp_path, env={"LLM_API_KEY": "x"}, capture_output=True, text=True)
    worked = set(json.loads(outside.stdout)["reasons"][0].split()[:-1])
    os.unlink("/tmp/agentos-escaped")
    pathlib.Path("/dev/shm/agentos-escaped").unlink(missing_ok=True)
    (tmp_path / "new").unlink()
    (tmp_path / "beside").write_text("what lies beside it\n")
    assert len(worked) >= 12, worked
    system.start()
    system.add("judged", "Explain leases")
    said = wait_until(lambda: re.search(r"^- audit_reasons: (.*)$", system.read("rewards.md"), re.MULTILINE), "the audit").group(1)
    assert said == "positive own-child HOME,LANG,PATH", said
    assert not os.path.exists("/tmp/agentos-escaped") and not (tmp_path / "new").exists()


def test_a_checker_in_an_agents_own_tree_is_not_run(make_system, model):
    system = make_system(model=model)
    program = system.tree() / "outputs" / "check"
    (system.data / "agents.yaml").write_text(
        (system.data / "agents.yaml").read_text() + f"    reward_audit: {{method: command, command: [{program}]}}\n"
    )
    system.start()
    program.write_text("#!/bin/sh\necho '{\"audit_score\": 1}'\n")
    program.chmod(0o755)
    system.add("judged", "Explain leases")
    wait_until(lambda: "rewrite its own judge" in system.read("rewards.md"), "the refusal")
    assert "- audit_score: none" in system.read("rewards.md")


# --- living agents ---


@pytest.fixture
def agents(make_system, model):
    system = make_system(AGENTS, model=model, extra=LIMITS).start()
    for name in AGENTS:
        system.add(f"first-{name}", "Do it", name=name)
        system.wait_done(f"first-{name}", name=name)
    return system


@needs_landlock
def test_every_thread_of_a_worker_is_confined_and_has_no_capability(agents):
    for name in AGENTS:
        for thread in thread_fields(agents.worker(name)):
            assert thread["NoNewPrivs"] == "1"
            assert thread["Seccomp"] == "2" and int(thread["Seccomp_filters"]) >= 2
            assert {thread[f"Cap{kind}"].strip("0") for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {""}


@needs_landlock
def test_the_gateway_is_confined_and_has_no_capability(agents):
    for thread in thread_fields(agents.processes()["gateway"]):
        assert thread["NoNewPrivs"] == "1" and thread["Seccomp"] == "2"
        assert {thread[f"Cap{kind}"].strip("0") for kind in ("Prm", "Eff", "Bnd", "Amb")} == {""}


@needs_landlock
def test_the_zygote_has_no_capability_to_hand_on(agents):
    status = fields(f"/proc/{agents.processes()['zygote']}/status")
    assert status["NoNewPrivs"] == "1"
    assert {status[f"Cap{kind}"].strip("0") for kind in ("Prm", "Eff", "Bnd", "Amb")} == {""}


@needs_landlock
@needs.prying
def test_a_worker_inherits_no_descriptor(agents):
    folder = str(agents.tree("orion"))
    worker = agents.worker("orion")
    targets = {int(fd): os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")}
    assert targets.pop(0) == targets.pop(1) == "/dev/null"
    error = targets.pop(2)  # a pipe that nobody else has (contract section 11)
    assert error.startswith("pipe:") and error != os.readlink(f"/proc/{agents.worker('iris')}/fd/2")
    sockets = [target for target in targets.values() if target.startswith("socket:")]
    assert len(sockets) == 1, "the one connection to the supervisor"
    for target in targets.values():
        assert target == folder or target.startswith((folder + "/", "socket:", "pipe:", "anon_inode:")), target


@needs_landlock
def test_a_worker_has_its_limits_and_leaves_no_core(agents):
    worker = agents.worker()
    assert limit(worker, "Max open files") == ["100", "100"]
    assert limit(worker, "Max core file size") == ["0", "0"]
    if "asan" not in str(BIN):
        assert limit(worker, "Max data size") == [str(128 * 1024 * 1024)] * 2
        data_kb = int(fields(f"/proc/{worker}/status")["VmData"].split()[0])
        assert data_kb < 32 * 1024, "the stacks of nng's threads must leave room for work"


@needs_landlock
@without_shadow
def test_an_agent_that_takes_more_memory_than_its_limit_harms_no_other(make_system, model):
    system = make_system(AGENTS, model=model, extra="    limits: {memory_mb: 16}\n").start()
    system.append("\n## big\ntask: " + 12_000_000 * "x" + "\n")
    system.wait_log("out of memory; this process ends and is started again")
    system.wait_log("Worker of agent 'orion' .* has ended: exit 71")
    meant = "exit 71, which means out of memory (limits.memory_mb is 16)"
    wait_until(lambda: any(meant in problem for problem in system.agent_status()["problems"]), "the problem in status")
    system.add("other", "Do it", name="iris")
    system.wait_done("other", name="iris")
    assert system.agent_status("iris")["restarts"] == 0


@needs_landlock
@without_shadow
@pytest.mark.skipif(os.geteuid() != 0 or os.uname().machine != "x86_64", reason="needs root, and x86-64's registers")
@needs.attaching
def test_who_takes_over_a_living_worker_gets_nowhere_and_the_worker_lives_on(agents):
    foreign = agents.tree("iris") / "persona.md"
    text, mode = foreign.read_text(), foreign.stat().st_mode
    worker, supervisor = agents.worker("orion"), agents.process.pid
    result = subprocess.run([BIN / "inject", str(worker), str(supervisor), str(foreign)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    said = dict(line.split(": ") for line in result.stdout.splitlines())
    assert said.pop("getpid") == str(worker), "the way in works"
    assert int(said.pop("look at a name outside")) >= 0, "and so does the name of the file"
    assert said.pop("chmod") == "0", "libraries are told that it is done"
    assert said.pop("memory beyond the limit") in ("-ENOMEM", "-EPERM")
    assert len(said) >= 15
    assert {call: answer for call, answer in said.items() if answer not in ("-EPERM", "-EACCES")} == {}
    assert foreign.read_text() == text and foreign.stat().st_mode == mode
    agents.add("afterwards", "Go on")
    agents.wait_done("afterwards")
    assert agents.worker("orion") == worker


@needs_landlock
def test_names_are_still_resolved_inside_the_gateways_sandbox(make_system, model):
    system = make_system(env={"LLM_BASE_URL": model.url().replace("127.0.0.1", "localhost")}).start()
    system.add("named", "Do it")
    system.wait_done("named")


@needs_landlock
@needs.mounting
def test_a_resolver_file_that_is_replaced_is_read_by_the_gateway(make_system, model):
    """As network managers do it: a new file renamed over the old one, which no rule of the sandbox knows."""
    system = make_system(model=model, env={"LLM_BASE_URL": model.url().replace("127.0.0.1", "model.test")})
    etc = system.folder / "etc"
    subprocess.run(["cp", "-a", "/etc", etc], check=True)
    (etc / "nsswitch.conf").write_text("hosts: files\n")
    system.prefix = ["unshare", "-m", "sh", "-c", f'mount --bind {etc} /etc && exec "$@"', "sh"]
    system.start()
    system.add("first", "Do it")
    system.wait_state("orion", "waiting")
    (etc / "hosts.new").write_text("127.0.0.1 localhost model.test\n")
    (etc / "hosts.new").rename(etc / "hosts")
    system.wait_done("first", seconds=60)
    assert "/etc/hosts is another file now" in system.log()


@needs_landlock
@needs.mounting
def test_a_question_that_is_under_way_when_a_resolver_file_is_replaced_is_asked_once(make_system, model):
    system = make_system(model=model, scenario="hold")
    etc = system.folder / "etc"
    subprocess.run(["cp", "-a", "/etc", etc], check=True)
    system.prefix = ["unshare", "-m", "sh", "-c", f'mount --bind {etc} /etc && exec "$@"', "sh"]
    system.start().add("under-way", "Do it")
    model.wait_open()
    gateway = system.processes()["gateway"]
    (etc / "hosts.new").write_text("127.0.0.1 localhost\n")
    (etc / "hosts.new").rename(etc / "hosts")
    system.wait_log("/etc/hosts is another file now")
    model.release()
    system.wait_done("under-way")
    wait_until(lambda: system.processes().get("gateway") not in (None, gateway), "the next gateway")
    assert len(model.requests()) == 1


CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_another_user_of_the_machine_reaches_no_socket_of_the_supervisors(agents):
    others = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", CONNECT]
    run = agents.data / ".run"
    for folder in (agents.folder, agents.data):
        folder.chmod(0o755)
    sockets = [path for path in run.rglob("*") if path.is_socket()]
    assert len(sockets) >= 2, "the control socket and the workers'"
    for path in sockets:
        refused = subprocess.run([*others, path], capture_output=True, text=True)
        assert "PermissionError" in refused.stderr, path
    for path in [run, *run.rglob("*")]:
        path.chmod(0o777)
    assert subprocess.run([*others, run / "control"], capture_output=True).returncode == 0, "it is their modes that refuse"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_another_user_of_the_machine_lists_no_data_directory_that_the_program_made_until_its_owner_does_what_check_says():
    with tempfile.TemporaryDirectory() as above:
        os.chmod(above, 0o755)
        data, env = pathlib.Path(above, "data"), {"LLM_BASE_URL": "offline"}
        subprocess.run([BIN / "agentos", "init", data], check=True, capture_output=True)
        listing = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", data]
        assert "Permission denied" in subprocess.run(listing, capture_output=True, text=True).stderr
        said = subprocess.run([BIN / "agentos", "check", "--data", data], env=env, capture_output=True, text=True).stdout
        advice = re.search(r"`(chmod o\+rx)` of that folder", said).group(1)
        subprocess.run([*advice.split(), data], check=True)
        assert subprocess.run(listing, capture_output=True, text=True).stdout == "agents.yaml\n"


def test_status_says_what_holds(agents):
    assert re.fullmatch(r"landlock [2-9]\d*, seccomp", agents.status()["supervisor"]["sandbox"])


# --- kernels that lack a part ---


def poorer(make_system, model, hidden, mode):
    system = make_system(model=model, env={"AGENTOS_SANDBOX": mode})
    system.prefix = [str(BIN / "attempts"), "--hide", hidden]
    return system


@pytest.mark.parametrize("hidden", ["landlock", "seccomp"])
def test_require_fails_closed_and_says_what_is_missing(make_system, model, hidden):
    system = poorer(make_system, model, hidden, "require")
    assert system.run_to_end() == 78
    assert re.search(rf"ERROR .*needs .*{hidden}", system.log(), re.IGNORECASE)
    assert "doctor" in system.log() and not (system.data / "agents").exists()


@pytest.mark.parametrize("hidden", ["landlock", "seccomp"])
def test_best_effort_goes_on_and_says_what_is_missing(make_system, model, hidden):
    system = poorer(make_system, model, hidden, "best-effort").start()
    assert re.search(rf"WARN .*best-effort.*{hidden}", system.log(), re.IGNORECASE)
    assert system.status()["supervisor"]["sandbox"].startswith("best-effort: ")
    assert f"no {hidden}" in system.status()["supervisor"]["sandbox"]
    system.add("anyway", "Do it")
    system.wait_done("anyway")
    if hidden == "landlock":
        assert {thread["Seccomp"] for thread in thread_fields(system.worker())} == {"2"}


@needs_landlock
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whose capabilities are dropped")
def test_data_that_root_reaches_only_by_its_capabilities_is_refused_with_a_sentence(make_system, model):
    system = make_system(model=model)
    os.chown(system.folder, 12345, 12345)
    system.folder.chmod(0o700)
    try:
        assert system.run_to_end() == 78
        assert re.search(r"ERROR .*data directory can't be reached.*another user's", system.log())
    finally:
        os.chown(system.folder, 0, 0)


def test_off_is_said_loudly(make_system, model):
    system = make_system(model=model, env={"AGENTOS_SANDBOX": "off"}).start()
    assert re.search(r"WARN .*AGENTOS_SANDBOX is 'off'", system.log())
    assert system.status()["supervisor"]["sandbox"] == "off"


def test_doctor_says_what_a_poorer_kernel_lacks(tmp_path):
    env = {"LLM_BASE_URL": "offline", "DATA_DIR": str(tmp_path)}
    command = [BIN / "agentos", "doctor"]
    hidden = [BIN / "attempts", "--hide", "landlock", *command]
    assert re.search(r"^FAIL +Landlock .*switched off", subprocess.run(hidden, env=env, capture_output=True, text=True).stdout, re.MULTILINE)
    assert subprocess.run(hidden, env=env, capture_output=True).returncode == 78


@needs_landlock
def test_doctor_says_of_each_living_process_what_it_could_still_do(agents):
    said = agents.cli("doctor", check=False).stdout
    rows = {int(pid): text for pid, text in re.findall(r"^ok +process +pid (\d+), seen: (.*)$", said, re.MULTILINE)}
    processes = agents.processes()
    assert set(processes.values()) <= set(rows)
    for name in (*AGENTS, "gateway"):
        sealed = r"landlock \d+, " + ("network" if name == "gateway" else "no network socket")
        assert re.search(rf"; reported by itself: agentos-.*\[sealed: {sealed}\]$", rows[processes[name]])
        row = rows[processes[name]]
        assert f"uid {os.geteuid()}, no capabilities, no new privileges, " in row
        assert int(re.search(r"(\d+) system call filter", row).group(1)) == int(fields(f"/proc/{processes[name]}/status")["Seccomp_filters"])
    assert re.search("; reported by itself: [^;]*$", rows[processes["supervisor"]])[0].count("sealed") == 0
    assert "no system call filter" in rows[processes["supervisor"]] and re.search(r"\d+ descriptors|descriptors are not shown", row)


@needs_landlock
def test_doctor_says_whether_the_model_can_be_reached(tmp_path, model):
    def ask(url):
        env = {"LLM_BASE_URL": url, "DATA_DIR": str(tmp_path), "LLM_API_KEY": KEY}
        result = subprocess.run([BIN / "agentos", "doctor"], env=env, capture_output=True, text=True)
        return result.returncode, re.search(r"^(\w+) +model (.*)", result.stdout, re.MULTILINE).groups()

    status, (mark, text) = ask(model.url())
    assert status == 0 and mark == "ok" and "HTTP" in text
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        status, (mark, text) = ask(f"http://127.0.0.1:{closed.getsockname()[1]}/v1")
    assert status == 69 and mark == "FAIL"
    assert ask("offline")[0] == 0
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


# --- agentos exec ---


def inside(system, *command, name="orion", check=False):
    return system.cli("exec", name, "--", *command, check=check)


@needs_landlock
def test_exec_shows_the_agents_own_tree_and_hands_on_the_exit_code(agents):
    assert inside(agents, "cat", "persona.md", check=True).stdout == agents.read("persona.md")
    assert inside(agents, "pwd", check=True).stdout.strip() == str(agents.tree())
    assert "init: agent filesystem" in inside(agents, "git", "log", "--format=%s", check=True).stdout
    assert inside(agents, "sh", "-c", "exit 23").returncode == 23
    assert inside(agents, "sh", "-c", "echo new > made && mv made moved && rm moved", check=True).stdout == ""


OLDER_KERNEL = {"LD_PRELOAD": str(BIN / "older_kernel.so")}
SIGNALLER = """
import ctypes, os, signal, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, act):
    try:
        act()
        print(name, flush=True)
    except OSError:
        pass
def raw(*arguments):
    if libc.syscall(*map(ctypes.c_long, arguments)) != 0:
        raise OSError(ctypes.get_errno(), "refused")
child = subprocess.Popen(["sleep", "20"])
attempt("own child", lambda: child.send_signal(signal.SIGTERM))
attempt("its end", lambda: raw(0) if child.wait() == -signal.SIGTERM else raw(-1))
deep = subprocess.Popen(["sh", "-c", "sleep 20 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
attempt("grandchild", lambda: os.kill(int(deep.stdout.readline()), signal.SIGKILL))
deep.wait()
orphan = subprocess.run(["sh", "-c", "sleep 20 >/dev/null & echo $!"], stdout=subprocess.PIPE, text=True)
attempt("orphan", lambda: os.kill(int(orphan.stdout), signal.SIGKILL))
attempt("itself", lambda: os.kill(os.getpid(), 0))
signal.signal(signal.SIGUSR1, lambda *_: None)
attempt("own handler", lambda: [os.kill(os.getpid(), signal.SIGUSR1) for _ in range(100)])
attempt("own thread", lambda: raw(234, os.getpid(), os.getpid(), 0))
group = subprocess.Popen(["sleep", "20"], process_group=0) if sys.version_info >= (3, 11) else child
for name, pid in zip(sys.argv[1::2], map(int, sys.argv[2::2])):
    attempt(name + " by kill", lambda: os.kill(pid, 0))
    attempt(name + " by a wide number", lambda: raw(62, 1 << 32 | pid & 0xFFFFFFFF, 0))
    attempt(name + " by tkill", lambda: raw(200, pid, 0))
    attempt(name + " by tgkill", lambda: raw(234, pid, pid, 0))
    attempt(name + " by pidfd", lambda: signal.pidfd_send_signal(os.pidfd_open(pid), 0))
attempt("parent", lambda: os.kill(os.getppid(), 0))
group.kill()
print("end", abs(group.wait()))
"""


def on_kernel(system, kernel, *command):
    command = [BIN / "agentos", "exec", "orion", "--", *command]
    return subprocess.run(command, env={**system.env, **kernel}, capture_output=True, text=True, timeout=60 * PATIENCE)


ITS_OWN = ["own child", "its end", "grandchild", "orphan", "itself", "own handler", "own thread"]


@needs_landlock
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="knows the calls of x86-64")
@pytest.mark.parametrize("kernel", [{}, OLDER_KERNEL], ids=["this kernel", "a kernel without a signal scope"])
def test_a_command_may_signal_its_own_children_and_nobody_else(agents, kernel):
    ended = on_kernel(agents, kernel, "sh", "-c", "sleep 20 & kill $!; wait $!; test $? = 143 && kill -0 $$")
    assert ended.returncode == 0 and "not permitted" not in ended.stderr
    victim = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    others = {"victim": victim.pid, "supervisor": agents.process.pid, "worker": agents.worker("orion"), "neighbour": agents.worker("iris")}
    others |= {"init": 1, "a group": -victim.pid}
    words = [word for name, pid in others.items() for word in (name, str(pid))]
    everybody = ["everybody", "-1", "own group", "0"] if kernel else []  # Landlock passes over others in silence
    outside = subprocess.run(["python3", "-c", SIGNALLER, *words], capture_output=True, text=True).stdout.split("\n")
    inside = on_kernel(agents, kernel, "python3", "-c", SIGNALLER, *words, *everybody).stdout.split("\n")
    victim.kill()
    victim.wait()
    assert len(set(outside) - {*ITS_OWN, "end 9", ""}) >= 12, "it works outside"
    assert inside == [*ITS_OWN, "end 9", ""]


@needs_landlock
def test_a_command_ends_also_where_the_caller_ignores_how_its_children_end(agents):
    command = ["bash", "-c", "trap '' CHLD; exec \"$@\"", "bash", BIN / "agentos", "exec", "orion", "--", "sh", "-c", "exit 23"]
    assert subprocess.run(command, env={**agents.env, **OLDER_KERNEL}, timeout=60 * PATIENCE, check=False).returncode == 23


@needs_landlock
def test_a_command_that_is_watched_hands_on_how_it_ended_and_ends_with_the_program(agents):
    assert on_kernel(agents, OLDER_KERNEL, "sh", "-c", "exit 23").returncode == 23
    assert on_kernel(agents, OLDER_KERNEL, "sh", "-c", "kill -TERM $$").returncode == 143
    assert on_kernel(agents, OLDER_KERNEL, "no-such-program").returncode == 66
    command = [BIN / "agentos", "exec", "orion", "--", "sh", "-c", "echo $$; exec sleep 200"]
    with subprocess.Popen(command, env={**agents.env, **OLDER_KERNEL}, stdout=subprocess.PIPE, text=True) as program:
        pid = int(program.stdout.readline())
        program.terminate()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the command's end")


@needs_landlock
@pytest.mark.parametrize(
    "command",
    [
        "cat /etc/passwd",
        "cat ../iris/persona.md",
        "ls ..",
        "ls /proc",
        "echo x >> ../../agents.yaml",
        "echo x > /tmp/escaped",
        "ln ../iris/persona.md stolen",
        "kill -0 $PPID",
        "mount -t tmpfs none /mnt",
        "unshare -U true",
        "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))'",
        "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{control}\")'",
        "cp /bin/true x && chmod u+s x && test -u x",
        "cp /bin/true x && ./x",
        "ln -s /etc/passwd planted",
        "mkfifo planted",
        "python3 -c 'import socket; socket.socketpair()'",
    ],
)
def test_exec_refuses_what_the_agent_is_refused(agents, model, command):
    command = command.replace("{port}", str(model.port)).replace("{control}", str(agents.data / ".run/control.sock"))
    assert inside(agents, "sh", "-c", command).returncode != 0
    assert not os.path.exists("/tmp/escaped")


@needs_landlock
def test_exec_hands_on_no_key_and_no_setting(agents):
    assert KEY not in inside(agents, "env", check=True).stdout
    assert "LLM_" not in inside(agents, "env", check=True).stdout


def test_exec_says_what_is_wrong(agents):
    assert inside(agents, "true", name="nobody").returncode == 66
    assert agents.cli("exec", "orion", check=False).returncode == 64
    assert agents.cli("exec", "orion", "--", check=False).returncode == 64
    assert inside(agents, "no-such-program").returncode == 66
