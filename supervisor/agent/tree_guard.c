#include "supervisor/agent/tree_guard.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/git_guard.h"
#include "common/log.h"
#include "common/memory.h"

enum { FILES_MOST = 100 * 1000, ALONE_MS = 60 * 1000, PROBLEM_BYTES = 8 * 1024 };

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
    guard->looked_ms = clock_monotonic_ms();
    if (tree < 0)
        return;
    struct guard_look look = {.agents = agents, .take = true, .most = FILES_MOST};
    if (guard_tree(tree, &look, &said) > 0) {
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

bool tree_guard_due(const struct tree_guard *guard, bool lived_in)
{
    return lived_in || guard->looked_ms == 0 || clock_monotonic_ms() - guard->looked_ms >= ALONE_MS;
}

void tree_guard_free(struct tree_guard *guard)
{
    free(guard->problem);
}
