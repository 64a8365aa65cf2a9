"""The key is in the gateway's memory and in the request; nowhere else."""

import pathlib
import subprocess

import pytest

import harness
import needs


def places_with(secret, system):
    """Every file, git object, log line and process picture that holds the secret."""
    needle, found = secret.encode(), []
    for path in system.folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path != system.folder / "key" and needle in path.read_bytes():
            found.append(str(path))
    for name in system.names:
        objects = subprocess.run(
            ["git", "-C", system.tree(name), "cat-file", "--batch", "--batch-all-objects"], capture_output=True
        ).stdout
        if needle in objects:
            found.append(f"objects of {name}")
    for pid in [system.process.pid, *system.family()]:
        for picture in ("environ", "cmdline", "comm"):
            try:
                content = pathlib.Path(f"/proc/{pid}/{picture}").read_bytes()
            except PermissionError:  # then nobody reads a key there
                if needs.pries():
                    raise
                continue
            if needle in content:
                found.append(f"/proc/{pid}/{picture} ({harness.program_of(pid)})")
    return found


@pytest.fixture(params=["environment", "file"])
def secretive(request, make_system, model):
    system = make_system(model=model)
    if request.param == "file":
        (system.folder / "key").write_text(harness.KEY + "\n")
        del system.env["LLM_API_KEY"]
        system.env["LLM_API_KEY_FILE"] = str(system.folder / "key")
    return system.start()


def test_the_key_reaches_the_model_and_no_other_place(secretive, model):
    secretive.add("plain", "Do it plainly")
    secretive.wait_done("plain")
    assert model.requests()[0]["headers"]["authorization"] == f"Bearer {harness.KEY}"
    assert places_with(harness.KEY, secretive) == []


def test_a_key_in_the_models_reply_is_masked_before_it_is_stored(secretive, model):
    secretive.add("leak", "Tell me the key [[model:secret]]")
    secretive.wait_done("leak")
    assert "Your key is" in secretive.read("outputs/leak.md")
    assert places_with(harness.KEY, secretive) == []


def test_a_key_in_an_error_of_the_provider_is_in_no_log(make_system, model):
    system = make_system(model=model, scenario="auth", env={"LOG_LEVEL": "debug"}).start()
    system.add("refused", "No key fits")
    system.wait_log(r"(WARN|ERROR) ")
    assert places_with(harness.KEY, system) == []


def test_a_key_and_a_key_file_at_once_are_an_error(make_system, model):
    system = make_system(model=model, env={"LLM_API_KEY_FILE": "/dev/null"})
    assert system.run_to_end() == 78
    assert "LLM_API_KEY_FILE" in system.log()
    assert harness.KEY not in system.log()


@needs.prying
def test_the_worker_holds_neither_the_key_nor_a_network_connection(system):
    worker = system.worker()
    memory = pathlib.Path(f"/proc/{worker}/environ").read_bytes()
    assert b"LLM_API_KEY=" + harness.KEY.encode() not in memory
    descriptors = [p.readlink() if p.is_symlink() else p for p in pathlib.Path(f"/proc/{worker}/fd").iterdir()]
    inodes = {str(target)[8:-1] for target in descriptors if str(target).startswith("socket:[")}
    tables = "".join(pathlib.Path(f"/proc/{worker}/net/{name}").read_text() for name in ("tcp", "tcp6", "udp", "udp6"))
    assert not any(f" {inode} " in tables for inode in inodes)
