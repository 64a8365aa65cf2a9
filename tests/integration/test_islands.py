"""Three nodes on lines of their own that are cut, made deaf, slow and lossy, with a server that dies, a node that dies and one that
sleeps for a minute and wakes as a former owner, while thousands of envelopes go between their agents, two of which want the same lock
and write the same segment and two of which have a work queue, and chains go over all three nodes (contract section 12).

AGENTOS_ISLANDS_SEED chooses senders and receivers, AGENTOS_ISLANDS_BATCH the number of envelopes that are sent at once.
"""

import collections
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import harness
import needs
import pytest
from harness import agents_yaml, alive, send_signal, wait_until
from islands import Islands
from post_office import drop, ends, envelope, everywhere, handing, with_text

HOMES = {"orion": "dc1", "iris": "dc2", "vega": "dc2", "nova": "dc3", "mira": ""}  # mira lives where her lease is
NODES = ("dc1", "dc2", "dc3")
SLOW = "vega"
PORT, MODEL_PORT = 4222, 8080
SLOW_LINE_S = 0.02  # of dc3, each way
LOST_PERCENT = 20
SEED = int(os.environ.get("AGENTOS_ISLANDS_SEED", "17"))
BATCH = int(os.environ.get("AGENTOS_ISLANDS_BATCH", "100"))
RUNS = ("idle", "working", "waiting")
RIVALS = ("orion", "iris")  # about a lock and a segment, each from its node
CONSUMERS, ASKERS = ("iris", "nova"), ("orion", "vega", "mira")  # of the work queue
SLEEP_S = 60  # four leases


def yaml_of():
    text = ""
    for name, node in HOMES.items():
        pin = f"    node: {node}\n" if node else ""
        size = "slow" if name == SLOW else "fast"
        text += agents_yaml([name], f"{pin}    throughput_class: {size}\n").removeprefix("agents:\n")
    segments = "segments:\n  - {name: glossary, writers: [orion, iris], readers: [nova]}\n"
    return f"agents:\n{text}{segments}queues:\n  - {{name: reviews, consumers: [{', '.join(CONSUMERS)}], max_attempts: 50}}\n"


class World:
    def __init__(self, net, make_system, folder):
        self.net, self.folder, self.server = net, folder, None
        self.chance = random.Random(SEED)
        self.sent = {}  # id -> (sender, receiver, kind)
        self.fights, self.writes = [], {}  # (rival, task); id -> (rival, base version)
        self.items, self.chains = {}, []  # id -> who asked for it; the traces
        self.numbers = collections.defaultdict(int)  # of (node, file): the last that was seen
        self.start_server()
        self.nodes = {name: self.make_node(name, make_system) for name in NODES}
        self.clock = self.nodes[NODES[0]].movable_clock()
        for node in self.nodes.values():
            node.env["AGENTOS_TEST_CLOCK"] = str(self.clock.path)
            node.start(wait=False)
        for node in self.nodes.values():
            node.wait_log("Connected to AGENTOS_BUS")
        self.mira = self.wait_in_time(lambda: self.all_run() and self.node_of("mira"), "all agents run", wall=False)
        self.mira.names.append("mira")

    def make_node(self, name, make_system):
        model = [sys.executable, str(harness.ROOT / "tests/model_server.py"), "--port", str(MODEL_PORT)]
        with open(self.folder / f"{name}.model", "wb") as log:
            self.net.run(name, model, stdout=log, stderr=log)
        bus = self.net.slow(name, "hub", PORT, SLOW_LINE_S) if name == "dc3" else f"{self.net.address('hub')}:{PORT}"
        env = {
            "AGENTOS_NODE": name,
            "AGENTOS_BUS": f"nats://{bus}",
            "STOP_GRACE": "3",
            "LLM_BASE_URL": f"http://127.0.0.1:{MODEL_PORT}/plain/v1",
        }
        node = make_system(list(HOMES), yaml=yaml_of(), env=env)
        node.names, node.prefix = [agent for agent, home in HOMES.items() if home == name], self.net.prefix(name)
        return node

    def start_server(self):
        command = ["nats-server", "-a", self.net.address("hub"), "-p", str(PORT), "-js", "-sd", str(self.folder / "js")]
        with open(self.folder / "nats.log", "ab") as log:
            self.server = self.net.run("hub", command, stdout=log, stderr=log)

    def end(self):
        for node in self.nodes.values():
            node.process.terminate()
        for node in self.nodes.values():
            node.process.wait(30 * harness.PATIENCE)

    # -- who is where --

    def home(self, agent):
        return next(node for node in self.nodes.values() if agent in node.names)

    def node_of(self, agent):
        return next((node for node in self.nodes.values() if node.states().get(agent) in RUNS), None)

    def all_run(self):
        return all(self.home(agent).states().get(agent) in RUNS for agent, home in HOMES.items() if home)

    def wait_in_time(self, condition, what, wall=True):
        """The nodes' clocks go on meanwhile, by less than a lease's renewal at once: more would be a node's sleep."""
        return wait_until(lambda: condition() or self.clock.move(4 if wall else 0, 4), what, 60, 0.5)

    def wait_bus(self, name, away):
        """Until the node knows that it is so."""
        problems = lambda: self.nodes[name].status()["supervisor"]["problems"]
        wait_until(lambda: any("bus" in problem.lower() for problem in problems()) == away, f"the bus of {name}", 60, 0.1)

    # -- what goes between them --

    def send(self, sender, to, kind="handoff", ttl=0):
        identity = f"e{len(self.sent):05}"
        text = envelope(identity, kind, sender, to, f"Work {identity}.\n", status="pending", ttl_seconds=ttl)
        drop(self.home(sender), sender, "outbox", identity, text)
        self.sent[identity] = (sender, to, kind)

    def batch(self, count=BATCH):
        for _ in range(count):
            sender, to = self.chance.sample(list(HOMES), 2)
            self.send(sender, to, self.chance.choice(["handoff", "message", "message", "message"]), self.chance.choice([0, 0, 0, 3, 30]))

    def enqueue(self, count=8, how=""):
        for _ in range(count):
            identity, sender = f"i{len(self.items):04}", self.chance.choice(ASKERS)
            text = envelope(identity, "item", sender, "queue:reviews", f"Review {identity}. {how}\n", status="pending")
            drop(self.home(sender), sender, "outbox", identity, text)
            self.items[identity] = sender

    def chain(self):
        """A task of the first node's agent, who hands a part on to the second's, who hands a part of that on to the third's."""
        trace = f"chain-{len(self.chains)}"
        third = handing("nova", f"Third of {trace}.")
        self.home("orion").add(trace, f"First of {trace}. {handing('iris', f'Second of {trace}. {third}')}", name="orion")
        self.chains.append(trace)

    # -- what two of them want for themselves --

    def number(self, node, path):
        """The token or version in a file of shared/, which never falls."""
        try:
            text = (node.data / "shared" / path).read_text()
        except FileNotFoundError:
            text = ""
        found = re.search(r"^(?:token|version): (\d+)$", text, re.MULTILINE)
        number = int(found[1]) if found else 0
        assert number >= self.numbers[node, path], path
        self.numbers[node, path] = number
        return number

    def rivalry(self, rounds=2):
        for rival, _ in itertools.product(RIVALS, range(rounds)):
            node, task, write = self.home(rival), f"fight-{len(self.fights)}", f"w{len(self.writes):03}"
            node.add(task, f"Fight number {len(self.fights)} [[model:delay-30]]", name=rival, lock="db")
            self.fights.append((rival, task))
            base = self.number(node, "segments/glossary.md")
            text = envelope(write, "segment", rival, "segment:glossary", f"Text {write}\n", status="pending", base_version=base)
            drop(node, rival, "outbox", write, text)
            self.writes[write] = (rival, base)
            self.number(node, "locks/db.md")

    def asked(self, name):
        """The questions to the node's model."""
        log = f"http://127.0.0.1:{MODEL_PORT}/log"
        fetch = [sys.executable, "-c", f"import urllib.request as u; print(u.urlopen('{log}').read().decode())"]
        return json.loads(subprocess.run([*self.net.prefix(name), *fetch], check=True, capture_output=True, text=True).stdout)["requests"]

    def assert_never_two_held_the_lock(self):
        wait_until(lambda: all((self.home(rival).tree(rival) / f"outputs/{task}.md").exists() for rival, task in self.fights), "the fights are over", 60)
        asked = [request for name in NODES for request in self.asked(name) if request["task"].startswith("Fight")]
        spans = sorted((request["at_ns"], request["end_ns"]) for request in asked)
        assert len(spans) >= len(self.fights) and all(before[1] <= after[0] for before, after in zip(spans, spans[1:]))
        assert max(self.number(node, "locks/db.md") for node in self.nodes.values()) >= len(self.fights)

    def assert_each_version_was_written_upon_the_one_before(self):
        ends = {write: self.lies(rival)[write] for write, (rival, _) in self.writes.items()}
        assert all(end in ({"archive"}, {"dead-letter"}) for end in ends.values()), ends
        written = sorted(base for write, (_, base) in self.writes.items() if ends[write] == {"archive"})
        version = max(self.number(node, "segments/glossary.md") for node in self.nodes.values())
        assert written == list(range(version)) and version > 1

    # -- the outcome --

    def lies(self, agent):
        """id -> the folders of the agent's in which it lies."""
        found = collections.defaultdict(set)
        for folder in ("outbox", "inbox", "handoffs", "archive", "dead-letter"):
            place = self.home(agent).tree(agent) / "iac" / folder
            for name in os.listdir(place) if place.exists() else []:
                if name.endswith(".md"):
                    found[name.removesuffix(".md")].add(folder)
        return found

    def unfinished(self):
        lies = {agent: self.lies(agent) for agent in HOMES}
        left = []
        for identity, (sender, to, _) in self.sent.items():
            mine, theirs = lies[sender].get(identity, set()), lies[to].get(identity, set())
            count = len(theirs & {"archive", "dead-letter"}) + ("dead-letter" in mine)
            if count != 1 or "outbox" in mine or theirs & {"inbox", "handoffs"} or not mine:
                left.append((identity, sender, to, mine, theirs))
        left += self.unfinished_items(lies)
        return left or [(agent, identity) for agent in HOMES for identity, where in lies[agent].items() if "outbox" in where]

    def unfinished_items(self, lies):
        queued = {path.stem for node in self.nodes.values() for path in (node.data / "shared/queues/reviews").glob("*.md")}
        left = []
        for identity, sender in self.items.items():
            where = {agent: lies[agent].get(identity, set()) for agent in (sender, *CONSUMERS)}
            if identity in queued or not any("archive" in where[name] for name in CONSUMERS) or any("handoffs" in found for found in where.values()):
                left.append((identity, sender, identity in queued, where))
        return left

    def wait_ends(self):
        try:
            wait_until(lambda: not self.unfinished(), "each envelope in one end, its sender told", 60, 0.5)
        except AssertionError as error:
            left = self.unfinished()
            raise AssertionError(f"{error}: {len(left)} of {len(self.sent)}: {left[:20]}") from None

    def results(self, agent):
        return [fields for name, _, fields in everywhere(self.home(agent)) if name == agent and fields["to"] == agent and fields["kind"] == "result"]

    def assert_each_item_was_done_once_and_is_answered(self):
        done = sum((self.home(name).done(name) for name in CONSUMERS), collections.Counter())
        dead = {agent: [identity for identity, where in self.lies(agent).items() if identity in self.items and "dead-letter" in where] for agent in HOMES}
        assert {identity: done[identity] for identity in self.items if done[identity] != 1} == {} and not any(dead.values()), dead
        told = collections.Counter((name, fields["in_reply_to"]) for name in ASKERS for fields in self.results(name))
        assert {identity: told[sender, identity] for identity, sender in self.items.items() if told[sender, identity] != 1} == {}

    def assert_each_chain_came_back_over_all_three(self):
        def came_back():
            return [collections.Counter(fields["trace"] for fields in self.results(name) if fields["trace"] in self.chains) for name in ("orion", "iris")]

        wait_until(lambda: all(set(found) == set(self.chains) for found in came_back()), "each chain's results", 60, 0.5)
        assert came_back() == [dict.fromkeys(self.chains, 1)] * 2
        for name, begins in ("iris", "Second of"), ("nova", "Third of"):
            assert sorted(fields["trace"] for fields in with_text(self.home(name), name, "archive", begins)) == sorted(self.chains)

    # -- what happens meanwhile --

    def a_flood_onto_a_slow_agent(self):
        for sender in ("orion", "nova", "mira"):
            for _ in range(BATCH // 2):
                self.send(sender, SLOW)

    def a_line_that_is_cut(self):
        self.net.cut("dc2")
        self.wait_bus("dc2", True)
        self.batch()
        self.clock.move(4)
        self.net.mend("dc2")

    def a_line_that_is_down_one_way(self):
        self.net.deafen("dc1")
        self.wait_bus("dc1", True)
        self.batch()
        self.net.mend("dc1")

    def a_line_that_loses_packets(self):
        self.net.loses("dc1", LOST_PERCENT)
        self.batch()
        self.wait_bus("dc1", False)
        self.batch()
        self.net.loses("dc1", 0)

    def a_server_that_is_killed(self):
        for _ in range(2):
            self.server.kill()
            self.server.wait()
            self.start_server()
            self.batch()

    def a_node_that_is_down(self):
        """One of the queue's two consumers dies with items in hand."""
        node = self.nodes["dc3"]
        self.enqueue(40, "[[model:delay-100]]")
        wait_until(lambda: any(identity in self.items and "handoffs" in where for identity, where in self.lies("nova").items()), "nova has an item", 60)
        node.process.kill()
        node.process.wait()
        for _ in range(BATCH):
            self.send(self.chance.choice(["orion", "iris", "vega"]), "nova", self.chance.choice(["handoff", "message"]), 3)
        self.clock.move(4)
        node.start(wait=False)
        self.wait_in_time(self.all_run, "the node's agents run again")

    def a_node_that_sleeps_for_a_minute(self):
        """The node wakes as mira's former owner, with all its work under way; another node that has her directory has gone
        on, and the server has died meanwhile."""
        asleep = self.mira
        worker, family = asleep.worker("mira"), [asleep.process.pid, *asleep.family()]
        for pid in family:
            send_signal(pid, signal.SIGSTOP)
        awake_again = time.monotonic() + SLEEP_S
        other = self.mira = next(node for node in self.nodes.values() if node is not asleep)
        shutil.copytree(asleep.tree("mira"), other.folder / "mira", symlinks=True)
        (other.folder / "mira").rename(other.tree("mira"))
        self.wait_in_time(lambda: other.states().get("mira") in RUNS, "mira runs on the other node")
        asleep.names.remove("mira")
        other.names.append("mira")
        self.batch()
        self.enqueue()
        self.a_server_that_is_killed()
        wait_until(lambda: time.monotonic() > awake_again, "the minute is over", SLEEP_S)
        for pid in reversed(family):
            send_signal(pid, signal.SIGCONT)
        wait_until(lambda: not alive(worker), "her worker of before has ended", 10)
        asleep.wait_log("does not run on this node any more: .*; its worker is killed")
        lives = f"it lives on node '{other.env['AGENTOS_NODE']}'"
        wait_until(lambda: lives in asleep.cli("task", "mira", "Do it", check=False).stderr, "the node says where she lives")


@pytest.fixture
def world(make_system, tmp_path):
    with Islands([*NODES, "hub"]) as net:
        world = World(net, make_system, tmp_path)
        yield world
        world.end()


def epochs(node, agent):
    """Of each commit and its parents, from the last to the first."""
    commits = {}
    for line in node.git("log", "--format=%H %P|%(trailers:key=Agentos-Epoch,valueonly,separator=%x2C)", name=agent).splitlines():
        hashes, _, epoch = line.partition("|")
        commit, *parents = hashes.split()
        commits[commit] = (parents, int(epoch or 0))
    return commits


def assert_epochs_only_grow(node, agent):
    commits = epochs(node, agent)
    for parents, epoch in commits.values():
        assert all(commits[parent][1] <= epoch for parent in parents)
    return {commit: epoch for commit, (_, epoch) in commits.items()}


def assert_every_sender_has_its_answer(world):
    """One result for each handoff that was finished, one bounce for each envelope that was not, unless its sender has the dead letter."""
    told = collections.Counter()
    finished, dead = set(), set()
    for node in world.nodes.values():
        for agent, folder, fields in everywhere(node):
            mine = fields["to"] == agent
            if mine and fields["kind"] in ("result", "bounce") and folder in ("inbox", "archive"):
                told[fields["in_reply_to"]] += 1
            if mine and fields["kind"] == "handoff" and fields["status"] == "finished":
                finished.add(fields["id"])
            if mine and folder == "dead-letter" and fields["kind"] in ("handoff", "message"):
                dead.add(fields["id"])
    wrong = {identity for identity in finished | dead if told[identity] != 1}
    copies = [(node.env["AGENTOS_NODE"], *copy) for node in world.nodes.values() for copy in everywhere(node) if wrong & {copy[2]["id"], copy[2].get("in_reply_to")}]
    assert not wrong, "\n".join(map(str, copies))


@needs.islands
def test_thousands_of_envelopes_through_partitions_deaths_and_a_nodes_minute_of_sleep_have_each_one_end_that_its_sender_knows(world):
    for happens in (
        world.a_flood_onto_a_slow_agent,
        world.a_line_that_is_cut,
        world.a_line_that_is_down_one_way,
        world.a_line_that_loses_packets,
        world.a_server_that_is_killed,
        world.a_node_that_is_down,
        world.a_node_that_sleeps_for_a_minute,
    ):
        world.chain()
        world.enqueue()
        world.batch()
        world.rivalry()
        happens()
        world.rivalry(1)
    world.wait_ends()
    world.assert_never_two_held_the_lock()
    world.assert_each_version_was_written_upon_the_one_before()
    world.assert_each_item_was_done_once_and_is_answered()
    world.assert_each_chain_came_back_over_all_three()
    counts = collections.Counter(status for node in world.nodes.values() for found in ends(node).values() for status, *_ in found)
    print(len(world.sent), counts)
    assert sum(counts.values()) > 2000 and min(counts[end] for end in ("read", "finished", "expired", "refused")) > 20
    assert_every_sender_has_its_answer(world)
    world.end()
    for node in world.nodes.values():
        node.cli("verify")
    now = {agent: assert_epochs_only_grow(world.home(agent), agent) for agent in HOMES}["mira"]
    trees = [(node, agent) for node in world.nodes.values() for agent in HOMES if node.tree(agent).exists()]
    [(former, _)] = [(node, agent) for node, agent in trees if node is not world.home(agent)]
    before = assert_epochs_only_grow(former, "mira")
    assert max(before.values()) < max(now.values())
    assert all(before[commit] == epoch for commit, epoch in now.items() if commit in before)
    assert not [commit for commit, epoch in now.items() if epoch <= max(before.values()) and commit not in before]


@needs.islands
def test_a_chain_over_three_nodes_with_results_back_though_the_server_and_a_line_go(world):
    third = handing("nova", "Third.")
    world.nodes["dc1"].append(f"\n## start\ntask: First. {handing('iris', 'Second. ' + third)}\n", "orion")
    world.server.kill()
    world.server.wait()
    world.start_server()
    world.net.cut("dc3")
    wait_until(lambda: with_text(world.nodes["dc2"], "iris", "archive", "Second."), "the second's work", 60)
    world.net.mend("dc3")
    [first] = wait_until(lambda: world.results("orion"), "orion's result", 60)
    [second] = wait_until(lambda: world.results("iris"), "iris's result", 60)
    assert first["trace"] == second["trace"] == "start"
