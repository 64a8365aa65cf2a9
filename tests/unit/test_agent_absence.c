/* Other agents are told the states in which an agent does no work, and since when. */
#include "supervisor/agent/agent.h"
#include "tests/unit/cmocka.h"

enum { ORDERED = 100, DOWN = 200 };

static const struct row {
    struct life life;
    bool ordered;
    const char *absence;
    int64_t since;
} rows[] = {
    {{.state = STATE_IDLE}, false, NULL, 0},
    {{.state = STATE_WORKING}, false, NULL, 0},
    {{.state = STATE_WAITING}, false, NULL, 0},
    {{.state = STATE_HIBERNATING}, false, NULL, 0},
    {{.state = STATE_STARTING}, false, NULL, 0},
    {{.state = STATE_STOPPING, .again = true}, false, NULL, 0},
    {{.state = STATE_STOPPING}, true, "stopped", ORDERED},
    {{.state = STATE_STOPPED}, true, "stopped", ORDERED},
    {{.state = STATE_STOPPED}, false, "stopped", DOWN},
    {{.state = STATE_PAUSED, .paused = true}, true, "paused", ORDERED},
    {{.state = STATE_WORKING, .paused = true}, true, "paused", ORDERED},
    {{.state = STATE_HIBERNATING, .paused = true}, true, "paused", ORDERED},
    {{.state = STATE_STOPPED, .paused = true}, true, "stopped", ORDERED},
    {{.state = STATE_FAILED}, false, "failed", DOWN},
    {{.state = STATE_BACKOFF, .failures = 2}, false, "ending again and again", DOWN},
    {{.state = STATE_STARTING, .failures = 2}, false, "ending again and again", DOWN},
};

static void test_each_state_without_work_is_told_with_its_beginning(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t since = -1;
        struct agent agent = {.life = rows[i].life, .past.down_since = DOWN};
        agent.order.desired.since = rows[i].ordered ? ORDERED : 0;
        const char *absence = agent_absence(&agent, &since);
        if (!rows[i].absence)
            assert_null(absence);
        else {
            assert_non_null(absence);
            assert_string_equal(absence, rows[i].absence);
            assert_int_equal(since, rows[i].since);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_state_without_work_is_told_with_its_beginning)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
