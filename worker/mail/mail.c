/* The envelopes in iac/inbox and iac/handoffs, as of the last look. */
#include "worker/mail/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/pruned.h"
#include "common/tree.h"

#define ASIDE ".md.unreadable-"
enum {
    PROBLEMS_MAX = 20, /* lines about one folder */
    HELD_MS = 10 * 1000,
    AGAIN_MS = 200, /* also while somebody is still writing to an envelope */
    AGAIN_LATE_MS = 2000
};

struct mail *mail_open(int tree, const char *agent, struct history *history)
{
    struct mail *mail = memory_new(1, sizeof *mail);
    *mail = (struct mail){.tree = tree, .agent = memory_text(agent), .history = history};
    return mail;
}

static void letter_free(struct letter *letter)
{
    envelope_free(&letter->head);
}

static void letters_free(struct letter *letters, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!letters[i].kept)
            letter_free(&letters[i]);
    free(letters);
}

void mail_close(struct mail *mail)
{
    if (!mail)
        return;
    letters_free(mail->letters, mail->count);
    for (size_t i = 0; i < mail->verdict_count; i++)
        mail->verdicts[i].later = false;
    mail_verdicts_kept(mail);
    while (mail->telling_count)
        mail_untell(mail, mail->tellings[0].id);
    free(mail->verdicts);
    free(mail->agent);
    free(mail->known);
    free(mail->tellings);
    free(mail);
}

/* --- reading --- */

/* A file that will never be an envelope, however long the worker waits. */
static bool is_none(int folder, const char *name, struct fault *fault)
{
    struct stat status;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    if (S_ISREG(status.st_mode) && status.st_size > ENVELOPE_FILE_MAX)
        mail_too_large(fault, (size_t)status.st_size);
    else if (!S_ISREG(status.st_mode))
        fault_set(fault, "it is no regular file");
    else
        return false;
    return true;
}

static bool check(const struct envelope *envelope, const char *id, const char *path, size_t length,
                  struct fault *fault)
{
    if (!envelope_fits(envelope, length))
        return mail_too_large(fault, length);
    if (strcmp(envelope->id, id) != 0)
        return fault_set(fault, "%s has the id %s, which is not its name", path, envelope->id);
    return envelope_kind_has(envelope->kind, KIND_IS_WORK | KIND_IS_MAIL) ||
           fault_set(fault, "%s is of kind %s, which is not sent to anybody", path,
                     envelope_kind_name(envelope->kind));
}

int mail_load(int folder, const char *id, const char *path, struct envelope *envelope, char **text,
              size_t *length, struct file_stamp *stamp, struct fault *fault)
{
    OWNED char *name = memory_print("%s.md", id);
    *envelope = (struct envelope){0};
    int found = files_read(folder, name, ENVELOPE_FILE_MAX, text, length, stamp, fault);
    if (found < 0)
        return is_none(folder, name, fault) ? -2 : -1;
    if (found == 0)
        return 0;
    if (envelope_parse(envelope, *text, *length, path, fault) && check(envelope, id, path, *length, fault))
        return 1;
    envelope_free(envelope);
    free(*text);
    *text = NULL;
    return -2;
}

/* --- looking --- */

struct look {
    struct mail *mail;
    enum mail_place place;
    const char *where; /* the folder's name */
    int folder;
    struct letter *known; /* of the look before */
    size_t known_count, problem_count;
    bool failed; /* not everything could be seen */
    bool closed; /* a file's mode lets nobody read it */
    struct buffer *problems;
    mail_over over;
    void *context;
};

static void say(struct look *look, const char *name, const char *what)
{
    if (++look->problem_count <= PROBLEMS_MAX)
        buffer_print(look->problems, "%s/%s %s\n", look->where, name, what);
}

static void say_left(struct look *look, const char *name)
{
    say(look, name,
        names_conflict(name) ? "is a copy that a synchroniser left, no envelope; it is left as it is"
                             : "is no envelope, for its name doesn't end in .md; it is left as it is");
}

static void say_aside(struct look *look, const char *name, const char *why)
{
    OWNED char *what = memory_print(
        "was set aside because it is no envelope (%s); take from it what you need and remove it", why);
    say(look, name, what);
}

static void set_aside(struct look *look, const char *name, const char *why)
{
    OWNED char *aside = memory_print("%s.unreadable-%lld", name, (long long)clock_now_ms());
    if (renameat2(look->folder, name, look->folder, aside, RENAME_NOREPLACE) == 0) {
        log_warn("agent", look->mail->agent, "%s/%s is no envelope and is set aside as %s: %s", look->where,
                 name, aside, why);
        say_aside(look, aside, why);
    } else if (errno != ENOENT) {
        OWNED char *what =
            memory_print("is no envelope and can't be set aside (%s): %s", strerror(errno), why);
        say(look, name, what);
    }
}

/* The worker can't tell now whether this file is there, or what it is. */
static void fail(struct look *look, const char *name, const char *why, bool closed)
{
    OWNED char *what = memory_print("is tried again: %s", why);
    say(look, name, what);
    look->failed |= !closed;
    look->closed |= closed;
}

/* The file's mode forbids reading, and no waiting changes that: other envelopes don't wait for the file. The file is
 * asked for again, since a person may give it another mode. */
static bool is_closed(const struct look *look, const char *name)
{
    return faccessat(look->folder, name, R_OK, AT_EACCESS) != 0 && errno == EACCES;
}

/* 1: the envelope's end is known: the file is another delivery of it, or a person's copy. -1: the end can't be told
 * now. */
static int is_over(struct look *look, const struct envelope *envelope, uint64_t hash)
{
    char commit[COMMIT_TEXT] = "";
    OWNED_ENVELOPE struct envelope archived = {0};
    struct mail *mail = look->mail;
    const char *status = envelope_kind_end(envelope->kind);
    bool over = history_finished(mail->history, envelope->id, hash, commit);
    int stored = over ? 0 : mail_own(mail, TREE_ARCHIVE, envelope->id, &archived);
    if (stored < 0)
        return -1;
    struct pruned pruned;
    if (stored > 0) {
        over = envelope_final(archived.status) && archived.created == envelope->created;
    } else if (!over && pruned_find(mail->tree, TREE_ARCHIVE, envelope->id, &pruned))
        over = pruned.created == envelope->created;
    OWNED char *name = over ? memory_print("%s.md", envelope->id) : NULL;
    if (!over || (unlinkat(look->folder, name, 0) != 0 && errno != ENOENT))
        return over;
    log_warn("agent", mail->agent, "%s/%s is over already%s%s; it is removed and not done again.",
             mail_folders[look->place], name, *commit ? ", in commit " : "", commit);
    if (look->over)
        look->over(look->context, envelope->id, status, commit);
    return true;
}

static void add(struct mail *mail, const struct letter *letter)
{
    *MEMORY_ADD(mail->letters, mail->count) = *letter;
}

static int by_place_and_id(const void *a, const void *b)
{
    const struct letter *first = a, *second = b;
    if (first->place != second->place)
        return first->place < second->place ? -1 : 1;
    return strcmp(first->head.id, second->head.id);
}

/* A known envelope that hasn't changed (stamp; NULL: the change can't be told) needs no reading. Its texts are the new
 * list's then; the id stays for the search. */
static bool keep_known(struct look *look, char *id, const struct file_stamp *stamp)
{
    const struct letter key = {.place = look->place, .head = {.id = id}};
    struct letter *letter =
        look->known_count ? bsearch(&key, look->known, look->known_count, sizeof key, by_place_and_id) : NULL;
    if (!letter || letter->kept || (stamp && !files_stamp_equal(&letter->stamp, stamp)))
        return false;
    add(look->mail, letter);
    letter->kept = true;
    return true;
}

/* A process has the file open for writing: the text that can be read now may be half of it. Where the kernel gives no
 * leases, open writers can't be told. */
static bool is_being_written(int folder, const char *name)
{
    OWNED_FD int fd = files_open(folder, name, O_RDONLY, 0);
    return fd >= 0 && fcntl(fd, F_SETLEASE, F_RDLCK) != 0 && errno == EAGAIN;
}

/* The reason is found anew by each look, and in the words in which it was said first. */
static bool is_aside(struct look *look, const char *name)
{
    const char *mark = strstr(name, ASIDE);
    if (!mark)
        return false;
    OWNED_ENVELOPE struct envelope envelope = {0};
    struct fault fault = {{0}};
    OWNED char *text = NULL, *id = memory_slice(name, (size_t)(mark - name));
    OWNED char *path = memory_print("%s/%s.md", look->where, id);
    size_t length;
    int found = files_read(look->folder, name, ENVELOPE_FILE_MAX, &text, &length, NULL, &fault);
    if (found == 0)
        return true;
    if (found < 0)
        is_none(look->folder, name, &fault);
    else if (!envelope_parse(&envelope, text, length, path, &fault)) {
        if (!mail_is_blank(text, length, &fault) && length > ENVELOPE_MAX)
            mail_too_large(&fault, length);
    } else if (check(&envelope, id, path, length, &fault))
        fault_set(&fault, "it is one by now, and has to be named %s.md", id);
    say_aside(look, name, fault.text);
    return true;
}

/* Empty: somebody has made the file and will write it. */
static bool is_at_rest(struct look *look, const char *name, const struct file_stamp *stamp)
{
    if (stamp->inode != 0 && stamp->size == 0)
        return false;
    if (stamp->inode != 0 && is_being_written(look->folder, name)) {
        look->mail->unsettled = true;
        return false;
    }
    return true;
}

static void look_at(struct look *look, const char *name)
{
    size_t length = strlen(name);
    if (is_aside(look, name))
        return;
    if (!names_work(name)) {
        if (names_stray(name))
            say_left(look, name);
        return;
    }
    OWNED char *id = memory_slice(name, length - 3);
    struct file_stamp stamp = files_stamp_at(look->folder, name);
    if (stamp.inode != 0 && keep_known(look, id, &stamp))
        return;
    if (!is_at_rest(look, name, &stamp))
        return;
    OWNED char *text = NULL;
    OWNED char *path = memory_print("%s/%s", mail_folders[look->place], name);
    struct fault fault = {{0}};
    struct letter letter = {.place = look->place, .held = true};
    int found = mail_load(look->folder, id, path, &letter.head, &text, &length, &letter.stamp, &fault);
    OWNED char *taken =
        found == -2 ? mail_take_text(look->mail, look->folder, look->place, name, &fault) : NULL;
    if (taken)
        found = mail_load(look->folder, taken, path, &letter.head, &text, &length, &letter.stamp, &fault);
    if (found == -2)
        set_aside(look, name, fault.text);
    else if (found == -1 && (keep_known(look, id, NULL) || true))
        fail(look, name, fault.text, is_closed(look, name));
    if (found != 1)
        return;
    letter.hash = mail_hash(&letter.head);
    int over = is_over(look, &letter.head, letter.hash);
    if (over < 0)
        fail(look, name, "whether it is over can't be read in " TREE_ARCHIVE, false);
    if (over != 0) {
        letter_free(&letter);
        return;
    }
    free(letter.head.body);
    letter.head.body = NULL;
    add(look->mail, &letter);
}

static int by_age(const void *a, const void *b)
{
    const struct letter *first = a, *second = b;
    if (first->head.created != second->head.created)
        return first->head.created < second->head.created ? -1 : 1;
    return strcmp(first->head.id, second->head.id);
}

/* NULL: the problem has been said. */
static struct listing *open_where(struct look *look, const char *where)
{
    struct fault fault = {{0}};
    int fd = files_open_folder(look->mail->tree, where, true, &fault);
    struct listing *listing = fd >= 0 ? listing_take(fd, where, &fault) : NULL;
    look->where = where;
    look->folder = listing ? listing_folder(listing) : -1;
    look->problem_count = 0;
    if (!listing)
        buffer_print(look->problems, "%s: %s\n", where, fault.text);
    return listing;
}

static void close_where(struct look *look, struct listing *listing)
{
    struct fault fault = {{0}};
    if (!listing_close(listing, &fault))
        buffer_print(look->problems, "%s: %s; it is tried again\n", look->where, fault.text);
    if (look->problem_count > PROBLEMS_MAX)
        buffer_print(look->problems, "%s: and %zu more\n", look->where, look->problem_count - PROBLEMS_MAX);
}

/* Outgoing envelopes are the supervisor's to read; a file that could not be sent stays there under another name, and is
 * told. */
static void look_out(struct look *look)
{
    struct listing *listing = open_where(look, TREE_OUTBOX);
    if (!listing)
        return;
    for (const char *name; (name = listing_next(listing));) {
        if (is_aside(look, name) || !names_stray(name))
            continue;
        if (!names_work(name))
            say_left(look, name);
        else if (is_being_written(look->folder, name))
            look->mail->unsettled = true;
        else
            set_aside(look, name, "no envelope has such a name");
    }
    close_where(look, listing);
}

static bool is_found(const struct mail *mail, enum mail_place place, const char *id)
{
    for (size_t i = 0; i < mail->count; i++)
        if (mail->letters[i].place == place && strcmp(mail->letters[i].head.id, id) == 0)
            return true;
    return false;
}

/* The names that were met don't tell which envelopes have gone: a known envelope is asked for by its own name, and
 * stays in the list where even that fails. */
static void look_at_known(struct look *look)
{
    look->failed = true;
    for (size_t i = 0; i < look->known_count; i++) {
        char *id = look->known[i].head.id;
        if (look->known[i].place != look->place || is_found(look->mail, look->place, id))
            continue;
        OWNED char *name = memory_print("%s.md", id);
        if (look->folder >= 0)
            look_at(look, name);
        else
            keep_known(look, id, NULL);
    }
}

/* The folder's stamp, by which the next change is noticed: zero, which it never has, as long as it can't be seen whole. */
static struct file_stamp look_into(struct look *look)
{
    struct stat status;
    struct file_stamp stamp = {0};
    struct listing *listing = open_where(look, mail_folders[look->place]);
    if (!listing) {
        if (!files_lasting(errno))
            look_at_known(look);
        return stamp;
    }
    if (fstat(look->folder, &status) == 0)
        stamp = files_stamp(&status);
    for (const char *name; (name = listing_next(listing));)
        look_at(look, name);
    if (listing_failed(listing)) {
        look_at_known(look);
        stamp = (struct file_stamp){0};
    }
    close_where(look, listing);
    return stamp;
}

bool mail_changed(const struct mail *mail)
{
    for (enum mail_place place = 0; place < MAIL_PLACES; place++) {
        struct stat status;
        struct file_stamp stamp = {0};
        if (fstatat(mail->tree, mail_folders[place], &status, AT_SYMLINK_NOFOLLOW) == 0)
            stamp = files_stamp(&status);
        if (!files_stamp_equal(&stamp, &mail->looked[place]))
            return true;
    }
    return false;
}

/* New envelopes are work when the whole folder could be seen, or when the wait for that is over: a file that can never
 * be read shall not stop the others for ever. */
static void release(struct mail *mail, bool failed)
{
    int64_t now = clock_monotonic_ms();
    if (!failed)
        mail->failing_ms = 0;
    else if (mail->failing_ms == 0)
        mail->failing_ms = now;
    if (failed && now - mail->failing_ms < HELD_MS)
        return;
    for (size_t i = 0; i < mail->count; i++)
        mail->letters[i].held = false;
}

void mail_look(struct mail *mail, struct buffer *problems, mail_over over, void *context)
{
    struct look look = {.mail = mail,
                        .known = mail->letters,
                        .known_count = mail->count,
                        .problems = problems,
                        .over = over,
                        .context = context};
    mail->letters = NULL;
    mail->count = 0;
    mail->unsettled = false;
    MEMORY_SORT(look.known, look.known_count, by_place_and_id);
    for (look.place = 0; look.place < MAIL_PLACES; look.place++)
        mail->looked[look.place] = look_into(&look);
    look_out(&look);
    letters_free(look.known, look.known_count);
    mail->closed = look.closed;
    release(mail, look.failed);
    MEMORY_SORT(mail->letters, mail->count, by_age);
}

/* --- asking --- */

bool mail_unsettled(const struct mail *mail)
{
    return mail->unsettled || mail->failing_ms != 0 || mail->dead_failing;
}

int64_t mail_again_ms(const struct mail *mail)
{
    bool soon = mail->unsettled || (mail->failing_ms && clock_monotonic_ms() - mail->failing_ms < HELD_MS);
    return !mail_unsettled(mail) && !mail->closed ? 0 : soon ? AGAIN_MS : AGAIN_LATE_MS;
}

bool mail_silent(const struct mail *mail)
{
    return mail->count == 0 && mail->verdict_count == 0 && mail->telling_count == 0 && !mail->unsettled &&
           !mail_changed(mail);
}

bool mail_expired(const struct envelope *envelope, int64_t now)
{
    return envelope->ttl_seconds > 0 && strcmp(envelope->status, "reading") != 0 &&
           envelope->created <= now - envelope->ttl_seconds;
}

void mail_is_full(struct mail *mail)
{
    mail->full = true;
}

/* starts: of the kinds that start a cycle, or of the other kinds. */
static const struct letter *next_of(const struct mail *mail, int64_t now,
                                    bool (*skip)(void *, const struct letter *), void *context, bool starts)
{
    const struct letter *best = NULL;
    for (size_t i = 0; i < mail->count; i++) {
        const struct letter *letter = &mail->letters[i];
        if (!letter->held && envelope_kind_has(letter->head.kind, KIND_STARTS_CYCLE) == starts &&
            !mail_expired(&letter->head, now) && (!best || letter->head.priority < best->head.priority) &&
            !skip(context, letter))
            best = letter;
    }
    return best;
}

const struct letter *mail_next(struct mail *mail, int64_t now, bool (*skip)(void *, const struct letter *),
                               void *context)
{
    const struct letter *work = next_of(mail, now, skip, context, true);
    const struct letter *other = work || !mail->full ? NULL : next_of(mail, now, skip, context, false);
    mail->full = mail->full && mail->count > 0;
    return work ? work : other;
}

const struct letter *mail_find(const struct mail *mail, const char *id)
{
    for (size_t i = 0; i < mail->count; i++)
        if (strcmp(mail->letters[i].head.id, id) == 0)
            return &mail->letters[i];
    return NULL;
}
