"""Too few descriptors, threads or processes: agents that fit run, the others are named with the number that would be enough,
and no process ends by a signal."""

import os
import re
import subprocess

import needs
import pytest
from harness import BIN, wait_until

NAMES = [f"agent-{number:02}" for number in range(30)]
USER = 54321
WOULD_DO = r"\b(\d+) would do for all 30 agent\(s\)"


@pytest.fixture
def pids_max(request):
    """A control group of the test's own, as the command that enters it; request.param is its pids.max."""
    folder = os.path.join(needs.pids_folder(), f"agentos-{os.getpid()}")
    os.mkdir(folder)
    with open(os.path.join(folder, "pids.max"), "w") as limit:
        limit.write(str(request.param))
    yield ["sh", "-c", f'echo $$ > {folder}/cgroup.procs && exec "$0" "$@"'], folder
    wait_until(lambda: not open(os.path.join(folder, "cgroup.procs")).read(), "the control group's end")
    os.rmdir(folder)


def another_user(nproc):
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "prlimit", f"--nproc={nproc}:{nproc}"]


def started(system, prefix):
    system.prefix = prefix
    system.start(wait=False)
    system.wait_log("AgentOS running with")
    return system


def what_fits_runs_and_the_rest_is_named(system, limit):
    """How many run."""
    running, named = re.search(r"AgentOS running with (\d+) agent\(s\)\. Polling every 1s\. Not started: (.*);", system.log()).groups()
    left = named.split(", ")
    assert int(running) > 0 and int(running) + len(left) == len(NAMES)
    assert re.search(rf"This machine has too few \w+ \({limit}\): .*; {WOULD_DO}, and \d+ of them fit", system.log())
    assert len(re.findall("ERROR", system.log())) == 1
    states = wait_until(lambda: "starting" not in (s := system.states()).values() and s, "every agent's start")
    assert {name for name, state in states.items() if state == "failed"} == set(left)
    for name in NAMES:
        problems = system.agent_status(name)["problems"]
        assert bool(problems) == (name in left), problems
        assert name not in left or re.search(rf"too few \w+ \({limit}\): .*{WOULD_DO}", problems[0])
    for name in set(NAMES) - set(left):
        assert "done" in system.cli("task", name, "Do it", "--wait").stderr
    assert not re.search(r"signal \d|out of memory|ended", system.log())
    return int(running)


def check_and_doctor_say(system, prefix, limit):
    for verb in ("check", "doctor"):
        command = [*prefix, str(BIN / "agentos"), verb, "--data", str(system.data)]
        said = subprocess.run(command, env={**system.env, "LLM_BASE_URL": "offline"}, capture_output=True, text=True).stdout
        number = re.search(rf"too few \w+ \({limit}\): .*?{WOULD_DO}, and \d+ of them fit", said)
        assert number, said
    return int(number[1])


def test_with_too_few_descriptors_what_fits_runs_and_the_number_that_would_do_is_said(make_system, model):
    prefix = ["prlimit", "--nofile=150:150"]  # all take 176 when they rest, and more while they start
    system = make_system(NAMES, model=model)
    assert check_and_doctor_say(system, prefix, "RLIMIT_NOFILE") == 260
    what_fits_runs_and_the_rest_is_named(started(system, prefix), "RLIMIT_NOFILE")
    assert system.stop() == 0
    started(system, ["prlimit", "--nofile=260:260"]).wait_ready()


def test_doctor_says_that_a_limit_of_address_space_from_outside_leaves_page_tables_less_bounded(system):
    def said(*prefix):
        command = [*prefix, str(BIN / "agentos"), "doctor", "--data", str(system.data)]
        return subprocess.run(command, env={**system.env, "LLM_BASE_URL": "offline"}, capture_output=True, text=True).stdout

    assert "RLIMIT_AS" in said("prlimit", f"--as={1 << 50}")
    assert "RLIMIT_AS" not in said("prlimit", "--as=unlimited")


@needs.other_user
def test_with_a_low_limit_of_processes_what_fits_runs_and_no_worker_ends_by_a_signal(make_system, model):
    system = make_system(NAMES, model=model)
    os.chmod(system.folder, 0o755)
    for path in (system.data, system.data / "agents.yaml"):
        os.chown(path, USER, USER)
    number = check_and_doctor_say(system, another_user(150), "RLIMIT_NPROC")
    what_fits_runs_and_the_rest_is_named(started(system, another_user(150)), "RLIMIT_NPROC")
    assert system.stop() == 0
    started(system, another_user(number)).wait_ready()


@needs.counting_processes
@pytest.mark.parametrize("pids_max", [150], indirect=True)
def test_with_a_small_pids_max_what_fits_runs_and_no_worker_ends_by_a_signal(pids_max, make_system, model):
    prefix, folder = pids_max
    system = make_system(NAMES, model=model)
    number = check_and_doctor_say(system, prefix, "pids.max")
    what_fits_runs_and_the_rest_is_named(started(system, prefix), "pids.max")
    assert system.stop() == 0
    with open(os.path.join(folder, "pids.max"), "w") as limit:
        limit.write(str(number))
    started(system, prefix).wait_ready()
    assert system.stop() == 0


@needs.counting_processes
@pytest.mark.parametrize("pids_max", [1000], indirect=True)
def test_a_full_process_table_stops_no_agent_that_runs_and_says_why_another_start_fails(pids_max, make_system, model):
    prefix, folder = pids_max
    system = started(make_system(["orion", "iris"], model=model), prefix)
    system.wait_ready()
    taken = int(open(os.path.join(folder, "pids.current")).read())
    with open(os.path.join(folder, "pids.max"), "w") as limit:
        limit.write(str(taken))
    os.kill(system.worker("iris"), 9)
    system.wait_state("iris", "failed", "backoff")
    said = lambda: any("too few threads (pids.max)" in problem for problem in system.agent_status("iris")["problems"])  # noqa: E731
    wait_until(said, "the limit's name")
    assert "done" in system.cli("task", "orion", "Do it", "--wait").stderr
    system.cli("task", "iris", "Wait for room", "--id", "kept")
    with open(os.path.join(folder, "pids.max"), "w") as limit:
        limit.write("1000")
    system.cli("start", "iris")
    system.wait_done("kept", name="iris")
    assert system.stop() == 0


@needs.counting_processes
@pytest.mark.parametrize("pids_max", [12], indirect=True)
def test_a_supervisor_that_cannot_have_its_threads_ends_with_a_sentence(pids_max, make_system, model):
    system = make_system(["orion"], model=model)
    system.prefix = pids_max[0]
    assert system.run_to_end() == 71
    assert re.search(r"only \d+ of the \d+ threads that are needed can be had: .*pids\.max", system.log())
