/* Asking the supervisor: once for all clients, and never waiting for a supervisor that doesn't answer. */
#include "tests/unit/calls_scene.h"

#include <string.h>

#include "common/clock.h"
#include "common/test_clock.h"
#include "supervisor/http/snapshot.h"

struct scene {
    struct calls_scene played;
    struct snapshot snapshot;
    int connection; /* the supervisor's end of the last one; -1: none */
};

static void begin(struct scene *scene)
{
    *scene = (struct scene){.connection = -1};
    calls_scene_begin(&scene->played);
    snapshot_begin(&scene->snapshot, scene->played.calls, "metrics", on_settled, &scene->played);
}

static void end(struct scene *scene)
{
    memory_close_at(&scene->connection);
    snapshot_end(&scene->snapshot);
    calls_scene_end(&scene->played);
}

static ssize_t bytes_asked(const struct scene *scene)
{
    char bytes[64];
    return recv(scene->played.supervisor, bytes, sizeof bytes, MSG_DONTWAIT);
}

/* As supervisor/http_listener.c does it. */
static void hand_over(struct scene *scene, bool with_connection)
{
    int pair[2];
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec bytes = {.iov_base = "c", .iov_len = 1};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    if (with_connection) {
        message.msg_control = control.room;
        message.msg_controllen = sizeof control.room;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(header), &pair[1], sizeof pair[1]);
    }
    assert_int_equal(sendmsg(scene->played.supervisor, &message, 0), 1);
    close(pair[1]);
    memory_close_at(&scene->connection);
    scene->connection = pair[0];
    pass(&scene->played, 0);
}

static void answer(struct scene *scene, const char *text)
{
    char request[64];
    assert_true(recv(scene->connection, request, sizeof request, 0) > 0);
    assert_true(strncmp(request, "{\"verb\":\"metrics\"}\n", 19) == 0);
    assert_int_equal(send(scene->connection, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    pass(&scene->played, 0);
}

static void test_many_who_want_to_know_make_one_question(void **state)
{
    struct scene scene;
    begin(&scene);
    for (int i = 0; i < 100; i++)
        assert_int_equal(snapshot_look(&scene.snapshot, clock_monotonic_ms()), SNAPSHOT_UNDER_WAY);
    assert_int_equal(bytes_asked(&scene), 1);
    int64_t before = clock_monotonic_ms();
    hand_over(&scene, true);
    answer(&scene, "{\"exit\":0,\"metrics\":{\"agents\":[]}}\n");
    assert_int_equal(scene.played.settled, 1);
    assert_int_equal(snapshot_look(&scene.snapshot, before), SNAPSHOT_KNOWN);
    assert_non_null(snapshot_object(&scene.snapshot));
    int64_t later = clock_monotonic_ms() + SNAPSHOT_FRESH_MS;
    assert_int_equal(snapshot_look(&scene.snapshot, later), SNAPSHOT_UNDER_WAY);
    assert_int_equal(bytes_asked(&scene), 1);
    end(&scene);
}

static void test_one_who_is_silent_is_not_waited_for_nor_asked_again_and_again(void **state)
{
    struct scene scene;
    begin(&scene);
    int64_t before = clock_monotonic_ms(), now = before;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(snapshot_look(&scene.snapshot, now), SNAPSHOT_UNDER_WAY);
        pass(&scene.played, SNAPSHOT_WAIT_MS / 2);
        assert_int_equal(scene.played.settled, i);
        pass(&scene.played, SNAPSHOT_WAIT_MS / 2);
        assert_int_equal(scene.played.settled, i + 1);
        assert_int_equal(snapshot_look(&scene.snapshot, before), SNAPSHOT_FAILED);
        assert_null(snapshot_object(&scene.snapshot));
        now = clock_monotonic_ms() + SNAPSHOT_FRESH_MS;
    }
    assert_int_equal(bytes_asked(&scene), 1);
    hand_over(&scene, true); /* too late: no client waits now */
    assert_int_equal(recv(scene.connection, &(char){0}, 1, 0), 0);
    assert_int_equal(snapshot_look(&scene.snapshot, now), SNAPSHOT_UNDER_WAY);
    assert_int_equal(bytes_asked(&scene), 1);
    end(&scene);
}

static void test_a_connection_that_is_late_serves_the_next_question(void **state)
{
    struct scene scene;
    begin(&scene);
    snapshot_look(&scene.snapshot, clock_monotonic_ms());
    pass(&scene.played, SNAPSHOT_WAIT_MS);
    snapshot_look(&scene.snapshot, clock_monotonic_ms() + SNAPSHOT_FRESH_MS);
    hand_over(&scene, true);
    int64_t before = clock_monotonic_ms();
    answer(&scene, "{\"exit\":0,\"metrics\":{}}\n");
    assert_int_equal(snapshot_look(&scene.snapshot, before), SNAPSHOT_KNOWN);
    end(&scene);
}

static void test_what_is_no_answer_is_none(void **state)
{
    static const char *const answers[] = {
        "\n",   "nonsense\n", "{\"exit\":75,\"complaint\":\"too many\"}\n", "{\"exit\":0,\"metrics\":7}\n",
        "[]\n", NULL};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct scene scene;
        begin(&scene);
        int64_t before = clock_monotonic_ms();
        snapshot_look(&scene.snapshot, before);
        hand_over(&scene, true);
        if (answers[i]) {
            answer(&scene, answers[i]);
        } else {
            memory_close_at(&scene.connection);
            scene.connection = -1;
            pass(&scene.played, 0);
        }
        assert_int_equal(scene.played.settled, 1);
        assert_int_equal(snapshot_look(&scene.snapshot, before), SNAPSHOT_FAILED);
        end(&scene);
    }
}

static void test_a_byte_without_a_connection_means_not_now(void **state)
{
    struct scene scene;
    begin(&scene);
    int64_t before = clock_monotonic_ms();
    snapshot_look(&scene.snapshot, before);
    hand_over(&scene, false);
    assert_int_equal(scene.played.settled, 1);
    assert_int_equal(snapshot_look(&scene.snapshot, before), SNAPSHOT_FAILED);
    end(&scene);
}

static void test_a_supervisor_that_is_gone_is_the_end(void **state)
{
    struct scene scene;
    begin(&scene);
    pass(&scene.played, 0);
    assert_false(scene.played.ended);
    close(scene.played.supervisor);
    scene.played.supervisor = -1;
    pass(&scene.played, 0);
    assert_true(scene.played.ended);
    end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_who_want_to_know_make_one_question),
        cmocka_unit_test(test_one_who_is_silent_is_not_waited_for_nor_asked_again_and_again),
        cmocka_unit_test(test_a_connection_that_is_late_serves_the_next_question),
        cmocka_unit_test(test_what_is_no_answer_is_none),
        cmocka_unit_test(test_a_byte_without_a_connection_means_not_now),
        cmocka_unit_test(test_a_supervisor_that_is_gone_is_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
