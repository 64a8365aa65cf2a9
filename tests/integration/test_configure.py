"""Configuring the build: a missing package has Debian's name in the message, and tests are built where cmocka is."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def configure(tmp_path, *without):
    """Configures against copies of the machine's pkg-config files, without the files of some modules."""
    if not shutil.which("cmake"):
        pytest.skip("no cmake here")
    folders = subprocess.run(["pkg-config", "--variable=pc_path", "pkg-config"], capture_output=True, text=True).stdout
    modules = tmp_path / "modules"
    modules.mkdir()
    for folder in reversed(folders.strip().split(":")):
        for file in pathlib.Path(folder).glob("*.pc"):
            if file.stem not in without:
                shutil.copy(file, modules / file.name)
    return subprocess.run(
        ["cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(tmp_path / "build")],
        env={**os.environ, "PKG_CONFIG_LIBDIR": str(modules), "PKG_CONFIG_PATH": ""}, capture_output=True, text=True,
    )


def targets(tmp_path):
    return re.findall(r"^build bin/(\S+):", (tmp_path / "build/build.ninja").read_text(), re.MULTILINE)


def test_without_cmocka_the_programs_are_built_and_the_tests_are_not(tmp_path):
    result = configure(tmp_path, "cmocka")
    assert result.returncode == 0, result.stderr
    assert "libcmocka-dev" in result.stdout
    assert "agentos-worker" in targets(tmp_path)
    assert "test_block" not in targets(tmp_path)


def test_with_cmocka_the_tests_are_built(tmp_path):
    result = configure(tmp_path)
    assert result.returncode == 0, result.stderr
    assert "test_block" in targets(tmp_path)


@pytest.mark.parametrize("module, package", [("libgit2", "libgit2-dev"), ("jansson", "libjansson-dev"), ("libcurl", "libcurl4-openssl-dev")])
def test_a_missing_package_is_named_as_debian_names_it(tmp_path, module, package):
    result = configure(tmp_path, module)
    assert result.returncode != 0
    assert f"apt-get install {package}" in " ".join(result.stderr.split())
