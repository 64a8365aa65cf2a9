/* Telling a sender that its envelope has come to nothing.
 *
 * A bounce is named after its envelope, so that telling twice is telling once. A bounce goes only to a sender whose
 * own tree knows the envelope (its outbox or archive): the `from` in a receiver's tree proves nothing, for the
 * receiver's worker writes there. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/post/part.h"

const char post_removed_by_hand[] = "removed by hand";

enum { QUOTED_MAX = 4096 /* bytes of the original in a bounce */ };

static const unsigned known_to_sender = 1u << FOLDER_OUTBOX | 1u << FOLDER_ARCHIVE;
static const unsigned arrived = 1u << FOLDER_INBOX | 1u << FOLDER_ARCHIVE;

static bool did_send(struct post *post, const char *sender, const char *id)
{
    struct box *box = post_box(post, sender);
    return box && box != post->people && mailbox_lies_in(post->data, sender, id, known_to_sender);
}

enum { MADE_NEVER = -1, MADE_UNKNOWN = -2 /* the bounce there can't be read now */ };

/* When the bounce of that id was made. */
static int64_t made_at(struct post *post, const char *sender, const char *id)
{
    unsigned lies = mailbox_lies_in(post->data, sender, id, arrived);
    OWNED_ENVELOPE struct envelope envelope = {0};
    if (!lies)
        return MADE_NEVER;
    enum folder folder = lies & 1u << FOLDER_INBOX ? FOLDER_INBOX : FOLDER_ARCHIVE;
    enum mailbox_found found = mailbox_read(post->data, sender, folder, id, &envelope, NULL, NULL);
    if (found != MAILBOX_READ)
        return found == MAILBOX_NONE ? INT64_MAX : MADE_UNKNOWN;
    return envelope.created;
}

static char *name_of_life(const char *about, int64_t created)
{
    OWNED char *name = memory_print("%s-bounce-%" PRId64, about, created);
    return names_file(name);
}

/* *id: the bounce's, the caller's to free. A requeued envelope lives again under its id, created later: a bounce of
 * its former life doesn't count. A bounce of a node that had the receiver before has the life in its name. */
static enum bounce find_id(struct post *post, const struct envelope *about, char **id)
{
    OWNED char *plain = memory_print("%s-bounce", about->id), *first = names_file(plain);
    OWNED char *again = name_of_life(about->id, about->created);
    int64_t before = made_at(post, about->from, first), of_this_life = made_at(post, about->from, again);
    *id = NULL;
    if (before == MADE_UNKNOWN || of_this_life == MADE_UNKNOWN)
        return BOUNCE_LATER;
    if (of_this_life != MADE_NEVER || before >= about->created)
        return BOUNCE_NEEDLESS;
    *id = memory_text(before == MADE_NEVER ? first : again);
    return BOUNCE_ADDED;
}

enum bounce post_bounce_came(struct post *post, const struct envelope *bounce)
{
    const char *life = strrchr(bounce->id, '-');
    OWNED char *id = NULL;
    struct envelope about = {
        .id = bounce->in_reply_to, .from = bounce->to, .created = life ? strtoll(life + 1, NULL, 10) : 0};
    OWNED char *name = about.id ? name_of_life(about.id, about.created) : NULL;
    if (!name || !did_send(post, about.from, about.id))
        return BOUNCE_NEEDLESS;
    return strcmp(name, bounce->id) == 0 ? find_id(post, &about, &id) : BOUNCE_ADDED;
}

/* To a sender elsewhere: its node alone can see the bounces of a former life, so the id names the life. A bounce in
 * FOLDER_SENT is on its way. */
static enum bounce find_far_id(struct post *post, const struct envelope *about, const char *from, char **id)
{
    struct box *box = post_box(post, from);
    *id = name_of_life(about->id, about->created);
    return box && post_stamp_of(box, FOLDER_SENT, *id).inode == 0 ? BOUNCE_ADDED : BOUNCE_NEEDLESS;
}

static int tells_of_removal(struct post *post, const struct envelope *about, const char *id)
{
    unsigned lies = mailbox_lies_in(post->data, about->from, id, arrived);
    OWNED_ENVELOPE struct envelope bounce = {0};
    if (!lies)
        return 0;
    enum folder folder = lies & 1u << FOLDER_INBOX ? FOLDER_INBOX : FOLDER_ARCHIVE;
    enum mailbox_found found = mailbox_read(post->data, about->from, folder, id, &bounce, NULL, NULL);
    if (found != MAILBOX_READ)
        return found == MAILBOX_LATER ? -1 : 0;
    return bounce.created >= about->created && bounce.reason &&
           strcmp(bounce.reason, post_removed_by_hand) == 0 && bounce.in_reply_to &&
           strcmp(bounce.in_reply_to, about->id) == 0;
}

int post_removal_told(struct post *post, const struct envelope *about)
{
    OWNED char *plain = memory_print("%s-bounce", about->id), *first = names_file(plain);
    OWNED char *again = name_of_life(about->id, about->created);
    int told = tells_of_removal(post, about, first);
    return told != 0 ? told : tells_of_removal(post, about, again);
}

static char *body_of(const struct envelope *about, const char *from, const char *reason)
{
    size_t length = about->body ? strlen(about->body) : 0, cut = length < QUOTED_MAX ? length : QUOTED_MAX;
    while (cut < length && cut > 0 && ((unsigned char)about->body[cut] & 0xc0) == 0x80)
        cut--; /* not in the middle of a character */
    return memory_print("Your %s %s to %s came to nothing: %s.\n\nIts text:\n\n%.*s%s\n",
                        envelope_kind_name(about->kind), about->id, from, reason, (int)cut,
                        about->body ? about->body : "", cut < length ? "\n[…]" : "");
}

/* Whether the sender's shelf has room. The worker is asked to read a full shelf, and a shelf that is not known yet
 * (start.c) is taken up first. A removal by a person is told all the same: no file is left to tell of it later. */
static bool has_shelf_room(struct box *sender, const char *from, const char *reason, size_t before)
{
    int64_t backlog, unread = post_unread_of(sender, from) + (int64_t)before;
    post_window(sender, &backlog);
    bool has = !sender->fresh && unread < backlog;
    if (sender->fresh)
        post_wake(sender);
    else if (unread + 1 >= backlog)
        post_look_due(sender, WAKE_FULL);
    sender->pump.owed = sender->pump.owed || !has;
    return has || reason == post_removed_by_hand;
}

enum bounce post_add_bounce(struct post *post, struct batch *batch, const struct envelope *about,
                            const char *from, const char *reason, size_t before, size_t *number)
{
    struct box *sender = post_box(post, about->from);
    bool far = sender && is_far(sender);
    if (!envelope_kind_has(about->kind, KIND_EXPECTS_ANSWER) ||
        (!far && !did_send(post, about->from, about->id)))
        return BOUNCE_NEEDLESS;
    OWNED char *id = NULL;
    enum bounce bounce_is = far ? find_far_id(post, about, from, &id) : find_id(post, about, &id);
    if (bounce_is != BOUNCE_ADDED)
        return bounce_is;
    if (!far && !has_shelf_room(sender, from, reason, before)) /* elsewhere the sender's node sees to it */
        return BOUNCE_WAITS;
    OWNED char *body = body_of(about, from, reason);
    const struct envelope bounce = {
        .id = id,
        .kind = KIND_BOUNCE,
        .from = (char *)from,
        .to = about->from,
        .created = clock_now(),
        .priority = about->priority,
        .status = far ? "pending" : "delivered",
        .hops = about->hops,
        .trace = about->trace,
        .in_reply_to = about->id,
        .delivered = far ? 0 : clock_now(),
        .reason = (char *)reason,
        .body = body,
    };
    *number = mailbox_add(batch, far ? from : about->from, far ? FOLDER_SENT : FOLDER_INBOX, &bounce, false);
    return BOUNCE_ADDED;
}

bool post_bounce_written(struct post *post, const struct batch *batch, size_t number,
                         const struct envelope *about, const char *from, struct fault *fault)
{
    enum write_result result = batch_result(batch, number, fault);
    struct box *sender = post_box(post, about->from);
    if (result == WRITE_FAILED || !sender || sender == post->people)
        return result != WRITE_FAILED;
    if (result == WRITE_EXISTS && !is_far(sender)) { /* as the file says */
        sender->look.wanted = true;
        post_wake(sender);
        return true;
    }
    const char *file = batch_file(batch, number);
    OWNED char *id = memory_slice(file, strlen(file) - strlen(".md"));
    struct file_stamp stamp = batch_written(batch, number);
    const struct envelope bounce = {.id = id,
                                    .kind = KIND_BOUNCE,
                                    .from = (char *)from,
                                    .to = about->from,
                                    .created = clock_now(),
                                    .priority = about->priority,
                                    .status = (char[]){"delivered"}};
    if (is_far(sender))
        post_owes(post_box(post, from), sender, &bounce);
    else
        post_lies_there(sender, FOLDER_INBOX, &bounce, &stamp);
    return true;
}

void post_bounced(struct post *post, const struct envelope *about, const char *reason)
{
    struct box *sender = post_box(post, about->from);
    if (!sender || !envelope_kind_has(about->kind, KIND_EXPECTS_ANSWER))
        return;
    post_note(sender, "envelope_bounced", about, reason);
    if (sender != post->people)
        post_look_due(sender, WAKE_LOOK);
}

enum bounce post_bounce_now(struct post *post, const struct envelope *about, const char *from,
                            const char *reason, struct fault *fault)
{
    OWNED_BATCH struct batch batch = {0};
    size_t number;
    enum bounce bounce = post_add_bounce(post, &batch, about, from, reason, 0, &number);
    if (bounce == BOUNCE_LATER)
        fault_set(fault, "whether '%s' was told already can't be read now", about->from);
    if (bounce == BOUNCE_ADDED) {
        batch_flush(post->data, &batch);
        if (!post_bounce_written(post, &batch, number, about, from, fault))
            bounce = BOUNCE_LATER;
    }
    if (bounce == BOUNCE_ADDED || (bounce == BOUNCE_NEEDLESS && strcmp(about->from, POST_OPERATOR) == 0))
        post_bounced(post, about, reason);
    return bounce;
}

bool post_bounce(struct post *post, const struct envelope *about, const char *from, const char *reason,
                 struct fault *fault)
{
    enum bounce bounce = post_bounce_now(post, about, from, reason, fault);
    if (bounce == BOUNCE_WAITS)
        fault_set(fault, "'%s' has not read the results and bounces that it has from %s", about->from, from);
    return bounce == BOUNCE_NEEDLESS || bounce == BOUNCE_ADDED;
}

/* --- earlier deliveries --- */

static const unsigned delivered_to =
    1u << FOLDER_INBOX | 1u << FOLDER_HANDOFFS | 1u << FOLDER_ARCHIVE | 1u << FOLDER_DEAD_LETTERS;

/* The envelope was delivered, and a person has removed it from its receiver's tree, while the sender's copy still
 * lies in its place: the envelope is not delivered again. In the first second the file may only have been moved; the
 * index has it then. */
static bool was_removed(struct box *sender, struct box *receiver, const struct envelope *envelope)
{
    struct envelope_index *index = sender->post->index;
    const struct index_entry *known = envelope_index_find(index, receiver, FOLDER_HANDOFFS, envelope->id);
    if (!known)
        known = envelope_index_find(index, receiver, FOLDER_INBOX, envelope->id);
    int removed = known && known->from && strcmp(known->from, sender->name) == 0 ? 1
                  : sender == sender->post->people || is_far(sender)
                      ? 0
                      : post_removal_told(sender->post, envelope);
    if (removed > 0)
        post_verdict(sender, envelope->id, "delivered", "");
    else if (removed < 0)
        post_try_later(sender, envelope->id, "whether it was delivered already can't be read now");
    return removed != 0;
}

bool post_repeated(struct box *sender, struct box *receiver, const struct envelope *envelope)
{
    struct post *post = sender->post;
    unsigned lies = mailbox_lies_in(post->data, receiver->name, envelope->id, delivered_to);
    for (enum folder folder = 0; folder < FOLDER_COUNT; folder++) {
        OWNED_ENVELOPE struct envelope there = {0};
        if (!(lies & 1u << folder))
            continue;
        bool read = mailbox_read(post->data, receiver->name, folder, envelope->id, &there, NULL, NULL) ==
                    MAILBOX_READ;
        bool same = !read || strcmp(there.from, sender->name) == 0;
        bool expired = read && folder == FOLDER_DEAD_LETTERS && there.delivered == 0 &&
                       strcmp(there.status, "expired") == 0;
        if (!same)
            post_refuse(sender, envelope, "another envelope has this id already");
        else if (!mailbox_sync(post->data, receiver->name, folder, envelope->id))
            post_try_later(sender, envelope->id, "its receiver's copy cannot be flushed to disk");
        else
            post_verdict(sender, envelope->id, expired ? "expired" : "delivered", "");
        return true;
    }
    return was_removed(sender, receiver, envelope);
}
