/* Envelopes to agents of other nodes, and the bounces that are owed to senders there. far.c argues the crashes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "supervisor/post/part.h"

enum {
    ASK_AGAIN_MS = 10 * 1000, /* how long a verdict, and word of room, are waited for */
    SHELF_AGAIN_MS = 2000,    /* until a result is offered again to a receiver with many unread ones */
    TIDY_AGAIN_MS = 100,      /* between two looks whether a sender has acted on a verdict */
    AHEAD_MAX = 64,           /* envelopes that travel between two agents at once */
};

void post_may_have_been_sent(struct box *sender, const struct envelope *envelope)
{
    struct fault fault;
    struct envelope copy = *envelope;
    copy.status = "pending";
    copy.reason = NULL;
    if (mailbox_write(sender->post->data, sender->name, FOLDER_SENT, &copy, false, &fault) == WRITE_FAILED)
        log_warn("post", sender->name, "Envelope %s may end twice, here and at its receiver: %s",
                 envelope->id, fault.text);
}

bool post_was_sent(struct box *sender, const char *id)
{
    return post_stamp_of(sender, FOLDER_SENT, id).inode != 0;
}

bool post_is_cut_off(const struct box *receiver)
{
    return is_far(receiver) && (!receiver->far.there || !receiver->post->far.connected);
}

char *post_far_absence(const struct box *receiver)
{
    if (!post_is_cut_off(receiver) && !receiver->far.silent)
        return memory_text("");
    if (!receiver->post->far.connected)
        return memory_text("the bus is away");
    return *receiver->far.node ? memory_print("its node %s does not answer", receiver->far.node)
                               : memory_text("its node is not known");
}

void post_defer(struct index_entry *entry)
{
    struct envelope envelope = post_light(entry);
    OWNED char *why = post_far_absence(entry->to);
    entry->fresh = false;
    envelope_index_keep(entry, NULL);
    post_verdict(entry->box, entry->id, "deferred", why);
    post_note(entry->box, "envelope_deferred", &envelope, why);
}

static enum mailbox_found read_sent(const struct index_entry *entry, struct envelope *envelope)
{
    return mailbox_read(entry->box->post->data, entry->box->name, FOLDER_SENT, entry->id, envelope, NULL,
                        NULL);
}

/* The last envelope, with work or without, that travels before this one between the same two agents; NULL: none. */
static const struct index_entry *ahead_of(const struct index_entry *entry, bool work)
{
    const struct index_entry *last = NULL;
    for (const struct index_entry *other = entry->to->waits.first; other; other = other->next)
        if (other->way == WAY_TRAVELS && other->box == entry->box && envelope_index_before(other, entry) &&
            envelope_kind_has(other->kind, KIND_EXPECTS_ANSWER) == work &&
            (!last || envelope_index_before(last, other)))
            last = other;
    return last;
}

static bool is_left_behind(const struct index_entry *entry)
{
    for (const struct index_entry *other = entry->to->waits.first; other; other = other->next)
        if (other->way == WAY_WAITS && other->held_until_ms && other->box == entry->box &&
            envelope_index_before(other, entry))
            return true;
    return false;
}

bool post_stays_behind(struct index_entry *entry)
{
    if (!is_left_behind(entry))
        return false;
    entry->way = WAY_TRIED; /* its copy is there */
    entry->to->pump.wanted = true;
    post_wake(entry->to);
    return true;
}

void post_publish(struct index_entry *entry, const struct envelope *envelope, bool again)
{
    const struct post_bus *bus = &entry->box->post->far.bus;
    const struct index_entry *work = ahead_of(entry, true), *mail = ahead_of(entry, false);
    const struct index_entry *ahead = work ? work : mail;
    OWNED_BUFFER struct buffer text = {0}, printed = {0};
    const struct post *post = entry->box->post; /* no bus may take the message for an earlier one */
    OWNED char *message =
        again ? memory_print("%s.%" PRId64 "-%" PRIu64, envelope->id, clock_now_ms(), post->pumps)
              : memory_text(envelope->id);
    envelope_print(envelope, &printed);
    if (ahead)
        buffer_print(&text, POST_AHEAD "%s%s%s\n", ahead->id, work && mail ? " " : "",
                     work && mail ? mail->id : "");
    size_t begun = ahead ? strlen(POST_AHEAD_BEGINS) : 0;
    buffer_add(&text, printed.data + begun, printed.length - begun);
    entry->way = WAY_TRAVELS;
    entry->named = ahead != NULL;
    entry->held_until_ms = clock_monotonic_ms() + ASK_AGAIN_MS;
    bus->publish(bus->context, entry->to->name, message, &text);
}

/* Work that waits without room goes when the room is asked for again; 0: no time is known. */
static int64_t due_at(const struct index_entry *entry)
{
    const struct box *receiver = entry->to;
    int64_t held = entry->way == WAY_TRAVELS || entry->way == WAY_TRIED ? entry->held_until_ms : 0;
    int64_t asks = receiver->far.room == 0 ? receiver->far.room_at_ms + ASK_AGAIN_MS : 0;
    bool lacks_room = entry->way < WAY_LEAVES && envelope_kind_has(entry->kind, KIND_EXPECTS_ANSWER);
    return lacks_room && asks > held ? asks : held;
}

/* An envelope that was due when the pump began waits for another one's verdict or time, or for room: an alarm in the past
 * would have the supervisor spin until then. */
void post_far_alarm(struct box *receiver, int64_t began_ms)
{
    int64_t first = 0;
    for (const struct index_entry *entry = receiver->waits.first; entry; entry = entry->next) {
        int64_t at = due_at(entry);
        first = at > began_ms && (!first || at < first) ? at : first;
    }
    if (first && !post_is_cut_off(receiver))
        receiver->pump.after_ms = first;
}

void post_far_asks_later(struct index_entry *entry)
{
    bool counts = envelope_kind_has(entry->kind, KIND_EXPECTS_ANSWER);
    entry->held_until_ms = clock_monotonic_ms() + (counts ? ASK_AGAIN_MS : SHELF_AGAIN_MS);
}

void post_travels_again(struct box *receiver)
{
    for (struct index_entry *entry = receiver->waits.first; entry; entry = entry->next)
        entry->held_until_ms = 0;
    receiver->pump.wanted = true;
    post_wake(receiver);
}

/* --- the pump --- */

/* True: the entry is gone. The copy goes last: without it, an envelope in an outbox counts as never sent. */
static bool is_tidied(struct index_entry *entry)
{
    struct post *post = entry->box->post;
    bool acts = has_tree(entry->box) || entry->box == post->people;
    if (entry->way != WAY_ANSWERED || (!entry->to->far.tidies && entry->held_until_ms > clock_monotonic_ms()))
        return false;
    entry->held_until_ms = clock_monotonic_ms() + TIDY_AGAIN_MS;
    if (entry->folder == FOLDER_OUTBOX && acts &&
        mailbox_lies_in(post->data, entry->box->name, entry->id, 1u << FOLDER_OUTBOX))
        return false;
    mailbox_remove(post->data, entry->box->name, FOLDER_SENT, entry->id);
    post_forget(post, entry);
    return true;
}

static void goes_again(struct index_entry *entry)
{
    struct envelope envelope;
    enum mailbox_found found = read_sent(entry, &envelope);
    if (entry->way == WAY_TRAVELS && entry->held_until_ms) {
        entry->to->far.silent = true;
        entry->to->far.pace = 0;
    }
    if (found == MAILBOX_READ) {
        post_publish(entry, &envelope, true);
        envelope_free(&envelope);
    } else if (found == MAILBOX_LATER) {
        entry->held_until_ms = clock_monotonic_ms() + ASK_AGAIN_MS;
    } else if (entry->folder == FOLDER_SENT) { /* somebody has removed the copy */
        post_forget(entry->box->post, entry);
    } else {
        entry->way = WAY_TRIED; /* the envelope is sent from the outbox */
    }
}

/* Bits of unread.count, about a sender's envelopes for the receiver in this pump: none of a kind may go, some of a kind
 * came back, some of these may go again. */
enum { NO_MAIL = 1, NO_WORK = 2, MAIL_CAME_BACK = 4, WORK_CAME_BACK = 8, MAIL_DUE = 16, WORK_DUE = 32 };

static struct box *counted(struct box *sender)
{
    if (sender->unread.pump != sender->post->pumps)
        sender->unread.count = sender->unread.ahead = 0;
    sender->unread.pump = sender->post->pumps;
    return sender;
}

static bool is_work(const struct index_entry *entry)
{
    return envelope_kind_has(entry->kind, KIND_EXPECTS_ANSWER);
}

static void count_sender(struct index_entry *entry, int64_t now_ms)
{
    struct box *sender = counted(entry->box);
    sender->unread.ahead += entry->way == WAY_TRAVELS;
    if (entry->way < WAY_LEAVES && entry->held_until_ms > now_ms)
        sender->unread.count |= is_work(entry) ? NO_WORK : NO_MAIL;
    else if (entry->way == WAY_TRIED)
        sender->unread.count |= is_work(entry) ? WORK_DUE : MAIL_DUE;
    if (entry->way == WAY_TRIED)
        sender->unread.count |= is_work(entry) ? WORK_CAME_BACK : MAIL_CAME_BACK;
}

/* An envelope that came back and may go again waits until none travels: new envelopes wait for it. A kind
 * that may not go now holds up no other: results at a full shelf let work pass. */
static bool lets_another_go(const struct index_entry *entry)
{
    int64_t known = entry->box->unread.count;
    bool mail = (known & MAIL_DUE) && !(known & NO_MAIL),
         work = (known & WORK_DUE) && !(known & NO_WORK) && entry->to->far.room != 0;
    return mail || work;
}

bool post_is_held_up(const struct index_entry *entry)
{
    const struct box *sender = counted(entry->box);
    int64_t held = is_work(entry) ? NO_WORK : NO_MAIL,
            back = is_work(entry) ? WORK_CAME_BACK : MAIL_CAME_BACK;
    if (entry->way == WAY_TRIED)
        return (sender->unread.count & held) || sender->unread.ahead > 0;
    return (sender->unread.count & (held | back)) || lets_another_go(entry) ||
           sender->unread.ahead >= post_far_pace(entry->to);
}

/* An envelope whose time is over is sent all the same: only the receiver's node knows whether it was in time. */
static bool is_to_go_again(const struct index_entry *entry)
{
    bool back = entry->way == WAY_TRIED && counted(entry->box)->unread.ahead == 0;
    return (entry->way == WAY_TRAVELS || (back && post_is_over(entry, clock_now()))) &&
           entry->held_until_ms <= clock_monotonic_ms();
}

static int by_order(const void *a, const void *b)
{
    const struct index_entry *const *left = a, *const *right = b;
    return envelope_index_before(*right, *left) - envelope_index_before(*left, *right);
}

/* An earlier envelope of the same kind came back: sent now, this one would not name it, and could overtake it. */
static bool is_behind_one_that_came_back(const struct index_entry *entry)
{
    for (const struct index_entry *other = entry->to->waits.first; other; other = other->next)
        if (other->way == WAY_TRIED && other->box == entry->box && is_work(other) == is_work(entry) &&
            envelope_index_before(other, entry))
            return true;
    return false;
}

/* The envelope counts as one that came back too early, and may not be refused: its first sending may still arrive. */
static void comes_back(struct index_entry *entry)
{
    struct box *sender = counted(entry->box);
    entry->way = WAY_TRIED;
    entry->held_until_ms = 0;
    if (entry->fresh)
        post_defer(entry);
    sender->unread.ahead--;
    sender->unread.count |= is_work(entry) ? WORK_CAME_BACK | WORK_DUE : MAIL_CAME_BACK | MAIL_DUE;
}

/* In their order, so that each finds the one ahead of it under way. */
static void send_again(const struct box *receiver)
{
    OWNED struct index_entry **due = memory_new(receiver->waits.count + 1, sizeof *due);
    size_t count = 0;
    for (struct index_entry *entry = receiver->waits.first; entry; entry = entry->next)
        if (is_to_go_again(entry))
            due[count++] = entry;
    qsort(due, count, sizeof *due, by_order);
    for (size_t i = 0; i < count; i++)
        if (due[i]->way == WAY_TRAVELS && is_behind_one_that_came_back(due[i])) {
            comes_back(due[i]);
        } else if (is_to_go_again(due[i])) {
            counted(due[i]->box)->unread.ahead += due[i]->way == WAY_TRIED;
            goes_again(due[i]);
        }
}

int64_t post_far_pace(const struct box *receiver)
{
    return receiver->far.pace > 1 ? receiver->far.pace : 1;
}

void post_far_paces(struct box *receiver)
{
    int64_t pace = post_far_pace(receiver) + 1;
    receiver->far.pace = pace < AHEAD_MAX ? pace : AHEAD_MAX;
    receiver->far.paced_ms = clock_monotonic_ms();
}

int64_t post_far_room(struct box *receiver, int64_t *expected)
{
    int64_t travelling = 0, room = receiver->far.room, now_ms = clock_monotonic_ms();
    bool cut_off = post_is_cut_off(receiver);
    for (struct index_entry *entry = receiver->waits.first, *next; entry; entry = next) {
        next = entry->next;
        if (!is_tidied(entry))
            count_sender(entry, now_ms);
    }
    receiver->far.tidies = false;
    if (now_ms - receiver->far.paced_ms >= ASK_AGAIN_MS)
        receiver->far.pace = 0;
    if (!cut_off)
        send_again(receiver);
    for (const struct index_entry *entry = receiver->waits.first; entry; entry = entry->next)
        travelling += entry->way == WAY_TRAVELS && is_work(entry);
    *expected = cut_off || receiver->far.silent ? 0
                : room == ROOM_UNKNOWN          ? INT64_MAX
                : room > travelling             ? room - travelling
                                                : 0;
    bool ask = room == ROOM_UNKNOWN ||
               (room == 0 && receiver->far.room_at_ms + ASK_AGAIN_MS <= clock_monotonic_ms());
    return cut_off ? 0 : (ask ? 1 : room) - travelling;
}

void post_travels(struct box *sender, bool goes, int64_t *expected, bool counts)
{
    if (!goes)
        return;
    counted(sender)->unread.ahead++;
    *expected -= counts && *expected > 0 && *expected < INT64_MAX;
}

/* An envelope that was sent before goes as it was then, whatever its outbox says by now. Of a copy that can't be read now
 * the outbox knows nothing: a bounce lies in none. */
bool post_sends_again(struct index_entry *entry)
{
    struct envelope envelope;
    if (entry->way != WAY_TRIED)
        return false;
    switch (read_sent(entry, &envelope)) {
    case MAILBOX_READ:
        post_publish(entry, &envelope, true);
        envelope_free(&envelope);
        return true;
    case MAILBOX_LATER: /* and counts as ahead in this pump, so that none goes past it */
        entry->held_until_ms = clock_monotonic_ms() + ASK_AGAIN_MS;
        return true;
    default:
        return false;
    }
}

/* --- bounces to senders elsewhere --- */

void post_owes(struct box *box, struct box *receiver, const struct envelope *envelope)
{
    struct post *post = box->post;
    struct index_entry *entry = envelope_index_find(post->index, box, FOLDER_SENT, envelope->id);
    if (!entry)
        entry = envelope_index_add(post->index, &receiver->waits, box, FOLDER_SENT, envelope->id);
    envelope_index_describe(entry, envelope);
    if (!entry->to)
        post_waits_for(entry, receiver);
    entry->way = entry->way == WAY_WAITS ? WAY_TRIED : entry->way;
    receiver->pump.wanted = true;
    post_wake(receiver);
}
