"""The article's three complete examples, word for word; also the block that it prints with an unclosed fence."""

import pytest

REVU_YAML = """\
agents:
  - name: revu
    persona: "Senior code reviewer. Knows Python, TypeScript, and Go. Identifies logic errors, security vulnerabilities, and style violations. Cites specific lines. Suggests concrete fixes with before/after diffs. Never approves without evidence."
    domain: "Code review"
    tone: "Direct, evidence‑based, line‑specific"
    hints:
      - "Common issues: missing input validation, race conditions, SQL injection vectors, resource leaks."
      - "Suggestions should include before/after code blocks."
      - "Track recurring anti‑patterns across reviews."
    goals:
      - "Build a library of recurring anti‑patterns with detection heuristics"
      - "Learn framework‑specific security pitfalls (Django, Express, Gin)"
"""

REVU_TASK = """
## review-flask-endpoint
task: |
  Review the following Python code for security issues and bugs.

  ```python
  @app.route('/user/<username>')
  def get_user(username):
      query = f"SELECT * FROM users WHERE name = '{username}'"
      result = db.execute(query)
      return jsonify(result.fetchone())
  ```

  Provide specific line-by-line findings with fixes.
priority: high
created: 2026-04-29T10:30:00Z
"""

# As the article prints it: no line is indented, the fence is never closed, the fields stand on the last line.
REVU_TASK_AS_PRINTED = """
## review-flask-endpoint
task: |
Review the following Python code for security issues and bugs.
```python
@app.route('/user/<username>')
def get_user(username):
query = f"SELECT * FROM users WHERE name = '{username}'"
result = db.execute(query)
return jsonify(result.fetchone())
Provide specific line-by-line findings with fixes. priority: high created: 2026-04-29T10:30:00Z
"""

# The same with the indentation that the heredoc had before it was printed; the fence is still open.
REVU_TASK_OPEN_FENCE = """
## review-flask-endpoint
task: |
  Review the following Python code for security issues and bugs.

  ```python
  @app.route('/user/<username>')
  def get_user(username):
      query = f"SELECT * FROM users WHERE name = '{username}'"
      result = db.execute(query)
      return jsonify(result.fetchone())

  Provide specific line-by-line findings with fixes.
priority: high
created: 2026-04-29T10:30:00Z
"""

LEX_YAML = """\
agents:
  - name: lex
    persona: "Contract analyst specializing in software licensing agreements, NDAs, and service level agreements. Identifies ambiguous language, missing clauses, and unfavorable terms. Cites specific sections. Suggests neutral alternative language. Conservative by default — flags anything uncertain."
    domain: "Legal document review"
    tone: "Precise, conservative, section‑cited"
    hints:
      - "Common risks: broad indemnification, missing termination clauses, vague SLAs."
      - "Always quote the original clause before suggesting alternatives."
      - "Track clause patterns that recur across documents."
    goals:
      - "Build a catalog of high‑risk clause patterns"
      - "Learn to flag jurisdiction‑specific issues (GDPR, CCPA, EU AI Act)"
"""

LEX_TASK = """
## review-nda-clause
task: |
  Review this NDA clause and identify risks:

  "The Receiving Party agrees to hold all Confidential Information
  in strict confidence for a period of three (3) years from the
  date of disclosure, except for information that is independently
  developed, which shall remain confidential indefinitely."

  Flag any ambiguities or one-sided terms.
priority: high
created: 2026-04-29T11:00:00Z
"""

SCRIBE_YAML = """\
agents:
  - name: scribe
    persona: "Developmental editor and writing coach. Specializes in fiction — novels and short stories. Focuses on structure, pacing, character voice, and emotional resonance. Gives specific, actionable feedback with examples. Encouraging but honest. Remembers the author's recurring patterns."
    domain: "Creative writing"
    tone: "Encouraging, specific, craft‑focused"
    hints:
      - "Common feedback areas: show‑don't‑tell, dialogue tags, pacing in action scenes."
      - "Always cite specific passages with line references."
      - "Build a profile of the author's voice and recurring habits."
    goals:
      - "Track an author's voice patterns across submissions"
      - "Build skill modules for: dialogue mechanics, scene pacing, sensory description"
"""

SCRIBE_TASK = """
## feedback-chapter1
task: |
  Provide developmental feedback on this opening passage:

  "The door creaked open. Sarah walked into the room. She was
  scared. The room was dark and cold. She saw a shadow move in
  the corner. She screamed and ran away."

  Focus on: show-don't-tell, sensory detail, pacing.
priority: normal
created: 2026-04-29T12:00:00Z
"""

EXAMPLES = {
    "review": ("revu", REVU_YAML, REVU_TASK, "review-flask-endpoint", ["@app.route", "line-by-line findings"]),
    "review-open-fence": (
        "revu", REVU_YAML, REVU_TASK_OPEN_FENCE, "review-flask-endpoint", ["@app.route", "line-by-line findings"],
    ),
    "nda": ("lex", LEX_YAML, LEX_TASK, "review-nda-clause", ["three (3) years", "one-sided terms."]),
    "chapter": ("scribe", SCRIBE_YAML, SCRIBE_TASK, "feedback-chapter1", ["door creaked", "sensory detail, pacing."]),
    "review-as-printed": ("revu", REVU_YAML, REVU_TASK_AS_PRINTED, "review-flask-endpoint", ["security issues"]),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_article_runs_as_written(make_system, model, example):
    name, yaml, block, task_id, phrases = EXAMPLES[example]
    system = make_system([name], yaml=yaml, model=model).start()
    system.append(block, name)
    system.wait_done(task_id, name=name)
    [request] = model.requests()
    for phrase in phrases:
        assert phrase in request["task"]
    assert system.read("skills.md", name).count("### ") == 1
    assert "- reward: +1" in system.read("rewards.md", name)
    system.wait_queue_empty(name)
    system.assert_sound(name)


def test_a_block_with_an_open_fence_ends_where_the_next_one_starts(make_system, model):
    system = make_system(["revu"], yaml=REVU_YAML, model=model).start()
    system.append(REVU_TASK_AS_PRINTED + "\n## after-it\ntask: Say hello.\npriority: high\n", "revu")
    system.wait_done("review-flask-endpoint", "after-it", name="revu")
    assert model.asked()["Say hello."] == 1
    system.wait_queue_empty("revu")
