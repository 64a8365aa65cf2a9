#include "supervisor/store/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"

static const char *const folder_names[FOLDER_COUNT] = {
    [FOLDER_INBOX] = TREE_INBOX,     [FOLDER_HANDOFFS] = TREE_HANDOFFS,         [FOLDER_OUTBOX] = TREE_OUTBOX,
    [FOLDER_ARCHIVE] = TREE_ARCHIVE, [FOLDER_DEAD_LETTERS] = TREE_DEAD_LETTERS,
};

const char *mailbox_folder_name(enum folder folder)
{
    return folder_names[folder];
}

static char *path_of(const char *agent, enum folder folder)
{
    if (folder == FOLDER_SENT)
        return memory_print(MAILBOX_SENT "/%s", agent);
    if (strcmp(agent, POST_OPERATOR) == 0)
        return memory_text(folder == FOLDER_DEAD_LETTERS ? "shared/dead-letter" : "shared/outbox");
    return memory_print("agents/%s/%s", agent, folder_names[folder]);
}

int mailbox_open(int data, const char *agent, enum folder folder, bool create)
{
    OWNED char *path = path_of(agent, folder);
    int fd = files_open(data, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd >= 0 || errno != ENOENT || !create)
        return fd;
    return files_open_folder(data, path, true, NULL);
}

static char *file_of(const char *id)
{
    return memory_print("%s.md", id);
}

/* --- reading --- */

static enum mailbox_found parse(const char *text, size_t length, const char *path, const char *id,
                                struct envelope *envelope, struct fault *fault)
{
    if (!envelope_parse(envelope, text, length, path, fault))
        return MAILBOX_NONE;
    if (envelope->kind != KIND_TASK && strcmp(envelope->id, id) != 0) {
        fault_set(fault, "%s: its id is '%s' and not its file's name", path, envelope->id);
        envelope_free(envelope);
        return MAILBOX_NONE;
    }
    return MAILBOX_READ;
}

enum mailbox_found mailbox_read(int data, const char *agent, enum folder folder, const char *id,
                                struct envelope *envelope, struct file_stamp *stamp, struct fault *fault)
{
    OWNED char *above = path_of(agent, folder);
    OWNED char *path = memory_print("%s/%s.md", above, id);
    OWNED char *text = NULL;
    size_t length;
    *envelope = (struct envelope){0};
    int found = files_read(data, path, ENVELOPE_FILE_MAX, &text, &length, stamp, fault);
    if (found == 0)
        return MAILBOX_GONE;
    if (found < 0)
        return files_lasting(errno) ? MAILBOX_NONE : MAILBOX_LATER;
    return parse(text, length, path, id, envelope, fault);
}

/* A file that can't be looked at counts as lying there: nothing is concluded from a fault that may pass. */
static bool is_there(int data, const char *path)
{
    OWNED_FD int fd = files_open(data, path, O_RDONLY, 0);
    struct stat status;
    if (fd < 0)
        return errno != ENOENT && !files_lasting(errno);
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

unsigned mailbox_lies_in(int data, const char *agent, const char *id, unsigned folders)
{
    unsigned lies = 0;
    for (enum folder folder = 0; folder < FOLDER_COUNT; folder++) {
        if (!(folders & 1u << folder))
            continue;
        OWNED char *above = path_of(agent, folder);
        OWNED char *path = memory_print("%s/%s.md", above, id);
        if (is_there(data, path))
            lies |= 1u << folder;
    }
    return lies;
}

unsigned mailbox_lies(int data, const char *agent, const char *id)
{
    return mailbox_lies_in(data, agent, id, (1u << FOLDER_COUNT) - 1);
}

static char *id_in(const char *name)
{
    size_t length = strlen(name);
    if (!names_work(name))
        return NULL;
    char *id = memory_slice(name, length - 3);
    if (names_id(id))
        return id;
    free(id);
    return NULL;
}

static struct listing *open_listing(int data, const char *agent, enum folder folder)
{
    OWNED char *path = path_of(agent, folder);
    return listing_open(data, path, NULL);
}

bool mailbox_list(int data, const char *agent, enum folder folder, struct mailbox_names *names)
{
    struct listing *listing = open_listing(data, agent, folder);
    *names = (struct mailbox_names){.listing = listing};
    if (!listing) {
        names->whole = errno == ENOENT;
        return names->whole;
    }
    struct stat status;
    if (fstat(listing_folder(listing), &status) == 0)
        names->stamp = files_stamp(&status);
    size_t looked_at = 0;
    for (const char *name; looked_at <= MAILBOX_NAMES_MAX && (name = listing_next(listing)); looked_at++) {
        char *id = id_in(name);
        names->strays = names->strays || (!id && names_stray(name));
        if (!id)
            continue;
        *MEMORY_ADD(names->ids, names->count) = id;
    }
    names->failed = listing_failed(listing);
    names->whole = !names->failed && looked_at <= MAILBOX_NAMES_MAX;
    MEMORY_SORT(names->ids, names->count, names_order);
    return true;
}

static bool each_in(int data, const char *agent, enum folder folder,
                    void (*see)(void *context, const char *id), void *context)
{
    struct listing *listing = open_listing(data, agent, folder);
    const char *name;
    if (!listing)
        return errno == ENOENT || files_lasting(errno);
    while ((name = listing_next(listing))) {
        OWNED char *id = id_in(name);
        if (id)
            see(context, id);
    }
    return listing_close(listing, NULL);
}

bool mailbox_each(int data, const char *agent, unsigned folders, void (*see)(void *context, const char *id),
                  void *context)
{
    bool whole = true;
    for (enum folder folder = 0; folder < FOLDER_COUNT; folder++)
        if (folders & 1u << folder)
            whole = each_in(data, agent, folder, see, context) && whole;
    return whole;
}

void mailbox_names_free(struct mailbox_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->ids[i]);
    free(names->ids);
    listing_close_at(&names->listing);
    *names = (struct mailbox_names){0};
}

struct file_stamp mailbox_stamp(int data, const char *agent, enum folder folder)
{
    OWNED_FD int fd = mailbox_open(data, agent, folder, false);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return (struct file_stamp){0};
    return files_stamp(&status);
}

/* A folder's stamp; all zero: there is none. */
static struct file_stamp stamp_at(int above, const char *path)
{
    struct stat status;
    bool there = above >= 0 && fstatat(above, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
    return there && S_ISDIR(status.st_mode) ? files_stamp(&status) : (struct file_stamp){0};
}

void mailbox_stamps(int data, const char *agent, struct file_stamp stamps[FOLDER_COUNT])
{
    OWNED char *path = memory_print("agents/%s/iac", agent);
    OWNED_FD int above = files_open(data, path, O_RDONLY | O_DIRECTORY, 0);
    for (enum folder folder = 0; folder < FOLDER_COUNT; folder++)
        stamps[folder] =
            stamp_at(folder == FOLDER_ARCHIVE ? -1 : above, folder_names[folder] + strlen("iac/"));
}

void mailbox_stamps_by_path(int data, const char *agent, unsigned folders,
                            struct file_stamp stamps[FOLDER_COUNT])
{
    char path[512];
    int length = snprintf(path, sizeof path, "agents/%s/", agent);
    for (enum folder folder = 0; folder < FOLDER_COUNT; folder++) {
        if (!(folders & 1u << folder))
            continue;
        snprintf(path + length, sizeof path - (size_t)length, "%s", folder_names[folder]);
        stamps[folder] = stamp_at(data, path);
    }
}

void mailbox_tidy(int data, const char *agent, enum folder folder)
{
    OWNED_LISTING struct listing *listing =
        open_listing(data, agent, folder); /* the next start finds the rest */
    const char *name;
    size_t looked_at = 0;
    while (listing && looked_at++ <= MAILBOX_NAMES_MAX && (name = listing_next(listing)))
        if (name[0] == '.' && strstr(name, BATCH_MARK))
            unlinkat(listing_folder(listing), name, 0);
}

/* --- moving --- */

bool mailbox_move(int data, const char *agent, enum folder from, enum folder to, const char *id)
{
    OWNED char *file = file_of(id);
    OWNED_FD int source = mailbox_open(data, agent, from, false);
    if (source < 0)
        return false;
    OWNED_FD int target = mailbox_open(data, agent, to, true);
    return target >= 0 && renameat2(source, file, target, file, RENAME_NOREPLACE) == 0;
}

bool mailbox_remove(int data, const char *agent, enum folder folder, const char *id)
{
    OWNED char *file = file_of(id);
    OWNED_FD int fd = mailbox_open(data, agent, folder, false);
    return fd >= 0 && unlinkat(fd, file, 0) == 0;
}

bool mailbox_sync(int data, const char *agent, enum folder folder, const char *id)
{
    OWNED char *file = file_of(id);
    OWNED_FD int fd = mailbox_open(data, agent, folder, false);
    if (fd < 0)
        return false;
    OWNED_FD int letter = files_open(fd, file, O_RDONLY, 0);
    return letter >= 0 && fsync(letter) == 0 && fsync(fd) == 0;
}

/* --- writing --- */

size_t mailbox_add(struct batch *batch, const char *agent, enum folder folder,
                   const struct envelope *envelope, bool replace)
{
    OWNED_BUFFER struct buffer text = {0};
    OWNED char *path = path_of(agent, folder);
    OWNED char *name = names_file(envelope->id); /* a task's id may be any text */
    envelope_print(envelope, &text);
    return batch_add(batch, path, name, &text, replace);
}

enum write_result mailbox_write(int data, const char *agent, enum folder folder,
                                const struct envelope *envelope, bool replace, struct fault *fault)
{
    OWNED_BATCH struct batch batch = {0};
    mailbox_add(&batch, agent, folder, envelope, replace);
    batch_flush(data, &batch);
    return batch_result(&batch, 0, fault);
}
