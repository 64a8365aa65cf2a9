/* What clients ask of files and repositories: made once for all who ask, and also when they have gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"
#include "supervisor/http/reads.h"

struct scene {
    struct calls *calls;
    struct reads reads;
    int channel, supervisor, epoll;
    unsigned settled;
};

static void on_settled(void *context)
{
    struct scene *scene = context;
    scene->settled++;
}

static void begin(struct scene *scene)
{
    int pair[2];
    log_start("error", "text");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    *scene = (struct scene){.channel = pair[0], .supervisor = pair[1]};
    scene->epoll = epoll_create1(EPOLL_CLOEXEC);
    scene->calls = calls_new(scene->channel, scene->epoll);
    reads_begin(&scene->reads, scene->calls, on_settled, scene);
}

static void end(struct scene *scene)
{
    reads_expire(&scene->reads, clock_monotonic_ms() + READ_FRESH_MS);
    assert_int_equal(scene->reads.count, 0);
    close(scene->supervisor);
    close(scene->channel);
    close(scene->epoll);
    calls_free(scene->calls);
}

static struct read *ask(struct scene *scene, const char *name)
{
    return reads_ask(&scene->reads, json_pack("{s:s}", "read", name), clock_monotonic_ms());
}

static void give_up(struct scene *scene)
{
    calls_expire(scene->calls, INT64_MAX); /* all of them, whatever millisecond each began in */
}

static void test_a_read_that_is_asked_for_twice_is_made_once_and_anew_after_an_order(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene);
    struct read *first = ask(&scene, "usage"), *second = ask(&scene, "usage");
    assert_ptr_equal(first, second);
    reads_outdate(&scene.reads);
    struct read *after = ask(&scene, "usage");
    assert_ptr_not_equal(after, first);
    give_up(&scene);
    assert_int_equal(scene.settled, 2);
    read_drop(first);
    read_drop(second);
    read_drop(after);
    end(&scene);
}

static void
test_a_read_under_way_stays_until_it_is_told_though_nobody_wants_it_and_it_is_outdated(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene);
    read_drop(ask(&scene, "usage"));
    reads_outdate(&scene.reads);
    reads_expire(&scene.reads, clock_monotonic_ms());
    assert_int_equal(scene.reads.count, 1);
    give_up(&scene);
    assert_int_equal(scene.reads.under_way, 0);
    assert_int_equal(scene.settled, 1);
    end(&scene);
}

static void test_a_read_that_waits_for_its_turn_is_not_made_when_nobody_wants_it(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene);
    struct read *one = ask(&scene, "usage"), *two = ask(&scene, "queues"), *three = ask(&scene, "envelopes");
    assert_int_equal(three->state, READ_QUEUED);
    read_drop(three);
    assert_int_equal(scene.reads.count, 2);
    give_up(&scene);
    assert_int_equal(scene.settled, 2);
    read_drop(one);
    read_drop(two);
    end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_read_that_is_asked_for_twice_is_made_once_and_anew_after_an_order),
        cmocka_unit_test(
            test_a_read_under_way_stays_until_it_is_told_though_nobody_wants_it_and_it_is_outdated),
        cmocka_unit_test(test_a_read_that_waits_for_its_turn_is_not_made_when_nobody_wants_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
