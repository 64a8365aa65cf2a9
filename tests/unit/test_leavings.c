/* A tree is looked at when its worker has ended (contract section 10): once, so that it need not be walked again before
 * somebody changes it, and no setting that git would run goes unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"
#include "supervisor/agent/agent.h"

enum { AGENTS = 3 };

static char folder[32];
static struct agents fleet;
static struct agent all[AGENTS];

static int begin(void **state)
{
    static const char *const names[AGENTS] = {"orion", "iris", "nova"};
    strcpy(folder, "/tmp/test_leavings.XXXXXX");
    assert_non_null(mkdtemp(folder));
    fleet = (struct agents){.loop = loop_new(), .data = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    leavings_begin(&fleet);
    long_looks_begin(&fleet);
    memset(all, 0, sizeof all);
    for (size_t i = 0; i < AGENTS; i++) {
        all[i] = (struct agent){
            .agents = &fleet, .name = names[i], .path = memory_print("%s/agents/%s", folder, names[i])};
        OWNED char *make = memory_print("mkdir -p %s && git init -q -b main %s && rm -rf %s/.git/hooks",
                                        all[i].path, all[i].path, all[i].path);
        assert_int_equal(system(make), 0);
    }
    return fleet.loop == NULL;
}

static int end(void **state)
{
    OWNED char *line = memory_print("rm -rf %s", folder);
    for (size_t i = 0; i < AGENTS; i++) {
        leavings_forget(&all[i]);
        long_look_forget(&all[i]);
        tree_guard_free(&all[i].guard);
        free(all[i].path);
    }
    leavings_end(&fleet);
    long_looks_end(&fleet);
    loop_free(fleet.loop);
    close(fleet.data);
    return system(line);
}

static void wait_for(const struct agent *agent)
{
    while (!agent->guard.looked_ms || agent->looks.longer.goes_on)
        loop_turn(fleet.loop, -1);
}

static void touch(const struct agent *agent)
{
    OWNED char *line = memory_print("echo >> %s/.git/config", agent->path);
    assert_int_equal(system(line), 0);
}

static void test_a_tree_that_was_written_just_now_is_not_walked_again(void **state)
{
    for (size_t i = 0; i < AGENTS; i++) {
        touch(&all[i]);
        leavings_wait(&all[i]);
    }
    for (size_t i = 0; i < AGENTS; i++) {
        wait_for(&all[i]);
        assert_true(all[i].guard.mark != 0);
        all[i].guard.looked_ms -= TREE_GUARD_GLANCE_MS;
        assert_false(tree_guard_glance(&all[i].guard, fleet.data, all[i].name, all[i].path, AGENTS,
                                       TREE_GUARD_GLANCE_MS, false));
    }
}

static void test_a_setting_that_its_worker_has_left_there_is_found(void **state)
{
    OWNED char *line =
        memory_print("printf '[core]\\n\\tfsmonitor = /tmp/x\\n' >> %s/.git/config", all[0].path);
    assert_int_equal(system(line), 0);
    leavings_wait(&all[0]);
    wait_for(&all[0]);
    assert_non_null(all[0].guard.problem);
}

static void test_a_worker_that_starts_meanwhile_takes_its_tree_out_of_the_line(void **state)
{
    for (size_t i = 0; i < AGENTS; i++)
        leavings_wait(&all[i]);
    leavings_forget(&all[0]);
    leavings_forget(&all[1]);
    leavings_wait(&all[1]); /* its worker has ended again */
    wait_for(&all[1]);
    assert_int_equal(all[0].guard.looked_ms, 0);
    assert_true(all[2].guard.looked_ms != 0);
}

/* Descriptors and memory are held for some of the long looks; the other trees wait for their turn. */
static void test_of_many_large_trees_every_one_is_looked_through(void **state)
{
    for (size_t i = 0; i < AGENTS; i++) {
        OWNED char *line = memory_print(
            "cd %s && mkdir d && cd d && (echo '[user]'; yes a=b | head -c 262000) > x && for i in "
            "$(seq 4); do mkdir -p $i/.git && ln x $i/.git/config; done && mkdir -p z/.git && printf "
            "'[core]\\n\\tpager = x\\n' > z/.git/config",
            all[i].path);
        assert_int_equal(system(line), 0);
        if (i == 0)
            fleet.long_looks.under_way = LONG_LOOKS_MOST - 1; /* of other agents */
        long_look(&all[i]);
        assert_true(all[i].looks.longer.goes_on);
    }
    assert_non_null(all[0].guard.under_way);
    assert_null(all[1].guard.under_way);
    for (size_t i = 0; i < AGENTS; i++) {
        wait_for(&all[i]);
        assert_non_null(all[i].guard.problem);
        assert_null(all[i].guard.under_way);
    }
    assert_int_equal(fleet.long_looks.under_way, LONG_LOOKS_MOST - 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_tree_that_was_written_just_now_is_not_walked_again),
        TEST(test_a_setting_that_its_worker_has_left_there_is_found),
        TEST(test_a_worker_that_starts_meanwhile_takes_its_tree_out_of_the_line),
        TEST(test_of_many_large_trees_every_one_is_looked_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
