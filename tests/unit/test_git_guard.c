#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/files.h"
#include "common/guard/git_guard.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"

static char folder[] = "/tmp/test_git_guard.XXXXXX";

static void shell(const char *commands)
{
    OWNED char *line = memory_print("cd %s && %s", folder, commands);
    assert_int_equal(system(line), 0);
}

static bool holds(const char *commands)
{
    OWNED char *line = memory_print("cd %s && %s", folder, commands);
    return system(line) == 0;
}

static int begin(void **state)
{
    strcpy(strrchr(folder, '.'), ".XXXXXX");
    assert_non_null(mkdtemp(folder));
    shell(
        "mkdir x && cd x && git init -q -b main && mkdir .agentos && git config user.name Ann && git config "
        "user.email a@b "
        "&& echo 1 > a.md && git add . && git commit -qm one");
    return 0;
}

static int end(void **state)
{
    OWNED char *line = memory_print("rm -rf %s", folder);
    return system(line);
}

static size_t look(bool take, struct buffer *said)
{
    OWNED char *path = memory_print("%s/x", folder);
    OWNED_FD int tree = files_open_path(path, NULL);
    struct guard_look guard = {.agents = folder, .take = take, .most = 10000};
    return guard_tree(tree, &guard, said);
}

/* Planted, found without a change, taken out, and not found again; git works all the while. */
static void find_one(const char *plant, const char *says)
{
    OWNED_BUFFER struct buffer seen = {0}, said = {0}, none = {0};
    shell(plant);
    assert_int_equal(look(false, &seen), 1);
    assert_non_null(strstr(seen.data, says));
    assert_int_equal(look(true, &said), 1);
    assert_non_null(strstr(said.data, says));
    assert_non_null(strstr(said.data, GUARD_ASIDE "/"));
    assert_int_equal(look(true, &none), 0);
    assert_true(holds("cd x && git log --oneline >/dev/null"));
    OWNED char *path = memory_print("%s/x", folder);
    OWNED_FD int tree = files_open_path(path, NULL);
    assert_true(guard_has_aside(tree));
}

static void an_ordinary_repository_is_left_alone(void **state)
{
    OWNED_BUFFER struct buffer said = {0};
    shell("cd x && echo '*.md text eol=lf diff=markdown' > .gitattributes && git gc -q && git tag one && "
          "git worktree add -q ../y && git branch z && ln -s a.md b.md && git commit-graph write --reachable "
          "&& "
          "git commit -q --allow-empty -m two && git -c pack.indexVersion=1 repack -dq && "
          "git multi-pack-index write && for i in $(seq 30); do echo P pack-$(printf %040d $i).pack; done "
          "> .git/objects/info/packs");
    assert_int_equal(look(true, &said), 0);
    assert_true(holds("cd x && ! test -e .agentos/set-aside && git fsck --strict"));
}

static void what_git_would_run_is_set_aside(void **state)
{
    find_one("cd x && git config core.pager 'touch ran'", "core.pager");
    assert_true(holds("cd x && test \"$(git config user.name)\" = Ann"));
    assert_true(holds("cd x && ! git config core.pager && grep -q 'touch ran' .agentos/set-aside/*-config"));
    find_one("cd x && mkdir -p .git/hooks && echo x > .git/hooks/post-checkout", "post-checkout is a hook");
    find_one("cd x && mkdir -p .git/info && echo '* filter=x' > .git/info/attributes", "names a filter");
    find_one("cd x && mkdir deep && echo '*.md diff=own' > deep/.gitattributes",
             "deep/.gitattributes names a filter");
    find_one("cd x && echo '[core]' > .git/config.worktree", "second configuration");
    find_one("cd x && mkdir .git/rebase-merge && echo 'exec x' > .git/rebase-merge/git-rebase-todo",
             "commands");
    assert_true(holds("cd x && rm -r .git/rebase-merge"));
}

static void what_leads_elsewhere_is_set_aside(void **state)
{
    find_one("cd x && echo /x > .git/objects/info/alternates", "other objects");
    find_one("cd x && echo ../y > .git/commondir", "another repository");
    find_one("ln -s / x/.git/objects/ab", "is a link");
    find_one("rm -f x/.git/refs/heads/l; mkfifo x/.git/refs/heads/l", "is no regular file");
    find_one("cd x && mkdir -p .git/remotes && echo URL: /x > .git/remotes/origin", "remote of the old kind");
    find_one("cd x && mkdir sub && echo 'gitdir: /x' > sub/.git", "sub/.git names a repository");
    find_one(
        "cd x && rm -rf .git/worktrees && mkdir -p .git/worktrees/w && echo /x > .git/worktrees/w/commondir",
        "another");
}

static void a_repository_within_the_tree_is_looked_at_too(void **state)
{
    find_one("cd x && mkdir sub && git init -q sub && git -C sub config core.fsmonitor x", "sub/.git/config");
    find_one("cd x && git init -q --bare bare && git -C bare config core.fsmonitor x", "bare/config");
    find_one("cd x && git init -q --bare bare2 && rm -r bare2/objects && echo ../bare > bare2/commondir",
             "bare2/commondir");
}

static void files_of_absurd_size_are_set_aside(void **state)
{
    find_one("truncate -s 1500M x/.git/HEAD", "HEAD is larger");
    find_one("truncate -s 1500M x/.git/index", "index is larger");
    find_one("truncate -s 1500M x/.git/packed-refs", "packed-refs is larger");
    find_one("truncate -s 1500M x/.git/refs/heads/big", "big is larger");
    find_one("truncate -s 1500M x/.git/config", "config can't be read as a file of at most 256 KiB");
}

static void of_more_texts_than_can_be_read_the_rest_is_set_aside_unread(void **state)
{
    OWNED_BUFFER struct buffer said = {0}, none = {0};
    shell("cd x && yes '# ' | head -c 1048000 > text && for i in $(seq 12); do mkdir $i && ln text "
          "$i/.gitattributes; done");
    assert_int_equal(look(true, &said), 3);
    assert_non_null(
        strstr(said.data, ".gitattributes is one of more such files than can be read; it lies in "));
    assert_true(holds("test $(ls -d x/*/.gitattributes | wc -l) -eq 9"));
    shell("cd x && find . -name .gitattributes -delete");
    assert_int_equal(look(true, &none), 0);
}

#define COUNTS                                                                                               \
    "for i in $(seq 256); do printf '\\100\\0\\0\\0'; done; head -c 100 /dev/zero; } > x/.git/objects/"

static void an_index_that_counts_more_than_it_holds_is_set_aside(void **state)
{
    find_one("{ printf '\\377tOc\\0\\0\\0\\2'; " COUNTS "pack/pack-2.idx", "pack-2.idx counts more objects");
    find_one("{ " COUNTS "pack/pack-1.idx", "pack-1.idx counts more objects");
    find_one("{ printf 'MIDX\\1\\1\\1\\0\\0\\0\\0\\1OIDF\\0\\0\\0\\0\\0\\0\\0\\30'; " COUNTS
             "pack/multi-pack-index",
             "multi-pack-index counts more objects");
    find_one("{ printf 'CGPH\\1\\1\\1\\0OIDF\\0\\0\\0\\0\\0\\0\\0\\24'; " COUNTS "info/commit-graph",
             "commit-graph counts more objects");
}

/* A worker that made .agentos a link doesn't get its things put where that leads. */
static void nothing_is_put_behind_a_link(void **state)
{
    OWNED_BUFFER struct buffer said = {0};
    shell("mkdir out && rmdir x/.agentos && ln -s ../out x/.agentos && cd x && git config core.pager x && "
          "mkdir -p .git/hooks && echo x > .git/hooks/pre-commit");
    assert_int_equal(look(true, &said), 2);
    assert_true(holds(
        "test -z \"$(ls -A out)\" && cd x && ! git config core.pager && ! test -e .git/hooks/pre-commit "
        "&& ls .git/hooks/pre-commit.set-aside-* .git/config.set-aside-*"));
}

static void what_comes_again_and_again_does_not_fill_the_disk(void **state)
{
    for (int i = 0; i < 70; i++) {
        OWNED_BUFFER struct buffer said = {0};
        shell("mkdir -p x/.git/hooks && echo x > x/.git/hooks/pre-commit");
        assert_int_equal(look(true, &said), 1);
    }
    assert_true(holds("test $(ls x/.agentos/set-aside | wc -l) -eq 64 && ! test -e x/.git/hooks/pre-commit"));
}

/* A supervisor that has no descriptor left takes no tree for a clean one. */
static void a_folder_that_cannot_be_opened_now_is_no_clean_one(void **state)
{
    OWNED char *path = memory_print("%s/x", folder);
    OWNED_FD int tree = files_open_path(path, NULL);
    struct guard_look look = {.agents = folder, .most = 10000};
    struct rlimit limit, few;
    shell("cd x && git init -q sub && git -C sub config core.pager x");
    getrlimit(RLIMIT_NOFILE, &limit);
    for (rlim_t more = 1; more < 16; more++) {
        OWNED_BUFFER struct buffer said = {0};
        few = (struct rlimit){.rlim_cur = (rlim_t)tree + more, .rlim_max = limit.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        size_t found = guard_tree(tree, &look, &said);
        setrlimit(RLIMIT_NOFILE, &limit);
        assert_true(found > 0);
        assert_non_null(strstr(said.data, more < 4 ? "can't be looked into now" : "sub"));
    }
}

/* The look goes on with the objects, and may rest there; people's git, and a worker, need the repository meanwhile. */
static void a_repository_is_one_in_the_middle_of_a_look(void **state)
{
    OWNED char *path = memory_print("%s/x", folder);
    shell("cd x && ln -sf refs/heads/main .git/HEAD && for i in $(seq 20); do mkdir .git/$i && cd .git/$i && "
          "seq 100 | xargs touch && cd ../..; done");
    OWNED_FD int tree = files_open_path(path, NULL);
    struct guard *guard =
        guard_begin(tree, &(struct guard_look){.agents = folder, .take = true, .most = 10000});
    while (!guard_go(guard, 0))
        assert_true(holds("cd x && git log --oneline >/dev/null"));
    assert_int_equal(guard_end(guard, NULL, NULL), 1);
    assert_true(holds("cd x && test ! -L .git/HEAD && git log --oneline >/dev/null"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_ordinary_repository_is_left_alone, begin, end),
        cmocka_unit_test_setup_teardown(what_git_would_run_is_set_aside, begin, end),
        cmocka_unit_test_setup_teardown(what_leads_elsewhere_is_set_aside, begin, end),
        cmocka_unit_test_setup_teardown(a_repository_within_the_tree_is_looked_at_too, begin, end),
        cmocka_unit_test_setup_teardown(files_of_absurd_size_are_set_aside, begin, end),
        cmocka_unit_test_setup_teardown(an_index_that_counts_more_than_it_holds_is_set_aside, begin, end),
        cmocka_unit_test_setup_teardown(of_more_texts_than_can_be_read_the_rest_is_set_aside_unread, begin,
                                        end),
        cmocka_unit_test_setup_teardown(nothing_is_put_behind_a_link, begin, end),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_opened_now_is_no_clean_one, begin, end),
        cmocka_unit_test_setup_teardown(a_repository_is_one_in_the_middle_of_a_look, begin, end),
        cmocka_unit_test_setup_teardown(what_comes_again_and_again_does_not_fill_the_disk, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
