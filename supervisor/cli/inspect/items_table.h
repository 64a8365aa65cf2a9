/* Items as programs get them, as a table for people. */
#pragma once

#include <jansson.h>

enum { ITEM_COLUMNS_MAX = 8 };

/* A column with this head for the item's key (terminal/output.h). A key behind '+' is a number that shows its sign, a
 * key behind '~' a text of which the first line with words is shown, cut, and a key behind '?' has no column where no
 * item has it. */
struct item_column {
    const char *head, *key;
};

/* The columns end with a head that is NULL, or with the eighth. A value that is null or missing is shown as "-". */
void items_table_show(const json_t *items, const struct item_column columns[ITEM_COLUMNS_MAX]);
