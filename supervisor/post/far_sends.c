/* Envelopes to agents of other nodes, and the bounces that are owed to senders there. far.c argues the crashes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/post/part.h"

enum {
    ASK_AGAIN_MS = 10 * 1000, /* how long a verdict, and word of room, are waited for */
    SHELF_AGAIN_MS = 2000,    /* until a result is offered again to a receiver with many unread ones */
};

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
                               : memory_text("nobody knows on which node it lives");
}

static enum mailbox_found read_sent(const struct index_entry *entry, struct envelope *envelope)
{
    return mailbox_read(entry->box->post->data, entry->box->name, FOLDER_SENT, entry->id, envelope, NULL,
                        NULL);
}

void post_publish(struct index_entry *entry, const struct envelope *envelope, bool again)
{
    const struct post_bus *bus = &entry->box->post->far.bus;
    OWNED_BUFFER struct buffer text = {0};
    const struct post *post = entry->box->post; /* no bus may take the message for an earlier one */
    OWNED char *message =
        again ? memory_print("%s.%" PRId64 "-%" PRIu64, envelope->id, clock_now_ms(), post->pumps)
              : memory_text(envelope->id);
    envelope_print(envelope, &text);
    entry->way = WAY_TRAVELS;
    entry->held_until_ms = clock_monotonic_ms() + ASK_AGAIN_MS;
    bus->publish(bus->context, entry->to->name, message, &text);
}

void post_far_alarm(struct box *receiver)
{
    int64_t first = 0;
    for (const struct index_entry *entry = receiver->waits.first; entry; entry = entry->next) {
        int64_t at = entry->way == WAY_TRAVELS || entry->way == WAY_TRIED ? entry->held_until_ms : 0;
        if (entry->way == WAY_WAITS && receiver->far.room == 0)
            at = receiver->far.room_at_ms + ASK_AGAIN_MS;
        first = at && (!first || at < first) ? at : first;
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
    if (entry->way != WAY_ANSWERED ||
        (entry->folder == FOLDER_OUTBOX && acts &&
         mailbox_lies_in(post->data, entry->box->name, entry->id, 1u << FOLDER_OUTBOX)))
        return false;
    mailbox_remove(post->data, entry->box->name, FOLDER_SENT, entry->id);
    post_forget(post, entry);
    return true;
}

/* An envelope whose time is over is sent all the same: only the receiver's node knows whether it was in time. */
static bool is_to_go_again(const struct index_entry *entry)
{
    return (entry->way == WAY_TRAVELS || (entry->way == WAY_TRIED && post_is_over(entry, clock_now()))) &&
           entry->held_until_ms <= clock_monotonic_ms();
}

/* False: the entry is gone. */
static bool goes_again(struct index_entry *entry)
{
    struct envelope envelope;
    enum mailbox_found found = read_sent(entry, &envelope);
    entry->to->far.silent = entry->to->far.silent || (entry->way == WAY_TRAVELS && entry->held_until_ms);
    if (found == MAILBOX_READ) {
        post_publish(entry, &envelope, true);
        envelope_free(&envelope);
    } else if (found == MAILBOX_LATER) {
        entry->held_until_ms = clock_monotonic_ms() + ASK_AGAIN_MS;
    } else if (entry->folder == FOLDER_SENT) { /* somebody has removed the copy */
        post_forget(entry->box->post, entry);
        return false;
    } else {
        entry->way = WAY_TRIED; /* the envelope is sent from the outbox */
    }
    return true;
}

enum { NO_MAIL = 1, NO_WORK = 2 };

static void hold_up(struct box *sender, int64_t kinds)
{
    bool first = sender->unread.pump != sender->post->pumps;
    sender->unread.pump = sender->post->pumps;
    sender->unread.count = (first ? 0 : sender->unread.count) | kinds;
}

static int64_t kind_of(const struct index_entry *entry)
{
    return envelope_kind_has(entry->kind, KIND_EXPECTS_ANSWER) ? NO_WORK : NO_MAIL;
}

bool post_is_held_up(const struct index_entry *entry)
{
    const struct box *sender = entry->box;
    return sender->unread.pump == sender->post->pumps && (sender->unread.count & kind_of(entry));
}

int64_t post_far_room(struct box *receiver, int64_t *expected)
{
    int64_t travelling = 0, room = receiver->far.room;
    bool cut_off = post_is_cut_off(receiver);
    for (struct index_entry *entry = receiver->waits.first, *next; entry; entry = next) {
        next = entry->next;
        if (is_tidied(entry) || (!cut_off && is_to_go_again(entry) && !goes_again(entry)))
            continue;
        if (entry->way == WAY_TRAVELS) {
            hold_up(entry->box, NO_MAIL | NO_WORK);
            travelling += envelope_kind_has(entry->kind, KIND_EXPECTS_ANSWER);
        } else if (entry->way == WAY_TRIED && entry->held_until_ms > clock_monotonic_ms()) {
            hold_up(entry->box, kind_of(entry));
        }
    }
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
    hold_up(sender, NO_MAIL | NO_WORK);
    *expected -= counts && *expected > 0 && *expected < INT64_MAX;
}

/* An envelope that was sent before goes as it was then, whatever its outbox says by now. */
bool post_sends_again(struct index_entry *entry)
{
    struct envelope envelope;
    if (entry->way != WAY_TRIED || read_sent(entry, &envelope) != MAILBOX_READ)
        return false;
    post_publish(entry, &envelope, true);
    envelope_free(&envelope);
    return true;
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
