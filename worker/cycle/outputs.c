/* outputs/TASK.md: the full answer to each task, with where it came from in front. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/format/answer_file.h"
#include "common/format/yamldoc.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/tree.h"
#include "worker/cycle/worker.h"

void outputs_print(const struct worker *worker, const struct reply *reply, int64_t now, struct buffer *out)
{
    char at[CLOCK_TEXT];
    buffer_text(out, "---\n");
    yaml_write_text(out, "task", worker->task.id);
    buffer_print(out, "at: %s\nreward: %s%d\n", clock_format(now, at), reply->reward > 0 ? "+" : "",
                 reply->reward);
    if (reply->reason)
        yaml_write_text(out, "reason", reply->reason);
    if (worker->task.answer.model && *worker->task.answer.model)
        yaml_write_text(out, "model", worker->task.answer.model);
    if (worker->task.answer.finish_reason && *worker->task.answer.finish_reason)
        yaml_write_text(out, "finish_reason", worker->task.answer.finish_reason);
    buffer_print(out, "tokens: %llu\n",
                 (unsigned long long)(worker->task.usage.tokens_in + worker->task.usage.tokens_out));
    buffer_print(out, "asked_hash: %016llx\n", (unsigned long long)answer_hash(worker->task.text));
    if (worker->task.whole)
        buffer_print(out, "whole_hash: %016llx\n", (unsigned long long)worker->task.whole);
    /* last: this field may be longer than the part of a head that is read */
    yaml_write_text(out, "asked", worker->task.text);
    buffer_text(out, "---\n");
    buffer_text(out, reply->answer);
    if (out->data[out->length - 1] != '\n')
        buffer_text(out, "\n");
}

/* The tree of a commit is written anew whenever an answer is added to it, so the tracked answers are kept few: beyond
 * TRACKED_MAX the older answers leave the tree. They stay on disk (.git/info/exclude covers them) and in the history; a
 * tree with all answers would make each task cost more than the task before. Envelopes that are over leave the tree in
 * the same way. */
enum { TRACKED_MAX = 64, TRACKED_LEAST = 16 };

static const struct kept_few {
    const char *folder, *what;
} kept_few[KEPT_FEW] = {
    [KEPT_OUTPUTS] = {TREE_OUTPUTS, "answers"},
    [KEPT_ARCHIVE] = {TREE_ARCHIVE, "envelopes"},
};

struct tracked {
    struct output {
        char *path;
        int64_t modified_ns;
    } * items;
    size_t count;
    int tree;
    const char *folder;
};

static void note_tracked(void *context, const char *name)
{
    struct tracked *tracked = context;
    char *path = memory_print("%s/%s", tracked->folder, name);
    struct file_stamp stamp = files_stamp_at(tracked->tree, path);
    *MEMORY_ADD(tracked->items, tracked->count) =
        (struct output){.path = path, .modified_ns = stamp.modified_ns};
}

static int by_age(const void *a, const void *b)
{
    const struct output *first = a, *second = b;
    if (first->modified_ns != second->modified_ns)
        return first->modified_ns < second->modified_ns ? -1 : 1;
    return strcmp(first->path, second->path);
}

static void untrack_oldest(struct worker *worker, struct tracked *tracked, const struct kept_few *few)
{
    struct fault fault;
    char commit[COMMIT_TEXT];
    OWNED_CHANGES struct change_list changes = {0};
    qsort(tracked->items, tracked->count, sizeof *tracked->items, by_age);
    for (size_t i = 0; i + TRACKED_LEAST < tracked->count; i++)
        change_list_add(&changes, CHANGE_UNTRACK, tracked->items[i].path, NULL, 0);
    OWNED char *subject = memory_print(
        "%s(%s): %zu older %s leave the tree", worker->name,
        strrchr(few->folder, '/') ? strrchr(few->folder, '/') + 1 : few->folder, changes.count, few->what);
    OWNED char *body = memory_print("The files stay in %s/ on disk and in this history.", few->folder);
    const struct commit_request request = {
        .author = AUTHOR_AGENT,
        .subject = subject,
        .body = body,
        .changes = changes.items,
        .change_count = changes.count,
    };
    if (!history_commit(worker->history, &request, commit, &fault))
        log_warn("agent", worker->name,
                 "Older %s could not leave the tree: %s. The removal is tried again later.", few->what,
                 fault.text);
}

void outputs_tidy(struct worker *worker, enum kept_few_kind kind, size_t added)
{
    size_t *unknown = &worker->looks.tracked_unknown[kind], *more = &worker->looks.pruning[kind].unknown;
    *more -= added < *more ? added : *more;
    if (*unknown > added) {
        *unknown -= added;
        return;
    }
    if (added == 0)
        return;
    struct tracked tracked = {.tree = worker->tree, .folder = kept_few[kind].folder};
    if (history_names(worker->history, tracked.folder, note_tracked, &tracked, NULL) &&
        tracked.count > TRACKED_MAX) {
        untrack_oldest(worker, &tracked, &kept_few[kind]);
        *unknown = TRACKED_MAX - TRACKED_LEAST;
    } else {
        *unknown = TRACKED_MAX + 1 - (tracked.count < TRACKED_MAX ? tracked.count : TRACKED_MAX);
    }
    for (size_t i = 0; i < tracked.count; i++)
        free(tracked.items[i].path);
    free(tracked.items);
}
