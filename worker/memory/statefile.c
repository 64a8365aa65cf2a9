#include "worker/memory/statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/utf8.h"

#define ASIDE ".unreadable-"

/* Time stamps of files move in steps of the kernel's tick, 10 ms at most; twice that is surely another step. */
enum { GRAIN_MS = 20 };

static void know(struct statefile *file, char *text, size_t length)
{
    free(file->known);
    file->known = text;
    file->known_length = length;
    file->seen = true;
}

static bool young(const struct file_stamp *stamp)
{
    return stamp->inode && clock_now_ms() - stamp->changed_ns / 1000000 < GRAIN_MS;
}

static enum statefile_news take(struct statefile *file, char *text, size_t length, struct file_stamp stamp)
{
    bool same = file->seen && length == file->known_length && memcmp(text, file->known, length) == 0;
    file->stamp = stamp;
    file->fresh = young(&stamp);
    if (same) {
        free(text);
        return STATEFILE_SAME;
    }
    know(file, text, length);
    return STATEFILE_CHANGED;
}

static void trouble(struct statefile *file, char *sentence)
{
    free(file->problem);
    file->problem = sentence;
}

/* A second name first and the old one replaced afterwards: at every instant the content has a name. Only a file that
 * can't be linked (a folder) is renamed. */
static bool set_aside(struct statefile *file, int tree, uint64_t inode)
{
    /* Linked before, but the salvaged text couldn't be written: no second link at each look. */
    if (file->aside == inode)
        return true;
    char now[CLOCK_TEXT];
    clock_format(clock_now(), now);
    for (int tries = 0; tries < 100; tries++) {
        OWNED char *name =
            memory_print(tries ? "%s" ASIDE "%.4s%.2s%.5s%.2s%.2s-%d" : "%s" ASIDE "%.4s%.2s%.5s%.2s%.2s",
                         file->path, now, now + 5, now + 8, now + 14, now + 17, tries);
        if (linkat(tree, file->path, tree, name, 0) == 0) {
            file->aside = inode;
            return true;
        }
        if (errno != EEXIST && renameat2(tree, file->path, tree, name, RENAME_NOREPLACE) == 0)
            return true;
        if (errno != EEXIST)
            break;
    }
    return false;
}

/* text: the part that could be read, owned, or NULL. */
static enum statefile_news salvage(struct statefile *file, int tree, uint64_t inode, const char *why,
                                   char *text, size_t length)
{
    OWNED char *raw = text;
    if (!set_aside(file, tree, inode)) {
        trouble(file,
                memory_print("%s %s and can't be set aside (%s): it is left as it is, and nothing new is "
                             "written to it",
                             file->path, why, strerror(errno)));
        file->blocked = true;
        if (file->seen)
            return STATEFILE_SAME;
        know(file, memory_text(""), 0); /* no reader can go on from a text that was never read */
        return STATEFILE_CHANGED;
    }
    trouble(file, NULL);
    file->blocked = false;
    if (raw) {
        char *clean = utf8_clean(raw, length);
        know(file, clean, strlen(clean));
    } else if (!file->seen) {
        know(file, memory_text(""), 0);
    }
    return STATEFILE_SALVAGED;
}

static enum statefile_news look_regular(struct statefile *file, int tree, const struct stat *status)
{
    size_t size = (size_t)status->st_size;
    char *text;
    size_t length;
    struct file_stamp stamp;
    struct fault fault = {0};
    size_t limit = size > STATE_FILE_MAX ? STATE_SALVAGE_MAX : STATE_FILE_MAX;
    int read = files_read(tree, file->path, limit, &text, &length, &stamp, &fault);
    if (read < 0 && size > STATE_SALVAGE_MAX)
        return salvage(file, tree, status->st_ino, "is too large", NULL, 0);
    if (read < 0 && errno == EACCES)
        return salvage(file, tree, status->st_ino, "may not be read", NULL, 0);
    if (read < 0) {
        trouble(file,
                memory_print("%s; its last known text counts, and the file is read again later", fault.text));
        file->blocked = true;
        return STATEFILE_SAME;
    }
    if (length > STATE_FILE_MAX)
        return salvage(file, tree, status->st_ino, "is too large", text, length);
    bool known = file->seen && length == file->known_length && memcmp(text, file->known, length) == 0;
    if (length && !known && (memchr(text, '\0', length) || !utf8_valid(text, length)))
        return salvage(file, tree, status->st_ino, "is not UTF-8 text", text, length);
    trouble(file, NULL);
    file->blocked = false;
    return take(file, text ? text : memory_text(""), length, stamp);
}

enum statefile_news statefile_look(struct statefile *file, int tree)
{
    struct stat status;
    if (fstatat(tree, file->path, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        file->blocked = false;
        trouble(file, NULL);
        if (errno == ENOENT)
            return take(file, memory_text(""), 0, (struct file_stamp){0});
        trouble(file, memory_print("%s: %s", file->path, strerror(errno)));
        file->blocked = true;
        return STATEFILE_SAME;
    }
    struct file_stamp stamp = files_stamp(&status);
    if (!S_ISREG(status.st_mode))
        return salvage(file, tree, status.st_ino, "is no regular file", NULL, 0);
    if (file->seen && !file->fresh && !file->blocked && files_stamp_equal(&stamp, &file->stamp))
        return STATEFILE_SAME;
    return look_regular(file, tree, &status);
}

enum statefile_news statefile_glance(struct statefile *file, int tree)
{
    if (file->seen && file->fresh && !file->blocked && young(&file->stamp)) {
        struct file_stamp now = files_stamp_at(tree, file->path);
        if (files_stamp_equal(&now, &file->stamp))
            return STATEFILE_SAME;
    }
    return statefile_look(file, tree);
}

const char *statefile_text(const struct statefile *file, const struct file_stamp *now, size_t *length,
                           bool *sure)
{
    bool same = file->seen && !file->blocked && now->inode && files_stamp_equal(&file->stamp, now);
    if (!same || (file->fresh && !young(now)))
        return NULL;
    *length = file->known_length;
    *sure = !file->fresh;
    return file->known;
}

void statefile_mend(struct statefile *file, int tree, const char *text, size_t length)
{
    struct fault fault = {0};
    know(file, memory_slice(text, length), length);
    if (!files_write(tree, file->path, file->known, length, false, &fault)) {
        trouble(file, memory_print("%s was set aside, but its salvaged text can't be written: %s", file->path,
                                   fault.text));
        return;
    }
    file->aside = 0;
    file->stamp = files_stamp_at(tree, file->path);
    file->fresh = true;
}

bool statefile_propose(struct statefile *file, struct buffer *text)
{
    buffer_add(text, "", 0);
    if (file->blocked || (file->seen && text->length == file->known_length &&
                          memcmp(text->data, file->known, text->length) == 0))
        return false;
    free(file->pending);
    file->pending_length = text->length;
    file->pending = buffer_take(text);
    return true;
}

/* The stamp may already be that of a person's save after ours; a young stamp counts as fresh, so the next look compares
 * the contents. */
void statefile_kept(struct statefile *file, int tree)
{
    if (!file->pending)
        return;
    know(file, file->pending, file->pending_length);
    file->pending = NULL;
    file->stamp = files_stamp_at(tree, file->path);
    file->fresh = true;
}

void statefile_forget(struct statefile *file)
{
    memory_set(&file->pending, NULL);
    file->seen = false;
}

void statefile_free(struct statefile *file)
{
    free(file->known);
    free(file->pending);
    free(file->problem);
}

void statefile_report_aside(int tree, struct buffer *problems)
{
    struct fault fault;
    struct listing *names = listing_open(tree, ".", &fault);
    for (const char *name; names && (name = listing_next(names));)
        if (strstr(name, ASIDE))
            buffer_print(problems,
                         "%s was set aside because it can't be read as its format wants; take from it what "
                         "you need and "
                         "remove it\n",
                         name);
    if (!names || !listing_close(names, &fault))
        buffer_print(problems, "the files that were set aside can't be listed: %s\n", fault.text);
}
