/* Alerts: signatures, secrets, bursts, kept messages and their order, without a gateway. */
#include <stdlib.h>
#include <string.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/test_clock.h"
#include "supervisor/notify/alert.h"
#include "supervisor/notify/alerts.h"
#include "supervisor/notify/outages.h"
#include "supervisor/notify/signature.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"

#define YAML                                                                                                 \
    "agents: [{name: orion, persona: p}]\n"                                                                  \
    "notify: [{url: 'https://one.example/x'}]\n"

static struct {
    struct loop *loop;
    struct roster *roster;
    struct alerts *alerts;
    bool gateway; /* it is there */
    size_t sent;
    uint64_t serial;
    char *id, *body, *signature;
} it;

static bool to_gateway(void *context, const struct buffer *message)
{
    struct reader reader;
    unsigned type;
    OWNED char *url = NULL, *timestamp = NULL;
    if (!it.gateway)
        return false;
    free(it.id), free(it.body), free(it.signature);
    it.id = it.body = it.signature = NULL;
    assert_true(
        message_receive(&reader, message->data, message->length, PARTY_SUPERVISOR, PARTY_GATEWAY, &type));
    assert_true(
        message_read(&reader, MESSAGE_NOTIFY, &it.serial, &url, &it.id, &timestamp, &it.signature, &it.body));
    assert_string_equal(url, "https://one.example/x");
    it.sent++;
    return true;
}

static void open_alerts(void)
{
    it.alerts = alerts_open(
        &(struct alerts_owner){.loop = it.loop, .data = scratch.data, .to_gateway = to_gateway}, it.roster);
}

static int setup(void **state)
{
    if (scratch_begin(state) != 0)
        return -1;
    memset(&it, 0, sizeof it);
    it.loop = loop_new();
    it.roster = roster_parse(YAML, strlen(YAML), "agents.yaml", NULL);
    it.gateway = true;
    open_alerts();
    return !it.roster;
}

static int teardown(void **state)
{
    alerts_close(it.alerts);
    roster_free(it.roster);
    loop_free(it.loop);
    free(it.id), free(it.body), free(it.signature);
    return scratch_end(state);
}

static void raise_number(enum alert_kind kind, int number)
{
    alerts_raise(it.alerts, kind, json_pack("{s:i}", "number", number));
}

static void later(int64_t ms)
{
    test_clock_move(0, ms);
    loop_turn(it.loop, 0);
}

static void answer(uint64_t status, uint64_t retry_after)
{
    OWNED_BUFFER struct buffer message = {0};
    struct reader reader;
    unsigned type;
    message_make(&message, MESSAGE_NOTIFIED, it.serial, status, retry_after, "");
    assert_true(message_open(&reader, message.data, message.length, &type));
    assert_true(alerts_notified(it.alerts, &reader));
}

static size_t count_files(void)
{
    OWNED char *folder = memory_print("%s/shared/notify", scratch.path);
    return count_below(folder, "*.json", 1);
}

static void take_down(void)
{
    alerts_close(it.alerts);
    it.alerts = NULL;
}

static bool read_secret(const char *text, struct webhook_secret *secret)
{
    struct fault fault;
    OWNED char *path = memory_print("%s/hook", scratch.path);
    assert_true(files_write(scratch.data, "hook", text, strlen(text), false, &fault));
    return webhook_secret_read(path, secret, &fault);
}

static void test_the_signature_is_the_one_of_the_standards_own_example(void **state)
{
    /* from the specification's reference libraries */
    struct webhook_secret secret;
    assert_true(read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", &secret));
    OWNED char *made =
        signature_make(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "{\"test\": 2432232314}");
    assert_string_equal(made, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    webhook_secret_wipe(&secret);
}

static void test_a_secret_is_what_its_base64_stands_for_and_refused_where_there_is_none(void **state)
{
    struct webhook_secret secret;
    static const char *const good[] = {"whsec_+/8=", "whsec_+/9h", "whsec_+w==", "+/8="};
    static const char *const bytes[] = {"\xfb\xff", "\xfb\xff\x61", "\xfb", "+/8="};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(read_secret(good[i], &secret));
        assert_int_equal(secret.length, strlen(bytes[i]));
        assert_memory_equal(secret.bytes, bytes[i], secret.length);
        webhook_secret_wipe(&secret);
    }
    static const char *const none[] = {"",      "A",    "AA",      "AAA",      "AB=C", "A===",  "AB=",
                                       "AAAA=", "AB-D", "AB=\n=x", "\xc3\xa4", "====", "AAAA=="};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        OWNED char *text = memory_print("whsec_%s", none[i]);
        assert_false(read_secret(text, &secret));
        assert_null(secret.bytes);
    }
}

static void test_a_burst_is_one_message_and_its_details_are_bounded(void **state)
{
    for (int i = 1; i <= 50; i++)
        raise_number(ALERT_WATCHDOG, i);
    assert_int_equal(it.sent, 0);
    assert_int_equal(count_files(), 1);
    later(ALERT_BURST_MS);
    assert_int_equal(it.sent, 1);
    json_t *body = json_loads(it.body, 0, NULL), *data = json_object_get(body, "data");
    assert_int_equal(json_integer_value(json_object_get(data, "number")), 1);
    assert_int_equal(json_integer_value(json_object_get(data, "count")), 50);
    json_t *more = json_object_get(data, "more");
    assert_int_equal(json_array_size(more), ALERT_DETAILS - 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(more, 0), "number")), 2);
    json_decref(body);
    answer(204, MESSAGE_NOWHERE);
    assert_int_equal(count_files(), 0);
    assert_int_equal(alerts_pending(it.alerts), 0);
}

static void test_what_was_sent_stays_as_it_is_and_the_next_comes_after_it(void **state)
{
    raise_number(ALERT_WATCHDOG, 1);
    later(ALERT_BURST_MS);
    OWNED char *id = memory_text(it.id), *body = memory_text(it.body);
    answer(500, MESSAGE_NOWHERE);
    raise_number(ALERT_WATCHDOG, 2); /* a burst's time has grown with the failure */
    raise_number(ALERT_BUDGET, 3);
    assert_int_equal(it.sent, 1);
    later(ALERT_PAUSE_MS);
    assert_int_equal(it.sent, 2);
    assert_string_equal(it.id, id);
    assert_string_equal(it.body, body);
    answer(200, MESSAGE_NOWHERE);
    assert_int_equal(it.sent, 3);
    assert_non_null(strstr(it.body, "\"number\":2"));
    answer(200, MESSAGE_NOWHERE);
    assert_non_null(strstr(it.body, "\"number\":3"));
}

static void test_what_a_hook_that_fails_costs_is_bounded(void **state)
{
    raise_number(ALERT_WATCHDOG, 0);
    later(ALERT_BURST_MS);
    answer(0, MESSAGE_NOWHERE);
    for (int i = 1; i < 2000; i++) {
        raise_number(i % 2 ? ALERT_WATCHDOG : ALERT_BUDGET, i);
        later(ALERT_PAUSE_MOST_MS);
        if (i < 100)
            answer(503, MESSAGE_NOWHERE);
    }
    assert_int_equal(alerts_pending(it.alerts), ALERTS_MOST);
    raise_number(ALERT_PROVIDER, 0);
    assert_int_equal(alerts_pending(it.alerts), ALERTS_MOST + 1);
    assert_int_equal(count_files(), alerts_pending(it.alerts));
    take_down();
    open_alerts();
    assert_int_equal(alerts_pending(it.alerts), ALERTS_MOST);
    assert_int_equal(count_files(), alerts_pending(it.alerts));
}

static void test_pauses_double_to_their_most_and_retry_after_is_kept(void **state)
{
    raise_number(ALERT_WATCHDOG, 1);
    later(ALERT_BURST_MS);
    int64_t pause = ALERT_PAUSE_MS;
    for (size_t i = 1; i < 15; i++) {
        answer(500, MESSAGE_NOWHERE);
        later(pause / 2);
        assert_int_equal(it.sent, i);
        later(pause);
        assert_int_equal(it.sent, i + 1);
        pause = pause * 2 < ALERT_PAUSE_MOST_MS ? pause * 2 : ALERT_PAUSE_MOST_MS;
    }
    answer(429, 3600 * 1000);
    later(3599 * 1000);
    assert_int_equal(it.sent, 15);
    later(2000);
    assert_int_equal(it.sent, 16);
}

static void test_a_message_is_given_up_after_days_and_the_next_has_its_turn(void **state)
{
    raise_number(ALERT_WATCHDOG, 1);
    later(ALERT_BURST_MS);
    test_clock_move((int64_t)(ALERT_DAYS * 86400 + 1) * 1000, 0);
    raise_number(ALERT_BUDGET, 2);
    answer(500, MESSAGE_NOWHERE);
    assert_int_equal(alerts_pending(it.alerts), 1);
    assert_int_equal(count_files(), 1);
    later(ALERT_PAUSE_MS);
    assert_non_null(strstr(it.body, "\"number\":2"));
}

static void test_a_gateway_that_ends_with_a_message_gets_it_again_after_a_pause(void **state)
{
    raise_number(ALERT_WATCHDOG, 1);
    later(ALERT_BURST_MS);
    OWNED char *id = memory_text(it.id);
    alerts_gateway_started(it.alerts);
    assert_int_equal(it.sent, 1);
    answer(204, MESSAGE_NOWHERE); /* late, and from the gateway before: the answer does not count */
    assert_int_equal(count_files(), 1);
    later(ALERT_PAUSE_MS);
    assert_int_equal(it.sent, 2);
    assert_string_equal(it.id, id);
}

static void test_without_a_gateway_nothing_is_lost_and_all_goes_out_when_it_is_there(void **state)
{
    it.gateway = false;
    raise_number(ALERT_WATCHDOG, 1);
    later(10 * ALERT_BURST_MS);
    assert_int_equal(it.sent, 0);
    it.gateway = true;
    alerts_gateway_started(it.alerts);
    assert_int_equal(it.sent, 1);
}

static void test_texts_of_others_are_made_safe_and_cut(void **state)
{
    char text[2000];
    memset(text, 'x', sizeof text);
    memcpy(text, "a\033[2J\nb\xe2\x80\xae", strlen("a\033[2J\nb\xe2\x80\xae"));
    text[sizeof text - 1] = '\0';
    json_t *safe = alert_text(text);
    assert_int_equal(json_string_length(safe), ALERT_TEXT_MOST);
    assert_memory_equal(json_string_value(safe), "a?[2J b?", 8);
    json_decref(safe);
}

static void provider_says(struct outages *outages, const char *model, bool answers)
{
    OWNED_BUFFER struct buffer message = {0};
    struct reader reader;
    unsigned type;
    message_make(&message, MESSAGE_PROVIDER, "host", "https://host/v1", model, (uint64_t)answers,
                 "answered 503");
    assert_true(message_open(&reader, message.data, message.length, &type));
    assert_true(outages_heard(outages, &reader));
}

static void test_a_provider_is_down_only_when_nobody_was_answered_for_a_minute(void **state)
{
    struct outages *outages = outages_new(it.alerts, scratch.data);
    provider_says(outages, "a", false);
    later(OUTAGE_MS - 1);
    provider_says(outages, "a", false);
    provider_says(outages, "b", false);
    assert_int_equal(alerts_pending(it.alerts), 0);
    provider_says(outages, "a", true); /* an answer to anybody */
    later(2);
    provider_says(outages, "a", false);
    assert_int_equal(alerts_pending(it.alerts), 0);
    later(OUTAGE_MS);
    provider_says(outages, "a", false);
    provider_says(outages, "a", false);
    later(ALERT_BURST_MS);
    assert_int_equal(it.sent, 1);
    assert_non_null(strstr(it.body, "\"state\":\"down\""));
    assert_non_null(strstr(it.body, "\"count\":1"));
    answer(200, MESSAGE_NOWHERE);
    provider_says(outages, "a", true);
    provider_says(outages, "a", true);
    later(ALERT_BURST_MS);
    assert_int_equal(it.sent, 2);
    assert_non_null(strstr(it.body, "\"state\":\"back\""));
    assert_non_null(strstr(it.body, "\"count\":1"));
    outages_free(outages);
}

static void test_a_provider_that_was_told_down_before_a_restart_is_told_back_once_after_it(void **state)
{
    struct outages *outages = outages_new(it.alerts, scratch.data);
    provider_says(outages, "a", false);
    provider_says(outages, "b", false);
    later(OUTAGE_MS);
    provider_says(outages, "a", false);
    later(ALERT_BURST_MS);
    assert_int_equal(it.sent, 1);
    answer(200, MESSAGE_NOWHERE);
    outages_free(outages);
    outages = outages_new(it.alerts, scratch.data);
    later(OUTAGE_MS);
    provider_says(outages, "a", false); /* known already */
    provider_says(outages, "b", true);  /* was never told */
    later(ALERT_BURST_MS);
    assert_int_equal(it.sent, 1);
    provider_says(outages, "a", true);
    later(ALERT_BURST_MS);
    assert_int_equal(it.sent, 2);
    assert_non_null(strstr(it.body, "\"state\":\"back\""));
    answer(200, MESSAGE_NOWHERE);
    outages_free(outages);
    outages = outages_new(it.alerts, scratch.data);
    provider_says(outages, "a", true);
    later(ALERT_BURST_MS);
    assert_int_equal(it.sent, 2);
    outages_free(outages);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_the_signature_is_the_one_of_the_standards_own_example),
        TEST(test_a_secret_is_what_its_base64_stands_for_and_refused_where_there_is_none),
        TEST(test_a_burst_is_one_message_and_its_details_are_bounded),
        TEST(test_what_was_sent_stays_as_it_is_and_the_next_comes_after_it),
        TEST(test_what_a_hook_that_fails_costs_is_bounded),
        TEST(test_pauses_double_to_their_most_and_retry_after_is_kept),
        TEST(test_a_message_is_given_up_after_days_and_the_next_has_its_turn),
        TEST(test_a_gateway_that_ends_with_a_message_gets_it_again_after_a_pause),
        TEST(test_without_a_gateway_nothing_is_lost_and_all_goes_out_when_it_is_there),
        TEST(test_texts_of_others_are_made_safe_and_cut),
        TEST(test_a_provider_is_down_only_when_nobody_was_answered_for_a_minute),
        TEST(test_a_provider_that_was_told_down_before_a_restart_is_told_back_once_after_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
