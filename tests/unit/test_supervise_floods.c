/* The whole supervisor against workers that were taken over and ask for as much as their lines carry: whoever asks for the
 * status has it at once, and the agent that behaves works on. Each of these workers keeps to the protocol. */
#include <inttypes.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "supervised.h"

enum { SAMPLES = 60, LIMIT_MS = 100, LOCKS = 50000, ENVELOPES = 3000 };

/* --- the floods; each is one round, made again and again --- */

static void add_to(struct buffer *several, enum message_type type, ...)
{
    OWNED_BUFFER struct buffer one = {0};
    va_list fields;
    if (several->length == 0)
        message_begin(several, MESSAGE_SEVERAL);
    va_start(fields, type);
    message_make_list(&one, type, fields);
    va_end(fields);
    message_bytes(several, one.data, one.length);
}

static void flood_with_locks(struct link *link, const struct worker_start *start)
{
    OWNED_BUFFER struct buffer several = {0};
    (void)start;
    for (int i = 0; i < LOCKS; i++) {
        OWNED char *name = memory_print("lock-%d", i), *task = memory_print("t%d", i);
        add_to(&several, MESSAGE_LOCK, task, name);
    }
    link_send(link, &several);
}

/* Every one of them is granted, and so written to disk. */
static void flood_with_grants(struct link *link, const struct worker_start *start)
{
    OWNED_BUFFER struct buffer several = {0};
    (void)start;
    for (int i = 0; i < 5000; i++) {
        OWNED char *name = memory_print("fresh-%d", i);
        add_to(&several, MESSAGE_LOCK, "t", name);
    }
    link_send(link, &several);
}

static void flood_with_questions(struct link *link, const struct worker_start *start)
{
    OWNED char *much = memory_new(4000 * 1000, 1);
    (void)start;
    memset(much, 'q', 4000 * 1000 - 1);
    for (uint64_t i = 0; i < 16; i++)
        worker_tells(link, MESSAGE_ASK, 100 + i, "x", much, "t", MESSAGE_NOWHERE, MESSAGE_NOWHERE,
                     MESSAGE_NOWHERE, MESSAGE_NOWHERE, (uint64_t)0);
}

static void flood_with_rings(struct link *link, const struct worker_start *start)
{
    OWNED_BUFFER struct buffer several = {0}, ids = {0};
    (void)start;
    for (int i = 0; i < 1000; i++)
        buffer_print(&ids, "id-%d\n", i);
    for (int i = 0; i < 250; i++)
        add_to(&several, MESSAGE_POST, i % 50 ? ids.data : "");
    link_send(link, &several);
}

static void write_envelope(int folder, const char *agent, int number)
{
    OWNED char *name = memory_print("%s-%d.md", agent, number);
    OWNED char *text = memory_print("---\nid: %s-%d\nkind: message\nfrom: %s\nto: orion\n"
                                    "created: 2026-04-29T10:00:00Z\n---\nText.\n",
                                    agent, number, agent);
    files_write(folder, name, text, strlen(text), false, NULL);
}

static void flood_with_envelopes(struct link *link, const struct worker_start *start)
{
    static int so_far;
    OWNED char *path = memory_print("%s/agents/%s/iac/outbox", start->data_dir, start->agent->name);
    OWNED char *make = memory_print("mkdir -p %s", path);
    if (so_far == 0)
        assert_int_equal(system(make), 0);
    OWNED_FD int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; folder >= 0 && so_far < ENVELOPES && i < 500; i++)
        write_envelope(folder, start->agent->name, so_far++);
    worker_tells(link, MESSAGE_POST, "");
}

static void flood_with_ends(struct link *link, const struct worker_start *start)
{
    OWNED_BUFFER struct buffer several = {0};
    (void)start;
    for (int i = 0; i < 5000; i++) {
        OWNED char *id = memory_print("id-%d", i);
        add_to(&several, MESSAGE_SETTLED, id, "finished", "0123abc");
    }
    link_send(link, &several);
}

static void flood_with_words(struct link *link, const struct worker_start *start)
{
    static uint64_t streak;
    OWNED_BUFFER struct buffer several = {0};
    OWNED char *reasons = memory_new(100 * 1000, 1);
    (void)start;
    memset(reasons, 'r', 100 * 1000 - 1);
    for (int i = 0; i < 20; i++)
        add_to(&several, MESSAGE_JUDGED, "t", (uint64_t)0, (uint64_t)2, reasons, "0123abc");
    for (int i = 0; i < 2000; i++) {
        OWNED char *task = memory_print("t%d", i), *problems = memory_print("problem %d\nproblem", i);
        add_to(&several, MESSAGE_ACTIVITY, (uint64_t)ACTIVITY_WORKING, task, (uint64_t)0);
        add_to(&several, MESSAGE_PROBLEMS, problems);
        add_to(&several, MESSAGE_FIGURES, (uint64_t)1, (uint64_t)1, (uint64_t)1, (uint64_t)1, (uint64_t)1,
               ++streak, (uint64_t)1, (uint64_t)1);
        add_to(&several, MESSAGE_FINISHED, task, (uint64_t)0, "0123abc", (uint64_t)0, (uint64_t)0, "done",
               "");
    }
    link_send(link, &several);
}

static void flood_with_lines(struct link *link, const struct worker_start *start)
{
    (void)link, (void)start;
    for (int i = 0; i < 1000; i++)
        dprintf(STDERR_FILENO, "line %d of a flood that goes on for ever\n", i);
}

static const struct {
    const char *name;
    void (*flood)(struct link *link, const struct worker_start *start);
} floods[] = {
    {"locks", flood_with_locks}, {"grants", flood_with_grants},       {"questions", flood_with_questions},
    {"rings", flood_with_rings}, {"envelopes", flood_with_envelopes}, {"ends", flood_with_ends},
    {"words", flood_with_words}, {"lines", flood_with_lines},
};

enum { FLOODS = sizeof floods / sizeof floods[0] };

/* Begins when the test says so, and answers heartbeats meanwhile, as who wants to go on would. */
static void flood(struct link *link, const struct worker_start *start)
{
    const void *bytes;
    size_t length;
    OWNED char *sign = memory_print("%s/flood", start->data_dir);
    for (size_t i = 0; i < FLOODS;) {
        if (strcmp(start->agent->name, floods[i].name) != 0) {
            i++;
            continue;
        }
        if (access(sign, F_OK) == 0)
            floods[i].flood(link, start);
        poll(&(struct pollfd){.fd = link_fd(link), .events = POLLIN}, 1, 1);
        for (int got; (got = link_receive(link, &bytes, &length)) != 0;) {
            struct reader reader;
            unsigned type = 0;
            if (got < 0 ||
                (message_open(&reader, bytes, length, &type) && !worker_hears(link, start, type, &reader)))
                _exit(0);
        }
    }
}

static int by_size(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* --- how long the supervisor works between two looks at who asks it, in CPU time: the machine may be busy --- */

enum { PART_BUCKETS = 9, QUESTION = 4 * 1024 * 1024, COPIES_MAX = 12 };

/* Shared with the supervisor's process: parts[i] took less than 2^(i-2) ms, the last ones more. */
static struct turn_parts {
    uint64_t parts[PART_BUCKETS], longest_us;
    bool counted;
} * turn_parts;

static int64_t thread_cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void count_part(int64_t us)
{
    size_t bucket = 0;
    while (bucket < PART_BUCKETS - 1 && us >= (INT64_C(250) << bucket))
        bucket++;
    turn_parts->parts[bucket]++;
    if ((uint64_t)us > turn_parts->longest_us)
        turn_parts->longest_us = (uint64_t)us;
}

/* In place of the C library's. nng has threads with an epoll of their own; programs that were exec'ed count nothing. */
int epoll_wait(int epoll, struct epoll_event *events, int most, int wait_ms)
{
    static int64_t began_us;
    bool counts = turn_parts && turn_parts->counted && gettid() == getpid();
    if (counts && began_us)
        count_part(thread_cpu_us() - began_us);
    int count = epoll_pwait(epoll, events, most, wait_ms, NULL);
    if (counts)
        began_us = thread_cpu_us();
    return count;
}

/* What a question of the largest size costs to copy into memory that is new, the median of some, in this build and on this
 * machine: a thousand page faults. */
static int64_t copy_us(void)
{
    enum { COUNT = 5 };
    int64_t took[COUNT];
    char *from = memory_new(QUESTION, 1);
    memset(from, 'q', QUESTION);
    for (size_t i = 0; i < COUNT; i++) {
        int64_t began = thread_cpu_us();
        char *to = mmap(NULL, QUESTION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(to, MAP_FAILED);
        memcpy(to, from, QUESTION);
        took[i] = thread_cpu_us() - began;
        munmap(to, QUESTION);
    }
    free(from);
    qsort(took, COUNT, sizeof took[0], by_size);
    return took[COUNT / 2];
}

/* The longest part is one message: a question is copied some times on its way, and nothing else of a turn is as long. */
static void assert_parts_are_short(const char *names)
{
    uint64_t all = 0;
    int64_t copy = copy_us();
    printf("parts of turns under %s, by CPU time:", names);
    for (int i = 0; i < PART_BUCKETS; i++) {
        uint64_t count = turn_parts->parts[i];
        all += count;
        if (i < PART_BUCKETS - 1)
            printf(" %" PRIu64 " < %g ms,", count, 0.25 * (1 << i));
        else
            printf(" %" PRIu64 " more; the longest %.1f ms, a copy of a question %.1f ms\n", count,
                   (double)turn_parts->longest_us / 1000, (double)copy / 1000);
    }
    assert_true(all > 0);
#ifndef __SANITIZE_ADDRESS__ /* under it each look at four million letters takes as long as ten copies */
    assert_true((int64_t)turn_parts->longest_us < COPIES_MAX * (copy + 1000));
#endif
}

/* --- what a person sees of it --- */

/* The 95th percentile of what a status takes, in microseconds. */
static int64_t status_us(const struct supervised *supervised)
{
    int64_t took[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        struct timespec before, after;
        clock_gettime(CLOCK_MONOTONIC, &before);
        json_t *status = supervised_ask(supervised, "{\"verb\":\"status\"}\n");
        clock_gettime(CLOCK_MONOTONIC, &after);
        assert_int_equal(json_integer_value(json_object_get(status, "exit")), 0);
        json_decref(status);
        took[i] = (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
        supervised_nap();
    }
    qsort(took, SAMPLES, sizeof *took, by_size);
    return took[SAMPLES * 95 / 100];
}

static void assert_works(const struct supervised *supervised)
{
    static const char request[] =
        "{\"verb\":\"task\",\"agent\":\"orion\",\"text\":\"t\",\"id\":\"orion\",\"wait\":true}\n";
    OWNED_FD int fd = supervised_connect(supervised);
    assert_int_equal(send(fd, request, sizeof request - 1, MSG_NOSIGNAL), sizeof request - 1);
    json_t *accepted = supervised_hear(fd), *ended = supervised_hear(fd);
    assert_string_equal(json_string_value(json_object_get(ended, "end")), "done");
    json_decref(accepted);
    json_decref(ended);
}

static void withstand(struct supervised *supervised, const char *names)
{
    OWNED_BUFFER struct buffer yaml = {0};
    OWNED char *copy = memory_print("orion %s", names), *rest = copy;
    OWNED char *sign = memory_print("%s/flood", supervised->data);
    buffer_text(&yaml, "agents:\n");
    for (const char *name; (name = strsep(&rest, " "));)
        buffer_print(&yaml, "  - {name: %s, persona: p}\n", name);
    supervised_yaml(supervised, yaml.data);
    *turn_parts = (struct turn_parts){.counted = false};
    supervised_start(supervised);
    EVENTUALLY(supervised_is(supervised, "orion", "idle"));
    int64_t quiet = status_us(supervised);
    OWNED_FD int begin = open(sign, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(begin >= 0);
    turn_parts->counted = true;
    int64_t flooded = status_us(supervised);
    turn_parts->counted = false;
    printf("status under %s: %lld us of 100 in 95, %lld us when it is quiet\n", names, (long long)flooded,
           (long long)quiet);
    assert_true(flooded < LIMIT_MS * 1000 + 50 * quiet);
    assert_parts_are_short(names);
    assert_works(supervised);
}

static int begin_one(void **state)
{
    struct supervised *supervised = memory_new(1, sizeof *supervised);
    supervised_place(supervised, 0);
    *state = supervised;
    return 0;
}

static int end_one(void **state)
{
    supervised_end(*state);
    free(*state);
    return 0;
}

static void test_status_answers_at_once_and_others_work_on_under_each_flood(void **state)
{
    struct supervised *supervised = *state;
    for (size_t i = 0; i < FLOODS; i++) {
        if (i > 0) {
            supervised_end(supervised);
            supervised_place(supervised, 0);
        }
        withstand(supervised, floods[i].name);
    }
}

static void test_status_answers_at_once_and_others_work_on_under_all_floods_together(void **state)
{
    OWNED_BUFFER struct buffer names = {0};
    for (size_t i = 0; i < FLOODS; i++)
        buffer_print(&names, "%s%s", i ? " " : "", floods[i].name);
    withstand(*state, names.data);
}

int main(int count, char **arguments)
{
    worker_does_more = flood;
    supervised_main(count, arguments);
    turn_parts = mmap(NULL, sizeof *turn_parts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(turn_parts, MAP_FAILED);
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_one, end_one)
    const struct CMUnitTest tests[] = {
        TEST(test_status_answers_at_once_and_others_work_on_under_each_flood),
        TEST(test_status_answers_at_once_and_others_work_on_under_all_floods_together),
    };
    if (getenv("ONLY"))
        cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
