/* Segments: versions that only grow, stale writes refused, people's edits counted. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "supervisor/shared/segments.h"
#include "supervisor/store/shared_files.h"
#include "tests/unit/cmocka.h"

#define FILE_PATH "shared/segments/glossary.md"

struct place {
    char path[64];
    int data;
    struct segments *segments;
    struct roster *roster;
    unsigned writes;
};

static const char roster_text[] =
    "agents:\n"
    "  - {name: orion, persona: p}\n  - {name: iris, persona: p}\n  - {name: nova, persona: p}\n"
    "segments:\n"
    "  - {name: glossary, writers: [nova, iris], readers: [orion, iris]}\n"
    "  - {name: plan, writers: [nova], readers: [nova]}\n";

static void open_segments(struct place *place)
{
    place->segments = segments_open(place->data, NULL, NULL);
    segments_roster(place->segments, place->roster);
}

static int set_up(void **state)
{
    struct place *place = memory_new(1, sizeof *place);
    OWNED_BUFFER struct buffer faults = {0};
    strcpy(place->path, "/tmp/segments-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->data = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    place->roster = roster_parse(roster_text, strlen(roster_text), "agents.yaml", &faults);
    assert_non_null(place->roster);
    open_segments(place);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    OWNED char *command = memory_print("rm -rf '%s'", place->path);
    segments_close(place->segments);
    roster_free(place->roster);
    close(place->data);
    assert_int_equal(system(command), 0);
    free(place);
    return 0;
}

static void restart(struct place *place)
{
    segments_close(place->segments);
    open_segments(place);
}

static enum segment_verdict write_as(struct place *place, const char *from, const char *id, const char *body,
                                     int64_t base_version, struct fault *why)
{
    struct envelope envelope = {
        .id = (char *)(uintptr_t)id,
        .kind = KIND_SEGMENT,
        .from = (char *)(uintptr_t)from,
        .to = (char[]){"segment:glossary"},
        .base_version = base_version,
        .body = (char *)(uintptr_t)body,
    };
    why->text[0] = '\0';
    return segments_write(place->segments, &envelope, why);
}

static void accept(struct place *place, const char *body, int64_t base_version)
{
    struct fault why;
    OWNED char *id = memory_print("write-%u", ++place->writes);
    assert_int_equal(write_as(place, "nova", id, body, base_version, &why), SEGMENT_WRITTEN);
}

static void refuse(struct place *place, const char *from, int64_t base_version, const char *sentence)
{
    struct fault why;
    OWNED char *id = memory_print("write-%u", ++place->writes);
    assert_int_equal(write_as(place, from, id, "never", base_version, &why), SEGMENT_REFUSED);
    assert_non_null(strstr(why.text, sentence));
}

static void put_file(struct place *place, const char *bytes, size_t length)
{
    struct fault fault;
    int folder = files_open_folder(place->data, SHARED_SEGMENTS, true, &fault);
    assert_true(folder >= 0);
    close(folder);
    assert_true(files_write(place->data, FILE_PATH, bytes, length, false, &fault));
}

static char *get_file(struct place *place)
{
    char *text;
    size_t length;
    assert_int_equal(files_read(place->data, FILE_PATH, SEGMENT_FILE_MAX, &text, &length, NULL, NULL), 1);
    return text;
}

/* The person's editor: the file with `from` replaced by `to`. */
static void edit(struct place *place, const char *from, const char *to)
{
    OWNED char *text = get_file(place);
    char *at = strstr(text, from);
    assert_non_null(at);
    OWNED char *edited = memory_print("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    put_file(place, edited, strlen(edited));
}

struct seen {
    const char *name;
    struct segment_view view;
    char text[256], by[64];
    size_t count;
};

static void see(void *context, const struct segment_view *view)
{
    struct seen *seen = context;
    seen->count++;
    if (strcmp(view->name, seen->name) != 0)
        return;
    seen->view = *view;
    snprintf(seen->text, sizeof seen->text, "%s", view->text);
    snprintf(seen->by, sizeof seen->by, "%s", view->by);
}

/* text: the line break that each segment ends with may be left out. */
static void expect(struct place *place, int64_t version, const char *text, const char *by)
{
    bool ended = !*text || text[strlen(text) - 1] == '\n';
    OWNED char *whole = memory_print("%s%s", text, ended ? "" : "\n");
    struct seen seen = {.name = "glossary", .view = {.version = -1}};
    segments_each(place->segments, "orion", see, &seen);
    assert_int_equal(seen.view.version, version);
    assert_string_equal(seen.text, whole);
    assert_string_equal(seen.by, by);
    assert_int_equal(seen.count, 1);
    assert_true(seen.view.readable);
    assert_false(seen.view.writable);
}

static void test_a_first_write_names_version_0_and_each_write_adds_one(void **state)
{
    struct place *place = *state;
    expect(place, 0, "", "");
    accept(place, "one\n", 0);
    expect(place, 1, "one\n", "nova");
    accept(place, "two\n", 1);
    expect(place, 2, "two\n", "nova");
    restart(place);
    expect(place, 2, "two\n", "nova");
    OWNED char *file = get_file(place);
    assert_non_null(strstr(file, "---\nname: glossary\nversion: 2\nupdated: "));
    assert_non_null(strstr(file, "by: nova\nwrites:\n  - write-2\n  - write-1\n"));
    assert_non_null(strstr(file, "\n---\ntwo\n"));
}

static void test_a_segment_ends_with_a_line_break_whoever_wrote_it(void **state)
{
    struct place *place = *state;
    accept(place, "one", 0);
    OWNED char *file = get_file(place);
    assert_non_null(strstr(file, "\n---\none\n"));
    edit(place, "one\n", "two");
    segments_scan(place->segments);
    OWNED char *edited = get_file(place);
    assert_non_null(strstr(edited, "\n---\ntwo\n"));
    expect(place, 2, "two\n", "operator");
    segments_scan(place->segments);
    expect(place, 2, "two\n", "operator");
}

static void test_a_stale_write_is_refused_and_says_both_versions(void **state)
{
    struct place *place = *state;
    refuse(place, "nova", 3, "stale: you saw version 3, it is 0 now");
    accept(place, "one", 0);
    accept(place, "two", 1);
    refuse(place, "iris", 1, "stale: you saw version 1, it is 2 now");
    refuse(place, "iris", 0, "stale: you saw version 0, it is 2 now");
    refuse(place, "iris", 3, "stale: you saw version 3, it is 2 now");
    expect(place, 2, "two", "nova");
}

static void test_only_writers_write_and_only_to_segments_that_are(void **state)
{
    struct place *place = *state;
    struct fault why;
    refuse(place, "orion", 0, "orion is no writer of the segment 'glossary'");
    refuse(place, "operator", 0, "no writer");
    struct envelope elsewhere = {.id = (char[]){"w"},
                                 .from = (char[]){"nova"},
                                 .to = (char[]){"segment:nowhere"},
                                 .body = (char[]){"x"}};
    assert_int_equal(segments_write(place->segments, &elsewhere, &why), SEGMENT_REFUSED);
    assert_non_null(strstr(why.text, "no segment 'nowhere'"));
    expect(place, 0, "", "");
}

static void test_a_repeated_write_is_known_by_its_id_also_after_a_restart(void **state)
{
    struct place *place = *state;
    struct fault why;
    assert_int_equal(write_as(place, "nova", "once", "one", 0, &why), SEGMENT_WRITTEN);
    assert_int_equal(write_as(place, "nova", "once", "one", 0, &why), SEGMENT_WRITTEN);
    expect(place, 1, "one", "nova");
    for (int64_t version = 1; version < SEGMENT_WRITES_KEPT; version++)
        accept(place, "more", version);
    restart(place);
    assert_int_equal(write_as(place, "nova", "once", "one", 0, &why), SEGMENT_WRITTEN);
    expect(place, SEGMENT_WRITES_KEPT, "more", "nova");
    accept(place, "one too many", SEGMENT_WRITES_KEPT);
    assert_int_equal(write_as(place, "nova", "once", "one", 0, &why), SEGMENT_REFUSED);
}

static void test_a_persons_edit_counts_as_a_version_more(void **state)
{
    struct place *place = *state;
    accept(place, "one\n", 0);
    edit(place, "---\none\n", "---\nby hand\n");
    refuse(place, "nova", 1, "stale: you saw version 1, it is 2 now");
    expect(place, 2, "by hand\n", "operator");
    accept(place, "three\n", 2);
    expect(place, 3, "three\n", "nova");
}

static void test_an_edit_made_while_nobody_ran_counts_too(void **state)
{
    struct place *place = *state;
    accept(place, "one\n", 0);
    edit(place, "---\none\n", "---\nby hand\n");
    restart(place);
    refuse(place, "nova", 1, "it is 2 now");
    expect(place, 2, "by hand\n", "operator");
    edit(place, "version: 2", "version: 1");
    restart(place);
    refuse(place, "nova", 1, "it is 2 now");
}

static void test_a_version_changed_by_hand_never_goes_back(void **state)
{
    struct place *place = *state;
    accept(place, "one", 0);
    accept(place, "two", 1);
    edit(place, "version: 2", "version: 1");
    expect(place, 2, "two", "nova");
    OWNED char *file = get_file(place);
    assert_non_null(strstr(file, "version: 2\n"));
    edit(place, "version: 2", "version: 9223372036854775807");
    expect(place, 2, "two", "nova");
}

static void test_a_version_that_no_write_could_name_is_not_believed(void **state)
{
    struct place *place = *state;
    static const char text[] = "---\nname: glossary\nversion: 4611686018427387903\n---\nLarge.\n";
    put_file(place, text, sizeof text - 1);
    expect(place, 1, "Large.\n", "operator");
}

static void test_an_older_copy_that_is_put_back_is_an_edit(void **state)
{
    struct place *place = *state;
    accept(place, "one", 0);
    OWNED char *old = get_file(place);
    accept(place, "two", 1);
    put_file(place, old, strlen(old));
    expect(place, 3, "one", "operator");
}

static void test_plain_text_without_front_matter_becomes_the_segment(void **state)
{
    struct place *place = *state;
    put_file(place, "just text\n", 10);
    expect(place, 1, "just text\n", "operator");
    put_file(place, "other text\n", 11);
    segments_scan(place->segments);
    restart(place);
    expect(place, 2, "other text\n", "operator");
}

static void test_a_deleted_file_is_an_empty_text_with_a_version_more(void **state)
{
    struct place *place = *state;
    accept(place, "one", 0);
    assert_int_equal(unlinkat(place->data, FILE_PATH, 0), 0);
    refuse(place, "nova", 1, "it is 2 now");
    expect(place, 2, "", "operator");
    assert_int_equal(unlinkat(place->data, FILE_PATH, 0), 0);
    expect(place, 2, "", "operator");
    restart(place);
    expect(place, 2, "", "operator");
}

static size_t count_aside(struct place *place)
{
    OWNED char *command = memory_print("test $(ls '%s/shared/segments' | grep -c unreadable) ", place->path);
    for (size_t count = 0; count < 10; count++) {
        OWNED char *test = memory_print("%s -eq %zu", command, count);
        if (system(test) == 0)
            return count;
    }
    return 99;
}

static void test_what_is_no_segment_is_set_aside_and_the_known_text_goes_on(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } bad[] = {
        {"---\nname: glossary\n", 19},      {"\xff\xfe", 2}, {"a\0b", 3}, {"---\n- a\n---\n", 12},
        {"---\na: &x 1\nb: *x\n---\n", 22},
    };
    struct place *place = *state;
    accept(place, "one", 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_file(place, bad[i].bytes, bad[i].length);
        expect(place, 1, "one", "nova");
        assert_int_equal(count_aside(place), i + 1);
    }
    OWNED char *file = get_file(place);
    assert_non_null(strstr(file, "\n---\none"));
}

static void test_links_fifos_and_folders_in_its_place_are_set_aside_and_lead_nowhere(void **state)
{
    struct place *place = *state;
    accept(place, "one", 0);
    assert_int_equal(unlinkat(place->data, FILE_PATH, 0), 0);
    assert_int_equal(symlinkat("/etc/passwd", place->data, FILE_PATH), 0);
    expect(place, 1, "one", "nova");
    assert_int_equal(unlinkat(place->data, FILE_PATH, 0), 0);
    assert_int_equal(mkfifoat(place->data, FILE_PATH, 0600), 0);
    expect(place, 1, "one", "nova");
    assert_int_equal(unlinkat(place->data, FILE_PATH, 0), 0);
    assert_int_equal(mkdirat(place->data, FILE_PATH, 0700), 0);
    expect(place, 1, "one", "nova");
    accept(place, "two", 1);
    assert_int_equal(count_aside(place), 3);
}

static void test_a_file_that_is_too_large_is_set_aside(void **state)
{
    struct place *place = *state;
    char *huge = memory_new(SEGMENT_FILE_MAX + 1, 1);
    memset(huge, 'x', SEGMENT_FILE_MAX + 1);
    put_file(place, huge, SEGMENT_FILE_MAX + 1);
    free(huge);
    expect(place, 0, "", "");
    assert_int_equal(count_aside(place), 1);
    accept(place, "one", 0);
}

/* A folder that is no folder stands for storage that fails. */
static void test_while_storage_fails_nothing_is_accepted_and_nothing_is_lost(void **state)
{
    struct place *place = *state;
    struct fault why;
    accept(place, "one", 0);
    assert_int_equal(renameat(place->data, "shared/segments", place->data, "shared/away"), 0);
    assert_int_equal(symlinkat("/tmp", place->data, "shared/segments"), 0);
    assert_int_equal(write_as(place, "nova", "later", "two", 1, &why), SEGMENT_LATER);
    assert_int_equal(write_as(place, "nova", "later", "two", 1, &why), SEGMENT_LATER);
    expect(place, 1, "one", "nova");
    assert_int_equal(unlinkat(place->data, "shared/segments", 0), 0);
    assert_int_equal(renameat(place->data, "shared/away", place->data, "shared/segments"), 0);
    assert_int_equal(write_as(place, "nova", "later", "two", 1, &why), SEGMENT_WRITTEN);
    expect(place, 2, "two", "nova");
}

/* The rename was made and the flush behind it failed: memory has the former state, the file the new one. */
static void test_a_write_that_failed_after_its_rename_is_found_and_happens_once(void **state)
{
    struct place *place = *state;
    struct fault why;
    accept(place, "one", 0);
    struct segments *before = place->segments;
    expect(place, 1, "one", "nova");
    open_segments(place); /* another memory, which makes the file */
    assert_int_equal(write_as(place, "iris", "torn", "two", 1, &why), SEGMENT_WRITTEN);
    segments_close(place->segments);
    place->segments = before;
    assert_int_equal(write_as(place, "iris", "torn", "two", 1, &why), SEGMENT_WRITTEN);
    expect(place, 2, "two", "iris");
}

static void test_a_reload_adds_segments_and_changes_who_may_write(void **state)
{
    static const char other[] = "agents:\n  - {name: orion, persona: p}\n  - {name: nova, persona: p}\n"
                                "segments:\n  - {name: more, writers: [orion], readers: []}\n"
                                "  - {name: glossary, writers: [orion], readers: [orion]}\n";
    struct place *place = *state;
    OWNED_BUFFER struct buffer faults = {0};
    accept(place, "one", 0);
    struct roster *roster = roster_parse(other, strlen(other), "agents.yaml", &faults);
    assert_non_null(roster);
    segments_roster(place->segments, roster);
    roster_free(roster);
    refuse(place, "nova", 1, "no writer");
    struct seen seen = {.name = "glossary"};
    segments_each(place->segments, "orion", see, &seen);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.text, "one\n");
    assert_true(seen.view.writable);
    seen.count = 0;
    segments_each(place->segments, "nova", see, &seen);
    assert_int_equal(seen.count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_first_write_names_version_0_and_each_write_adds_one),
        TEST(test_a_segment_ends_with_a_line_break_whoever_wrote_it),
        TEST(test_a_stale_write_is_refused_and_says_both_versions),
        TEST(test_only_writers_write_and_only_to_segments_that_are),
        TEST(test_a_repeated_write_is_known_by_its_id_also_after_a_restart),
        TEST(test_a_persons_edit_counts_as_a_version_more),
        TEST(test_an_edit_made_while_nobody_ran_counts_too),
        TEST(test_a_version_changed_by_hand_never_goes_back),
        TEST(test_a_version_that_no_write_could_name_is_not_believed),
        TEST(test_an_older_copy_that_is_put_back_is_an_edit),
        TEST(test_plain_text_without_front_matter_becomes_the_segment),
        TEST(test_a_deleted_file_is_an_empty_text_with_a_version_more),
        TEST(test_what_is_no_segment_is_set_aside_and_the_known_text_goes_on),
        TEST(test_links_fifos_and_folders_in_its_place_are_set_aside_and_lead_nowhere),
        TEST(test_a_file_that_is_too_large_is_set_aside),
        TEST(test_while_storage_fails_nothing_is_accepted_and_nothing_is_lost),
        TEST(test_a_write_that_failed_after_its_rename_is_found_and_happens_once),
        TEST(test_a_reload_adds_segments_and_changes_who_may_write),
    };
    return cmocka_run_group_tests_name("segments", tests, NULL, NULL);
}
