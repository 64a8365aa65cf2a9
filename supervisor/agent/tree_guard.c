#include "supervisor/agent/tree_guard.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/guard/git_guard.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"

enum {
    FILES_MOST = 100 * 1000,
    WHOLE_MS = 600 * 1000,
    WHOLE_EACH_MS = 360, /* apart, so that ten thousand trees are looked at within an hour */
    AGAIN_MS = 60 * 1000,
    PROBLEM_BYTES = 8 * 1024,
    CONFIG_BYTES = 4 * 1024 /* a living worker's config is kept; a larger one is read each time */
};

/* Places whose coming shows in no other place's stamp are looked at each time; the other places only where they were
 * there at the last look. */
static const struct {
    const char *path;
    bool top, shown; /* top: the kernel's watch of the tree's top tells of its changes */
} places[] = {{".", true, false},
              {".gitattributes", true, true},
              {".gitmodules", true, true},
              {"iac", false, false},
              {".git", false, false},
              {".git/config", false, false},
              {".git/objects/info", false, false},
              {".git/hooks", false, true},
              {".git/info", false, true},
              {".git/info/attributes", false, true}};

enum { PLACES = sizeof places / sizeof *places, ALL_PLACES = (1 << PLACES) - 1, NAME_BYTES = 256 };

/* The mark of the places in *there (a bit each) that are in the tree's top, or of the others; a missing place is
 * taken out of *there. 0: a place has changed just now, and the kernel's times are too coarse to show the next
 * change. A link in a place's way is harmless: the stamp of its target is compared, and nothing else is read. */
static uint64_t mark_of(int data, const char *name, bool top, unsigned *there)
{
    struct file_stamp stamps[PLACES] = {{0}};
    struct stat status;
    int64_t now_ns = clock_kernel_ns();
    bool settled = true;
    char path[2 * NAME_BYTES];
    size_t length = (size_t)snprintf(path, NAME_BYTES, "agents/%s/", name);
    for (size_t i = 0; i < PLACES; i++) {
        if (places[i].top != top || (places[i].shown && !(*there & 1u << i)))
            continue;
        strcpy(path + length, places[i].path);
        if (fstatat(data, path, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0)
            stamps[i] = files_stamp(&status);
        else
            *there &= ~(1u << i);
        settled = settled && files_stamp_settled(&stamps[i], now_ns);
    }
    return settled ? names_hash(stamps, sizeof stamps) | 1 : 0;
}

/* Findings that come again and again are told once a minute: a tree with too many files has the same at each scan. */
static void tell(struct tree_guard *guard, const char *name, const char *lines)
{
    const char *before = guard->problem ? guard->problem : "";
    bool known = strstr(before, lines) != NULL;
    int64_t now_ms = clock_monotonic_ms();
    if (known && now_ms - guard->told_ms < AGAIN_MS)
        return;
    guard->told_ms = now_ms;
    if (!known) {
        char *problem = memory_print("%s%s", strlen(before) < PROBLEM_BYTES ? before : "", lines);
        free(guard->problem);
        guard->problem = problem;
    }
    for (size_t n; *lines; lines += n + (lines[n] == '\n')) {
        n = strcspn(lines, "\n");
        log_warn("agentos", NULL, "Agent '%s': %.*s", name, (int)n, lines);
    }
}

static void begin(struct tree_guard *guard, int data, const char *name, const char *path)
{
    OWNED char *below = memory_print("agents/%s", name);
    OWNED char *agents = memory_slice(path, strlen(path) - strlen(name) - 1);
    OWNED_FD int tree = files_open(data, below, O_RDONLY | O_DIRECTORY, 0);
    guard->looked_ms = guard->whole_ms = clock_monotonic_ms();
    guard->mark = guard->top_mark = 0;
    guard->top_quiet = guard->again = false;
    buffer_free(&guard->config);
    if (tree < 0)
        return;
    guard->there = ALL_PLACES;
    /* Before the look, so that a change during it is looked at again. */
    guard->next_mark = mark_of(data, name, false, &guard->there);
    guard->next_top_mark = mark_of(data, name, true, &guard->there);
    guard->under_way =
        guard_begin(tree, &(struct guard_look){.agents = agents, .take = true, .most = FILES_MOST});
}

static void end(struct tree_guard *guard, int data, const char *name)
{
    OWNED_BUFFER struct buffer said = {0};
    OWNED char *below = memory_print("agents/%s", name);
    OWNED_FD int tree = files_open(data, below, O_RDONLY | O_DIRECTORY, 0);
    struct guard_texts texts;
    size_t found = guard_end(guard->under_way, &said, &texts);
    guard->under_way = NULL;
    guard->config = texts.config;
    guard->mark = found == 0 && guard->next_top_mark ? guard->next_mark : 0;
    guard->top_mark = guard->next_top_mark;
    if (found > 0 || texts.others > 0 || guard->config.length > CONFIG_BYTES)
        buffer_free(&guard->config);
    if (found > 0) {
        tell(guard, name, said.data);
    } else if (!guard_has_aside(tree)) {
        free(guard->problem);
        guard->problem = NULL;
    } else if (!guard->problem) {
        guard->problem =
            memory_text("a file or setting that git would have run or followed lies in " GUARD_ASIDE
                        "; the log and `agentos verify` said why. Remove it when you have seen it");
    }
}

bool tree_guard_go(struct tree_guard *guard, int data, const char *name, const char *path)
{
    int64_t until_ms = clock_monotonic_ms() + TREE_GUARD_PART_MS;
    while (guard->under_way) {
        if (!guard_go(guard->under_way, until_ms))
            return false;
        end(guard, data, name);
        if (guard->again)
            begin(guard, data, name, path);
    }
    return true;
}

bool tree_guard_look(struct tree_guard *guard, int data, const char *name, const char *path)
{
    begin(guard, data, name, path);
    return tree_guard_go(guard, data, name, path);
}

static bool top_is_as_it_was(struct tree_guard *guard, int data, const char *name, bool told)
{
    if (told && guard->top_quiet)
        return true;
    guard->top_quiet = told; /* before the stamps: a notice during them ends the quiet */
    return mark_of(data, name, true, &guard->there) == guard->top_mark;
}

/* When a whole look is due after the last one. Very many trees are bootstrapped or met together: by their names some
 * are due sooner than others, lest all are due at once an hour later. */
static int64_t whole_after_ms(const char *name, size_t trees)
{
    int64_t most_ms = (int64_t)trees * WHOLE_EACH_MS;
    int64_t due_ms = most_ms - (int64_t)(names_hash(name, strlen(name)) % (uint64_t)(most_ms / 2 + 1));
    return due_ms > WHOLE_MS ? due_ms : WHOLE_MS;
}

bool tree_guard_glance(struct tree_guard *guard, int data, const char *name, const char *path, size_t trees,
                       int64_t after_ms, bool told)
{
    int64_t now_ms = clock_monotonic_ms();
    if (guard->looked_ms && now_ms - guard->looked_ms < after_ms)
        return false;
    bool late = now_ms - guard->whole_ms >= whole_after_ms(name, trees);
    if (guard->looked_ms && guard->mark && !late && top_is_as_it_was(guard, data, name, told) &&
        mark_of(data, name, false, &guard->there) == guard->mark) {
        guard->looked_ms = now_ms;
        return false;
    }
    tree_guard_look(guard, data, name, path);
    return true;
}

bool tree_guard_holds(const struct tree_guard *guard, int tree)
{
    const struct buffer *config = &guard->config;
    OWNED char *text = NULL;
    size_t length;
    return !guard->under_way && config->length > 0 && clock_monotonic_ms() - guard->whole_ms < WHOLE_MS &&
           files_read(tree, ".git/config", CONFIG_BYTES, &text, &length, NULL, NULL) == 1 &&
           length == config->length && memcmp(text, config->data, length) == 0;
}

void tree_guard_put_off(struct tree_guard *guard)
{
    if (guard->under_way)
        guard_end(guard->under_way, NULL, NULL);
    guard->under_way = NULL;
}

void tree_guard_free(struct tree_guard *guard)
{
    tree_guard_put_off(guard);
    free(guard->problem);
    buffer_free(&guard->config);
}
