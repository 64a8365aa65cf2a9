"""The check of the plan (tests/house/check.py) finds each kind of fault, shown on small trees of sources."""

import pathlib
import shutil
import subprocess
import sys

import pytest

CHECK = pathlib.Path(__file__).resolve().parents[1] / "house" / "check.py"
FILES = {
    "tests/house/rooms.txt": "common:\nworker/queue: common\nsupervisor/post: common\n",
    "tests/house/open.txt": "# No fault stands.\n",
    "common/names.h": "int names_count(void);\n",
    "common/names.c": '#include "common/names.h"\nint names_count(void) { return 1; }\n',
    "worker/queue/file.h": "int file_read(void);\n",
    "worker/queue/file.c": '/* Reads; see merge.c. */\n#include "common/names.h"\n#include "worker/queue/file.h"\n'
    "int file_read(void) { return names_count(); }\n",
    "worker/queue/merge.c": '#include "worker/queue/file.h"\nint merge(void);\nint merge(void) { return file_read(); }\n',
    "supervisor/post/box.c": "int box(void);\nint box(void) { return 2; }\n",
}
FIELDS = "struct large {\n" + "".join(f"    int field_{number};\n" for number in range(25)) + "%s};\n"


@pytest.fixture
def house(tmp_path):
    """A call with changed files ({path: text, or None to remove it}) builds the tree and gives the check's result."""

    def check(changes=()):
        for path, text in {**FILES, **dict(changes)}.items():
            place = tmp_path / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if text is not None:
                place.write_text(text)
        for source in tmp_path.glob("*/*/*.c"), tmp_path.glob("common/*.c"):
            for path in source:
                name = str(path.relative_to(tmp_path))
                made = tmp_path / "build" / "CMakeFiles" / "all.dir" / f"{name}.o"
                made.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cc", "-c", "-I", tmp_path, "-o", made, path], check=True)
        shutil.copy(CHECK, tmp_path / "tests" / "house" / "check.py")
        command = [sys.executable, tmp_path / "tests" / "house" / "check.py", tmp_path / "build"]
        return subprocess.run(command, capture_output=True, text=True)

    return check


def test_a_clean_tree_passes(house):
    result = house({"common/large.h": FIELDS % ""})
    assert (result.returncode, result.stdout) == (0, "4 units, 0 in 0 circles, 0 open arrows, 0 faults\n")


FAULTS = {
    "a circle": (
        {"common/names.c": "int file_read(void);\nint names_count(void);\nint names_count(void) { return file_read(); }\n"},
        "a circle of 2 files: common/names.c, worker/queue/file.c",
    ),
    "an include upwards": (
        {"common/names.h": '#include "worker/queue/merge.h"\nint names_count(void);\n', "worker/queue/merge.h": ""},
        "common/names.h includes worker/queue/merge.h, of a room that common may not use",
    ),
    "an include across": (
        {"supervisor/post/box.c": '#include "worker/queue/file.h"\nint box(void);\nint box(void) { return 2; }\n'},
        "supervisor/post/box.c includes worker/queue/file.h, of a room that supervisor/post may not use",
    ),
    "a call without an include": (
        {"supervisor/post/box.c": "int file_read(void);\nint box(void);\nint box(void) { return file_read(); }\n"},
        "supervisor/post/box.c calls file_read of worker/queue/file.c, a room that it may not use",
    ),
    "a struct of 26 fields": (
        {"common/large.h": FIELDS % "    struct { int inner; } last;\n"},
        "common/large.h: struct large has 26 fields; 25 are the most",
    ),
    "a comment that names a missing source": (
        {"worker/queue/merge.h": "/* As in worker/queue/gone.c. */\n"},
        "worker/queue/merge.h: a comment names worker/queue/gone.c, which there is not",
    ),
    "a file of 601 lines": ({"common/long.h": "\n" * 601}, "common/long.h has 601 lines; 600 are the most"),
    "a test of 601 lines": ({"tests/unit/test_long.c": "\n" * 601}, "tests/unit/test_long.c has 601 lines; 600 are the most"),
    "a room that no plan lists": (
        {"worker/mail/mail.h": ""},
        "worker/mail/mail.h lies in a room that rooms.txt does not list",
    ),
    "a room of 31 sources": (
        {f"supervisor/post/part_{number}.c": f"int part_{number}(void) {{ return 0; }}\n" for number in range(30)},
        "supervisor/post/ has 31 sources; 30 are the most",
    ),
    "an excuse for an arrow that is gone": (
        {"tests/house/open.txt": "arrow worker/queue/file.c worker/mail/mail.h\n"},
        "open.txt: there is no arrow worker/queue/file.c worker/mail/mail.h any more",
    ),
    "an excuse for a circle that is gone": (
        {"tests/house/open.txt": "circle worker/queue/file.c worker/queue/merge.c\n"},
        "open.txt: worker/queue/file.c stands in no circle any more",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_plan_is_told(house, fault):
    changes, told = FAULTS[fault]
    result = house(changes)
    assert result.returncode == 1
    assert told in result.stdout.splitlines()


def test_a_circle_that_is_excused_passes(house):
    circle = FAULTS["a circle"][0]
    excuse = "circle common/names.c worker/queue/file.c\narrow common/names.c worker/queue/file.c\n"
    result = house({**circle, "tests/house/open.txt": excuse})
    assert (result.returncode, result.stdout) == (0, "4 units, 2 in 1 circles, 1 open arrows, 0 faults\n")
