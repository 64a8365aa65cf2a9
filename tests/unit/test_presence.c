/* A node is taken for gone when the others do not hear of it for half a minute. The bus stands in: it carries each key at
 * once. */
#include "common/clock.h"
#include "common/memory.h"
#include "common/test_clock.h"
#include "supervisor/agent/agent.h"
#include "supervisor/nodes/bus_link.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/nodes/mirror_link.h"
#include "supervisor/nodes/presence.h"
#include "supervisor/post/post.h"
#include "supervisor/shared/work_queues.h"
#include "tests/unit/cmocka.h"

enum { TURN_MS = 500, TURNS = 600, FLEET = 10 * 1000 };

static struct presence *far;
static size_t told;

bool bus_link_connected(const struct bus_link *link)
{
    return true;
}

uint64_t bus_link_ticket(struct bus_link *link)
{
    return 1;
}

bool bus_link_put(struct bus_link *link, const char *key, const char *value, uint64_t revision,
                  uint64_t ticket)
{
    told++;
    return presence_key(far, "node.dc1", value, true);
}

void queues_count(const struct queues *queues, const char *name, size_t *waiting, size_t *under_way)
{
}

bool post_depths(struct post *post, const char *name, struct post_depths *depths)
{
    return false;
}

bool post_pressure(struct post *post, const char *name, struct post_pressure *pressure)
{
    return false;
}

const char *post_pressure_word(const struct post_pressure *pressure)
{
    return "";
}

void mirror_link_problem(struct mirror_link *link, const char *agent, struct buffer *lines)
{
}

bool mirror_link_diverged(struct mirror_link *link, const char *agent)
{
    return false;
}

const char *agent_absence(const struct agent *agent, int64_t *since)
{
    *since = 0;
    return NULL;
}

/* Every agent lives elsewhere, as on a node of a fleet that shares its agents.yaml. */
static void test_a_node_is_there_for_the_others_however_large_its_fleet_is(void **state)
{
    static char why[] = "agents.yaml has it on node 'dc2'";
    static struct agent agent = {.order.elsewhere = why};
    static struct agent *list[FLEET];
    struct roster nothing = {0}, *roster = &nothing;
    for (size_t i = 0; i < FLEET; i++)
        list[i] = &agent;
    for (size_t count = 1; count <= FLEET; count *= 10) {
        struct agents agents = {.list = list, .count = count};
        struct local_node local = {.agents = &agents, .roster = &roster};
        struct presence *here = presence_new(&local, NULL);
        far = presence_new(&local, NULL);
        told = 0;
        for (size_t i = 0; i < TURNS; i++) {
            presence_turn(here, clock_boot_ms());
            if (!presence_is_there(far, "dc1"))
                fail_msg("a node with %zu agents is gone after %zu ms", count, i * TURN_MS);
            test_clock_move(TURN_MS, TURN_MS);
        }
        assert_true(told > 1 && told <= TURNS / 10);
        test_clock_move(TURNS * TURN_MS, TURNS * TURN_MS);
        assert_false(presence_is_there(far, "dc1"));
        presence_free(here);
        presence_free(far);
    }
}

/* As a watch of the bucket does that begins anew. */
static void test_a_key_that_is_told_again_brings_no_node_back(void **state)
{
    struct local_node local = {0};
    far = presence_new(&local, NULL);
    OWNED char *text = memory_print("{\"time\":%lld,\"agents\":{},\"queues\":{}}", (long long)clock_now_ms());
    assert_true(presence_key(far, "node.dc1", text, true));
    assert_true(presence_is_there(far, "dc1"));
    test_clock_move(TURNS * TURN_MS, TURNS * TURN_MS);
    assert_true(presence_key(far, "node.dc1", text, true));
    assert_false(presence_is_there(far, "dc1"));
    OWNED_BUFFER struct buffer problems = {0};
    presence_problems(far, &problems);
    assert_int_equal(problems.length, 0);
    presence_free(far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_node_is_there_for_the_others_however_large_its_fleet_is),
        cmocka_unit_test(test_a_key_that_is_told_again_brings_no_node_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
