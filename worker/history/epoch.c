/* The epoch of the lease under which the last commit was made (contract section 12), by its trailer. */
#include <stdlib.h>
#include <string.h>

#include "worker/history/part.h"

enum { EPOCH_COMMITS = 64 /* that are looked at: people's have no trailer */ };

static uint64_t epoch_of(const char *message)
{
    for (const char *line = message; line && *line;) {
        if (strncmp(line, TRAILER_EPOCH, strlen(TRAILER_EPOCH)) == 0)
            return strtoull(line + strlen(TRAILER_EPOCH), NULL, 10) & INT64_MAX;
        line = strchr(line, '\n');
        line += line != NULL;
    }
    return 0;
}

uint64_t history_last_epoch(struct history *history)
{
    git_commit *commit = NULL;
    git_repository *repository = history_empty(history) ? NULL : history_repository(history, NULL);
    uint64_t epoch = 0;
    if (!repository || git_commit_lookup(&commit, repository, &history->head.commit) != 0)
        return 0;
    for (int i = 0; i < EPOCH_COMMITS && commit; i++) {
        git_commit *parent = NULL;
        epoch = epoch_of(git_commit_message_raw(commit));
        if (epoch == 0 && git_commit_parent(&parent, commit, 0) != 0)
            parent = NULL;
        git_commit_free(commit);
        commit = parent;
    }
    git_commit_free(commit);
    return epoch;
}

void history_begin_epoch(struct history *history, uint64_t epoch)
{
    history->epoch = epoch;
}
