/* The handles that libgit2 gives on the repository, opened when they are first needed. */
#include "worker/history/part.h"

#include <string.h>

#include "common/log.h"
#include "common/memory.h"

bool history_fits(const struct history *history, const char *path, struct fault *fault)
{
    struct file_stamp stamp = files_stamp_at(history->tree, path);
    return stamp.size <= GIT_TEXT_MAX || fault_set(fault, "%s has %llu bytes; at most %d are read", path,
                                                   (unsigned long long)stamp.size, GIT_TEXT_MAX);
}

git_repository *history_repository(struct history *history, struct fault *fault)
{
    if (!history->repository && !history_fits(history, ".git/config", fault))
        return NULL;
    if (!history->repository && git_repository_open_ext(&history->repository, history->path,
                                                        GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) != 0)
        commits_fault(fault, "the repository can't be opened");
    return history->repository;
}

git_odb *history_objects(struct history *history, struct fault *fault)
{
    OWNED char *path = memory_print("%s/.git/objects", history->path);
    if (!history->odb && git_odb_open(&history->odb, path) != 0)
        commits_fault(fault, "the repository's objects can't be opened");
    return history->odb;
}

void history_close_objects(struct history *history)
{
    git_odb_free(history->odb);
    history->odb = NULL;
    git_repository_free(history->repository);
    history->repository = NULL;
}

void history_warn_once(struct history *history, const char *path, const char *why)
{
    struct buffer *warned = &history->warned;
    for (size_t at = 0; at < warned->length; at += strlen(warned->data + at) + 1)
        if (strcmp(warned->data + at, path) == 0)
            return;
    if (warned->length < 64 * 1024)
        buffer_add(warned, path, strlen(path) + 1);
    log_warn("agent", history->agent, "%s %s, so it is not committed", path, why);
}
