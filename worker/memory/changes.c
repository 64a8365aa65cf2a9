#include "worker/memory/changes.h"

#include <stdint.h>
#include <stdlib.h>

#include "common/memory.h"

void change_list_add(struct change_list *changes, enum change_kind kind, const char *path, const char *text,
                     size_t length)
{
    *MEMORY_ADD(changes->items, changes->count) = (struct change){
        .kind = kind,
        .path = memory_text(path),
        .text = text ? memory_slice(text, length) : NULL,
        .length = text ? length : 0,
    };
}

void change_list_free(struct change_list *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        free((char *)(uintptr_t)changes->items[i].path);
        free((char *)(uintptr_t)changes->items[i].text);
    }
    free(changes->items);
    *changes = (struct change_list){0};
}
