/* common/names: texts that may become a file's name, and ids that sort by time. */
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "tests/unit/cmocka.h"

#define TEXT_64 "a123456789012345678901234567890123456789012345678901234567890123"

static void test_names_are_what_the_contract_allows(void **state)
{
    static const char *const good[] = {"a", "orion", "a-b_c9", TEXT_64};
    static const char *const bad[] = {"",    "9a",  "-a", "_a",       "Orion",    "a b",
                                      "a.b", "a/b", "..", "\xc3\xa4", TEXT_64 "4"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(names_agent(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(names_agent(bad[i]));
    assert_true(names_node("dc1") && names_node("3f2A-b_c") && names_node(TEXT_64));
    assert_false(names_node("") || names_node("a.b") || names_node("a b") || names_node(TEXT_64 "4"));
    assert_true(names_skill("3-way-merge") && names_skill(TEXT_64));
    assert_false(names_skill("a_b") || names_skill("") || names_skill("A"));
}

static void test_a_name_that_no_envelope_has_is_somebodys_mistake(void **state)
{
    static const char *const strays[] = {"note.txt",    "my note.md",
                                         "note",        "a/b.md",
                                         "\xc3\xa4.md", "a.sync-conflict-20260429-101010-ABCDEFG.md"};
    static const char *const others[] = {"a.md",
                                         ".hidden",
                                         "note.md~",
                                         "#note.md#",
                                         "x.md.unreadable-12",
                                         ".a.md.new-1",
                                         ".md",
                                         "x.md.tmp",
                                         "x.tmp",
                                         "x.md.swp",
                                         "x.md.part",
                                         "~$x.md",
                                         "~syncthing~x.md.tmp",
                                         "x.md.bak"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(names_stray(others[i]));
    for (size_t i = 0; i < sizeof strays / sizeof *strays; i++)
        assert_true(names_stray(strays[i]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(names_work(others[i]), i == 0);
    assert_true(names_work("my note.md") && names_work("draft.tmp.md") && !names_work("note.txt"));
    assert_false(names_work("a.sync-conflict-20260429-101010-ABCDEFG.md"));
    assert_false(names_work("a (conflicted copy 2026-04-29).md") || names_work("x.md.TMP"));
    OWNED char *longest = memory_print("%0128d.md", 1), *longer = memory_print("%0129d.md", 1);
    assert_false(names_stray(longest));
    assert_true(names_stray(longer));
}

static void assert_file(const char *id, const char *start)
{
    OWNED char *name = names_file(id);
    assert_true(names_id(name));
    if (strncmp(name, start, strlen(start)) != 0)
        fail_msg("%s became %s", id, name);
}

static void test_an_id_becomes_a_safe_file_name_that_a_person_recognises(void **state)
{
    OWNED char *same = names_file("review-flask_endpoint.2");
    assert_string_equal(same, "review-flask_endpoint.2");
    assert_file("fix the bug", "fix-the-bug-");
    assert_file("../../etc/passwd", "_.-..-etc-passwd-");
    assert_file("", "_-");
    assert_file(".", "_-");
    assert_file("..", "_.-");
    assert_file(".hidden", "_hidden-");
    assert_file("\xc3\xa4", "\xc3\xa4-");
    assert_file("Gr\xc3\xb6\xc3\x9f"
                "e \xd0\xb0/\xe6\xbc\xa2",
                "Gr\xc3\xb6\xc3\x9f"
                "e-\xd0\xb0-\xe6\xbc\xa2-");
    assert_file("-x", "_x-");
    assert_file("- \xc3\xa4", "_-\xc3\xa4-");
    assert_file("a\xe2\x80\xae"
                "b\xff",
                "a---b--"); /* no direction of writing, no broken byte */
    assert_file("a\nb", "a-b-");
}

static void test_two_ids_never_share_a_file(void **state)
{
    OWNED char *blank = names_file("a b"), *slash = names_file("a/b"), *plain = names_file("a-b");
    assert_string_not_equal(blank, slash);
    assert_string_not_equal(blank, plain);
    char one[301] = {0}, two[301] = {0};
    memset(one, 'x', 300);
    memset(two, 'x', 300);
    two[299] = 'y';
    OWNED char *long_one = names_file(one), *long_two = names_file(two);
    assert_int_equal(strlen(long_one), ID_MAX);
    assert_string_not_equal(long_one, long_two);
}

/* Files in outputs/ and iac/ from earlier versions have these names. */
static void test_the_name_of_earlier_versions_is_still_known(void **state)
{
    static const char *const rows[][2] = {
        {"plain-1", "plain-1"}, {"-x", "-x"}, {"\xc3\xa4", "---"}, {"a b", "a-b-"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        OWNED char *name = names_file_before(rows[i][0]);
        if (strncmp(name, rows[i][1], strlen(rows[i][1])) != 0)
            fail_msg("%s became %s", rows[i][0], name);
        OWNED char *again = names_file(name); /* a dead letter's id is its file's name */
        if (i != 1)
            assert_string_equal(again, name);
    }
}

enum { THREADS = 4, IDS = 20000 };

static void *make_ids(void *place)
{
    char **ids = place;
    for (size_t i = 0; i < IDS; i++)
        ids[i] = names_new_id();
    return NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* More than 65536, probably within one second: the sequence must not start again from 0. */
static void test_new_ids_grow_and_differ_also_from_several_threads_and_beyond_the_sequence(void **state)
{
    char **ids = memory_new((size_t)THREADS * IDS, sizeof *ids);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_ids, ids + i * IDS), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < THREADS; i++)
        for (size_t j = 1; j < IDS; j++)
            assert_true(strncmp(ids[i * IDS + j - 1], ids[i * IDS + j], 20) < 0);
    qsort(ids, (size_t)THREADS * IDS, sizeof *ids, compare);
    for (size_t i = 0; i < (size_t)THREADS * IDS; i++) {
        assert_true(names_id(ids[i]) && strlen(ids[i]) == 29);
        if (i > 0)
            assert_true(strncmp(ids[i - 1], ids[i], 20) < 0);
    }
    for (size_t i = 0; i < (size_t)THREADS * IDS; i++)
        free(ids[i]);
    free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_what_the_contract_allows),
        cmocka_unit_test(test_a_name_that_no_envelope_has_is_somebodys_mistake),
        cmocka_unit_test(test_an_id_becomes_a_safe_file_name_that_a_person_recognises),
        cmocka_unit_test(test_two_ids_never_share_a_file),
        cmocka_unit_test(test_the_name_of_earlier_versions_is_still_known),
        cmocka_unit_test(test_new_ids_grow_and_differ_also_from_several_threads_and_beyond_the_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
