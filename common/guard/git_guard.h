/* The guard finds settings and files that git would run, include or follow in a tree that an agent can write:
 * configuration, hooks, attributes, alternates, links, and files of a size that no repository has.
 *
 * The worker may have written such a finding, so the supervisor and the verbs look, not the worker. The guard follows
 * no link, opens no file but a regular one, and moves a finding by its name, whatever lies there by then. A worker that
 * was taken over can write again at once; then the next look finds it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

/* Where things lie that were taken out, in the agent's folder. */
#define GUARD_ASIDE ".agentos/set-aside"

struct guard_look {
    const char *agents; /* the folder of all agents, absolute */
    bool take;          /* false: only say what there is */
    size_t most;        /* files and folders that are looked at; a tree with more is a finding */
};

/* Looks at .git and at each repository that lies elsewhere in the tree. Adds a sentence and a line end to said for each
 * finding: the file, its danger, the place where it lies now, and how a person does the same for themselves; at most 20
 * sentences, the rest is counted. Returns the number of findings. A configuration keeps the keys of git_config.h, and
 * the whole file lies aside. Every step is durable before the next one, so a crash leaves a finding in its place or
 * aside, never nowhere. At most 64 findings are kept aside; a further finding is removed, and that is said. Of files
 * whose text matters 8 MiB are read in all; the files beyond are findings unread. */
size_t guard_tree(int tree, const struct guard_look *look, struct buffer *said);

/* The same in parts, for a caller that others wait for. The worker may write behind a look that rests: then the next
 * look finds it. */
struct guard_texts {
    size_t others;        /* files whose text was read, but .git/config */
    struct buffer config; /* .git/config as it was judged; the caller's */
};

struct guard *guard_begin(int tree, const struct guard_look *look);
/* Looks on until clock_monotonic_ms is until_ms, but never at less than some two hundred names, or at one text. True:
 * all is looked at. */
bool guard_go(struct guard *guard, int64_t until_ms);
/* Frees guard, also in the middle of a look. said, texts: NULL, not wanted. */
size_t guard_end(struct guard *guard, struct buffer *said, struct guard_texts *texts);

/* Does anything lie aside? */
bool guard_has_aside(int tree);
