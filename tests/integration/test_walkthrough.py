"""The article's walk-through, steps 1 to 6, as a reader would type it."""

import re
import subprocess

ARTICLE_YAML = """\
agents:
  - name: orion
    persona: "Backend engineer specializing in Python, PostgreSQL, and API design. Terse, technical, shows its work. Prioritizes correctness over cleverness."
    domain: "Backend engineering"
    tone: "Terse, technical, no preamble."
    hints:
      - "Tasks often involve parsing structured API data with pagination."
      - "Common failure: missing auth context or rate limiting."
      - "Quick win: reusable retry wrapper with exponential backoff."
    goals:
      - "Handle streaming SSE endpoints robustly"
      - "Build a query‑parameterisation skill for all SQL tasks"
"""

FIRST_TASK = """
## first-task
task: List your active constraints and explain how the reward system works.
priority: normal
created: 2026-04-29T10:05:00Z
"""

NEXT_TASKS = """
## paginated-api
task: Write a Python function that fetches all pages from a paginated REST API endpoint. The API returns a 'next' field in the response body. Handle rate limits gracefully.
priority: high
created: 2026-04-29T10:10:00Z

## sql-parameterization
task: Write a function that builds a parameterized SQL SELECT query from a table name, a list of column names, and a dict of WHERE conditions. Prevent SQL injection.
priority: high
created: 2026-04-29T10:15:00Z
"""

STATE_FILES = "persona constraints skills goals rewards reflections queue system_prompt".split()
TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"


def shell(command):
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout


def test_start_says_the_three_lines_of_the_article(make_system, model):
    system = make_system(yaml=ARTICLE_YAML, model=model, env={"POLL_INTERVAL": "5"}).start()
    path = re.escape(str(system.tree()))
    lines = [
        rf"{TIME} INFO \[bootstrap\] Initialised git repo at {path}$",
        rf"{TIME} INFO \[agentos\] Agent 'orion' ready at {path}$",
        rf"{TIME} INFO \[agentos\] AgentOS running with 1 agent\(s\)\. Polling every 5s\.$",
    ]
    places = [system.wait_log(line).start() for line in lines]
    assert places == sorted(places)


def test_bootstrap_makes_every_file_and_the_first_commit(make_system, model):
    system = make_system(yaml=ARTICLE_YAML, model=model).start()
    for name in STATE_FILES:
        assert (system.tree() / f"{name}.md").is_file(), name
    assert (system.tree() / ".agent").is_file()
    assert system.subjects() == ["init: agent filesystem"]
    assert "Backend engineer specializing in Python" in system.read("persona.md")
    assert "Handle streaming SSE endpoints robustly" in system.read("goals.md")
    system.assert_sound()


def test_the_first_task_is_processed_logged_scored_and_committed(make_system, model):
    system = make_system(yaml=ARTICLE_YAML, model=model).start()
    system.append(FIRST_TASK)
    system.wait_done("first-task")
    system.wait_queue_empty()
    system.wait_log(rf"{TIME} INFO \[agent\] \[orion\] Processing task: first-task$")
    system.wait_log(rf"{TIME} INFO \[agent\] \[orion\] Response:$")
    assert system.subjects() == ["orion(task): first-task", "init: agent filesystem"]
    assert re.search(r"^[0-9a-f]{7,} orion\(task\): first-task$", system.git("log", "--oneline"), re.MULTILINE)
    tree = system.tree()
    assert shell(f'grep "^-\\s*reward:" {tree}/rewards.md').strip() == "- reward: +1"
    assert shell(f'grep -c "^### " {tree}/skills.md').strip() == "1"
    assert "List your active constraints" in (tree / "outputs/first-task.md").read_text()
    [request] = model.requests(prompts=True)
    assert request["task"] == "List your active constraints and explain how the reward system works."
    assert "Backend engineer specializing in Python" in request["prompt"]
    assert request["options"]["model"] == "test-model"
    system.assert_sound()


def test_skills_accumulate_and_survive_a_restart(make_system, model):
    system = make_system(yaml=ARTICLE_YAML, model=model).start()
    system.append(FIRST_TASK)
    system.append(NEXT_TASKS)
    system.wait_done("first-task", "paginated-api", "sql-parameterization")
    assert system.stop() == 0
    before = system.subjects()
    skills = system.read("skills.md")
    assert skills.count("\n### ") + skills.startswith("### ") == 3
    system.append("\n## while-down\ntask: Written while the system was stopped.\npriority: low\n")
    system.start()
    system.wait_done("while-down")
    assert system.subjects()[-len(before) :] == before
    assert system.read("rewards.md").count("- reward: +1") == 4
    system.assert_sound()


def test_a_second_start_changes_nothing(make_system, model):
    system = make_system(yaml=ARTICLE_YAML, model=model).start()
    system.stop()
    head = system.git("rev-parse", "HEAD")
    system.start()
    system.stop()
    assert system.git("rev-parse", "HEAD") == head
    assert system.log().count("Initialised git repo") == 1
    system.assert_sound()


def test_an_earned_skill_is_in_the_next_prompt(system, model):
    system.add("one", "Sort the list of names")
    system.wait_done("one")
    system.add("two", "Sort the list of names again")
    system.wait_done("two")
    assert "sort-the-list-of-names" in model.requests(prompts=True)[1]["prompt"]


def test_three_agents_have_their_own_trees_histories_and_queues(make_system, model):
    system = make_system(["orion", "iris", "nova"], model=model).start()
    for name in system.names:
        system.add(f"task-of-{name}", f"Something for {name}", name=name)
    for name in system.names:
        system.wait_done(f"task-of-{name}", name=name)
        assert system.subjects(name) == [f"{name}(task): task-of-{name}", "init: agent filesystem"]
        system.assert_sound(name)
    assert {(r["agent"], r["task"]) for r in model.requests()} == {(n, f"Something for {n}") for n in system.names}
