"""Where agents live: `node` of agents.yaml, leases on the bus (contract section 12)."""

from harness import agents_yaml


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
