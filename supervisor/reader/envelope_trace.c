#include "supervisor/reader/envelope_trace.h"

#include <git2.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/format/envelope.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/repository/commits.h"
#include "common/repository/open.h"
#include "common/tree.h"

#define SOURCE_TRAILER "Agentos-Source"

static const char *const FOLDERS[] = {TREE_OUTBOX, TREE_INBOX, TREE_HANDOFFS, TREE_ARCHIVE,
                                      TREE_DEAD_LETTERS};
enum { FOLDER_COUNT = sizeof(FOLDERS) / sizeof(FOLDERS[0]) };

/* An envelope's places in a commit: its blobs; all zero: not in this folder. */
struct spot {
    git_oid blobs[FOLDER_COUNT];
};

struct tracker {
    git_repository *repository;
    struct envelope_trace *route;
    const char *agent, *id;
    char *paths[FOLDER_COUNT]; /* owned */
};

static struct step *new_step(struct envelope_trace *route, int64_t time, const char *agent, const char *what,
                             enum step_rank rank)
{
    struct step *step = MEMORY_ADD(route->steps, route->count);
    *step = (struct step){.time = time, .agent = memory_text(agent), .what = memory_text(what), .rank = rank};
    return step;
}

void envelope_trace_add(struct envelope_trace *route, int64_t time, const char *agent, const char *what,
                        enum step_rank rank)
{
    (void)new_step(route, time, agent, what, rank);
}

static bool is_later(const struct step *a, const struct step *b)
{
    return a->time != b->time ? a->time > b->time : a->rank > b->rank;
}

/* A copy of sort's array would not keep the order of equals. */
void envelope_trace_sort(struct envelope_trace *route)
{
    for (size_t i = 1; i < route->count; i++) {
        struct step step = route->steps[i];
        size_t at = i;
        for (; at > 0 && is_later(&route->steps[at - 1], &step); at--)
            route->steps[at] = route->steps[at - 1];
        route->steps[at] = step;
    }
}

void envelope_trace_free(struct envelope_trace *route)
{
    for (size_t i = 0; i < route->count; i++) {
        free(route->steps[i].agent);
        free(route->steps[i].what);
        free(route->steps[i].subject);
    }
    free(route->steps);
    *route = (struct envelope_trace){0};
}

/* The envelope's status as this commit has it; NULL: the blob can't be read. Caller frees. */
static char *status_in(const struct tracker *tracker, const git_oid *blob)
{
    OWNED_GIT(git_blob) git_blob *content = NULL;
    OWNED_ENVELOPE struct envelope envelope = {0};
    char *status = NULL;
    if (git_blob_lookup(&content, tracker->repository, blob) == 0 &&
        envelope_parse(&envelope, git_blob_rawcontent(content), (size_t)git_blob_rawsize(content), "", NULL))
        status = memory_text(envelope.status);
    return status;
}

static void look_up(const struct tracker *tracker, const git_commit *commit, struct spot *spot)
{
    OWNED_GIT(git_tree) git_tree *tree = NULL;
    *spot = (struct spot){0};
    if (commit == NULL || git_commit_tree(&tree, commit) != 0)
        return;
    for (size_t i = 0; i < FOLDER_COUNT; i++) {
        OWNED_GIT(git_tree_entry) git_tree_entry *entry = NULL;
        if (git_tree_entry_bypath(&entry, tree, tracker->paths[i]) == 0)
            spot->blobs[i] = *git_tree_entry_id(entry);
    }
}

/* "iac/outbox → iac/archive (delivered)"; "" when the commit wrote nothing: older letters of the archive leave the
 * repository, which says nothing about them. */
static void describe_change(const struct tracker *tracker, const struct spot *before,
                            const struct spot *after, struct buffer *what)
{
    const char *left = NULL;
    for (size_t i = 0; i < FOLDER_COUNT; i++)
        if (!git_oid_is_zero(&before->blobs[i]) && git_oid_is_zero(&after->blobs[i]))
            left = FOLDERS[i];
    for (size_t i = 0; i < FOLDER_COUNT; i++) {
        if (git_oid_is_zero(&after->blobs[i]) || git_oid_equal(&before->blobs[i], &after->blobs[i]))
            continue;
        OWNED char *status = status_in(tracker, &after->blobs[i]);
        buffer_print(what, "%s%s%s%s (%s)", what->length > 0 ? ", " : "", left != NULL ? left : "",
                     left != NULL ? " → " : "", FOLDERS[i], status != NULL ? status : "unreadable");
        left = NULL;
    }
}

/* Whether the commit is about the envelope: "orion(task): ID", "orion(escalation): ID expired", or a trailer that
 * names the envelope as the cause. */
static bool is_about(const struct tracker *tracker, const git_commit *commit)
{
    const char *subject = git_commit_summary((git_commit *)commit);
    const char *rest = subject != NULL ? strstr(subject, "): ") : NULL;
    size_t length = strlen(tracker->id);
    if (rest != NULL && strncmp(rest + 3, tracker->id, length) == 0 &&
        (rest[3 + length] == '\0' || rest[3 + length] == ' '))
        return true;
    git_message_trailer_array trailers = {0};
    bool about = false;
    if (git_message_trailers(&trailers, git_commit_message(commit)) == 0) {
        for (size_t i = 0; i < trailers.count; i++)
            about = about || (strcmp(trailers.trailers[i].key, SOURCE_TRAILER) == 0 &&
                              strcmp(trailers.trailers[i].value, tracker->id) == 0);
    }
    git_message_trailer_array_free(&trailers);
    return about;
}

static bool visit(void *context, const git_commit *commit)
{
    const struct tracker *tracker = context;
    OWNED_GIT(git_commit) git_commit *parent = NULL;
    struct spot before;
    struct spot after;
    struct buffer what OWNED_BUFFER = {0};
    (void)(git_commit_parentcount(commit) > 0 && git_commit_parent(&parent, commit, 0) == 0);
    look_up(tracker, parent, &before);
    look_up(tracker, commit, &after);
    describe_change(tracker, &before, &after, &what);
    if (what.length > 0 || is_about(tracker, commit)) {
        const char *subject = git_commit_summary((git_commit *)commit);
        bool sent = what.length > 0 && strncmp(what.data, TREE_OUTBOX " (", strlen(TREE_OUTBOX " (")) == 0;
        struct step *step = new_step(tracker->route, git_commit_time(commit), tracker->agent,
                                     what.length > 0 ? what.data : "", sent ? RANK_SENT : RANK_RECORDED);
        step->subject = memory_text(subject != NULL ? subject : "");
        git_oid_tostr(step->commit, sizeof(step->commit), git_commit_id(commit));
    }
    return true;
}

bool envelope_trace_read(struct envelope_trace *route, const char *agent, const char *path, const char *id,
                         struct fault *fault)
{
    struct tracker tracker = {.route = route, .agent = agent, .id = id};
    if (repository_open(&tracker.repository, path) != 0)
        return fault_set(fault, "%s: the repository cannot be opened", agent);
    OWNED char *file = names_id(id) ? memory_text(id) : names_file(id);
    for (size_t i = 0; i < FOLDER_COUNT; i++)
        tracker.paths[i] = memory_print("%s/%s.md", FOLDERS[i], file);
    bool read = commits_each(tracker.repository, GIT_SORT_TOPOLOGICAL | GIT_SORT_REVERSE, visit, &tracker) ||
                fault_set(fault, "%s: the history cannot be read to its beginning", agent);
    for (size_t i = 0; i < FOLDER_COUNT; i++)
        free(tracker.paths[i]);
    git_repository_free(tracker.repository);
    return read;
}
