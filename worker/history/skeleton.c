/* The files that make a folder a git repository, as a table: the folder is made by hand in .agentos/ and named .git
 * when it is whole, since a hundred agents may begin at once. The same table mends files that a power cut left
 * empty. */
#include "worker/history/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"

/* No reflog: a reflog would have to be written with each commit, and a reflog that only people's commands write has
 * gaps. trustctime: our exchange of names touches the ctime of files whose content git knows. */
static const char config[] = "[core]\n"
                             "\trepositoryformatversion = 0\n"
                             "\tfilemode = true\n"
                             "\tbare = false\n"
                             "\tlogallrefupdates = false\n"
                             "\ttrustctime = false\n";

/* Outputs are committed by the agent, each with its task; old ones leave the tree and stay on disk, and so do archived
 * envelopes. A delivered envelope is not the agent's yet, and is never committed where it lies. */
#define EXCLUDE_NOTES "/.agentos/\n"
#define EXCLUDE_POST  "/iac/*/\n"
static const char exclude[] =
    EXCLUDE_NOTES "/outputs/\n" EXCLUDE_POST "/.git.damaged-*\n" /* a repository that was set aside */
                  "*.swp\n"
                  "*~\n"
                  ".#*\n"
                  ".*.new-*\n";

static const char head[] = "ref: refs/heads/main\n";

static const struct {
    const char *name, *text; /* text NULL: a folder */
} parts[] = {
    {"objects", NULL},   {"objects/pack", NULL}, {"refs", NULL},     {"refs/heads", NULL},
    {"refs/tags", NULL}, {"info", NULL},         {"config", config}, {"info/exclude", exclude},
    {"HEAD", head}, /* last: git takes a folder for a repository when it has this */
};

static bool write_part(int folder, const char *name, const char *text)
{
    OWNED_FD int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    return fd >= 0 && files_write_all(fd, text, strlen(text));
}

static bool make_part(int folder, size_t i)
{
    struct stat status;
    if (!parts[i].text)
        return mkdirat(folder, parts[i].name, 0755) == 0 || errno == EEXIST;
    if (fstatat(folder, parts[i].name, &status, 0) == 0 && status.st_size > 0)
        return true;
    return write_part(folder, parts[i].name, parts[i].text);
}

static bool make_parts(int folder, struct fault *fault)
{
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!make_part(folder, i))
            return fault_errno(fault, "cannot make .git/%s", parts[i].name);
    return true;
}

/* The worker's notes and the post must not show in people's `git status`, in a repository that came from elsewhere or
 * from a version before as well. */
static void exclude_own(struct history *history)
{
    static const char *const wanted[] = {EXCLUDE_NOTES, EXCLUDE_POST};
    OWNED char *text = NULL;
    size_t length;
    if (files_read(history->folders.git, "info/exclude", 1024 * 1024, &text, &length, NULL, NULL) != 1)
        return;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (strstr(text, wanted[i]))
            continue;
        OWNED char *line = memory_print("\n%s", wanted[i]);
        OWNED_FD int fd =
            openat(history->folders.git, "info/exclude", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || !files_write_all(fd, line, strlen(line)))
            log_warn("agent", history->agent,
                     "git will show files of the worker's, since .git/info/exclude can't be written");
    }
}

static int make_new(struct history *history, struct fault *fault)
{
    OWNED_FD int folder = files_open_folder(history->folders.notes, "git.new", true, fault);
    if (folder < 0 || !make_parts(folder, fault))
        return -1;
    if (renameat2(history->folders.notes, "git.new", history->tree, ".git", RENAME_NOREPLACE) != 0)
        return fault_errno(fault, "cannot make the repository .git"), -1;
    history->folders.git = folder;
    folder = -1;
    return 1;
}

int skeleton_make(struct history *history, struct fault *fault)
{
    memory_close_at(&history->folders.git);
    history->folders.git = files_open(history->tree, ".git", O_RDONLY | O_DIRECTORY, 0);
    if (history->folders.git < 0 && errno == ENOENT)
        return make_new(history, fault);
    if (history->folders.git < 0) {
        bool wrong = errno == ENOTDIR || errno == ELOOP;
        fault_errno(fault, "cannot open .git");
        return wrong ? 0 : -1;
    }
    if (!make_parts(history->folders.git, fault))
        return errno == ENOTDIR || errno == EEXIST || errno == ELOOP ? 0 : -1;
    exclude_own(history);
    return 1;
}

bool skeleton_head(struct history *history, struct fault *fault)
{
    return write_part(history->folders.git, "HEAD", head) || fault_errno(fault, "cannot write .git/HEAD");
}

bool skeleton_set_aside(struct history *history, const char *why, char **damage, struct fault *fault)
{
    OWNED char *aside = memory_print(".git.damaged-%lld", (long long)clock_now());
    if (renameat2(history->tree, ".git", history->tree, aside, RENAME_NOREPLACE) != 0)
        return fault_errno(fault, "the repository is damaged (%s) and can't be set aside", why);
    if (damage) {
        free(*damage);
        *damage = memory_print("the repository was damaged (%s); it lies in %s now and a new one was made",
                               why, aside);
    }
    return true;
}
