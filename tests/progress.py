"""A pytest plugin and a program: a run of system tests that tells what fails as it fails, and knows when it is stalled.

    tests/progress.py --junit FILE --stalled-after SECONDS LOG PYTEST_ARGUMENT...

Pytest's own output goes to LOG; a failure is printed at once, with its traceback. A run is stalled when no test has begun
or ended for SECONDS: the whole may take as long as a slow machine needs. A stalled run is killed, and the tests that ran
are named, and it leaves no FILE, so it counts as failed. The exit code is pytest's, or 75 for a stalled run.
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import time

EVENTS = "AGENTOS_TEST_EVENTS"
STALLED = 75


class Events:
    """The plugin's half, in pytest's controlling process: one line an event, a failure's text behind it."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8", errors="replace", buffering=1)

    def pytest_runtest_logstart(self, nodeid):
        self.file.write(f"\x01started {nodeid}\n")

    def pytest_runtest_logreport(self, report):
        if report.failed:
            sections = "".join(f"\n---- {title} ----\n{text[-4000:]}" for title, text in report.sections)
            self.file.write(f"FAILED {report.nodeid} ({report.when})\n{report.longreprtext[-8000:]}{sections}\n")

    def pytest_runtest_logfinish(self, nodeid):
        self.file.write(f"\x01ended {nodeid}\n")


def pytest_configure(config):
    if EVENTS in os.environ and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Events(os.environ[EVENTS]), "agentos-events")


class Run:
    """The program's half: reads the events as they come."""

    def __init__(self, command, log, events):
        events.write_text("")
        self.events = open(events, encoding="utf-8")
        self.running = set()
        self.moved = time.monotonic()
        environment = dict(os.environ, **{EVENTS: str(events)})
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )

    def read(self):
        for line in self.events:
            self.moved = time.monotonic()
            what, _, name = line.rstrip("\n").partition(" ")
            if what == "\x01started":
                self.running.add(name)
            elif what == "\x01ended":
                self.running.discard(name)
            else:
                print(line, end="", flush=True)

    def kill(self, patience):
        print(f"STALLED: no test began or ended for {patience:.0f} s, so the run was killed. These tests were running:")
        for name in sorted(self.running) or ["none: pytest itself did not go on"]:
            print(f"  {name}", flush=True)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def follow(self, patience):
        while self.process.poll() is None:
            self.read()
            if time.monotonic() - self.moved > patience:
                self.kill(patience)
                return STALLED
            time.sleep(0.2)
        self.read()
        return self.process.returncode


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--junit", required=True, type=pathlib.Path)
    parser.add_argument("--stalled-after", required=True, type=float)
    parser.add_argument("log", type=pathlib.Path)
    options, rest = parser.parse_known_args()
    options.junit.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={options.junit}", *rest]
    with open(options.log, "wb") as log:
        return Run(command, log, options.log.with_suffix(".events")).follow(options.stalled_after)


if __name__ == "__main__":
    sys.exit(main())
