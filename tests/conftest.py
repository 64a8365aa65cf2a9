"""Fixtures: `model` is a model server of the test's own, `system` makes a scratch system (several if asked)."""

import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import again  # noqa: E402
import harness  # noqa: E402
from progress import pytest_configure  # noqa: E402,F401


def pytest_addoption(parser):
    parser.addoption("--again", action="store_true", help="only the tests that earn a second run (tests/again.py)")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--again"):
        left = [item for item in items if not again.earns_it(item.path.stem, item.name)]
        items[:] = [item for item in items if item not in left]
        config.hook.pytest_deselected(items=left)


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    setattr(item, f"report_{report.when}", report)


@pytest.fixture
def model():
    server = harness.Model()
    yield server
    server.stop()


@pytest.fixture
def make_system(request):
    """A function that makes a harness.System; all are destroyed afterwards, their logs shown after a failure."""
    made = []

    def make(*arguments, **options):
        made.append(harness.System(*arguments, **options))
        return made[-1]

    yield make
    failed = getattr(request.node, "report_call", None) and request.node.report_call.failed
    for system in made:
        if failed:
            print(f"---- log of {system.folder} ----\n{system.log()[-8000:]}")
        system.destroy()


@pytest.fixture
def system(make_system, model):
    """One agent, orion, with the plain model, running."""
    return make_system(model=model).start()


@pytest.fixture
def small_disk(request, make_system, model):
    """A system whose data directory is a disk of 24 MiB; a parameter is more of its agent in agents.yaml."""
    system = make_system(model=model, extra=getattr(request, "param", ""))
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(system.data)]
    yaml = (system.data / "agents.yaml").read_text()
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk")
    (system.data / "agents.yaml").write_text(yaml)
    yield system.start()
    system.stop()
    subprocess.run(["umount", "-l", str(system.data)], check=True)
