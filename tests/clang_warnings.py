#!/usr/bin/env python3
"""Shows every source to clang, for its warnings: they come from parsing, so no code is made.

    tests/clang_warnings.py BUILD_FOLDER...    folders that were configured with clang, not built; a source that an
                                               earlier folder has is not read again

clang takes longer to start than to read a source of ours, so the sources that have the same options are read by one process
for each processor: the driver (clang -###) says how its compiler proper is called for a source, and the compiler proper
takes many, each on its own. Sources that the build makes itself are not shown. Exit code 0: there is nothing to warn of.
"""

import collections
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys


def groups(build):
    """{(folder, options): sources}"""
    found = collections.defaultdict(set)
    for entry in json.loads((pathlib.Path(build) / "compile_commands.json").read_text()):
        words = shlex.split(entry["command"])
        words = words[: words.index("-o")] + words[words.index("-o") + 2 :]
        options = [word for word in words if word not in ("-c", entry["file"]) and not re.match("-g[0-9]?$", word)]
        if pathlib.Path(entry["file"]).exists():
            found[(entry["directory"], tuple(options))].add(entry["file"])
    return found


def compiler_proper(folder, options, source):
    """The command that reads `source`, without it."""
    driver = subprocess.run(
        [*options, "-fsyntax-only", "-###", source], cwd=folder, capture_output=True, text=True, check=True
    )
    words = shlex.split(driver.stderr.splitlines()[-1])
    assert "-cc1" in words and words[-1] == source, driver.stderr
    return words[:-1]


def main():
    processors, running, read = len(os.sched_getaffinity(0)), [], set()
    found = [group for build in sys.argv[1:] for group in sorted(groups(build).items())]
    for (folder, options), sources in found:
        sources = sorted(sources - read)
        if not sources:
            continue
        command = compiler_proper(folder, options, sources[0])
        parts = [sources[first::processors] for first in range(processors)]
        running += [subprocess.Popen([*command, *part], cwd=folder) for part in parts if part]
        read.update(sources)
    bad = [process for process in running if process.wait()]
    print(f"clang read {len(read)} sources" + (" and warned" if bad else ""))
    return 1 if bad or not read else 0


if __name__ == "__main__":
    sys.exit(main())
