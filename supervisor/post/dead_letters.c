/* The end of envelopes that nobody answered: their time is over, or they failed.
 *
 * An envelope that lies with its receiver: (a) handoffs|inbox/ID.md is renamed to dead-letter/ID.md, so that from
 * this moment the receiver's worker, which takes work by exchanging that very name, can't have it; (b) the file is
 * read there: if the worker was faster (`reading`), the file is put back; (c) the bounce is written into the sender's
 * inbox; (d) the dead letter is written anew with its final status. A crash after (a), (b) or (c) leaves a dead
 * letter without a final status, with which start goes on (post_dead_letter); after (d) only the worker's commit is
 * missing, which the worker makes when it finds a dead letter that its ledger doesn't know.
 *
 * An envelope that still waits at its sender: (c) the bounce, (d) the dead letter into its receiver's tree, (e) the
 * verdict. Until (e) has been acted on, the file in the outbox asks for the envelope to be sent; post_repeated finds
 * the dead letter.
 *
 * A bounce for which its sender's shelf has no room waits: the dead letter is made final all the same, and its
 * holder's dead letters are looked at again when the sender has read others; after a start, every dead letter is.
 *
 * A turn ends up to TURN_MAX envelopes under shared flushes: first all bounces, then all dead letters. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/log.h"
#include "common/memory.h"
#include "supervisor/post/part.h"

enum { RINGS_MAX = 4 * TURN_MAX /* in one turn, the queues' entries too */ };

struct ending {
    struct box *holder;        /* the box that gets the dead letter */
    struct index_entry *entry; /* the waiting one; NULL: the envelope lies in dead-letter/ already */
    struct envelope envelope;
    const char *status;
    char *reason;                /* owned */
    bool bounces, waits, failed; /* waits: the bounce does, until its sender has read others */
    size_t bounce, letter;       /* numbers in the batches */
};

struct endings {
    struct ending items[TURN_MAX];
    size_t count;
};

static void add(struct endings *endings, struct box *holder, struct index_entry *entry,
                struct envelope *envelope, const char *status, char *reason)
{
    endings->items[endings->count++] = (struct ending){
        .holder = holder, .entry = entry, .envelope = *envelope, .status = status, .reason = reason};
    *envelope = (struct envelope){0};
}

/* --- (c) and (d) for all endings --- */

/* The agent that did not do it. */
static const char *who(const struct ending *ending)
{
    return ending->entry ? ending->entry->to->name : ending->holder->name;
}

/* Bounces of the same batch, before this one, from the same holder to the same sender. */
static size_t bounces_before(const struct endings *endings, const struct ending *ending)
{
    size_t count = 0;
    for (const struct ending *other = endings->items; other < ending; other++)
        count += other->bounces && strcmp(who(other), who(ending)) == 0 &&
                 strcmp(other->envelope.from, ending->envelope.from) == 0;
    return count;
}

static void write_bounces(struct post *post, struct endings *endings)
{
    OWNED_BATCH struct batch batch = {0};
    for (size_t i = 0; i < endings->count; i++) {
        struct ending *ending = &endings->items[i];
        enum bounce bounce = post_add_bounce(post, &batch, &ending->envelope, who(ending), ending->reason,
                                             bounces_before(endings, ending), &ending->bounce);
        ending->bounces = bounce == BOUNCE_ADDED;
        ending->waits = bounce == BOUNCE_WAITS;
        ending->failed = bounce == BOUNCE_LATER;
        if (ending->failed)
            log_warn("post", ending->holder->name,
                     "Envelope %s has %s; whether its sender was told already can't be read now, it is tried "
                     "again",
                     ending->envelope.id, ending->status);
    }
    if (batch.count)
        batch_flush(post->data, &batch);
    for (size_t i = 0; i < endings->count; i++) {
        struct ending *ending = &endings->items[i];
        struct fault fault = {""};
        if (!ending->bounces ||
            post_bounce_written(post, &batch, ending->bounce, &ending->envelope, who(ending), &fault))
            continue;
        log_warn("post", ending->holder->name, "Envelope %s has %s; its sender is told later: %s",
                 ending->envelope.id, ending->status, fault.text);
        ending->failed = true;
    }
}

static void write_letters(struct post *post, struct endings *endings)
{
    OWNED_BATCH struct batch batch = {0};
    for (size_t i = 0; i < endings->count; i++) {
        struct ending *ending = &endings->items[i];
        if (ending->failed)
            continue;
        ending->envelope.finished = clock_now();
        memory_set(&ending->envelope.status, ending->status);
        memory_set(&ending->envelope.reason, ending->reason);
        ending->letter = mailbox_add(&batch, ending->holder->name, FOLDER_DEAD_LETTERS, &ending->envelope,
                                     ending->entry == NULL);
    }
    if (batch.count)
        batch_flush(post->data, &batch);
    for (size_t i = 0; i < endings->count; i++) {
        struct ending *ending = &endings->items[i];
        struct fault fault = {""};
        if (ending->failed || batch_result(&batch, ending->letter, &fault) != WRITE_FAILED)
            continue;
        log_warn("post", ending->holder->name, "Envelope %s has %s; it is tried again: %s",
                 ending->envelope.id, ending->status, fault.text);
        ending->failed = true;
    }
}

static void tell(struct post *post, struct ending *ending)
{
    struct box *holder = ending->holder;
    bool expired = strcmp(ending->status, "expired") == 0;
    holder->dead.owe = holder->dead.owe || ending->waits;
    post_note(holder, expired ? "envelope_expired" : "envelope_failed", &ending->envelope, ending->reason);
    if (ending->bounces || strcmp(ending->envelope.from, POST_OPERATOR) == 0)
        post_bounced(post, &ending->envelope, ending->reason);
    if (ending->entry) {
        post_verdict(ending->entry->box, ending->envelope.id, ending->status, ending->reason);
        post_forget(post, ending->entry);
    } else if (ending->envelope.kind == KIND_ITEM && post->hooks.item_ended) {
        post->hooks.item_ended(post->hooks.context, holder->name, ending->envelope.id, ending->status);
    }
    post_look_due(holder, WAKE_UP);
}

static void try_again(struct post *post, struct ending *ending)
{
    if (ending->entry)
        expiry_set(post->expiry, &ending->entry->expiry, clock_now() + 1);
    else
        ending->holder->dead.after_ms = clock_monotonic_ms() + RETRY_MS;
    post_wake(ending->holder);
}

static void finish(struct post *post, struct endings *endings)
{
    write_bounces(post, endings);
    write_letters(post, endings);
    for (size_t i = 0; i < endings->count; i++) {
        struct ending *ending = &endings->items[i];
        if (ending->failed)
            try_again(post, ending);
        else
            tell(post, ending);
        envelope_free(&ending->envelope);
        free(ending->reason);
    }
    endings->count = 0;
}

/* --- (b): files in dead-letter/ --- */

static void put_back(struct box *box, const struct envelope *envelope)
{
    struct post *post = box->post;
    enum folder folder = envelope_kind_has(envelope->kind, KIND_IS_WORK) ? FOLDER_HANDOFFS : FOLDER_INBOX;
    unsigned lies = mailbox_lies(post->data, box->name, envelope->id);
    box->look.wanted = true;
    if (lies & 1u << FOLDER_ARCHIVE) { /* the holder's worker has come to the end of it meanwhile */
        mailbox_remove(post->data, box->name, FOLDER_DEAD_LETTERS, envelope->id);
    } else if (mailbox_move(post->data, box->name, FOLDER_DEAD_LETTERS, folder, envelope->id)) {
        post_lies_there(box, folder, envelope, NULL);
    } else if (errno != ENOENT) {
        log_warn("post", box->name,
                 "Envelope %s, which is being read, cannot be put back into %s; it is tried again: %s",
                 envelope->id, mailbox_folder_name(folder), strerror(errno));
        box->dead.after_ms = clock_monotonic_ms() + RETRY_MS;
    }
    post_wake(box);
}

enum bounce post_tell_end(struct box *box, const struct envelope *envelope, struct fault *fault)
{
    bool failed = strcmp(envelope->status, "failed") == 0;
    const char *reason = envelope->reason ? envelope->reason : envelope->status;
    if ((!failed && strcmp(envelope->status, "expired") != 0) || strcmp(envelope->from, POST_OPERATOR) == 0 ||
        envelope->kind == KIND_TASK)
        return BOUNCE_NEEDLESS;
    enum bounce bounce = post_bounce_now(box->post, envelope, box->name, reason, fault);
    box->dead.owe = box->dead.owe || bounce == BOUNCE_WAITS;
    return bounce;
}

static void tell_again(struct box *box, const struct envelope *envelope)
{
    struct fault fault;
    if (post_tell_end(box, envelope, &fault) == BOUNCE_LATER) {
        log_warn("post", box->name, "The sender of %s is told later that it has %s: %s", envelope->id,
                 envelope->status, fault.text);
        box->dead.after_ms = clock_monotonic_ms() + RETRY_MS;
        post_wake(box);
    }
}

static char *why_it_expired(const struct envelope *envelope)
{
    return memory_print("it was not read within %" PRId64 " s", envelope->ttl_seconds);
}

/* The box's dead letters are looked at again later, as one of them can't be read now. */
static void look_later(struct box *box)
{
    box->dead.after_ms = clock_monotonic_ms() + RETRY_MS;
    post_wake(box);
}

static void go_on_with(struct box *box, const char *id, struct endings *endings)
{
    struct post *post = box->post;
    OWNED_ENVELOPE struct envelope envelope = {0};
    unsigned live = 1u << FOLDER_INBOX | 1u << FOLDER_HANDOFFS;
    enum mailbox_found found =
        mailbox_read(post->data, box->name, FOLDER_DEAD_LETTERS, id, &envelope, NULL, NULL);
    if (found == MAILBOX_LATER)
        look_later(box);
    if (found != MAILBOX_READ)
        return;
    int64_t at = expiry_of(envelope.created, envelope.ttl_seconds);
    if (envelope_final(envelope.status)) {
        tell_again(box, &envelope);
    } else if (strcmp(envelope.status, "reading") == 0) {
        put_back(box, &envelope);
    } else if (!mailbox_lies_in(post->data, box->name, id, live)) { /* else a person made it as a copy */
        if (at >= 0 && at <= clock_now())
            add(endings, box, NULL, &envelope, "expired", why_it_expired(&envelope));
        else
            add(endings, box, NULL, &envelope, "failed", memory_text("it was made a dead letter by hand"));
    }
}

void post_dead_letter(struct box *box, const char *id)
{
    struct endings endings = {.count = 0};
    go_on_with(box, id, &endings);
    finish(box->post, &endings);
}

/* Whether a requeue ended between its two steps: then the envelope lives again, and is created later than its dead
 * letter. -1: the files can't be read now. */
static int is_requeued(struct box *box, const char *id)
{
    struct post *post = box->post;
    bool requeued = false, unread = false;
    unsigned lies = mailbox_lies(post->data, box->name, id);
    for (enum folder folder = FOLDER_INBOX; folder <= FOLDER_HANDOFFS; folder++) {
        if (!(lies & 1u << folder))
            continue;
        OWNED_ENVELOPE struct envelope dead = {0}, live = {0};
        enum mailbox_found lives = mailbox_read(post->data, box->name, folder, id, &live, NULL, NULL);
        enum mailbox_found lay =
            mailbox_read(post->data, box->name, FOLDER_DEAD_LETTERS, id, &dead, NULL, NULL);
        if (lives == MAILBOX_READ && lay == MAILBOX_READ)
            requeued = requeued || (envelope_final(dead.status) && live.created >= dead.finished);
        unread = unread || lives == MAILBOX_LATER || lay == MAILBOX_LATER;
    }
    return requeued ? 1 : unread ? -1 : 0;
}

static void go_through(struct box *box, const char *id, struct endings *endings)
{
    int requeued = is_requeued(box, id);
    if (requeued > 0)
        mailbox_remove(box->post->data, box->name, FOLDER_DEAD_LETTERS, id);
    else if (requeued < 0)
        look_later(box);
    else
        go_on_with(box, id, endings);
    if (endings->count == TURN_MAX)
        finish(box->post, endings);
}

/* Goes on where the former look stopped; false: this look stopped again, for others to have their turn. */
static bool look_through(struct box *box, const struct mailbox_names *names, struct endings *endings)
{
    size_t looked_at = 0;
    for (size_t i = 0; i < names->count; i++) {
        if (box->dead.from && strcmp(names->ids[i], box->dead.from) <= 0)
            continue;
        OWNED char *file = memory_print("%s.md", names->ids[i]);
        struct file_stamp letter = files_stamp_at(listing_folder(names->listing), file);
        if (letter.inode == 0 || letter.changed_ns < box->dead.looked_ns - INT64_C(10000000000))
            continue;
        go_through(box, names->ids[i], endings);
        if (++looked_at == TURN_MAX) {
            memory_set(&box->dead.from, names->ids[i]);
            return false;
        }
    }
    return true;
}

void post_dead_letters(struct box *box)
{
    struct post *post = box->post;
    struct endings endings = {.count = 0};
    OWNED_NAMES struct mailbox_names names = {0};
    int64_t begun_ns = clock_kernel_ns();
    box->dead.after_ms = 0;
    if (!box->dead.from) {
        box->dead.began_ns = clock_now_ms() * 1000000;
        if (box->dead.began_ns < box->dead.looked_ns) /* the clock was set back */
            box->dead.looked_ns = 0;
        box->dead.owe = false; /* this look finds out */
    }
    if (!mailbox_list(post->data, box->name, FOLDER_DEAD_LETTERS, &names))
        return;
    /* A look of several turns counts as its first one: a file that came behind that may sort before the last ones. */
    if (!box->dead.from)
        post_looked(box, FOLDER_DEAD_LETTERS, &names.stamp, names.count, begun_ns);
    bool whole = look_through(box, &names, &endings);
    bool failed = names.failed;
    finish(post, &endings);
    if (!whole || box->dead.again)
        box->dead.wanted = true;
    if (!whole)
        return;
    box->dead.again = false;
    if (failed) { /* the next scan finds the folder changed */
        post_looked(box, FOLDER_DEAD_LETTERS, &(struct file_stamp){0}, names.count, begun_ns);
        memory_set(&box->dead.from, NULL);
        return;
    }
    if (!box->dead.after_ms && !box->dead.owe)
        box->dead.looked_ns = box->dead.began_ns;
    memory_set(&box->dead.from, NULL);
}

/* --- (a): due envelopes --- */

/* Takes the envelope away over a dead letter of the same id. False and errno; ENOENT: the envelope was the copy of a
 * dead one, and has gone. */
static bool take_away_over(struct index_entry *entry, const char *id)
{
    struct box *box = entry->box;
    struct post *post = box->post;
    int newer = is_requeued(box, id);
    if (newer < 0) {
        errno = EIO;
        return false;
    }
    mailbox_remove(post->data, box->name, newer ? FOLDER_DEAD_LETTERS : entry->folder, id);
    if (newer)
        return mailbox_move(post->data, box->name, entry->folder, FOLDER_DEAD_LETTERS, id);
    errno = ENOENT;
    return false;
}

static void take_away(struct index_entry *entry, struct endings *endings)
{
    struct box *box = entry->box;
    struct post *post = box->post;
    OWNED char *id = memory_text(entry->id);
    bool moved = mailbox_move(post->data, box->name, entry->folder, FOLDER_DEAD_LETTERS, id);
    /* The former life of the envelope is dead already, or the original of which it is a copy. */
    if (!moved && errno == EEXIST)
        moved = take_away_over(entry, id);
    if (moved) {
        post_forget(post, entry);
        box->pump.wanted = true;
        post_wake(box);
        go_on_with(box, id, endings);
        return;
    }
    if (errno != ENOENT) {
        log_warn("post", box->name,
                 "Envelope %s has expired, but cannot be made a dead letter; tried again: %s", id,
                 strerror(errno));
        expiry_set(post->expiry, &entry->expiry, clock_now() + 1);
        return;
    }
    box->look.wanted = true; /* somebody was faster */
    post_wake(box);
}

static void end_with_receiver(struct index_entry *entry, struct endings *endings)
{
    struct box *box = entry->box;
    struct post *post = box->post;
    OWNED_ENVELOPE struct envelope envelope = {0};
    struct file_stamp stamp = post_stamp_of(box, entry->folder, entry->id);
    if (!post_owns(box)) {
        expiry_set(post->expiry, &entry->expiry, clock_now() + 1);
        return;
    }
    if (stamp.inode && files_stamp_equal(&stamp, &entry->stamp) && !entry->reading &&
        post_is_over(entry, clock_now())) { /* nobody has touched the file: the index is right */
        take_away(entry, endings);
        return;
    }
    enum mailbox_found found =
        mailbox_read(post->data, box->name, entry->folder, entry->id, &envelope, &entry->stamp, NULL);
    if (found == MAILBOX_READ) {
        envelope_index_describe(entry, &envelope);
        /* People may have given the envelope more time, or its worker has begun with it. */
        post_mind(post, entry);
        if (!entry->reading && post_is_over(entry, clock_now())) {
            expiry_clear(post->expiry, &entry->expiry);
            take_away(entry, endings);
        }
    } else {
        box->look.wanted = true;
        post_wake(box);
    }
}

static void end_while_waiting(struct index_entry *entry, struct endings *endings)
{
    struct box *sender = entry->box, *receiver = entry->to;
    struct post *post = sender->post;
    OWNED_ENVELOPE struct envelope envelope = {0};
    if (entry->way != WAY_WAITS) { /* only the receiver's node knows whether the envelope was in time */
        receiver->pump.wanted = true;
        post_wake(receiver);
        return;
    }
    if (!post_owns(sender) || !post_owns(receiver)) { /* their present nodes say how the envelope ends */
        expiry_set(post->expiry, &entry->expiry, clock_now() + 1);
        return;
    }
    if (is_far(sender)) { /* the envelope was over when it came */
        if (entry->envelope)
            add(endings, receiver, entry, entry->envelope, "expired", why_it_expired(entry->envelope));
        return;
    }
    enum mailbox_found found =
        mailbox_read(post->data, sender->name, FOLDER_OUTBOX, entry->id, &envelope, NULL, NULL);
    if (found == MAILBOX_LATER) {
        expiry_set(post->expiry, &entry->expiry, clock_now() + 1);
        return;
    }
    if (found != MAILBOX_READ || (!is_far(receiver) && post_repeated(sender, receiver, &envelope))) {
        post_forget(post, entry);
        return;
    }
    memory_set(&envelope.from, sender->name);
    /* An envelope for another node has its dead letter with its sender: its receiver's tree isn't here. */
    add(endings, is_far(receiver) ? sender : receiver, entry, &envelope, "expired",
        why_it_expired(&envelope));
}

void post_expire(struct post *post)
{
    struct endings endings = {.count = 0};
    int64_t now = clock_now();
    post->ringing.count = 0;
    for (size_t rings = 0; rings < RINGS_MAX && post->ringing.count < TURN_MAX; rings++)
        if (!expiry_ring(post->expiry, now))
            break;
    for (size_t i = 0; i < post->ringing.count; i++) {
        struct index_entry *entry = post->ringing.entries[i];
        post->ringing.entries[i] = NULL;
        if (entry && entry->to)
            end_while_waiting(entry, &endings);
        else if (entry)
            end_with_receiver(entry, &endings);
    }
    post->ringing.count = 0;
    finish(post, &endings);
}
