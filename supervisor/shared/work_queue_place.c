/* The place of an item that was given to a consumer of this node, and its end there (work_queue_assign.c has the
 * steps). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"
#include "supervisor/shared/work_queue_part.h"
#include "supervisor/store/mailbox.h"
#include "supervisor/store/shared_files.h"

enum { ATTEMPTS_TRUSTED = 1000 };

char *queue_taken_name(const char *id)
{
    return memory_print(".%s.taken", id);
}

int queue_open(const struct work_queue *queue, struct fault *fault)
{
    return files_open_folder(queue->queues->data, queue->folder, true, fault);
}

/* Removes an earlier .ID.taken, which would be believed when the item is taken back again. A crash behind (d) leaves
 * such a file, and a worker that planted a folder in its copy's place leaves an .ID.taken that can't be unlinked. */
bool queue_clear_taken(const struct work_queue *queue, const char *id, struct fault *fault)
{
    OWNED char *taken = queue_taken_name(id);
    OWNED_FD int folder = queue_open(queue, fault);
    if (folder < 0)
        return false;
    if (unlinkat(folder, taken, 0) == 0 || errno == ENOENT)
        return true;
    return shared_set_aside(queue->queues->data, queue->folder, taken, NULL, fault);
}

static const char unsure[] = "unsure"; /* the consumer's folders can't be read now */

/* The item's end, by the copy in the folder; NULL: not there, or not in this life of the item. A copy that is no
 * envelope any more is an end all the same: people have changed it, and the item is not done twice for that; but not
 * when the copy may be the sender's own. */
static const char *end_in(const struct work_queue *queue, const struct envelope *item, const char *agent,
                          unsigned place)
{
    const struct queues *queues = queue->queues;
    OWNED_ENVELOPE struct envelope copy = {0};
    int found = queues->operations->read(queues->context, agent, place, item->id, &copy);
    const char *end = NULL;
    if (found < 0)
        return found == QUEUE_READ_LATER ? unsure : strcmp(agent, item->from) == 0 ? NULL : "finished";
    if (found == 0)
        return NULL;
    if (copy.kind == KIND_ITEM && copy.created == item->created) {
        bool finished = strcmp(copy.status, "finished") == 0, failed = strcmp(copy.status, "failed") == 0;
        if (place == POST_ARCHIVE)
            end = finished ? "finished" : NULL;
        else /* a copy without a status is a dead letter that the post office is making of an expired item */
            end = failed ? "failed" : "expired";
    }
    return end;
}

/* The item's end with the agent: "finished", "failed", "expired", unsure; NULL: it hasn't ended. */
static const char *end_of(const struct work_queue *queue, const struct envelope *item, const char *agent,
                          unsigned lies)
{
    const char *end = lies & POST_ARCHIVE ? end_in(queue, item, agent, POST_ARCHIVE) : NULL;
    return end || !(lies & POST_DEAD_LETTER) ? end : end_in(queue, item, agent, POST_DEAD_LETTER);
}

static bool has(const struct work_queue *queue, const struct envelope *envelope, const char *agent,
                bool *may_be)
{
    const struct queues *queues = queue->queues;
    unsigned found = queues->operations->lies(queues->context, agent, envelope->id);
    const char *end = end_of(queue, envelope, agent, found);
    *may_be = end == unsure;
    return found & POST_HANDOFFS || end;
}

/* Most often the named consumer has the item. */
const char *item_whose(const struct work_queue *queue, const struct envelope *envelope, bool *may_be)
{
    const struct text_list *consumers = &queue->definition->consumers;
    const char *named = envelope->consumer ? queue_consumer(queue, envelope->consumer) : NULL;
    *may_be = false;
    if (named && has(queue, envelope, named, may_be))
        return named;
    for (size_t i = 0; i < consumers->count; i++)
        if (consumers->items[i] != named && has(queue, envelope, consumers->items[i], may_be))
            return consumers->items[i];
    return NULL;
}

/* The copy's number of attempts: the worker counts one when it begins. The worker owns the file, so the number is
 * believed only within bounds; and a begun item counts as one attempt at least. */
static int64_t attempts_of(int64_t before, const struct envelope *copy)
{
    bool begun = strcmp(copy->status, "reading") == 0 || copy->attempts > before;
    if (!begun)
        return before;
    return copy->attempts > before && copy->attempts < ATTEMPTS_TRUSTED ? copy->attempts : before + 1;
}

/* True: .ID.taken lies there, and *attempts is its number; an unreadable one counts as begun. */
static bool read_taken(const struct work_queue *queue, const struct envelope *item, int64_t *attempts)
{
    struct fault fault;
    OWNED_ENVELOPE struct envelope copy = {0};
    size_t length;
    OWNED char *name = queue_taken_name(item->id), *text = NULL;
    OWNED_FD int folder = queue_open(queue, &fault);
    struct stat status;
    if (folder < 0 || fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    *attempts = item->attempts + 1;
    int found = files_read(folder, name, ENVELOPE_FILE_MAX, &text, &length, NULL, &fault);
    if (found > 0 && envelope_parse(&copy, text, length, name, &fault))
        *attempts = attempts_of(item->attempts, &copy);
    return true;
}

/* (c). */
static enum item_place take_back(const struct work_queue *queue, const struct envelope *item,
                                 int64_t *attempts, struct fault *fault)
{
    struct queues *queues = queue->queues;
    OWNED_ENVELOPE struct envelope copy = {0};
    OWNED char *taken = queue_taken_name(item->id);
    OWNED_FD int folder = queue_open(queue, fault);
    if (folder < 0)
        return PLACE_UNSURE;
    int found =
        queues->operations->take(queues->context, item->consumer, item->id, folder, taken, &copy, fault);
    bool stays =
        found < 0 && queues->operations->lies(queues->context, item->consumer, item->id) & POST_HANDOFFS;
    if (!stays && read_taken(queue, item, attempts))
        return PLACE_TAKEN_BACK;
    return found < 0 ? PLACE_UNSURE : PLACE_CHANGES;
}

enum item_place item_find(const struct work_queue *queue, const struct envelope *item, bool take,
                          int64_t *attempts, const char **end, struct fault *fault)
{
    struct queues *queues = queue->queues;
    const struct queues_operations *operations = queues->operations;
    const char *agent = item->consumer;
    enum queue_worker worker = operations->worker(queues->context, agent);
    bool cut = operations->lies(queues->context, agent, item->id) & POST_HANDOFFS;
    *attempts = item->attempts;
    if (cut && !queue_clear_taken(queue, item->id, fault))
        return PLACE_UNSURE;
    if (!cut && read_taken(queue, item, attempts))
        return PLACE_TAKEN_BACK;
    if (worker == QUEUE_WORKER_COMING ||
        (worker == QUEUE_WORKER_NONE && operations->unfinished(queues->context, agent)))
        return PLACE_COMES; /* the consumer's recovery may bring the end; READY asks again */
    unsigned lies = operations->lies(queues->context, agent, item->id);
    *end = end_of(queue, item, agent, lies);
    if (*end == unsure)
        return fault_set(fault, "the folders of '%s' can't be read", agent), PLACE_UNSURE;
    if (*end)
        return PLACE_ENDED;
    if (!(lies & POST_HANDOFFS))
        return PLACE_NOWHERE;
    return worker == QUEUE_WORKER_READY || !take ? PLACE_CONSUMER : take_back(queue, item, attempts, fault);
}
