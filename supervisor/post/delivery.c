/* Envelopes in outboxes: each one's permission to go, the receiver's room, and the way into the other tree.
 *
 * An envelope for an agent first waits for its receiver; then the receiver's window is filled with waiting envelopes,
 * in their order; of the rest, as many as the backlog takes are deferred, the others refused. So no newcomer
 * overtakes a deferred envelope, and order is kept.
 *
 * The file of a waiting envelope stays in its sender's outbox until the sender has a verdict; the copy in the
 * receiver's tree is on disk before the verdict is said. A crash between leaves both, and the sender's next POST
 * finds the copy by its name (post_repeated), also when the copy was read, answered or has expired meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/post/part.h"
#include "supervisor/store/route.h"

enum { DEFERRED_GROWS = 1024 /* bytes */ };

/* --- the envelopes of an outbox --- */

static void add_id(struct box *box, char *id)
{
    if (box->outbox.done == box->outbox.count)
        box->outbox.done = box->outbox.count = 0;
    *MEMORY_ADD(box->outbox.ids, box->outbox.count) = id;
}

void post_outbox_ids(struct box *box, const char *ids)
{
    bool all = *ids == '\0';
    while (*ids && !all) {
        size_t length = strcspn(ids, "\n");
        OWNED char *id = memory_slice(ids, length);
        all = box->outbox.count - box->outbox.done >= IDS_MAX;
        if (!all && names_id(id)) {
            add_id(box, id);
            id = NULL;
        }
        ids += length + (ids[length] == '\n');
    }
    if (all)
        box->outbox.wanted = true;
    post_wake(box);
}

void post_outbox_look(struct box *box)
{
    OWNED_NAMES struct mailbox_names names = {0};
    int64_t begun_ns = clock_kernel_ns();
    box->outbox.after_ms = clock_monotonic_ms() + OUTBOX_REST_MS;
    box->outbox.wanted = false;
    /* A list that is cut off isn't used: an envelope that it lacks may be older than the envelopes on it. */
    if (!mailbox_list(box->post->data, box->name, FOLDER_OUTBOX, &names) || names.failed) {
        box->outbox.wanted = true;
        box->outbox.after_ms += RETRY_MS;
        return;
    }
    size_t files = names.count;
    post_origins_looked(box, files);
    box->far.taken_over &= names.count > 0;
    for (size_t i = 0; i < names.count; i++) {
        add_id(box, names.ids[i]);
        names.ids[i] = NULL;
    }
    if (names.strays && box != box->post->people)
        post_look_due(box, WAKE_LOOK); /* the sender's worker says what becomes of the strays */
    post_looked(box, FOLDER_OUTBOX, &names.stamp, files, begun_ns);
}

/* --- messages --- */

static void not_an_envelope(struct box *sender, const char *id, const struct fault *fault)
{
    struct post *post = sender->post;
    struct envelope what = {.id = (char *)id, .kind = KIND_MESSAGE, .from = sender->name, .to = "nobody"};
    post_note_refusal(sender, "envelope_set_aside", &what, fault->text);
    if (sender != post->people) {
        post_verdict(sender, id, "refused", fault->text); /* the sender's worker sets the file aside */
        return;
    }
    OWNED_FD int folder = mailbox_open(post->data, POST_OPERATOR, FOLDER_OUTBOX, false);
    OWNED char *file = memory_print("%s.md", id);
    OWNED char *aside = memory_print("%s.md.unreadable-%lld", id, (long long)clock_now());
    if (folder >= 0)
        renameat2(folder, file, folder, aside, RENAME_NOREPLACE);
}

/* --- deciding --- */

void post_let_wait(struct box *sender, struct box *receiver, struct envelope *envelope)
{
    struct post *post = sender->post;
    struct index_entry *entry =
        envelope_index_add(post->index, &receiver->waits, sender, FOLDER_OUTBOX, envelope->id);
    envelope_index_describe(entry, envelope);
    post_waits_for(entry, receiver);
    entry->reading = false;
    if (is_far(receiver) && sender->far.taken_over)
        post_may_have_been_sent(sender, envelope);
    entry->way = is_far(receiver) && post_was_sent(sender, envelope->id) ? WAY_TRIED : WAY_WAITS;
    entry->fresh = entry->way == WAY_WAITS && !is_far(sender) &&
                   !(sender->outbox.from_start && strcmp(envelope->status, "deferred") == 0);
    post_mind(post, entry);
    if (is_far(sender) || (entry->way == WAY_WAITS && strlen(envelope->body) <= KEPT_MAX)) {
        struct envelope *letter = memory_new(1, sizeof *letter);
        *letter = *envelope;
        *envelope = (struct envelope){0};
        envelope_index_keep(entry, letter);
    }
    receiver->pump.wanted = true;
    post_wake(receiver);
}

static bool lives_elsewhere(const struct post *post, const char *name)
{
    const struct box *box = post_box(post, name);
    return box && is_far(box);
}

static void decide(struct box *sender, struct envelope *envelope)
{
    struct post *post = sender->post;
    struct fault why = {""};
    bool is_result = envelope->kind == KIND_RESULT;
    /* The requester's node, where it isn't this one, sees to it. */
    bool asked = is_result && !lives_elsewhere(post, envelope->to);
    enum result_verdict verdict = asked ? post_result(sender, envelope, &why) : RESULT_TAKEN;
    if (verdict == RESULT_LATER) {
        post_try_later(sender, envelope->id, why.text);
        return;
    }
    if (verdict == RESULT_REFUSED) {
        post_refuse(sender, envelope, why.text);
        return;
    }
    enum route route = route_of(envelope, sender->definition, post->roster, is_result, &why);
    struct box *receiver =
        route == ROUTE_INBOX || route == ROUTE_HANDOFFS ? post_box(post, envelope->to) : NULL;
    switch (route) {
    case ROUTE_REFUSED:
        post_refuse(sender, envelope, why.text);
        return;
    case ROUTE_QUEUE:
        post_submit_item(sender, envelope);
        return;
    case ROUTE_SEGMENT:
        post_submit_write(sender, envelope);
        return;
    default:
        if (!receiver || receiver->leaving || receiver == post->people)
            post_refuse(sender, envelope, "there is no such agent");
        else if (is_far(receiver) || !post_owns(receiver) || !post_repeated(sender, receiver, envelope))
            post_let_wait(sender, receiver, envelope);
    }
}

/* A waiting envelope was small enough when it came: its sender's worker has written status and reason into it since. */
static bool is_too_large(const struct envelope *envelope, size_t size)
{
    bool waits = envelope && strcmp(envelope->status, "deferred") == 0;
    return size > ENVELOPE_MAX + (waits ? DEFERRED_GROWS : 0);
}

static void refuse_large(struct box *sender, const struct envelope *envelope, size_t size)
{
    OWNED char *reason = memory_print("it has %zu bytes, an envelope at most %d", size, ENVELOPE_MAX);
    post_refuse(sender, envelope, reason);
}

static void cannot_be_read(struct box *sender, const char *id, const struct fault *fault)
{
    struct file_stamp stamp = post_stamp_of(sender, FOLDER_OUTBOX, id);
    const struct envelope what = {
        .id = (char *)id, .kind = KIND_MESSAGE, .from = sender->name, .to = "somebody"};
    if (sender != sender->post->people && is_too_large(NULL, stamp.size))
        refuse_large(sender, &what, stamp.size);
    else
        not_an_envelope(sender, id, fault);
}

/* The sender has not heard the envelope's end, or not acted on it: the other node says it once more. */
static void asked_again(struct index_entry *entry)
{
    entry->way = WAY_TRAVELS;
    entry->held_until_ms = 0;
    entry->to->pump.wanted = true;
    post_wake(entry->to);
}

static void decide_on(struct box *sender, const char *id)
{
    struct post *post = sender->post;
    OWNED_ENVELOPE struct envelope envelope = {0};
    struct file_stamp stamp;
    struct fault fault;
    struct index_entry *known = envelope_index_find(post->index, sender, FOLDER_OUTBOX, id);
    if (known) {
        if (known->way == WAY_ANSWERED)
            asked_again(known);
        else if (!known->fresh)
            post_verdict(sender, id, "deferred", "");
        return;
    }
    const char *refused = post_refusal_of(sender, id);
    if (refused) {
        post_verdict(sender, id, "refused", refused);
        return;
    }
    switch (mailbox_read(post->data, sender->name, FOLDER_OUTBOX, id, &envelope, &stamp, &fault)) {
    case MAILBOX_GONE:
        return;
    case MAILBOX_LATER:
        post_try_later(sender, id, fault.text);
        return;
    case MAILBOX_NONE:
        cannot_be_read(sender, id, &fault);
        return;
    case MAILBOX_READ:
        break;
    }
    sender->complained = false;
    memory_set(&envelope.from, sender->name); /* never the envelope's own `from` */
    post_origin_set(sender, &envelope, &stamp);
    if (is_too_large(&envelope, stamp.size))
        refuse_large(sender, &envelope, stamp.size);
    else
        decide(sender, &envelope);
}

bool post_outbox_next(struct box *box)
{
    if (box->outbox.done == box->outbox.count || box->outbox.rests_until_ms > clock_monotonic_ms())
        return false;
    OWNED char *id = box->outbox.ids[box->outbox.done++];
    decide_on(box, id);
    if (box->outbox.done == box->outbox.count)
        box->outbox.from_start = box->far.taken_over = false;
    return true;
}

/* --- filling the window --- */

/* Whether a result finds room. Results take no place in the window; as many as the backlog may lie unread of one
 * sender. The worker is asked to read a full shelf. */
static bool has_shelf_room(struct box *receiver, const struct index_entry *entry, int64_t backlog)
{
    struct box *sender = entry->box;
    if (sender->unread.pump != receiver->post->pumps)
        sender->unread.count = post_unread_of(receiver, sender->name);
    sender->unread.pump = receiver->post->pumps;
    if (sender->unread.count >= backlog)
        post_look_due(receiver, WAKE_FULL);
    return sender->unread.count < backlog;
}

static bool may_go(struct box *receiver, const struct index_entry *entry, bool room, int64_t backlog)
{
    bool counts = envelope_kind_has(entry->kind, KIND_EXPECTS_ANSWER);
    if (is_far(receiver))
        return !post_is_held_up(entry) && !post_is_cut_off(receiver) && (room || !counts);
    return counts ? room : has_shelf_room(receiver, entry, backlog);
}

/* room: whether the window has any. */
static struct index_entry *next_to_go(struct box *receiver, bool room, int64_t backlog, int64_t now)
{
    struct index_entry *best = NULL;
    int64_t now_ms = clock_monotonic_ms();
    for (struct index_entry *entry = receiver->waits.first; entry; entry = entry->next)
        if (entry->way < WAY_LEAVES && entry->held_until_ms <= now_ms && !post_is_over(entry, now) &&
            (!best || envelope_index_before(entry, best)) && may_go(receiver, entry, room, backlog))
            best = entry;
    return best;
}

static void add_delivery(struct post *post, struct index_entry *entry, struct envelope *envelope)
{
    bool far = is_far(entry->to);
    enum folder folder = far ? FOLDER_SENT : envelope->kind == KIND_HANDOFF ? FOLDER_HANDOFFS : FOLDER_INBOX;
    free(envelope->from);
    free(envelope->status);
    envelope->from = memory_text(entry->box->name);
    envelope->status = memory_text(far ? "pending" : "delivered");
    envelope->delivered = far ? 0 : clock_now();
    envelope->read = envelope->finished = envelope->attempts = 0;
    memory_set(&envelope->reason, NULL);
    entry->way = WAY_LEAVES;
    post->deliveries.bytes += strlen(envelope->body);
    *MEMORY_ADD(post->deliveries.items, post->deliveries.count) = (struct delivery){
        .entry = entry,
        .envelope = *envelope,
        .folder = folder,
        .number =
            mailbox_add(&post->batch, far ? entry->box->name : entry->to->name, folder, envelope, false),
    };
}

static void was_taken_out(struct index_entry *entry)
{
    struct envelope gone = post_light(entry);
    post_note(entry->box, "envelope_removed", &gone, "it was taken out of the outbox while it waited");
    post_forget(entry->box->post, entry);
}

/* Reads the envelope as it is in its outbox now: people may have altered it while it waited, and then that counts.
 * False: the envelope doesn't go now. */
static bool read_again(struct index_entry *entry, struct envelope *envelope)
{
    struct box *sender = entry->box;
    struct post *post = sender->post;
    struct fault fault;
    struct file_stamp stamp;
    OWNED char *id = memory_text(entry->id);
    switch (mailbox_read(post->data, sender->name, FOLDER_OUTBOX, id, envelope, &stamp, &fault)) {
    case MAILBOX_LATER:
        entry->held_until_ms = clock_monotonic_ms() + RETRY_MS;
        entry->to->pump.after_ms = entry->held_until_ms;
        return false;
    case MAILBOX_NONE:
        post_forget(post, entry);
        not_an_envelope(sender, id, &fault);
        return false;
    case MAILBOX_GONE:
        was_taken_out(entry);
        return false;
    case MAILBOX_READ:
        break;
    }
    if (strcmp(envelope->to, entry->to->name) == 0 && envelope->kind == entry->kind &&
        !is_too_large(envelope, stamp.size) &&
        (envelope->kind != KIND_RESULT || is_far(entry->to) ||
         post_result(sender, envelope, &fault) == RESULT_TAKEN)) {
        memory_set(&envelope->trace, entry->trace); /* as they were known when the envelope came */
        envelope->hops = entry->hops;
        envelope->created = entry->created;
        return true;
    }
    /* Somebody gave the envelope another receiver, or too long a text: it is decided on anew. */
    envelope_free(envelope);
    post_forget(post, entry);
    post_outbox_ids(sender, id);
    return false;
}

static bool prepare(struct index_entry *entry)
{
    struct envelope envelope;
    if (post_sends_again(entry))
        return true;
    if (entry->envelope) {
        envelope = *entry->envelope;
        *entry->envelope = (struct envelope){0};
        envelope_index_keep(entry, NULL);
    } else if (!read_again(entry, &envelope)) {
        return false;
    }
    add_delivery(entry->box->post, entry, &envelope);
    return true;
}

static bool is_held(const struct index_entry *entry, int64_t now)
{
    return entry->way < WAY_LEAVES && envelope_kind_has(entry->kind, KIND_EXPECTS_ANSWER) &&
           !post_is_over(entry, now);
}

/* Of the waiting envelopes whose senders were told nothing yet, the first or the last in their order; NULL: there is
 * none. */
static struct index_entry *fresh_one(const struct box *receiver, int64_t now, bool last)
{
    struct index_entry *found = NULL;
    for (struct index_entry *entry = receiver->waits.first; entry; entry = entry->next)
        if (entry->fresh && is_held(entry, now) &&
            (!found || envelope_index_before(last ? found : entry, last ? entry : found)))
            found = entry;
    return found;
}

/* An envelope from another node waits there. Expired ones are left to post_expire. */
static void give_back_arrivals(struct box *receiver, int64_t now)
{
    for (struct index_entry *entry = receiver->waits.first, *next; entry; entry = next) {
        next = entry->next;
        if (!is_far(entry->box) || entry->way >= WAY_LEAVES || post_is_over(entry, now))
            continue;
        post_verdict(entry->box, entry->id, "deferred", "");
        post_forget(receiver->post, entry);
    }
}

/* Of the envelopes that got no room, the last are refused when there are more than the backlog takes. Expired ones
 * are left to post_expire. expected: envelopes that go soon, and whose senders are told nothing yet. */
static void defer_rest(struct box *receiver, int64_t expected)
{
    int64_t backlog, held = 0, fresh = 0, now = clock_now();
    struct index_entry *entry;
    if (!receiver->waits.first)
        return;
    post_window(receiver, &backlog);
    for (entry = receiver->waits.first; entry; entry = entry->next) {
        held += is_held(entry, now);
        fresh += entry->fresh && is_held(entry, now);
    }
    for (; held - backlog > expected && (entry = fresh_one(receiver, now, true)); held--, fresh--) {
        struct envelope envelope = post_light(entry);
        post_refuse(entry->box, &envelope, "backpressure");
        post_forget(receiver->post, entry);
    }
    for (; fresh > expected && (entry = fresh_one(receiver, now, is_far(receiver))); fresh--)
        post_defer(entry);
    if (is_far(receiver) && !post_is_cut_off(receiver))
        return;
    for (entry = receiver->waits.first; entry; entry = entry->next)
        if (entry->fresh && entry->way < WAY_LEAVES && !envelope_kind_has(entry->kind, KIND_EXPECTS_ANSWER))
            post_defer(entry);
}

static void tell_what_is_owed(struct box *box)
{
    if (!box->dead.owe)
        return;
    box->dead.wanted = true;
    box->dead.again = box->dead.from != NULL;
    post_wake(box);
}

void post_pump(struct box *receiver)
{
    struct post *post = receiver->post;
    struct index_entry *entry;
    int64_t now = clock_now(), began_ms = clock_monotonic_ms(), backlog, expected = 0;
    if (!receiver->definition || receiver->leaving || receiver->fresh)
        return;
    if (receiver->pump.owed)
        post_each(post, tell_what_is_owed);
    receiver->pump.owed = false;
    post->pumps++;
    int64_t room =
        post_window(receiver, &backlog) - post_unfinished(receiver) - post_operator_sends_arriving(receiver);
    if (is_far(receiver))
        room = post_far_room(receiver, &expected);
    bool kept = !is_far(receiver) && post_keeps_place(receiver, room);
    room -= kept;
    while ((entry = next_to_go(receiver, room > 0, backlog, now))) {
        if (post->batch.count >= BATCH_MAX || post->deliveries.bytes >= BATCH_BYTES_MAX) {
            receiver->pump.wanted = true;
            return;
        }
        bool counts = envelope_kind_has(entry->kind, KIND_EXPECTS_ANSWER);
        struct box *sender = entry->box;
        bool goes = prepare(entry);
        room -= goes && counts;
        if (is_far(receiver))
            post_travels(sender, goes, &expected, counts);
        else
            sender->unread.count += goes && !counts;
    }
    if (is_far(receiver)) {
        post_far_alarm(receiver, began_ms);
    } else {
        give_back_arrivals(receiver, now);
        post_tell_room(receiver, room + kept);
        if (room > 0 && post->hooks.room)
            post->hooks.room(post->hooks.context, receiver->name);
    }
    defer_rest(receiver, expected);
}

/* --- delivering --- */

static void delivered(struct delivery *delivery, const struct file_stamp *stamp)
{
    struct index_entry *entry = delivery->entry;
    struct box *sender = entry->box, *receiver = entry->to;
    bool accepted = entry->fresh;
    receiver->complained = false;
    post_forget(receiver->post, entry);
    post_lies_there(receiver, delivery->folder, &delivery->envelope, stamp);
    if (accepted)
        post_note(sender, "envelope_accepted", &delivery->envelope, "");
    post_note(receiver, "envelope_delivered", &delivery->envelope, "");
    post_verdict(sender, delivery->envelope.id, "delivered", "");
    post_look_due(receiver,
                  envelope_kind_has(delivery->envelope.kind, KIND_EXPECTS_ANSWER) ? WAKE_UP : WAKE_LOOK);
}

static void not_delivered(struct delivery *delivery, enum write_result result, const struct fault *fault)
{
    struct index_entry *entry = delivery->entry;
    struct box *sender = entry->box, *receiver = entry->to;
    entry->way = WAY_WAITS;
    if (is_far(sender)) { /* the envelope comes again */
        post_arrival_later(sender, entry->id, RETRY_MS);
        post_forget(receiver->post, entry);
        return;
    }
    receiver->look.wanted = true; /* the file may have got its name all the same */
    post_wake(receiver);
    if (result == WRITE_EXISTS) { /* somebody was faster, or an earlier flush had failed */
        post_forget(receiver->post, entry);
        post_repeated(sender, receiver, &delivery->envelope);
        return;
    }
    if (!receiver->complained)
        log_warn("post", receiver->name,
                 "Envelope %s from %s cannot be delivered and stays with its sender; it is tried again: %s",
                 entry->id, sender->name, fault->text);
    receiver->complained = true;
    entry->held_until_ms = clock_monotonic_ms() + RETRY_MS;
    if (entry->fresh)
        post_verdict(sender, entry->id, "deferred", fault->text);
    entry->fresh = false;
    receiver->pump.after_ms = entry->held_until_ms;
    post_wake(receiver);
}

void post_deliver(struct post *post)
{
    bool all_written = true;
    if (post->batch.count)
        post_journal_flush(post, &post->batch);
    for (size_t i = 0; i < post->deliveries.count; i++) {
        struct delivery *delivery = &post->deliveries.items[i];
        struct fault fault = {""};
        enum write_result result = batch_result(&post->batch, delivery->number, &fault);
        struct file_stamp stamp = batch_written(&post->batch, delivery->number);
        if (delivery->folder != FOLDER_SENT && !post_owns(delivery->entry->to)) {
            /* The file is in a tree that was this node's. */
            fault_set(&fault, "its lease on this node is over");
            result = WRITE_FAILED;
        }
        all_written = all_written && result != WRITE_FAILED;
        bool sent = delivery->folder == FOLDER_SENT && result != WRITE_FAILED;
        bool stays = sent && !all_written && post_stays_behind(delivery->entry);
        if (stays && delivery->entry->fresh)
            post_defer(delivery->entry);
        else if (sent && !stays)
            post_publish(delivery->entry, &delivery->envelope, result == WRITE_EXISTS);
        else if (!sent && result == WRITE_DONE)
            delivered(delivery, &stamp);
        else if (!sent)
            not_delivered(delivery, result, &fault);
        envelope_free(&delivery->envelope);
    }
    post_operator_sends_answer(post);
    post_submissions_answer(post);
    free(post->deliveries.items);
    post->deliveries.items = NULL;
    post->deliveries.count = post->deliveries.bytes = 0;
    batch_free(&post->batch);
}

/* --- agents that go --- */

void post_give_up_waiting(struct box *receiver, const char *reason)
{
    for (struct index_entry *entry = receiver->waits.first, *next; entry; entry = next) {
        struct envelope envelope = post_light(entry);
        next = entry->next;
        if (entry->way != WAY_WAITS) /* the receiver's node says */
            continue;
        post_refuse(entry->box, &envelope, reason);
        post_forget(receiver->post, entry);
    }
}

static void drop_from(struct box *receiver, const struct box *sender)
{
    for (struct index_entry *entry = receiver->waits.first, *next; entry; entry = next) {
        next = entry->next;
        if (entry->box == sender)
            post_forget(receiver->post, entry);
    }
}

void post_drop_waiting_of(struct box *sender)
{
    struct post *post = sender->post;
    post_submissions_drop(sender);
    for (size_t i = 0; i < post->boxes.capacity && sender->outbox.waiting; i++)
        for (struct box *box = post->boxes.table[i]; box; box = box->chain)
            drop_from(box, sender);
}
