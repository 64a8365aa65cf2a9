/* The requests that are let in, and the answers of the paths. */
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "supervisor/http/routes.h"
#include "tests/unit/cmocka.h"

#define TOKEN "abc-123"

static struct token *make_token(void)
{
    struct fault fault;
    struct token *token = NULL;
    clearenv();
    setenv("AGENTOS_TOKEN", TOKEN, 1);
    OWNED_FD int fd = secrets_collect(&fault);
    assert_true(token_load(secrets_read(fd, &fault), &token, &fault));
    assert_non_null(token);
    return token;
}

/* The status that the request is turned away with; 0: the request is let in. */
static unsigned admit(const struct request *request, const struct token *token)
{
    struct document document = {0};
    json_t *named;
    const struct route *route = routes_admit(request, token, &named, &document);
    json_decref(named);
    unsigned status = route ? 0 : document.status;
    assert_true(route || strstr(document.body.data, "\"status\""));
    document_free(&document);
    return status;
}

static void test_the_token_is_wanted_where_names_are_told(void **state)
{
    struct token *token = make_token();
    static const char *const wrong[] = {
        NULL,           "",           "Bearer", "Bearer abc-12",        "Bearer abc-1234",
        "Basic " TOKEN, "bearer abc", TOKEN,    "Bearer abc-123abc-123"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct request request = {.method = "GET", .path = "/metrics", .authorization = wrong[i]};
        assert_int_equal(admit(&request, token), 401);
        request.path = "/readyz";
        assert_int_equal(admit(&request, token), 0);
    }
    assert_int_equal(
        admit(&(struct request){.method = "GET", .path = "/metrics", .authorization = "bearer " TOKEN},
              token),
        0);
    token_free(token);
}

static void test_no_token_means_that_nobody_needs_one_but_only_for_this_machine(void **state)
{
    static const char *const here[] = {NULL,         "localhost", "LocalHost:80", "127.0.0.1:8080",
                                       "[::1]:8080", "10.0.0.7"};
    static const char *const there[] = {"", "evil.example", "localhost.evil.example:80", "[x]", "127.0.0.1x"};
    static const char *const none[] = {
        "::1",       "a b",     "/etc/passwd", "user@localhost", "localhost:80:80",
        "[::1",      "[]",      "[a/b]",       "localhost:8o",   "localhost/x",
        "[::1]x:80", "lo\tcal", "<script>",    "localhost:-1",   "\xc3\xa9"};
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++)
        assert_int_equal(admit(&(struct request){.method = "GET", .path = "/metrics", .host = here[i]}, NULL),
                         0);
    for (size_t i = 0; i < sizeof there / sizeof there[0]; i++)
        assert_int_equal(
            admit(&(struct request){.method = "GET", .path = "/metrics", .host = there[i]}, NULL), 421);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(admit(&(struct request){.method = "GET", .path = "/healthz", .host = none[i]}, NULL),
                         400);
    assert_int_equal(admit(
                         &(struct request){
                             .method = "GET", .path = "/healthz", .host = "localhost", .several_hosts = true},
                         NULL),
                     400);
}

static void test_methods_are_whole_words(void **state)
{
    static const char *const others[] = {"", "G", "GE", "GETS", "get", "GET,", "GET, HEAD", "POST", "HEA"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_equal(admit(&(struct request){.method = others[i], .path = "/healthz"}, NULL), 405);
    assert_int_equal(admit(&(struct request){.method = "HEAD", .path = "/healthz"}, NULL), 0);
    assert_int_equal(admit(&(struct request){.method = "GET", .path = "/healthz", .has_body = true}, NULL),
                     400);
    assert_int_equal(admit(&(struct request){.method = "GET", .path = "/health"}, NULL), 404);
}

static unsigned ready(json_t *metrics)
{
    struct document document = {0};
    json_t *named;
    const struct route *route =
        routes_admit(&(struct request){.method = "GET", .path = "/readyz"}, NULL, &named, &document);
    route->answer(metrics, named, &document);
    json_decref(named);
    unsigned status = document.status;
    document_free(&document);
    json_decref(metrics);
    return status;
}

static json_t *two(const char *state, int up, int wanted)
{
    return json_pack("{s:[{s:s, s:b, s:b}, {s:s, s:b, s:b}]}", "agents", "state", "idle", "up", 1, "wanted",
                     1, "state", state, "up", up, "wanted", wanted);
}

static void test_ready_means_every_agent_that_should_run(void **state)
{
    assert_int_equal(ready(two("working", 1, 1)), 200);
    assert_int_equal(ready(two("hibernating", 1, 1)), 200); /* up, as the supervisor tells it */
    assert_int_equal(ready(two("stopped", 0, 0)), 200);
    assert_int_equal(ready(two("starting", 0, 1)), 503);
    assert_int_equal(ready(two("backoff", 0, 1)), 503);
    assert_int_equal(ready(two("failed", 0, 1)), 503);
    assert_int_equal(ready(json_pack("{s:b, s:[]}", "ending", 1, "agents")), 503);
    assert_int_equal(ready(json_object()), 200);
    assert_int_equal(ready(NULL), 503);
}

static void test_a_token_that_no_client_could_send_is_a_fault(void **state)
{
    static const char *const bad[] = {"two words", "line\nbreak", "\x7f"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct fault fault;
        struct token *token = NULL;
        clearenv();
        setenv("AGENTOS_TOKEN", bad[i], 1);
        OWNED_FD int fd = secrets_collect(&fault);
        assert_false(token_load(secrets_read(fd, &fault), &token, &fault));
        assert_null(token);
        assert_null(strstr(fault.text, bad[i]));
    }
}

/* The pieces of the path as a text; "": the request is turned away. Caller frees. */
static char *pieces(const char *method, const char *path)
{
    struct document document = {0};
    json_t *named;
    const struct route *route =
        routes_admit(&(struct request){.method = method, .path = path}, NULL, &named, &document);
    char *text = route ? json_dumps(named, JSON_COMPACT | JSON_SORT_KEYS) : memory_text("");
    json_decref(named);
    document_free(&document);
    return text;
}

static void test_pieces_of_a_path_are_what_was_meant_and_never_two(void **state)
{
    static const struct {
        const char *path, *pieces;
    } cases[] = {
        {"/v1/agents/orion/tasks/one", "{\"agent\":\"orion\",\"task\":\"one\"}"},
        {"/v1/agents/orion/tasks/a%20b%2Fc", "{\"agent\":\"orion\",\"task\":\"a b/c\"}"},
        {"/v1/agents/orion/tasks/%C3%A4", "{\"agent\":\"orion\",\"task\":\"\xc3\xa4\"}"},
        {"/v1/agents/orion/tasks/", ""},
        {"/v1/agents/orion/tasks/one/", ""},
        {"/v1/agents/orion/tasks/one/two", ""},
        {"/v1/agents//tasks/one", ""},
        {"/v1/agents/orion/tasks/a%00b", ""},
        {"/v1/agents/orion/tasks/a%0Ab", ""},
        {"/v1/agents/orion/tasks/%FF", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        OWNED char *text = pieces("DELETE", cases[i].path);
        assert_string_equal(text, cases[i].pieces);
    }
}

static void test_another_sites_page_gives_no_orders_where_no_token_is_wanted(void **state)
{
    struct token *token = make_token();
    static const char *const origins[] = {"http://evil.example", "null", "", "http://127.0.0.1:81",
                                          "https://127.0.0.1:8080.evil.example"};
    struct request request = {.method = "POST", .path = "/v1/reload", .host = "127.0.0.1:8080"};
    assert_int_equal(admit(&request, NULL), 0);
    for (size_t i = 0; i < sizeof origins / sizeof origins[0]; i++) {
        request.origin = origins[i];
        request.authorization = NULL;
        assert_int_equal(admit(&request, NULL), 403);
        request.authorization = "Bearer " TOKEN;
        assert_int_equal(admit(&request, token), 0);
    }
    request.origin = "http://127.0.0.1:8080";
    assert_int_equal(admit(&request, NULL), 0);
    token_free(token);
}

static void check_body(const char *body, const char *pointer)
{
    static const struct field fields[] = {{"text", FIELD_TEXT, true, "a text", "task"},
                                          {"ttl_seconds", FIELD_COUNT, false, "seconds", NULL},
                                          {.name = NULL}};
    struct document document = {0};
    json_t *object = body_read(body, strlen(body), fields, &document);
    assert_int_equal(object != NULL, pointer == NULL);
    if (pointer) {
        json_t *problem = json_loads(document.body.data, 0, NULL);
        const char *place = json_string_value(json_object_get(problem, "pointer"));
        assert_int_equal(document.status, 400);
        assert_string_equal(place ? place : "", pointer);
        json_decref(problem);
    }
    json_decref(object);
    document_free(&document);
}

static void test_a_wrong_body_is_told_with_its_place(void **state)
{
    check_body("{\"text\":\"x\"}", NULL);
    check_body("{\"text\":\"x\",\"ttl_seconds\":0}", NULL);
    check_body("", "#/text");
    check_body("{}", "#/text");
    check_body("{\"text\":7}", "#/text");
    check_body("{\"task\":7}", "#/task");
    check_body("{\"task\":\"x\"}", NULL);
    check_body("{\"task\":\"x\",\"text\":\"y\"}", "#/task");
    check_body("{\"text\":\"x\",\"ttl_seconds\":-1}", "#/ttl_seconds");
    check_body("{\"text\":\"x\",\"ttl_seconds\":\"9\"}", "#/ttl_seconds");
    check_body("{\"text\":\"x\",\"a/b~c\":1}", "#/a~1b~0c");
    check_body("[]", "#");
    check_body("{\"text\":", "");
    check_body("{\"text\":\"x\",\"text\":\"y\"}", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_token_is_wanted_where_names_are_told),
        cmocka_unit_test(test_no_token_means_that_nobody_needs_one_but_only_for_this_machine),
        cmocka_unit_test(test_methods_are_whole_words),
        cmocka_unit_test(test_ready_means_every_agent_that_should_run),
        cmocka_unit_test(test_pieces_of_a_path_are_what_was_meant_and_never_two),
        cmocka_unit_test(test_another_sites_page_gives_no_orders_where_no_token_is_wanted),
        cmocka_unit_test(test_a_wrong_body_is_told_with_its_place),
        cmocka_unit_test(test_a_token_that_no_client_could_send_is_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
