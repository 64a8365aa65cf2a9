"""The provider as it really is: away, slow, refusing, limiting, talking nonsense."""

import re

import pytest

import harness
from harness import wait_until


def test_a_provider_that_is_down_leaves_the_task_and_it_is_done_when_it_is_back(make_system, model):
    system = make_system(model=model, env={"LLM_MAX_RETRIES": "1"}).start()
    model.stop()
    system.add("patient", "Wait for the provider")
    system.wait_state("orion", "waiting")
    assert "## patient" in system.read("queue.md")
    assert system.done() == {}
    model.start()
    system.wait_done("patient", seconds=90)
    system.wait_queue_empty()
    assert system.done() == {"patient": 1}
    system.assert_sound()


@pytest.mark.parametrize("scenario,pattern", [("auth", r"401|key|auth"), ("quota", r"quota|429"), ("http-403", r"403|key|auth")])
def test_a_fault_that_a_person_must_mend_is_reported_at_once_and_the_task_stays(make_system, model, scenario, pattern):
    system = make_system(model=model).start()
    model.become(scenario)
    system.add("refused", "No key fits")
    system.wait_log(rf"(?i)(WARN|ERROR) .*({pattern})", 10)
    system.wait_state("orion", "waiting")
    assert "## refused" in system.read("queue.md")
    assert system.done() == {}
    model.become("")
    system.wait_done("refused", seconds=90)


REPLIES = {
    "length": r"cut|limit|length|truncat",
    "empty": r"empty",
    "null": r"empty|no content|nothing",
    "refusal": r"refus|declin",
    "filter": r"filter|refus|empty",
    "nostructure": r"structure|block",
    "badyaml": r"yaml|block|structure|malformed",
}


@pytest.mark.parametrize("scenario", REPLIES)
def test_a_reply_without_use_is_reward_0_with_a_reflection_that_says_why(make_system, model, scenario):
    system = make_system(model=model, scenario=scenario).start()
    system.add("useless", "Say something")
    system.wait_done("useless")
    assert re.search(r"^-\s*reward: 0$", system.read("rewards.md"), re.MULTILINE)
    assert re.search(REPLIES[scenario], system.read("reflections.md"), re.IGNORECASE)
    assert "### " not in system.read("skills.md")
    assert len(model.requests()) == 1
    system.assert_sound()


@pytest.mark.parametrize("scenario,score", [("minus", "-1"), ("zero", "0")])
def test_a_skill_is_kept_only_with_reward_1(make_system, model, scenario, score):
    system = make_system(model=model, scenario=scenario).start()
    system.add("scored", "Do it badly")
    system.wait_done("scored")
    assert f"- reward: {score}\n" in system.read("rewards.md")
    assert "### " not in system.read("skills.md")


def test_what_is_malformed_in_a_reply_harms_only_its_own_part(make_system, model):
    system = make_system(model=model, scenario="partial").start()
    system.add("partly", "Do it with a flaw")
    system.wait_done("partly")
    assert "- reward: +1\n" in system.read("rewards.md")
    assert "Check the input first" in system.read("goals.md")
    assert "Mind the shape." in system.read("reflections.md")
    assert re.search(r"skill|handoffs", system.read("reflections.md"))


def test_a_whole_json_object_is_a_reply_too(make_system, model):
    system = make_system(model=model, scenario="json", env={"LLM_RESPONSE_FORMAT": "json_schema"}).start()
    system.add("object", "Answer as an object")
    system.wait_done("object")
    assert "- reward: +1\n" in system.read("rewards.md")
    assert "The answer to: Answer as an object" in system.read("outputs/object.md")
    assert model.requests()[0]["options"]["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize("scenario", ["parts", "reasoning", "badutf8", "chunked", "close", "drip-1"])
def test_every_shape_of_a_good_reply_is_understood(make_system, model, scenario):
    system = make_system(model=model, scenario=scenario).start()
    system.add("shaped", "Answer somehow")
    system.wait_done("shaped")
    assert "- reward: +1\n" in system.read("rewards.md")
    assert len(model.requests()) == 1
    system.assert_sound()


@pytest.mark.parametrize("fault", ["http-503", "http-500", "http-408", "error200", "cut", "junk", "nojson", "reset"])
def test_a_passing_fault_is_tried_again(make_system, model, fault):
    system = make_system(model=model, scenario=f"{fault}-times-1").start()
    system.add("retried", "Try it again")
    system.wait_done("retried", seconds=60)
    assert model.asked()["Try it again"] == 2
    assert "- reward: +1\n" in system.read("rewards.md")


@pytest.mark.parametrize("fault", ["endless", "endlesshead", "silent"])
def test_a_reply_that_never_ends_costs_its_request_and_nothing_else(make_system, model, fault):
    system = make_system(["orion", "iris"], model=model, env={"LLM_TIMEOUT": "2"}).start()
    system.add("doomed", f"Never [[model:{fault}-times-1]]")
    model.wait_open(1)
    system.add("other", "Other work", name="iris")
    system.wait_done("other", name="iris")
    system.wait_done("doomed", seconds=60)
    gateway = system.processes()["gateway"]
    assert harness.private_bytes(gateway) < 64 * 1024 * 1024


def test_retry_after_is_honoured(make_system, model):
    system = make_system(model=model, scenario="http-429-retryafter-2-times-1").start()
    system.add("limited", "Come back later")
    system.wait_done("limited")
    first, second = model.requests()
    assert second["at_ns"] - first["end_ns"] >= 1.9e9


def test_a_429_holds_back_every_agent_that_uses_the_provider(make_system, model):
    system = make_system(["orion", "iris"], model=model).start()
    system.add("first", "Meet it [[model:http-429-retryafter-3-times-1]]")
    wait_until(lambda: model.requests() and model.requests()[0]["end"] == "answered", "the 429 met", pause=0.005)
    system.add("second", "Innocent", name="iris")
    system.wait_done("second", name="iris")
    requests = model.requests()
    innocent = [request for request in requests if request["task"] == "Innocent"][0]
    assert innocent["at_ns"] - requests[0]["end_ns"] >= 2.9e9


def test_no_more_requests_are_out_at_once_than_allowed(make_system, model):
    names = [f"agent{number}" for number in range(6)]
    system = make_system(names, model=model, scenario="slow-50", env={"LLM_MAX_CONCURRENCY": "2"}).start()
    for name in names:
        for number in range(3):
            system.add(f"task-{number}", f"Work {number} of {name}", name=name)
    for name in names:
        system.wait_done("task-0", "task-1", "task-2", name=name)
    assert model.log()["peak"] == 2


def test_twenty_agents_think_at_the_same_time(make_system, model):
    names = [f"agent{number:02}" for number in range(20)]
    system = make_system(names, model=model).start()
    model.become("hold")
    for name in names:
        system.add("think", f"Think, {name}", name=name)
    assert len(model.wait_open(20)) == 20
    model.release()
    for name in names:
        system.wait_done("think", name=name)


def test_connections_are_kept_and_shared(system, model):
    before = model.log()["connections"]
    for number in range(20):
        system.add(f"task-{number}", f"Number {number}")
    system.wait_done(*(f"task-{number}" for number in range(20)))
    assert len({request["connection"] for request in model.requests()}) == 1
    assert before >= 1


def test_an_agents_own_settings_are_used_for_it_alone(make_system, model):
    env = {
        "LLM_MODEL__ORION": "special-model", "LLM_MAX_TOKENS__ORION": "77", "LLM_TEMPERATURE__IRIS_B": "0.5",
        "LLM_API_KEY__IRIS_B": "sk-the-key-of-iris-only-000000", "LLM_BASE_URL__IRIS_B": model.url("zero") + "/",
    }
    system = make_system(["orion", "iris-b", "nova"], model=model, env=env).start()
    for name in system.names:
        system.add("own", f"Own of {name}", name=name)
        system.wait_done("own", name=name)
    by_agent = {request["agent"]: request for request in model.requests()}
    orion, iris, nova = by_agent["orion"], by_agent["iris-b"], by_agent["nova"]
    assert orion["model"] == "special-model" and nova["model"] == iris["model"] == "test-model"
    limits = [request["options"].get("max_tokens", request["options"].get("max_completion_tokens"))
              for request in (orion, iris, nova)]
    assert limits == [77, 2048, 2048]
    assert "temperature" not in orion["options"] and iris["options"]["temperature"] == 0.5
    assert iris["headers"]["authorization"] == "Bearer sk-the-key-of-iris-only-000000"
    assert nova["headers"]["authorization"] == f"Bearer {harness.KEY}"
    assert iris["path"] == "/zero/v1/chat/completions"


def test_who_waits_for_a_task_that_is_refused_is_told_and_the_task_stays(system):
    result = system.cli("task", "orion", "Too odd [[model:http-400]]", "--id", "odd", "--wait", check=False)
    assert result.returncode == 75
    assert "refuses the task as it is" in result.stderr and "agentos cancel" in result.stderr
    assert "## odd" in system.read("queue.md")
    system.cli("cancel", "orion", "odd")
    system.wait_queue_empty()


def test_settings_for_nobody_and_of_no_use_yet_are_said_by_check_and_at_the_start(make_system, model):
    odd = {"LLM_MODEL__GHOST": "m", "AGENTOS_BUS_CA_FILE": "/etc/hostname", "AGENTOS_TOKEN": "t0ken-t0ken"}
    system = make_system(model=model, env=odd)
    said = system.cli("check").stdout
    system.start()
    for text in (said, system.log()):
        assert all(f"{name} is set, but" in text for name in odd)
        assert "t0ken-t0ken" not in text
