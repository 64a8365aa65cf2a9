/* Findings in the tree that people should know of: conflict marks of a merge in a state file, copies beside state files
 * that a synchroniser or an editor left, traces of people's git. No finding is work or learned from. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/format/markdown.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "worker/cycle/worker.h"

enum { LOOK_MS = 1000, COPY_REST_S = 2 /* an editor's backup stands there for a moment while it saves */ };

static const char *const state_files[TREE_STATE_FILES] = {
    TREE_QUEUE,  TREE_PERSONA, TREE_CONSTRAINTS, TREE_SYSTEM_PROMPT,
    TREE_SKILLS, TREE_GOALS,   TREE_REWARDS,     TREE_REFLECTIONS,
};

/* The line of a merge's first mark in the file of that stamp; 0: there is none. The texts of the worker's last commit are
 * known. A stamp that doesn't tell for sure is not kept, so the file is looked at again. */
static unsigned mark_in(struct worker *worker, const char *path, const struct file_stamp *now,
                        struct file_stamp *kept)
{
    OWNED char *text = NULL;
    size_t length;
    bool sure = true;
    const char *known = learning_text(worker->learning, path, now, &length, &sure);
    if (known) {
        *kept = sure ? *now : (struct file_stamp){0};
        return markdown_conflict(known, length, true);
    }
    bool read = files_read(worker->tree, path, TREE_FILE_MAX, &text, &length, kept, NULL) == 1;
    return read ? markdown_conflict(text, length, true) : 0;
}

/* False: marks stand where they stood, as they do after each commit of the worker's own. The worker looks for no trace
 * of people behind such a commit: the supervisor tells of people's changes in the tree. */
static bool look_for_marks(struct worker *worker)
{
    bool moved = false;
    for (size_t i = 0; i < TREE_STATE_FILES; i++) {
        struct merged_file *file = &worker->looks.merged[i];
        struct file_stamp now = files_stamp_at(worker->tree, state_files[i]);
        if (files_stamp_equal(&now, &file->stamp))
            continue;
        unsigned line = mark_in(worker, state_files[i], &now, &file->stamp);
        moved = moved || line != file->line;
        file->line = line;
    }
    return moved;
}

/* "queue.md~" and "queue (conflicted copy).md" are copies of queue.md. */
static bool copies_state_file(const char *name)
{
    for (size_t i = 0; i < TREE_STATE_FILES; i++) {
        const char *file = state_files[i];
        if (strcmp(name, file) != 0 && strncmp(name, file, strlen(file) - strlen(".md")) == 0)
            return names_conflict(name) || (strncmp(name, file, strlen(file)) == 0 && names_temporary(name));
    }
    return false;
}

static bool at_rest(int tree, const char *name)
{
    struct stat status;
    return fstatat(tree, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           llabs(clock_kernel_ns() / 1000000000 - (long long)status.st_ctime) >= COPY_REST_S;
}

/* True: a copy is too young to be told of, and is to be looked at again. */
static bool print_copies(struct worker *worker)
{
    bool young = false;
    OWNED_LISTING struct listing *names = listing_open(worker->tree, ".", NULL); /* looked at again soon */
    for (const char *name; names && (name = listing_next(names));) {
        if (!copies_state_file(name))
            continue;
        if (!at_rest(worker->tree, name))
            young = true;
        else
            buffer_print(&worker->problems.people,
                         "%s is a copy that a synchroniser or an editor left; AgentOS does not read the "
                         "copy: carry over its text, and remove it\n",
                         name);
    }
    return young;
}

bool tree_look(struct worker *worker)
{
    int64_t now = clock_monotonic_ms();
    if (!look_for_marks(worker) && !worker->looks.people && now - worker->looks.people_ms < LOOK_MS)
        return worker->looks.merging;
    struct buffer *lines = &worker->problems.people;
    worker->looks.people_ms = now;
    worker->looks.merging = false;
    buffer_drop(lines, lines->length);
    history_people_git(worker->history, lines);
    for (size_t i = 0; i < TREE_STATE_FILES; i++) {
        if (worker->looks.merged[i].line == 0)
            continue;
        worker->looks.merging = true;
        buffer_print(
            lines,
            "%s:%u: a merge left its conflict marks (<<<<<<<) here; no work is begun until they are gone\n",
            state_files[i], worker->looks.merged[i].line);
    }
    worker->looks.people = print_copies(worker);
    report_problems(worker);
    return worker->looks.merging;
}
