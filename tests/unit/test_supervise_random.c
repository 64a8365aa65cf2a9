/* Workers that send the supervisor well-formed messages of every kind with fields at random, and torn ones between
 * them. AGENTOS_RANDOM_SEED=N begins elsewhere; the seed of a run is printed. */
#include "supervised.h"

enum {
    TALKERS = 48,
    KINDS_OF_ONE = 2,
    MESSAGES = 250,
    SEVERAL_MOST = 5,
    TEXT_MOST = 20 * 1024,
    FIRST_SEED = 20261201
};

#define SAID_ALL "every message was said"

static const struct {
    enum message_type type;
    const char *fields;
} said_by_workers[] = {
#define FROM_WORKER       ROW
#define FROM_SUPERVISOR   NO_ROW
#define FROM_ZYGOTE       NO_ROW
#define FROM_GATEWAY      NO_ROW
#define FROM_MIRROR       NO_ROW
#define FROM_BUS          NO_ROW
#define ROW(name, fields) {MESSAGE_##name, fields},
#define NO_ROW(name, fields)
#define X(name, number, from, to, fields) FROM_##from(name, fields)
    MESSAGE_TABLE(X)
#undef X
};

enum { KINDS = sizeof said_by_workers / sizeof said_by_workers[0] };

static uint64_t state;

static uint64_t chance(uint64_t most) /* 0 to most - 1 (xorshift64*, Vigna 2016) */
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 0x2545F4914F6CDD1DU >> 16) % most;
}

static uint64_t random_number(void)
{
    static const uint64_t edges[] = {
        0, 1, 2, 3, 7, 100, 1 << 20, INT32_MAX, UINT32_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    return chance(4)   ? chance(3)
           : chance(2) ? edges[chance(sizeof edges / sizeof edges[0])]
                       : chance(UINT64_MAX);
}

static void random_text(struct buffer *text)
{
    static const char *const words[] = {"",
                                        "task",
                                        "orion",
                                        "finished",
                                        "done",
                                        "failed",
                                        "read",
                                        "../orion",
                                        "a\nb\nc",
                                        "{}",
                                        "[1]",
                                        "operator",
                                        "queue:q",
                                        "segment:s",
                                        "0123abc",
                                        "\xff\xfe",
                                        "\xe2\x80\xae",
                                        "provider",
                                        "2026-04-29T10:05:00Z"};
    text->length = 0;
    if (chance(8)) {
        buffer_text(text, words[chance(sizeof words / sizeof words[0])]);
    } else {
        for (uint64_t left = chance(chance(8) ? 64 : TEXT_MOST); left > 0; left--)
            buffer_add(text, &(char){(char)(1 + chance(255))}, 1);
    }
}

/* A talker has few kinds: among many, a kind that ends it for most of its fields would come too soon. */
static size_t kinds[KINDS_OF_ONE];

static void random_message(struct buffer *message)
{
    size_t kind = kinds[chance(KINDS_OF_ONE)];
    bool torn = !chance(400);
    OWNED_BUFFER struct buffer text = {0};
    message->length = 0;
    message_begin(message, said_by_workers[kind].type);
    for (const char *field = said_by_workers[kind].fields; *field; field++) {
        random_text(&text);
        if (*field == 'n')
            message_number(message, random_number());
        else
            message_bytes(message, text.data ? text.data : "", text.length);
    }
    if (torn)
        message->data[chance(message->length)] ^= (char)(1 + chance(255));
}

static void random_several(struct buffer *message)
{
    OWNED_BUFFER struct buffer part = {0};
    message->length = 0;
    message_begin(message, MESSAGE_SEVERAL);
    for (uint64_t left = 1 + chance(SEVERAL_MOST); left > 0; left--) {
        random_message(&part);
        message_bytes(message, part.data, part.length);
    }
}

static uint64_t seed_of_run(void)
{
    const char *given = getenv("AGENTOS_RANDOM_SEED");
    return given ? strtoull(given, NULL, 10) : FIRST_SEED;
}

/* A worker that is started again after it was ended for its messages is sound. */
static bool talks_for_the_first_time(const struct worker_start *start)
{
    OWNED char *path = memory_print("%s/agents/%s/talked", start->data_dir, start->agent->name);
    OWNED_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd >= 0;
}

static void talk_at_random(struct link *link, const struct worker_start *start)
{
    unsigned number;
    OWNED_BUFFER struct buffer message = {0};
    if (sscanf(start->agent->name, "talker-%u", &number) != 1 || !talks_for_the_first_time(start))
        return;
    state = seed_of_run() * TALKERS + number + 1;
    kinds[0] = number % KINDS;
    for (size_t i = 1; i < KINDS_OF_ONE; i++)
        kinds[i] = chance(KINDS);
    for (size_t i = 0; i <= MESSAGES; i++) {
        if (i == MESSAGES)
            message_make(&message, MESSAGE_PROBLEMS, SAID_ALL);
        else
            (chance(4) ? random_message : random_several)(&message);
        if (!link_send(link, &message))
            _exit(1); /* ended by the supervisor, or not listened to for seconds: on a slow machine, too */
    }
}

/* --- */

static struct supervised place;

static bool was_heard(const char *name)
{
    OWNED char *ended = memory_print("Worker of agent '%s'", name);
    json_t *problems = supervised_field(&place, name, "problems");
    OWNED char *text = json_dumps(problems, 0);
    json_decref(problems);
    return (text && strstr(text, SAID_ALL)) || supervised_logged(&place, ended);
}

/* A talker that is never heard fails the test with its status and the log. */
static void await_talker(const char *name)
{
    int64_t until_ms = clock_monotonic_ms() + 280000;
    while (!was_heard(name) && clock_monotonic_ms() < until_ms)
        supervised_nap();
    if (clock_monotonic_ms() < until_ms)
        return;
    OWNED char *request = memory_print("{\"verb\":\"status\",\"agent\":\"%s\"}", name);
    OWNED char *log = supervised_log(&place);
    json_auto_t *status = supervised_ask(&place, request);
    OWNED char *text = json_dumps(status, 0);
    fail_msg("%s was never heard: %s\n%s", name, text, log);
}

static void test_messages_at_random_end_their_worker_at_most_and_harm_nobody_else(void **unused)
{
    OWNED_BUFFER struct buffer names = {0};
    for (unsigned i = 0; i < TALKERS; i++)
        buffer_print(&names, "talker-%u ", i);
    buffer_text(&names, "orion");
    printf("AGENTOS_RANDOM_SEED=%llu\n", (unsigned long long)seed_of_run());
    pid_t orion = supervised_start_until_idle(&place, names.data, "orion");
    for (unsigned i = 0; i < TALKERS; i++) {
        OWNED char *name = memory_print("talker-%u", i);
        await_talker(name);
    }
    assert_int_equal(supervised_exit_of(&place, "{\"verb\":\"metrics\"}"), 0);
    assert_int_equal(supervised_exit_of(&place, "{\"verb\":\"status\"}"), 0);
    assert_int_equal(
        supervised_exit_of(&place, "{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"t\",\"id\":\"orion\","
                                   "\"wait\":true}"),
        0);
    assert_int_equal(supervised_pid(&place, "orion"), orion);
    assert_false(supervised_logged(&place, "Worker of agent 'orion'"));
    kill(place.pid, SIGTERM);
    assert_int_equal(supervised_wait(&place), 0);
}

static int begin(void **unused)
{
    supervised_place(&place, 0);
    return 0;
}

static int end(void **unused)
{
    supervised_end(&place);
    return 0;
}

int main(int count, char **arguments)
{
    worker_does_more = talk_at_random;
    supervised_main(count, arguments);
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
        test_messages_at_random_end_their_worker_at_most_and_harm_nobody_else, begin, end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
