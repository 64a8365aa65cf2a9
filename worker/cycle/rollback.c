/* `agentos rollback`: a new commit undoes the learning since an earlier one.
 *
 * skills.md, skills/, goals.md and reflections.md become what they were then. Answers, rewards, envelopes and the queue
 * are the record of what happened, and persona, constraints and system prompt are people's: these files stay. A
 * rollback is one commit like a cycle's, so a crash leaves all of it or nothing, and it can be rolled back itself. */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/tree.h"
#include "worker/cycle/worker.h"
#include "worker/memory/rollback_diff.h"

enum { TOLD_MAX = 256 * 1024 };

/* Both states, and the skill's files that differ. */
struct rollback {
    struct worker *worker;
    char commit[COMMIT_TEXT];
    struct learned_texts now, becomes;
    struct change_list past, present; /* the files below skills/ then and now */
    struct change_list changes;
    struct buffer body;
};

static void rollback_free(struct rollback *rollback)
{
    free(rollback->now.skills);
    free(rollback->now.goals);
    free(rollback->now.reflections);
    free(rollback->becomes.skills);
    free(rollback->becomes.goals);
    free(rollback->becomes.reflections);
    change_list_free(&rollback->past);
    change_list_free(&rollback->present);
    change_list_free(&rollback->changes);
    buffer_free(&rollback->body);
}

/* --- reading --- */

static void keep_text(void *context, const char *path, const char *text, size_t length)
{
    (void)path;
    char **place = context;
    free(*place);
    *place = memory_slice(text, length);
}

static void keep_file(void *context, const char *path, const char *text, size_t length)
{
    change_list_add(context, CHANGE_WRITE, path, text, length);
}

static bool read_state(struct history *history, const char *commit, struct learned_texts *texts,
                       struct change_list *files, struct fault *fault)
{
    return history_past_files(history, commit, TREE_SKILLS, keep_text, &texts->skills, fault) &&
           history_past_files(history, commit, TREE_GOALS, keep_text, &texts->goals, fault) &&
           history_past_files(history, commit, TREE_REFLECTIONS, keep_text, &texts->reflections, fault) &&
           history_past_files(history, commit, TREE_SKILL_FOLDER, keep_file, files, fault);
}

/* --- the difference --- */

static const struct change *find_file(const struct change_list *files, const char *path)
{
    for (size_t i = 0; i < files->count; i++)
        if (strcmp(files->items[i].path, path) == 0)
            return &files->items[i];
    return NULL;
}

static bool same_text(const struct change *a, const struct change *b)
{
    return a->length == b->length && (a->length == 0 || memcmp(a->text, b->text, a->length) == 0);
}

static void change_skill_files(struct rollback *rollback)
{
    for (size_t i = 0; i < rollback->present.count; i++) {
        const char *path = rollback->present.items[i].path;
        if (find_file(&rollback->past, path))
            continue;
        change_list_add(&rollback->changes, CHANGE_REMOVE, path, NULL, 0);
        buffer_print(&rollback->body, "file gone: %s\n", path);
    }
    for (size_t i = 0; i < rollback->past.count; i++) {
        const struct change *file = &rollback->past.items[i];
        const struct change *present = find_file(&rollback->present, file->path);
        if (present && same_text(present, file))
            continue;
        change_list_add(&rollback->changes, CHANGE_WRITE, file->path, file->text, file->length);
        buffer_print(&rollback->body, "file %s: %s\n", present ? "put back" : "restored", file->path);
    }
}

/* The lists come behind the files that they name: a skill's text that is younger than the list counts as a text that a
 * person has just put there. Returns the path of a file that can't be written; NULL: all files can be written. */
static const char *work_out(struct rollback *rollback, int64_t now, struct buffer *since)
{
    char text[CLOCK_TEXT];
    OWNED char *subject = NULL;
    struct worker *worker = rollback->worker;
    int64_t then = history_past_time(worker->history, rollback->commit, &subject);
    buffer_print(since, "%.7s (%s, %s)", rollback->commit, clock_format(then, text), subject ? subject : "");
    undone_tell(&rollback->now, &rollback->becomes, &rollback->body);
    change_skill_files(rollback);
    const char *blocked =
        learning_restore(worker->learning, rollback->becomes.skills, rollback->becomes.goals,
                         rollback->becomes.reflections, &rollback->changes);
    if (blocked || rollback->changes.count == 0)
        return blocked;
    OWNED_BUFFER struct buffer card = {0};
    report_card(worker, 0, now, &card);
    change_list_add(&rollback->changes, CHANGE_WRITE, TREE_CARD, card.data, card.length);
    return NULL;
}

/* --- doing --- */

static int commit_it(struct rollback *rollback, const struct buffer *since, char id[COMMIT_TEXT],
                     struct buffer *said)
{
    struct fault fault;
    struct worker *worker = rollback->worker;
    OWNED char *subject = memory_print("%s(rollback): to %.7s", worker->name, rollback->commit);
    OWNED char *body = memory_print("undone: the learning since %s\n%s", since->data,
                                    rollback->body.data ? rollback->body.data : "");
    const struct commit_request request = {
        .author = AUTHOR_AGENT,
        .subject = subject,
        .body = body,
        .changes = rollback->changes.items,
        .change_count = rollback->changes.count,
    };
    if (!history_commit(worker->history, &request, id, &fault)) {
        buffer_print(said, "nothing was undone: %s", fault.text);
        return EX_IOERR;
    }
    log_info("agent", worker->name, "Rolled back to %.7s in commit %.7s", rollback->commit, id);
    buffer_print(said, "%.7s %s\n%.*s", id, subject, TOLD_MAX, body);
    return EX_OK;
}

static int roll_back(struct rollback *rollback, struct buffer *said)
{
    struct fault fault;
    struct worker *worker = rollback->worker;
    char head[COMMIT_TEXT], id[COMMIT_TEXT];
    OWNED_BUFFER struct buffer since = {0};
    int64_t now = clock_now();
    if (history_past(worker->history, "HEAD", head, &fault) != PAST_FOUND ||
        !read_state(worker->history, head, &rollback->now, &rollback->present, &fault) ||
        !read_state(worker->history, rollback->commit, &rollback->becomes, &rollback->past, &fault)) {
        buffer_print(said, "nothing was undone: %s", fault.text);
        return EX_IOERR;
    }
    const char *blocked = work_out(rollback, now, &since);
    int status = EX_OK;
    if (blocked) {
        buffer_print(said, "nothing was undone: %s can't be read or written now (see `agentos status`)",
                     blocked);
        status = EX_TEMPFAIL;
    } else if (rollback->changes.count == 0)
        buffer_print(said, "nothing to undo: the agent has learned nothing since %s\n", since.data);
    else
        status = commit_it(rollback, &since, id, said);
    learning_forget(worker->learning);
    cycle_refresh(worker);
    report_figures(worker);
    return status;
}

int rollback_to(struct worker *worker, const char *name, struct buffer *said)
{
    static const int statuses[] = {[PAST_FOUND] = EX_OK,
                                   [PAST_UNKNOWN] = EX_NOINPUT,
                                   [PAST_UNCLEAR] = EX_DATAERR,
                                   [PAST_ELSEWHERE] = EX_DATAERR,
                                   [PAST_FAULT] = EX_IOERR};
    struct fault fault;
    struct rollback rollback = {.worker = worker};
    enum past past = history_past(worker->history, name, rollback.commit, &fault);
    if (past != PAST_FOUND) {
        buffer_text(said, fault.text);
        return statuses[past];
    }
    /* People's edits are committed as theirs before they are undone. */
    worker->looks.tree = true;
    if (!cycle_record_edits(worker)) {
        buffer_text(said, "people's edits can't be recorded now, and they must not be lost; nothing was "
                          "undone, try again");
        return EX_TEMPFAIL;
    }
    cycle_refresh(worker);
    int status = roll_back(&rollback, said);
    rollback_free(&rollback);
    return status;
}
