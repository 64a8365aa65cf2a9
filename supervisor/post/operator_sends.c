/* The operator's letters: each waits in memory for the turn, goes to disk with all other files of the turn, and is
 * answered after the flush that they share.
 *
 * A crash finds a letter in one of these states, and nobody is told of it before the last one:
 *   in memory                 there is no letter; its client's connection ends without an answer
 *   .ID.md.post-…             there is no letter; the file is removed at start
 *   ID.md, not flushed        the letter is there, or not when the power went too; a client that sends it again sends
 *                             another letter, with an id of its own, as after every connection that ends without an answer
 *   ID.md, flushed            accepted, and told when its client is still there; if not, it goes its way all the same
 * When many letters are on their way a record in the journal is flushed in place of the files: from then on a letter is
 * accepted, and its file is in its place at the next start at the latest (journal.c). */
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
    /* Once the letter has joined the turn's batch; NULL: it can't go, and why says so. */
    struct box *receiver;
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
    roster_no_agent(post->roster, to, fault);
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
    struct operator_sends *sends = &post->operator_sends;
    struct operator_send *send = MEMORY_ADD(sends->all, sends->count);
    *send = (struct operator_send){.ticket = ticket,
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
    send->envelope.trace = memory_text(send->envelope.id);
    post_wake(post->people);
    return EX_OK;
}

/* --- joining the turn's batch --- */

static int64_t joined_for(const struct box *receiver, bool deferred)
{
    const struct operator_sends *sends = &receiver->post->operator_sends;
    int64_t count = 0;
    for (size_t i = 0; i < sends->joined; i++)
        count += sends->all[i].receiver == receiver && sends->all[i].deferred == deferred;
    return count;
}

int64_t post_operator_sends_arriving(const struct box *receiver)
{
    return joined_for(receiver, false);
}

static void refuse(struct operator_send *send, int exit)
{
    send->receiver = NULL;
    send->exit = exit;
}

static void join(struct post *post, struct operator_send *send)
{
    struct box *receiver = receiver_of(post, send->envelope.to, &send->why);
    if (!receiver) {
        refuse(send, EX_NOINPUT);
        return;
    }
    post_take_up(receiver);
    /* Letters that wait already go first. */
    bool room = receiver->waits.count == 0 && !is_far(receiver) &&
                post_room(post, receiver->name) > post_operator_sends_arriving(receiver);
    int64_t backlog, held = (int64_t)receiver->waits.count + joined_for(receiver, true);
    post_window(receiver, &backlog);
    if (!room && held >= backlog) {
        post_note(post->people, "envelope_refused", &send->envelope, "backpressure");
        fault_set(&send->why,
                  "backpressure: %s has a full window, and %lld envelopes wait for it already; try again",
                  receiver->name, (long long)held);
        refuse(send, EX_TEMPFAIL);
        return;
    }
    send->receiver = receiver;
    send->deferred = !room;
    send->envelope.status = memory_text(room ? "delivered" : "deferred");
    send->envelope.delivered = room ? clock_now() : 0;
    post->deliveries.bytes += strlen(send->envelope.body);
    send->number = mailbox_add(&post->batch, room ? receiver->name : POST_OPERATOR,
                               room ? FOLDER_INBOX : FOLDER_OUTBOX, &send->envelope, false);
}

void post_operator_sends_join(struct post *post)
{
    struct operator_sends *sends = &post->operator_sends;
    while (sends->joined < sends->count && post->batch.count < BATCH_MAX &&
           post->deliveries.bytes < BATCH_BYTES_MAX) {
        join(post, &sends->all[sends->joined]);
        sends->joined++;
    }
}

/* --- after the flush --- */

static void waits(struct operator_send *send)
{
    struct box *receiver = send->receiver;
    struct post *post = receiver->post;
    struct index_entry *entry =
        envelope_index_add(post->index, &receiver->waits, post->people, FOLDER_OUTBOX, send->envelope.id);
    envelope_index_describe(entry, &send->envelope);
    post_waits_for(entry, receiver);
    receiver->pump.wanted = true;
    post_wake(receiver);
    post_mind(post, entry);
    post_note(post->people, "envelope_accepted", &send->envelope, "");
    post_note(post->people, "envelope_deferred", &send->envelope, "");
}

static void lies_there(struct operator_send *send)
{
    struct box *receiver = send->receiver;
    struct post *post = receiver->post;
    struct file_stamp stamp = batch_written(&post->batch, send->number);
    post_lies_there(receiver, FOLDER_INBOX, &send->envelope, &stamp);
    post_note(post->people, "envelope_accepted", &send->envelope, "");
    post_note(receiver, "envelope_delivered", &send->envelope, "");
    post_look_due(receiver, WAKE_UP);
}

/* The write failed, but the file may have got its name all the same. */
static void may_lie_there(struct operator_send *send)
{
    struct box *box = send->deferred ? send->receiver->post->people : send->receiver;
    send->exit = EX_IOERR;
    box->look.wanted |= !send->deferred;
    box->outbox.wanted |= send->deferred;
    post_wake(box);
}

static void answer(struct post *post, struct operator_send *send)
{
    bool failed = send->receiver && batch_result(&post->batch, send->number, &send->why) != WRITE_DONE;
    if (failed)
        may_lie_there(send);
    else if (send->receiver && send->deferred)
        waits(send);
    else if (send->receiver)
        lies_there(send);
    post->owner.sent(post->owner.context, send->ticket, send->exit, send->envelope.id, &send->why);
    envelope_free(&send->envelope);
}

void post_operator_sends_answer(struct post *post)
{
    struct operator_sends *sends = &post->operator_sends;
    for (size_t i = 0; i < sends->joined; i++)
        answer(post, &sends->all[i]);
    sends->count -= sends->joined;
    if (sends->count)
        memmove(sends->all, &sends->all[sends->joined], sends->count * sizeof *sends->all);
    sends->joined = 0;
    if (!sends->count) {
        free(sends->all);
        sends->all = NULL;
    }
}

void post_operator_sends_forget(struct post *post)
{
    for (size_t i = 0; i < post->operator_sends.count; i++)
        envelope_free(&post->operator_sends.all[i].envelope);
    free(post->operator_sends.all);
    post->operator_sends = (struct operator_sends){.all = NULL};
}
