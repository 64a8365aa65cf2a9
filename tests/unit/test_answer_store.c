/* An answer that was paid for outlives its worker, whole or not at all. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/tree.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/folders.h"
#include "worker/cycle/answer_store.h"

#define ANSWER TREE_NOTES "/answer"

static int begin(void **state)
{
    return scratch_begin(state) || mkdirat(scratch.data, TREE_NOTES, 0755) != 0;
}

static bool keep(struct answer_store *store, const char *task, uint64_t hash, const char *text)
{
    OWNED char *id = memory_text(task), *words = memory_text(text), *reason = memory_text("stop"),
               *model = memory_text("gpt-4o");
    const struct stored_answer answer = {id, hash, 1, words, reason, model, {120, 34, 5, 2, 9}};
    return answer_store_write(store, &answer);
}

static void keep_and_end(const char *task, uint64_t hash, const char *text)
{
    struct answer_store *store = answer_store_open(scratch.data);
    assert_true(keep(store, task, hash, text));
    answer_store_close(store);
}

/* The answer that the next worker finds; caller frees. NULL: none. */
static char *found(const char *task, uint64_t hash)
{
    struct answer_store *store = answer_store_open(scratch.data);
    struct stored_answer answer = {0};
    char *text = answer_store_take(store, task, hash, &answer) ? memory_text(answer.text) : NULL;
    stored_answer_free(&answer);
    answer_store_close(store);
    return text;
}

static void assert_found(const char *task, uint64_t hash, const char *expected)
{
    OWNED char *text = found(task, hash);
    assert_non_null(text);
    assert_string_equal(text, expected);
}

static void assert_nothing(const char *task, uint64_t hash)
{
    OWNED char *text = found(task, hash);
    assert_null(text);
}

static void test_the_next_worker_finds_the_answer_with_all_that_came_with_it(void **state)
{
    keep_and_end("first", 7, "# Done\n\nwith care\n");
    struct answer_store *store = answer_store_open(scratch.data);
    struct stored_answer answer;
    assert_true(answer_store_take(store, "first", 7, &answer));
    assert_int_equal(answer.deaths_before, 1);
    assert_string_equal(answer.text, "# Done\n\nwith care\n");
    assert_string_equal(answer.finish_reason, "stop");
    assert_string_equal(answer.model, "gpt-4o");
    assert_int_equal(answer.usage.tokens_in, 120);
    assert_int_equal(answer.usage.tokens_out, 34);
    assert_int_equal(answer.usage.cached, 5);
    assert_int_equal(answer.usage.requests, 2);
    assert_int_equal(answer.usage.cost, 9);
    stored_answer_free(&answer);
    assert_false(answer_store_take(store, "first", 7, &answer)); /* once */
    answer_store_close(store);
}

static void test_it_is_that_tasks_with_that_content_and_no_others(void **state)
{
    keep_and_end("first", 7, "yes");
    assert_nothing("second", 7);
    assert_nothing("first", 8);
    assert_found("first", 7, "yes");
}

static void test_a_shorter_answer_takes_the_place_of_a_longer_one(void **state)
{
    keep_and_end("long", 1, "a long answer, of which the end stays in the file");
    keep_and_end("short", 2, "");
    assert_nothing("long", 1);
    assert_found("short", 2, "");
}

static void test_after_its_end_it_is_gone(void **state)
{
    struct answer_store *store = answer_store_open(scratch.data);
    answer_store_end(store); /* no answer was kept: no file is written */
    assert_int_equal(faccessat(scratch.data, ANSWER, F_OK, 0), -1);
    assert_true(keep(store, "first", 7, "yes"));
    answer_store_end(store);
    answer_store_close(store);
    assert_nothing("first", 7);
    keep_and_end("second", 7, "no");
    store = answer_store_open(scratch.data); /* also when a former worker wrote it */
    answer_store_end(store);
    answer_store_close(store);
    assert_nothing("second", 7);
}

/* Killed in the middle of the write, or the power was cut. */
static void test_an_answer_that_was_written_in_part_is_none(void **state)
{
    keep_and_end("before", 1, "what an answer before it left behind, longer than the one that follows");
    keep_and_end("first", 7, "the whole answer");
    OWNED char *whole = NULL;
    size_t length;
    assert_int_equal(files_read(scratch.data, ANSWER, ANSWER_STORE_MAX, &whole, &length, NULL, NULL), 1);
    size_t last = 0; /* byte of it that has a meaning */
    for (size_t cut = 0; cut < length; cut++) {
        OWNED char *torn = memory_slice(whole, length);
        torn[cut] = (char)~torn[cut];
        assert_true(files_write(scratch.data, ANSWER, torn, length, false, NULL));
        OWNED char *text = found("first", 7);
        assert_true(text == NULL || strcmp(text, "the whole answer") == 0);
        last = text == NULL ? cut : last;
        assert_true(files_write(scratch.data, ANSWER, whole, cut, false, NULL));
        OWNED char *start = found("first", 7);
        assert_true(start == NULL || cut > last);
    }
    assert_true(last > strlen("the whole answer"));
}

static void test_what_is_no_answer_is_none_and_makes_room_for_one(void **state)
{
    static const char nonsense[] = "AGOSANS2 is how it begins\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    assert_true(files_write(scratch.data, ANSWER, nonsense, sizeof nonsense, false, NULL));
    assert_nothing("first", 7);
    keep_and_end("first", 7, "yes");
    assert_found("first", 7, "yes");
}

static void test_an_answer_that_is_too_long_is_not_kept_and_says_so(void **state)
{
    OWNED char *text = memory_new(ANSWER_STORE_MAX + 1, 1);
    memset(text, 'x', ANSWER_STORE_MAX);
    struct answer_store *store = answer_store_open(scratch.data);
    assert_false(keep(store, "first", 7, text));
    text[ANSWER_STORE_MAX - 200] = '\0';
    assert_true(keep(store, "first", 7, text));
    answer_store_close(store);
    assert_found("first", 7, text);
}

static void test_a_file_that_somebody_removes_is_made_again_and_a_link_is_not_followed(void **state)
{
    struct answer_store *store = answer_store_open(scratch.data);
    assert_true(keep(store, "first", 7, "one"));
    assert_int_equal(unlinkat(scratch.data, ANSWER, 0), 0);
    assert_true(keep(store, "first", 7, "two"));
    assert_found("first", 7, "two");
    assert_int_equal(unlinkat(scratch.data, ANSWER, 0), 0);
    assert_int_equal(symlinkat("../elsewhere", scratch.data, ANSWER), 0);
    assert_false(keep(store, "first", 7, "three"));
    answer_store_close(store);
    assert_int_equal(faccessat(scratch.data, "elsewhere", F_OK, 0), -1);
    assert_nothing("first", 7);
}

int main(void)
{
#define PROMISE(name) cmocka_unit_test_setup_teardown(name, begin, scratch_end)
    const struct CMUnitTest tests[] = {
        PROMISE(test_the_next_worker_finds_the_answer_with_all_that_came_with_it),
        PROMISE(test_it_is_that_tasks_with_that_content_and_no_others),
        PROMISE(test_a_shorter_answer_takes_the_place_of_a_longer_one),
        PROMISE(test_after_its_end_it_is_gone),
        PROMISE(test_an_answer_that_was_written_in_part_is_none),
        PROMISE(test_what_is_no_answer_is_none_and_makes_room_for_one),
        PROMISE(test_an_answer_that_is_too_long_is_not_kept_and_says_so),
        PROMISE(test_a_file_that_somebody_removes_is_made_again_and_a_link_is_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
