/* The post office's part of work_queues.c: items are put with a consumer, and taken back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/post/part.h"

unsigned post_lies(struct post *post, const char *agent, const char *id)
{
    return mailbox_lies(post->data, agent, id);
}

bool post_put(struct post *post, const char *agent, const struct envelope *envelope, struct fault *fault)
{
    struct box *box = post_box(post, agent);
    if (!box || !box->definition || is_far(box))
        return fault_set(fault, "there is no agent '%s' here", agent);
    if (!post_journal_settle(post, fault))
        return false;
    switch (mailbox_write(post->data, agent, FOLDER_HANDOFFS, envelope, false, fault)) {
    case WRITE_FAILED:
        return false;
    case WRITE_EXISTS: /* an earlier flush may have failed behind the file's name */
        if (!mailbox_sync(post->data, agent, FOLDER_HANDOFFS, envelope->id))
            return fault_set(fault, "%s lies in %s of '%s', but cannot be flushed to disk", envelope->id,
                             mailbox_folder_name(FOLDER_HANDOFFS), agent);
        box->look.wanted = true; /* the file may lie there by now: the look tells */
        break;
    case WRITE_DONE:
        post_lies_there(box, FOLDER_HANDOFFS, envelope, NULL);
        post_note(box, "envelope_delivered", envelope, "");
        break;
    }
    post_look_due(box, WAKE_UP);
    return true;
}

/* The text of the file; for a file that can't be read whole, of any kind, *whole is false, and the text says so. */
static bool read_any(int source, const char *file, char **text, size_t *length, bool *whole,
                     struct fault *fault)
{
    struct stat status;
    int found = files_read(source, file, ENVELOPE_FILE_MAX, text, length, NULL, fault);
    *whole = found == 1;
    if (*whole)
        return true;
    if (found == 0 || fstatat(source, file, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    if (S_ISREG(status.st_mode) && status.st_size <= ENVELOPE_FILE_MAX)
        return false; /* the file can't be read now */
    *text = memory_text("The item's file could not be read.\n");
    *length = strlen(*text);
    return true;
}

/* Between file systems (shared/ or agents/ is a volume of its own) nothing can be renamed. The copy is durable in folder
 * before the original goes, and the original's going is durable before anything is built on it:
 *   cut before the copy has its name   the original lies where it lay; the next attempt begins anew
 *   cut before the original is gone    both lie there, and the original is taken once more (work_queue_assign.c)
 *   cut behind that                    as behind a rename
 * No worker is there to read the original meanwhile (post.h). A file that can't be read is set aside, not thrown away. */
static bool take_across(int source, const char *file, int folder, const char *name, struct fault *fault)
{
    OWNED char *text = NULL, *aside = memory_print("%s.unreadable-%lld", file, (long long)clock_now());
    size_t length;
    bool whole;
    struct stat status;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return fault_errno(fault, "%s cannot be taken back", file);
    }
    if (!read_any(source, file, &text, &length, &whole, fault) ||
        !files_write(folder, name, text, length, true, fault))
        return false;
    bool gone = whole ? unlinkat(source, file, 0) == 0
                      : renameat2(source, file, source, aside, RENAME_NOREPLACE) == 0;
    return (gone && fsync(source) == 0) ||
           fault_errno(fault, "%s was copied, but does not go from where it lay", file);
}

static bool move_out(int source, const char *file, int folder, const char *name, struct fault *fault)
{
    if (renameat2(source, file, folder, name, RENAME_NOREPLACE) == 0)
        return true;
    if (errno == EXDEV)
        return take_across(source, file, folder, name, fault);
    return fault_errno(fault, "%s cannot be taken back", file);
}

int post_take(struct post *post, const char *agent, const char *id, int folder, const char *name,
              struct envelope *copy, struct fault *fault)
{
    struct box *box = post_box(post, agent);
    OWNED char *file = memory_print("%s.md", id), *text = NULL;
    OWNED_FD int source = mailbox_open(post->data, agent, FOLDER_HANDOFFS, false);
    size_t length;
    *copy = (struct envelope){0};
    if (source < 0 && errno != ENOENT)
        fault_errno(fault, "%s of '%s' cannot be taken back", file, agent);
    if (source < 0)
        return errno == ENOENT ? 0 : -1;
    if (faccessat(source, file, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
        return 0;
    if (!move_out(source, file, folder, name, fault))
        return -1;
    struct index_entry *entry = box ? envelope_index_find(post->index, box, FOLDER_HANDOFFS, id) : NULL;
    if (entry) {
        post_forget(post, entry);
        box->pump.wanted = true;
        post_wake(box);
    }
    if (files_read(folder, name, ENVELOPE_FILE_MAX, &text, &length, NULL, fault) != 1 ||
        !envelope_parse(copy, text, length, name, fault))
        return -1;
    return 1;
}

bool post_bury(struct post *post, const char *agent, const struct envelope *envelope, struct fault *fault)
{
    struct box *box = post_box(post, agent);
    if (mailbox_write(post->data, agent, FOLDER_DEAD_LETTERS, envelope, true, fault) == WRITE_FAILED)
        return false;
    if (box) {
        post_note(box, strcmp(envelope->status, "expired") == 0 ? "envelope_expired" : "envelope_failed",
                  envelope, envelope->reason);
        post_look_due(box, WAKE_UP);
    }
    return true;
}
