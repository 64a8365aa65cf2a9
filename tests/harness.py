"""Runs the real system on a scratch data directory: start, wait for conditions, look, kill, stop.

The programs come from AGENTOS_BIN (default build/dev/bin). AGENTOS_TEST_PATIENCE multiplies every time limit, for slow
machines and sanitizers; AGENTOS_TEST_FOLDER (default /tmp) is where data directories are made. No function here waits for a
length of time; each waits for a condition.
"""

import atexit
import collections
import contextlib
import datetime
import functools
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("AGENTOS_BIN", ROOT / "build/dev/bin"))
PATIENCE = float(os.environ.get("AGENTOS_TEST_PATIENCE", "1"))
SCRATCH = os.environ.get("AGENTOS_TEST_FOLDER", "/tmp")
KEY = "sk-test-0123456789abcdefghijklmnopqrstuvwxyz"
CREATED = "2026-04-29T10:05:00Z"


def wait_until(condition, what, seconds=30, pause=0.02):
    """The condition's first true value; AssertionError, with the awaited condition, when it doesn't come."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds * PATIENCE:.0f} s in vain: {what}; last: {value!r}")
        time.sleep(pause)


def end_accepting(listener, thread):
    """Closes a listener that a thread accepts from. By close alone the thread would wait on, and could take a connection from
    the next listener that is given the number of this one's descriptor."""
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    listener.close()


PORTS_EACH = 1000


@functools.cache
def ports():
    """Numbers below those that Linux gives to whoever names none (32768 to 60999), another thousand for each worker of pytest-xdist."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 12000 + worker % 20 * PORTS_EACH
    return itertools.cycle(random.sample(range(first, first + PORTS_EACH), PORTS_EACH))


def free_port():
    """A port at which nobody listens now, and which nobody is given by chance before its server listens or while it is down."""
    for port in itertools.islice(ports(), PORTS_EACH):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@functools.cache
def model_servers():
    """The process that forks the model servers of this run of tests; it ends with its standard input."""
    command = [sys.executable, str(ROOT / "tests/model_server.py"), "--many"]
    servers = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(servers.communicate)
    return servers


def tell_model_servers(line):
    servers = model_servers()
    print(line, file=servers.stdin, flush=True)
    return servers.stdout.readline()


class Model:
    """A model server of its own, and its log."""

    def __init__(self, *arguments):
        self.arguments = arguments
        self.port = 0
        self.start()

    def start(self):
        """Also again after stop(), then on the same port."""
        answer = tell_model_servers(" ".join(["--port", str(self.port), *self.arguments]))
        assert answer[:1].isdigit(), f"no model server: {answer}"
        self.pid, self.port = map(int, answer.split())

    def stop(self):
        if self.pid:
            tell_model_servers(f"--kill {self.pid}")
        self.pid = None

    def url(self, scenario="plain"):
        return f"http://127.0.0.1:{self.port}/{scenario}/v1"

    def call(self, path, method="POST"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=20) as reply:
            return json.load(reply)

    def log(self, prompts=False):
        return self.call("/log?prompts" if prompts else "/log", "GET")

    def requests(self, prompts=False):
        return self.log(prompts)["requests"]

    def asked(self):
        """How often each task's text was asked."""
        return collections.Counter(request["task"] for request in self.requests())

    def become(self, scenario=""):
        self.call(f"/become/{scenario}")

    def release(self):
        self.call("/release")

    def reset(self):
        self.call("/reset")

    def wait_open(self, count=1, seconds=30):
        """Until so many requests are out, unanswered; gives them."""

        def open_ones():
            found = [request for request in self.requests() if request["end"] == "open"]
            return found if len(found) >= count else None

        return wait_until(open_ones, f"{count} requests under way", seconds)


class Clock:
    """The clocks of a system that a test can move (common/test_clock.h): the wall clock alone, or both."""

    def __init__(self, path, at=None):
        """at: an ISO time that the wall clock shows now."""
        self.path, self.wall, self.monotonic = path, 0, 0
        self.path.write_bytes(bytes(16))
        if at is not None:
            self.set(at)

    def now(self):
        return datetime.datetime.fromtimestamp(time.time() + self.wall / 1000, datetime.timezone.utc)

    def move(self, seconds, monotonic=0):
        self.wall += int(seconds * 1000)
        self.monotonic += int(monotonic * 1000)
        with open(self.path, "r+b", buffering=0) as page:
            page.write(struct.pack("<qq", self.wall, self.monotonic))

    def set(self, at):
        self.move((datetime.datetime.fromisoformat(at.replace("Z", "+00:00")) - self.now()).total_seconds())


def fill(path):
    """A file that takes all room that its disk has left."""
    with open(path, "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(65536))
        except OSError:
            pass
        try:
            while True:
                filler.write(b"x")
        except OSError:
            pass


def days_ago(days):
    """A time stamp of these files, as a day that is past: what decays or expires does so by today's date."""
    return time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - days * 86400))


def task_block(task_id, text, priority="normal", created=CREATED, **fields):
    """A block as the article writes it, with its leading blank line."""
    if "\n" in text:
        text = "|\n" + "\n".join("  " + line for line in text.split("\n"))
    more = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return f"\n## {task_id}\ntask: {text}\npriority: {priority}\ncreated: {created}\n{more}"


def agents_yaml(names, extra=""):
    text = "agents:\n"
    for name in names:
        text += f'  - name: {name}\n    persona: "Persona of {name}. Careful and exact."\n    domain: "Testing"\n{extra}'
    return text


def child_table():
    """Every process's children, from /proc."""
    table = collections.defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb", buffering=0) as stat:
                    parent = int(stat.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            table[parent].append(int(entry))
    return table


def descendants(pid):
    table, found, todo = child_table(), [], [pid]
    while todo:
        children = table.get(todo.pop(), [])
        found += children
        todo += children
    return found


def alive(pid):
    """Is it there, and no zombie?"""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def program_of(pid):
    """The program's file name, or '' when it is gone."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)")
    except PermissionError:  # without CAP_SYS_PTRACE; its name is shown to everybody
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def send_signal(pid, number):
    """Whether there was such a process. Never to a whole group, which would be the tests' own."""
    assert pid > 0, pid
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def private_bytes(pid):
    total = 0
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Clean:", "Private_Dirty:")):
            total += int(line.split()[1]) * 1024
    return total


def cpu_ns(pid):
    """CPU time that all threads of a process have used, in nanoseconds."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            total += int(pathlib.Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
        except OSError:
            continue
    return total


class System:
    """`agentos run` on a data directory of its own."""

    def __init__(self, agents=("orion",), model=None, scenario="plain", env=None, yaml=None, extra=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentos-", dir=SCRATCH))
        self.data = self.folder / "data"
        self.data.mkdir()
        self.log_path = self.folder / "log"
        self.log_path.touch()
        self.names = list(agents)
        self.process = None
        self.prefix = []  # a command that runs the supervisor by exec
        self.options = []  # of `agentos run`
        self.histories = {}  # of each agent: the newest commit, and the subjects
        (self.data / "agents.yaml").write_text(yaml if yaml is not None else agents_yaml(agents, extra))
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("LLM_", "AGENTOS_"))}
        self.env.update(DATA_DIR=str(self.data), POLL_INTERVAL="1", LLM_API_KEY=KEY, AGENTOS_LISTEN="", LLM_MODEL="test-model")
        if model is not None:
            self.env["LLM_BASE_URL"] = model.url(scenario)
        self.env.update(env or {})

    def movable_clock(self, at=None):
        """Before the start: a clock that the test moves."""
        clock = Clock(self.folder / "clock", at)
        self.env["AGENTOS_TEST_CLOCK"] = str(clock.path)
        return clock

    # -- life --

    def start(self, wait=True):
        log = open(self.log_path, "ab")
        command = [*self.prefix, str(BIN / "agentos"), "run", "--data", str(self.data), *self.options]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, start_new_session=True
        )
        log.close()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=30):
        def ready():
            assert self.process.poll() is None, f"agentos run ended with {self.process.returncode}:\n{self.log()}"
            states = self.states()
            up = ("idle", "working", "waiting", "paused", "hibernating")
            return states and all(states.get(name) in up for name in self.names)

        wait_until(ready, "every agent ready", seconds, pause=0.05)

    def run_to_end(self, seconds=20):
        """Start, expecting it to end by itself; its exit status."""
        self.start(wait=False)
        return self.process.wait(seconds * PATIENCE)

    def stop(self, number=signal.SIGTERM, seconds=20):
        """Ask for the end and wait for it; the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds * PATIENCE)

    def destroy(self):
        """The end in any case, with everything that was started."""
        if self.process is not None and self.process.poll() is None:
            family = descendants(self.process.pid)
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                family += descendants(self.process.pid)
                self.process.kill()
                self.process.wait()
            for pid in family:
                if program_of(pid).startswith("agentos"):
                    send_signal(pid, signal.SIGKILL)
        try:
            shutil.rmtree(self.folder)
        except OSError:  # a test took a folder's bits away
            subprocess.run(["chmod", "-R", "u+rwX", str(self.folder)], check=False)
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- looking --

    def log(self):
        return self.log_path.read_text(errors="replace")

    def cli(self, *arguments, check=True, seconds=30, stdin=None):
        result = subprocess.run(
            [str(BIN / "agentos"), *map(str, arguments)], env=self.env, capture_output=True, text=True, timeout=seconds * PATIENCE,
            input=stdin,
        )
        if check:
            assert result.returncode == 0, f"agentos {arguments}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result

    def status(self):
        """What `agentos status --json` prints; None when no supervisor answers. Tests look often, so no program is started."""
        answer = self.control(verb="status")
        if answer is None or answer["exit"] != 0:
            return None
        for agent in answer["status"]["agents"]:
            agent.pop("detail", None)  # for the table alone
            agent.pop("model", None)  # for --wait alone
        return answer["status"]

    def control(self, **request):
        """The control socket's answer to one request (common/control.h); None when no supervisor answers."""
        try:
            folder = os.open(self.env.get("AGENTOS_RUN_DIR", self.data / ".run"), os.O_PATH | os.O_DIRECTORY)
        except OSError:
            return None
        try:  # a socket's address is short, paths may be longer
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(30 * PATIENCE)
                connection.connect(f"/proc/self/fd/{folder}/control")
                connection.sendall(json.dumps(request).encode() + b"\n")
                answer = connection.makefile("rb").readline()
                return json.loads(answer) if answer.endswith(b"\n") else None
        except (ConnectionError, FileNotFoundError, PermissionError):
            return None
        finally:
            os.close(folder)

    def states(self):
        status = self.status()
        return {agent["name"]: agent["state"] for agent in status["agents"]} if status else {}

    def agent_status(self, name="orion"):
        status = self.status()
        found = [agent for agent in status["agents"] if agent["name"] == name] if status else []
        return found[0] if found else None

    def wait_state(self, name, *states, seconds=30):
        return wait_until(lambda: self.states().get(name) in states, f"{name} {'/'.join(states)}", seconds, 0.05)

    def wait_log(self, pattern, seconds=30):
        return wait_until(lambda: re.search(pattern, self.log(), re.MULTILINE), f"log line {pattern!r}", seconds)

    def family(self):
        """Every process below the supervisor."""
        return descendants(self.process.pid)

    def worker(self, name="orion"):
        return self.agent_status(name)["pid"]

    def processes(self):
        """Which process is what: {'supervisor': pid, 'gateway': pid, 'zygote': pid, NAME: pid}."""
        workers = {agent["name"]: agent["pid"] for agent in self.status()["agents"] if agent["pid"]}
        found = {"supervisor": self.process.pid, **workers}
        for pid in self.family():
            program = program_of(pid)
            if program == "agentos-gateway":
                found["gateway"] = pid
            elif program == "agentos-http":
                found["http"] = pid
            elif program == "agentos-worker" and pid not in workers.values():
                found["zygote"] = pid
        return found

    # -- an agent's tree --

    def tree(self, name="orion"):
        return self.data / "agents" / name

    def read(self, path, name="orion"):
        try:
            return (self.tree(name) / path).read_text()
        except FileNotFoundError:
            return ""

    def append(self, text, name="orion"):
        """As `cat >>` does."""
        with open(self.tree(name) / "queue.md", "ab", buffering=0) as queue:
            queue.write(text.encode() if isinstance(text, str) else text)

    def add(self, task_id, text="Do it", name="orion", **fields):
        self.append(task_block(task_id, text, **fields), name)

    def run_git(self, *arguments, name="orion"):
        command = ["git", "-c", "safe.directory=*", "-C", str(self.tree(name)), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120 * PATIENCE)

    def git(self, *arguments, name="orion", check=True):
        result = self.run_git(*arguments, name=name)
        if check:
            assert result.returncode == 0, f"git {arguments}: {result.stdout}{result.stderr}"
        return result.stdout

    def tip(self, name="orion"):
        """The commit that the checked-out branch main names, by its own file; None where that is not so simple."""
        try:
            head = (self.tree(name) / ".git/HEAD").read_text()
            return (self.tree(name) / ".git/refs/heads/main").read_text() if head == "ref: refs/heads/main\n" else None
        except (OSError, UnicodeDecodeError):
            return None

    def subjects(self, name="orion"):
        """Subjects of all commits, newest first; none when there is no repository yet. One tip has one history, so git,
        which costs much, is asked once for each tip, however often a test looks. A list that git broke off is no tip's."""
        tip = self.tip(name)
        if not tip or self.histories.get(name, ("", []))[0] != tip:
            log = self.run_git("log", "--format=%s", name=name)
            subjects = log.stdout.splitlines()
            whole = log.returncode == 0 and subjects and tip == self.tip(name)
            self.histories[name] = (tip if whole else "", subjects)
        return list(self.histories[name][1])

    def done(self, name="orion"):
        """How often each task was committed."""
        start = f"{name}(task): "
        return collections.Counter(s[len(start) :] for s in self.subjects(name) if s.startswith(start))

    def wait_done(self, *task_ids, name="orion", seconds=30):
        def all_there():
            done = self.done(name)
            return all(done[task_id] for task_id in task_ids)

        wait_until(all_there, tasks_text(task_ids), seconds, 0.05)

    def wait_queue_empty(self, name="orion", seconds=30):
        wait_until(lambda: "## " not in self.read("queue.md", name), f"{name}'s queue.md empty", seconds)

    def assert_sound(self, name="orion"):
        """The repository is whole and the work tree is what HEAD says, but for blocks that wait in queue.md."""
        result = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", str(self.tree(name)), "fsck", "--strict", "--no-dangling"],
            capture_output=True, text=True, timeout=300 * PATIENCE,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        said = (result.stdout + result.stderr).strip()
        assert said in ("", "notice: HEAD points to an unborn branch (main)"), said
        dirt = []

        def clean():
            dirt[:] = [self.git("status", "--porcelain", name=name)]
            return not dirt[0] or (dirt[0] == " M queue.md\n" and "## " in self.read("queue.md", name))

        try:
            wait_until(clean, f"{name}'s work tree clean", 10)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{dirt[0]}") from None

    def assert_each_once(self, task_ids, name="orion"):
        """Every task has exactly one commit, one output and no block left; and nothing else was done."""
        done, wanted = self.done(name), collections.Counter(list(task_ids))
        assert not wanted - done, f"lost: {wanted - done}"
        assert not done - wanted, f"done too often: {done - wanted}"
        outputs = {path.stem for path in (self.tree(name) / "outputs").glob("*.md")}
        assert outputs == set(task_ids)
        assert "## " not in self.read("queue.md", name)


def tasks_text(task_ids):
    shown = ", ".join(task_ids[:5])
    return f"tasks done: {shown}" + (f" and {len(task_ids) - 5} more" if len(task_ids) > 5 else "")
