/* How envelopes end here, as changes of a commit, and the dead letters that the supervisor laid into our tree. */
#include "worker/mail/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"

enum {
    SECTION_LEAST = 16 * 1024, /* bytes that an answer gets in the archive, however long the task is */
    SETTLED_MS = 50
};

static const char cut_note[] = "\n\n[… cut here: an envelope holds 256 KiB]\n";

void mail_print(const struct envelope *envelope, struct buffer *out)
{
    size_t before = out->length;
    envelope_print(envelope, out);
    size_t length = out->length - before;
    if (length <= ENVELOPE_FILE_MAX)
        return;
    size_t body = strlen(envelope->body), over = length - ENVELOPE_MAX + sizeof cut_note;
    size_t kept = body > over ? utf8_cut(envelope->body, body, body - over) : 0;
    out->length -= body - kept;
    out->data[out->length] = '\0';
    buffer_text(out, cut_note);
}

static void add_file(struct change_list *changes, const char *folder, const char *id,
                     const struct buffer *text)
{
    OWNED char *path = memory_print("%s/%s.md", folder, id);
    change_list_add(changes, CHANGE_WRITE, path, text->data, text->length);
}

static void add_removal(const struct opened_envelope *opened, struct change_list *changes)
{
    OWNED char *path = memory_print("%s/%s.md", mail_folders[opened->place], opened->envelope.id);
    change_list_add(changes, CHANGE_REMOVE, path, opened->text, opened->length);
}

/* The task as it was given, then what came of it; the task gives way only to an answer's first 16 KiB. */
static char *story(const struct envelope *envelope, const char *section)
{
    struct buffer body = {0};
    size_t task = strlen(envelope->body), answer = strlen(section), room = ENVELOPE_FILE_MAX - 2048;
    size_t least = answer < SECTION_LEAST ? answer : SECTION_LEAST;
    bool whole = task + least <= room;
    buffer_add(&body, envelope->body, whole ? task : utf8_cut(envelope->body, task, room - least));
    buffer_text(&body, whole ? "" : cut_note);
    if (body.length && body.data[body.length - 1] != '\n')
        buffer_text(&body, "\n");
    buffer_text(&body, section);
    return buffer_take(&body);
}

void mail_archive(const struct mail *mail, const struct opened_envelope *opened, const char *status,
                  int64_t now, const char *section, struct change_list *changes)
{
    OWNED_BUFFER struct buffer text = {0};
    OWNED char *body = story(&opened->envelope, section);
    struct envelope archived = opened->envelope;
    archived.status = (char *)(uintptr_t)status;
    archived.read = archived.read ? archived.read : now;
    archived.finished = now;
    archived.body = body;
    if (archived.kind == KIND_ITEM && !archived.consumer)
        archived.consumer = mail->agent;
    mail_print(&archived, &text);
    add_file(changes, TREE_ARCHIVE, archived.id, &text);
    add_removal(opened, changes);
}

void mail_bury(const struct mail *mail, const struct opened_envelope *opened, const char *reason, int64_t now,
               struct change_list *changes)
{
    (void)mail;
    OWNED_BUFFER struct buffer text = {0};
    struct envelope dead = opened->envelope;
    dead.status = "failed";
    dead.reason = (char *)(uintptr_t)reason;
    dead.finished = now;
    mail_print(&dead, &text);
    add_file(changes, TREE_DEAD_LETTERS, dead.id, &text);
    add_removal(opened, changes);
}

/* --- the supervisor's dead letters --- */

/* Of our queue's tasks and of what we sent ourselves the commit that laid them there has told already. */
static bool is_the_supervisors(const struct envelope *envelope)
{
    return envelope->kind != KIND_TASK &&
           (strcmp(envelope->status, "expired") == 0 || strcmp(envelope->status, "failed") == 0);
}

struct escalation {
    struct mail *mail;
    bool (*visit)(void *context, const struct envelope *envelope, uint64_t hash, const char *path,
                  const char *text, size_t length);
    void *context;
    struct known_letter *known; /* of this pass: files that need no reading next time */
    size_t known_count;
    bool failed; /* not all could be read */
};

static int by_name(const void *a, const void *b)
{
    const struct known_letter *first = a, *second = b;
    return first->name < second->name ? -1 : first->name > second->name;
}

static bool was_known(const struct mail *mail, const struct known_letter *letter)
{
    const struct known_letter *found =
        mail->known_count ? bsearch(letter, mail->known, mail->known_count, sizeof *letter, by_name) : NULL;
    return found && files_stamp_equal(&found->stamp, &letter->stamp);
}

/* 1: the ledger knows it, or the last commit has it as it stands. -1: that can't be told now. */
static int is_told(struct mail *mail, const struct envelope *envelope, uint64_t hash, const char *path,
                   const char *text, size_t length)
{
    char commit[COMMIT_TEXT];
    OWNED char *committed = NULL;
    size_t committed_length;
    if (history_finished(mail->history, envelope->id, hash, commit))
        return 1;
    int found = history_read(mail->history, path, &committed, &committed_length, NULL);
    return found == 1 ? committed_length == length && memcmp(committed, text, length) == 0 : found;
}

/* A final dead letter that the supervisor laid there: 1 no step is left, 0 not yet, -1 not now. */
static int tell(struct escalation *escalation, const struct envelope *envelope, const char *path,
                const char *text, size_t length)
{
    uint64_t hash = mail_hash(envelope);
    int told = is_told(escalation->mail, envelope, hash, path, text, length);
    escalation->failed = escalation->failed || told < 0;
    if (told != 0)
        return told > 0;
    return escalation->visit(escalation->context, envelope, hash, path, text, length) ? 1 : -1;
}

/* 1 nothing more is to be done about it, 0 not yet, -1 it could not be recorded now. */
static int escalate(struct escalation *escalation, const char *path, const char *name)
{
    struct mail *mail = escalation->mail;
    OWNED_ENVELOPE struct envelope envelope = {0};
    OWNED char *text = NULL;
    size_t length;
    int found = files_read(mail->tree, path, ENVELOPE_FILE_MAX, &text, &length, NULL, NULL);
    if (found < 0 && !files_lasting(errno)) {
        escalation->failed = true;
        return 0;
    }
    if (found != 1 || !envelope_parse(&envelope, text, length, path, NULL))
        return 1;
    OWNED char *expected = memory_print("%s.md", envelope.id);
    int done = 1;
    if (!envelope_final(envelope.status) && envelope.kind != KIND_TASK)
        done = 0; /* the supervisor is still at it, and rings when it is done */
    else if (strcmp(name, expected) == 0 && is_the_supervisors(&envelope))
        done = tell(escalation, &envelope, path, text, length);
    return done;
}

/* False: stop here. */
static bool look_at(struct escalation *escalation, const char *name)
{
    size_t length = strlen(name);
    if (!names_work(name))
        return true;
    OWNED char *path = memory_print("%s/%s", TREE_DEAD_LETTERS, name);
    const struct known_letter letter = {names_hash(name, length),
                                        files_stamp_at(escalation->mail->tree, path)};
    int done = was_known(escalation->mail, &letter) ? 1 : escalate(escalation, path, name);
    if (done == 1)
        *MEMORY_ADD(escalation->known, escalation->known_count) = letter;
    return done >= 0;
}

static void keep_known(struct escalation *escalation)
{
    struct mail *mail = escalation->mail;
    MEMORY_SORT(escalation->known, escalation->known_count, by_name);
    free(mail->known);
    mail->known = escalation->known;
    mail->known_count = escalation->known_count;
}

static void note_failing(struct mail *mail, bool failing, const char *why)
{
    if (failing && !mail->dead_failing)
        log_warn("agent", mail->agent, "%s can't be read whole, it is tried again: %s", TREE_DEAD_LETTERS,
                 why);
    mail->dead_failing = failing;
}

/* NULL: the folder is as at the last pass, or can't be listed now. */
static struct listing *open_dead(struct mail *mail, struct file_stamp *stamp)
{
    struct stat status;
    struct fault fault = {{0}};
    int fd = files_open(mail->tree, TREE_DEAD_LETTERS, O_RDONLY | O_DIRECTORY, 0);
    if (fd >= 0 && fstat(fd, &status) == 0)
        *stamp = files_stamp(&status);
    if (fd >= 0 && stamp->inode && files_stamp_equal(stamp, &mail->dead)) {
        close(fd);
        return NULL;
    }
    struct listing *listing = listing_take(fd, TREE_DEAD_LETTERS, &fault);
    if (!listing)
        note_failing(mail, errno != ENOENT && !files_lasting(errno), fault.text);
    return listing;
}

bool mail_escalations(struct mail *mail,
                      bool (*visit)(void *context, const struct envelope *envelope, uint64_t hash,
                                    const char *path, const char *text, size_t length),
                      void *context)
{
    struct escalation escalation = {.mail = mail, .visit = visit, .context = context};
    struct file_stamp stamp = {0};
    struct fault fault = {.text = "a letter or its history"};
    struct listing *listing = open_dead(mail, &stamp);
    if (!listing)
        return true;
    bool good = true;
    mail->dead_changed = true;
    for (const char *name; good && (name = listing_next(listing));)
        good = look_at(&escalation, name);
    bool whole = listing_close(listing, &fault);
    escalation.failed = !whole || escalation.failed;
    keep_known(&escalation);
    note_failing(mail, escalation.failed, fault.text);
    /* A change within the clock's tick keeps the folder's stamp: a folder with a young stamp is looked into again. */
    bool old = clock_now_ms() - stamp.modified_ns / 1000000 > SETTLED_MS;
    mail->dead = good && old && !escalation.failed ? stamp : (struct file_stamp){0};
    return good;
}

struct gone {
    struct mail *mail;
    struct change_list *changes;
};

static void note_gone(void *context, const char *name)
{
    struct gone *gone = context;
    struct stat status;
    OWNED char *path = memory_print("%s/%s", TREE_DEAD_LETTERS, name);
    if (fstatat(gone->mail->tree, path, &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
        change_list_add(gone->changes, CHANGE_RECORD_REMOVED, path, NULL, 0);
}

void mail_gone_letters(struct mail *mail, struct change_list *changes)
{
    struct gone gone = {mail, changes};
    if (mail->dead_changed)
        mail->dead_changed = !history_names(mail->history, TREE_DEAD_LETTERS, note_gone, &gone, NULL);
}
