#include "supervisor/store/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"

enum { FLUSHED_SINGLY = 2 };

struct batch_entry {
    char *path, *file, *temporary; /* owned */
    struct buffer text;
    bool replace, written;
    int folder;  /* descriptor while it is flushed; -1 */
    bool opened; /* this entry has opened the folder, others use it too */
    bool apart;  /* the folder is on a file system of its own, which a flush of DATA_DIR's doesn't reach */
    struct file_stamp stamp;
    enum write_result result;
    int error;
};

size_t batch_add(struct batch *batch, const char *folder, const char *name, struct buffer *text, bool replace)
{
    static _Atomic unsigned serial;
    MEMORY_MORE(batch->entries, batch->count);
    /* A name has at most 255 bytes: '.', the id, the mark and the number fit. */
    batch->entries[batch->count] =
        (struct batch_entry){.path = memory_text(folder),
                             .file = memory_print("%s.md", name),
                             .temporary = memory_print(".%s" BATCH_MARK "%d-%u", name, (int)getpid(),
                                                       atomic_fetch_add(&serial, 1)),
                             .text = *text,
                             .replace = replace,
                             .folder = -1,
                             .result = WRITE_FAILED};
    *text = (struct buffer){0};
    return batch->count++;
}

/* An earlier entry that writes into the same folder; NULL: none does. */
static const struct batch_entry *neighbour(const struct batch *batch, const struct batch_entry *entry)
{
    for (const struct batch_entry *other = entry; other-- > batch->entries;)
        if (other->folder >= 0 && strcmp(other->path, entry->path) == 0)
            return other;
    return NULL;
}

static bool open_folder(int data, const struct batch *batch, struct batch_entry *entry)
{
    const struct batch_entry *other = neighbour(batch, entry);
    struct stat here, there;
    if (other) {
        entry->folder = other->folder;
        entry->apart = other->apart;
        return true;
    }
    entry->folder = files_open(data, entry->path, O_RDONLY | O_DIRECTORY, 0);
    if (entry->folder < 0 && errno == ENOENT)
        entry->folder = files_open_folder(data, entry->path, true, NULL);
    entry->opened = entry->folder >= 0;
    entry->apart = entry->opened && (fstat(data, &here) != 0 || fstat(entry->folder, &there) != 0 ||
                                     here.st_dev != there.st_dev);
    return entry->opened;
}

static bool write_bytes(struct batch_entry *entry, bool flush)
{
    OWNED_FD int fd = files_open(entry->folder, entry->temporary, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0)
        return false;
    entry->written = true;
    return files_write_all(fd, entry->text.data, entry->text.length) && (!flush || fsync(fd) == 0);
}

static bool give_name(struct batch_entry *entry)
{
    unsigned flags = entry->replace ? 0 : RENAME_NOREPLACE;
    if (renameat2(entry->folder, entry->temporary, entry->folder, entry->file, flags) != 0)
        return false;
    entry->written = false;
    entry->stamp = files_stamp_at(entry->folder, entry->file);
    return true;
}

static void fail(struct batch_entry *entry)
{
    entry->error = errno;
    entry->result = errno == EEXIST && !entry->replace ? WRITE_EXISTS : WRITE_FAILED;
    if (entry->written)
        unlinkat(entry->folder, entry->temporary, 0);
    entry->written = false;
}

static void write_all(int data, struct batch *batch)
{
    bool together = batch->count > FLUSHED_SINGLY;
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_entry *entry = &batch->entries[i];
        if (!open_folder(data, batch, entry) || !write_bytes(entry, !together || entry->apart))
            fail(entry);
    }
    if (!together || syncfs(data) == 0)
        return;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->entries[i].written && !batch->entries[i].apart)
            fail(&batch->entries[i]);
}

static void name_one(struct batch_entry *entry)
{
    if (!entry->written)
        return;
    if (give_name(entry))
        entry->result = WRITE_DONE;
    else
        fail(entry);
}

static size_t folders_of(const struct batch *batch)
{
    size_t folders = 0;
    for (size_t i = 0; i < batch->count; i++)
        folders += batch->entries[i].opened;
    return folders;
}

/* The file has its name, perhaps not for ever: a caller that asks again finds it there. */
static void lose(struct batch *batch, int folder, int error)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_entry *entry = &batch->entries[i];
        if (entry->result == WRITE_DONE && entry->folder == folder) {
            entry->result = WRITE_FAILED;
            entry->error = error;
        }
    }
}

static void flush_names(int data, struct batch *batch)
{
    bool together = folders_of(batch) > FLUSHED_SINGLY;
    bool flushed = together && syncfs(data) == 0;
    int error = errno;
    for (size_t i = 0; i < batch->count; i++) {
        const struct batch_entry *entry = &batch->entries[i];
        if (!entry->opened)
            continue;
        if (together && !entry->apart) {
            if (!flushed)
                lose(batch, entry->folder, error);
        } else if (fsync(entry->folder) != 0) {
            lose(batch, entry->folder, errno);
        }
    }
}

static void close_folders(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->entries[i].opened)
            close(batch->entries[i].folder);
        batch->entries[i].folder = -1;
    }
}

void batch_flush(int data, struct batch *batch)
{
    write_all(data, batch);
    for (size_t i = 0; i < batch->count; i++)
        name_one(&batch->entries[i]);
    flush_names(data, batch);
    close_folders(batch);
}

/* --- writes that a journal covers --- */

/* Not every kernel lets everybody link a file without a name, and no link goes between mounts. */
static bool links_are_refused(int error)
{
    return error == EOPNOTSUPP || error == EISDIR || error == EINVAL || error == ENOENT || error == EPERM ||
           error == EXDEV;
}

/* The file's first name is its last: the folder changes once, where a temporary name changes it three times. False
 * and errno: the file has no name. */
static bool link_in(int nowhere, struct batch_entry *entry)
{
    OWNED_FD int fd = files_open(nowhere, ".", O_WRONLY | O_TMPFILE, 0644);
    struct stat status;
    if (fd < 0 || !files_write_all(fd, entry->text.data, entry->text.length) ||
        linkat(fd, "", entry->folder, entry->file, AT_EMPTY_PATH) != 0)
        return false;
    entry->stamp = fstat(fd, &status) == 0 ? files_stamp(&status) : (struct file_stamp){0};
    entry->result = WRITE_DONE;
    return true;
}

static void place_one(int nowhere, struct batch_entry *entry, bool *links)
{
    if (*links && !entry->apart) {
        if (link_in(nowhere, entry))
            return;
        *links = !links_are_refused(errno);
    }
    if ((*links && !entry->apart) || !write_bytes(entry, entry->apart))
        fail(entry);
    else
        name_one(entry);
}

void batch_place(int data, int nowhere, struct batch *batch)
{
    bool links = true;
    for (size_t i = 0; i < batch->count; i++) {
        if (open_folder(data, batch, &batch->entries[i]))
            place_one(nowhere, &batch->entries[i], &links);
        else
            fail(&batch->entries[i]);
    }
    for (size_t i = 0; i < batch->count; i++) {
        const struct batch_entry *entry = &batch->entries[i];
        if (entry->opened && entry->apart && fsync(entry->folder) != 0)
            lose(batch, entry->folder, errno);
    }
    close_folders(batch);
}

/* --- as a record of a journal: for each entry a line with the length, the folder and the name, then the text --- */

bool batch_print(const struct batch *batch, struct buffer *record)
{
    if (batch->count <= FLUSHED_SINGLY)
        return false;
    for (size_t i = 0; i < batch->count; i++) {
        const struct batch_entry *entry = &batch->entries[i];
        if (entry->replace)
            return false;
        buffer_print(record, "%zu %s/%s\n", entry->text.length, entry->path, entry->file);
        buffer_add(record, entry->text.data, entry->text.length);
    }
    return true;
}

bool batch_each(const void *record, size_t length, batch_visit *visit, void *context)
{
    for (const char *at = record, *end = at + length; at < end;) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end)
            return false;
        OWNED char *line = memory_slice(at, (size_t)(line_end - at));
        char *folder, *name;
        size_t bytes = strtoul(line, &folder, 10), named = strlen(line);
        if (*folder != ' ' || !(name = strrchr(folder, '/')) || named < 4 ||
            bytes > (size_t)(end - line_end - 1))
            return false;
        *name++ = '\0';
        line[named - strlen(".md")] = '\0';
        visit(context, folder + 1, name, line_end + 1, bytes);
        at = line_end + 1 + bytes;
    }
    return true;
}

const char *batch_file(const struct batch *batch, size_t number)
{
    return batch->entries[number].file;
}

struct file_stamp batch_written(const struct batch *batch, size_t number)
{
    return batch->entries[number].stamp;
}

enum write_result batch_result(const struct batch *batch, size_t number, struct fault *fault)
{
    const struct batch_entry *entry = &batch->entries[number];
    if (entry->result != WRITE_DONE)
        fault_set(fault, "%s/%s cannot be written: %s", entry->path, entry->file, strerror(entry->error));
    return entry->result;
}

void batch_free(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        free(batch->entries[i].path);
        free(batch->entries[i].file);
        free(batch->entries[i].temporary);
        buffer_free(&batch->entries[i].text);
    }
    free(batch->entries);
    *batch = (struct batch){0};
}
