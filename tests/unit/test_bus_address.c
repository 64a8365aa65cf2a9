#include "common/format/bus_address.h"
#include "tests/unit/cmocka.h"

static void test_servers_are_taken_apart_with_their_ports(void **state)
{
    struct bus_servers servers;
    struct fault fault;
    assert_true(
        bus_servers_parse("nats://one, nats://two.example:4333/,nats://[fe80::1]:1", &servers, &fault));
    assert_int_equal(servers.count, 3);
    assert_false(servers.tls);
    assert_string_equal(servers.list[0].url, "nats://one:4222");
    assert_string_equal(servers.list[1].url, "nats://two.example:4333");
    assert_string_equal(servers.list[2].host, "fe80::1");
    assert_string_equal(servers.list[2].url, "nats://[fe80::1]:1");
    assert_true(bus_servers_parse("tls://[::1]", &servers, &fault));
    assert_true(servers.tls);
    assert_int_equal(servers.list[0].port, 4222);
}

static void test_whatever_is_no_list_of_servers_is_refused_with_a_sentence(void **state)
{
    static const char *const bad[] = {
        "",
        "one:4222",
        "nats://",
        "nats://one,",
        "nats://one,tls://two",
        "nats://u:p@one",
        "nats://x:0",
        "nats://x:65536",
        "nats://x:4222abc",
        "nats://fe80::1:99",
        "nats://x y",
        "nats://x/path",
        "http://x",
        "nats://x;rm",
        "nats://[::1",
        "nats://[::1]x:4222",
        "nats://\001",
        "nats://x?y=z",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bus_servers servers;
        struct fault fault = {0};
        if (bus_servers_parse(bad[i], &servers, &fault))
            fail_msg("'%s' was taken", bad[i]);
        assert_true(*fault.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_servers_are_taken_apart_with_their_ports),
        cmocka_unit_test(test_whatever_is_no_list_of_servers_is_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
