/* A tree and its learning, for the tests of both: each test has a tree of its own, and cycle() does the worker's steps,
 * with writing files in the place of a commit. */
#ifndef AGENTOS_TESTS_UNIT_LEARNING_SCENE_H
#define AGENTOS_TESTS_UNIT_LEARNING_SCENE_H

#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"
#include "worker/memory/learning.h"

static char folder[64];
static int tree;
static struct learning *learning;
static struct buffer problems, note;
static struct change_list changes;
static const int64_t NOW = 1777456800; /* 2026-04-29T10:00:00Z */

static inline int start(void **state)
{
    strcpy(folder, "/tmp/agentos-learning-XXXXXX");
    assert_non_null(mkdtemp(folder));
    tree = files_open_path(folder, NULL);
    learning = NULL;
    return 0;
}

static inline int end(void **state)
{
    learning_close(learning);
    change_list_free(&changes);
    buffer_free(&problems);
    buffer_free(&note);
    close(tree);
    OWNED char *command = memory_print("rm -rf %s", folder);
    return system(command);
}

static inline void put(const char *path, const char *text)
{
    const char *slash = strrchr(path, '/');
    if (slash) {
        OWNED char *above = memory_slice(path, (size_t)(slash - path));
        close(files_open_folder(tree, above, true, NULL));
    }
    assert_true(files_write(tree, path, text, strlen(text), false, NULL));
}

static inline char *get(const char *path)
{
    char *text;
    size_t length;
    files_read(tree, path, 16 * 1024 * 1024, &text, &length, NULL, NULL);
    return text ? text : memory_text("");
}

static inline void assert_has(const char *path, const char *part)
{
    OWNED char *text = get(path);
    if (!strstr(text, part))
        fail_msg("%s lacks \"%s\":\n%s", path, part, text);
}

static inline void assert_lacks(const char *path, const char *part)
{
    OWNED char *text = get(path);
    if (strstr(text, part))
        fail_msg("%s has \"%s\":\n%s", path, part, text);
}

static inline size_t lines_with(const char *path, const char *start_of_line)
{
    OWNED char *text = get(path);
    size_t count = 0;
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL)
        count += strncmp(line, start_of_line, strlen(start_of_line)) == 0;
    return count;
}

static inline void look(void)
{
    buffer_drop(&problems, problems.length);
    if (learning)
        learning_refresh(learning, &problems);
    else
        learning = learning_open(tree, &problems);
}

static inline void write_changes(void)
{
    for (size_t i = 0; i < changes.count; i++)
        if (changes.items[i].kind == CHANGE_WRITE)
            put(changes.items[i].path, changes.items[i].text);
        else
            unlinkat(tree, changes.items[i].path, 0);
    learning_kept(learning);
}

static inline void apply(const char *block, int64_t now, int audit)
{
    struct reply reply;
    OWNED char *text = memory_print("An answer.\n\n```agentos\n%s\n```\n", block);
    reply_parse(&reply, text, strlen(text), "stop");
    const struct outcome outcome = {.task_id = "task",
                                    .reply = &reply,
                                    .now = now,
                                    .tokens = 100,
                                    .decay_halflife_days = 30,
                                    .audit_score = audit};
    buffer_drop(&note, note.length);
    change_list_free(&changes);
    learning_apply(learning, &outcome, &changes, &note);
    reply_free(&reply);
}

static inline void cycle(const char *block, int64_t now)
{
    look();
    apply(block, now, AUDIT_NONE);
    write_changes();
}

#endif
