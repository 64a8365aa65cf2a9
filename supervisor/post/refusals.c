/* Refused envelopes that still lie in their outbox, until the sender's commit takes them away: every look there
 * meanwhile, and every question, gets the same answer. A refused envelope that is decided on anew might be let in,
 * for there may be room by then, while its sender is already committing the refusal; then the envelope would end
 * twice.
 *
 * A refusal holds for the file's stamp: a file that somebody has altered since is decided on anew. Refusals are in
 * memory only: the supervisor after a killed one decides anew too, but not before the sender's own commits are at
 * their end (post_outbox_settled). */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/journal.h"
#include "common/log.h"
#include "common/memory.h"
#include "supervisor/post/part.h"

enum { KEPT_REFUSALS_MAX = 1024 }; /* beyond, the eldest are forgotten */

struct refusal {
    char *id, *reason;
    struct file_stamp stamp;
};

static void forget(struct refusals *refusals, size_t i)
{
    free(refusals->all[i].id);
    free(refusals->all[i].reason);
    refusals->count--;
    memmove(&refusals->all[i], &refusals->all[i + 1], (refusals->count - i) * sizeof *refusals->all);
}

static bool stands(struct box *sender, const struct refusal *refusal)
{
    struct file_stamp now = post_stamp_of(sender, FOLDER_OUTBOX, refusal->id);
    return files_stamp_equal(&now, &refusal->stamp);
}

static void post_refusal_keep(struct box *sender, const char *id, const char *reason)
{
    struct refusals *refusals = &sender->refusals;
    struct file_stamp stamp = post_stamp_of(sender, FOLDER_OUTBOX, id);
    if (!has_tree(sender) || stamp.inode == 0)
        return;
    for (size_t i = refusals->count; i-- > 0;)
        if (strcmp(refusals->all[i].id, id) == 0)
            forget(refusals, i);
    if (refusals->count == KEPT_REFUSALS_MAX)
        forget(refusals, 0);
    *MEMORY_ADD(refusals->all, refusals->count) =
        (struct refusal){.id = memory_text(id), .reason = memory_text(reason), .stamp = stamp};
}

const char *post_refusal_of(struct box *sender, const char *id)
{
    struct refusals *refusals = &sender->refusals;
    for (size_t i = 0; i < refusals->count; i++) {
        if (strcmp(refusals->all[i].id, id) != 0)
            continue;
        if (stands(sender, &refusals->all[i]))
            return refusals->all[i].reason;
        forget(refusals, i);
        return NULL;
    }
    return NULL;
}

void post_refusals_free(struct box *sender)
{
    while (sender->refusals.count)
        forget(&sender->refusals, sender->refusals.count - 1);
    free(sender->refusals.all);
    sender->refusals.all = NULL;
}

bool post_outbox_settled(struct box *sender)
{
    if (sender == sender->post->people || sender->ready)
        return true;
    OWNED char *path = memory_print("agents/%s", sender->name);
    OWNED_FD int tree = files_open(sender->post->data, path, O_RDONLY | O_DIRECTORY, 0);
    return tree < 0 || journal_unfinished(tree, NULL) <= 0;
}

/* --- messages --- */

/* Each refusal costs a look at a file, a line of the log and a message. A worker that sends rubbish, or the same
 * envelope again and again, has a limited number of them. */
void post_note_refusal(struct box *sender, const char *event, const struct envelope *envelope,
                       const char *reason)
{
    struct refusals *refusals = &sender->refusals;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - refusals->counted_ms >= REFUSALS_MS) {
        refusals->counted_ms = now_ms;
        refusals->made = 0;
    }
    post_note(sender, event, envelope, reason);
    if (++refusals->made < REFUSALS_MOST)
        return;
    sender->outbox.rests_until_ms = refusals->counted_ms + REFUSALS_MS;
    log_warn("post", sender->name,
             "%d of its envelopes were refused within %d seconds: its outbox rests for %lld seconds",
             REFUSALS_MOST, REFUSALS_MS / 1000,
             (long long)(sender->outbox.rests_until_ms - now_ms + 999) / 1000);
}

void post_refuse(struct box *sender, const struct envelope *envelope, const char *reason)
{
    post_verdict(sender, envelope->id, "refused", reason);
    post_note_refusal(sender, "envelope_refused", envelope, reason);
    post_refusal_keep(sender, envelope->id, reason);
}

void post_try_later(struct box *sender, const char *id, const char *why)
{
    if (!sender->complained)
        log_warn("post", sender->name, "Envelope %s stays in the outbox and is tried again: %s", id, why);
    if (is_far(sender)) {
        post_arrival_later(sender, id, RETRY_MS);
        return;
    }
    sender->complained = true;
    post_offer_again(sender);
}

void post_offer_again(struct box *sender)
{
    sender->outbox.wanted = true;
    sender->outbox.after_ms = clock_monotonic_ms() + RETRY_MS;
    post_wake(sender);
}
