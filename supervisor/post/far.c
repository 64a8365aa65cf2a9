/* Agents of other nodes: envelopes that go to them, and come from them, over the bus.
 *
 * An agent that lives elsewhere is a box like any other, with envelopes that wait for it, and without a tree. Such
 * envelopes are sent in their order while the agent's node has said that there is room, and stay in their sender's outbox
 * until that node's verdict. Many travel between two agents at once: each names the envelope ahead of it, and the
 * receiver's node takes it only behind that envelope, so the loss of one brings back those behind it, and none overtakes
 * another. On the receiver's node an arriving envelope is one of a box without an outbox: it waits for its receiver in
 * memory, goes into the tree with the turn's flush, and is told of like any other, its sender being told by a verdict
 * over the bus. An envelope that finds no room goes back (deferred); word of room follows.
 *
 * Before an envelope is sent for the first time a copy of it is durable in shared/bus/SENDER/ID.md, and stays until a
 * verdict has been acted on, so these sets of places may be found after a crash (S the sender's node, R the receiver's):
 *
 *   S/outbox                          never sent: S alone may end the envelope (expired, refused), and does so at once
 *   S/outbox, S/bus                   may have been sent: R alone says how the envelope ends. The copy is sent again,
 *                                     until R's verdict; the envelope's time being over changes nothing, for R may have
 *                                     had it in time
 *   S/outbox, S/bus, R/anywhere       delivered, the verdict lost: R finds the envelope by its id and says the verdict
 *                                     again
 *   S/archive, S/bus                  the verdict was acted on, the copy is removed: sent once more, R says the same
 *                                     again
 *   S/bus alone                       a bounce that S owes to a sender elsewhere, or an outbox that people emptied: the
 *                                     copy is sent until R's verdict
 *
 *   S dies between publishing and verdict     the copy lies there: sent again, under another message id
 *   R dies before the flush                   nothing was taken: the bus brings the envelope again
 *   R dies between flush and verdict, or
 *   between verdict and taking                the bus brings the envelope again, R finds its file (post_repeated)
 *   the bus loses everything                  S sends again after each connection, and an envelope without a verdict
 *                                             after ten seconds
 *   a message comes again after the envelope was finished, expired, requeued: R's tree has the envelope under its id.
 *   Purged, or gone from the archive: the worker's ledger knows the envelope, and the worker takes it out of inbox/ or
 *   handoffs/ before it is work (worker/mail)
 *   R's agent moves away      its iac/ goes along: its new node finds the id there. Envelopes that were not flushed are
 *                             brought to that node
 *   S's agent moves away      only with no envelope of it under way (post_travelling); R's late verdict finds no entry
 *                             and is ignored
 *   S sleeps past its lease   the agent's next node has the outbox and no copies: each envelope that the outbox came with
 *                             counts as sent, so R alone ends it
 *   a deferred envelope       R has dropped it, but the bus may bring a taken message again: so the envelope counts as
 *                             sent
 *
 *   an envelope comes without the
 *   one ahead of it           the one ahead was lost, went back, or ended before R's supervisor began: the envelope goes
 *                             back (POST_EARLY), and is sent alone once no other of its sender's travels
 *   S can't write a copy      envelopes written behind it in that turn count as sent, and go behind it
 *
 * So an envelope that was sent to a node which then dies with it is ended when that node is back, whatever its time to
 * live. Of one sender no more envelopes travel to a receiver at once than the receiver's pace (post_far_pace), which grows
 * with each verdict about that receiver's envelopes, whoever sent them: one, where verdicts are seldom; and no more
 * handoffs travel to a receiver than its node has told room for, or a single handoff, which asks for room. Envelopes that
 * came back count as sent, too. All other envelopes expire on time.
 *
 * Clocks: R refuses an envelope that is over by R's clock, S sends none that is over by its own; so the clock that is
 * ahead decides. A bounce to a sender elsewhere is durable in R's shared/bus/ before its dead letter is final, and S
 * takes a bounce only for an envelope that its sender's own tree knows. Results are checked where the requester lives.
 * Items of work queues go their own way (shared/work_queue_far.c); each lock and each segment has a home
 * (nodes/homes.c). */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/format/yamldoc.h"
#include "common/listing.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/post/part.h"

enum { NOT_HERE_MS = 1000 /* until an envelope for an agent that isn't here comes again */ };

/* --- the bus, and the agents' nodes --- */

void post_bus(struct post *post, const struct post_bus *bus)
{
    post->far.bus = *bus;
}

void post_drop_arrivals(struct post *post, const struct box *receiver)
{
    struct arrival **at = &post->far.arrivals;
    while (*at) {
        struct arrival *arrival = *at;
        if (receiver && arrival->receiver != receiver && arrival->sender != receiver) {
            at = &arrival->next;
            continue;
        }
        struct index_entry *entry =
            envelope_index_find(post->index, arrival->sender, FOLDER_OUTBOX, arrival->id);
        if (entry)
            post_forget(post, entry);
        if (post->far.connected)
            post->far.bus.later(post->far.bus.context, arrival->token, 0);
        post_arrival_forget(at);
    }
}

void post_bus_connected(struct post *post, bool connected)
{
    post->far.connected = connected;
    if (!connected) {
        post_drop_arrivals(post, NULL);
        post_words_drop(post);
    }
    for (size_t i = 0; i < post->boxes.capacity; i++)
        for (struct box *box = post->boxes.table[i]; box; box = box->chain)
            if (is_far(box))
                post_travels_again(box);
}

static void drop_shelf(struct post *post, struct shelf *shelf)
{
    while (shelf->first)
        post_forget(post, shelf->first);
}

static void set_node(struct box *box, const char *node)
{
    char *copy = node ? memory_text(node) : NULL;
    free(box->far.node);
    box->far.node = copy;
    box->far.room = ROOM_UNKNOWN;
    box->far.silent = false;
    box->far.pace = 0;
}

/* Envelopes that wait for the agent are decided on anew: its tree came along, and shows earlier deliveries. */
static void comes_here(struct box *box)
{
    struct post *post = box->post;
    post_drop_arrivals(post, box);
    while (box->waits.first) {
        struct index_entry *entry = box->waits.first;
        if (entry->folder == FOLDER_OUTBOX) {
            post_outbox_ids(entry->box, entry->id);
        } else { /* the bounce is made again, for the sender's own inbox */
            entry->box->dead.looked_ns = 0;
            entry->box->dead.wanted = true;
            post_wake(entry->box);
        }
        mailbox_remove(post->data, entry->box->name, FOLDER_SENT, entry->id);
        post_forget(post, entry);
    }
    box->fresh = true;
    post_wake(box);
}

static void goes_away(struct box *box)
{
    struct post *post = box->post;
    post_drop_waiting_of(box);
    post_drop_arrivals(post, box);
    drop_shelf(post, &box->shelves[FOLDER_INBOX]);
    drop_shelf(post, &box->shelves[FOLDER_HANDOFFS]);
    while (box->outbox.done < box->outbox.count)
        free(box->outbox.ids[box->outbox.done++]);
    post_tasks_forget(box);
    box->fresh = box->outbox.wanted = box->look.wanted = box->dead.wanted = false;
}

void post_lives(struct post *post, const char *name, const char *node, bool there)
{
    struct box *box = post_box(post, name);
    if (!box || box == post->people || !(node || is_far(box)))
        return;
    bool was_far = is_far(box), moved = !was_far || !node || strcmp(node, box->far.node) != 0;
    bool news = moved || there != box->far.there;
    if (!node)
        box->far.taken_over = *box->far.node != '\0';
    if (moved)
        set_node(box, node);
    box->far.there = there;
    if (!node)
        comes_here(box);
    else if (!was_far)
        goes_away(box);
    if (node && news)
        post_travels_again(box);
}

size_t post_travelling(const struct post *post, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < post->boxes.capacity; i++)
        for (const struct box *box = post->boxes.table[i]; box; box = box->chain)
            for (const struct index_entry *entry = box->waits.first; entry; entry = entry->next)
                count += strcmp(entry->box->name, name) == 0 && entry->way != WAY_WAITS &&
                         entry->way != WAY_ANSWERED;
    return count;
}

/* --- the start --- */

static void take_up(struct box *box, const char *id)
{
    struct post *post = box->post;
    struct envelope envelope;
    if (mailbox_lies_in(post->data, box->name, id, 1u << FOLDER_OUTBOX))
        /* The envelope is met in the outbox, once its sender's lease is here again: an earlier verdict would find
         * nobody. */
        return;
    if (mailbox_read(post->data, box->name, FOLDER_SENT, id, &envelope, NULL, NULL) != MAILBOX_READ)
        return;
    struct box *receiver = post_box(post, envelope.to);
    if (receiver && is_far(receiver))
        post_owes(box, receiver, &envelope);
    else if (receiver) /* the receiver lives here by now, and is told again of its dead envelopes */
        mailbox_remove(post->data, box->name, FOLDER_SENT, id);
    envelope_free(&envelope);
}

void post_far_take_up(struct post *post)
{
    OWNED_LISTING struct listing *listing = listing_open(post->data, MAILBOX_SENT, NULL);
    const char *name;
    while (listing && (name = listing_next(listing))) {
        struct box *box = post_box(post, name);
        struct mailbox_names names = {0};
        if (!box)
            continue;
        mailbox_tidy(post->data, name, FOLDER_SENT);
        mailbox_list(post->data, name, FOLDER_SENT, &names);
        for (size_t i = 0; i < names.count; i++)
            take_up(box, names.ids[i]);
        mailbox_names_free(&names);
    }
}

void post_far_close(struct post *post)
{
    while (post->far.arrivals)
        post_arrival_forget(&post->far.arrivals);
    post_words_drop(post);
}

/* --- arrivals --- */

static struct box *sender_of(const struct post *post, const struct envelope *envelope)
{
    return strcmp(envelope->from, POST_OPERATOR) == 0 ? post->far.people : post_box(post, envelope->from);
}

/* False: the envelope has its verdict, or comes again. */
static bool is_welcome(struct box *sender, struct box *receiver, struct envelope *envelope)
{
    struct post *post = receiver->post;
    struct fault why = {""};
    enum result_verdict verdict = RESULT_TAKEN;
    enum bounce bounce = envelope->kind == KIND_BOUNCE ? post_bounce_came(post, envelope) : BOUNCE_ADDED;
    if (receiver->leaving)
        fault_set(&why, "there is no such agent");
    else if (envelope->kind == KIND_RESULT)
        verdict = post_result(sender, envelope, &why);
    else if (envelope->kind != KIND_HANDOFF && envelope->kind != KIND_MESSAGE &&
             envelope->kind != KIND_BOUNCE)
        fault_set(&why, "a %s does not travel", envelope_kind_name(envelope->kind));
    if (verdict == RESULT_LATER || bounce == BOUNCE_LATER)
        post_arrival_later(sender, envelope->id, NOT_HERE_MS);
    else if (*why.text)
        post_verdict(sender, envelope->id, "refused", why.text);
    else if (bounce == BOUNCE_NEEDLESS)
        post_verdict(sender, envelope->id, "delivered", ""); /* the bounce is needless */
    else
        return true;
    return false;
}

static void take(struct post *post, uint64_t token, const char *node, struct envelope *envelope, char *ahead)
{
    struct box *sender = sender_of(post, envelope), *receiver = post_box(post, envelope->to);
    /* A tree whose lease is over says nothing of an envelope: the node slept, and an envelope that it has written there
     * since lies in no other tree. */
    if (!sender || !receiver || !is_far(sender) || !has_tree(receiver) || !post_owns(receiver)) {
        post->far.bus.later(post->far.bus.context, token, NOT_HERE_MS); /* not yet, or not any more */
        return;
    }
    if (!post_arrival_add(sender, receiver, envelope->id, node, token)) {
        post->far.bus.took(post->far.bus.context, token);
        return;
    }
    receiver->pump.wanted = true;
    post_wake(receiver);
    if (!is_welcome(sender, receiver, envelope) || post_repeated(sender, receiver, envelope))
        return;
    char *second = ahead ? strchr(ahead, ' ') : NULL; /* of work and of mail, one each */
    if (second)
        *second++ = '\0';
    if ((ahead && post_arrival_is_early(sender, ahead)) || (second && post_arrival_is_early(sender, second)))
        post_verdict(sender, envelope->id, "deferred", POST_EARLY);
    else
        post_let_wait(sender, receiver, envelope);
}

/* The id of the one ahead of it; NULL: it has none. Caller frees. */
static char *ahead_of(const char *text, size_t length)
{
    size_t begun = strlen(POST_AHEAD);
    const char *end = memchr(text, '\n', length);
    end = end ? memchr(end + 1, '\n', length - (size_t)(end + 1 - text)) : NULL;
    bool has = end && (size_t)(end - text) > begun && memcmp(text, POST_AHEAD, begun) == 0;
    return has ? memory_slice(text + begun, (size_t)(end - text) - begun) : NULL;
}

void post_arrived(struct post *post, uint64_t token, const char *node, const void *bytes, size_t length)
{
    struct envelope envelope;
    struct fault fault;
    if (!envelope_parse(&envelope, bytes, length, "from the bus", &fault)) {
        log_warn("post", NULL, "Node %s sent no envelope, and it is dropped: %s", node, fault.text);
        post->far.bus.took(post->far.bus.context, token);
        return;
    }
    OWNED char *ahead = ahead_of(bytes, length);
    if (names_id(envelope.id))
        take(post, token, node, &envelope, ahead);
    else
        post->far.bus.took(post->far.bus.context, token);
    envelope_free(&envelope);
}

/* --- words of other nodes --- */

static const char *text_of(const struct yaml_node *said, const char *key)
{
    const struct yaml_node *node = yaml_get(said, key);
    return node && node->text ? node->text : "";
}

static void hear_room(struct box *receiver, int64_t room)
{
    receiver->far.room = room;
    receiver->far.room_at_ms = clock_monotonic_ms();
    receiver->far.silent = false;
    for (struct index_entry *entry = receiver->waits.first; entry; entry = entry->next)
        if (entry->way == WAY_TRIED && room > 0 && envelope_kind_has(entry->kind, KIND_EXPECTS_ANSWER))
            entry->held_until_ms = 0;
    receiver->pump.wanted = true;
    post_wake(receiver);
}

static void ends(struct index_entry *entry, const char *status, const char *reason)
{
    struct box *sender = entry->box;
    struct envelope envelope = post_light(entry);
    OWNED char *where = memory_print("on node %s", entry->to->far.node);
    if (entry->folder == FOLDER_OUTBOX && strcmp(status, "refused") == 0)
        post_refuse(sender, &envelope, reason);
    else if (entry->folder == FOLDER_OUTBOX)
        post_verdict(sender, entry->id, status, *reason ? reason : where);
    if (entry->fresh && strcmp(status, "delivered") == 0)
        post_note(sender, "envelope_accepted", &envelope, "");
    entry->fresh = false;
    entry->way = WAY_ANSWERED;
    entry->held_until_ms = 0;
    expiry_clear(sender->post->expiry, &entry->expiry);
    envelope_index_keep(entry, NULL);
}

/* The envelope waits until the receiver's node says that there is room, or until it is time to ask again. An envelope that
 * came too early goes as soon as none is ahead of it; that an envelope which named none came too early is no reason for
 * haste. */
static void goes_back(struct index_entry *entry, bool early)
{
    entry->way = WAY_TRIED;
    post_far_asks_later(entry);
    if (early && entry->named)
        entry->held_until_ms = 0;
    if (entry->fresh)
        post_defer(entry);
}

static void hear_verdict(struct post *post, const char *from, const char *id, const char *status,
                         const char *reason)
{
    struct box *sender = post_box(post, from);
    struct index_entry *entry = sender ? envelope_index_find(post->index, sender, FOLDER_OUTBOX, id) : NULL;
    if (sender && !entry)
        entry = envelope_index_find(post->index, sender, FOLDER_SENT, id);
    if (!entry || !entry->to || !is_far(entry->to) || (entry->way != WAY_TRAVELS && entry->way != WAY_TRIED))
        return; /* the envelope has ended, or is none of this node's any more */
    entry->to->far.silent = false;
    entry->to->pump.wanted = true;
    post_wake(entry->to);
    if (strcmp(status, "deferred") == 0) {
        goes_back(entry, strcmp(reason, POST_EARLY) == 0);
        return;
    }
    post_far_paces(entry->to);
    ends(entry, status, reason);
}

static bool hear_word(struct post *post, const void *bytes, size_t length)
{
    struct yaml_node *said = yaml_parse(bytes, length, "from the bus", NULL);
    struct box *agent = said ? post_box(post, text_of(said, "agent")) : NULL;
    const struct yaml_node *node = said ? yaml_get(said, "room") : NULL;
    int64_t room;
    bool about = said && names_id(text_of(said, "about"));
    bool word = agent && node && yaml_integer(node, &room) && room >= 0;
    if (word && is_far(agent))
        hear_room(agent, room);
    else if (about)
        hear_verdict(post, text_of(said, "from"), text_of(said, "about"), text_of(said, "status"),
                     text_of(said, "reason"));
    yaml_free(said);
    return word || about;
}

bool post_node_says(struct post *post, const void *bytes, size_t length)
{
    const char *at = bytes, *end = at + length;
    size_t between = strlen(POST_NEXT_WORD);
    bool good = true;
    while (good && at < end) {
        const char *next = at;
        while (next < end && ((size_t)(end - next) < between || memcmp(next, POST_NEXT_WORD, between) != 0)) {
            const char *line = memchr(next, '\n', (size_t)(end - next));
            next = line ? line + 1 : end;
        }
        good = hear_word(post, at, (size_t)(next - at));
        at = next < end ? next + between : end;
    }
    return good && length > 0;
}
