#include "supervisor/listings/task_state.h"

#include <string.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/format/answer_file.h"
#include "common/format/block.h"
#include "common/format/envelope.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/pruned.h"
#include "common/tree.h"
#include "common/utf8.h"

/* True: the task lies among the dead letters, and the envelope is the caller's to free. */
static bool read_dead(int folder, const char *task, struct envelope *envelope)
{
    OWNED char *now = names_file(task), *before = names_file_before(task);
    const char *const names[] = {now, before};
    for (size_t i = 0; i < 2; i++) {
        OWNED char *path = memory_print("%s/%s.md", TREE_DEAD_LETTERS, names[i]);
        OWNED char *text = NULL;
        size_t length = 0;
        if (files_read(folder, path, TREE_FILE_MAX, &text, &length, NULL, NULL) == 1 &&
            envelope_parse(envelope, text, length, path, NULL))
            return true;
    }
    return false;
}

/* The post office has buried the task of an agent without a process; the next worker takes its block out of queue.md. */
static bool is_buried(int folder, const struct block *block)
{
    OWNED_ENVELOPE struct envelope envelope = {0};
    if (block->ttl_seconds == 0 || block->created == 0 || clock_now() - block->created < block->ttl_seconds ||
        !read_dead(folder, block->id, &envelope))
        return false;
    /* Else the dead letter is of another block that had this id. */
    bool buried = envelope.finished >= block->created;
    return buried;
}

static long place_among(int folder, const struct block_list *list, const char *task)
{
    const struct block *found = NULL;
    for (size_t i = 0; i < list->count && found == NULL; i++)
        if (!list->items[i].stray && strcmp(list->items[i].id, task) == 0)
            found = &list->items[i];
    if (found != NULL && is_buried(folder, found))
        return 0;
    long place = found != NULL;
    for (size_t i = 0; found != NULL && i < list->count; i++) {
        const struct block *block = &list->items[i];
        place += block->problem == NULL &&
                 (block->priority < found->priority || (block->priority == found->priority && block < found));
    }
    return place;
}

long task_state_place(int folder, const char *task)
{
    OWNED char *text = NULL;
    size_t length = 0;
    if (files_read(folder, TREE_QUEUE, QUEUE_FILE_MAX, &text, &length, NULL, NULL) != 1)
        return 0;
    struct block_list list;
    block_parse(&list, text, length);
    long place = place_among(folder, &list, task);
    block_list_free(&list);
    return place;
}

char *task_state_why_dead(int folder, const char *task)
{
    OWNED_ENVELOPE struct envelope envelope = {0};
    if (!read_dead(folder, task, &envelope))
        return NULL;
    return memory_print("%s (%s)", envelope.status,
                        envelope.reason != NULL ? envelope.reason : "no reason is given");
}

static json_t *block_json(const struct block *block)
{
    char created[CLOCK_TEXT];
    return json_pack("{s:o, s:o, s:s, s:o, s:I, s:o, s:o, s:o}", "id", utf8_json(block->id), "task",
                     utf8_json(block->task), "priority", priority_name(block->priority), "created",
                     block->created ? json_string(clock_format(block->created, created)) : json_null(),
                     "ttl_seconds", (json_int_t)block->ttl_seconds, "lock", utf8_json(block->lock), "from",
                     utf8_json(block->from), "problem", utf8_json(block->problem));
}

json_t *task_state_queue(int folder, size_t most)
{
    json_t *items = json_array();
    OWNED char *text = NULL;
    size_t length = 0, count = 0;
    struct block_list list = {0};
    if (files_read(folder, TREE_QUEUE, QUEUE_FILE_MAX, &text, &length, NULL, NULL) == 1)
        block_parse(&list, text, length);
    for (enum priority priority = PRIORITY_HIGH; priority <= PRIORITY_LOW; priority++)
        for (size_t i = 0; i < list.count; i++)
            if (list.items[i].priority == priority && !list.items[i].stray && count++ < most)
                json_array_append_new(items, block_json(&list.items[i]));
    block_list_free(&list);
    return json_pack("{s:o, s:I}", "items", items, "count", (json_int_t)count);
}

/* The answer, or an object without its text where only git has that. NULL: there is none. */
static json_t *answered(int folder, const char *task)
{
    OWNED_ANSWER struct answer_file answer = {0};
    struct pruned pruned;
    OWNED char *now = names_file(task), *before = names_file_before(task);
    if (answer_read(folder, task, &answer, NULL) == 1) {
        json_t *state = json_pack("{s:s, s:i, s:o}", "state", "done", "reward", answer.reward, "answer",
                                  utf8_json(answer.body));
        return state;
    }
    if (!pruned_find(folder, TREE_OUTPUTS, now, &pruned) &&
        !pruned_find(folder, TREE_OUTPUTS, before, &pruned))
        return NULL;
    return json_pack("{s:s, s:I, s:n}", "state", "done", "reward", (json_int_t)pruned.reward, "answer");
}

json_t *task_state_json(int folder, const char *task)
{
    long place = task_state_place(folder, task);
    json_t *state = place > 0 ? json_pack("{s:s, s:I}", "state", "pending", "place", (json_int_t)place)
                              : answered(folder, task);
    OWNED_ENVELOPE struct envelope envelope = {0};
    if (!state && read_dead(folder, task, &envelope))
        state = json_pack("{s:o, s:o}", "state", utf8_json(envelope.status), "reason",
                          utf8_json(envelope.reason));
    return state;
}
