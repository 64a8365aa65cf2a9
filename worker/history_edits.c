/* What people changed since HEAD: first every file that git knows, by stamp, then what it doesn't know yet. */
#include "worker/history_part.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/tree.h"

enum { DEPTH_MAX = 16 };

struct search {
    struct history *history;
    bool quick;
    git_oid root;
    void (*visit)(void *context, const struct change *change);
    void *context;
    struct fault *fault;
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
        const git_index_entry *entry = git_index_get_bypath(history->index, path, 0);
        if (entry && git_oid_equal(&entry->id, &now))
            index_note(history, path, &read);
        return true;
    }
    return read_and_report(search, path, there ? &in_head : NULL);
}

static bool ignored(struct search *search, const char *path, bool folder)
{
    git_repository *repository = history_repository(search->history, search->fault);
    int result = 0;
    OWNED char *name = memory_print(folder ? "%s/" : "%s", path);
    if (!repository || git_ignore_path_is_ignored(&result, repository, name) != 0)
        return true; /* when in doubt it is looked at again next time */
    return result == 1;
}

static bool walk(struct search *search, const char *path, int depth);

static bool unknown(struct search *search, const char *path, int depth)
{
    struct history *history = search->history;
    struct stat status;
    if (fstatat(history->tree, path, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return true;
    if (S_ISDIR(status.st_mode)) {
        bool skills = strcmp(path, TREE_SKILL_FOLDER) == 0 ||
                      strncmp(path, TREE_SKILL_FOLDER "/", sizeof TREE_SKILL_FOLDER) == 0;
        if ((search->quick && !skills) || ignored(search, path, true))
            return true;
        return walk(search, path, depth + 1);
    }
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

static bool walk(struct search *search, const char *path, int depth)
{
    struct history *history = search->history;
    if (depth > DEPTH_MAX || has_repository(history, path)) {
        history_warn_once(history, path, depth > DEPTH_MAX ? "lies too deep" : "is a repository of its own");
        return true;
    }
    int fd = files_open(history->tree, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EACCES ||
               fault_errno(search->fault, "cannot look into the folder %s", path);
    }
    bool good = true;
    for (const struct dirent *entry; good && (entry = readdir(folder)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        OWNED char *inner = *path ? memory_print("%s/%s", path, entry->d_name) : memory_text(entry->d_name);
        if (!programs_own(inner) && !git_index_get_bypath(history->index, inner, 0))
            good = unknown(search, inner, depth);
    }
    closedir(folder);
    return good;
}

bool history_edits(struct history *history, bool quick,
                   void (*visit)(void *context, const struct change *change), void *context,
                   struct fault *fault)
{
    struct search search = {
        .history = history, .quick = quick, .visit = visit, .context = context, .fault = fault};
    if ((history->pending && !record_redo_all(history, fault)) || !history_look(history, fault) ||
        !index_refresh(history, fault) || !tree_of_commit(history, &history->head, &search.root, fault))
        return false;
    for (size_t i = 0; i < git_index_entrycount(history->index); i++) {
        const git_index_entry *entry = git_index_get_byindex(history->index, i);
        if (git_index_entry_stage(entry) == 0 && looked_at(&search, entry->path)) {
            OWNED char *path = memory_text(entry->path);
            if (!tracked(&search, path))
                return false;
        }
    }
    return walk(&search, "", 0);
}
