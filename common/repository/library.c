#include "common/repository/library.h"

#include <git2.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/journal.h"
#include "common/repository/commits.h"

enum {
    CACHE_BYTES = 128 * 1024,
    WINDOW_BYTES = 1024 * 1024,
    WINDOWS_BYTES = 16 * 1024 * 1024,
    OPEN_PACKS = 32, /* descriptors that libgit2 keeps open */
};

bool repository_library_start(struct fault *fault)
{
    static bool started;
    if (started)
        return true;
    static const int levels[] = {GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG,
                                 GIT_CONFIG_LEVEL_GLOBAL};
    bool good = git_libgit2_init() > 0;
    /* libgit2 reads no file outside the tree: the sandbox refuses such reads, and no home folder should change a
     * commit. */
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        good = good && git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "") == 0;
    /* Owner validation guards people who walk into a stranger's repository, whose config could run programs. Our
     * programs open only the repository that they were given, run nothing that a config names, and may run as another
     * user than its owner. */
    good = good && git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0) == 0 &&
           git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1) == 0 && /* a pack is durable before its name */
           git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, (ssize_t)CACHE_BYTES) == 0 &&
           git_libgit2_opts(GIT_OPT_SET_MWINDOW_SIZE, (size_t)WINDOW_BYTES) == 0 &&
           git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, (size_t)WINDOWS_BYTES) == 0 &&
           git_libgit2_opts(GIT_OPT_SET_MWINDOW_FILE_LIMIT, (size_t)OPEN_PACKS) == 0;
    if (!good)
        return commits_fault(fault, "libgit2 can't be started");
    journal_learn_boot();
    started = true;
    return true;
}
