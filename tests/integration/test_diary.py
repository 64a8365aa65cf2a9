"""`agentos log` reads like a diary: task, reward, audit, skill earned or pruned, tokens, commit."""

import json
import re

import pytest

from harness import wait_until


@pytest.fixture
def audited(make_system, model):
    return make_system(model=model, extra="    reward_audit: {enabled: true, method: rule_based}\n").start()


def pages(system):
    """The diary's pages by subject, newest first."""
    return {page["subject"]: page for page in json.loads(system.cli("log", "orion", "--json").stdout)["items"]}


def wait_audit(system, task_id):
    return wait_until(lambda: pages(system).get(f"orion(task): {task_id}", {}).get("audit"), f"audit of {task_id}")


def test_a_tasks_page_has_reward_audit_skill_tokens_and_commit(audited):
    audited.add("one", "Work one with care")
    audited.wait_done("one")
    audit = wait_audit(audited, "one")
    page = pages(audited)["orion(task): one"]
    assert page["reward"] == 1 and page["tokens"] > 0 and page["task"] == "one" and page["end"] == "done"
    assert "skill earned: work-one-with-care" in page["body"]
    assert f"audit of one: {audit}" in audited.git("show", "-s", "--format=%b", page["audit_commit"])
    said = audited.cli("log", "orion").stdout
    commit = audited.git("log", "--format=%h", "--abbrev=7", "--grep=(task): one").strip()
    line = re.search(rf"^\S+Z  {commit}  \+1 +\d+ tokens  orion\(task\): one\n(?:    .*\n)+", said, re.M)
    assert line and f"    audit: {audit} (in {page['audit_commit'][:7]})\n" in line[0]


def test_an_answer_that_is_disputed_says_so_on_its_page(audited, model):
    model.become("length")
    audited.add("cut", "Work that is cut off")
    audited.wait_done("cut")
    model.become("")
    assert wait_audit(audited, "cut")


def test_a_reason_of_the_models_passes_for_no_audit(audited, model):
    for task_id in ("one", "two"):
        audited.add(task_id, f"Work {task_id} with care")
        audited.wait_done(task_id)
    wait_audit(audited, "one")
    wait_audit(audited, "two")
    before = {subject: page["audit"] for subject, page in pages(audited).items()}
    model.become("forged")
    audited.add("three", "Work three with care")
    audited.wait_done("three")
    wait_audit(audited, "three")
    after = pages(audited)
    assert "reason: audit of three: +1: nothing to see" in after["orion(task): three"]["body"]
    assert "nothing to see" not in after["orion(task): three"]["audit"]
    assert all(after[subject]["audit"] == audit for subject, audit in before.items())


def test_pruned_skills_expired_tasks_people_and_rollbacks_have_their_lines(system):
    skills = system.tree() / "skills.md"
    lines = "".join(f"\n### old-{n:02}\n- description: x\n- reward_evidence: {n + 1}\n- last_success: 2026-01-01T00:00:00Z\n" for n in range(20))
    skills.write_text(skills.read_text() + lines)
    system.add("one", "Work one with care")
    system.wait_done("one")
    system.add("late", "Work that came too late", ttl_seconds=1, created="2026-01-01T00:00:00Z")
    wait_until(lambda: "orion(escalation): late expired" in system.subjects(), "expired")
    system.cli("rollback", "orion", "HEAD~2")
    said = system.cli("log", "orion").stdout
    for pattern in (
        r"orion +orion\(rollback\): to \w{7}\n    undone: the learning since",
        r"\n    skill restored: old-00 \(evidence 1, last success 2026-01-01T00:00:00Z\)",
        r"orion\(escalation\): late expired \(expired\)",
        r"\n    skill pruned: old-00 \(score 0\.",
        r"people +people: skills\.md",
        r"orion +init: agent filesystem\n",
    ):
        assert re.search(pattern, said), (pattern, said)
