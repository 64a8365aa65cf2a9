"""deploy/kubernetes against the schemas that Kubernetes publishes, as an npm package of others carries them."""

import harness
from test_page import node


def test_every_object_is_valid_and_restricted():
    node("kubernetes.mjs")


def test_the_agents_of_the_pods_are_right(make_system):
    """agents.yaml as the ConfigMap holds it, behind a link as the init container makes it, on the node of the first pod."""
    source = harness.ROOT / "deploy/kubernetes/agents.yaml"
    system = make_system(env={"AGENTOS_NODE": "agentos-0"})
    (system.data / "agents.yaml").unlink(missing_ok=True)
    (system.data / "agents.yaml").symlink_to(source)
    assert system.cli("check", check=False).returncode == 0, system.cli("check", check=False).stderr
