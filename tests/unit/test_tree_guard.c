/* A tree without a worker is looked at by a glance once a minute (contract section 10): no setting that git would run
 * or obey goes unseen, and a tree whose git files are untouched isn't read. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "supervisor/agent/tree_guard.h"
#include "tests/unit/cmocka.h"

static char folder[32], *path;
static int data;
static struct tree_guard guard;
static size_t trees;
static bool told;

static void in_tree(const char *commands)
{
    OWNED char *line = memory_print("cd %s && %s", path, commands);
    assert_int_equal(system(line), 0);
}

static int begin(void **state)
{
    strcpy(folder, "/tmp/test_tree_guard.XXXXXX");
    assert_non_null(mkdtemp(folder));
    path = memory_print("%s/agents/orion", folder);
    OWNED char *make = memory_print("mkdir -p %s && git init -q -b main %s", path, path);
    assert_int_equal(system(make), 0);
    data = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    in_tree("rm -rf .git/hooks && mkdir -p .git/info .git/objects/info iac .agentos");
    guard = (struct tree_guard){.problem = NULL};
    trees = 1;
    told = false;
    tree_guard_look(&guard, data, "orion", path);
    assert_null(guard.problem);
    return 0;
}

static int end(void **state)
{
    OWNED char *line = memory_print("rm -rf %s", folder);
    tree_guard_free(&guard);
    close(data);
    free(path);
    return system(line);
}

/* A minute later; true: the tree was read. */
static bool glance(void)
{
    int64_t whole_ms = guard.whole_ms -= 60 * 1000;
    guard.looked_ms -= 60 * 1000;
    bool looked = tree_guard_glance(&guard, data, "orion", path, trees, TREE_GUARD_GLANCE_MS, told);
    assert_int_equal(looked, guard.whole_ms != whole_ms);
    return looked;
}

/* A file that was made just before a look could have hidden another change, so looks go on until no file is so new. */
static void settle(void)
{
    while (!guard.mark)
        glance();
}

static void test_a_tree_in_which_nobody_touched_gits_files_is_not_read(void **state)
{
    in_tree("echo text > iac/.x && rm iac/.x && echo '## a' > queue.md");
    assert_true(glance()); /* a file that was made in a folder that git may read in */
    settle();
    for (int minute = 0; minute < 5; minute++) {
        in_tree("echo more >> queue.md");
        assert_false(glance());
    }
}

static void test_it_is_read_when_its_worker_has_ended_and_every_ten_minutes(void **state)
{
    guard.looked_ms = 60 * 1000; /* which glance() makes 0: its worker has ended */
    assert_true(glance());
    settle();
    int minutes = 1;
    while (!glance())
        assert_true(++minutes <= 10);
    assert_true(minutes > 5);
}

static void test_one_of_ten_thousand_is_read_within_the_hour(void **state)
{
    trees = 10000;
    settle();
    int minutes = 1;
    while (!glance())
        assert_true(++minutes <= 60);
    assert_true(minutes > 30);
}

/* Minutes from the last look to the next; every name stands for the same quiet tree. */
static size_t minutes_of(const char *name)
{
    struct tree_guard of_name = guard;
    of_name.config = (struct buffer){0};
    OWNED char *link = memory_print("%s/agents/%s", folder, name);
    assert_int_equal(symlink("orion", link), 0);
    for (size_t minute = 1;; minute++) {
        of_name.whole_ms -= 60 * 1000;
        of_name.looked_ms -= 60 * 1000;
        if (tree_guard_glance(&of_name, data, name, path, trees, TREE_GUARD_GLANCE_MS, told))
            return minute;
    }
}

static void test_of_ten_thousand_that_were_looked_at_together_few_are_read_in_one_minute(void **state)
{
    enum { NAMES = 300, FEW = NAMES / 10 };
    size_t due[61] = {0};
    trees = 10000;
    settle();
    for (size_t i = 0; i < NAMES; i++) {
        OWNED char *name = memory_print("agent%zu", i);
        size_t minutes = minutes_of(name);
        assert_in_range(minutes, 30, 60);
        due[minutes]++;
    }
    for (size_t i = 0; i < sizeof due / sizeof *due; i++)
        assert_true(due[i] <= FEW);
}

static void test_what_is_planted_in_it_is_found_within_the_minute(void **state)
{
    static const char *const plants[] = {
        "mkdir .git/hooks && printf '#!/bin/sh\\n' > .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit",
        "printf '[core]\\n\\tfsmonitor = /tmp/x\\n' >> .git/config",
        "echo '* filter=x' > .gitattributes",
        "echo '* filter=x' > .git/info/attributes",
        "echo /tmp > .git/objects/info/alternates",
        "rm -rf .git/info && mkdir .git/info && echo '* filter=x' > .git/info/attributes",
        "rm -rf .git/objects/info && mkdir .git/objects/info && echo /tmp > .git/objects/info/alternates",
    };
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
        settle();
        in_tree(plants[i]);
        assert_true(glance());
        assert_non_null(guard.problem);
        in_tree("rm -rf .agentos/set-aside");
        glance();
        assert_null(guard.problem);
    }
}

/* More names than a look goes through; links, of which a file has 65,000 at most, are made fast. */
static void fill(void)
{
    in_tree("mkdir many && touch many/0 many/1");
    OWNED char *below = memory_print("%s/many", path);
    OWNED_FD int many = open(below, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 2; i <= 100 * 1000; i++) {
        OWNED char *name = memory_print("%d", i);
        assert_int_equal(linkat(many, i % 2 ? "1" : "0", many, name, 0), 0);
    }
}

/* Lines of the log while the tree is looked at. */
static int lines_of_a_look(int log)
{
    char text[4096];
    int lines = 0;
    bool looked = tree_guard_look(&guard, data, "orion", path);
    while (!looked)
        looked = tree_guard_go(&guard, data, "orion", path);
    assert_non_null(strstr(guard.problem, "more than 100000 files"));
    ssize_t n = pread(log, text, sizeof text - 1, 0);
    assert_int_equal(ftruncate(log, 0), 0);
    text[n > 0 ? n : 0] = '\0';
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    return lines;
}

static void test_what_the_same_look_finds_again_is_told_once_a_minute(void **state)
{
    int before = dup(STDERR_FILENO), log = memfd_create("log", MFD_CLOEXEC), told_lines[3];
    fill();
    fcntl(log, F_SETFL, O_APPEND);
    dup2(log, STDERR_FILENO);
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            guard.told_ms -= 61 * 1000;
        told_lines[i] = lines_of_a_look(log);
    }
    dup2(before, STDERR_FILENO);
    close(before);
    close(log);
    assert_int_equal(told_lines[0], 1);
    assert_int_equal(told_lines[1], 0);
    assert_int_equal(told_lines[2], 1);
}

static void test_of_the_trees_top_the_kernels_word_is_enough(void **state)
{
    settle();
    told = true;
    assert_false(glance()); /* once the watch is asked for: the kernel doesn't tell of earlier changes */
    in_tree("echo '* filter=x' > .gitattributes");
    guard.top_quiet = false; /* the kernel's word */
    assert_true(glance());
    assert_non_null(guard.problem);
    in_tree("rm -rf .agentos/set-aside");
    glance();
    settle();
    in_tree("echo '* filter=x' > .gitattributes");
    assert_true(glance()); /* a look's own doing is asked after, too */
    in_tree("rm -rf .agentos/set-aside");
    glance();
    settle();
    assert_false(glance());
    guard.mark = 1; /* files below the top are compared each time */
    assert_true(glance());
}

static void test_a_tree_is_asked_for_once_more_when_the_kernel_begins_to_tell(void **state)
{
    settle();
    assert_false(glance()); /* without the kernel's word */
    in_tree("echo '* filter=x' > .gitattributes");
    told = true;
    assert_true(glance());
}

static void test_a_text_that_was_written_through_a_mapping_is_seen(void **state)
{
    OWNED char *tree = memory_print("agents/orion"), *config = memory_print("%s/.git/config", path);
    OWNED_FD int folder_of_tree = files_open(data, tree, O_RDONLY | O_DIRECTORY, 0);
    settle();
    assert_true(tree_guard_holds(&guard, folder_of_tree));
    OWNED_FD int file = open(config, O_RDWR | O_CLOEXEC);
    char *text = mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    assert_true(text != MAP_FAILED);
    text[1] = 'C'; /* "[Core]": no stamp need change */
    assert_false(tree_guard_holds(&guard, folder_of_tree));
    text[1] = 'c';
    munmap(text, 5);
    assert_true(tree_guard_holds(&guard, folder_of_tree));
    guard.whole_ms -= 10 * 60 * 1000; /* then all is looked through, whatever stands there */
    assert_false(tree_guard_holds(&guard, folder_of_tree));
    guard.whole_ms += 10 * 60 * 1000;
    in_tree("echo '*.md text' > .gitattributes"); /* a harmless file, which may become bad unseen */
    assert_true(glance());
    settle();
    assert_false(tree_guard_holds(&guard, folder_of_tree));
}

static void test_a_text_that_is_too_long_to_keep_is_looked_at_each_time(void **state)
{
    OWNED char *tree = memory_print("agents/orion");
    OWNED_FD int folder_of_tree = files_open(data, tree, O_RDONLY | O_DIRECTORY, 0);
    in_tree("printf '#%5000s\\n' x >> .git/config");
    assert_true(glance());
    settle();
    assert_null(guard.problem);
    assert_false(tree_guard_holds(&guard, folder_of_tree));
    in_tree("git config --file short user.name Ann && mv short .git/config");
    assert_true(glance());
    settle();
    assert_true(tree_guard_holds(&guard, folder_of_tree));
}

/* Trees that a worker can make within a second, and that take several parts to look through. */
static const char *const large[] = {
    "mkdir d && cd d && (echo '[user]'; yes a=b | head -c 262000) > x && for i in $(seq 4); do mkdir -p "
    "$i/.git && ln x $i/.git/config; done",
    "mkdir d && cd d && seq 8000 | xargs mkdir",
    "mkdir -p .agentos/set-aside && cd .agentos/set-aside && seq 1000 | xargs touch && mkdir "
    "../../.git/hooks && cd "
    "../../.git/hooks && seq 1000 | xargs touch",
};

enum { LARGE = sizeof large / sizeof *large, PART_MOST_MS = 90 };

static int64_t cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A part of a look, of which the caller's other clients wait for the end. */
static bool look_on(bool first)
{
    int64_t begun_ms = cpu_ms(), most_ms = PART_MOST_MS;
#ifdef __SANITIZE_ADDRESS__
    most_ms *= 10;
#endif
    bool whole =
        first ? tree_guard_look(&guard, data, "orion", path) : tree_guard_go(&guard, data, "orion", path);
    assert_in_range(cpu_ms() - begun_ms, 0, most_ms);
    return whole;
}

static void test_nobody_waits_for_a_look_whatever_the_tree_is_like(void **state)
{
    for (size_t i = 0; i < LARGE; i++) {
        in_tree(large[i]);
        size_t parts = 1;
        for (bool whole = look_on(true); !whole; whole = look_on(false))
            parts++;
        assert_true(parts > 1);
        in_tree("rm -rf d .git/hooks .agentos/set-aside");
        assert_true(tree_guard_look(&guard, data, "orion", path));
    }
}

static void test_a_look_that_was_wanted_in_the_middle_of_another_follows_it(void **state)
{
    in_tree(large[0]);
    assert_false(tree_guard_look(&guard, data, "orion", path));
    in_tree("printf '[core]\\n\\tfsmonitor = /tmp/x\\n' >> .git/config"); /* .git was looked at first */
    guard.again = true;
    while (!look_on(false))
        assert_null(guard.problem);
    assert_non_null(strstr(guard.problem, "core.fsmonitor"));
}

static void test_what_lies_behind_a_look_that_was_given_up_is_found_by_the_next(void **state)
{
    in_tree(large[0]);
    in_tree("mkdir d/.git && echo '[alias]' > d/.git/config && echo ' x = !y' >> d/.git/config");
    assert_false(tree_guard_look(&guard, data, "orion", path));
    tree_guard_put_off(&guard);
    assert_int_equal(guard.mark, 0);
    for (bool whole = look_on(true); !whole;)
        whole = look_on(false);
    assert_non_null(strstr(guard.problem, "alias.x"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_tree_in_which_nobody_touched_gits_files_is_not_read),
        TEST(test_it_is_read_when_its_worker_has_ended_and_every_ten_minutes),
        TEST(test_one_of_ten_thousand_is_read_within_the_hour),
        TEST(test_of_ten_thousand_that_were_looked_at_together_few_are_read_in_one_minute),
        TEST(test_what_is_planted_in_it_is_found_within_the_minute),
        TEST(test_what_the_same_look_finds_again_is_told_once_a_minute),
        TEST(test_of_the_trees_top_the_kernels_word_is_enough),
        TEST(test_a_tree_is_asked_for_once_more_when_the_kernel_begins_to_tell),
        TEST(test_a_text_that_was_written_through_a_mapping_is_seen),
        TEST(test_a_text_that_is_too_long_to_keep_is_looked_at_each_time),
        TEST(test_nobody_waits_for_a_look_whatever_the_tree_is_like),
        TEST(test_a_look_that_was_wanted_in_the_middle_of_another_follows_it),
        TEST(test_what_lies_behind_a_look_that_was_given_up_is_found_by_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
