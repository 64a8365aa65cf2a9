/* The supervisor's verdicts on the outbox: noted when they come, carried out by the next commit. A verdict that is lost
 * on the way, or with this process before its commit, is said again: the envelope lies in the outbox still, and at its
 * next start the worker asks about the whole outbox. A verdict that is carried out twice changes nothing. */
#include "worker/mail/part.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"

#define LARGE_END "-refused.md" /* an answer may have the id itself */

enum {
    VERDICTS_MAX = 4096,
    TELLINGS_MAX = 64,
    SHOWN_BODY = 160,
    LARGE_MAX = 16 * 1024 * 1024 /* bytes: a larger file isn't read, but set aside */
};

static void verdict_clear(struct verdict *verdict)
{
    free(verdict->id);
    free(verdict->status);
    free(verdict->reason);
}

void mail_verdict(struct mail *mail, const char *id, const char *status, const char *reason, int64_t at)
{
    if (!names_id(id))
        return;
    size_t i = 0;
    while (i < mail->verdict_count && strcmp(mail->verdicts[i].id, id) != 0)
        i++;
    if (i == VERDICTS_MAX)
        return; /* said again at the next start */
    if (i == mail->verdict_count) {
        mail->verdicts = memory_grow(mail->verdicts, i + 1, sizeof *mail->verdicts);
        mail->verdict_count++;
    } else {
        verdict_clear(&mail->verdicts[i]);
    }
    mail->verdicts[i] =
        (struct verdict){memory_text(id), memory_text(status), memory_text(reason ? reason : ""), at, false};
}

size_t mail_verdicts(const struct mail *mail)
{
    return mail->verdict_count;
}

void mail_verdicts_kept(struct mail *mail)
{
    size_t kept = 0;
    for (size_t i = 0; i < mail->verdict_count; i++)
        if (mail->verdicts[i].later)
            mail->verdicts[kept++] = mail->verdicts[i];
        else
            verdict_clear(&mail->verdicts[i]);
    mail->verdict_count = kept;
}

/* --- the news for the next prompt --- */

void mail_untell(struct mail *mail, const char *id)
{
    for (size_t i = 0; i < mail->telling_count; i++)
        if (strcmp(mail->tellings[i].id, id) == 0) {
            free(mail->tellings[i].id);
            free(mail->tellings[i].text);
            memmove(&mail->tellings[i], &mail->tellings[i + 1],
                    (mail->telling_count - i - 1) * sizeof *mail->tellings);
            mail->telling_count--;
            return;
        }
}

static void mail_tell(struct mail *mail, const char *id, bool refused, const char *text)
{
    mail_untell(mail, id);
    if (mail->telling_count == TELLINGS_MAX)
        mail_untell(mail, mail->tellings[0].id);
    *MEMORY_ADD(mail->tellings, mail->telling_count) =
        (struct telling){.id = memory_text(id), .text = memory_text(text), .refused = refused};
}

void mail_told(struct mail *mail)
{
    for (size_t i = mail->telling_count; i-- > 0;)
        if (mail->tellings[i].refused && mail->tellings[i].shown)
            mail_untell(mail, mail->tellings[i].id);
}

char *mail_first_words(const char *body, size_t limit)
{
    size_t shown = utf8_cut(body, strcspn(body, "\r\n"), limit);
    bool more = body[shown + strspn(body + shown, " \t\r\n")] != '\0';
    return memory_print("%.*s%s", (int)shown, body, more ? " …" : "");
}

/* "handoff to iris (ID: the first words …)" */
static char *describe(const struct envelope *envelope)
{
    OWNED char *words = mail_first_words(envelope->body ? envelope->body : "", SHOWN_BODY);
    return memory_print("%s to %s (%s: %s)", envelope_kind_name(envelope->kind), envelope->to, envelope->id,
                        words);
}

void mail_refused(struct mail *mail, const struct envelope *envelope, const char *reason)
{
    OWNED char *what = describe(envelope);
    OWNED char *text = memory_print("%s was refused: %s", what, reason);
    mail_tell(mail, envelope->id, true, text);
}

/* --- carrying out --- */

/* A status, the folder that the envelope goes to, and the words of the prompt. A status that isn't here is a kind of
 * end: to the archive. */
enum destination { TO_ARCHIVE, TO_DEAD_LETTERS, STAYS };

static enum destination destination(const char *status)
{
    return strcmp(status, "refused") == 0    ? TO_DEAD_LETTERS
           : strcmp(status, "deferred") == 0 ? STAYS
                                             : TO_ARCHIVE;
}

static void write_to(const char *folder, const struct envelope *envelope, struct change_list *changes)
{
    OWNED_BUFFER struct buffer text = {0};
    OWNED char *path = memory_print("%s/%s.md", folder, envelope->id);
    mail_print(envelope, &text);
    change_list_add(changes, CHANGE_WRITE, path, text.data, text.length);
}

static void apply(struct envelope *envelope, const struct verdict *verdict, int64_t now)
{
    memory_set(&envelope->status, verdict->status);
    if (*verdict->reason) {
        memory_set(&envelope->reason, verdict->reason);
    }
    int64_t at = verdict->at > 0 ? verdict->at : now;
    if (strcmp(verdict->status, "delivered") == 0)
        envelope->delivered = at;
    else if (envelope_final(verdict->status))
        envelope->finished = at;
}

/* The verdict comes for an envelope that has left the outbox: only an end is news, and only for an envelope that has
 * none. False: the envelope can't be read now. */
static bool update_archive(struct mail *mail, const struct verdict *verdict, int64_t now,
                           struct change_list *changes)
{
    OWNED_ENVELOPE struct envelope envelope = {0};
    int found = envelope_final(verdict->status) ? mail_own(mail, TREE_ARCHIVE, verdict->id, &envelope) : 0;
    if (found != 1)
        return found == 0;
    if (!envelope_final(envelope.status) && strcmp(envelope.from, mail->agent) == 0) {
        apply(&envelope, verdict, now);
        write_to(TREE_ARCHIVE, &envelope, changes);
    }
    return true;
}

/* Refused because it is no envelope: somebody put it there. */
static void set_aside(const struct mail *mail, const struct verdict *verdict)
{
    OWNED char *path = memory_print("%s/%s.md", TREE_OUTBOX, verdict->id);
    OWNED char *aside = memory_print("%s.unreadable-%lld", path, (long long)clock_now_ms());
    if (renameat2(mail->tree, path, mail->tree, aside, RENAME_NOREPLACE) == 0)
        log_warn("agent", mail->agent, "%s is not sent and is set aside as %s: %s", path, aside,
                 verdict->reason);
}

/* An agent that sends to itself: the archive has the receiver's copy already, which says more. -1: the archive can't be
 * read now. */
static int has_story(struct mail *mail, const struct envelope *sent)
{
    OWNED_ENVELOPE struct envelope archived = {0};
    int found = mail_own(mail, TREE_ARCHIVE, sent->id, &archived);
    if (found != 1)
        return found;
    return envelope_final(archived.status) && archived.created == sent->created;
}

/* Refused for its size: the file as an envelope with its body cut, and in rest the body as it was. 1 read, 0 the file
 * is no envelope, -1 the file can't be read now. */
static int read_large(const struct mail *mail, const char *id, struct envelope *envelope, struct buffer *rest)
{
    OWNED char *path = memory_print("%s/%s.md", TREE_OUTBOX, id), *text = NULL;
    size_t length;
    int found = files_read(mail->tree, path, LARGE_MAX, &text, &length, NULL, NULL);
    if (found < 0 && !files_lasting(errno))
        return -1;
    size_t kept = found == 1 ? utf8_cut(text, length, ENVELOPE_MAX - 4096) : 0;
    if (length <= ENVELOPE_FILE_MAX || !utf8_valid(text, length) ||
        !envelope_parse(envelope, text, kept, path, NULL))
        return 0;
    if (strcmp(envelope->id, id) != 0) {
        envelope_free(envelope);
        return 0;
    }
    size_t head = kept - strlen(envelope->body);
    buffer_add(rest, text + head, length - head);
    OWNED char *begun = envelope->body;
    envelope->body =
        memory_print("%s\n\n[… cut here: %s/%s" LARGE_END " has the whole text]\n", begun, TREE_OUTPUTS, id);
    return 1;
}

static void add_whole(const char *id, const struct buffer *body, struct change_list *changes)
{
    OWNED char *path = memory_print("%s/%s" LARGE_END, TREE_OUTPUTS, id);
    change_list_add(changes, CHANGE_WRITE, path, body->data, body->length);
}

static void settle(const struct verdict *verdict, struct envelope *envelope, bool story, int64_t now,
                   struct change_list *changes)
{
    enum destination to = destination(verdict->status);
    OWNED char *path = memory_print("%s/%s.md", TREE_OUTBOX, verdict->id);
    bool known = strcmp(envelope->status, verdict->status) == 0;
    apply(envelope, verdict, now);
    if (to == STAYS) {
        if (!known)
            write_to(TREE_OUTBOX, envelope, changes);
        return;
    }
    if (!story)
        write_to(to == TO_ARCHIVE ? TREE_ARCHIVE : TREE_DEAD_LETTERS, envelope, changes);
    change_list_add(changes, CHANGE_REMOVE, path, NULL, 0);
}

static void tell(struct mail *mail, const struct verdict *verdict, const struct envelope *envelope,
                 struct buffer *refused)
{
    OWNED char *what = describe(envelope);
    mail_untell(mail, verdict->id);
    if (destination(verdict->status) == TO_DEAD_LETTERS) {
        mail_refused(mail, envelope, verdict->reason);
        buffer_print(refused, "The %s was refused: %s. ", what, verdict->reason);
    } else if (destination(verdict->status) == STAYS) {
        OWNED char *text = memory_print("%s waits until its receiver has room%s%s", what,
                                        *verdict->reason ? ": " : "", verdict->reason);
        mail_tell(mail, verdict->id, false, text);
    }
}

/* False: the verdict can't be carried out now. */
static bool carry_out(struct mail *mail, const struct verdict *verdict, int64_t now,
                      struct change_list *changes, struct buffer *refused, struct buffer *note)
{
    OWNED_ENVELOPE struct envelope envelope = {0};
    OWNED_BUFFER struct buffer whole = {0};
    enum destination to = destination(verdict->status);
    int found = mail_own(mail, TREE_OUTBOX, verdict->id, &envelope);
    if (found == 0 && to == TO_DEAD_LETTERS)
        found = read_large(mail, verdict->id, &envelope, &whole);
    if (found < 0)
        return false;
    if (found == 0) {
        if (to == TO_DEAD_LETTERS)
            set_aside(mail, verdict);
        return update_archive(mail, verdict, now, changes);
    }
    int story = to == TO_ARCHIVE ? has_story(mail, &envelope) : 0;
    if (story >= 0) {
        /* whatever stands in the file: the envelope was sent from here */
        memory_set(&envelope.from, mail->agent);
        tell(mail, verdict, &envelope, refused);
        settle(verdict, &envelope, story == 1, now, changes);
        if (whole.length)
            add_whole(verdict->id, &whole, changes);
        buffer_print(note, "%s to %s %s%s%s: %s\n", envelope_kind_name(envelope.kind), envelope.to,
                     verdict->status, *verdict->reason ? ", " : "", verdict->reason, verdict->id);
    }
    return story >= 0;
}

void mail_verdict_changes(struct mail *mail, int64_t now, struct change_list *changes, struct buffer *refused,
                          struct buffer *note)
{
    for (size_t i = 0; i < mail->verdict_count; i++)
        mail->verdicts[i].later = !carry_out(mail, &mail->verdicts[i], now, changes, refused, note);
}
