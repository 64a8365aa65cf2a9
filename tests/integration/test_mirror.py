"""AGENTOS_GIT_REMOTE: each agent's branch is pushed after its commits, never forced (contract section 12)."""

import base64
import contextlib
import http.server
import itertools
import os
import pathlib
import pwd
import socket
import socketserver
import subprocess
import threading
import time
import traceback

import pytest

from harness import agents_yaml, child_table, free_port, program_of, send_signal, wait_until

HTTP_BACKEND = "/usr/lib/git-core/git-http-backend"
USER = pwd.getpwuid(os.getuid()).pw_name
QUIET = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "PATH": os.environ["PATH"], "HOME": "/nonexistent"}


def git(repository, *arguments, check=True):
    done = subprocess.run(["git", "-c", "safe.directory=*", "-C", repository, *arguments], env=QUIET, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert not check or done.returncode == 0, done.stdout
    return done.stdout.strip()


def tip(repository):
    said = git(repository, "rev-parse", "refs/heads/main", check=False)
    return said if len(said) == 40 else None


def is_mirrored(system, remote, name="orion"):
    def same():
        return remote.exists() and tip(remote) == (system.tip(name) or "").strip()

    wait_until(same, f"{name}'s branch is at {remote}")


def mirror_of(system):
    [pid] = [pid for pid in child_table().get(system.process.pid, []) if program_of(pid) == "agentos-mirror"]
    return pid


def problem_of(system, words, name="orion"):
    wait_until(lambda: any(words in problem for problem in system.agent_status(name)["problems"]), f"a problem says {words}")


def no_problem(system, name="orion"):
    wait_until(lambda: system.agent_status(name)["problems"] == [], "no problem is left")


@pytest.fixture
def remotes(tmp_path):
    folder = tmp_path / "remotes"
    folder.mkdir()
    return folder


def mirrored(make_system, model, remotes, url=None, agents=("orion",), **env):
    return make_system(agents, model=model, env={"AGENTOS_GIT_REMOTE": url or f"file://{remotes}/{{agent}}.git", **env})


def test_every_commit_is_pushed_to_a_repository_for_each_agent_which_is_made_where_it_is_missing(make_system, model, remotes):
    system = mirrored(make_system, model, remotes, agents=("orion", "iris"))
    system.start()
    for name in ("orion", "iris"):
        is_mirrored(system, remotes / f"{name}.git", name)
    system.add("one")
    system.wait_done("one")
    is_mirrored(system, remotes / "orion.git")
    assert git(remotes / "orion.git", "log", "--format=%s").splitlines() == ["orion(task): one", "init: agent filesystem"]
    assert git(remotes / "orion.git", "fsck", "--strict", "--full") == ""
    assert git(remotes / "iris.git", "log", "--format=%s") == "init: agent filesystem"


def test_the_branch_of_an_agent_of_another_node_is_left_to_that_node(make_system, model, remotes):
    system = mirrored(make_system, model, remotes, agents=("iris", "orion"), AGENTOS_NODE="here")
    (system.data / "agents.yaml").write_text(agents_yaml(["iris"], "    node: there\n") + agents_yaml(["orion"]).removeprefix("agents:\n"))
    system.start(wait=False)
    is_mirrored(system, remotes / "orion.git")
    system.add("one")
    system.wait_done("one")
    is_mirrored(system, remotes / "orion.git")
    assert "The agent's branch is not pushed" not in system.log()
    assert not any("git remote" in problem for problem in system.agent_status("iris")["problems"])


def test_a_branch_that_went_another_way_is_reported_and_left(make_system, model, remotes, tmp_path):
    system = mirrored(make_system, model, remotes)
    system.start()
    remote, other = remotes / "orion.git", tmp_path / "other"
    is_mirrored(system, remote)
    git(tmp_path, "clone", "-q", remote, other)
    git(other, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "--allow-empty", "-m", "mine")
    git(other, "push", "-q", "origin", "HEAD:main")
    theirs = tip(remote)
    system.add("one")
    system.wait_done("one")
    problem_of(system, "the remote's branch went another way and is left as it is")
    system.wait_log("The agent's branch is not pushed to file://")
    assert tip(remote) == theirs
    system.add("two")
    system.wait_done("two")  # work goes on
    git(remote, "update-ref", "refs/heads/main", f"{theirs}~1")  # a person puts it right
    is_mirrored(system, remote)
    no_problem(system)
    system.wait_log("The agent's branch is at the remote again")


def test_commits_of_a_time_without_the_mirror_are_pushed_when_it_is_back(make_system, model, remotes):
    system = mirrored(make_system, model, remotes)
    system.start()
    is_mirrored(system, remotes / "orion.git")
    for task in ("one", "two"):
        send_signal(mirror_of(system), 9)
        system.add(task)
        system.wait_done(task)
        is_mirrored(system, remotes / "orion.git")
    send_signal(mirror_of(system), 9)
    system.add("three")
    system.wait_done("three")
    system.stop()
    system.start()
    is_mirrored(system, remotes / "orion.git")


@contextlib.contextmanager
def git_daemon(remotes, port):
    command = ["/usr/lib/git-core/git-daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", f"--base-path={remotes}", "--export-all",
               "--enable=receive-pack", "--informative-errors"]
    daemon = subprocess.Popen(command, env=QUIET, stderr=subprocess.DEVNULL)

    def answers():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    try:
        wait_until(answers, "git daemon answers")
        yield
    finally:
        daemon.kill()
        daemon.wait()


def bare(remotes, name="orion"):
    git(remotes, "init", "-q", "--bare", "-b", "main", f"{name}.git")
    return remotes / f"{name}.git"


def test_a_remote_that_is_down_costs_no_work_and_gets_everything_when_it_is_back(make_system, model, remotes):
    port, remote = free_port(), bare(remotes)
    system = mirrored(make_system, model, remotes, url=f"git://127.0.0.1:{port}/{{agent}}.git")
    system.start()
    problem_of(system, "the branch can't be pushed")
    system.add("one")
    system.wait_done("one")
    with git_daemon(remotes, port):
        is_mirrored(system, remote)
        no_problem(system)
    system.add("two")
    system.wait_done("two")
    problem_of(system, "the branch can't be pushed")
    with git_daemon(remotes, port):
        is_mirrored(system, remote)
    assert git(remote, "fsck", "--strict", "--full") == ""


def test_a_remote_that_ends_each_push_is_tried_after_pauses_that_double(make_system, model, remotes):
    times = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        port = listener.getsockname()[1]
        mirrored(make_system, model, remotes, url=f"git://127.0.0.1:{port}/{{agent}}.git").start()
        for _ in range(3):
            line, _ = listener.accept()
            times.append(time.monotonic())  # before the push fails, so that no pause seems shorter than it is
            line.close()
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert all(pause > least for pause, least in zip(pauses, (1.5, 3))), pauses


HTTP_SEEN = []  # what the HTTP remotes of this process were asked, and what went wrong in them; shown by a test that fails


class Backend(http.server.BaseHTTPRequestHandler):
    """git-http-backend behind a password."""

    protocol_version = "HTTP/1.0"

    def do_POST(self):
        if self.headers.get("Authorization") != self.server.wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = {**QUIET, "GIT_PROJECT_ROOT": str(self.server.remotes), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
               "QUERY_STRING": query, "REQUEST_METHOD": self.command, "REMOTE_USER": "someone",
               "CONTENT_TYPE": self.headers.get("Content-Type", ""), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", "")}
        length = self.headers.get("Content-Length")
        body = self.rfile.read(int(length)) if length else self.chunks()
        env["CONTENT_LENGTH"] = str(len(body))
        said = subprocess.run([HTTP_BACKEND], env=env, input=body, stdout=subprocess.PIPE, check=True).stdout
        self.wfile.write(b"HTTP/1.0 200 OK\r\n" + said)
        self.log_request(200, len(said))

    do_GET = do_POST

    def chunks(self):
        body = b""
        while "chunked" in self.headers.get("Transfer-Encoding", ""):
            size = int(self.rfile.readline(), 16)
            body += self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                break
        return body

    def log_message(self, form, *args):
        HTTP_SEEN.append(f"{self.server.server_port} from {self.client_address[1]}: {form % args}")


class BackendServer(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request, client_address):
        HTTP_SEEN.append(f"{self.server_port} from {client_address[1]}: {traceback.format_exc()}")


@contextlib.contextmanager
def http_backend(remotes):
    server = BackendServer(("127.0.0.1", 0), Backend)
    server.remotes, server.wanted = remotes, "Basic " + base64.b64encode(b"robot:s3cr3t-token").decode()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def backend(remotes):
    with http_backend(remotes) as server:
        yield server


def test_credentials_are_shown_to_the_remote_that_asks_for_them_and_stand_nowhere_else(make_system, model, remotes, backend, tmp_path):
    remote, file = bare(remotes), tmp_path / "credentials"
    file.write_text("robot:wrong-token\n")
    system = mirrored(make_system, model, remotes, url=f"http://127.0.0.1:{backend.server_port}/{{agent}}.git",
                      AGENTOS_GIT_CREDENTIALS_FILE=str(file))
    system.start()
    problem_of(system, "the remote refuses the credentials of AGENTOS_GIT_CREDENTIALS_FILE")
    file.write_text("robot:s3cr3t-token\n")  # read anew for each push
    is_mirrored(system, remote)
    no_problem(system)
    assert "s3cr3t-token" not in system.log()
    pid = mirror_of(system)
    assert b"s3cr3t-token" not in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    for path in system.data.rglob("*"):
        assert not path.is_file() or b"s3cr3t-token" not in path.read_bytes(), path


def test_a_remote_that_wants_credentials_where_there_are_none_is_told_as_such(make_system, model, remotes, backend):
    bare(remotes)
    system = mirrored(make_system, model, remotes, url=f"http://127.0.0.1:{backend.server_port}/{{agent}}.git")
    system.start()
    problem_of(system, "AGENTOS_GIT_CREDENTIALS_FILE is not set")


@contextlib.contextmanager
def ssh_server(folder, port):
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    os.chmod(folder, 0o700)
    (folder / "authorized").write_text((folder / "client.pub").read_text())
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n")
    if os.getuid() == 0:  # where sshd parts with its privileges
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", folder / "config"], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        server.kill()
        server.wait()


def test_a_push_over_ssh_wants_a_key_and_a_host_that_is_known(make_system, model, remotes, tmp_path):
    remote, keys, port, known = bare(remotes), tmp_path / "keys", free_port(), tmp_path / "known_hosts"
    keys.mkdir()
    with ssh_server(keys, port):
        known.write_text("127.0.0.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n")
        system = mirrored(make_system, model, remotes, url=f"ssh://{USER}@127.0.0.1:{port}{remotes}/{{agent}}.git",
                          AGENTOS_GIT_CREDENTIALS_FILE=str(keys / "client"), AGENTOS_GIT_KNOWN_HOSTS_FILE=str(known))
        system.start()
        problem_of(system, f"has no key of [127.0.0.1]:{port}")
        known.write_text(f"[127.0.0.1]:{port} {(keys / 'host.pub').read_text()}")
        is_mirrored(system, remote)
        no_problem(system)


def test_a_remote_that_never_answers_is_given_up_and_holds_up_no_other_agent(make_system, model, remotes):
    """Five agents' remotes hang, of which four are asked at once: the fifth agent's push gets its place, too."""
    listener = socket.create_server(("127.0.0.1", 0))
    names = ("a", "b", "c", "d", "e")
    system = mirrored(make_system, model, remotes, url=f"git://127.0.0.1:{listener.getsockname()[1]}/{{agent}}.git", agents=names)
    clock = system.movable_clock()
    system.start()
    mirror = mirror_of(system)
    wait_until(lambda: len(child_table().get(mirror, [])) == 4, "four pushes are under way")
    clock.move(0, monotonic=121)
    system.wait_log("the push took more than 120 s, so it was ended")

    def had_twice_the_time():  # for a large history and a slow line
        clock.move(0, monotonic=61)
        return "the push took more than 240 s, so it was ended" in system.log()

    wait_until(had_twice_the_time, "the next pushes have taken twice the time", 60, pause=1)
    listener.close()
    for name in names:
        problem_of(system, "the branch can't be pushed", name)
    system.add("one", name="a")
    system.wait_done("one", name="a")


def test_what_a_remote_says_in_bytes_that_are_no_utf8_is_a_problem_all_the_same(make_system, model, remotes):
    said = b"ERR caf\xe9 is closed"

    class Closed(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(4096)
            self.request.sendall(b"%04x" % (len(said) + 4) + said)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        system = mirrored(make_system, model, remotes, url=f"git://127.0.0.1:{server.server_address[1]}/{{agent}}.git")
        system.start()
        problem_of(system, "is closed")
        server.shutdown()


def test_a_tree_that_holds_what_git_would_obey_waits_until_that_is_taken_out(make_system, model, remotes, tmp_path):
    """Here an agent's repository borrows its neighbour's objects; the next scan takes that out."""
    system = mirrored(make_system, model, remotes, agents=("orion", "iris"), POLL_INTERVAL="3600")
    system.start()
    is_mirrored(system, remotes / "orion.git")
    (system.tree() / ".git/objects/info").mkdir(exist_ok=True)
    (system.tree() / ".git/objects/info/alternates").write_text(f"{system.tree('iris')}/.git/objects\n")
    before = tip(remotes / "orion.git")
    system.add("one")
    system.wait_done("one")
    problem_of(system, "the tree holds a file or setting that git would obey")
    assert tip(remotes / "orion.git") == before
    (system.tree() / ".git/objects/info/alternates").unlink()
    is_mirrored(system, remotes / "orion.git")


def test_a_push_can_read_its_own_agents_tree_alone_and_has_no_key(make_system, model, remotes):
    listener = socket.create_server(("127.0.0.1", 0))
    system = mirrored(make_system, model, remotes, url=f"git://127.0.0.1:{listener.getsockname()[1]}/{{agent}}.git",
                      LLM_API_KEY="sk-a-key-of-the-model")
    system.start()
    mirror = mirror_of(system)
    [push] = wait_until(lambda: child_table().get(mirror), "a push is under way")
    connection, _ = listener.accept()
    status = dict(line.split(":\t", 1) for line in open(f"/proc/{push}/status").read().splitlines() if ":\t" in line)
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == 0
    for pid in (mirror, push):
        assert b"sk-a-key-of-the-model" not in open(f"/proc/{pid}/environ", "rb").read()
    assert int(dict(line.split(":\t", 1) for line in open(f"/proc/{mirror}/status").read().splitlines() if ":\t" in line)["CapEff"], 16) == 0
    connection.close()
    listener.close()


@pytest.mark.parametrize("url, words", [
    ("file:///srv/git/all.git", "has no {agent} in it"),
    ("git@host:{agent}.git", "is no file:, https:, ssh:, http: or git: URL"),
    ("https://me:token@host/{agent}.git", "has a password in it"),
    ("file://relative/{agent}", "names no absolute path"),
    ("https://{agent}.example/x.git", "names no host"),
])
def test_a_remote_that_can_not_be_one_is_refused_before_anything_runs(make_system, model, remotes, url, words):
    system = mirrored(make_system, model, remotes, url=url)
    for verb in ("check", "run"):
        refused = system.cli(verb, check=False)
        assert refused.returncode == 78 and words in refused.stderr + refused.stdout
        assert "token@" not in refused.stderr + refused.stdout


@pytest.mark.parametrize("place", ["{agent}", "orion/{agent}.git"])
def test_a_remote_among_the_agents_trees_is_refused_before_anything_runs(make_system, model, remotes, tmp_path, place):
    system = make_system(["orion"], model=model)
    (tmp_path / "link").symlink_to(system.data)
    for data in (system.data, tmp_path / "link"):
        system.env["AGENTOS_GIT_REMOTE"] = f"file://{system.data.resolve()}/agents/{place}"
        for verb in ("check", "run"):
            refused = system.cli(verb, "--data", data, check=False)
            assert refused.returncode == 78 and "lies among the agents' trees" in refused.stderr + refused.stdout
    assert not (system.data / "agents/orion").exists()
