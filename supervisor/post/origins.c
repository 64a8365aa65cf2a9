/* The origins of an agent's envelopes, as the post office itself knows them: this file sets an envelope's trace, hops
 * and created, whatever the sender's file says.
 *
 * A worker names its present work. When that work is an envelope which lies with it, envelopes that leave grew out of
 * that envelope, on its trace, one hop further; else the work is a task of its own. The last few works are
 * remembered, since an envelope that leaves with a commit may be decided on when the next work has begun: an envelope
 * may claim any of their traces, or more hops than they give (the worker has read messages along), and no other trace
 * and no fewer hops.
 *
 * After a start of the supervisor nothing is known, and an envelope that lies in an outbox, or is put there by the
 * worker's own recovery before the first look after READY, is as its file says. A task's own trace can't be told from
 * a trace that a worker makes up with the task: such a task counts as work that the agent gives itself. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/post/part.h"

enum {
    TRUSTED_MAX = 1024, /* envelopes of one agent after a start */
    REQUEUED_S =
        1, /* how far a requeued envelope may be ahead of the clock: later than its end, in the same second */
    WRITING_S = 60 /* from when an envelope was made to when its file was written, at most */
};

void post_origin_add(struct box *box, const char *trace, int64_t hops)
{
    struct origins *origins = &box->origins;
    const struct origin *last = origins->count ? &origins->all[origins->count - 1] : NULL;
    if (last && last->hops == hops && strcmp(last->trace, trace) == 0)
        return;
    if (origins->count == ORIGINS_MAX) {
        free(origins->all[0].trace);
        memmove(&origins->all[0], &origins->all[1], --origins->count * sizeof *origins->all);
    }
    *MEMORY_ADD(origins->all, origins->count) = (struct origin){.trace = memory_text(trace), .hops = hops};
}

void post_origins_free(struct box *box)
{
    for (size_t i = 0; i < box->origins.count; i++)
        free(box->origins.all[i].trace);
    free(box->origins.all);
}

void post_works_at(struct post *post, const char *name, const char *what)
{
    struct box *box = post_box(post, name);
    const struct index_entry *entry = NULL;
    for (enum folder folder = FOLDER_INBOX; box && !entry && folder <= FOLDER_HANDOFFS; folder++)
        entry = envelope_index_find(post->index, box, folder, what);
    if (box)
        post_origin_add(box, entry && entry->trace ? entry->trace : what, entry ? entry->hops : 0);
}

void post_origins_trust(struct box *box)
{
    box->origins.trusted = TRUSTED_MAX;
    box->origins.ready = false;
}

void post_origins_looked(struct box *box, size_t count)
{
    if (!box->ready || box->origins.ready)
        return;
    box->origins.ready = true;
    if (box->origins.trusted > count)
        box->origins.trusted = count;
}

/* An envelope that is dated ahead would live longer, one that is dated back would go before others. The file's time
 * of writing is a time that its writer can't forge. */
static void set_created(struct envelope *envelope, const struct file_stamp *stamp, bool trusted)
{
    int64_t now = clock_now(), written = stamp->changed_ns / 1000000000;
    if (!trusted && envelope->created < written - WRITING_S)
        envelope->created = written - WRITING_S;
    if (envelope->created > now + REQUEUED_S)
        envelope->created = now + REQUEUED_S;
}

void post_origin_set(struct box *sender, struct envelope *envelope, const struct file_stamp *stamp)
{
    struct origins *origins = &sender->origins;
    const struct origin *origin = origins->count ? &origins->all[origins->count - 1] : NULL;
    bool trusted = sender == sender->post->people || origins->trusted > 0, known = false;
    origins->trusted -= origins->trusted > 0;
    set_created(envelope, stamp, trusted);
    if (trusted)
        return;
    for (size_t i = origins->count; i-- > 0 && !known;)
        if ((known = strcmp(origins->all[i].trace, envelope->trace) == 0))
            origin = &origins->all[i];
    if (!known) {
        memory_set(&envelope->trace, origin ? origin->trace : envelope->id);
    }
    int64_t least = origin ? origin->hops + 1 : 1;
    if (envelope->hops < least)
        envelope->hops = least;
}
