/* supervisor/gateway/scheduler: a question between its requests. The client and the report are the test's. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/memory.h"
#include "supervisor/gateway/client.h"
#include "supervisor/gateway/scheduler.h"
#include "tests/unit/cmocka.h"

enum { SERIAL = 7, HOUR_S = 3600, TESTS = 4 };

static int64_t now_s;
static unsigned started, cancelled, spent, answers;
static client_done *done;
static void *asker; /* of the request that began last */

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, clock, time);
    *time = (struct timespec){.tv_sec = now_s};
    return 0;
}

void client_header(struct curl_slist **headers, const char *line)
{
    *headers = curl_slist_append(*headers, line);
}

struct transfer *client_start(struct client *client, const struct client_request *request, void *context,
                              struct fault *fault)
{
    started++;
    done = request->done;
    asker = context;
    return (struct transfer *)&started;
}

void client_cancel(struct client *client, struct transfer *transfer)
{
    cancelled++;
}

void report_send(struct report *report, enum message_type type, ...)
{
    spent += type == MESSAGE_SPENT;
    answers += type == MESSAGE_ANSWER;
}

struct place {
    struct keys *keys;
    struct loop *loop;
    struct scheduler *scheduler;
};

static struct scheduler *schedulers[TESTS]; /* they know their agents until the process ends */
static size_t opened;

static void end_request(long status, const char *text)
{
    OWNED_BUFFER struct buffer body = {0};
    buffer_text(&body, text);
    done(asker, &(struct client_result){
                    .status = status, .sent = true, .content_type = "application/json", .body = &body});
}

static void pass(struct place *place, int64_t seconds)
{
    now_s += seconds;
    loop_turn(place->loop, 0);
    loop_turn(place->loop, 0); /* a timer that was set for "at once" is for the next turn */
}

/* A question whose first request was answered with a fault that passes: the question waits, for its time and for
 * leave. */
static int begin(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    clearenv();
    setenv("LLM_BASE_URL", "http://127.0.0.1:1/v1", 1);
    now_s = HOUR_S;
    started = cancelled = spent = answers = 0;
    OWNED_FD int fd = secrets_collect(NULL);
    place->keys = keys_load(secrets_read(fd, NULL));
    place->loop = loop_new();
    place->scheduler =
        scheduler_open(&(struct scheduler_setup){.keys = place->keys, .loop = place->loop, .concurrency = 8});
    schedulers[opened++] = place->scheduler;
    scheduler_ask(place->scheduler, SERIAL, memory_text("orion"), memory_text("s"), memory_text("t"), false);
    assert_int_equal(started, 1);
    end_request(500, "{}");
    assert_int_equal(spent, 1);
    assert_int_equal(answers, 0);
    *state = place;
    return 0;
}

static int end(void **state)
{
    struct place *place = *state;
    scheduler_close(place->scheduler);
    keys_free(place->keys);
    loop_free(place->loop);
    free(place);
    return 0;
}

/* The second request is answered, and nothing of the question is left. */
static void answer(struct place *place)
{
    assert_int_equal(started, 2);
    pass(place, HOUR_S); /* past every pause between tries */
    assert_int_equal(started, 2);
    end_request(200, "{\"choices\":[{\"message\":{\"content\":\"Done\"},\"finish_reason\":\"stop\"}]}");
    assert_int_equal(answers, 1);
    assert_int_equal(spent, 2);
    pass(place, HOUR_S);
    assert_int_equal(started, 2);
    assert_int_equal(cancelled, 0);
}

static void test_a_retry_before_the_leave_sends_nothing_and_with_the_leave_one_request_at_once(void **state)
{
    struct place *place = *state;
    scheduler_retry(place->scheduler, "orion");
    pass(place, HOUR_S);
    assert_int_equal(started, 1); /* nothing is reserved for another one */
    scheduler_retry(place->scheduler, "orion");
    scheduler_again(place->scheduler, SERIAL, "orion");
    pass(place, 0);
    answer(place);
}

static void test_a_retry_behind_the_leave_sends_one_request_at_once(void **state)
{
    struct place *place = *state;
    scheduler_again(place->scheduler, SERIAL, "orion");
    pass(place, 0);
    assert_int_equal(started, 1);
    scheduler_retry(place->scheduler, "orion");
    answer(place);
}

static void test_a_question_that_is_forgotten_beside_a_retry_is_asked_no_more(void **state)
{
    struct place *place = *state;
    scheduler_retry(place->scheduler, "orion");
    scheduler_forget(place->scheduler, SERIAL, "orion");
    scheduler_again(place->scheduler, SERIAL, "orion");
    pass(place, HOUR_S);
    assert_int_equal(started, 1);
    assert_int_equal(cancelled, 0);
}

static void test_without_a_retry_the_request_goes_out_when_the_pause_is_over(void **state)
{
    struct place *place = *state;
    pass(place, HOUR_S);
    assert_int_equal(started, 1);
    scheduler_again(place->scheduler, SERIAL, "orion");
    pass(place, 0);
    answer(place);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[TESTS] = {
        TEST(test_a_retry_before_the_leave_sends_nothing_and_with_the_leave_one_request_at_once),
        TEST(test_a_retry_behind_the_leave_sends_one_request_at_once),
        TEST(test_a_question_that_is_forgotten_beside_a_retry_is_asked_no_more),
        TEST(test_without_a_retry_the_request_goes_out_when_the_pause_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
