/* Questions to the model find their way back, to whom they belong and nobody else. */
#include "relay_world.h"

static int begin(void **state)
{
    struct world *world = memory_new(1, sizeof *world);
    world->relay = relay_new(&(struct relay_owner){
        .to_gateway = to_gateway, .ask_gateway = ask_gateway, .to_worker = to_worker, .context = world});
    world->room = MESSAGE_NOWHERE;
    *state = world;
    return 0;
}

static int end(void **state)
{
    struct world *world = *state;
    relay_free(world->relay);
    buffer_free(&world->gateway.last);
    buffer_free(&world->orion.last);
    buffer_free(&world->iris.last);
    free(world);
    return 0;
}

static const char *peers_text = "P", *segments_text = "S";

static void surroundings(void *asker, struct buffer *peers, struct buffer *segments, struct buffer *budget)
{
    assert_non_null(asker);
    buffer_text(peers, peers_text);
    buffer_text(segments, segments_text);
    buffer_text(budget, "B");
}

/* The serial and the name of the ASK or FORGET that the gateway got last. */
static uint64_t seen(const struct world *world, char **name)
{
    struct reader reader;
    unsigned type;
    uint64_t serial = 0;
    OWNED char *copy = NULL;
    assert_true(message_open(&reader, world->gateway.last.data, world->gateway.last.length, &type));
    message_get_number(&reader, &serial);
    message_get_text(&reader, &copy, 64);
    if (name)
        *name = memory_text(copy);
    return serial;
}

/* The question to the gateway when a worker asks so. */
static char *prompt_at(struct world *world, uint64_t peers_at, uint64_t segments_at, uint64_t budget_at)
{
    OWNED_BUFFER struct buffer message = {0};
    struct reader reader;
    unsigned type;
    uint64_t serial, a, b, c, d, least;
    OWNED char *name = NULL, *task = NULL;
    char *prompt = NULL;
    message_make(&message, MESSAGE_ASK, UINT64_C(1), "orion", "system", "task", peers_at, segments_at,
                 budget_at, world->room, UINT64_C(1));
    assert_true(asks(world, &world->orion, "orion", &message));
    assert_true(message_open(&reader, world->gateway.last.data, world->gateway.last.length, &type));
    assert_true(message_read(&reader, MESSAGE_ASK, &serial, &name, &prompt, &task, &a, &b, &c, &d, &least));
    assert_int_equal(least, 1);
    assert_string_equal(task, "task");
    return prompt;
}

static void assert_prompt(struct world *world, uint64_t peers_at, uint64_t segments_at, uint64_t budget_at,
                          const char *expected)
{
    OWNED char *prompt = prompt_at(world, peers_at, segments_at, budget_at);
    assert_string_equal(prompt, expected);
}

static void test_peers_and_segments_are_put_in_where_the_worker_says(void **state)
{
    struct world *world = *state;
    assert_prompt(world, 2, 4, 6, "syNone.stNone.emNone.");
    relay_free(world->relay);
    world->relay = relay_new(&(struct relay_owner){.to_gateway = to_gateway,
                                                   .ask_gateway = ask_gateway,
                                                   .to_worker = to_worker,
                                                   .surroundings = surroundings,
                                                   .context = world});
    assert_prompt(world, 2, 4, 6, "syPstSemB");
    assert_prompt(world, 6, 0, 3, "SsysBtemP");
    assert_prompt(world, 3, 3, 6, "sysPStemB");
    assert_prompt(world, MESSAGE_NOWHERE, MESSAGE_NOWHERE, MESSAGE_NOWHERE, "system");
    assert_prompt(world, 7, 6, MESSAGE_NOWHERE, "systemS");
}

static void test_a_small_room_costs_the_segments_first_then_the_peers(void **state)
{
    struct world *world = *state;
    relay_free(world->relay);
    world->relay = relay_new(&(struct relay_owner){.to_gateway = to_gateway,
                                                   .ask_gateway = ask_gateway,
                                                   .to_worker = to_worker,
                                                   .surroundings = surroundings,
                                                   .context = world});
    world->room = 2;
    assert_prompt(world, 2, 4, 6, "syPstemB");
    world->room = 1;
    assert_prompt(world, 2, 4, 6, "systemB");
    world->room = 0;
    assert_prompt(world, 2, 4, 6, "system");
}

static void test_the_room_for_prompts_comes_with_what_was_put_in(void **state)
{
    struct world *world = *state;
    OWNED_BUFFER struct buffer message = {0};
    struct reader reader;
    unsigned type;
    uint64_t theirs, room, learned, put_in;
    OWNED char *name = NULL;
    assert_prompt(world, 2, 4, 6, "syNone.stNone.emNone.");
    message_make(&message, MESSAGE_ROOM, seen(world, NULL), "anybody", UINT64_C(9000), UINT64_C(4096),
                 UINT64_C(0));
    assert_true(relay_gateway_says(world->relay, message.data, message.length));
    assert_true(message_open(&reader, world->orion.last.data, world->orion.last.length, &type));
    assert_true(message_read(&reader, MESSAGE_ROOM, &theirs, &name, &room, &learned, &put_in));
    assert_string_equal(name, "orion");
    assert_true(theirs == 1 && room == 9000 && learned == 4096 && put_in == strlen("None.") * 3);
}

static void test_what_is_too_much_of_peers_and_segments_is_cut(void **state)
{
    struct world *world = *state;
    OWNED char *large = memory_new(RELAY_SEGMENTS_MAX + 100, 1);
    memset(large, 'x', RELAY_SEGMENTS_MAX + 99);
    relay_free(world->relay);
    world->relay = relay_new(&(struct relay_owner){.to_gateway = to_gateway,
                                                   .ask_gateway = ask_gateway,
                                                   .to_worker = to_worker,
                                                   .surroundings = surroundings,
                                                   .context = world});
    peers_text = segments_text = large;
    OWNED char *prompt = prompt_at(world, 0, 6, MESSAGE_NOWHERE);
    peers_text = "P", segments_text = "S";
    assert_in_range(strlen(prompt), RELAY_SEGMENTS_MAX, RELAY_PEERS_MAX + RELAY_SEGMENTS_MAX + 6);
    assert_non_null(strstr(prompt, "cut here"));
}

static bool ask(struct world *world, struct end *asker, const char *name, uint64_t serial)
{
    OWNED_BUFFER struct buffer message = {0};
    message_make(&message, MESSAGE_ASK, serial, "whoever", "system", "task", MESSAGE_NOWHERE, MESSAGE_NOWHERE,
                 MESSAGE_NOWHERE, MESSAGE_NOWHERE, UINT64_C(0));
    return asks(world, asker, name, &message);
}

static void answer(struct world *world, uint64_t serial)
{
    OWNED_BUFFER struct buffer message = {0};
    message_make(&message, MESSAGE_ANSWER, serial, "anybody", (uint64_t)ANSWER_OK, "the answer", "stop", "m",
                 (uint64_t)1, (uint64_t)2, "p", (uint64_t)0, (uint64_t)0, (uint64_t)0, (uint64_t)0,
                 USAGE_NO_COST);
    assert_true(relay_gateway_says(world->relay, message.data, message.length));
}

static void test_an_answer_goes_to_whom_asked_under_its_own_serial(void **state)
{
    struct world *world = *state;
    OWNED char *name = NULL;
    assert_true(ask(world, &world->orion, "orion", 7));
    uint64_t first = seen(world, &name);
    assert_string_equal(name, "orion"); /* and not the one in the message */
    assert_true(ask(world, &world->iris, "iris", 7));
    uint64_t second = seen(world, NULL);
    assert_int_not_equal(first, second);
    answer(world, second);
    assert_int_equal(world->iris.count, 1);
    assert_int_equal(world->orion.count, 0);
    assert_int_equal(answered_serial(&world->iris), 7);
    answer(world, first);
    answer(world, first); /* a second time it is nobody's */
    assert_int_equal(world->orion.count, 1);
    assert_int_equal(relay_under_way(world->relay), 0);
}

static void test_an_answer_for_a_dead_worker_never_reaches_the_next_one(void **state)
{
    struct world *world = *state;
    assert_true(ask(world, &world->orion, "orion", 1));
    uint64_t old = seen(world, NULL);
    relay_forget_all(world->relay, &world->orion);
    assert_int_equal(world->gateway.type, MESSAGE_FORGET);
    assert_int_equal(seen(world, NULL), old);
    assert_true(ask(world, &world->orion, "orion", 1));
    answer(world, old);
    assert_int_equal(world->orion.count, 0);
}

static void test_what_was_under_way_is_asked_again_of_the_next_gateway(void **state)
{
    struct world *world = *state;
    world->gateway.closed = true;
    assert_true(ask(world, &world->orion, "orion", 1));
    assert_true(ask(world, &world->iris, "iris", 1));
    assert_int_equal(world->gateway.count, 0);
    world->gateway.closed = false;
    relay_gateway_started(world->relay);
    assert_int_equal(world->gateway.count, 2);
    relay_gateway_started(world->relay);
    assert_int_equal(world->gateway.count, 4);
    answer(world, seen(world, NULL));
    assert_int_equal(world->iris.count, 1);
}

static void test_a_wait_in_a_gateway_that_ended_is_over_in_the_next_one(void **state)
{
    struct world *world = *state;
    OWNED_BUFFER struct buffer message = {0};
    assert_true(ask(world, &world->orion, "orion", 7));
    message_make(&message, MESSAGE_WAITING, seen(world, NULL), "anybody", "provider", (uint64_t)9, "s");
    assert_true(relay_gateway_says(world->relay, message.data, message.length));
    relay_gateway_started(world->relay);
    relay_gateway_started(world->relay); /* it is told once */
    assert_int_equal(world->orion.count, 2);
    message_make(&message, MESSAGE_WAITING, (uint64_t)7, "orion", "", (uint64_t)0, "");
    expect_last(&world->orion, &message);
}

static void say_learned(struct world *world, const char *url, const char *model, const char *text)
{
    OWNED_BUFFER struct buffer message = {0};
    message_make(&message, MESSAGE_LEARNED, url, model, text);
    assert_true(relay_gateway_says(world->relay, message.data, message.length));
}

static void test_the_next_gateway_is_told_what_the_last_one_learned(void **state)
{
    struct world *world = *state;
    struct reader reader;
    unsigned type;
    OWNED char *url = NULL, *model = NULL, *text = NULL;
    say_learned(world, "u", "m", "old");
    say_learned(world, "u", "m", "new");
    relay_gateway_started(world->relay);
    assert_int_equal(world->gateway.count, 1);
    assert_true(message_open(&reader, world->gateway.last.data, world->gateway.last.length, &type));
    assert_true(message_read(&reader, MESSAGE_RECALL, &url, &model, &text));
    assert_string_equal(url, "u");
    assert_string_equal(model, "m");
    assert_string_equal(text, "new");
    say_learned(world, "u", "other", "new");
    assert_true(ask(world, &world->orion, "orion", 1));
    relay_gateway_started(world->relay);
    assert_int_equal(world->gateway.count, 1 + 1 + 2 + 1); /* the questions come last */
    assert_int_equal(world->gateway.type, MESSAGE_ASK);
}

static void
test_what_a_gateway_may_leave_with_the_supervisor_is_bounded_and_more_does_not_end_it(void **state)
{
    struct world *world = *state;
    OWNED char *text = memory_new(LESSON_TEXT_MAX + 1, 1);
    memset(text, 'x', LESSON_TEXT_MAX);
    say_learned(world, "u", "m", text);
    relay_gateway_started(world->relay);
    assert_int_equal(world->gateway.count, 0);
    for (int i = 0; i <= LESSONS_MAX; i++) {
        OWNED char *model = memory_print("m-%d", i);
        say_learned(world, "u", model, "text");
    }
    say_learned(world, "u", "m-0", "another");
    relay_gateway_started(world->relay);
    assert_int_equal(world->gateway.count, LESSONS_MAX);
}

static void test_a_question_that_kills_its_gateways_is_given_back(void **state)
{
    struct world *world = *state;
    assert_true(ask(world, &world->orion, "orion", 1));
    relay_gateway_started(world->relay);
    relay_gateway_started(world->relay);
    assert_int_equal(world->orion.count, 0);
    relay_gateway_started(world->relay);
    assert_int_equal(world->orion.count, 1);
    assert_int_equal(answered_serial(&world->orion), 1);
    assert_int_equal(relay_under_way(world->relay), 0);
}

static void test_nobody_has_more_than_his_share_under_way(void **state)
{
    struct world *world = *state;
    for (uint64_t i = 0; i < RELAY_ASKS_PER_AGENT; i++)
        assert_true(ask(world, &world->orion, "orion", i));
    assert_false(ask(world, &world->orion, "orion", 99));
    assert_true(ask(world, &world->iris, "iris", 1));
}

static void test_what_an_agents_questions_may_take_together_is_bounded_and_one_more_is_for_later(void **state)
{
    struct world *world = *state;
    OWNED char *text = memory_new(3 * 1024 * 1024, 1);
    memset(text, 's', 3 * 1024 * 1024 - 1);
    for (uint64_t i = 0; i < 3; i++) {
        OWNED_BUFFER struct buffer message = {0};
        message_make(&message, MESSAGE_ASK, i, "x", text, "task", MESSAGE_NOWHERE, MESSAGE_NOWHERE,
                     MESSAGE_NOWHERE, MESSAGE_NOWHERE, UINT64_C(0));
        assert_true(asks(world, &world->orion, "orion", &message));
    }
    assert_int_equal(world->gateway.count, 2);
    assert_int_equal(relay_under_way(world->relay), 2);
    assert_int_equal(world->orion.count, 1); /* told to ask again */
    assert_int_equal(answered_serial(&world->orion), 2);
    assert_true(ask(world, &world->iris, "iris", 1));
    assert_int_equal(world->gateway.count, 3);
}

static void test_nonsense_from_the_gateway_is_known_as_such(void **state)
{
    struct world *world = *state;
    OWNED_BUFFER struct buffer message = {0};
    assert_false(relay_gateway_says(world->relay, "x", 1));
    message_make(&message, MESSAGE_READY);
    assert_false(relay_gateway_says(world->relay, message.data, message.length));
    message_make(&message, MESSAGE_WAITING, (uint64_t)1, "a", "provider", (uint64_t)0, "s");
    assert_true(relay_gateway_says(world->relay, message.data, message.length));
    assert_false(relay_gateway_says(world->relay, message.data, message.length - 1));
}

/* --- the budget --- */

static struct {
    int reserved, settled, released, kept; /* calls */
    bool closed, deaths;
} purse;

static bool reserve(void *asker, uint64_t serial, size_t bytes, int64_t *retry_ms, struct fault *why)
{
    assert_true(serial > 0 && bytes > strlen("systemtask"));
    *retry_ms = 5000;
    if (purse.closed)
        return fault_set(why, "no more money");
    purse.reserved++;
    return true;
}

static void settle(void *asker, uint64_t serial, const struct relay_spent *spent,
                   struct question_usage *usage)
{
    assert_true(spent->bytes > strlen("systemtask"));
    assert_string_equal(spent->model, purse.deaths ? "" : "m");
    assert_true(!purse.deaths || spent->kind == SPENT_UNKNOWN);
    purse.settled++;
    usage_add(usage, &(struct question_usage){spent->tokens_in, spent->tokens_out, spent->cached, 1, 5});
}

static void release(void *asker, uint64_t serial)
{
    purse.released++;
}

static void keep(void *asker, uint64_t serial)
{
    purse.kept++;
}

static int begin_with_budget(void **state)
{
    static const struct relay_budget budget = {
        .reserve = reserve, .settle = settle, .release = release, .keep = keep};
    struct world *world = memory_new(1, sizeof *world);
    memset(&purse, 0, sizeof purse);
    world->relay = relay_new(&(struct relay_owner){.to_gateway = to_gateway,
                                                   .ask_gateway = ask_gateway,
                                                   .to_worker = to_worker,
                                                   .context = world,
                                                   .budget = &budget});
    *state = world;
    return 0;
}

static void assert_purse(int reserved, int settled, int released, int kept)
{
    assert_int_equal(purse.reserved, reserved);
    assert_int_equal(purse.settled, settled);
    assert_int_equal(purse.released, released);
    assert_int_equal(purse.kept, kept);
}

static void spent(struct world *world, uint64_t serial, enum spent kind, bool again)
{
    OWNED_BUFFER struct buffer message = {0};
    message_make(&message, MESSAGE_SPENT, serial, "anybody", "m", (uint64_t)kind, (uint64_t)7, (uint64_t)3,
                 (uint64_t)2, (uint64_t)again);
    assert_true(relay_gateway_says(world->relay, message.data, message.length));
}

/* The sums that the worker was told with its ANSWER. */
static struct question_usage told(const struct end *worker)
{
    struct reader reader;
    unsigned type;
    uint64_t serial, kind, retry, answered;
    struct question_usage usage;
    OWNED char *name = NULL, *text = NULL, *finish = NULL, *model = NULL, *provider = NULL;
    assert_true(message_open(&reader, worker->last.data, worker->last.length, &type));
    assert_true(message_read(&reader, MESSAGE_ANSWER, &serial, &name, &kind, &text, &finish, &model,
                             &usage.tokens_in, &usage.tokens_out, &provider, &retry, &answered, &usage.cached,
                             &usage.requests, &usage.cost));
    return usage;
}

static void test_a_request_is_reserved_before_it_goes_out_and_settled_by_what_it_took(void **state)
{
    struct world *world = *state;
    assert_true(ask(world, &world->orion, "orion", 1));
    assert_purse(1, 0, 0, 0);
    uint64_t serial = seen(world, NULL);
    spent(world, serial, SPENT_KNOWN, false);
    assert_purse(1, 1, 0, 0);
    answer(world, serial);
    assert_purse(1, 1, 0, 0);
    assert_int_equal(told(&world->orion).requests, 1);
}

static void test_a_question_whose_request_never_went_out_costs_nothing(void **state)
{
    struct world *world = *state;
    assert_true(ask(world, &world->orion, "orion", 1));
    answer(world, seen(world, NULL));
    assert_purse(1, 0, 1, 0);
    assert_int_equal(told(&world->orion).requests, 0);
    assert_true(told(&world->orion).cost == USAGE_NO_COST);
}

static void test_each_further_request_is_reserved_and_the_sums_come_with_the_answer(void **state)
{
    struct world *world = *state;
    assert_true(ask(world, &world->orion, "orion", 1));
    uint64_t serial = seen(world, NULL);
    spent(world, serial, SPENT_UNKNOWN, true);
    assert_int_equal(world->gateway.type, MESSAGE_AGAIN);
    assert_int_equal(seen(world, NULL), serial);
    assert_purse(2, 1, 0, 0);
    spent(world, serial, SPENT_KNOWN, false);
    answer(world, serial);
    assert_purse(2, 2, 0, 0);
    struct question_usage usage = told(&world->orion);
    assert_int_equal(usage.requests, 2);
    assert_int_equal(usage.tokens_in + usage.tokens_out, 20);
    assert_int_equal(usage.cached, 4);
    assert_int_equal(usage.cost, 10);
}

static void test_a_further_request_that_no_budget_allows_is_not_sent(void **state)
{
    struct world *world = *state;
    assert_true(ask(world, &world->orion, "orion", 1));
    uint64_t serial = seen(world, NULL);
    purse.closed = true;
    spent(world, serial, SPENT_UNKNOWN, true);
    assert_int_equal(world->gateway.type, MESSAGE_FORGET);
    assert_int_equal(answered_serial(&world->orion), 1);
    assert_int_equal(told(&world->orion).requests, 1);
    assert_int_equal(relay_under_way(world->relay), 0);
    assert_purse(1, 1, 0, 0);
}

static void test_what_no_budget_allows_never_goes_out_and_its_worker_is_told(void **state)
{
    struct world *world = *state;
    OWNED char *name = NULL, *text = NULL;
    struct reader reader;
    unsigned type;
    uint64_t serial, kind;
    purse.closed = true;
    assert_true(ask(world, &world->orion, "orion", 7));
    assert_int_equal(world->gateway.count, 0);
    assert_int_equal(relay_under_way(world->relay), 0);
    assert_true(message_open(&reader, world->orion.last.data, world->orion.last.length, &type));
    assert_int_equal(type, MESSAGE_ANSWER);
    message_get_number(&reader, &serial);
    message_get_text(&reader, &name, 64);
    message_get_number(&reader, &kind);
    message_get_text(&reader, &text, 64);
    assert_int_equal(serial, 7);
    assert_int_equal(kind, ANSWER_BUDGET);
    assert_string_equal(text, "no more money");
    purse.closed = false;
    assert_true(ask(world, &world->orion, "orion", 8)); /* the list is whole after that */
    answer(world, seen(world, NULL));
    assert_int_equal(answered_serial(&world->orion), 8);
}

static void test_what_is_taken_back_stays_spent_if_it_went_out(void **state)
{
    struct world *world = *state;
    assert_true(ask(world, &world->orion, "orion", 1));
    relay_forget_all(world->relay, &world->orion);
    assert_purse(1, 0, 0, 1);
    world->gateway.closed = true;
    assert_true(ask(world, &world->orion, "orion", 2));
    assert_purse(2, 0, 1, 1);
    relay_forget_all(world->relay, &world->orion);
    assert_purse(2, 0, 1, 1);
}

static void test_each_gateway_that_dies_with_a_question_is_paid_for_and_told_with_its_end(void **state)
{
    struct world *world = *state;
    purse.deaths = true;
    assert_true(ask(world, &world->orion, "orion", 1));
    assert_true(ask(world, &world->iris, "iris", 1));
    relay_gateway_started(world->relay);
    assert_purse(4, 2, 0, 0);
    purse.closed = true;
    relay_gateway_started(world->relay); /* there is nothing left for a third time */
    assert_purse(4, 4, 0, 0);
    assert_int_equal(world->orion.count + world->iris.count, 2);
    assert_int_equal(told(&world->orion).requests, 2);
    assert_int_equal(told(&world->iris).cost, 10);
    assert_int_equal(relay_under_way(world->relay), 0);
}

static void test_a_question_that_three_gateways_died_with_tells_what_all_of_them_took(void **state)
{
    struct world *world = *state;
    purse.deaths = true;
    assert_true(ask(world, &world->orion, "orion", 1));
    for (int deaths = 0; deaths < RELAY_ASKINGS; deaths++)
        relay_gateway_started(world->relay);
    assert_purse(RELAY_ASKINGS, RELAY_ASKINGS, 0, 0);
    assert_int_equal(told(&world->orion).requests, RELAY_ASKINGS);
    assert_int_equal(relay_under_way(world->relay), 0);
}

static void test_a_gateway_that_dies_between_two_requests_costs_nothing_more(void **state)
{
    struct world *world = *state;
    assert_true(ask(world, &world->orion, "orion", 1));
    uint64_t serial = seen(world, NULL);
    world->gateway.closed = true;
    spent(world, serial, SPENT_KNOWN, true); /* the gateway's last words */
    assert_purse(2, 1, 1, 0);
    world->gateway.closed = false;
    relay_gateway_started(world->relay);
    assert_purse(3, 1, 1, 0);
}

static void test_what_a_gateway_gives_back_unsent_costs_nothing_however_often(void **state)
{
    struct world *world = *state;
    assert_true(ask(world, &world->orion, "orion", 1));
    for (int i = 0; i < 2 * RELAY_ASKINGS; i++) {
        spent(world, seen(world, NULL), SPENT_UNSENT, false);
        relay_gateway_started(world->relay);
    }
    assert_purse(1 + 2 * RELAY_ASKINGS, 0, 2 * RELAY_ASKINGS, 0);
    assert_int_equal(relay_under_way(world->relay), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_an_answer_goes_to_whom_asked_under_its_own_serial),
        TEST(test_an_answer_for_a_dead_worker_never_reaches_the_next_one),
        TEST(test_what_was_under_way_is_asked_again_of_the_next_gateway),
        TEST(test_a_wait_in_a_gateway_that_ended_is_over_in_the_next_one),
        TEST(test_the_next_gateway_is_told_what_the_last_one_learned),
        TEST(test_what_a_gateway_may_leave_with_the_supervisor_is_bounded_and_more_does_not_end_it),
        TEST(test_a_question_that_kills_its_gateways_is_given_back),
        TEST(test_nobody_has_more_than_his_share_under_way),
        TEST(test_what_an_agents_questions_may_take_together_is_bounded_and_one_more_is_for_later),
        TEST(test_nonsense_from_the_gateway_is_known_as_such),
        TEST(test_peers_and_segments_are_put_in_where_the_worker_says),
        TEST(test_what_is_too_much_of_peers_and_segments_is_cut),
        TEST(test_a_small_room_costs_the_segments_first_then_the_peers),
        TEST(test_the_room_for_prompts_comes_with_what_was_put_in),
#define BUDGET(name) cmocka_unit_test_setup_teardown(name, begin_with_budget, end)
        BUDGET(test_a_request_is_reserved_before_it_goes_out_and_settled_by_what_it_took),
        BUDGET(test_a_question_whose_request_never_went_out_costs_nothing),
        BUDGET(test_each_further_request_is_reserved_and_the_sums_come_with_the_answer),
        BUDGET(test_a_further_request_that_no_budget_allows_is_not_sent),
        BUDGET(test_what_no_budget_allows_never_goes_out_and_its_worker_is_told),
        BUDGET(test_what_is_taken_back_stays_spent_if_it_went_out),
        BUDGET(test_each_gateway_that_dies_with_a_question_is_paid_for_and_told_with_its_end),
        BUDGET(test_a_question_that_three_gateways_died_with_tells_what_all_of_them_took),
        BUDGET(test_a_gateway_that_dies_between_two_requests_costs_nothing_more),
        BUDGET(test_what_a_gateway_gives_back_unsent_costs_nothing_however_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
