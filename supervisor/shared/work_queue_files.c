/* The queues' folders: items as files, and files that people drop there, edit, and delete. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/format/frontmatter.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/utf8.h"
#include "supervisor/shared/work_queue_part.h"
#include "supervisor/store/shared_files.h"

#define OPERATOR "operator"

enum {
    QUIET_MS = 1000, /* where leases don't work: nobody has written for this time */
    LOOK_MS = 20,
};

/* Makes the envelope an item of this folder, whatever its text says: a copy under another name is another item. */
static void make_item(const struct work_queue *queue, const char *id, struct envelope *envelope)
{
    OWNED char *to = memory_print("queue:%s", queue->name);
    memory_set(&envelope->id, id);
    memory_set(&envelope->to, to);
    envelope->kind = KIND_ITEM;
}

enum item_found queue_read(const struct work_queue *queue, const char *id, struct envelope *envelope,
                           struct fault *fault)
{
    OWNED char *text = NULL;
    size_t length;
    int data = queue->queues->data;
    int found = shared_read(data, queue->folder, id, ENVELOPE_FILE_MAX, &text, &length, NULL, fault);
    if (found == 0)
        return ITEM_MISSING;
    if (found < 0) { /* a fault of a regular file of a sane size may pass */
        struct file_stamp stamp = shared_stamp(data, queue->folder, id);
        return stamp.inode && stamp.size <= ENVELOPE_FILE_MAX ? ITEM_LATER : ITEM_UNREADABLE;
    }
    if (!envelope_parse(envelope, text, length, id, fault))
        return ITEM_UNREADABLE;
    make_item(queue, id, envelope);
    return ITEM_READ;
}

static bool print_item(const struct envelope *envelope, struct buffer *text, struct fault *fault)
{
    envelope_print(envelope, text);
    return text->length <= ENVELOPE_FILE_MAX ||
           fault_set(fault, "%s would have %zu bytes; at most %d are allowed", envelope->id, text->length,
                     ENVELOPE_FILE_MAX);
}

bool queue_write(const struct work_queue *queue, const struct envelope *envelope, struct fault *fault)
{
    OWNED_BUFFER struct buffer text = {0};
    return print_item(envelope, &text, fault) &&
           shared_write(queue->queues->data, queue->folder, envelope->id, &text, true, fault);
}

bool queue_rewrite(const struct work_queue *queue, const struct envelope *envelope, struct fault *fault)
{
    OWNED_BUFFER struct buffer text = {0};
    return print_item(envelope, &text, fault) &&
           shared_rewrite(queue->queues->data, queue->folder, envelope->id, &text, fault);
}

/* --- people's files --- */

/* A file that isn't known yet. */
struct dropped {
    struct work_queue *queue;
    const char *file;
    char *base; /* the file's name without its ending */
    char *text;
    size_t length;
    bool at_start;
};

static void refuse(struct work_queue *queue, const char *file, const char *why)
{
    struct fault fault;
    OWNED char *aside = NULL;
    if (shared_set_aside(queue->queues->data, queue->folder, file, &aside, &fault))
        log_warn("post", NULL, "%s/%s is no item: %s. The file was set aside as %s.", queue->folder, file,
                 why, aside);
    else
        log_warn("post", NULL, "%s/%s is no item: %s; and %s", queue->folder, file, why, fault.text);
}

void item_set_aside(struct item *item, const char *why)
{
    OWNED char *file = memory_print("%s.md", item->envelope.id);
    refuse(item->queue, file, why);
    item_end(item, "its file could not be read any more and was set aside");
}

/* Whether somebody has the file open for writing. The kernel refuses a read lease then; a granted lease goes with the
 * descriptor. */
static bool is_being_written(int folder, const char *file, const struct stat *status)
{
    OWNED_FD int fd = files_open(folder, file, O_RDONLY, 0);
    if (fd >= 0 && fcntl(fd, F_SETSIG, SIGURG) == 0) { /* the signal is ignored by default */
        if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
            return false;
        if (errno == EAGAIN)
            return true;
    }
    int64_t age_ms =
        clock_now_ms() - ((int64_t)status->st_mtim.tv_sec * 1000 + status->st_mtim.tv_nsec / 1000000);
    return age_ms >= 0 && age_ms < QUIET_MS;
}

static bool lies_anywhere(const struct work_queue *queue, const char *id)
{
    const struct queues *queues = queue->queues;
    const struct text_list *consumers = &queue->definition->consumers;
    for (size_t i = 0; i < consumers->count; i++)
        if (queues->operations->lies(queues->context, consumers->items[i], id))
            return true;
    return queue_find(queue, id) != NULL;
}

/* A person who drops a file of a name that was there once means new work: the item gets another id. */
static char *new_id_of(const struct dropped *dropped)
{
    char *id = names_file(dropped->base);
    if (!lies_anywhere(dropped->queue, id))
        return id;
    OWNED char *former = id, *serial = names_new_id(), *longer = memory_print("%s-%s", former, serial);
    return names_file(longer);
}

/* Plain text, perhaps with a priority and a ttl in front, becomes an envelope. First the file gets its name, so that
 * a crash leaves plain text that is found again, then its head. */
static void take_text(const struct dropped *dropped, const struct frontmatter *matter)
{
    struct work_queue *queue = dropped->queue;
    struct fault fault;
    const char *priority = frontmatter_text(matter, "priority");
    const struct yaml_node *ttl = yaml_get(matter->head, "ttl_seconds");
    OWNED char *id = new_id_of(dropped), *file = memory_print("%s.md", id),
               *body = memory_slice(matter->body, matter->body_length);
    OWNED_FD int folder = queue_open(queue, &fault);
    struct envelope envelope = {.from = (char[]){OPERATOR},
                                .created = clock_now(),
                                .priority = PRIORITY_NORMAL,
                                .status = (char[]){"pending"},
                                .hops = 1,
                                .body = body};
    if (priority)
        priority_parse(priority, &envelope.priority);
    if (!ttl || !yaml_integer(ttl, &envelope.ttl_seconds) || envelope.ttl_seconds < 0)
        envelope.ttl_seconds = 0;
    OWNED char *to = memory_print("queue:%s", queue->name);
    envelope.id = envelope.trace = id;
    envelope.to = to;
    envelope.kind = KIND_ITEM;
    bool named = folder >= 0 && (strcmp(file, dropped->file) == 0 ||
                                 renameat2(folder, dropped->file, folder, file, RENAME_NOREPLACE) == 0);
    if (!named || !queue_write(queue, &envelope, &fault)) {
        log_warn("post", NULL, "%s/%s is not taken up now: %s", queue->folder, dropped->file,
                 named || folder < 0 ? fault.text : strerror(errno));
        return;
    }
    queue_insert(queue, &envelope);
    log_info("post", NULL, "%s/%s was put in by hand: item %s", queue->folder, dropped->file, id);
}

static void take_envelope(const struct dropped *dropped, struct envelope *envelope)
{
    struct work_queue *queue = dropped->queue;
    struct fault fault;
    make_item(queue, dropped->base, envelope);
    bool is_out = envelope->consumer && strcmp(envelope->status, "delivered") == 0;
    bool may_be;
    if (dropped->at_start)
        queue_ids_gather(queue, INT64_MAX);
    const char *whose = !dropped->at_start || queue_ids_may_have(queue, envelope->id)
                            ? item_whose(queue, envelope, &may_be)
                            : NULL;
    if (whose && !dropped->at_start) {
        OWNED char *why = memory_print("its id was given out before, to %s", whose);
        refuse(queue, dropped->file, why);
        return;
    }
    if (whose)
        memory_set(&envelope->consumer, whose);
    /* (a) was lost, and with it the end of an .ID.taken, which is to be believed behind (c) alone. */
    if (whose && !is_out && !queue_clear_taken(queue, envelope->id, &fault))
        log_warn("post", NULL, "%s/%s: %s", queue->folder, dropped->file, fault.text);
    if (dropped->at_start && (is_out || whose)) {
        item_recover(queue_insert(queue, envelope));
        return;
    }
    if (strcmp(envelope->status, "pending") != 0) {
        memory_set(&envelope->status, "pending");
        memory_set(&envelope->consumer, NULL);
        if (!queue_write(queue, envelope, &fault)) {
            log_warn("post", NULL, "%s/%s is not taken up now: %s", queue->folder, dropped->file, fault.text);
            return;
        }
    }
    queue_insert(queue, envelope);
    if (!dropped->at_start)
        log_info("post", NULL, "Item %s was put into the queue %s by hand", envelope->id, queue->name);
}

/* Front matter without any of these keys isn't meant as an envelope. */
static bool is_meant_as_envelope(const struct frontmatter *matter)
{
    return yaml_get(matter->head, "id") || yaml_get(matter->head, "kind") || yaml_get(matter->head, "from");
}

static void take_up(struct dropped *dropped)
{
    struct fault fault;
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    OWNED_ENVELOPE struct envelope envelope = {0};
    if (memchr(dropped->text, '\0', dropped->length) || !utf8_valid(dropped->text, dropped->length)) {
        refuse(dropped->queue, dropped->file, "it is no UTF-8 text");
        return;
    }
    if (!frontmatter_parse(&matter, dropped->text, dropped->length, dropped->file, &fault)) {
        refuse(dropped->queue, dropped->file, fault.text);
        return;
    }
    if (strspn(dropped->text, " \t\r\n") == dropped->length)
        refuse(dropped->queue, dropped->file, "it has no text");
    else if (!is_meant_as_envelope(&matter) && dropped->length > ENVELOPE_MAX)
        refuse(dropped->queue, dropped->file, "it is too large to become an envelope");
    else if (!is_meant_as_envelope(&matter))
        take_text(dropped, &matter);
    else if (!names_id(dropped->base))
        refuse(dropped->queue, dropped->file, "an envelope's name is ID.md");
    else if (!envelope_parse(&envelope, dropped->text, dropped->length, dropped->file, &fault))
        refuse(dropped->queue, dropped->file, fault.text);
    else
        take_envelope(dropped, &envelope);
}

struct look {
    struct work_queue *queue;
    int folder;
    bool at_start, failed;
    size_t adopted;
    int64_t until_ms; /* new files are taken up till then, the rest by another look */
};

static void adopt(struct look *look, const char *file)
{
    struct fault fault;
    struct stat status;
    struct work_queue *queue = look->queue;
    int folder = look->folder;
    /* An item from before has grown by its head. */
    int limit = look->at_start ? ENVELOPE_FILE_MAX : ENVELOPE_MAX;
    OWNED char *base = memory_slice(file, strlen(file) - 3), *text = NULL;
    struct dropped dropped = {.queue = queue, .file = file, .base = base, .at_start = look->at_start};
    if (fstatat(folder, file, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        look->failed = look->failed || errno != ENOENT;
        return;
    }
    if (!S_ISREG(status.st_mode)) {
        refuse(queue, file, "it is no regular file");
        return;
    }
    if (status.st_size == 0)
        return; /* not now: the next scan sees the file again */
    if (is_being_written(folder, file, &status)) {
        look->failed = true;
        return;
    }
    if (status.st_size > limit) {
        fault_set(&fault, "it has %lld bytes; an item has at most %d", (long long)status.st_size,
                  ENVELOPE_MAX);
        refuse(queue, file, fault.text);
        return;
    }
    int found = files_read(folder, file, (size_t)limit, &text, &dropped.length, NULL, &fault);
    look->failed = look->failed || found < 0;
    if (found != 1)
        return;
    dropped.text = text;
    take_up(&dropped);
}

/* --- looking --- */

static void see(void *context, const char *file)
{
    struct look *look = context;
    struct work_queue *queue = look->queue;
    if (!names_work(file))
        return; /* status tells of files that somebody may have meant as work (quarantine.c) */
    OWNED char *id = memory_slice(file, strlen(file) - 3);
    struct item *item = queue_find(queue, id);
    if (item) {
        item->seen = true;
        item->missing = false;
        return;
    }
    if (queue->count < QUEUE_ITEMS_MAX) {
        queue->look_again = queue->look_again || (look->adopted && clock_monotonic_ms() >= look->until_ms);
        if (!queue->look_again)
            adopt(look, file);
        look->adopted++;
        return;
    }
    look->failed = true;
    if (!queue->full_said)
        log_warn("post", NULL, "The queue %s has %d items; the other files in %s wait until there are fewer",
                 queue->name, QUEUE_ITEMS_MAX, queue->folder);
    queue->full_said = true;
}

static bool lies_in_another_queue(const struct item *item)
{
    const struct queues *queues = item->queue->queues;
    for (size_t i = 0; i < queues->count; i++)
        if (queues->all[i] != item->queue && queue_find(queues->all[i], item->envelope.id))
            return true;
    return false;
}

/* A person has moved the item, to another queue or to an agent's handoffs, or has deleted it. */
void item_was_taken_out(struct item *item)
{
    bool may_be;
    const char *id = item->envelope.id, *name = item->queue->name,
               *whose = item->queue->definition ? item_whose(item->queue, &item->envelope, &may_be) : NULL;
    if (whose) {
        queue_ids_add(item->queue, id);
        log_info("post", whose, "Item %s was moved by hand out of the queue %s", id, name);
        memory_set(&item->envelope.consumer, whose);
        item_set_state(item, ITEM_OUT);
    } else if (lies_in_another_queue(item)) {
        log_info("post", NULL, "Item %s was moved by hand out of the queue %s into another one", id, name);
        item_end(item, NULL);
    } else {
        log_info("post", NULL, "Item %s was taken out of the queue %s by hand", id, name);
        item_end(item, "removed by hand");
    }
}

/* Editors save by several renames: only a file that is away at two looks was deleted. The rest of a partial look,
 * which follows at once, is no second look. An item that is with a consumer goes on. */
static void miss(struct item *item)
{
    if (item->state == ITEM_WAITS && item->missing)
        item_was_taken_out(item);
    else if (item->state == ITEM_WAITS)
        item->missing = true;
}

void queue_look(struct work_queue *queue)
{
    struct fault fault;
    OWNED_FD int folder = files_open(queue->queues->data, queue->folder, O_RDONLY | O_DIRECTORY, 0);
    struct look look = {.queue = queue, .folder = folder, .at_start = !queue->met};
    look.until_ms = look.at_start ? INT64_MAX : clock_monotonic_ms() + LOOK_MS;
    if (!queue->definition)
        return;
    if (folder < 0 && errno == ENOENT) { /* people are to find a place to drop files into */
        OWNED_FD int made = queue_open(queue, &fault);
        if (made >= 0)
            return;
    }
    bool is_rest = queue->look_again;
    queue->look_again = false;
    for (size_t i = 0; i < queue->count; i++)
        queue->items[i]->seen = false;
    bool whole = folder >= 0 && shared_each(queue->queues->data, queue->folder, see, &look, &fault);
    if (!whole && !queue->trouble_said)
        log_warn("post", NULL, "The queue %s can't be looked at: %s", queue->name,
                 folder < 0 ? strerror(errno) : fault.text);
    queue->trouble_said = !whole;
    queue->met = queue->met || (whole && !look.failed);
    for (size_t i = queue->count; whole && !is_rest && i-- > 0;)
        if (!queue->items[i]->seen)
            miss(queue->items[i]);
    if (queue->look_again)
        queue->queues->operations->timer(queue->queues->context, 0);
}

void queues_each_folder(struct queues *queues, void (*visit)(void *context, int folder), void *context)
{
    for (size_t i = 0; i < queues->count; i++) {
        OWNED_FD int folder = queues->all[i]->definition ? queue_open(queues->all[i], NULL) : -1;
        if (folder >= 0)
            visit(context, folder);
    }
}
