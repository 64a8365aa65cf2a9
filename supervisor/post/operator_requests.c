/* The operator's requests: dead letters that live again or go; and the numbers of envelopes in each place. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/format/answer_file.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/pruned.h"
#include "common/tree.h"
#include "supervisor/post/part.h"
#include "supervisor/store/task_block.h"

/* --- dead letters --- */

static struct box *holder_of(struct post *post, const char *file)
{
    for (size_t i = 0; i < post->boxes.capacity; i++)
        for (struct box *box = post->boxes.table[i]; box; box = box->chain)
            if (!is_far(box) && mailbox_lies_in(post->data, box->name, file, 1u << FOLDER_DEAD_LETTERS))
                return box;
    return NULL;
}

/* *file: the dead letter's, whose name earlier versions formed otherwise; the caller frees it. */
static int find_dead(struct post *post, const char *id, struct box **holder, char **file,
                     struct envelope *envelope, struct fault *fault)
{
    *file = names_file(id);
    *holder = *id ? holder_of(post, *file) : NULL;
    if (!*holder) {
        free(*file);
        *file = names_file_before(id);
        *holder = *id ? holder_of(post, *file) : NULL;
    }
    if (!*holder)
        return fault_set(fault, "there is no dead letter '%s'", id), EX_NOINPUT;
    if (mailbox_read(post->data, (*holder)->name, FOLDER_DEAD_LETTERS, *file, envelope, NULL, fault) !=
        MAILBOX_READ)
        return EX_DATAERR;
    return EX_OK;
}

/* The new life is created after the former one has ended, also within one second: by that its next bounce is told
 * from its last. */
static void renew(struct envelope *envelope, const char *status)
{
    char *copy = memory_text(status);
    int64_t now = clock_now();
    free(envelope->status);
    envelope->status = copy;
    memory_set(&envelope->reason, NULL);
    envelope->created = now + (envelope->finished == now);
    envelope->read = envelope->finished = envelope->attempts = 0;
    envelope->delivered = strcmp(status, "delivered") == 0 ? now : 0;
}

/* The text of a task. A text larger than an envelope lies in outputs/, and the dead letter has a note with its size
 * (task_ends.c): an answer may have been written over the text since, or the text is still in queue.md
 * (queued_tasks.c). NULL and fault: the text isn't there any more. Caller frees. */
static char *task_text(struct box *box, const struct envelope *envelope, struct fault *fault)
{
    size_t size = 0, length = 0;
    int end = 0;
    if (strncmp(envelope->body, POST_TEXT_IN_QUEUE, strlen(POST_TEXT_IN_QUEUE) - 1) == 0) {
        fault_set(fault,
                  "the text of %s is in queue.md of '%s' still: it is brought back when the agent has run",
                  envelope->id, box->name);
        return NULL;
    }
    if (sscanf(envelope->body, "The task has %zu bytes, more than an envelope holds; its whole text is in %n",
               &size, &end) != 1 ||
        end == 0)
        return memory_text(envelope->body);
    OWNED char *path = memory_print("agents/%s/" TREE_OUTPUTS "/%s.md", box->name, envelope->id);
    char *text = NULL;
    if (files_read(box->post->data, path, QUEUE_FILE_MAX, &text, &length, NULL, NULL) == 1 && length == size)
        return text;
    free(text);
    fault_set(
        fault,
        "the text of %s is not in %s any more; `git log -- outputs` in agents/%s has it, and the dead letter "
        "stays",
        envelope->id, path, box->name);
    return NULL;
}

/* The task's own id, from which the dead letter's is made; the latter where a new task may not have so long an id. */
static const char *task_id(const struct envelope *envelope)
{
    if (!envelope->trace)
        return envelope->id;
    OWNED char *now = names_file(envelope->trace), *before = names_file_before(envelope->trace);
    bool same = strcmp(now, envelope->id) == 0 || strcmp(before, envelope->id) == 0;
    return same && strlen(envelope->trace) <= ID_MAX ? envelope->trace : envelope->id;
}

/* Puts a task back into its queue, as a block like that of a new task. */
static int requeue_task(struct box *box, const struct envelope *envelope, struct fault *fault)
{
    OWNED char *whole = task_text(box, envelope, fault);
    if (!whole)
        return EX_DATAERR;
    const struct task_block block = {.id = task_id(envelope),
                                     .text = whole,
                                     .priority = envelope->priority,
                                     .created = clock_now(),
                                     .ttl_seconds = envelope->ttl_seconds,
                                     .lock = envelope->lock};
    if (!task_block_check(&block, fault))
        return EX_DATAERR;
    return task_block_append(box->post->data, box->name, &block, fault);
}

/* First the envelope lives, then its dead letter goes: a crash between leaves both, which start recognises
 * (start.c). */
static int requeue_to(struct box *box, enum folder folder, struct envelope *envelope, struct fault *fault)
{
    enum write_result result = mailbox_write(box->post->data, box->name, folder, envelope, false, fault);
    if (result == WRITE_DONE)
        return EX_OK;
    if (result == WRITE_EXISTS)
        fault_set(fault, "%s lies in %s of '%s' already; the dead letter stays", envelope->id,
                  mailbox_folder_name(folder), box->name);
    return result == WRITE_EXISTS ? EX_DATAERR : EX_IOERR;
}

static int requeue_item(struct post *post, const struct envelope *envelope, struct fault *fault)
{
    fault_set(fault, "there are no queues here");
    enum post_verdict verdict =
        post->hooks.item_again ? post->hooks.item_again(post->hooks.context, envelope, fault) : POST_REFUSED;
    return verdict == POST_DONE ? EX_OK : verdict == POST_LATER ? EX_IOERR : EX_DATAERR;
}

static int live_again(struct box *box, struct envelope *envelope, struct fault *fault)
{
    /* Refused, or expired before the envelope was sent to another node. */
    bool refused = strcmp(envelope->status, "refused") == 0 ||
                   (envelope->kind != KIND_ITEM && strcmp(envelope->from, box->name) == 0);
    bool work = envelope->kind == KIND_HANDOFF;
    if (envelope->kind == KIND_TASK)
        return requeue_task(box, envelope, fault);
    renew(envelope, refused ? "pending" : "delivered");
    if (envelope->kind == KIND_ITEM && !refused)
        return requeue_item(box->post, envelope, fault);
    int exit = requeue_to(box,
                          refused ? FOLDER_OUTBOX
                          : work  ? FOLDER_HANDOFFS
                                  : FOLDER_INBOX,
                          envelope, fault);
    if (exit == EX_OK && refused) {
        post_origin_add(box, envelope->trace, envelope->hops - 1);
        post_outbox_ids(box, envelope->id);
    }
    if (exit == EX_OK && !refused)
        post_lies_there(box, work ? FOLDER_HANDOFFS : FOLDER_INBOX, envelope, NULL);
    return exit;
}

int post_requeue(struct post *post, const char *id, const char **agent, struct fault *fault)
{
    struct box *box;
    OWNED_ENVELOPE struct envelope envelope = {0};
    OWNED char *file = NULL;
    int exit = find_dead(post, id, &box, &file, &envelope, fault);
    if (exit != EX_OK)
        return exit;
    *agent = box->name;
    exit = live_again(box, &envelope, fault);
    if (exit == EX_OK) {
        post_note(box, "envelope_requeued", &envelope, "");
        if (!mailbox_remove(post->data, box->name, FOLDER_DEAD_LETTERS, file))
            log_warn("post", box->name, "The dead letter %s lives again, but stays in dead-letter/ too: %s",
                     id, strerror(errno));
        post_look_due(box, WAKE_UP);
    }
    return exit;
}

/* Whether the sender has yet to be told of this dead letter's end. Once all dead letters were looked at,
 * box->dead.owe says whether any sender has; before, as after a start, each letter is asked about. */
static bool is_owed(struct box *box, const struct envelope *envelope, struct fault *fault)
{
    struct fault why;
    bool looked = !box->fresh && !box->dead.wanted && !box->dead.from && !box->dead.after_ms;
    enum bounce bounce = looked && !box->dead.owe ? BOUNCE_NEEDLESS : post_tell_end(box, envelope, &why);
    if (bounce == BOUNCE_WAITS)
        fault_set(&why, "'%s' has not read the results and bounces that it has from %s", envelope->from,
                  box->name);
    if (bounce != BOUNCE_WAITS && bounce != BOUNCE_LATER)
        return false;
    fault_set(fault, "the sender of %s has not been told yet (%s); it is purged when that is done",
              envelope->id, why.text);
    return true;
}

int post_purge(struct post *post, const char *id, const char **agent, struct fault *fault)
{
    struct box *box;
    OWNED_ENVELOPE struct envelope envelope = {0};
    OWNED char *file = NULL;
    int exit = find_dead(post, id, &box, &file, &envelope, fault);
    if (exit == EX_NOINPUT)
        return exit;
    *agent = box->name;
    if (exit == EX_OK && is_owed(box, &envelope, fault)) {
        exit = EX_TEMPFAIL;
    } else if (mailbox_remove(post->data, box->name, FOLDER_DEAD_LETTERS, file)) {
        struct envelope bad = {.id = (char *)id, .kind = KIND_MESSAGE, .from = "nobody", .to = box->name};
        post_note(box, "envelope_purged", exit == EX_OK ? &envelope : &bad, "");
        post_look_due(box, WAKE_LOOK);
        exit = EX_OK;
    } else {
        fault_errno(fault, "the dead letter %s of '%s' cannot be removed", id, box->name);
        exit = EX_IOERR;
    }
    return exit;
}

/* --- ids that are given again --- */

/* The consumer that has the item, or had it last; the envelope is the caller's to free then. NULL: none. */
static const char *item_lies(struct post *post, const char *queue, const char *id, struct envelope *item)
{
    static const struct {
        enum folder folder;
        const char *state;
    } places[] = {{FOLDER_HANDOFFS, "in hand"}, {FOLDER_ARCHIVE, "done"}, {FOLDER_DEAD_LETTERS, "dead"}};
    for (size_t i = 0; i < post->boxes.capacity; i++)
        for (struct box *box = post->boxes.table[i]; box; box = box->chain) {
            unsigned lies = !has_tree(box) ? 0 : mailbox_lies(post->data, box->name, id);
            for (size_t k = 0; lies && k < sizeof places / sizeof *places; k++)
                if ((lies & 1u << places[k].folder) && mailbox_read(post->data, box->name, places[k].folder,
                                                                    id, item, NULL, NULL) == MAILBOX_READ)
                    return places[k].state;
        }
    OWNED char *path = memory_print("shared/queues/%s/%s.md", queue, id), *text = NULL;
    size_t length;
    return files_read(post->data, path, ENVELOPE_FILE_MAX, &text, &length, NULL, NULL) == 1 &&
                   envelope_parse(item, text, length, path, NULL)
               ? "pending"
               : NULL;
}

static bool has_text(const struct envelope *item, const char *text)
{
    uint64_t asked = item->finished ? answer_hash_asked(item->body) : answer_hash(item->body);
    return item->kind == KIND_ITEM && asked == answer_hash(text);
}

/* Whether the item is done and its file has left its consumer's work tree. */
static bool is_pruned(const struct post *post, const char *id, struct pruned *item)
{
    for (size_t i = 0; i < post->boxes.capacity; i++)
        for (const struct box *box = post->boxes.table[i]; box; box = box->chain) {
            OWNED char *path = memory_print("agents/%s", box->name);
            OWNED_FD int tree = !has_tree(box) ? -1 : files_open_folder(post->data, path, false, NULL);
            if (tree >= 0 && pruned_find(tree, TREE_ARCHIVE, id, item))
                return true;
        }
    return false;
}

int post_item_known(struct post *post, const char *queue, const char *id, const char *text,
                    const char **state, struct fault *fault)
{
    OWNED_ENVELOPE struct envelope item = {0};
    const struct envelope *offered = post_submitted_item(post, id);
    queue += strncmp(queue, "queue:", 6) == 0 ? 6 : 0;
    *state = offered ? "pending" : item_lies(post, queue, id, &item);
    struct pruned pruned;
    bool gone = !*state && is_pruned(post, id, &pruned);
    if (!*state && !gone)
        return EX_OK;
    if (gone)
        *state = "done";
    const struct envelope *known = offered ? offered : &item;
    bool same = gone ? pruned.asked == answer_hash(text) : has_text(known, text);
    bool dead = strcmp(*state, "dead") == 0;
    if (!same)
        fault_set(fault, "'%s' with another text is %s already; nothing was added", id, *state);
    else if (dead)
        fault_set(fault,
                  "'%s' is a dead letter; `agentos requeue %s` gives it a fresh life; nothing was added", id,
                  id);
    return same && !dead ? EX_OK : EX_DATAERR;
}

/* --- numbers --- */

static size_t count_of(struct box *box, enum folder folder, struct file_stamp stamp)
{
    struct post *post = box->post;
    struct folder_count *count = &box->counts[folder];
    if (!stamp.inode && !count->count)
        return 0; /* the folder was missing, and still is */
    int64_t age_ms = clock_now_ms() - stamp.modified_ns / 1000000;
    if (stamp.inode && post_mark(&stamp) == count->mark && age_ms > 100)
        return count->count;
    OWNED_NAMES struct mailbox_names names = {0};
    bool listed = mailbox_list(post->data, box->name, folder, &names) && !names.failed;
    if (listed)
        *count = (struct folder_count){.mark = age_ms > 100 ? post_mark(&stamp) : 0, .count = names.count};
    return count->count;
}

static bool tell_depths(struct post *post, const char *name, unsigned folders, struct post_depths *depths)
{
    struct box *box = post_box(post, name);
    *depths = (struct post_depths){0};
    if (!box || !has_tree(box))
        return false;
    struct file_stamp stamps[FOLDER_COUNT] = {0};
    post_folder_stamps(box, folders, stamps);
    depths->inbox = count_of(box, FOLDER_INBOX, stamps[FOLDER_INBOX]);
    depths->handoffs = count_of(box, FOLDER_HANDOFFS, stamps[FOLDER_HANDOFFS]);
    if (folders & 1u << FOLDER_OUTBOX)
        depths->outbox = count_of(box, FOLDER_OUTBOX, stamps[FOLDER_OUTBOX]);
    depths->dead_letters = count_of(box, FOLDER_DEAD_LETTERS, stamps[FOLDER_DEAD_LETTERS]);
    return true;
}

enum { WAITING = 1u << FOLDER_INBOX | 1u << FOLDER_HANDOFFS | 1u << FOLDER_DEAD_LETTERS };

bool post_depths(struct post *post, const char *name, struct post_depths *depths)
{
    return tell_depths(post, name, WAITING | 1u << FOLDER_OUTBOX, depths);
}

bool post_depths_waiting(struct post *post, const char *name, struct post_depths *depths)
{
    return tell_depths(post, name, WAITING, depths);
}

static bool tell_pressure(struct post *post, const char *name,
                          enum throughput_class (*class_of)(struct box *box), struct post_pressure *pressure)
{
    struct box *box = post_box(post, name);
    *pressure = (struct post_pressure){.throughput_class = CLASS_MEDIUM};
    if (!box || !box->definition)
        return false;
    post_take_up(box);
    pressure->throughput_class = class_of(box);
    const struct class_limits *limits = &post->roster->classes[pressure->throughput_class];
    pressure->window = limits->window;
    pressure->backlog = limits->backlog;
    pressure->unfinished = post_unfinished(box);
    if (is_far(box) && box->far.room != ROOM_UNKNOWN && box->far.room < pressure->window)
        pressure->unfinished = pressure->window - box->far.room;
    pressure->deferred = (int64_t)box->waits.count;
    return true;
}

bool post_pressure(struct post *post, const char *name, struct post_pressure *pressure)
{
    return tell_pressure(post, name, post_class, pressure);
}

bool post_pressure_lately(struct post *post, const char *name, struct post_pressure *pressure)
{
    return tell_pressure(post, name, post_class_lately, pressure);
}
