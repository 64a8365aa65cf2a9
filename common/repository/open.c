#include "common/repository/open.h"

#include <fcntl.h>
#include <git2/sys/odb_backend.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/repository/deflate.h"

enum { BEFORE_OTHERS = 100, HEX = 40 };

/* Is asked first for each object, and has none. */
struct guard {
    git_odb_backend backend;
    int git;       /* descriptor of .git */
    char *objects; /* the folder of that name */
};

static bool packed(const struct guard *guard, const git_oid *oid)
{
    git_odb_backend *packs = NULL;
    if (git_odb_backend_pack(&packs, guard->objects) != 0)
        return false;
    bool there = packs->exists(packs, oid);
    packs->free(packs);
    return there;
}

/* libgit2 looks at no more of an object than its head when it asks for its length: that ends by itself. */
static int let_pass(void **data, size_t *length, git_object_t *type, git_odb_backend *backend,
                    const git_oid *oid)
{
    (void)data;
    (void)length;
    (void)type;
    const struct guard *guard = (const struct guard *)backend;
    char hex[HEX + 1];
    if (deflate_object_whole(guard->git, git_oid_tostr(hex, sizeof hex, oid)) || packed(guard, oid))
        return GIT_PASSTHROUGH;
    git_error_set_str(GIT_ERROR_ODB, "an object is cut short");
    return GIT_ERROR;
}

static void free_guard(git_odb_backend *backend)
{
    struct guard *guard = (struct guard *)backend;
    close(guard->git);
    free(guard->objects);
    free(guard);
}

static int add_guard(git_repository *repository)
{
    git_odb *objects = NULL;
    int git = open(git_repository_path(repository), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (git < 0)
        return GIT_ERROR;
    struct guard *guard = memory_new(1, sizeof *guard);
    (void)git_odb_init_backend(&guard->backend, GIT_ODB_BACKEND_VERSION);
    guard->backend.read = let_pass;
    guard->backend.free = free_guard;
    guard->git = git;
    guard->objects = memory_print("%sobjects", git_repository_path(repository));
    int error = git_repository_odb(&objects, repository);
    if (error == 0)
        error = git_odb_add_backend(objects, &guard->backend, BEFORE_OTHERS);
    if (error != 0)
        free_guard(&guard->backend);
    git_odb_free(objects);
    return error;
}

int repository_open(git_repository **repository, const char *path)
{
    int error = git_repository_open_ext(repository, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
    if (error == 0)
        error = add_guard(*repository);
    if (error != 0) {
        git_repository_free(*repository);
        *repository = NULL;
    }
    return error;
}
