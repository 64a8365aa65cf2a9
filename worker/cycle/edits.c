/* People's changes in the tree since the last commit, as a commit of theirs; and the learned files, read again. */
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/cycle/bootstrap.h"
#include "worker/cycle/worker.h"

enum { NAMES_FRESH_MS = 100 /* new files are looked for ten times a second at most */ };

static void collect(void *context, const struct change *change)
{
    change_list_add(context, change->kind, change->path, change->text, change->length);
}

static void edits_subject(const struct change_list *edits, struct buffer *subject)
{
    buffer_text(subject, "people: ");
    for (size_t i = 0; i < edits->count && i < 3; i++)
        buffer_print(subject, "%s%s", i ? ", " : "", edits->items[i].path);
    if (edits->count > 3)
        buffer_print(subject, " and %zu more", edits->count - 3);
}

bool cycle_reopen(struct worker *worker, struct fault *fault)
{
    struct buffer *problems = &worker->problems.tree;
    OWNED char *damage = NULL;
    bool good = history_follow(worker->history, fault);
    worker->looks.anew = history_opened_anew(worker->history, &damage) || worker->looks.anew;
    bool empty = good && worker->looks.anew && history_empty(worker->history);
    if (empty)
        buffer_drop(problems, problems->length);
    if (damage)
        buffer_print(problems, "%s\n", damage);
    if (empty)
        good = bootstrap_tree(worker->tree, worker->path, worker->start->agent, worker->history, problems,
                              fault);
    if (empty || damage)
        report_problems(worker);
    worker->looks.anew = worker->looks.anew && !good;
    return good;
}

/* Not upon each change, but before the cycle's commit: a person who edits may be about to commit. All files are looked
 * at when the supervisor saw a change in the tree, else only the files that a cycle reads. */
bool cycle_record_edits(struct worker *worker)
{
    int64_t now = clock_monotonic_ms();
    enum edits_look look = worker->looks.tree                              ? EDITS_ALL
                           : now - worker->looks.names_ms < NAMES_FRESH_MS ? EDITS_KNOWN
                                                                           : EDITS_QUICK;
    worker->looks.tree = false;
    if (look != EDITS_KNOWN)
        worker->looks.names_ms = now;
    OWNED_CHANGES struct change_list edits = {0};
    struct fault fault;
    char commit[COMMIT_TEXT];
    OWNED_BUFFER struct buffer subject = {0};
    bool recorded =
        cycle_reopen(worker, &fault) && history_edits(worker->history, look, collect, &edits, &fault);
    if (!recorded) {
        log_warn("agent", worker->name,
                 "Cannot tell people's edits: %s. The files are looked at again later.", fault.text);
    } else if (edits.count > 0) {
        edits_subject(&edits, &subject);
        const struct commit_request request = {.author = AUTHOR_PEOPLE,
                                               .subject = subject.data,
                                               .changes = edits.items,
                                               .change_count = edits.count};
        recorded = history_commit(worker->history, &request, commit, &fault);
        if (recorded)
            log_info("agent", worker->name, "Recorded people's edits: %s", subject.data + strlen("people: "));
        else
            log_warn("agent", worker->name, "Cannot record people's edits: %s. The edits stay in the files.",
                     fault.text);
    }
    return recorded;
}

bool cycle_follow(struct worker *worker)
{
    struct fault fault;
    bool good = cycle_reopen(worker, &fault) && history_settle(worker->history, &fault);
    if (!good)
        worker_wait_for(worker, "storage", fault.text, 0);
    return good;
}

static void refresh(struct worker *worker, void (*read)(struct learning *learning, struct buffer *problems))
{
    buffer_drop(&worker->problems.learning, worker->problems.learning.length);
    read(worker->learning, &worker->problems.learning);
    worker->looks.learning_ms = clock_monotonic_ms();
    audit_results_apply(worker);
    report_problems(worker);
}

void cycle_refresh(struct worker *worker)
{
    refresh(worker, learning_refresh);
}

void cycle_prepare(struct worker *worker)
{
    /* Where the supervisor saw nothing, the commit's own look is enough: the prompt reads the files themselves. */
    if (worker->looks.tree)
        cycle_record_edits(worker);
    if (clock_monotonic_ms() - worker->looks.learning_ms > CYCLE_FRESH_MS)
        refresh(worker, learning_glance);
}
