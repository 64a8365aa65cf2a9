/* The metrics' text: escapes, families that stand together, histograms that add up. */
#include <string.h>

#include "common/memory.h"
#include "supervisor/agent/counters.h"
#include "supervisor/http/exposition.h"
#include "tests/unit/cmocka.h"

static char *print(json_t *metrics)
{
    struct buffer out = {0};
    exposition_print(metrics, false, &out);
    json_decref(metrics);
    return buffer_take(&out);
}

static json_t *one_agent(const char *name, const struct counters *counters)
{
    json_t *agent = json_pack("{s:s, s:s, s:b, s:i, s:s}", "name", name, "state", "idle", "up", 1, "inbox", 3,
                              "pressure", "high");
    counters_describe(counters, agent);
    return json_pack("{s:o, s:[o], s:[{s:s, s:s, s:i}], s:i}", "bounds", counters_bounds(), "agents", agent,
                     "envelopes", "kind", "message", "status", "read", "count", 7, "items_refused", 2);
}

#define HAS(text, line) assert_non_null(strstr(text, line "\n"))

static void test_every_name_of_the_contract_is_there(void **state)
{
    static const char *const names[] = {"agentos_agent_up",
                                        "agentos_agent_state",
                                        "agentos_worker_restarts_total",
                                        "agentos_tasks_total",
                                        "agentos_cycle_seconds",
                                        "agentos_envelopes_total",
                                        "agentos_inbox_depth",
                                        "agentos_backpressure_total",
                                        "agentos_audit_divergence_total",
                                        "agentos_negative_streak",
                                        "agentos_queue_depth",
                                        "agentos_dead_letters",
                                        "agentos_problems",
                                        "agentos_config_refused",
                                        "agentos_notify_pending",
                                        "agentos_budget_remaining",
                                        "agentos_cost_total",
                                        "gen_ai_client_token_usage",
                                        "gen_ai_client_operation_duration_seconds"};
    OWNED char *text = print(one_agent("orion", &(struct counters){0}));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        OWNED char *head = memory_print("# TYPE %s ", names[i]);
        assert_non_null(strstr(text, head));
    }
    HAS(text, "agentos_agent_up{agent=\"orion\"} 1");
    HAS(text, "agentos_agent_state{agent=\"orion\",state=\"idle\"} 1");
    HAS(text, "agentos_agent_state{agent=\"orion\",state=\"failed\"} 0");
    HAS(text, "agentos_inbox_depth{agent=\"orion\"} 3");
    HAS(text, "agentos_pressure{agent=\"orion\"} 2");
    HAS(text, "agentos_envelopes_total{kind=\"message\",status=\"read\"} 7");
    HAS(text, "agentos_backpressure_total 2");
}

static void test_money_is_told_where_there_is_a_limit_or_a_price(void **state)
{
    json_t *metrics = one_agent("orion", &(struct counters){0});
    json_t *agent = json_array_get(json_object_get(metrics, "agents"), 0);
    OWNED char *none = print(json_deep_copy(metrics));
    assert_null(strstr(none, "agentos_budget_remaining{"));
    assert_null(strstr(none, "agentos_cost_total{"));
    json_object_set_new(metrics, "tokens_left", json_integer(7000));
    json_object_set_new(agent, "cost_left", json_real(0.25));
    json_object_set_new(agent, "cost_total", json_real(1.5));
    OWNED char *text = print(metrics);
    HAS(text, "agentos_budget_remaining{unit=\"tokens\"} 7000");
    HAS(text, "agentos_budget_remaining{agent=\"orion\",unit=\"cost\"} 0.250000000");
    HAS(text, "agentos_cost_total{agent=\"orion\"} 1.500000000");
}

/* No agent's own series stands beside the sum, and no series is there twice. */
static void test_past_a_thousand_agents_the_series_are_sums(void **state)
{
    struct counters counters = {.tasks = {1, 0, 2}};
    counters_began(&counters, "t", 0);
    counters_ended(&counters, "t", true, 1, 60);
    counters_asked(&counters, &(struct operation){
                                  .model = "m", .provider = "p", .ms = 15, .tokens_in = 3, .tokens_out = 10});
    json_t *metrics = one_agent("orion", &counters), *agents = json_object_get(metrics, "agents");
    while (json_array_size(agents) < EXPOSITION_AGENTS) {
        json_t *other = json_deep_copy(json_array_get(agents, 0));
        OWNED char *name = memory_print("agent-%zu", json_array_size(agents));
        json_object_set_new(other, "name", json_string(name));
        json_array_append_new(agents, other);
    }
    OWNED char *each = print(json_deep_copy(metrics));
    HAS(each, "agentos_tasks_total{agent=\"agent-999\",reward=\"1\"} 3");
    json_array_append_new(agents, json_deep_copy(json_array_get(agents, 0)));
    OWNED char *sum = print(json_deep_copy(metrics));
    assert_null(strstr(sum, "agent=\""));
    HAS(sum, "agentos_agent_up 1001");
    HAS(sum, "agentos_inbox_depth 3003");
    HAS(sum, "agentos_agent_state{state=\"idle\"} 1001");
    HAS(sum, "agentos_agent_state{state=\"failed\"} 0");
    HAS(sum, "agentos_tasks_total{reward=\"1\"} 3003");
    HAS(sum, "agentos_cycle_seconds_bucket{le=\"0.1\"} 1001");
    HAS(sum, "agentos_cycle_seconds_count 1001");
    HAS(sum, "gen_ai_client_token_usage_sum{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"p\",gen_ai_"
             "request_model="
             "\"m\",gen_ai_token_type=\"output\"} 10010");
    assert_null(strstr(strstr(sum, "\nagentos_backpressure_total ") + 1, "\nagentos_backpressure_total "));
    struct buffer all = {0};
    exposition_print(metrics, true, &all);
    HAS(all.data, "agentos_tasks_total{agent=\"agent-999\",reward=\"1\"} 3");
    buffer_free(&all);
    json_decref(metrics);
    counters_free(&counters);
}

static void test_a_label_cannot_break_out_of_its_line(void **state)
{
    struct counters counters = {0};
    counters_asked(&counters, &(struct operation){.model = "a\"b\\c\nd} 1", .provider = "p"});
    OWNED char *text = print(one_agent("orion", &counters));
    assert_non_null(strstr(text, "gen_ai_request_model=\"a\\\"b\\\\c\\nd} 1\""));
    assert_null(strstr(text, "\nd} 1"));
    counters_free(&counters);
}

static void test_a_histogram_adds_up_and_ends_with_its_count(void **state)
{
    struct counters counters = {0};
    for (int i = 0; i < 3; i++) {
        static const int64_t ms[] = {50, 51, 9000000};
        counters_began(&counters, "t", 1000);
        counters_ended(&counters, "t", true, 1, 1000 + ms[i]);
    }
    OWNED char *text = print(one_agent("orion", &counters));
    HAS(text, "agentos_cycle_seconds_bucket{agent=\"orion\",le=\"0.05\"} 1");
    HAS(text, "agentos_cycle_seconds_bucket{agent=\"orion\",le=\"0.1\"} 2");
    HAS(text, "agentos_cycle_seconds_bucket{agent=\"orion\",le=\"1800\"} 2");
    HAS(text, "agentos_cycle_seconds_bucket{agent=\"orion\",le=\"+Inf\"} 3");
    HAS(text, "agentos_cycle_seconds_count{agent=\"orion\"} 3");
    HAS(text, "agentos_cycle_seconds_sum{agent=\"orion\"} 9000.101");
    HAS(text, "agentos_tasks_total{agent=\"orion\",reward=\"1\"} 3");
    HAS(text, "agentos_tasks_total{agent=\"orion\",reward=\"-1\"} 0");
    counters_free(&counters);
}

static void test_tokens_stand_by_their_type_and_faults_by_theirs(void **state)
{
    struct counters counters = {0};
    counters_asked(
        &counters,
        &(struct operation){.model = "m", .provider = "p", .ms = 15, .tokens_in = 100, .tokens_out = 5});
    counters_asked(&counters,
                   &(struct operation){.model = "m", .provider = "p", .ms = 90000, .error = "quota"});
    OWNED char *text = print(one_agent("orion", &counters));
#define OF                                                                                                   \
    "agent=\"orion\",gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"p\",gen_ai_request_model=\"m\""
    HAS(text, "gen_ai_client_token_usage_sum{" OF ",gen_ai_token_type=\"input\"} 100");
    HAS(text, "gen_ai_client_token_usage_bucket{" OF ",gen_ai_token_type=\"output\",le=\"16\"} 1");
    HAS(text, "gen_ai_client_operation_duration_seconds_bucket{" OF ",le=\"0.02\"} 1");
    HAS(text, "gen_ai_client_operation_duration_seconds_count{" OF "} 1");
    HAS(text, "gen_ai_client_operation_duration_seconds_count{" OF ",error_type=\"quota\"} 1");
    assert_null(strstr(text, "error_type=\"quota\",gen_ai_token_type"));
    counters_free(&counters);
}

static void test_what_is_missing_or_of_another_type_counts_as_zero(void **state)
{
    OWNED char *none = print(json_object());
    assert_non_null(strstr(none, "# TYPE agentos_agent_up gauge\n"));
    OWNED char *odd = print(json_pack("{s:[s, i, n, {s:i, s:s, s:[s]}]}", "agents", "x", 1, "name", 7,
                                      "tasks", "y", "models", "z"));
    HAS(odd, "agentos_agent_up 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_name_of_the_contract_is_there),
        cmocka_unit_test(test_money_is_told_where_there_is_a_limit_or_a_price),
        cmocka_unit_test(test_past_a_thousand_agents_the_series_are_sums),
        cmocka_unit_test(test_a_label_cannot_break_out_of_its_line),
        cmocka_unit_test(test_a_histogram_adds_up_and_ends_with_its_count),
        cmocka_unit_test(test_tokens_stand_by_their_type_and_faults_by_theirs),
        cmocka_unit_test(test_what_is_missing_or_of_another_type_counts_as_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
