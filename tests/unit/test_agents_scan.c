/* Trees of agents without a process are looked at within a minute (contract section 10), in slices. A slice that takes
 * long is interrupted for everybody else's sake, and leaves no tree out. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/test_clock.h"
#include "supervisor/agent/agent.h"
#include "tests/unit/cmocka.h"

enum { AGENTS = 5, SLOW_MS = 60 /* longer than a turn's share */ };

static char folder[40];
static struct agents fleet;
static struct agent all[AGENTS], *list[AGENTS];
static int64_t disk_ms; /* the time of a call that reads names */

/* In the C library's place. */
ssize_t getdents64(int fd, void *entries, size_t length)
{
    test_clock_move(0, disk_ms);
    return syscall(SYS_getdents64, fd, entries, length);
}

static int begin(void **state)
{
    static const char *const names[AGENTS] = {"ada", "iris", "nova", "orion", "vega"};
    strcpy(folder, "/tmp/test_agents_scan.XXXXXX");
    assert_non_null(mkdtemp(folder));
    fleet = (struct agents){.loop = loop_new(),
                            .data = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                            .poll_seconds = 60,
                            .list = list,
                            .count = AGENTS};
    long_looks_begin(&fleet);
    for (size_t i = 0; i < AGENTS; i++) {
        all[i] = (struct agent){.agents = &fleet,
                                .name = names[i],
                                .path = memory_print("%s/agents/%s", folder, names[i]),
                                .tree = -1,
                                .life.state = STATE_STOPPED,
                                .watched.descriptors = {1, 1, 1}};
        list[i] = &all[i];
        OWNED char *make = memory_print("mkdir -p %s", all[i].path);
        assert_int_equal(system(make), 0);
    }
    return fleet.loop == NULL;
}

static int end(void **state)
{
    OWNED char *line = memory_print("rm -rf %s", folder);
    disk_ms = 0;
    for (size_t i = 0; i < AGENTS; i++) {
        long_look_forget(&all[i]);
        tree_guard_free(&all[i].guard);
        free(all[i].path);
    }
    long_looks_end(&fleet);
    loop_free(fleet.loop);
    close(fleet.data);
    return system(line);
}

static size_t looked_at(void)
{
    size_t count = 0;
    for (size_t i = 0; i < AGENTS; i++)
        count += all[i].guard.looked_ms != 0;
    return count;
}

static void test_a_slice_on_a_slow_disk_leaves_no_tree_out(void **state)
{
    size_t turns = 1;
    disk_ms = SLOW_MS;
    for (; !agents_scan(&fleet); turns++)
        assert_int_equal(looked_at(), turns); /* the others' turn comes after each tree */
    assert_int_equal(looked_at(), AGENTS);
    assert_int_equal(turns, AGENTS);
}

static void test_a_slice_ends_with_the_agents_that_are_left_of_it(void **state)
{
    disk_ms = SLOW_MS;
    assert_false(agents_scan(&fleet));
    fleet.count = 1; /* agents.yaml was read again meanwhile */
    assert_true(agents_scan(&fleet));
    fleet.count = 0;
    assert_true(agents_scan(&fleet));
}

static void nobody_asks(struct agent *agent)
{
}

/* A reload takes the first agent out while a slice is under way. */
static void test_a_removed_agent_costs_no_tree_its_turn(void **state)
{
    static const struct agent_callbacks callbacks = {.asker_gone = nobody_asks};
    struct agent *leaves = memory_new(1, sizeof *leaves);
    *leaves = all[0];
    long_look_forget(&all[0]);
    tree_guard_free(&all[0].guard);
    leaves->path = memory_text(all[0].path);
    leaves->worker.memory = -1;
    list[0] = leaves;
    lookup_add(leaves);
    fleet.callbacks = &callbacks;
    disk_ms = SLOW_MS;
    assert_false(agents_scan(&fleet));
    assert_false(agents_scan(&fleet));
    assert_int_equal(looked_at(), 1); /* and the agent that leaves */
    leaves->watched = (struct watched){0};
    agents_remove(&fleet, leaves);
    assert_false(agents_scan(&fleet));
    assert_true(all[2].guard.looked_ms);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_slice_on_a_slow_disk_leaves_no_tree_out),
        TEST(test_a_slice_ends_with_the_agents_that_are_left_of_it),
        TEST(test_a_removed_agent_costs_no_tree_its_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
