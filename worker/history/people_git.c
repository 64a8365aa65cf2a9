/* Traces of people's git that people should know of: HEAD on no branch, merges that are not finished. Commits on a HEAD
 * that is on no branch have no name: after the next checkout nobody finds them, and gc takes them. So a branch
 * kept/TIME follows each of the agent's. The branch is written after the commit; a death between the two leaves the
 * last commit to HEAD alone, and the next commit's branch names both. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/listing.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/history/part.h"

#define KEPT_FOLDER "refs/heads/kept"

static bool names_commit(struct history *history, const char *ref, const git_oid *id)
{
    char hex[COMMIT_TEXT];
    OWNED char *text = NULL;
    size_t length;
    git_oid_tostr(hex, sizeof hex, id);
    return ref[0] && files_read(history->folders.git, ref, REF_NAME_MAX, &text, &length, NULL, NULL) == 1 &&
           strncmp(text, hex, GIT_OID_HEXSZ) == 0;
}

/* Two in one second get two names: a branch that is there keeps commits that nothing else names. */
static void name_anew(const struct history *history, char name[REF_NAME_MAX])
{
    time_t now = (time_t)clock_now();
    struct tm parts;
    size_t length = strftime(name, REF_NAME_MAX, KEPT_FOLDER "/%Y%m%d-%H%M%S", gmtime_r(&now, &parts));
    for (unsigned more = 2; faccessat(history->folders.git, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0; more++)
        snprintf(name + length, REF_NAME_MAX - length, "-%u", more);
}

/* The branch that the last commit was kept on, also by an earlier worker. */
static void find_kept(struct history *history, const git_oid *parent)
{
    char *kept = history->head.kept;
    if (names_commit(history, kept, parent))
        return;
    kept[0] = '\0';
    /* A branch that was not met is left, and another one begun. */
    OWNED_LISTING struct listing *names = listing_open(history->folders.git, KEPT_FOLDER, NULL);
    for (const char *name; names && !kept[0] && (name = listing_next(names));) {
        OWNED char *ref = memory_print(KEPT_FOLDER "/%s", name);
        if (strlen(ref) < REF_NAME_MAX && names_commit(history, ref, parent))
            strcpy(kept, ref);
    }
    if (!kept[0])
        name_anew(history, kept);
}

void head_keep(struct history *history, const git_oid *parent, const git_oid *commit)
{
    struct fault fault;
    find_kept(history, parent);
    if (!ref_set(history, history->head.kept, commit, &fault))
        log_warn("agent", history->agent, "HEAD is on no branch, and its commit could not be kept on one: %s",
                 fault.text);
}

static void print_kept(struct history *history, bool detached, struct buffer *lines)
{
    /* Mostly there is none, which one look tells, where the walk to it takes five. */
    bool some = faccessat(history->folders.git, KEPT_FOLDER, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    OWNED_LISTING struct listing *names = some ? listing_open(history->folders.git, KEPT_FOLDER, NULL) : NULL;
    for (const char *name; names && (name = listing_next(names));)
        if (!detached)
            buffer_print(
                lines,
                "git: commits that were made while HEAD was on no branch are kept on the branch kept/%s; "
                "`git merge kept/%s` brings them back, `git branch -D kept/%s` forgets them\n",
                name, name, name);
}

static void print_detached(struct history *history, struct buffer *lines)
{
    const char *kept = history->head.kept, *branch = kept + strlen("refs/heads/");
    buffer_print(lines,
                 "git: HEAD is on no branch, since somebody checked out a commit; commits are kept on the "
                 "branch %s meanwhile, and `git checkout main` (or another branch) goes back\n",
                 kept[0] ? branch : "kept/TIME");
}

static void print_unfinished(struct history *history, struct buffer *lines)
{
    static const struct {
        const char *file, *what, *end;
    } signs[] = {
        {"MERGE_HEAD", "merge", "git merge"},     {"rebase-merge", "rebase", "git rebase"},
        {"rebase-apply", "rebase", "git rebase"}, {"CHERRY_PICK_HEAD", "cherry-pick", "git cherry-pick"},
        {"REVERT_HEAD", "revert", "git revert"},
    };
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        if (faccessat(history->folders.git, signs[i].file, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        buffer_print(lines,
                     "git: somebody's %s is unfinished (.git/%s): `%s --continue` ends it, `%s --abort` "
                     "takes it back\n",
                     signs[i].what, signs[i].file, signs[i].end, signs[i].end);
    }
}

void history_people_git(struct history *history, struct buffer *lines)
{
    char name[REF_NAME_MAX];
    git_oid id;
    bool detached = ref_look(history, name, &id, NULL) == 1 && strcmp(name, "HEAD") == 0;
    if (detached)
        print_detached(history, lines);
    print_kept(history, detached, lines);
    print_unfinished(history, lines);
}
