#include "supervisor/listings/task_state.h"

#include <string.h>

#include "common/files.h"
#include "common/format/block.h"
#include "common/format/envelope.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"

static long place_among(const struct block_list *list, const char *task)
{
    const struct block *found = NULL;
    for (size_t i = 0; i < list->count && found == NULL; i++) {
        if (!list->items[i].stray && strcmp(list->items[i].id, task) == 0) {
            found = &list->items[i];
        }
    }
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
    if (files_read(folder, TREE_QUEUE, QUEUE_FILE_MAX, &text, &length, NULL, NULL) != 1) {
        return 0;
    }
    struct block_list list;
    block_parse(&list, text, length);
    long place = place_among(&list, task);
    block_list_free(&list);
    return place;
}

char *task_state_why_dead(int folder, const char *task)
{
    OWNED char *now = names_file(task), *before = names_file_before(task);
    const char *const names[] = {now, before};
    for (size_t i = 0; i < 2; i++) {
        OWNED char *path = memory_print("%s/%s.md", TREE_DEAD_LETTERS, names[i]);
        OWNED char *text = NULL;
        size_t length = 0;
        struct envelope envelope;
        if (files_read(folder, path, TREE_FILE_MAX, &text, &length, NULL, NULL) == 1 &&
            envelope_parse(&envelope, text, length, path, NULL)) {
            char *why = memory_print("%s (%s)", envelope.status,
                                     envelope.reason != NULL ? envelope.reason : "no reason is given");
            envelope_free(&envelope);
            return why;
        }
    }
    return NULL;
}
