#include "supervisor/agent/tree_guard.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/git_guard.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"

enum { FILES_MOST = 100 * 1000, GLANCE_MS = 55 * 1000, WHOLE_MS = 600 * 1000, PROBLEM_BYTES = 8 * 1024 };

/* Never 0. A link in a place's way is no matter: what stands behind it is compared, and nothing else. */
static uint64_t mark_of(int tree)
{
    static const char *const places[] = {".",
                                         "iac",
                                         ".git",
                                         ".git/config",
                                         ".git/hooks",
                                         ".git/info",
                                         ".gitattributes",
                                         ".gitmodules",
                                         ".git/info/attributes",
                                         ".git/objects/info"};
    struct file_stamp stamps[sizeof places / sizeof *places] = {{0}};
    struct stat status;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (fstatat(tree, places[i], &status, AT_SYMLINK_NOFOLLOW) == 0)
            stamps[i] = files_stamp(&status);
    return names_hash(stamps, sizeof stamps) | 1;
}

/* Findings that come again and again are told each time in the log; the problem holds the last ones. */
static void tell(struct tree_guard *guard, const char *name, const char *lines)
{
    OWNED char *before = guard->problem;
    bool room = before && strlen(before) < PROBLEM_BYTES && !strstr(before, lines);
    guard->problem = memory_print("%s%s", room ? before : "", lines);
    for (size_t n; *lines; lines += n + (lines[n] == '\n')) {
        n = strcspn(lines, "\n");
        log_warn("agentos", NULL, "Agent '%s': %.*s", name, (int)n, lines);
    }
}

void tree_guard_look(struct tree_guard *guard, int data, const char *name, const char *path)
{
    OWNED_BUFFER struct buffer said = {0};
    OWNED char *below = memory_print("agents/%s", name);
    OWNED char *agents = memory_slice(path, strlen(path) - strlen(name) - 1);
    OWNED_FD int tree = files_open(data, below, O_RDONLY | O_DIRECTORY, 0);
    guard->looked_ms = guard->whole_ms = clock_monotonic_ms();
    guard->mark = 0;
    if (tree < 0)
        return;
    uint64_t mark = mark_of(tree); /* before: what changes meanwhile is looked at again */
    struct guard_look look = {.agents = agents, .take = true, .most = FILES_MOST};
    size_t found = guard_tree(tree, &look, &said);
    guard->mark = found == 0 ? mark : 0;
    if (found > 0) {
        tell(guard, name, said.data);
    } else if (!guard_has_aside(tree)) {
        free(guard->problem);
        guard->problem = NULL;
    } else if (!guard->problem) {
        guard->problem =
            memory_text("something that git would have run or followed lies in " GUARD_ASIDE
                        "; the log and `agentos verify` said why. Remove it when you have seen it");
    }
}

void tree_guard_glance(struct tree_guard *guard, int data, const char *name, const char *path)
{
    int64_t now_ms = clock_monotonic_ms();
    if (guard->looked_ms && now_ms - guard->looked_ms < GLANCE_MS)
        return;
    OWNED char *below = memory_print("agents/%s", name);
    OWNED_FD int tree =
        guard->looked_ms && guard->mark ? files_open(data, below, O_RDONLY | O_DIRECTORY, 0) : -1;
    if (tree >= 0 && now_ms - guard->whole_ms < WHOLE_MS && mark_of(tree) == guard->mark)
        guard->looked_ms = now_ms;
    else
        tree_guard_look(guard, data, name, path);
}

void tree_guard_free(struct tree_guard *guard)
{
    free(guard->problem);
}
