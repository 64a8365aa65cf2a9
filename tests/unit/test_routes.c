/* Who is let in, and what the paths answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/memory.h"
#include "supervisor/http/routes.h"

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

/* The status that the request is turned away with; 0: it is let in. */
static unsigned admit(const struct request *request, const struct token *token)
{
    struct document document = {0};
    const struct route *route = routes_admit(request, token, &document);
    unsigned status = route ? 0 : document.status;
    assert_true(route || strstr(document.body.data, "\"status\""));
    document_free(&document);
    return status;
}

static void test_the_token_is_wanted_where_names_are_told(void **state)
{
    (void)state;
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
    (void)state;
    static const char *const here[] = {NULL,         "localhost", "LocalHost:80", "127.0.0.1:8080",
                                       "[::1]:8080", "10.0.0.7"};
    static const char *const there[] = {"",    "evil.example", "localhost.evil.example:80",
                                        "[x]", "::1",          "127.0.0.1x"};
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++)
        assert_int_equal(admit(&(struct request){.method = "GET", .path = "/metrics", .host = here[i]}, NULL),
                         0);
    for (size_t i = 0; i < sizeof there / sizeof there[0]; i++)
        assert_int_equal(
            admit(&(struct request){.method = "GET", .path = "/metrics", .host = there[i]}, NULL), 421);
}

static void test_methods_are_whole_words(void **state)
{
    (void)state;
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
    const struct route *route =
        routes_admit(&(struct request){.method = "GET", .path = "/readyz"}, NULL, &document);
    route->answer(metrics, &document);
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
    (void)state;
    assert_int_equal(ready(two("working", 1, 1)), 200);
    assert_int_equal(ready(two("hibernating", 0, 1)), 200);
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
    (void)state;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_token_is_wanted_where_names_are_told),
        cmocka_unit_test(test_no_token_means_that_nobody_needs_one_but_only_for_this_machine),
        cmocka_unit_test(test_methods_are_whole_words),
        cmocka_unit_test(test_ready_means_every_agent_that_should_run),
        cmocka_unit_test(test_a_token_that_no_client_could_send_is_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
