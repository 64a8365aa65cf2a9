/* An index that git wrote back as it was before our last commits.
 *
 * `git commit` and `git add` read the index first and lock it afterwards. The entries that we wrote in between are lost
 * when git writes its index: a file that HEAD and the work tree have would be missing in the index for ever. The
 * person's commit itself fails, for HEAD has moved on. The sign of such an index: every path that our last commits
 * touched is in it as it was before them, although HEAD is still our commit. A person's `git rm --cached` of one file
 * is not mistaken for such an index; a person's removal of all files of a commit of several is. */
#include "worker/history/part.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

static void drop(struct entered *entered)
{
    for (size_t i = 0; i < entered->count; i++)
        free((char *)(uintptr_t)entered->steps[i].path);
    free(entered->steps);
    *entered = (struct entered){0};
}

void entered_forget(struct history *history)
{
    while (history->index.entered_count > 0)
        drop(&history->index.entered[--history->index.entered_count]);
}

void entered_keep(struct history *history, const struct work *work)
{
    struct entered *all = history->index.entered;
    size_t count = history->index.entered_count;
    if (count > 0 && !git_oid_equal(&all[count - 1].commit, &work->parent))
        entered_forget(history);
    else if (count == ENTERED_MAX) {
        drop(&all[0]);
        memmove(all, all + 1, (ENTERED_MAX - 1) * sizeof *all);
        history->index.entered_count--;
    }
    struct entered *entered = &all[history->index.entered_count++];
    *entered = (struct entered){.commit = work->commit,
                                .steps = memory_new(work->step_count + 1, sizeof *entered->steps),
                                .count = work->step_count};
    for (size_t i = 0; i < work->step_count; i++)
        entered->steps[i] = (struct step){.kind = CHANGE_RECORD,
                                          .path = memory_text(work->steps[i].path),
                                          .before = work->steps[i].before,
                                          .after = work->steps[i].after,
                                          .mode = work->steps[i].mode};
}

static bool is_as_before(git_index *index, const struct step *step)
{
    const git_index_entry *entry = git_index_get_bypath(index, step->path, 0);
    return entry ? git_oid_equal(&entry->id, &step->before) : object_id_zero(&step->before);
}

/* An older commit's steps join the steps of the newer ones: the state before all of them is then the state before the
 * older. */
static void join(struct work *work, const struct entered *older)
{
    for (size_t i = 0; i < older->count; i++) {
        size_t at = 0;
        while (at < work->step_count && strcmp(work->steps[at].path, older->steps[i].path) != 0)
            at++;
        if (at < work->step_count)
            work->steps[at].before = older->steps[i].before;
        else
            work->steps[work->step_count++] = older->steps[i];
    }
}

static bool all_as_before(git_index *index, const struct work *work)
{
    size_t changed = 0;
    for (size_t i = 0; i < work->step_count; i++) {
        changed += !git_oid_equal(&work->steps[i].before, &work->steps[i].after);
        if (!is_as_before(index, &work->steps[i]))
            return false;
    }
    return changed > 1;
}

bool entered_overtaken(const struct history *history, git_index *index, struct work *lost)
{
    size_t count = history->index.entered_count, total = 0;
    *lost = (struct work){0};
    if (count == 0 || !git_oid_equal(&history->index.entered[count - 1].commit, &history->head.commit))
        return false;
    for (size_t i = 0; i < count; i++)
        total += history->index.entered[i].count;
    lost->steps = memory_new(total + 1, sizeof *lost->steps);
    while (count-- > 0) {
        join(lost, &history->index.entered[count]);
        if (all_as_before(index, lost))
            return true;
    }
    free(lost->steps);
    *lost = (struct work){0};
    return false;
}
