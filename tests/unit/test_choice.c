/* The choice of the next work: priority and age, a sender's share, and old work (contract section 5). */
#include <stdio.h>
#include <string.h>

#include "tests/unit/cmocka.h"
#include "worker/cycle/choice.h"

enum { MINUTE = 60 * 1000, MAX = 80 };

#define H PRIORITY_HIGH
#define N PRIORITY_NORMAL
#define L PRIORITY_LOW

static const struct block a_block;
static const struct letter a_letter;

/* A piece of work: its name, kind, sender and priority, since when it is there (epoch), and how long it has waited. */
struct work {
    const char *name;
    char kind; /* 'b', 'l'; 0: no more */
    const char *sender;
    enum priority priority;
    int64_t created, minutes;
};

static const struct scenario {
    const char *what;
    struct work work[10];
    const char *order; /* the names, as they are done */
} scenarios[] = {
    {"the queue goes by priority, then as it stands",
     {{"a", 'b', "operator", N, 5, 0}, {"b", 'b', "operator", H, 9, 0}, {"c", 'b', "operator", N, 1, 0}},
     "b a c"},
    {"blocks and letters of one sender go by priority, then by age",
     {{"a", 'b', "operator", N, 5, 0},
      {"b", 'l', "operator", N, 4, 0},
      {"c", 'l', "operator", H, 6, 0},
      {"d", 'l', "operator", N, 6, 0}},
     "c b a d"},
    {"a block without a time is as old as it was waiting",
     {{"a", 'b', "operator", N, 0, 3}, {"b", 'l', "operator", N, 7, 2}, {"c", 'l', "operator", N, 7, 4}},
     "a b c"},
    {"a sender has every second turn while others wait",
     {{"i1", 'l', "iris", H, 1, 0},
      {"i2", 'l', "iris", H, 2, 0},
      {"i3", 'l', "iris", H, 3, 0},
      {"o1", 'b', "operator", L, 9, 0},
      {"o2", 'b', "operator", L, 9, 0}},
     "i1 o1 i2 o2 i3"},
    {"of three senders the most urgent one has every second turn",
     {{"i1", 'l', "iris", H, 1, 0},
      {"i2", 'l', "iris", H, 2, 0},
      {"i3", 'l', "iris", H, 3, 0},
      {"n1", 'l', "nova", N, 4, 0},
      {"n2", 'l', "nova", N, 5, 0},
      {"o1", 'b', "operator", L, 9, 0}},
     "i1 n1 i2 n2 i3 o1"},
    {"a block's from is its sender",
     {{"i1", 'b', "iris", N, 1, 0}, {"i2", 'b', "iris", N, 1, 0}, {"o1", 'b', "operator", N, 1, 0}},
     "i1 o1 i2"},
    {"one sender alone goes on by priority",
     {{"i1", 'l', "iris", L, 1, 0}, {"i2", 'l', "iris", H, 2, 0}, {"i3", 'l', "iris", N, 3, 0}},
     "i2 i3 i1"},
    {"work of ten minutes goes first, the oldest first, every second time",
     {{"h1", 'b', "operator", H, 1, 1},
      {"h2", 'b', "operator", H, 1, 1},
      {"h3", 'b', "operator", H, 1, 1},
      {"o1", 'b', "operator", L, 1, 11},
      {"o2", 'b', "operator", L, 1, 12},
      {"o3", 'b', "operator", L, 1, 10}},
     "o2 h1 o1 h2 o3 h3"},
    {"nine minutes are not ten",
     {{"h1", 'b', "operator", H, 1, 1}, {"o1", 'b', "operator", L, 1, 9}},
     "h1 o1"},
    {"where all is old, every second turn goes by priority",
     {{"h1", 'b', "operator", H, 1, 20},
      {"h2", 'b', "operator", H, 1, 20},
      {"n1", 'b', "operator", N, 1, 30},
      {"o1", 'b', "operator", L, 1, 40},
      {"o2", 'b', "operator", L, 1, 39}},
     "o1 h1 o2 h2 n1"},
    {"of equally old work the more urgent goes first, then as it stands",
     {{"o1", 'b', "operator", L, 1, 20},
      {"n1", 'b', "operator", N, 1, 20},
      {"n2", 'b', "operator", N, 1, 20},
      {"h1", 'b', "operator", H, 1, 1}},
     "n1 h1 n2 o1"},
    {"old work of the sender that had the last turn waits for one turn of another",
     {{"i1", 'l', "iris", H, 1, 1},
      {"i2", 'l', "iris", L, 1, 15},
      {"i3", 'l', "iris", L, 2, 14},
      {"o1", 'b', "operator", N, 1, 1},
      {"o2", 'b', "operator", N, 1, 1}},
     "i2 o1 i3 o2 i1"},
    {"the old letter of a quiet sender goes before a stream of urgent ones",
     {{"i1", 'l', "iris", H, 1, 1},
      {"i2", 'l', "iris", H, 2, 1},
      {"o1", 'b', "operator", H, 1, 1},
      {"n1", 'l', "nova", L, 1, 11}},
     "n1 o1 i1 i2"},
};

static size_t list(const struct scenario *scenario, struct candidate *candidates, const bool *done)
{
    size_t count = 0;
    for (size_t i = 0; i < 10 && scenario->work[i].kind; i++) {
        const struct work *work = &scenario->work[i];
        if (!done[i])
            candidates[count++] = (struct candidate){.sender = work->sender,
                                                     .priority = work->priority,
                                                     .created = work->created,
                                                     .waited_ms = work->minutes * MINUTE,
                                                     .block = work->kind == 'b' ? &a_block : NULL,
                                                     .letter = work->kind == 'l' ? &a_letter : NULL};
    }
    return count;
}

/* Which piece of work the candidate is. */
static size_t piece(const bool *done, size_t index)
{
    for (size_t i = 0;; i++)
        if (!done[i] && index-- == 0)
            return i;
}

static void play(const struct scenario *scenario, char *order)
{
    struct candidate candidates[10];
    bool done[10] = {false}, by_age;
    struct turn last = {0};
    for (size_t count; (count = list(scenario, candidates, done)) > 0;) {
        const struct candidate *chosen = choice_of(candidates, count, &last, &by_age);
        assert_non_null(chosen);
        size_t which = piece(done, (size_t)(chosen - candidates));
        sprintf(order + strlen(order), "%s%s", *order ? " " : "", scenario->work[which].name);
        done[which] = true;
        last = (struct turn){.sender = (char *)scenario->work[which].sender, .by_age = by_age};
    }
}

static void test_each_scenario_is_done_in_its_order(void **state)
{
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        char order[MAX] = "";
        play(&scenarios[i], order);
        if (strcmp(order, scenarios[i].order) != 0) {
            print_error("%s: %s, wanted %s\n", scenarios[i].what, order, scenarios[i].order);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void test_nothing_is_chosen_of_nothing(void **state)
{
    bool by_age = true;
    assert_null(choice_of(NULL, 0, &(struct turn){.sender = (char *)"iris"}, &by_age));
    assert_false(by_age);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_scenario_is_done_in_its_order),
                                       cmocka_unit_test(test_nothing_is_chosen_of_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
