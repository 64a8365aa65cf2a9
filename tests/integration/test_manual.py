"""The manual pages and the shells' completions have every verb, option, variable and key of the program."""

import re
import shutil
import subprocess

import pytest
from harness import BIN, ROOT

AGENTOS = ROOT / "deploy/man/agentos.1"
YAML = ROOT / "deploy/man/agents.yaml.5"
BASH = ROOT / "deploy/completions/agentos.bash"
ZSH = ROOT / "deploy/completions/_agentos"


def page(*words):
    return subprocess.run([str(BIN / "agentos"), *words, "--help"], capture_output=True, text=True, check=True).stdout


def verbs():
    """Each verb with its arguments and summary, as --help lists them."""
    listed = re.findall(r"^  ([a-z-]+)((?: [\[A-Z-]\S*)*) +([a-z].*)$", page().split("\n\n`agentos VERB")[0], re.MULTILINE)
    assert len(listed) > 15
    return {verb: (arguments.strip(), summary) for verb, arguments, summary in listed}


def options(verb):
    return re.findall(r"^  (--?[a-z-]+)", page(verb).split("Options:")[1], re.MULTILINE)


def paragraph(manual, name):
    """The manual's text in a list's item, up to the next of the same kind."""
    found = re.search(rf"^\.It (?:Cm|Ev) (?:[^\n]* , )?{re.escape(name)}(?![\w-])[^\n]*\n(?:.*\n)*?(?=\.It (?:Cm|Ev) |\.El|\.Sh )",
                      manual, re.MULTILINE)
    assert found, f"{name} is not in the manual"
    return found[0]


# ---- the manual ----


def test_the_manual_names_every_verb_with_every_option():
    manual = AGENTOS.read_text()
    for verb in verbs():
        about = paragraph(manual, verb)
        for option in options(verb):
            if option not in ("--data", "--help"):
                assert f"Fl {option[1:]}" in about.split("\n")[0], f"{verb} {option}"
    assert ".It Fl -data" in manual and ".It Fl -help" in manual and "Fl -version" in manual


def test_the_manual_names_every_variable_with_its_default():
    manual = AGENTOS.read_text()
    table = re.findall(r"^  ([A-Z_]+) +(.*)$", page().split("Environment:\n")[1], re.MULTILINE)
    assert len(table) > 15
    for name, text in table:
        about = paragraph(manual, name)
        default = re.search(r"\(default (.*)\)$", text)
        if default:
            assert default[1] in about[about.index("Default") :], f"{name}'s default is {default[1]}"


def test_the_manual_and_the_settings_name_the_variables_of_the_way_to_a_provider():
    manual, settings = AGENTOS.read_text(), (ROOT / "deploy/docs/settings.md").read_text()
    for name in "HTTPS_PROXY HTTP_PROXY ALL_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR".split():
        paragraph(manual, name)
        assert f"`{name}`" in settings


def test_the_manual_names_every_exit_code():
    codes = re.findall(r"\d+", page().split("Exit codes: ")[1].split("\n\n")[0])
    section = AGENTOS.read_text().split(".Sh EXIT STATUS")[1].split(".Sh")[0]
    for code in codes:
        assert re.search(rf"^\.It (?:\d+ , )?{code}\b", section, re.MULTILINE), code


def test_the_manual_names_every_event():
    told = set(re.findall(r"^ \*       ([a-z_]+)(?:, ([a-z_]+))?  ", (ROOT / "common/control.h").read_text(), re.MULTILINE))
    names = {name for pair in told for name in pair if name} | {"supervisor_stopping"}
    assert len(names) > 10
    for name in names:
        paragraph(AGENTOS.read_text(), name)
    source = "".join(path.read_text() for path in (ROOT / "supervisor").glob("*.c"))
    sent = set(re.findall(r'control_event\([^",]+,[^",]+,\s*"([a-z_]+)"', source))
    sent |= set(re.findall(r'"(envelope_[a-z_]+)"', source + (ROOT / "common/event_words.h").read_text()))
    assert sent <= names and len(sent) > 20, sent - names


def test_the_manual_names_every_key_of_agents_yaml_with_its_range():
    manual, schema = YAML.read_text(), (ROOT / "common/format/roster_schema.c").read_text()
    named = set(re.findall(r"[a-z_]+", "".join(re.findall(r"\bCm (.*\n)", manual))))
    keys = set(re.findall(r'\{"([a-z_]+)", FIELD_', schema))
    counts = re.findall(r'COUNT\("([a-z_]+)", [^\n]*?, (\d+), (\d+)\),', schema)
    counted = set(re.findall(r'COUNT\("([a-z_]+)"', schema))
    assert len(keys) > 20 and len(counts) > 5 and len(counted) > 10
    assert keys | counted <= named
    for name, least, most in counts:
        assert re.search(rf"Cm {name} ?,?\n(?:.*\n)?.*from {least} to {most}\b", manual), f"{name}: {least} to {most}"
    for name in keys | counted:
        for item in re.findall(rf"^\.It Cm {name}$\n((?:(?!\.It).*\n)*)", manual, re.MULTILINE):
            assert re.search(r"Required|Default|mapping|list of tasks|list of work queues|list of texts that", item), name


def test_the_manual_of_agents_yaml_names_the_settings_that_an_agent_may_have_of_its_own():
    table = re.sub(r"\\\n\s*", "", (ROOT / "common/settings.h").read_text())
    own = re.findall(r'X\(\w+, "(\w+)", \w+, (?:"[^"]*"|NULL), \d+, \d+, true,', table)
    assert len(own) > 8
    section = YAML.read_text().split(".Ss Settings of an agent\n")[1].split(".Sh ")[0]
    named = {name for line in re.findall(r"^\.Ev (.*)$", section, re.MULTILINE) for name in re.findall(r"\w+", line)}
    assert named == set(own) and "LLM_MODEL__ORION=" in section


@pytest.mark.skipif(not shutil.which("mandoc"), reason="no mandoc")
def test_mandoc_finds_nothing_to_complain_about():
    result = subprocess.run(["mandoc", "-T", "lint", "-W", "all", str(AGENTOS), str(YAML)], capture_output=True, text=True)
    # Whether another manual is installed says nothing about these.
    said = [line for line in result.stdout.splitlines() if "referenced manual not found" not in line]
    assert said == []


# ---- completions ----


def complete(words, **environment):
    """The words that bash offers for the last word."""
    script = f"""
        source {BASH}
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _agentos; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    result = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=True,
                            env={"PATH": f"{BIN}:/usr/bin:/bin", "HOME": "/root", **environment})
    assert result.stderr == ""
    return result.stdout.split()


def test_bash_offers_every_verb_and_every_option_of_each():
    assert complete(["agentos", ""]) == list(verbs())
    assert complete(["agentos", "rel"]) == ["reload"]
    for verb in verbs():
        assert sorted(complete(["agentos", verb, "-"])) == sorted(options(verb)), verb


def test_bash_offers_the_agents_where_one_belongs(tmp_path):
    for name in ("orion", "iris"):
        (tmp_path / "agents" / name).mkdir(parents=True)
    for verb, (arguments, _) in verbs().items():
        wanted = ["iris", "orion"] if re.match(r"\[?AGENT", arguments) else sorted(verbs()) if "VERB" in arguments else []
        assert sorted(complete(["agentos", verb, ""], DATA_DIR=str(tmp_path))) == wanted, verb
    assert complete(["agentos", "--data", str(tmp_path), "stop", "o"]) == ["orion"]
    assert complete(["agentos", "stop", "orion", "i"], DATA_DIR=str(tmp_path)) == ["iris"]
    assert complete(["agentos", "skills", "orion", ""], DATA_DIR=str(tmp_path)) == []
    assert complete(["agentos", "help", "ski"]) == ["skills"]
    assert complete(["agentos", "task", "orion", "--priority", "h"]) == ["high"]
    assert complete(["agentos", "stop", ""], DATA_DIR=str(tmp_path / "nothing")) == []


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh")
def test_zsh_has_every_verb_with_its_summary_and_its_options():
    subprocess.run(["zsh", "-n", str(ZSH)], check=True)
    script = f"""
        source {ZSH}
        _describe() {{ print -rl -- ${{(P)2}} }}
        _agentos_table=("${{(@f)$(agentos help --table)}}")
        _agentos_verbs
        for verb in {" ".join(verbs())}; do print -r -- "= $verb $(_agentos_options $verb)"; done
    """
    result = subprocess.run(["zsh", "-fc", script], capture_output=True, text=True, check=True,
                            env={"PATH": f"{BIN}:/usr/bin:/bin"})
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert [line for line in lines if not line.startswith("= ")] == [
        f"{verb}:{summary}" for verb, (_, summary) in verbs().items()
    ]
    for line in lines:
        if line.startswith("= "):
            _, verb, *found = line.split()
            assert sorted(found) == sorted(options(verb)), verb
