/* An agent's box: its place in the post office, the envelopes in it, and the messages about them. Every other file of
 * this room stands on this one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"
#include "common/names.h"
#include "supervisor/post/part.h"

/* --- boxes --- */

struct box **post_chain_of(const struct post *post, const char *name)
{
    return &post->boxes.table[names_hash(name, strlen(name)) & (post->boxes.capacity - 1)];
}

struct box *post_box(const struct post *post, const char *name)
{
    struct box *box = *post_chain_of(post, name);
    while (box && strcmp(box->name, name) != 0)
        box = box->chain;
    return box;
}

/* Chains stay short however many agents there are. */
static void grow_table(struct post *post)
{
    struct box **before = post->boxes.table;
    size_t chains = post->boxes.capacity;
    post->boxes.capacity *= 2;
    post->boxes.table = memory_new(post->boxes.capacity, sizeof(struct box *));
    for (size_t i = 0; i < chains; i++)
        for (struct box *box = before[i], *next; box; box = next) {
            struct box **chain = post_chain_of(post, box->name);
            next = box->chain;
            box->chain = *chain;
            *chain = box;
        }
    free(before);
    post->round.next = 0; /* the chains are others now */
}

struct box *post_add_box(struct post *post, const char *name)
{
    if (post->boxes.count == post->boxes.capacity)
        grow_table(post);
    struct box *box = memory_new(1, sizeof *box), **chain = post_chain_of(post, name);
    *box =
        (struct box){.post = post, .chain = *chain, .name = memory_text(name), .fresh = true, .down = true};
    *chain = box;
    post->boxes.count++;
    post_set_down(box, false);
    return box;
}

void post_set_down(struct box *box, bool down)
{
    struct post *post = box->post;
    if (box->down == down)
        return;
    box->down = down;
    post->scan.up_count += down ? (size_t)-1 : 1;
    if (!down) {
        LIST_INSERT_HEAD(&post->scan.up, box, look.up_link);
        return;
    }
    if (post->scan.up_next == box)
        post->scan.up_next = LIST_NEXT(box, look.up_link);
    LIST_REMOVE(box, look.up_link);
}

void post_each(struct post *post, void (*visit)(struct box *box))
{
    for (size_t i = 0; i < post->boxes.capacity; i++)
        for (struct box *box = post->boxes.table[i]; box; box = box->chain)
            visit(box);
}

void post_set_turn(struct post *post, int64_t in_ms)
{
    if (!post->started || post->in_turn)
        return;
    if (!post->turn.place || post->turn.at > clock_monotonic_ms() + in_ms)
        timer_set(post->loop, &post->turn, in_ms);
}

void post_wake(struct box *box)
{
    struct post *post = box->post;
    if (!box->active) {
        *MEMORY_ADD(post->active.boxes, post->active.count) = box;
        box->active = true;
    }
    post_set_turn(post, 0);
}

/* --- entries --- */

static void post_entry_due(void *context)
{
    struct index_entry *entry = context;
    struct post *post = entry->box->post;
    post->ringing.entries[post->ringing.count++] = entry;
}

void post_mind(struct post *post, struct index_entry *entry)
{
    int64_t at = entry->reading || entry->bad ? -1 : expiry_of(entry->created, entry->ttl_seconds);
    entry->expiry.ring = post_entry_due;
    entry->expiry.context = entry;
    if (at >= 0)
        expiry_set(post->expiry, &entry->expiry, at);
    else
        expiry_clear(post->expiry, &entry->expiry);
}

bool post_is_over(const struct index_entry *entry, int64_t now)
{
    int64_t at = expiry_of(entry->created, entry->ttl_seconds);
    return at >= 0 && at <= now;
}

void post_waits_for(struct index_entry *entry, struct box *receiver)
{
    entry->to = receiver;
    entry->box->outbox.waiting++;
}

void post_forget(struct post *post, struct index_entry *entry)
{
    entry->box->outbox.waiting -= entry->to != NULL;
    expiry_clear(post->expiry, &entry->expiry);
    for (size_t i = 0; i < post->ringing.count; i++)
        if (post->ringing.entries[i] == entry)
            post->ringing.entries[i] = NULL;
    envelope_index_drop(post->index, entry);
}

struct index_entry *post_entry_at(struct box *box, enum folder folder, const char *id)
{
    struct post *post = box->post;
    struct index_entry *entry = envelope_index_find(post->index, box, folder, id);
    return entry ? entry : envelope_index_add(post->index, &box->shelves[folder], box, folder, id);
}

struct file_stamp post_stamp_of(struct box *box, enum folder folder, const char *id)
{
    OWNED char *path = memory_print("%s.md", id);
    OWNED_FD int fd = mailbox_open(box->post->data, box->name, folder, false);
    return fd < 0 ? (struct file_stamp){0} : files_stamp_at(fd, path);
}

void post_lies_there(struct box *box, enum folder folder, const struct envelope *envelope,
                     const struct file_stamp *stamp)
{
    struct index_entry *entry = post_entry_at(box, folder, envelope->id);
    envelope_index_describe(entry, envelope);
    entry->stamp = stamp ? *stamp : post_stamp_of(box, folder, envelope->id);
    entry->seen.missing_at_ms = 0;
    post_mind(box->post, entry);
}

int64_t post_unread_of(const struct box *receiver, const char *sender)
{
    int64_t count = 0;
    const struct index_entry *entry = receiver->shelves[FOLDER_INBOX].first;
    for (; entry; entry = entry->next)
        count += !entry->bad && !envelope_kind_has(entry->kind, KIND_EXPECTS_ANSWER) &&
                 strcmp(entry->from, sender) == 0;
    return count;
}

/* --- telling --- */

uint64_t post_mark(const struct file_stamp *stamp)
{
    return stamp->inode ? names_hash(stamp, sizeof *stamp) | 1 : 0;
}

/* The kernel's times are coarse: a change right after a look may not show in them. So the look at a folder that has
 * just changed doesn't count, and the next scan looks again. */
void post_looked(struct box *box, enum folder folder, const struct file_stamp *stamp, size_t files,
                 int64_t begun_ns)
{
    uint64_t mark = files_stamp_settled(stamp, begun_ns) ? post_mark(stamp) : 0;
    box->look.marks[folder] = mark;
    if (mark) /* else the list may be cut off, and the last good number stays */
        box->counts[folder] = (struct folder_count){.mark = mark, .count = files};
}

void post_look_due(struct box *box, enum waking waking)
{
    if (waking > box->waking)
        box->waking = waking;
    post_wake(box);
}

struct envelope post_light(const struct index_entry *entry)
{
    static char nobody[] = "nobody";
    return (struct envelope){.id = entry->id,
                             .kind = entry->kind,
                             .from = entry->from ? entry->from : nobody,
                             .to = entry->to ? entry->to->name : entry->box->name,
                             .created = entry->created,
                             .ttl_seconds = entry->ttl_seconds,
                             .priority = entry->priority,
                             .hops = entry->hops,
                             .trace = entry->trace};
}

void post_verdict(struct box *sender, const char *id, const char *status, const char *reason)
{
    struct post *post = sender->post;
    if (is_far(sender)) {
        post_arrival_verdict(sender, id, status, reason);
        post_set_turn(post, 0); /* which tells it */
    } else if (sender != post->people)
        post->owner.verdict(sender->subject, id, status, reason, clock_now());
    else if (strcmp(status, "deferred") != 0)
        mailbox_remove(post->data, POST_OPERATOR, FOLDER_OUTBOX, id);
}

static const char *short_event(const char *event)
{
    static const char prefix[] = "envelope_";
    return strncmp(event, prefix, sizeof prefix - 1) == 0 ? event + sizeof prefix - 1 : event;
}

static struct count *count_of(const struct post *post, const char *event)
{
    for (size_t i = 0; i < post->counts.count; i++)
        if (strcmp(post->counts.all[i].event, short_event(event)) == 0)
            return &post->counts.all[i];
    return NULL;
}

void post_note(struct box *box, const char *event, const struct envelope *envelope, const char *reason)
{
    struct post *post = box->post;
    struct count *count = count_of(post, event);
    if (!count) {
        count = MEMORY_ADD(post->counts.all, post->counts.count);
        *count = (struct count){0};
        snprintf(count->event, sizeof count->event, "%s", short_event(event));
    }
    count->kinds[envelope->kind]++;
    post->owner.told(post->owner.context, box->subject, event, envelope, reason ? reason : "");
}

void post_tell(struct post *post, const char *agent, const char *event, const struct envelope *envelope,
               const char *reason)
{
    struct box *box = post_box(post, agent);
    post_note(box ? box : post->people, event, envelope, reason);
}

uint64_t post_count(const struct post *post, enum envelope_kind kind, const char *event)
{
    const struct count *count = count_of(post, event);
    return count ? count->kinds[kind] : 0;
}
