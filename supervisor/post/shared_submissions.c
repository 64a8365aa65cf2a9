/* Envelopes to what all agents share, on which the hooks decide: writes to segments, and items for queues. An item waits
 * in memory for the turn, goes to disk with all other files of the turn, and is answered for after the flush that they
 * share.
 *
 * A crash finds an item in one of these states, and nobody is told of it before the last one:
 *   in memory                 an agent's item lies in its outbox as before, and is offered again at the next POST; a
 *                             person's is no item yet, and the client's connection ends without an answer
 *   .ID.md.post-…             as in memory; the file is removed at start (queues_start)
 *   ID.md, not flushed        the item is in the queue, or not when the power went too; an agent's is offered again, and
 *                             its file is flushed before it counts as one that was there already (queues_offer)
 *   ID.md, flushed            accepted
 * or, when many are on their way, a record in the journal, flushed: accepted, and the item's file is in its place at the
 * next start at the latest (journal.c). */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/post/part.h"

struct shared_submission {
    struct box *sender;
    uint64_t ticket; /* 0: not from a client, but out of an outbox */
    bool named;      /* the client gave the id, and may have given it before */
    struct envelope envelope;
    size_t number; /* in the batch */
};

/* --- verdicts --- */

static void tell_client(struct shared_submission *submission, enum post_verdict verdict,
                        const struct fault *why)
{
    struct post *post = submission->sender->post;
    struct fault fault = *why;
    bool full = strncmp(why->text, "backpressure", strlen("backpressure")) == 0;
    int exit = verdict == POST_DONE    ? EX_OK
               : verdict == POST_LATER ? EX_IOERR
               : full                  ? EX_TEMPFAIL
                                       : EX_DATAERR;
    if (verdict == POST_DONE)
        post_note(post->people, "envelope_accepted", &submission->envelope, "");
    else if (verdict == POST_REFUSED)
        post_note(post->people, "envelope_refused", &submission->envelope, why->text);
    if (exit == EX_IOERR || exit == EX_DATAERR)
        fault_set(&fault, "the item was not added: %s", why->text);
    post->owner.sent(post->owner.context, submission->ticket, exit, submission->envelope.id, &fault);
}

static void tell_sender(struct box *sender, const struct envelope *envelope, enum post_verdict verdict,
                        const struct fault *why)
{
    const char *done = envelope->kind == KIND_SEGMENT ? "finished" : "delivered";
    if (verdict == POST_WAITS) {
        post_offer_again(sender);
    } else if (verdict == POST_LATER) {
        post_try_later(sender, envelope->id, why->text);
    } else if (verdict == POST_REFUSED) {
        post_refuse(sender, envelope, why->text);
    } else {
        post_verdict(sender, envelope->id, done, "");
        post_note(sender, "envelope_accepted", envelope, "");
    }
}

static void settle(struct shared_submission *submission, enum post_verdict verdict, const struct fault *why)
{
    if (submission->ticket)
        tell_client(submission, verdict, why);
    else
        tell_sender(submission->sender, &submission->envelope, verdict, why);
    envelope_free(&submission->envelope);
}

/* True: the envelope's time is over, and its sender is told. */
static bool is_over(struct box *sender, const struct envelope *envelope)
{
    int64_t at = expiry_of(envelope->created, envelope->ttl_seconds);
    if (at < 0 || at > clock_now())
        return false;
    post_verdict(sender, envelope->id, "expired", "its time to live was over before it was accepted");
    post_note(sender, "envelope_expired", envelope, "");
    return true;
}

void post_submit_write(struct box *sender, const struct envelope *envelope)
{
    const struct post_hooks *hooks = &sender->post->hooks;
    struct fault why = {"there are no segments here"};
    if (!hooks->segment)
        tell_sender(sender, envelope, POST_REFUSED, &why);
    else if (!is_over(sender, envelope))
        tell_sender(sender, envelope, hooks->segment(hooks->context, envelope, &why), &why);
}

/* --- items --- */

static void add(struct box *sender, uint64_t ticket, struct envelope *envelope)
{
    struct shared_submissions *submissions = &sender->post->submissions;
    *MEMORY_ADD(submissions->all, submissions->count) =
        (struct shared_submission){.sender = sender, .ticket = ticket, .envelope = *envelope};
    *envelope = (struct envelope){0};
}

void post_submit_item(struct box *sender, struct envelope *envelope)
{
    const struct shared_submissions *submissions = &sender->post->submissions;
    struct fault why = {"there are no queues here"};
    for (size_t i = 0; i < submissions->count; i++)
        if (submissions->all[i].sender == sender &&
            strcmp(submissions->all[i].envelope.id, envelope->id) == 0)
            return; /* rung twice: the first one's verdict is on its way */
    if (!sender->post->hooks.item)
        tell_sender(sender, envelope, POST_REFUSED, &why);
    else if (!is_over(sender, envelope))
        add(sender, 0, envelope);
}

const struct envelope *post_submitted_item(const struct post *post, const char *id)
{
    for (size_t i = 0; i < post->submissions.count; i++)
        if (strcmp(post->submissions.all[i].envelope.id, id) == 0)
            return &post->submissions.all[i].envelope;
    return NULL;
}

void post_enqueue(struct post *post, const char *queue, const char *id, const char *text, int64_t ttl_seconds,
                  enum priority priority, uint64_t ticket)
{
    struct envelope item = {
        .id = id ? memory_text(id) : names_new_id(),
        .kind = KIND_ITEM,
        .from = memory_text(POST_OPERATOR),
        .to = memory_print("queue:%s", queue + (strncmp(queue, "queue:", 6) == 0 ? 6 : 0)),
        .created = clock_now(),
        .ttl_seconds = ttl_seconds,
        .priority = priority,
        .hops = 1,
        .body = memory_text(text),
    };
    item.trace = memory_text(item.id);
    add(post->people, ticket, &item);
    post->submissions.all[post->submissions.count - 1].named = id != NULL;
    post_wake(post->people);
}

/* False: the submission has its verdict. */
static bool join(struct post *post, struct shared_submission *submission)
{
    struct fault why = {"there are no queues here"};
    OWNED_BUFFER struct buffer text = {0};
    struct post_place_of_item place = {.text = &text,
                                       .is_new = submission->ticket != 0 && !submission->named};
    enum post_verdict verdict =
        post->hooks.item ? post->hooks.item(post->hooks.context, &submission->envelope, &place, &why)
                         : POST_REFUSED;
    if (verdict != POST_GOES) {
        settle(submission, verdict, &why);
        return false;
    }
    post->deliveries.bytes += text.length;
    submission->number = batch_add(&post->batch, place.folder, submission->envelope.id, &text, false);
    return true;
}

void post_submissions_join(struct post *post)
{
    struct shared_submissions *submissions = &post->submissions;
    size_t looked_at = 0;
    if (!submissions->count)
        return;
    for (; looked_at < submissions->count && post->batch.count < BATCH_MAX &&
           post->deliveries.bytes < BATCH_BYTES_MAX;
         looked_at++)
        if (join(post, &submissions->all[looked_at]))
            submissions->all[submissions->joined++] = submissions->all[looked_at];
    memmove(&submissions->all[submissions->joined], &submissions->all[looked_at],
            (submissions->count - looked_at) * sizeof *submissions->all);
    submissions->count -= looked_at - submissions->joined;
}

void post_submissions_answer(struct post *post)
{
    struct shared_submissions *submissions = &post->submissions;
    size_t answered = submissions->joined;
    if (!submissions->count)
        return;
    for (size_t i = 0; i < answered; i++) {
        struct shared_submission *submission = &submissions->all[i];
        struct fault why = {""};
        enum write_result result = batch_result(&post->batch, submission->number, &why);
        settle(submission, post->hooks.item_written(post->hooks.context, &submission->envelope, result, &why),
               &why);
    }
    submissions->joined = 0;
    submissions->count -= answered;
    memmove(submissions->all, &submissions->all[answered], submissions->count * sizeof *submissions->all);
    if (!submissions->count) {
        free(submissions->all);
        submissions->all = NULL;
    }
}

void post_submissions_drop(struct box *sender)
{
    struct shared_submissions *submissions = &sender->post->submissions;
    size_t kept = 0;
    for (size_t i = 0; i < submissions->count; i++) {
        if (submissions->all[i].sender == sender)
            envelope_free(&submissions->all[i].envelope);
        else
            submissions->all[kept++] = submissions->all[i];
    }
    submissions->count = kept;
}

void post_submissions_forget(struct post *post)
{
    for (size_t i = 0; i < post->submissions.count; i++)
        envelope_free(&post->submissions.all[i].envelope);
    free(post->submissions.all);
    post->submissions = (struct shared_submissions){.all = NULL};
}
