/* What the operator sends: each letter waits in memory for the turn, goes to disk with everything else that the turn
 * writes, and is answered after the flush that all of them share.
 *
 * A crash finds a letter in one of these states, and nobody is told of it before the last one:
 *   in memory                 there is none; its client's connection ends without an answer
 *   .ID.md.post-…             likewise; the file is removed at start
 *   ID.md, not flushed        it lies there, or not when the power went too; who sends it again sends another one, with
 *                             an id of its own, as after every connection that ends without an answer
 *   ID.md, flushed            accepted, and told when its client is still there; if not, it goes its way all the same
 * When many are on their way a record in the journal is flushed in place of the files: from then on it is accepted, and its
 * file comes to lie there at the next start at the latest (journal.c). */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/utf8.h"
#include "supervisor/post/part.h"

enum { HEAD_MAX = 4096 /* bytes of front matter */ };

struct operator_send {
    uint64_t ticket;
    struct envelope envelope;
    struct box *receiver; /* once it has joined the turn's batch; NULL: it can't go, why says it */
    bool joined, deferred;
    size_t number; /* in the batch */
    int exit;
    struct fault why;
};

/* --- taking --- */

static bool check_text(const char *text, struct fault *fault)
{
    size_t length = strlen(text);
    if (text[strspn(text, " \t\r\n")] == '\0')
        return fault_set(fault, "the message has no text; nothing was sent");
    if (length > ENVELOPE_MAX - HEAD_MAX)
        return fault_set(fault, "the message has %zu bytes, at most %d are allowed; nothing was sent", length,
                         ENVELOPE_MAX - HEAD_MAX);
    return utf8_valid(text, length) || fault_set(fault, "the message is not UTF-8; nothing was sent");
}

static struct box *receiver_of(const struct post *post, const char *to, struct fault *fault)
{
    struct box *box = post_box(post, to);
    if (box && box->definition && !box->leaving)
        return box;
    fault_set(fault, "there is no agent '%s' in agents.yaml", to);
    return NULL;
}

int post_send(struct post *post, const char *to, const char *text, int64_t ttl_seconds,
              enum priority priority, uint64_t ticket, struct fault *fault)
{
    if (!receiver_of(post, to, fault))
        return EX_NOINPUT;
    if (ttl_seconds < 0)
        fault_set(fault, "ttl_seconds can't be below 0; nothing was sent");
    if (ttl_seconds < 0 || !check_text(text, fault))
        return EX_DATAERR;
    struct operator_sends *letters = &post->operator_sends;
    if ((letters->count & (letters->count - 1)) == 0)
        letters->all =
            memory_grow(letters->all, letters->count ? letters->count * 2 : 1, sizeof *letters->all);
    struct operator_send *letter = &letters->all[letters->count++];
    *letter = (struct operator_send){.ticket = ticket,
                                     .exit = EX_OK,
                                     .envelope = {
                                         .id = names_new_id(),
                                         .kind = KIND_MESSAGE,
                                         .from = memory_text(POST_OPERATOR),
                                         .to = memory_text(to),
                                         .created = clock_now(),
                                         .ttl_seconds = ttl_seconds,
                                         .priority = priority,
                                         .hops = 1,
                                         .body = memory_text(text),
                                     }};
    letter->envelope.trace = memory_text(letter->envelope.id);
    post_wake(post->people);
    return EX_OK;
}

/* --- joining the turn's batch --- */

static int64_t joined_for(const struct box *receiver, bool deferred)
{
    const struct operator_sends *letters = &receiver->post->operator_sends;
    int64_t count = 0;
    for (size_t i = 0; i < letters->joined; i++)
        count += letters->all[i].receiver == receiver && letters->all[i].deferred == deferred;
    return count;
}

int64_t post_operator_sends_arriving(const struct box *receiver)
{
    return joined_for(receiver, false);
}

static void refuse(struct operator_send *letter, int exit)
{
    letter->receiver = NULL;
    letter->exit = exit;
}

static void join(struct post *post, struct operator_send *letter)
{
    struct box *receiver = receiver_of(post, letter->envelope.to, &letter->why);
    if (!receiver) {
        refuse(letter, EX_NOINPUT);
        return;
    }
    /* Whoever waits already goes first. */
    bool room = receiver->waits.count == 0 &&
                post_room(post, receiver->name) > post_operator_sends_arriving(receiver);
    int64_t backlog, held = (int64_t)receiver->waits.count + joined_for(receiver, true);
    post_window(receiver, &backlog);
    if (!room && held >= backlog) {
        post_note(post->people, "envelope_refused", &letter->envelope, "backpressure");
        fault_set(&letter->why,
                  "backpressure: %s has a full window, and %lld envelopes wait for it already; try again",
                  receiver->name, (long long)held);
        refuse(letter, EX_TEMPFAIL);
        return;
    }
    letter->receiver = receiver;
    letter->deferred = !room;
    letter->envelope.status = memory_text(room ? "delivered" : "deferred");
    letter->envelope.delivered = room ? clock_now() : 0;
    post->delivery_bytes += strlen(letter->envelope.body);
    letter->number = mailbox_add(&post->batch, room ? receiver->name : POST_OPERATOR,
                                 room ? FOLDER_INBOX : FOLDER_OUTBOX, &letter->envelope, false);
}

void post_operator_sends_join(struct post *post)
{
    struct operator_sends *letters = &post->operator_sends;
    while (letters->joined < letters->count && post->batch.count < BATCH_MAX &&
           post->delivery_bytes < BATCH_BYTES_MAX) {
        join(post, &letters->all[letters->joined]);
        letters->joined++;
    }
}

/* --- after the flush --- */

static void waits(struct operator_send *letter)
{
    struct box *receiver = letter->receiver;
    struct post *post = receiver->post;
    struct parcel *parcel =
        parcels_add(post->parcels, &receiver->waits, post->people, FOLDER_OUTBOX, letter->envelope.id);
    parcels_describe(parcel, &letter->envelope);
    parcel->to = receiver;
    post_mind(post, parcel);
    post_note(post->people, "envelope_accepted", &letter->envelope, "");
    post_note(post->people, "envelope_deferred", &letter->envelope, "");
}

static void lies_there(struct operator_send *letter)
{
    struct box *receiver = letter->receiver;
    struct post *post = receiver->post;
    struct file_stamp stamp = batch_written(&post->batch, letter->number);
    post_lies_there(receiver, FOLDER_INBOX, &letter->envelope, &stamp);
    post_note(post->people, "envelope_accepted", &letter->envelope, "");
    post_note(receiver, "envelope_delivered", &letter->envelope, "");
    post_look_due(receiver, WAKE_UP);
}

/* It failed, but may have its name all the same. */
static void may_lie_there(struct operator_send *letter)
{
    struct box *box = letter->deferred ? letter->receiver->post->people : letter->receiver;
    letter->exit = EX_IOERR;
    box->look_wanted |= !letter->deferred;
    box->outbox_wanted |= letter->deferred;
    post_wake(box);
}

static void answer(struct post *post, struct operator_send *letter)
{
    bool failed = letter->receiver && batch_result(&post->batch, letter->number, &letter->why) != WRITE_DONE;
    if (failed)
        may_lie_there(letter);
    else if (letter->receiver && letter->deferred)
        waits(letter);
    else if (letter->receiver)
        lies_there(letter);
    post->owner.sent(post->owner.context, letter->ticket, letter->exit, letter->envelope.id, &letter->why);
    envelope_free(&letter->envelope);
}

void post_operator_sends_answer(struct post *post)
{
    struct operator_sends *letters = &post->operator_sends;
    for (size_t i = 0; i < letters->joined; i++)
        answer(post, &letters->all[i]);
    letters->count -= letters->joined;
    if (letters->count)
        memmove(letters->all, &letters->all[letters->joined], letters->count * sizeof *letters->all);
    letters->joined = 0;
    if (!letters->count) {
        free(letters->all);
        letters->all = NULL;
    }
}

void post_operator_sends_forget(struct post *post)
{
    for (size_t i = 0; i < post->operator_sends.count; i++)
        envelope_free(&post->operator_sends.all[i].envelope);
    free(post->operator_sends.all);
    post->operator_sends = (struct operator_sends){.all = NULL};
}
