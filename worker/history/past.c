/* Looking back: the commit that somebody names, and the files as they were then. Read-only. */
#include "worker/history/part.h"

#include <string.h>

#include "common/memory.h"
#include "common/repository/commits.h"
#include "common/utf8.h"

enum { NAME_MAX_BYTES = 255, DEPTH_MAX = 16, SEARCH_MAX = 512 /* commits */, SUBJECT_MAX = 200 };

/* Of what is read at once. A tree may name one folder again and again, and a worker that reads on and on is taken for one
 * that hangs. */
enum { ENTRIES_MAX = 5000, BYTES_MAX = 32 * 1024 * 1024 };

/* The names of commits that people use; git's other ways to name one (paths, dates, searches) are refused. */
static bool is_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= NAME_MAX_BYTES && name[0] != '-' &&
           strspn(name, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/._-~^") == length;
}

static enum past resolve(git_repository *repository, const char *name, git_oid *id, struct fault *fault)
{
    git_object *found = NULL, *commit = NULL;
    int got = git_revparse_single(&found, repository, name);
    if (got == GIT_EAMBIGUOUS) {
        fault_set(fault,
                  strlen(name) < GIT_OID_MINPREFIXLEN
                      ? "'%s' is too short to name a commit; give four of its digits or more"
                      : "more than one commit begins with '%s'; give more of its digits",
                  name);
        return PAST_UNCLEAR;
    }
    got = got == 0 ? git_object_peel(&commit, found, GIT_OBJECT_COMMIT) : got;
    git_object_free(found);
    if (got != 0) {
        fault_set(fault, "the history has no commit '%s'; `agentos log` lists them", name);
        return PAST_UNKNOWN;
    }
    *id = *git_object_id(commit);
    git_object_free(commit);
    return PAST_FOUND;
}

enum past history_past(struct history *history, const char *name, char commit[COMMIT_TEXT],
                       struct fault *fault)
{
    git_oid id;
    commit[0] = '\0';
    if (!is_name(name)) {
        fault_set(fault, "'%s' names no commit; `agentos log` lists them", name);
        return PAST_UNKNOWN;
    }
    if (!history_follow(history, fault) || !history_look(history, fault))
        return PAST_FAULT;
    git_repository *repository = history_repository(history, fault);
    if (!repository)
        return PAST_FAULT;
    enum past past = resolve(repository, name, &id, fault);
    if (past != PAST_FOUND)
        return past;
    if (!git_oid_equal(&id, &history->head.commit) &&
        git_graph_descendant_of(repository, &history->head.commit, &id) != 1) {
        fault_set(
            fault,
            "commit %.7s is not among the commits that led to the present one, so no learning dates from it",
            git_oid_tostr_s(&id));
        return PAST_ELSEWHERE;
    }
    git_oid_tostr(commit, COMMIT_TEXT, &id);
    return PAST_FOUND;
}

int64_t history_past_time(struct history *history, const char *commit, char **subject)
{
    git_oid id;
    OWNED_GIT(git_commit) git_commit *found = NULL;
    git_repository *repository = history_repository(history, NULL);
    *subject = NULL;
    if (!repository || git_oid_fromstr(&id, commit) != 0 || git_commit_lookup(&found, repository, &id) != 0)
        return 0;
    const char *summary = git_commit_summary(found);
    *subject =
        summary ? memory_slice(summary, utf8_cut(summary, strlen(summary), SUBJECT_MAX)) : memory_text("");
    return git_commit_time(found);
}

struct visit {
    git_repository *repository;
    void (*visit)(void *context, const char *path, const char *text, size_t length);
    void *context;
    struct fault *fault;
    const char *commit, *folder;
    size_t entries, bytes; /* that may still be visited */
};

static bool visit_entry(struct visit *visit, const git_tree_entry *entry, const char *path, int depth);

static bool too_much(const struct visit *visit)
{
    return fault_set(visit->fault, "commit %.7s has more than %d files in %s, or more than %d MiB of them",
                     visit->commit, ENTRIES_MAX, visit->folder, BYTES_MAX >> 20);
}

static bool visit_tree(struct visit *visit, const git_oid *id, const char *path, int depth)
{
    OWNED_GIT(git_tree) git_tree *tree = NULL;
    if (git_tree_lookup(&tree, visit->repository, id) != 0)
        return commits_fault(visit->fault, "a folder of that commit can't be read");
    bool good = true;
    for (size_t i = 0; good && i < git_tree_entrycount(tree); i++) {
        const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
        OWNED char *below = memory_print("%s/%s", path, git_tree_entry_name(entry));
        good = visit->entries-- > 0 ? visit_entry(visit, entry, below, depth + 1) : too_much(visit);
    }
    return good;
}

/* Links and submodules, which only people can have committed, are passed over. */
static bool visit_entry(struct visit *visit, const git_tree_entry *entry, const char *path, int depth)
{
    git_filemode_t mode = git_tree_entry_filemode(entry);
    if (mode == GIT_FILEMODE_TREE)
        return depth >= DEPTH_MAX || visit_tree(visit, git_tree_entry_id(entry), path, depth);
    if (mode != GIT_FILEMODE_BLOB && mode != GIT_FILEMODE_BLOB_EXECUTABLE)
        return true;
    OWNED_GIT(git_blob) git_blob *blob = NULL;
    if (git_blob_lookup(&blob, visit->repository, git_tree_entry_id(entry)) != 0)
        return commits_fault(visit->fault, "a file of that commit can't be read");
    if ((uint64_t)git_blob_rawsize(blob) > visit->bytes)
        return too_much(visit);
    visit->bytes -= (size_t)git_blob_rawsize(blob);
    visit->visit(visit->context, path, git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob));
    return true;
}

bool history_past_files(struct history *history, const char *commit, const char *path,
                        void (*visit)(void *context, const char *path, const char *text, size_t length),
                        void *context, struct fault *fault)
{
    git_oid id, root;
    OWNED_GIT(git_tree) git_tree *tree = NULL;
    OWNED_GIT(git_tree_entry) git_tree_entry *entry = NULL;
    git_repository *repository = history_repository(history, fault);
    if (!repository || git_oid_fromstr(&id, commit) != 0 || !tree_of_commit(history, &id, &root, fault))
        return false;
    if (git_tree_lookup(&tree, repository, &root) != 0)
        return commits_fault(fault, "that commit's tree can't be read");
    int got = git_tree_entry_bypath(&entry, tree, path);
    struct visit all = {repository, visit, context, fault, commit, path, ENTRIES_MAX, BYTES_MAX};
    return got == 0               ? visit_entry(&all, entry, path, 0)
           : got == GIT_ENOTFOUND ? true
                                  : commits_fault(fault, "that commit's tree can't be read");
}

struct search {
    git_repository *repository;
    const char *path;
    bool (*is_it)(void *context, const char *text, size_t length);
    void *context;
    git_oid seen; /* the file that was looked at last: most commits leave it as it is */
};

static bool is_here(struct search *search, const git_commit *commit)
{
    OWNED_GIT(git_blob) git_blob *blob = commits_file(search->repository, commit, search->path);
    bool fresh = blob && !git_oid_equal(&search->seen, git_blob_id(blob));
    if (fresh)
        search->seen = *git_blob_id(blob);
    bool found =
        fresh && search->is_it(search->context, git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob));
    return found;
}

bool history_past_search(struct history *history, const char *path,
                         bool (*is_it)(void *context, const char *text, size_t length), void *context,
                         char commit[COMMIT_TEXT], struct fault *fault)
{
    git_commit *at = NULL;
    if (!history_look(history, fault))
        return false;
    struct search search = {
        .repository = history_repository(history, fault), .path = path, .is_it = is_it, .context = context};
    if (!search.repository || git_commit_lookup(&at, search.repository, &history->head.commit) != 0)
        return fault_set(fault, "the last commit can't be read");
    bool found = is_here(&search, at);
    for (int looked = 1; !found && looked < SEARCH_MAX; looked++) {
        git_commit *parent = NULL;
        if (git_commit_parent(&parent, at, 0) != 0)
            break;
        git_commit_free(at);
        at = parent;
        found = is_here(&search, at);
    }
    git_oid_tostr(commit, COMMIT_TEXT, git_commit_id(at));
    git_commit_free(at);
    return found || fault_set(fault, "none of the last %d commits has it", SEARCH_MAX);
}

struct removed {
    struct visit visit;
    const char *subject_end;
    bool good;
};

static bool visit_removed(void *context, const git_tree_entry *entry)
{
    struct removed *removed = context;
    OWNED char *path = memory_print("%s/%s", removed->visit.folder, git_tree_entry_name(entry));
    return removed->good = visit_entry(&removed->visit, entry, path, DEPTH_MAX);
}

static bool look_for_removed(void *context, const git_commit *commit)
{
    struct removed *removed = context;
    return commits_removed(removed->visit.repository, commit, removed->visit.folder, removed->subject_end,
                           visit_removed, removed);
}

bool history_past_removed(struct history *history, const char *folder, const char *subject_end,
                          void (*visit)(void *context, const char *path, const char *text, size_t length),
                          void *context, struct fault *fault)
{
    struct removed removed = {
        {history_repository(history, fault), visit, context, fault, "", folder, SIZE_MAX, SIZE_MAX},
        subject_end,
        true};
    bool good =
        history_empty(history) ||
        (removed.visit.repository &&
         commits_each(removed.visit.repository, GIT_SORT_NONE, look_for_removed, &removed) && removed.good);
    return good || fault_set(fault, "the history can't be read to its beginning");
}
