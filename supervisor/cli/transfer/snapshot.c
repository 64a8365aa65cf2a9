/* This file writes tree objects by hand: libgit2's builder would touch the time stamps of objects that the repository
 * has already, and an export must not write there. */
#include "supervisor/cli/transfer/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <git2/sys/odb_backend.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/repository/commits.h"
#include "common/repository/strict.h"
#include "common/tree.h"
#include "supervisor/cli/transfer/notes.h"

struct snapshot {
    git_odb *odb;
    struct buffer *notes;
    struct fault *fault;
    bool with_notes;
    uint64_t bytes;
    size_t files;
};

struct item {
    char *name;
    git_filemode_t mode;
    git_oid id;
};

struct items {
    struct item *list;
    size_t count;
};

/* Without git_odb_write: for an object's file that isn't there that function would set the time stamp first, and the
 * sandbox says that this worked. */
bool snapshot_object(git_odb *odb, git_object_t kind, const void *bytes, size_t length, git_oid *id,
                     struct fault *fault)
{
    git_odb_backend *memory;
    if (git_odb_hash(id, bytes, length, kind) == 0 &&
        (git_odb_exists(odb, id) == 1 ||
         (git_odb_get_backend(&memory, odb, 0) == 0 && memory->write(memory, id, bytes, length, kind) == 0)))
        return true;
    return commits_fault(fault, "an object cannot be made");
}

void snapshot_entry(struct buffer *tree, git_filemode_t mode, const char *name, const git_oid *id)
{
    buffer_print(tree, "%o %s", (unsigned)mode, name);
    buffer_add(tree, "\0", 1);
    buffer_add(tree, id->id, GIT_OID_RAWSZ);
}

static int by_git(const void *a, const void *b)
{
    const struct item *one = a, *other = b;
    size_t n = strlen(one->name), m = strlen(other->name), common = n < m ? n : m;
    int order = memcmp(one->name, other->name, common);
    if (order != 0)
        return order;
    int c = n > common ? (unsigned char)one->name[common] : one->mode == GIT_FILEMODE_TREE ? '/' : 0;
    int d = m > common ? (unsigned char)other->name[common] : other->mode == GIT_FILEMODE_TREE ? '/' : 0;
    return c - d;
}

static void free_items(struct items *items)
{
    for (size_t i = 0; i < items->count; i++)
        free(items->list[i].name);
    free(items->list);
}

static bool write_tree(struct snapshot *snapshot, struct items *items, git_oid *id)
{
    OWNED_BUFFER struct buffer raw = {0};
    qsort(items->list, items->count, sizeof *items->list, by_git);
    for (size_t i = 0; i < items->count; i++)
        snapshot_entry(&raw, items->list[i].mode, items->list[i].name, &items->list[i].id);
    return snapshot_object(snapshot->odb, GIT_OBJECT_TREE, raw.data ? raw.data : "", raw.length, id,
                           snapshot->fault);
}

static void leave_out(struct snapshot *snapshot, const char *path, const char *why)
{
    buffer_print(snapshot->notes, "%s is not in it: it is %s\n", path, why);
}

/* 1: taken, 0: left out or gone meanwhile, -1: fault. */
static int take_file(struct snapshot *snapshot, int folder, const char *path, const struct stat *status,
                     struct item *item)
{
    OWNED_BUFFER struct buffer text = {0};
    if (status->st_size > SNAPSHOT_FILE_MAX) {
        leave_out(snapshot, path, "larger than 64 MiB");
        return 0;
    }
    int got =
        files_read(folder, item->name, SNAPSHOT_FILE_MAX, &text.data, &text.length, NULL, snapshot->fault);
    if (got <= 0)
        return got;
    if (!strict_file(item->name, text.data, text.length)) {
        leave_out(snapshot, path, "a file of attributes with a line that an import refuses");
        return 0;
    }
    if (strncmp(path, TREE_NOTES "/", sizeof TREE_NOTES) == 0)
        notes_leave_node(item->name, &text);
    snapshot->bytes += text.length;
    if (++snapshot->files > SNAPSHOT_FILES_MAX || snapshot->bytes > SNAPSHOT_BYTES_MAX) {
        fault_set(snapshot->fault, "there are more than %d files or 1 GiB in it", SNAPSHOT_FILES_MAX);
        return -1;
    }
    item->mode = status->st_mode & S_IXUSR ? GIT_FILEMODE_BLOB_EXECUTABLE : GIT_FILEMODE_BLOB;
    return snapshot_object(snapshot->odb, GIT_OBJECT_BLOB, text.data, text.length, &item->id, snapshot->fault)
               ? 1
               : -1;
}

static bool is_own(const struct snapshot *snapshot, const char *path, const char *name, int depth)
{
    if (strcmp(path, TREE_NOTES) == 0)
        return !notes_travel(name);
    return strcasecmp(name, ".git") == 0 ||
           (depth == 0 && strcmp(name, TREE_NOTES) == 0 && !snapshot->with_notes) ||
           (depth == 0 && strncmp(name, ".git.damaged-", 13) == 0);
}

static int take_folder(struct snapshot *snapshot, int folder, const char *path, int depth, git_oid *id);

static int take_item(struct snapshot *snapshot, int folder, const char *path, int depth, struct item *item)
{
    struct stat status;
    if (fstatat(folder, item->name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : (fault_errno(snapshot->fault, "%s", path), -1);
    if (strict_is_git(item->name) || (S_ISDIR(status.st_mode) && strict_is_attributes(item->name))) {
        leave_out(snapshot, path, "a name that an import refuses");
        return 0;
    }
    if (S_ISREG(status.st_mode))
        return take_file(snapshot, folder, path, &status, item);
    if (!S_ISDIR(status.st_mode) || depth >= SNAPSHOT_DEPTH_MAX) {
        leave_out(snapshot, path,
                  S_ISDIR(status.st_mode) ? "too deep" : "a link, a device, a pipe or a socket");
        return 0;
    }
    OWNED_FD int inner = files_open(folder, item->name, O_RDONLY | O_DIRECTORY, 0);
    if (inner < 0)
        return errno == ENOENT ? 0 : (fault_errno(snapshot->fault, "%s", path), -1);
    item->mode = GIT_FILEMODE_TREE;
    return take_folder(snapshot, inner, path, depth + 1, &item->id);
}

static bool take_items(struct snapshot *snapshot, struct listing *names, const char *path, int depth,
                       struct items *items)
{
    for (const char *name; (name = listing_next(names)) != NULL;) {
        if (is_own(snapshot, path, name, depth))
            continue;
        struct item item = {.name = memory_text(name)};
        OWNED char *inner = *path ? memory_print("%s/%s", path, item.name) : memory_text(item.name);
        int got = take_item(snapshot, listing_folder(names), inner, depth, &item);
        if (got != 1) {
            free(item.name);
            if (got < 0)
                return false;
            continue;
        }
        *MEMORY_ADD(items->list, items->count) = item;
    }
    return true;
}

/* 1: taken, 0: nothing in it, -1: fault. git knows no empty folders. */
static int take_folder(struct snapshot *snapshot, int folder, const char *path, int depth, git_oid *id)
{
    struct items items = {0};
    const char *where = *path ? path : "of the agent";
    struct listing *names =
        listing_take(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), where, snapshot->fault);
    if (!names)
        return -1;
    bool good = take_items(snapshot, names, path, depth, &items);
    good = listing_close(names, good ? snapshot->fault : NULL) && good;
    int result = !good ? -1 : items.count == 0 && depth > 0 ? 0 : write_tree(snapshot, &items, id) ? 1 : -1;
    free_items(&items);
    return result;
}

bool snapshot_take(git_odb *odb, int folder, bool with_notes, git_oid *tree, struct buffer *notes,
                   struct fault *fault)
{
    struct snapshot snapshot = {.odb = odb, .with_notes = with_notes, .notes = notes, .fault = fault};
    return take_folder(&snapshot, folder, "", 0, tree) == 1;
}
