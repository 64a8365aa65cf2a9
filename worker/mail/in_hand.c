/* Taking an envelope in hand.
 *
 * The supervisor ends an expired envelope by a rename out of the agent's folder and looks at the status afterwards; the
 * worker begins by exchanging the file for a file that says `reading`. Both are single renames of the same name, so one
 * of them comes first:
 * - the worker's: the supervisor finds `reading` in the file that it took, and puts the file back. The envelope was read
 *   in time.
 * - the supervisor's: the exchange finds no file (ENOENT). The envelope isn't the worker's any more.
 * The new file is flushed before the exchange: after a power cut there is either of the two, whole. The attempt is
 * counted in the new file, before the attempt. The worker looks at the file that came out of the exchange: a person may
 * have saved in that moment, and then their text is taken in hand. */
#include "worker/mail/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/tree.h"

enum { SAVES_MAX = 8 /* people's saves in the moment of an exchange, one after the other */ };

void opened_envelope_free(struct opened_envelope *opened)
{
    envelope_free(&opened->envelope);
    free(opened->text);
    *opened = (struct opened_envelope){0};
}

static char *path_of(enum mail_place place, const char *id)
{
    return memory_print("%s/%s.md", mail_folders[place], id);
}

/* *stamp: of the file that was read. */
static int load(struct mail *mail, enum mail_place place, const char *id, struct opened_envelope *opened,
                struct file_stamp *stamp, struct fault *fault)
{
    OWNED char *path = path_of(place, id);
    OWNED_FD int folder = files_open(mail->tree, mail_folders[place], O_RDONLY | O_DIRECTORY, 0);
    *opened = (struct opened_envelope){.place = place};
    if (folder < 0)
        return errno == ENOENT ? 0 : (fault_errno(fault, "cannot open %s", mail_folders[place]), -1);
    int found = mail_load(folder, id, path, &opened->envelope, &opened->text, &opened->length, stamp, fault);
    if (found == 1)
        opened->hash = mail_hash(&opened->envelope);
    return found == -2 ? 0 : found; /* the next look sets it aside */
}

int mail_read(struct mail *mail, const struct letter *letter, struct opened_envelope *opened,
              struct fault *fault)
{
    struct file_stamp stamp;
    int found = load(mail, letter->place, letter->head.id, opened, &stamp, fault);
    if (found == 1)
        opened->marked = strcmp(opened->envelope.status, "reading") == 0;
    return found;
}

/* The text as a flushed file .agentos/name. */
static bool prepare(struct mail *mail, const char *name, const struct buffer *text, struct fault *fault)
{
    OWNED_FD int fd = files_open(mail->tree, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 && errno == ENOENT) { /* somebody removed the folder */
        OWNED_FD int notes = files_open_folder(mail->tree, TREE_NOTES, true, fault);
        if (notes >= 0)
            fd = files_open(mail->tree, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    }
    return (fd >= 0 && files_write_all(fd, text->data, text->length) && fsync(fd) == 0) ||
           fault_errno(fault, "cannot write %s; the envelope stays as it is", name);
}

static void set_text(struct opened_envelope *opened, struct buffer *text)
{
    free(opened->text);
    opened->length = text->length;
    opened->text = buffer_take(text);
}

/* The file changes from the text that was read (seen) to the opened envelope. 1 done, 0 the file has gone, -1 fault, 2
 * a person saved in that moment: their text is in its place again. */
static int exchange(struct mail *mail, struct opened_envelope *opened, const struct file_stamp *seen,
                    struct fault *fault)
{
    OWNED_BUFFER struct buffer text = {0};
    OWNED char *name = memory_print("%s/reading-%u", TREE_NOTES, mail->marks++ % 16);
    OWNED char *path = path_of(opened->place, opened->envelope.id);
    envelope_print(&opened->envelope, &text);
    if (!prepare(mail, name, &text, fault)) {
        unlinkat(mail->tree, name, 0);
        return -1;
    }
    OWNED_FD int notes = files_open(mail->tree, TREE_NOTES, O_RDONLY | O_DIRECTORY, 0);
    OWNED_FD int folder = files_open(mail->tree, mail_folders[opened->place], O_RDONLY | O_DIRECTORY, 0);
    const char *from = strchr(name, '/') + 1, *to = strrchr(path, '/') + 1;
    if (notes < 0 || folder < 0 || renameat2(notes, from, folder, to, RENAME_EXCHANGE) != 0) {
        int result = errno == ENOENT ? 0 : (fault_errno(fault, "cannot mark %s as being read", path), -1);
        unlinkat(mail->tree, name, 0);
        return result;
    }
    struct file_stamp out = files_stamp_at(notes, from);
    if (files_stamp_same_content(&out, seen)) {
        unlinkat(notes, from, 0);
        set_text(opened, &text);
        return 1;
    }
    if (renameat2(notes, from, folder, to, RENAME_EXCHANGE) == 0)
        unlinkat(notes, from, 0);
    else if (renameat2(notes, from, folder, to, RENAME_NOREPLACE) != 0) {
        OWNED char *aside = memory_print("saved-%s", to);
        renameat(notes, from, notes, aside);
    }
    return 2;
}

int mail_begin(struct mail *mail, const struct letter *letter, int64_t now, bool attempt,
               struct opened_envelope *opened, struct fault *fault)
{
    for (int saves = 0; saves < SAVES_MAX; saves++) {
        struct file_stamp seen;
        int found = load(mail, letter->place, letter->head.id, opened, &seen, fault);
        if (found == 1 && mail_expired(&opened->envelope, now))
            found = 0;
        if (found == 1) {
            struct envelope *envelope = &opened->envelope;
            memory_set(&envelope->status, "reading");
            envelope->read = now;
            envelope->attempts += attempt;
            found = exchange(mail, opened, &seen, fault);
            opened->marked = found == 1;
            opened->counted = attempt;
        }
        if (found == 1)
            return 1;
        opened_envelope_free(opened);
        if (found != 2)
            return found;
    }
    return 0;
}

void mail_put_back(struct mail *mail, struct opened_envelope *opened)
{
    OWNED_OPENED struct opened_envelope there = {0};
    struct file_stamp seen;
    struct fault fault = {{0}};
    if (!opened->marked || load(mail, opened->place, opened->envelope.id, &there, &seen, &fault) != 1)
        return;
    if (strcmp(there.envelope.status, "reading") == 0) {
        memory_set(&there.envelope.status, "delivered");
        there.envelope.read = 0;
        there.envelope.attempts -= opened->counted && there.envelope.attempts > 0;
        if (exchange(mail, &there, &seen, &fault) < 0)
            log_warn("agent", mail->agent, "%s; its attempt counts although it was put down.", fault.text);
    }
}

bool mail_is_there(struct mail *mail, const struct opened_envelope *opened)
{
    OWNED char *path = path_of(opened->place, opened->envelope.id);
    struct stat status;
    if (fstatat(mail->tree, path, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return S_ISREG(status.st_mode);
    return errno != ENOENT && !files_lasting(errno); /* a file that can't be seen has not gone */
}
