/* A scratch agent's tree for the history's tests, and the real git to look at it with. */
#ifndef AGENTOS_TESTS_HISTORY_FIXTURE_H
#define AGENTOS_TESTS_HISTORY_FIXTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/repository/library.h"
#include "tests/unit/cmocka.h"
#include "worker/history/history.h"

struct scratch {
    char path[64];
    int tree;
    struct history *history;
};

static inline void scratch_open(struct scratch *scratch)
{
    struct fault fault = {0};
    char *damage = NULL;
    scratch->history = history_open(scratch->tree, scratch->path, "orion", &damage, &fault);
    if (!scratch->history)
        fail_msg("%s", fault.text);
    free(damage);
}

static inline int scratch_begin(void **state)
{
    struct scratch *scratch = memory_new(1, sizeof *scratch);
    strcpy(scratch->path, "/tmp/history-XXXXXX");
    assert_non_null(mkdtemp(scratch->path));
    scratch->tree = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(scratch->tree >= 0);
    assert_true(repository_library_start(NULL));
    scratch_open(scratch);
    *state = scratch;
    return 0;
}

static inline int scratch_end(void **state)
{
    struct scratch *scratch = *state;
    history_close(scratch->history);
    close(scratch->tree);
    char command[192];
    snprintf(command, sizeof command, "chmod -R u+w %s; rm -rf %s", scratch->path, scratch->path);
    int result = system(command);
    free(scratch);
    return result;
}

static inline void scratch_reopen(struct scratch *scratch)
{
    history_close(scratch->history);
    scratch_open(scratch);
}

/* A shell command in the tree, git with no configuration from outside; its output, without the last newline. */
static inline const char *shell(struct scratch *scratch, const char *command)
{
    static char output[16384];
    OWNED char *whole = memory_print(
        "cd %s && export GIT_CONFIG_NOSYSTEM=1 HOME=/nonexistent GIT_AUTHOR_NAME=ann GIT_COMMITTER_NAME=ann "
        "GIT_AUTHOR_EMAIL=ann@example.org GIT_COMMITTER_EMAIL=ann@example.org; { %s; } 2>&1",
        scratch->path, command);
    FILE *pipe = popen(whole, "r");
    assert_non_null(pipe);
    size_t length = fread(output, 1, sizeof output - 1, pipe);
    pclose(pipe);
    while (length > 0 && output[length - 1] == '\n')
        length--;
    output[length] = '\0';
    return output;
}

/* Clean: git has no complaint, and no change is uncommitted. */
static inline void assert_clean(struct scratch *scratch)
{
    assert_string_equal(shell(scratch, "git fsck --strict --no-progress --no-dangling"), "");
    assert_string_equal(shell(scratch, "git status --porcelain"), "");
}

static inline bool commit_changes(struct scratch *scratch, const char *task, const struct change *changes,
                                  size_t count, struct fault *fault)
{
    char commit[COMMIT_TEXT];
    OWNED char *subject = memory_print("orion(task): %s", task ? task : "none");
    struct commit_request request = {
        .subject = subject,
        .trailers = {.task = task, .task_hash = 7, .reward = 1, .end = "done", .source = "queue"},
        .changes = changes,
        .change_count = count};
    return history_commit(scratch->history, &request, commit, fault);
}

static inline void commit_file(struct scratch *scratch, const char *task, const char *path, const char *text)
{
    struct fault fault = {0};
    struct change change = {CHANGE_WRITE, path, text, strlen(text)};
    if (!commit_changes(scratch, task, &change, 1, &fault))
        fail_msg("%s", fault.text);
}

#endif
