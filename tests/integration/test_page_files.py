"""The page's files as agentos-http serves them, and the routes that are there for the page."""

import pytest

from harness import task_block
from test_http import TOKEN
from test_http_v1 import V1

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HARDENING = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
}
TYPES = {"/": "text/html", "/page/main.js": "text/javascript", "/page/style.css": "text/css", "/page/icon.svg": "image/svg+xml"}


@pytest.fixture
def http(make_system, model):
    return V1(make_system(model=model, scenario="hold", env={"AGENTOS_LISTEN": "127.0.0.1:0", "AGENTOS_TOKEN": TOKEN}).start())


def test_the_pages_files_are_open_and_say_what_the_browser_may_do_with_them(http):
    for path, kind in TYPES.items():
        status, fields, body = http.ask(path)
        assert status == 200 and fields["content-type"].split(";")[0] == kind and len(body.encode()) == int(fields["content-length"])
        assert HARDENING.items() <= fields.items()
        assert http.ask(path, method="HEAD")[2] == ""
    assert http.ask("/page/nothing.js")[0] == http.ask("/page/..%2Fpage.c")[0] == http.ask("/page/")[0] == 404
    status, fields, _ = http.ask("/", method="POST")
    assert status == 405 and fields["allow"] == "GET, HEAD"
    assert http.ask("/v1/agents")[0] == 401


def test_a_file_that_the_browser_has_is_not_sent_again(http):
    etags = {path: http.ask(path)[1]["etag"] for path in TYPES}
    assert len(set(etags.values())) == len(TYPES)
    for path, etag in etags.items():
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            status, fields, body = http.ask(path, headers={"If-None-Match": known})
            assert (status, body, fields["etag"]) == (304, "", etag)
        assert http.ask(path, headers={"If-None-Match": '"other"'})[0] == 200


def test_the_tasks_of_a_queue_are_listed_in_the_order_in_which_they_are_done(http):
    token = {"Authorization": f"Bearer {TOKEN}"}
    assert http.get("/v1/agents/orion/tasks", headers=token)[2] == {"items": [], "count": 0}
    blocks = [task_block("later", "Sweep", "low"), task_block("first", "Say <b>hello</b>", "high", lock="db"), task_block("then", "Count")]
    http.system.append("".join(blocks))
    told = http.get("/v1/agents/orion/tasks", headers=token)[2]
    assert [item["id"] for item in told["items"]] == ["first", "then", "later"] and told["count"] == 3
    assert told["items"][0] == {
        "id": "first", "task": "Say <b>hello</b>", "priority": "high", "created": "2026-04-29T10:05:00Z", "ttl_seconds": 0, "lock": "db",
        "from": None, "problem": None,
    }  # fmt: skip
    http.system.append("".join(task_block(f"more-{number}", "More") for number in range(300)))
    told = http.get("/v1/agents/orion/tasks", headers=token)[2]
    assert len(told["items"]) == 200 and told["count"] == 303
    assert http.get("/v1/agents/nobody/tasks", headers=token)[0] == 404
