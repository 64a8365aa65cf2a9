/* The reading of the files at start, and after an agent has come.
 *
 * Every set of places in which an envelope ID may be found after a crash of supervisor, sender, receiver or all of them
 * (S sender's tree, R receiver's; a temporary file .ID.md.post-… is nowhere and is removed), and what becomes of it:
 *
 *   S/outbox                                    not accepted, or deferred, or its verdict "refused" was lost: decided on
 *   S/outbox, R/inbox|handoffs                  delivered, verdict lost: "delivered" is said again (post_repeated)
 *   S/outbox, R/archive                         and read or done already: "delivered" is said again
 *   S/outbox, R/dead-letter expired             expired while it waited, or after delivery: "expired" or "delivered"
 *   S/outbox, R/dead-letter not final           taken away in (a): (b) goes on, the verdict is said
 *   S/outbox, S/archive                         S's worker was archiving the envelope; it removes the first file itself
 *                                               at its start; meanwhile it may be told "delivered" again
 *   S/archive, R/inbox|handoffs                 delivered: the index knows it again, its time is minded again
 *   S/archive, R/handoffs `reading`             R's worker had begun: expires no more; the worker goes on or counts it
 *   S/archive, R/handoffs, R/archive            R's worker was ending it: it removes the first file itself at its start;
 *                                               until then the envelope fills the window
 *   S/archive, R/archive                        done. No step
 *   S/archive, R/dead-letter not final          (a) but not (d): put back if `reading`, else bounced and made final
 *   S/archive, R/dead-letter final              (d): the bounce is there, or (failed by its worker) is made now
 *   S/archive, R/handoffs, R/dead-letter final  a requeue was cut: created later than it ended, so the dead letter goes;
 *                                               else the file is a copy that a person made, and both stay
 *   R/inbox|handoffs alone                      a person put the file there: work like any other
 *   R/dead-letter alone                         a task, or a person's: nobody is told
 *   shared/outbox                               the operator's, deferred: waits again; delivered meanwhile: removed
 *   shared/queues, with a consumer              work_queue_assign.c has that table
 *
 * So at start: every envelope that the journal names as accepted is in its place (journal.c). Then each box is taken up:
 * temporaries go; inbox and handoffs are indexed; the ends of dead letters go on; the outbox is decided on as if it was
 * rung, except that a deferred envelope keeps its place whatever the backlog is now. Senders' verdicts reach nobody yet;
 * each worker asks for all of them when it is ready (POST "").
 *
 * Ten thousand boxes are taken up in slices, and a box is fresh until its turn. No event overtakes the files of a fresh
 * box meanwhile, for every event that would change them takes the box up first:
 *   its worker                  before the process is asked for (post_worker_starts)
 *   a sender, a bounce          neither the window nor the shelf has room until the box is taken up, in the next turn, and
 *                               the envelope or the bounce waits for that
 *   the operator, status        the box is taken up on the spot: a message is let in or deferred by its window
 *   a person, the clock         a noticed change takes the box up in the next turn; envelopes expire in it then
 * A crash between two slices leaves the other boxes as they were, and the next start begins with all. */
#include "supervisor/post/part.h"

void post_take_up(struct box *box)
{
    static const enum folder written[] = {FOLDER_INBOX, FOLDER_HANDOFFS, FOLDER_DEAD_LETTERS};
    struct post *post = box->post;
    if (!box->fresh || !post->started)
        return;
    box->fresh = false;
    if (is_far(box)) {
        box->pump.wanted = true;
        post_wake(box);
        return;
    }
    box->outbox.wanted = box->outbox.from_start = true;
    post_origins_trust(box);
    box->pump.wanted = true;
    post_wake(box);
    if (box == post->people) {
        mailbox_tidy(post->data, box->name, FOLDER_OUTBOX);
        return;
    }
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++)
        mailbox_tidy(post->data, box->name, written[i]);
    post_look_into(box, true);
    box->dead.wanted = true;
    if (box->down)
        post_tasks_scan(box);
}
