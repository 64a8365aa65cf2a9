"""A data directory says its format: an older one is taken up once and told, a newer one is left alone (contract section 14)."""

TAKEN_UP = "The data directory is of an earlier version"


def test_a_directory_of_an_earlier_version_is_taken_up_and_its_changes_are_told_once(make_system, model):
    system = make_system(model=model).start()
    system.add("one", "Do it")
    system.wait_done("one")
    assert TAKEN_UP not in system.log() and system.stop() == 0
    (system.data / ".agentos-format").unlink()
    system.start()
    assert system.log().count(TAKEN_UP) == 1 and "keep" in system.log()
    system.add("two", "Do it again")
    system.wait_done("two")
    assert system.stop() == 0
    system.start()
    assert system.log().count(TAKEN_UP) == 1
    system.assert_each_once(["one", "two"])


def test_a_directory_of_a_newer_version_is_refused_by_every_verb_and_untouched(make_system, model):
    system = make_system(model=model).start()
    assert system.stop() == 0
    (system.data / ".agentos-format").write_text("format: 3\nof: tomorrow\n")
    before = sorted((path, path.lstat().st_mtime_ns) for path in system.data.rglob("*"))
    for verb in (["run"], ["check"], ["status"], ["log", "orion"], ["verify"], ["export", "orion", "x"], ["task", "orion", "Do it"]):
        result = system.cli(*verb, check=False)
        assert result.returncode == 78 and "has format 3, of a newer version" in result.stderr, verb
    assert sorted((path, path.lstat().st_mtime_ns) for path in system.data.rglob("*")) == before
    assert system.cli("version").returncode == 0
