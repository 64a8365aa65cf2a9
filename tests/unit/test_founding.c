/* An agent without a directory here and without a lease on the bus is begun anew only where the git remote has answered
 * that it has no branch of it; whatever becomes of the question, the remote is asked until it answers. */
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "supervisor/nodes/founding.h"
#include "supervisor/nodes/lease.h"
#include "tests/unit/cmocka.h"

enum { TURN_MS = 500 };

static struct lease lease;
static struct founding founding;
static int64_t now_ms;
static struct {
    unsigned process; /* of agentos-mirror; 0: none runs */
    unsigned questions;
} mirror;

unsigned mirror_link_look(struct mirror_link *link, const char *agent, mirror_looked *looked, void *context)
{
    mirror.questions += mirror.process != 0;
    return mirror.process;
}

unsigned mirror_link_process(const struct mirror_link *link)
{
    return mirror.process;
}

static void passes(int64_t ms)
{
    for (int64_t end = now_ms + ms; now_ms < end; now_ms += TURN_MS)
        founding_ask(&founding, &lease, (struct mirror_link *)&mirror, "orion", NULL, NULL, now_ms);
}

static void answers(enum mirror_branch branch, const char *text)
{
    founding_hear(&founding, "orion", branch, text);
}

static void loses_key(void)
{
    lease.quiet_since = now_ms;
}

static bool is_allowed(void)
{
    return founding_is_allowed(&founding, &lease);
}

static void assert_says(const char *part)
{
    OWNED char *why = founding_why_not(&founding, &lease, "orion");
    assert_non_null(why);
    if (!strstr(why, part))
        fail_msg("%s", why);
}

static int begin(void **state)
{
    now_ms = 1000 * 1000;
    founding = (struct founding){.answer = FOUNDING_UNKNOWN};
    lease = (struct lease){.node = "dc1", .connected = true, .known = true};
    mirror.process = 1;
    mirror.questions = 0;
    loses_key();
    return setenv("AGENTOS_GIT_REMOTE", "file:///nowhere/{agent}.git", 1);
}

static int end(void **state)
{
    founding_free(&founding);
    return 0;
}

static void test_a_new_agent_is_asked_for_once_and_begins_when_there_is_no_branch(void **state)
{
    passes(LEASE_FOUND_MS);
    assert_int_equal(mirror.questions, 1);
    assert_false(is_allowed());
    assert_says("has not answered yet");
    answers(MIRROR_NO_BRANCH, "");
    assert_true(is_allowed());
    passes(LEASE_FOUND_MS);
    assert_int_equal(mirror.questions, 1);
}

static void test_the_answer_of_before_counts_no_more_while_a_new_question_is_under_way(void **state)
{
    passes(LEASE_FOUND_MS);
    answers(MIRROR_NO_BRANCH, "");
    loses_key(); /* the agent has lived elsewhere meanwhile, and the bucket was lost again */
    assert_false(is_allowed());
    passes(LEASE_FOUND_MS);
    assert_int_equal(mirror.questions, 2);
    assert_false(is_allowed());
    answers(MIRROR_HAS_BRANCH, "0123456789");
    assert_false(is_allowed());
    assert_says("the git remote has its branch");
}

static void test_an_answer_that_comes_after_the_key_was_lost_again_is_none(void **state)
{
    passes(LEASE_FOUND_MS);
    loses_key();
    answers(MIRROR_NO_BRANCH, "");
    assert_false(is_allowed());
    passes(LEASE_FOUND_MS);
    assert_int_equal(mirror.questions, 2);
    answers(MIRROR_NO_BRANCH, "");
    assert_true(is_allowed());
}

static void test_a_question_that_went_with_agentos_mirror_is_asked_again_at_once(void **state)
{
    passes(LEASE_FOUND_MS);
    mirror.process = 0;
    passes(5 * 1000);
    assert_false(is_allowed());
    mirror.process = 2;
    passes(TURN_MS);
    assert_int_equal(mirror.questions, 2);
    passes(10 * 60 * 1000); /* this one owes its answer */
    assert_int_equal(mirror.questions, 2);
    answers(MIRROR_NO_BRANCH, "");
    assert_true(is_allowed());
}

static void
test_a_remote_that_can_not_be_asked_is_asked_again_within_two_minutes_and_that_is_said(void **state)
{
    passes(LEASE_FOUND_MS);
    for (unsigned i = 1; i < 8; i++) {
        answers(MIRROR_SILENT, "unexpected http status code: 404");
        assert_false(is_allowed());
        assert_says("make it): unexpected http status code: 404");
        passes(2 * 60 * 1000 + TURN_MS);
        assert_int_equal(mirror.questions, i + 1);
    }
    answers(MIRROR_NO_BRANCH, "");
    assert_true(is_allowed());
}

static void test_an_agent_that_only_this_node_may_have_begins_though_the_remote_can_not_be_asked(void **state)
{
    founding.pinned = true;
    passes(LEASE_FOUND_MS);
    assert_false(is_allowed());
    answers(MIRROR_SILENT, "it can't be resolved");
    assert_true(is_allowed());
    loses_key();
    passes(LEASE_FOUND_MS);
    answers(MIRROR_HAS_BRANCH, "0123456789"); /* its directory was lost, and is not begun over it */
    assert_false(is_allowed());
}

static void test_without_agentos_mirror_the_agent_waits_and_that_is_said(void **state)
{
    for (int64_t until = now_ms + LEASE_FOUND_MS; now_ms < until; now_ms += TURN_MS)
        founding_ask(&founding, &lease, NULL, "orion", NULL, NULL, now_ms);
    assert_false(is_allowed());
    assert_says("agentos-mirror can't be started");
}

static void test_without_a_remote_and_for_an_agent_that_has_a_key_nothing_is_asked(void **state)
{
    lease.revision = 7;
    passes(LEASE_FOUND_MS);
    assert_true(is_allowed());
    lease.revision = 0;
    unsetenv("AGENTOS_GIT_REMOTE");
    passes(LEASE_FOUND_MS);
    assert_true(is_allowed());
    assert_int_equal(mirror.questions, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_new_agent_is_asked_for_once_and_begins_when_there_is_no_branch),
        TEST(test_the_answer_of_before_counts_no_more_while_a_new_question_is_under_way),
        TEST(test_an_answer_that_comes_after_the_key_was_lost_again_is_none),
        TEST(test_a_question_that_went_with_agentos_mirror_is_asked_again_at_once),
        TEST(test_a_remote_that_can_not_be_asked_is_asked_again_within_two_minutes_and_that_is_said),
        TEST(test_an_agent_that_only_this_node_may_have_begins_though_the_remote_can_not_be_asked),
        TEST(test_without_agentos_mirror_the_agent_waits_and_that_is_said),
        TEST(test_without_a_remote_and_for_an_agent_that_has_a_key_nothing_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
