/* People's changes since HEAD: first every file that git knows, by stamp, then files that git doesn't know yet. */
#include "worker/history/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/repository/strict.h"
#include "common/tree.h"

enum {
    DEPTH_MAX = 16,
    LOOKED_MAX = 512,
    SETTLED_NS =
        20 * 1000 * 1000, /* a folder that changed within this time may change again under the same stamp */
};

/* A folder whose names were all known to git when the folder had this stamp: no reading is needed while the stamp
 * stays. */
struct folder_look {
    char *path;
    uint64_t inode; /* 0: read it again */
    int64_t modified_ns;
};

struct search {
    struct history *history;
    bool quick;
    git_oid root;
    void (*visit)(void *context, const struct change *change);
    void *context;
    struct fault *fault;
    char *gone; /* a known folder that went: forgotten behind the walk, one at each look. Owned */
};

/* Written by programs at any time; not people's edits. */
static bool programs_own(const char *path)
{
    static const char *const files[] = {TREE_QUEUE, TREE_CARD};
    static const char *const folders[] = {"iac", TREE_NOTES, ".git"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(path, files[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        size_t n = strlen(folders[i]);
        if (strncmp(path, folders[i], n) == 0 && (path[n] == '/' || path[n] == '\0'))
            return true;
    }
    return false;
}

static bool looked_at(const struct search *search, const char *path)
{
    if (programs_own(path))
        return false;
    return !search->quick || !strchr(path, '/') ||
           strncmp(path, TREE_SKILL_FOLDER "/", sizeof TREE_SKILL_FOLDER) == 0;
}

/* A name that HEAD's tree has stays in the history whatever becomes of the file, so its changes are recorded. */
static bool may_be_in(const char *path, bool known, const char *text, size_t length)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return known ? !strict_is_attributes(name) || strict_attributes(text, length)
                 : strict_file(path, text, length);
}

static bool read_and_report(struct search *search, const char *path, const git_oid *known)
{
    struct history *history = search->history;
    OWNED char *text = NULL;
    size_t length;
    struct fault why = {0};
    git_oid id;
    int found = files_read(history->tree, path, TREE_FILE_MAX, &text, &length, NULL, &why);
    if (found == 0)
        return true; /* gone in this moment: next time */
    if (found < 0) {
        history_warn_once(history, path, "can't be read as a file of at most 4 MiB");
        return true;
    }
    if (!may_be_in(path, known != NULL, text, length)) {
        history_warn_once(history, path,
                          "is a file that `git fsck --strict` or an import refuses in a history");
        return true;
    }
    if (!object_hash(GIT_OBJECT_BLOB, text, length, &id, search->fault))
        return false;
    if (known && git_oid_equal(&id, known))
        return true;
    struct change change = {.kind = CHANGE_RECORD, .path = path, .text = text, .length = length};
    search->visit(search->context, &change);
    return true;
}

static bool tracked(struct search *search, const char *path)
{
    struct history *history = search->history;
    struct stat status;
    git_oid in_index, in_head;
    uint32_t mode;
    int there = tree_find(history, &search->root, path, &in_head, &mode, search->fault);
    if (there < 0)
        return false;
    if (fstatat(history->tree, path, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        struct change change = {.kind = CHANGE_RECORD_REMOVED, .path = path};
        if (there && (errno == ENOENT || errno == ENOTDIR))
            search->visit(search->context, &change);
        return true;
    }
    if (!S_ISREG(status.st_mode)) {
        history_warn_once(history, path, "is no regular file any more");
        return true;
    }
    if (there && index_matches(history, path, &status, &in_index) && git_oid_equal(&in_index, &in_head))
        return true;
    git_oid now;
    struct stat read;
    if (there && worktree_hash(history, path, &now, &read) == 1 && git_oid_equal(&now, &in_head)) {
        const git_index_entry *entry = git_index_get_bypath(history->index.copy, path, 0);
        if (entry && git_oid_equal(&entry->id, &now))
            index_note(history, path, &read);
        return true;
    }
    return read_and_report(search, path, there ? &in_head : NULL);
}

static bool has_tracked(struct history *history, const char *folder)
{
    OWNED char *prefix = memory_print("%s/", folder);
    return git_index_find_prefix(NULL, history->index.copy, prefix) == 0;
}

/* Are the files small that libgit2 reads whole to tell whether path is ignored? */
static bool lists_fit(struct history *history, const char *path, struct fault *why)
{
    if (!history_fits(history, ".git/config", why) || !history_fits(history, ".git/info/exclude", why) ||
        !history_fits(history, ".gitignore", why))
        return false;
    for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
        OWNED char *list = memory_print("%.*s/.gitignore", (int)(slash - path), path);
        if (!history_fits(history, list, why))
            return false;
    }
    return true;
}

static bool ignored(struct search *search, const char *path, bool folder)
{
    if (folder && has_tracked(search->history, path))
        return false;
    struct fault why;
    if (!lists_fit(search->history, path, &why)) {
        OWNED char *doubt = memory_print("may be an ignored file (%s)", why.text);
        history_warn_once(search->history, path, doubt);
        return true;
    }
    git_repository *repository = history_repository(search->history, search->fault);
    int result = 0;
    OWNED char *name = memory_print(folder ? "%s/" : "%s", path);
    if (!repository || git_ignore_path_is_ignored(&result, repository, name) != 0)
        return true; /* when in doubt it is looked at again next time */
    return result == 1;
}

static bool walk(struct search *search, const char *path, const struct stat *now, int depth);

/* *settled becomes false when there is something here that must be looked at next time too. */
static bool unknown(struct search *search, const char *path, int depth, bool *settled)
{
    struct history *history = search->history;
    struct stat status;
    if (fstatat(history->tree, path, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return true;
    if (S_ISDIR(status.st_mode)) {
        bool skills = strcmp(path, TREE_SKILL_FOLDER) == 0 ||
                      strncmp(path, TREE_SKILL_FOLDER "/", sizeof TREE_SKILL_FOLDER) == 0;
        if ((search->quick && !skills) || ignored(search, path, true)) {
            *settled = false;
            return true;
        }
        return walk(search, path, &status, depth + 1);
    }
    *settled = false;
    if (ignored(search, path, false))
        return true;
    if (!S_ISREG(status.st_mode)) {
        history_warn_once(history, path, "is a link, a device or a pipe");
        return true;
    }
    git_oid in_head;
    uint32_t mode;
    int there = tree_find(history, &search->root, path, &in_head, &mode, search->fault);
    return there >= 0 && read_and_report(search, path, there ? &in_head : NULL);
}

static bool has_repository(struct history *history, const char *path)
{
    struct stat status;
    OWNED char *inner = memory_print("%s/.git", path);
    return *path && fstatat(history->tree, inner, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static struct folder_look *look_of(struct history *history, const char *path)
{
    for (size_t i = 0; i < history->looked.count; i++)
        if (strcmp(history->looked.items[i].path, path) == 0)
            return &history->looked.items[i];
    return NULL;
}

void edits_forget(struct history *history)
{
    for (size_t i = 0; i < history->looked.count; i++)
        free(history->looked.items[i].path);
    free(history->looked.items);
    history->looked.items = NULL;
    history->looked.count = 0;
}

/* A folder stays in the list even when it isn't settled: the walk of its parent looks it up there. */
static void remember(struct history *history, const char *path, const struct file_stamp *stamp, bool settled)
{
    struct folder_look *look = look_of(history, path);
    if (!look && history->looked.count >= LOOKED_MAX)
        edits_forget(history);
    if (!look) {
        look = MEMORY_ADD(history->looked.items, history->looked.count);
        look->path = memory_text(path);
    }
    settled = settled && clock_now_ms() * 1000000 - stamp->modified_ns > SETTLED_NS;
    look->inode = settled ? stamp->inode : 0;
    look->modified_ns = stamp->modified_ns;
}

/* The folder is gone, and all that lay below it. */
static void forget_below(struct history *history, const char *folder)
{
    size_t n = strlen(folder), kept = 0;
    for (size_t i = 0; i < history->looked.count; i++) {
        char *path = history->looked.items[i].path;
        if (strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0'))
            free(path);
        else
            history->looked.items[kept++] = history->looked.items[i];
    }
    history->looked.count = kept;
}

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

/* All names in this folder are known to git; names in its own folders may not be. */
static bool walk_settled(struct search *search, const char *path, int depth)
{
    struct history *history = search->history;
    bool good = true;
    for (size_t i = 0; good && i < history->looked.count; i++)
        if (is_below(history->looked.items[i].path, path)) {
            OWNED char *inner = memory_text(history->looked.items[i].path);
            struct stat now;
            if (fstatat(history->tree, inner, &now, AT_SYMLINK_NOFOLLOW) == 0)
                good = walk(search, inner, &now, depth + 1);
            else if (errno == ENOENT)
                memory_set(&search->gone, inner);
        }
    return good;
}

static bool walk_names(struct search *search, struct listing *names, const char *path, int depth,
                       bool *settled)
{
    struct history *history = search->history;
    bool good = true;
    for (const char *name; good && (name = listing_next(names)) != NULL;) {
        OWNED char *inner = *path ? memory_print("%s/%s", path, name) : memory_text(name);
        if (!programs_own(inner) && !git_index_get_bypath(history->index.copy, inner, 0))
            good = unknown(search, inner, depth, settled);
    }
    return good;
}

/* now: the status of the file at path; NULL: the tree itself. */
static bool walk(struct search *search, const char *path, const struct stat *now, int depth)
{
    struct history *history = search->history;
    struct stat status;
    const struct folder_look *look = look_of(history, path);
    if (look && now && look->inode != 0 && S_ISDIR(now->st_mode) && now->st_ino == look->inode &&
        files_stamp(now).modified_ns == look->modified_ns)
        return walk_settled(search, path, depth);
    if (depth > DEPTH_MAX || has_repository(history, path)) {
        history_warn_once(history, path, depth > DEPTH_MAX ? "lies too deep" : "is a repository of its own");
        return true;
    }
    struct listing *names = listing_open(history->tree, *path ? path : ".", search->fault);
    if (!names)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EACCES;
    struct file_stamp stamp =
        fstat(listing_folder(names), &status) == 0 ? files_stamp(&status) : (struct file_stamp){0};
    bool settled = *path != '\0';
    bool good = walk_names(search, names, path, depth, &settled);
    good = listing_close(names, search->fault) && good;
    if (good && *path)
        remember(history, path, &stamp, settled);
    return good;
}

bool history_edits(struct history *history, enum edits_look look,
                   void (*visit)(void *context, const struct change *change), void *context,
                   struct fault *fault)
{
    struct search search = {
        .history = history, .quick = look != EDITS_ALL, .visit = visit, .context = context, .fault = fault};
    if ((history->pending && !record_redo_all(history, fault)) || !history_look(history, fault) ||
        !index_refresh(history, fault) ||
        !tree_of_commit(history, &history->head.commit, &search.root, fault))
        return false;
    for (size_t i = 0; i < git_index_entrycount(history->index.copy); i++) {
        const git_index_entry *entry = git_index_get_byindex(history->index.copy, i);
        if (git_index_entry_stage(entry) == 0 && looked_at(&search, entry->path)) {
            OWNED char *path = memory_text(entry->path);
            if (!tracked(&search, path))
                return false;
        }
    }
    bool good = look == EDITS_KNOWN || walk(&search, "", NULL, 0);
    if (search.gone)
        forget_below(history, search.gone);
    free(search.gone);
    return good;
}
