/* The files that one commit changes, as a growing list that owns its paths and texts. */
#pragma once

#include <stddef.h>

#include "worker/history/history.h" /* struct change */

struct change_list {
    struct change *items;
    size_t count;
};

/* Adds a change with copies of path and of the text's length bytes; text may be NULL. */
void change_list_add(struct change_list *changes, enum change_kind kind, const char *path, const char *text,
                     size_t length);
/* Frees the items; the list is empty then and may be used again. */
void change_list_free(struct change_list *changes);
#define OWNED_CHANGES __attribute__((cleanup(change_list_free)))
