/* Where repositories are pushed to: which URLs can be a remote, and which hosts' keys are trusted. */
#include <string.h>

#include "common/format/git_remote.h"
#include "common/memory.h"
#include "supervisor/mirror/known_hosts.h"
#include "tests/unit/cmocka.h"

static void test_a_url_with_a_place_for_each_agent_is_a_remote(void **state)
{
    static const struct {
        const char *url, *iris;
        int port;
    } good[] = {{"file:///srv/git/{agent}.git", "file:///srv/git/iris.git", 0},
                {"https://host/x/{agent}", "https://host/x/iris", 443},
                {"https://host:8443/{agent}/{agent}.git", "https://host:8443/iris/iris.git", 8443},
                {"ssh://git@host/srv/{agent}.git", "ssh://git@host/srv/iris.git", 22},
                {"ssh://git@[::1]/{agent}", "ssh://git@[::1]/iris", 22},
                {"ssh://git@[::1]:2222/{agent}", "ssh://git@[::1]:2222/iris", 2222},
                {"git://host/{agent}", "git://host/iris", 9418}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct fault fault;
        assert_true(git_remote_check(good[i].url, &fault));
        OWNED char *iris = git_remote_of(good[i].url, "iris");
        assert_string_equal(iris, good[i].iris);
        assert_int_equal(git_remote_port(good[i].url), good[i].port);
    }
    assert_string_equal(git_remote_folder("file:///srv/{agent}"), "/srv/{agent}");
    assert_null(git_remote_folder("ssh://host/{agent}"));
    assert_true(git_remote_is_open("http://host/{agent}") && git_remote_is_open("git://host/{agent}"));
    assert_false(git_remote_is_open("http://127.0.0.1:80/{agent}") ||
                 git_remote_is_open("https://host/{agent}"));
}

static void test_a_url_that_can_be_no_remote_is_refused_with_its_reason(void **state)
{
    static const char *const bad[] = {"",
                                      "host:{agent}.git",
                                      "/srv/{agent}.git",
                                      "file://srv/{agent}",
                                      "https://host/all.git",
                                      "https://{agent}/x",
                                      "https://me:secret@host/{agent}",
                                      "https:///{agent}",
                                      "https://host/a b/{agent}",
                                      "ext::sh -c x {agent}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct fault fault = {{0}};
        assert_false(git_remote_check(bad[i], &fault));
        assert_true(fault.text[0] != '\0');
        assert_null(strstr(fault.text, "secret"));
    }
}

/* "key" in base64 is a2V5, "other" b3RoZXI=. */
static void test_a_host_is_known_by_its_own_key_alone(void **state)
{
    static const char text[] = "# hosts\nalpha,beta ssh-ed25519 a2V5 me@here\r\n[gamma]:2222 ssh-rsa a2V5\n"
                               "alpha ssh-rsa b3RoZXI=\n@revoked delta ssh-rsa a2V5\ndelta ssh-rsa a2V5\n"
                               "|1|c2FsdA==|aGFzaA== ssh-rsa a2V5\nalpha\n @cert-authority * ssh-rsa a2V5\n";
    struct fault fault;
    assert_true(known_hosts_has(text, "alpha", 22, "key", 3, &fault));
    assert_true(known_hosts_has(text, "BETA", 22, "key", 3, &fault));
    assert_true(known_hosts_has(text, "gamma", 2222, "key", 3, &fault));
    assert_true(known_hosts_has(text, "alpha", 22, "other", 5, &fault));
    assert_false(known_hosts_has(text, "beta", 22, "other", 5, &fault));
    assert_non_null(strstr(fault.text, "shows another key"));
    assert_false(known_hosts_has(text, "gamma", 22, "key", 3, &fault));
    assert_non_null(strstr(fault.text, "has no key of gamma"));
    assert_false(known_hosts_has(text, "delta", 22, "key", 3, &fault));
    assert_non_null(strstr(fault.text, "revoked"));
    assert_false(known_hosts_has(NULL, "alpha", 22, "key", 3, &fault));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_url_with_a_place_for_each_agent_is_a_remote),
        cmocka_unit_test(test_a_url_that_can_be_no_remote_is_refused_with_its_reason),
        cmocka_unit_test(test_a_host_is_known_by_its_own_key_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
