/* Folders as tests look at them: without a process for each look. Not for two threads. */
#ifndef AGENTOS_TESTS_FOLDERS_H
#define AGENTOS_TESTS_FOLDERS_H

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    const char *pattern;
    off_t least;
    size_t count;
} folders_wanted;

static inline int folders_look(const char *path, const struct stat *status, int type, struct FTW *at)
{
    if (fnmatch(folders_wanted.pattern, path + at->base, 0) == 0 && status->st_size >= folders_wanted.least)
        folders_wanted.count++;
    return 0;
}

/* How much lies below a folder, at any depth, whose name is of this pattern and that has at least so many bytes; 0 for a
 * folder that isn't there. */
static inline size_t count_below(const char *folder, const char *pattern, off_t least)
{
    folders_wanted.pattern = pattern;
    folders_wanted.least = least;
    folders_wanted.count = 0;
    nftw(folder, folders_look, 16, FTW_PHYS);
    return folders_wanted.count;
}

static inline int folders_remove(const char *path, const struct stat *status, int type, struct FTW *at)
{
    return remove(path);
}

/* Removes a folder with all its files; 0: the folder is gone. */
static inline int remove_folder(const char *path)
{
    int result = nftw(path, folders_remove, 16, FTW_DEPTH | FTW_PHYS);
    return result != 0 && errno == ENOENT ? 0 : result;
}

/* A data directory of one test's own: its setup and its teardown. */
static struct {
    char path[64];
    int data; /* its descriptor */
} scratch;

static inline int scratch_begin(void **state)
{
    strcpy(scratch.path, "/tmp/agentos-scratch-XXXXXX");
    scratch.data = mkdtemp(scratch.path) ? open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    return scratch.data < 0;
}

static inline int scratch_end(void **state)
{
    close(scratch.data);
    return remove_folder(scratch.path);
}

#endif
