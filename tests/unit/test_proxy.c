/* common/proxy: which requests go through which proxy. */
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/proxy.h"
#include "tests/unit/cmocka.h"

static const struct {
    const char *variable, *value, *exempt, *url, *address; /* address NULL: directly */
} ways[] = {
    {"https_proxy", "http://p:3128", NULL, "https://api.openai.com/v1", "http://p:3128"},
    {"HTTPS_PROXY", "p:3128", NULL, "https://api.openai.com/v1", "http://p:3128"},
    {"https_proxy", "http://p:3128", NULL, "http://models/v1", NULL},
    {"HTTP_PROXY", "http://p:3128/", NULL, "http://models/v1", "http://p:3128"},
    {"all_proxy", "socks5h://p:1080", NULL, "https://models/v1", "socks5h://p:1080"},
    {"https_proxy", "http://[fd00::1]:3128", NULL, "https://models/v1", "http://[fd00::1]:3128"},
    {"all_proxy", "http://p", NULL, "http://localhost:11434/v1", NULL},
    {"all_proxy", "http://p", NULL, "http://127.0.0.2:11434/v1", NULL},
    {"all_proxy", "http://p", NULL, "http://[::1]:11434/v1", NULL},
    {"all_proxy", "http://p", NULL, "http://127.example/v1", "http://p"},
    {"all_proxy", "http://p", "*", "https://models/v1", NULL},
    {"all_proxy", "http://p", "corp.example", "https://corp.example/v1", NULL},
    {"all_proxy", "http://p", "a, .corp.example", "https://llm.Corp.example:8443/v1", NULL},
    {"all_proxy", "http://p", "corp.example", "https://notcorp.example/v1", "http://p"},
    {"all_proxy", "http://p", "10.0.0.0/8", "http://10.1.2.3:8000/v1", NULL},
    {"all_proxy", "http://p", "10.0.0.0/8", "http://11.1.2.3:8000/v1", "http://p"},
    {"all_proxy", "http://p", "10.0.0.0/x,10.0.0.0/99", "http://11.1.2.3/v1", "http://p"},
    {"all_proxy", "http://p", "192.168.1.7", "http://192.168.1.7/v1", NULL},
    {"all_proxy", "http://p", "fd00::5", "http://[fd00::5]:80/v1", NULL},
    {"all_proxy", "http://p", ",. ,", "https://models/v1", "http://p"},
};

static void test_every_way_is_found(void **state)
{
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        clearenv();
        setenv(ways[i].variable, ways[i].value, 1);
        if (ways[i].exempt)
            setenv("NO_PROXY", ways[i].exempt, 1);
        OWNED_FD int fd = secrets_collect(NULL);
        struct secrets *secrets = secrets_read(fd, NULL);
        struct proxy proxy;
        bool found = proxy_find(secrets, ways[i].url, &proxy);
        if (found != (ways[i].address != NULL) || (found && strcmp(proxy.address, ways[i].address) != 0))
            fail_msg("%s: %s", ways[i].url, found ? proxy.address : "directly");
        proxy_free(&proxy);
        secrets_free(secrets);
    }
}

static void test_user_and_password_are_apart_from_the_address_and_gone_from_the_environment(void **state)
{
    struct proxy proxy;
    clearenv();
    setenv("HTTPS_PROXY", "http://me:p@ss:word@p:3128/x", 1);
    OWNED_FD int fd = secrets_collect(NULL);
    struct secrets *secrets = secrets_read(fd, NULL);
    assert_null(getenv("HTTPS_PROXY"));
    assert_true(proxy_find(secrets, "https://models/v1", &proxy));
    assert_string_equal(proxy.address, "http://p:3128");
    assert_string_equal(proxy.name, "p:3128");
    assert_string_equal(proxy.user, "me");
    assert_string_equal(proxy.password, "p@ss:word");
    proxy_free(&proxy);
    secrets_free(secrets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_way_is_found),
        cmocka_unit_test(test_user_and_password_are_apart_from_the_address_and_gone_from_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
