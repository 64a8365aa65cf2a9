/* The files in the agents' inbox/ and handoffs/: the index is compared with the folders, and changes by people, workers
 * and crashes are taken as they are.
 *
 *   a new file             somebody put it there by hand: the envelope counts and expires like any other
 *   another stamp          edited, or its worker has begun to read it: the file is read anew
 *   no envelope            the worker sets the file aside; here it only counts for the depth
 *   gone, in archive/      the worker has finished with the envelope
 *   gone, in dead-letter/  the envelope failed there, or a person gave it up: its sender gets a bounce
 *   gone, lies elsewhere   a person moved the file
 *   gone for a second      removed by hand: the sender gets a bounce */
#include <string.h>

#include "common/clock.h"
#include "common/listing.h"
#include "common/log.h"
#include "common/memory.h"
#include "supervisor/post/part.h"

enum { LOOK_REST_US = 20 /* for each file that a look finds, before the next look */ };

static void room_again(struct box *box)
{
    box->pump.wanted = true;
    post_wake(box);
}

/* --- new and changed files --- */

/* A copy is work of its own for the agent that got it; a moved envelope has left its former place. */
static void say_put_in(const struct index_entry *entry)
{
    struct post *post = entry->box->post;
    const char *name = entry->box->name, *folder = mailbox_folder_name(entry->folder);
    const struct index_entry *other = envelope_index_elsewhere(post->index, entry);
    if (other && mailbox_lies_in(post->data, other->box->name, other->id, 1u << other->folder))
        log_warn(
            "post", name,
            "Envelope %s was copied into %s by hand: it lies with %s too, and each of them does it. A copy "
            "needs an id and a name of its own.",
            entry->id, folder, other->box->name);
    else
        log_info("post", name, "Envelope %s was put into %s by hand", entry->id, folder);
}

/* Takes the file into the index. Returns the news for the agent's worker. */
static enum waking take_in(struct box *box, enum folder folder, const char *id,
                           const struct file_stamp *stamp, bool at_start)
{
    struct post *post = box->post;
    OWNED_ENVELOPE struct envelope envelope = {0};
    struct fault fault;
    bool is_new = !envelope_index_find(post->index, box, folder, id);
    enum mailbox_found found = mailbox_read(post->data, box->name, folder, id, &envelope, NULL, &fault);
    if (found == MAILBOX_GONE || found == MAILBOX_LATER) {
        int64_t again_ms = found == MAILBOX_LATER ? clock_monotonic_ms() + RETRY_MS : 0;
        box->look.wanted = true;
        if (box->look.after_ms < again_ms)
            box->look.after_ms = again_ms;
        return WAKE_NOBODY;
    }
    if (found == MAILBOX_READ && !envelope_fits(&envelope, stamp->size))
        found = MAILBOX_NONE;
    struct index_entry *entry = post_entry_at(box, folder, id);
    bool was_reading = entry->reading;
    entry->stamp = *stamp;
    entry->seen.missing_at_ms = 0;
    if (found == MAILBOX_NONE)
        envelope_index_spoil(entry);
    else
        envelope_index_describe(entry, &envelope);
    post_mind(post, entry);
    bool work = envelope_kind_has(entry->kind, KIND_EXPECTS_ANSWER);
    if (is_new && !at_start && found == MAILBOX_READ && work)
        say_put_in(entry);
    if (!is_new && entry->reading != was_reading)
        return WAKE_NOBODY; /* the worker knows of the work that it has begun itself */
    return work ? WAKE_UP : WAKE_LOOK;
}

/* --- missing files --- */

/* The sender's own copy, for the bounce. */
static bool read_original(struct post *post, const struct index_entry *entry, struct envelope *envelope)
{
    static const enum folder folders[] = {FOLDER_ARCHIVE, FOLDER_OUTBOX};
    const struct box *sender = entry->from ? post_box(post, entry->from) : NULL;
    if (!sender || is_far(sender))
        return false;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (mailbox_read(post->data, entry->from, folders[i], entry->id, envelope, NULL, NULL) ==
            MAILBOX_READ)
            return true;
    return false;
}

static void end_of_item(struct index_entry *entry, const char *status)
{
    struct post *post = entry->box->post;
    if (entry->kind == KIND_ITEM && post->hooks.item_ended)
        post->hooks.item_ended(post->hooks.context, entry->box->name, entry->id, status);
}

static void removed(struct index_entry *entry)
{
    struct box *box = entry->box;
    struct post *post = box->post;
    struct envelope what = post_light(entry), original;
    struct fault fault;
    const struct index_entry *other = envelope_index_elsewhere(post->index, entry);
    if (other) {
        log_info("post", box->name, "Envelope %s was moved by hand: it lies with %s now", entry->id,
                 other->box->name);
    } else {
        post_note(box, "envelope_removed", &what, post_removed_by_hand);
        bool sent = entry->kind != KIND_ITEM && envelope_kind_has(entry->kind, KIND_EXPECTS_ANSWER) &&
                    read_original(post, entry, &original);
        const struct box *sender = entry->from ? post_box(post, entry->from) : NULL;
        if (sender && is_far(sender))
            (void)post_bounce(post, &what, box->name, post_removed_by_hand, &fault);
        if (sent && !post_bounce(post, &original, box->name, post_removed_by_hand, &fault))
            log_warn("post", box->name, "The sender of %s is not told that it was removed: %s", entry->id,
                     fault.text);
        if (sent)
            envelope_free(&original);
    }
    end_of_item(entry, "removed");
    post_forget(post, entry);
    room_again(box);
}

static void finished(struct index_entry *entry)
{
    struct box *box = entry->box;
    struct envelope what = post_light(entry);
    post_note(box, envelope_kind_has(entry->kind, KIND_IS_WORK) ? "envelope_finished" : "envelope_read",
              &what, "");
    end_of_item(entry, "finished");
    post_forget(box->post, entry);
    room_again(box);
}

static void is_dead(struct index_entry *entry)
{
    struct box *box = entry->box;
    OWNED char *id = memory_text(entry->id);
    end_of_item(entry, "failed");
    post_forget(box->post, entry);
    room_again(box);
    post_dead_letter(box, id);
}

void post_is_gone(struct index_entry *entry)
{
    struct box *box = entry->box;
    int64_t now_ms = clock_monotonic_ms();
    unsigned lies = mailbox_lies(box->post->data, box->name, entry->id);
    unsigned live = lies & (1u << FOLDER_INBOX | 1u << FOLDER_HANDOFFS);
    if (lies & 1u << entry->folder)
        return; /* the file isn't gone at all, or is back */
    if (entry->bad || live) {
        post_forget(box->post, entry); /* set aside, or moved to the other folder */
        room_again(box);
    } else if (lies & 1u << FOLDER_DEAD_LETTERS) {
        is_dead(entry);
    } else if (lies & 1u << FOLDER_ARCHIVE) {
        finished(entry);
    } else if (entry->seen.missing_at_ms && now_ms - entry->seen.missing_at_ms >= MISSING_MS) {
        removed(entry);
    } else {
        if (!entry->seen.missing_at_ms)
            entry->seen.missing_at_ms = now_ms;
        box->look.wanted = true;
        if (box->look.after_ms < now_ms + MISSING_MS)
            box->look.after_ms = now_ms + MISSING_MS;
        post_wake(box);
    }
}

bool post_knows(const struct post *post, const char *name, const char *folder, const char *file)
{
    const struct box *box = post_box(post, name);
    size_t length = strlen(file), suffix = strlen(".md");
    OWNED char *id = memory_slice(file, length > suffix ? length - suffix : 0);
    for (enum folder which = FOLDER_INBOX; box && which <= FOLDER_HANDOFFS; which++)
        if (strcmp(folder, mailbox_folder_name(which)) == 0)
            return envelope_index_find(post->index, box, which, id) != NULL;
    return false;
}

/* --- the look --- */

/* How much one look may still read: an agent's folders must not hold up the others. */
struct budget {
    size_t files, bytes;
};

static bool afford(struct budget *budget, const struct file_stamp *stamp)
{
    if (!budget->files || budget->bytes < stamp->size)
        return false;
    budget->files--;
    budget->bytes -= stamp->size;
    return true;
}

static enum waking look_at(struct box *box, struct budget *budget, enum folder folder,
                           const struct mailbox_names *names, bool at_start)
{
    enum waking news = WAKE_NOBODY, one = WAKE_NOBODY;
    for (size_t i = 0; i < names->count; i++) {
        OWNED char *file = memory_print("%s.md", names->ids[i]);
        struct file_stamp stamp = files_stamp_at(listing_folder(names->listing), file);
        struct index_entry *entry = envelope_index_find(box->post->index, box, folder, names->ids[i]);
        bool is_other = !entry || !files_stamp_equal(&stamp, &entry->stamp);
        if (is_other && !afford(budget, &stamp))
            box->look.wanted = true;
        else if (is_other)
            one = take_in(box, folder, names->ids[i], &stamp, at_start);
        news = one > news ? one : news;
        entry = envelope_index_find(box->post->index, box, folder, names->ids[i]);
        if (entry) {
            entry->seen.pass = box->look.pass;
            entry->seen.missing_at_ms = 0;
        }
    }
    return news;
}

static void look_for_missing(struct box *box, enum folder folder)
{
    struct index_entry *next;
    for (struct index_entry *entry = box->shelves[folder].first; entry; entry = next) {
        next = entry->next;
        if (entry->seen.pass != box->look.pass)
            post_is_gone(entry);
    }
}

static enum waking look_into_folder(struct box *box, struct budget *budget, enum folder folder, bool at_start,
                                    size_t *count)
{
    struct post *post = box->post;
    OWNED_NAMES struct mailbox_names names = {0};
    int64_t begun_ns = clock_kernel_ns();
    if (!mailbox_list(post->data, box->name, folder, &names))
        return WAKE_NOBODY; /* a link or a file in the folder's place: the index stays as it is */
    enum waking news = look_at(box, budget, folder, &names, at_start);
    if (names.strays && news == WAKE_NOBODY)
        news = WAKE_LOOK;
    if (names.whole)
        look_for_missing(box, folder);
    post_looked(box, folder, names.failed ? &(struct file_stamp){0} : &names.stamp, names.count, begun_ns);
    *count += names.count;
    return news;
}

void post_look_into(struct box *box, bool at_start)
{
    struct budget budget = {at_start ? MAILBOX_NAMES_MAX : LOOK_FILES_MAX, LOOK_BYTES_MAX};
    size_t count = 0;
    enum waking news = WAKE_NOBODY;
    int64_t now_ms = clock_monotonic_ms();
    if (box == box->post->people)
        return;
    box->look.pass++;
    box->look.after_ms = 0;
    for (enum folder folder = FOLDER_INBOX; folder <= FOLDER_HANDOFFS; folder++) {
        enum waking one = look_into_folder(box, &budget, folder, at_start, &count);
        news = one > news ? one : news;
    }
    int64_t rest_ms = (int64_t)count * LOOK_REST_US / 1000;
    if (box->look.after_ms < now_ms + rest_ms)
        box->look.after_ms = now_ms + rest_ms;
    if (box->look.wanted)
        post_wake(box);
    box->pump.wanted = true;
    post_look_due(box, news);
}
