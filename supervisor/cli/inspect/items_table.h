/* Items as programs get them, as a table for people. */
#pragma once

#include <jansson.h>

enum { ITEM_COLUMNS_MAX = 8 };

/* The item's key, shown in a column with this head (terminal/output.h). A key behind '+' is a number that shows its sign, one
 * behind '~' a text of which the first line with words is shown, cut, and one behind '?' is no column where no item has it. */
struct item_column {
    const char *head, *key;
};

/* The columns end with a head that is NULL, or with the eighth. A value that is null or missing is shown as "-". */
void items_table_show(const json_t *items, const struct item_column columns[ITEM_COLUMNS_MAX]);
