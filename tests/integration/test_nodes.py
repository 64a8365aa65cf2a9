"""Where agents live: `node` of agents.yaml, leases on the bus (contract section 12)."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from harness import agents_yaml, alive, free_port, send_signal, wait_until
from nats_server import nats  # noqa: F401
from test_http_v1 import V1
from test_mirror import HTTP_SEEN, USER, bare, git_daemon, http_backend, ssh_server


def pinned(node):
    return agents_yaml(["orion"]) + agents_yaml(["iris"], f"    node: {node}\n").removeprefix("agents:\n")


def test_without_a_bus_an_agent_of_another_node_does_not_run_here_and_that_is_said(make_system, model):
    system = make_system(["orion"], model=model, yaml=pinned("there"), env={"AGENTOS_NODE": "here"}).start()
    system.wait_state("iris", "stopped")
    assert any("node 'there'" in problem for problem in system.agent_status("iris")["problems"])
    assert not (system.data / "agents/iris").exists()
    for words in (["start", "iris"], ["task", "iris", "Do it"]):
        refused = system.cli(*words, check=False)
        assert refused.returncode == 66 and "'there'" in refused.stderr
    assert "lives on node 'there'" in system.cli("check").stdout
    assert not (system.data / "agents/iris").exists()


def test_an_agent_follows_its_node_when_agents_yaml_is_changed(make_system, model):
    system = make_system(["orion", "iris"], model=model, yaml=pinned("here"), env={"AGENTOS_NODE": "here"}).start()
    (system.data / "agents.yaml").write_text(pinned("there"))
    system.cli("reload")
    system.wait_state("iris", "stopped")
    assert system.states()["orion"] == "idle" and system.worker("iris") is None
    (system.data / "agents.yaml").write_text(pinned("here"))
    system.cli("reload")
    system.wait_state("iris", "idle")


# --- nodes on a bus ---

LEASE_S, GUARD_S = 15, 10


@pytest.fixture
def make_node(make_system, model, nats):  # noqa: F811
    """Supervisors that share an agents.yaml and a bus."""

    def make(name, yaml=None, names=("orion",), start=True, **env):
        node = make_system(list(names), model=model, yaml=yaml,
                           env={"AGENTOS_NODE": name, "AGENTOS_BUS": nats.url, "STOP_GRACE": "3", **env})
        return node.start(wait=False) if start else node

    return make


def runs(node, name="orion"):
    return node.states().get(name) in ("idle", "working", "waiting", "paused", "hibernating", "starting")


def wait_runs(node, name="orion", seconds=60):
    wait_until(lambda: node.states().get(name) == "idle", f"{name} runs", seconds, 0.1)


def wait_stops(node, name="orion", seconds=60):
    wait_until(lambda: node.worker(name) is None and node.states().get(name) == "stopped", f"{name} is stopped", seconds, 0.1)


def where(node, name="orion"):
    [agent] = [agent for agent in json.loads(node.cli("status", name, "--json", "--all-nodes").stdout)["agents"]]
    return agent["node"], agent["state"]


def copy_tree(origin, target, name="orion"):
    (target.data / "agents").mkdir(exist_ok=True)
    shutil.copytree(origin.tree(name), target.tree(name), symlinks=True)


def kill_node(node):
    os.killpg(node.process.pid, signal.SIGKILL)
    node.process.wait()


def epoch_of(node, name="orion"):
    return int(re.search(r"^Agentos-Epoch: (\d+)$", node.git("log", "-1", "--format=%B", name=name), re.MULTILINE)[1])


def test_of_two_nodes_that_name_an_agent_one_runs_it_and_the_other_says_where(make_node):
    yaml = agents_yaml(["orion"]) + agents_yaml(["iris"], "    node: dc2\n").removeprefix("agents:\n")
    dc1, dc2 = make_node("dc1", yaml, ("orion", "iris")), make_node("dc2", yaml, ("orion", "iris"))
    wait_until(lambda: runs(dc1) or runs(dc2), "orion runs", 60)
    wait_runs(dc2, "iris")
    one, other = (dc1, dc2) if runs(dc1) else (dc2, dc1)
    name = one.env["AGENTOS_NODE"]
    wait_runs(one)
    assert not runs(other) and not dc1.tree("iris").exists()
    wait_until(lambda: not other.tree().exists(), "the node that lost the race takes its note of the epoch away", 20)
    wait_until(lambda: where(other) == (name, "idle") and where(one) == (name, "idle"), "both say where orion lives")
    refused = other.cli("task", "orion", "Do it", check=False)
    assert refused.returncode == 66 and f"node '{name}'" in refused.stderr
    assert "`agentos send orion` reaches it from here" in refused.stderr
    everybody = other.cli("pause", "--all")
    assert f"agent 'orion' does not run on this node: it lives on node '{name}'; it is left alone" in everybody.stdout
    other.cli("resume", "--all")
    one.cli("task", "orion", "Do it", "--wait", seconds=60)
    assert epoch_of(one) == 1
    assert other.cli("status", "--all-nodes").stdout.count(name) >= 1


def test_a_node_that_died_is_followed_only_by_one_that_has_the_directory(make_node):
    dc1 = make_node("dc1")
    wait_runs(dc1)
    dc1.cli("task", "orion", "Do it", "--wait", seconds=60)
    dc2 = make_node("dc2")
    dc3 = make_node("dc3", start=False)
    copy_tree(dc1, dc3)
    dc3.start(wait=False)
    kill_node(dc1)
    wait_runs(dc3)
    assert not runs(dc2) and not dc2.tree().exists()
    dc3.cli("task", "orion", "Do more", "--wait", seconds=60)
    assert epoch_of(dc3) == 2
    dc1.start(wait=False)
    dc1.wait_log("Connected to AGENTOS_BUS")
    wait_until(lambda: "it lives on node 'dc3'" in dc1.cli("task", "orion", "x", check=False).stderr, "dc1 knows it")
    assert not runs(dc1)


def test_a_node_that_slept_past_its_lease_stops_its_worker_before_anything_else(make_node):
    dc1 = make_node("dc1")
    wait_runs(dc1)
    worker = dc1.worker()
    dc2 = make_node("dc2", start=False)
    copy_tree(dc1, dc2)
    dc2.start(wait=False)
    asleep = [dc1.process.pid, *dc1.family()]
    for pid in asleep:
        send_signal(pid, signal.SIGSTOP)
    wait_runs(dc2)
    for pid in reversed(asleep):
        send_signal(pid, signal.SIGCONT)
    wait_until(lambda: not alive(worker), "its worker has ended", 10)
    dc1.wait_log("does not run on this node any more: .*; its worker is killed")
    wait_stops(dc1)
    assert runs(dc2)


def test_without_the_bus_a_holder_stops_in_time_a_pinned_agent_goes_on_and_both_run_again_afterwards(make_node, nats):
    yaml = agents_yaml(["orion"]) + agents_yaml(["iris"], "    node: dc1\n").removeprefix("agents:\n")
    dc1 = make_node("dc1", yaml, ("orion", "iris"))
    wait_runs(dc1)
    wait_runs(dc1, "iris")
    nats.kill()
    gone = time.monotonic()
    wait_stops(dc1)
    assert time.monotonic() - gone < LEASE_S + 3
    assert dc1.states()["iris"] == "idle"
    dc1.cli("task", "iris", "Do it", "--wait", seconds=60)
    wait_until(lambda: any("the bus is away" in problem for problem in dc1.agent_status()["problems"]), "that is said")
    nats.start()
    wait_runs(dc1)
    dc1.cli("task", "orion", "Do it", "--wait", seconds=60)
    assert epoch_of(dc1) == 2


def test_a_node_that_ends_in_good_order_gives_its_leases_back_at_once(make_node):
    dc1 = make_node("dc1")
    wait_runs(dc1)
    dc2 = make_node("dc2", start=False)
    copy_tree(dc1, dc2)
    dc2.start(wait=False)
    dc2.wait_log("Connected to AGENTOS_BUS")
    dc1.stop()
    began = time.monotonic()
    wait_runs(dc2)
    assert time.monotonic() - began < LEASE_S - 3


def test_a_moved_agent_takes_its_history_queue_and_envelopes_along(make_node):
    yaml = agents_yaml(["orion", "iris"])
    dc1 = make_node("dc1", yaml, ("orion", "iris"))
    wait_runs(dc1)
    dc1.cli("task", "orion", "Do it", "--id", "before", "--wait", seconds=60)
    dc1.cli("pause", "orion")
    dc1.cli("task", "orion", "Do more", "--id", "pending")
    dc1.cli("send", "orion", "Mind the gap")
    dc2 = make_node("dc2", yaml, ("orion", "iris"))
    dc2.wait_log("Connected to AGENTOS_BUS")
    unknown = lambda: dc1.cli("move", "orion", "dc3", check=False)
    wait_until(lambda: "did you mean 'dc2'?" in unknown().stderr, "dc1 knows dc2", pause=0.2)
    assert unknown().returncode == 66
    dc1.cli("move", "orion", "dc2", seconds=60)
    wait_until(lambda: dc2.states()["orion"] == "paused", "orion is paused there, too")
    dc2.cli("resume", "orion")
    assert not dc1.tree().exists() and list((dc1.data / "agents").glob(".moved-orion-to-dc2-*"))
    wait_until(lambda: dc2.done().get("pending") == 1, "its pending task is done there")
    assert "before" in dc2.git("log", "--format=%s") and epoch_of(dc2) == 2
    wait_until(lambda: where(dc1) == ("dc2", "idle"), "dc1 knows where orion lives")
    assert not runs(dc1) and runs(dc1, "iris")
    dc2.cli("move", "orion", "dc1", seconds=120)
    wait_runs(dc1)
    dc1.cli("task", "orion", "Do it again", "--wait", seconds=60)
    assert epoch_of(dc1) == 3


def test_a_moved_agent_takes_its_workers_notes_along_so_that_attempts_are_counted_on(make_node, model):
    dc1 = make_node("dc1")
    wait_runs(dc1)
    dc1.cli("task", "orion", "Poisonous [[model:hold]]", "--id", "poison")

    def dies(node, attempt):
        wait_until(lambda: model.asked()["Poisonous [[model:hold]]"] == attempt, f"attempt {attempt}", 60)
        send_signal(node.worker(), signal.SIGKILL)

    dies(dc1, 1)
    wait_until(lambda: model.asked()["Poisonous [[model:hold]]"] == 2, "attempt 2", 60)
    dc1.cli("pause", "orion", "--no-wait")
    dies(dc1, 2)
    dc1.wait_state("orion", "paused")  # a task that is put down in good order is counted from the beginning
    dc2 = make_node("dc2")
    dc2.wait_log("Connected to AGENTOS_BUS")
    wait_until(lambda: dc1.cli("move", "orion", "dc2", seconds=60, check=False).returncode == 0, "it is moved", 60)
    dc2.wait_state("orion", "paused")
    dc2.cli("resume", "orion")
    dies(dc2, 3)
    [letter] = wait_until(lambda: list((dc2.tree() / "iac/dead-letter").glob("*.md")), "the third death is the last", 60)
    assert "reason: poison" in letter.read_text() and model.asked()["Poisonous [[model:hold]]"] == 3


def test_without_a_bus_nothing_is_moved(system):
    for words in ([], ["--from-remote"]):
        refused = system.cli("move", "orion", "dc2", *words, check=False)
        assert refused.returncode == 78 and "AGENTOS_BUS is not set" in refused.stderr


def test_a_node_whose_clock_goes_more_than_two_seconds_wrong_is_named_on_the_others_and_names_them(make_node):
    dc1, dc2 = make_node("dc1"), make_node("dc2", start=False)
    clock = dc2.movable_clock()
    dc2.start(wait=False)
    said = lambda node: "".join(problem for problem in node.status()["supervisor"]["problems"] if "the clock of node" in problem)
    for node, other in ((dc1, "dc2"), (dc2, "dc1")):
        wait_until(lambda n=node, o=other: f"did you mean '{o}'?" in n.cli("move", "orion", f"{o}x", check=False).stderr, f"{other} is known", 60, 0.2)
    assert not said(dc1) and not said(dc2)
    clock.move(5)
    wait_until(lambda: re.search(r"the clock of node 'dc2' is [45]\.\d s ahead of this node's", said(dc1)), "dc1 says so", 60, 0.2)
    wait_until(lambda: re.search(r"the clock of node 'dc1' is [45]\.\d s behind this node's", said(dc2)), "dc2 says so", 60, 0.2)
    clock.move(-5)
    wait_until(lambda: not said(dc1) and not said(dc2), "both are content", 60, 0.2)


# --- from the git remote ---


def git_remote(folder):
    port = free_port()
    with git_daemon(folder, port):
        yield {"AGENTOS_GIT_REMOTE": f"git://127.0.0.1:{port}/{{agent}}.git"}


def http_remote(folder):
    (folder / "credentials").write_text("robot:s3cr3t-token\n")
    with http_backend(folder) as backend:
        yield {"AGENTOS_GIT_REMOTE": f"http://127.0.0.1:{backend.server_port}/{{agent}}.git",
               "AGENTOS_GIT_CREDENTIALS_FILE": str(folder / "credentials")}


def ssh_remote(folder):
    port, keys, known = free_port(), folder / "keys", folder / "known_hosts"
    keys.mkdir()
    with ssh_server(keys, port):
        known.write_text(f"[127.0.0.1]:{port} {(keys / 'host.pub').read_text()}")
        yield {"AGENTOS_GIT_REMOTE": f"ssh://{USER}@127.0.0.1:{port}{folder}/{{agent}}.git",
               "AGENTOS_GIT_CREDENTIALS_FILE": str(keys / "client"), "AGENTOS_GIT_KNOWN_HOSTS_FILE": str(known)}


REMOTES = {"git": git_remote, "http": http_remote, "ssh": ssh_remote}


@pytest.fixture
def remote(tmp_path, request):
    kind = getattr(request, "param", "file")
    if kind == "file":
        yield {"AGENTOS_GIT_REMOTE": f"file://{tmp_path}/{{agent}}.git"}
        return
    bare(tmp_path)
    yield from REMOTES[kind](tmp_path)


def from_remote(node, name=None):
    return node.cli("move", "orion", name or node.env["AGENTOS_NODE"], "--from-remote", check=False, seconds=60)


def wait_pushed(node, folder):
    tip = lambda: subprocess.run(["git", "-C", folder, "rev-parse", "main"], capture_output=True, text=True).stdout
    try:
        wait_until(lambda: tip().strip() == node.git("rev-parse", "HEAD").strip(), "the branch is at the remote", 60)
    except AssertionError as error:
        said = [line for line in node.log().splitlines() if "[mirror]" in line]
        raise AssertionError("\n".join([str(error), *said, *HTTP_SEEN])) from None


@pytest.mark.parametrize("remote", ["file", *REMOTES], indirect=True)
def test_an_agent_whose_node_died_is_taken_from_the_git_remote_which_says_first_what_it_does_not_have(make_node, remote, tmp_path):
    dc1 = make_node("dc1", **remote)
    wait_runs(dc1)
    dc1.cli("task", "orion", "Do it", "--id", "before", "--wait", seconds=60)
    dc2 = make_node("dc2", **remote)
    dc2.wait_log("Connected to AGENTOS_BUS")
    wait_until(lambda: where(dc2)[0] == "dc1", "dc2 knows where orion lives")
    alive_one = from_remote(dc2)
    assert alive_one.returncode == 75 and "node 'dc1' has the lease of agent 'orion'" in alive_one.stderr
    dc1.cli("pause", "orion")
    dc1.cli("task", "orion", "Do more", "--id", "pending")
    wait_pushed(dc1, tmp_path / "orion.git")
    told = lambda: json.loads(dc2.cli("status", "orion", "--json", "--all-nodes").stdout)["agents"][0]["queue_depth"]
    wait_until(lambda: told() == 1, "dc1 has told of it", 60)
    kill_node(dc1)
    other = from_remote(dc2, "dc1")
    assert other.returncode == 64 and "this is node 'dc2'" in other.stderr
    taken = wait_until(lambda: (found := from_remote(dc2)).returncode == 0 and found, "it is taken", 60)
    assert "does not have what was pending on node dc1: 1 task(s) in queue.md" in taken.stdout, taken.stdout
    assert "how often a task was tried" in taken.stdout
    wait_runs(dc2)
    assert "before" in dc2.git("log", "--format=%s") and dc2.done()["before"] == 1
    dc2.cli("task", "orion", "Do it again", "--id", "after", "--wait", seconds=60)
    assert epoch_of(dc2) == 2
    wait_pushed(dc2, tmp_path / "orion.git")
    again = from_remote(dc2)
    assert again.returncode == 78 and "lives on this node" in again.stderr
    dc1.start(wait=False)  # the node has the pending work, and says that its directory is older
    wait_until(lambda: "it lives on node 'dc2'" in dc1.cli("task", "orion", "x", check=False).stderr, "dc1 knows it", 60)
    assert not runs(dc1) and "## pending" in (dc1.tree() / "queue.md").read_text()


def test_over_http_an_agent_is_taken_from_the_git_remote_too_and_can_be_looked_at_first(make_node, remote, tmp_path):
    dc1 = make_node("dc1", **remote)
    wait_runs(dc1)
    dc1.cli("task", "orion", "Do it", "--id", "before", "--wait", seconds=60)
    wait_pushed(dc1, tmp_path / "orion.git")
    dc2 = make_node("dc2", **remote, AGENTOS_LISTEN="127.0.0.1:0")
    dc2.wait_log("Connected to AGENTOS_BUS")
    wait_until(lambda: where(dc2)[0] == "dc1", "dc2 knows where orion lives")
    http = V1(dc2)
    move = lambda **body: http.send("/v1/agents/orion/move", {"node": "dc2", **body})
    alive_one = move(from_remote=True)
    assert alive_one[0] == 409 and "node 'dc1' has the lease of agent 'orion'" in alive_one[2]["detail"]
    assert move(from_remote="yes")[0] == 400 and move(look=True)[0] == 400
    kill_node(dc1)
    looked = wait_until(lambda: (found := move(from_remote=True, look=True))[0] == 200 and found, "it may be taken", 60)
    assert "does not have what was pending on node dc1" in looked[2]["said"]
    assert not dc2.tree().exists() and "It is taken from the git remote" not in dc2.log()
    begun = move(from_remote=True)
    assert begun[0] == 200 and begun[2]["said"] == looked[2]["said"]
    wait_runs(dc2)
    assert dc2.done()["before"] == 1


def test_a_remote_that_is_not_there_lacks_the_branch_or_went_another_way_gives_no_agent(make_node, remote, tmp_path):
    dc1 = make_node("dc1", **remote)
    wait_runs(dc1)
    folder = tmp_path / "orion.git"
    wait_pushed(dc1, folder)
    without, dc2 = make_node("dc3"), make_node("dc2", **remote)
    subprocess.run(["git", "-C", folder, "-c", "user.name=x", "-c", "user.email=x@x", "commit-tree", "-m", "mine", "main^{tree}"],
                   check=True, stdout=(tmp_path / "mine").open("w"))
    subprocess.run(["git", "-C", folder, "update-ref", "refs/heads/main", (tmp_path / "mine").read_text().strip()], check=True)
    dc1.cli("task", "orion", "Do it", "--wait", seconds=60)
    unpushed = lambda: any("another way" in problem for problem in dc1.agent_status()["problems"])
    wait_until(unpushed, "dc1 finds that the branch went another way", 60)
    dc1.cli("pause", "orion")
    wait_until(lambda: where(dc2) == ("dc1", "paused"), "dc1 has told of itself since then", 60)
    kill_node(dc1)
    wait_until(lambda: from_remote(dc2).returncode == 65, "dc2 knows it", 60)
    assert "went another way than the agent, as node 'dc1' told last" in from_remote(dc2).stderr
    none = from_remote(without)
    assert none.returncode == 78 and "AGENTOS_GIT_REMOTE is not set" in none.stderr
    assert not dc2.tree().exists() and not without.tree().exists()


# --- an agent that has no directory here and no lease on the bus ---


def lose_bucket(nats):
    """The server loses everything while no node is there."""
    nats.kill()
    shutil.rmtree(nats.folder / "js")
    nats.start()


@pytest.mark.parametrize("remote", ["file", *REMOTES], indirect=True)
def test_an_agent_whose_lease_was_lost_with_the_bus_is_not_begun_anew_where_the_git_remote_has_it(make_node, remote, tmp_path, nats):  # noqa: F811
    dc1 = make_node("dc1", **remote)
    wait_runs(dc1)  # the remote has no branch, so the agent was begun
    dc1.cli("task", "orion", "Do it", "--id", "before", "--wait", seconds=60)
    wait_pushed(dc1, tmp_path / "orion.git")
    kill_node(dc1)
    lose_bucket(nats)
    dc2 = make_node("dc2", **remote)
    dc2.wait_log("is not begun anew: the git remote has its branch, at commit", 60)
    said = lambda: [problem for problem in dc2.agent_status()["problems"] if "the git remote has its branch" in problem]
    [problem] = wait_until(said, "that is a problem of the agent", 60, 0.2)
    assert "`agentos move orion dc2 --from-remote` takes it from the remote" in problem
    assert not dc2.tree().exists()
    wait_until(lambda: from_remote(dc2).returncode == 0, "it is taken", 60)
    wait_runs(dc2)
    assert dc2.done()["before"] == 1
    dc2.cli("task", "orion", "Do it again", "--id", "after", "--wait", seconds=60)
    assert epoch_of(dc2) == 2  # the bucket knew none; the branch's commits do
    dc1.start(wait=False)
    wait_until(lambda: "it lives on node 'dc2'" in dc1.cli("task", "orion", "x", check=False).stderr, "dc1 knows it", 60)
    assert not runs(dc1)


def test_an_agent_is_not_begun_anew_while_the_git_remote_can_not_be_asked_and_begins_when_it_has_no_branch(make_node, tmp_path):
    port = free_port()
    dc1 = make_node("dc1", AGENTOS_GIT_REMOTE=f"git://127.0.0.1:{port}/{{agent}}.git")
    dc1.wait_log("is not begun before the git remote can be asked for its branch", 60)
    said = lambda: [problem for problem in dc1.agent_status()["problems"] if "can't be asked whether it has the agent's branch" in problem]
    wait_until(said, "that is a problem of the agent", 60, 0.2)
    assert not dc1.tree().exists()
    bare(tmp_path)
    with git_daemon(tmp_path, port):
        wait_runs(dc1, seconds=120)
        assert not said()
        wait_pushed(dc1, tmp_path / "orion.git")


@pytest.mark.parametrize("lacks", ["the folder above it", "the branch main"])
def test_a_remote_of_which_nothing_can_be_told_is_not_taken_for_one_without_a_branch(make_node, tmp_path, lacks):
    above = tmp_path / "mounted"
    if lacks == "the branch main":
        above.mkdir()
        bare(above)
        git = ["git", "-C", above / "orion.git", "-c", "user.name=x", "-c", "user.email=x@x"]
        empty = subprocess.run([*git, "mktree"], input="", check=True, capture_output=True, text=True).stdout.strip()
        mine = subprocess.run([*git, "commit-tree", "-m", "mine", empty], check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run([*git, "update-ref", "refs/heads/other", mine], check=True)
    dc1 = make_node("dc1", AGENTOS_GIT_REMOTE=f"file://{above}/{{agent}}.git")
    dc1.wait_log("is not begun before the git remote can be asked for its branch", 60)
    said = lambda: [problem for problem in dc1.agent_status()["problems"] if "can't be asked whether it has the agent's branch" in problem]
    wait_until(said, "that is a problem of the agent", 60, 0.2)
    assert not dc1.tree().exists()


def test_an_agent_of_this_node_begins_though_the_git_remote_can_not_be_asked_and_its_lost_directory_is_told_of(make_node):
    yaml = agents_yaml(["orion"], "    node: dc1\n")
    dc1 = make_node("dc1", yaml, AGENTOS_GIT_REMOTE=f"git://127.0.0.1:{free_port()}/{{agent}}.git")
    wait_runs(dc1)
    assert "The agent begins without an answer, since agents.yaml has it on this node" in dc1.log()
    dc1.cli("task", "orion", "Do it", "--wait", seconds=60)
    kill_node(dc1)
    dc1.tree().rename(dc1.data / "lost")
    dc1.start(wait=False)
    wait_until(dc1.states, "dc1 answers", 60)
    said = lambda: [problem for problem in dc1.agent_status()["problems"] if "it lived on this node last, and its directory is not here" in problem]
    [problem] = wait_until(said, "that is a problem of the agent", 60, 0.2)
    assert "`nats kv del agentos lease.orion`" in problem
    assert not dc1.tree().exists()


def test_an_export_that_a_person_imports_on_another_node_does_not_take_the_agents_place(make_node, tmp_path):
    dc1, dc2 = make_node("dc1"), make_node("dc2", names=("iris",))
    wait_runs(dc1)
    dc1.cli("task", "orion", "Do it", "--wait", seconds=60)
    dc1.cli("export", "orion", str(tmp_path / "orion.bundle"))
    dc2.cli("import", str(tmp_path / "orion.bundle"))
    kill_node(dc1)
    older = lambda: any("its directory here is older than the agent" in problem for problem in dc2.agent_status("orion")["problems"])
    wait_until(older, "dc2 leaves orion to dc1", 60, 0.2)
    dc1.start(wait=False)
    wait_runs(dc1)
