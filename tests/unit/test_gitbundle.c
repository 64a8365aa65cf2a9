#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "supervisor/cli/transfer/gitbundle.h"
#include "tests/unit/cmocka.h"

#define ID  "0123456789abcdef0123456789abcdef01234567"
#define TOP "# v2 git bundle\n"

static bool reads(const char *text, struct gitbundle *bundle, struct fault *fault)
{
    OWNED char *copy = memory_slice(text, strlen(text));
    return gitbundle_parse(bundle, copy, strlen(text), fault);
}

static void test_a_header_reads_back_as_it_was_written(void **state)
{
    struct gitbundle bundle = {0}, again;
    struct fault fault;
    OWNED_BUFFER struct buffer text = {0};
    gitbundle_add(&bundle, ID, "refs/heads/main");
    gitbundle_add(&bundle, ID, "HEAD");
    gitbundle_add(&bundle, ID, "refs/agentos/export");
    gitbundle_print(&bundle, &text);
    size_t header = text.length;
    buffer_text(&text, "PACK and so on\n\n");
    assert_true(gitbundle_parse(&again, text.data, text.length, &fault));
    assert_int_equal(again.pack, header);
    assert_int_equal(again.count, 3);
    assert_string_equal(gitbundle_find(&again, "HEAD")->id, ID);
    assert_null(gitbundle_find(&again, "refs/heads/other"));
    gitbundle_free(&bundle);
    gitbundle_free(&again);
}

static void test_a_header_cut_anywhere_is_refused(void **state)
{
    static const char whole[] = TOP ID " refs/heads/main\n" ID " HEAD\n\n";
    struct gitbundle bundle;
    struct fault fault;
    for (size_t length = 0; length < strlen(whole); length++) {
        char *cut = malloc(length ? length : 1);
        memcpy(cut, whole, length);
        assert_false(gitbundle_parse(&bundle, cut, length, &fault));
        assert_null(bundle.refs);
        free(cut);
    }
    assert_true(reads(whole, &bundle, &fault));
    gitbundle_free(&bundle);
}

static void test_headers_that_are_none_are_refused_with_the_reason(void **state)
{
    static const char *const bad[][2] = {
        {"# v3 git bundle\n@object-format=sha256\n\n", "version 2"},
        {TOP "\n", "brings no ref"},
        {TOP "-" ID " before\n" ID " HEAD\n\n", "cannot stand alone"},
        {TOP "0123 refs/heads/main\n\n", "is no ref"},
        {TOP "0123456789ABCDEF0123456789abcdef01234567 HEAD\n\n", "is no ref"},
        {TOP ID " \n\n", "is no ref"},
        {TOP ID " main\n\n", "does not allow"},
        {TOP ID " refs/heads/../../config\n\n", "does not allow"},
        {TOP ID " refs/heads/.hidden\n\n", "does not allow"},
        {TOP ID " refs/heads/x.lock\n\n", "does not allow"},
        {TOP ID " refs/heads//x\n\n", "does not allow"},
        {TOP ID " refs/heads/a b\n\n", "does not allow"},
        {TOP ID " refs/heads/x\r\n\n", "does not allow"},
        {TOP ID " /etc/passwd\n\n", "does not allow"},
        {TOP ID " HEAD\n" ID " HEAD\n\n", "repeats"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct gitbundle bundle;
        struct fault fault;
        assert_false(reads(bad[i][0], &bundle, &fault));
        assert_non_null(strstr(fault.text, bad[i][1]));
    }
}

static void test_more_refs_than_a_repository_has_are_refused(void **state)
{
    OWNED_BUFFER struct buffer text = {0};
    struct gitbundle bundle;
    struct fault fault;
    buffer_text(&text, TOP);
    for (int i = 0; i <= GITBUNDLE_REFS_MAX; i++)
        buffer_print(&text, ID " refs/heads/b%d\n", i);
    buffer_text(&text, "\n");
    assert_false(gitbundle_parse(&bundle, text.data, text.length, &fault));
    assert_non_null(strstr(fault.text, "more than 4096 refs"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_header_reads_back_as_it_was_written),
        cmocka_unit_test(test_a_header_cut_anywhere_is_refused),
        cmocka_unit_test(test_headers_that_are_none_are_refused_with_the_reason),
        cmocka_unit_test(test_more_refs_than_a_repository_has_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
