"""deploy/test's own promises: a run of system tests tells what fails as it fails, and a stalled run ends and says where."""

import os
import pathlib
import re
import subprocess
import sys

import again
from harness import wait_until

PROGRESS = pathlib.Path(__file__).resolve().parents[1] / "progress.py"

TESTS = """
import pathlib, time
def test_good():
    pass
def test_bad():
    assert "this" == "that"
def test_hangs():
    while not pathlib.Path({gate!r}).exists():
        time.sleep(0.05)
"""


def begin(tmp_path, stalled_after):
    gate = tmp_path / "gate"
    (tmp_path / "test_three.py").write_text(TESTS.format(gate=str(gate)))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "AGENTOS_TEST_EVENTS"))}
    command = [sys.executable, str(PROGRESS), "--junit", str(tmp_path / "j.xml"), "--stalled-after", str(stalled_after)]
    process = subprocess.Popen(
        [*command, str(tmp_path / "log"), "-q", "-p", "progress", str(tmp_path / "test_three.py")],
        stdout=open(tmp_path / "said", "wb"), env={**environment, "PYTHONPATH": str(PROGRESS.parent)},
    )
    return process, gate, tmp_path / "said"


def test_what_fails_is_told_while_the_run_goes_on(tmp_path):
    process, gate, said = begin(tmp_path, 3600)
    wait_until(lambda: "FAILED" in said.read_text() and "'that'" in said.read_text(), "the failure told")
    assert "test_bad" in said.read_text()
    assert process.poll() is None
    gate.touch()
    assert process.wait(60) == 1
    assert (tmp_path / "j.xml").exists()


def test_a_run_that_stalls_is_ended_and_the_test_that_hangs_is_named(tmp_path):
    process, _, said = begin(tmp_path, 10)
    assert process.wait(120) == 75
    told = said.read_text()
    assert "STALLED" in told and told.index("STALLED") < told.index("test_hangs")
    assert "test_bad" in told
    assert not (tmp_path / "j.xml").exists()


def test_every_line_of_the_table_of_second_runs_names_a_test():
    here = pathlib.Path(__file__).parent
    for module in again.WHOLE | again.SOME.keys():
        names = re.findall(r"^def test_(\w+)", (here / f"{module}.py").read_text(), re.MULTILINE)
        for beginning in again.SOME.get(module, "").split():
            assert any(name.startswith(beginning) for name in names), f"{module}: {beginning}"
