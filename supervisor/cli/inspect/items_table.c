#include "supervisor/cli/inspect/items_table.h"

#include <stdbool.h>
#include <string.h>

#include "common/buffer.h"
#include "supervisor/cli/terminal/output.h"

enum { GIST_CHARACTERS = 60 };

/* The text's first line with words, cut. */
static void print_gist(const char *text, struct buffer *out)
{
    const char *line = text + strspn(text, " \t\r\n");
    size_t length = strcspn(line, "\r\n");
    size_t cut = 0;
    for (size_t characters = 0; cut < length; cut++) {
        characters += ((unsigned char)line[cut] & 0xC0) != 0x80;
        if (characters > GIST_CHARACTERS)
            break;
    }
    buffer_add(out, line, cut);
    buffer_text(out, cut < length ? "…" : "");
}

static void print_value(const json_t *value, char form, struct buffer *out)
{
    size_t index = 0;
    const json_t *child = NULL;
    json_array_foreach(value, index, child)
    {
        buffer_text(out, index > 0 ? ", " : "");
        print_value(child, form, out);
    }
    if (json_is_integer(value)) {
        json_int_t number = json_integer_value(value);
        buffer_print(out, "%s%lld", form == '+' && number > 0 ? "+" : "", (long long)number);
    } else if (json_is_string(value) && form == '~') {
        print_gist(json_string_value(value), out);
    } else if (json_is_string(value)) {
        buffer_text(out, json_string_value(value));
    }
}

static bool is_needless(const json_t *items, const char *key)
{
    size_t index = 0;
    const json_t *item = NULL;
    bool needless = *key == '?';
    json_array_foreach(items, index, item) needless = needless && json_object_get(item, key + 1) == NULL;
    return needless;
}

void items_table_show(const json_t *items, const struct item_column columns[ITEM_COLUMNS_MAX])
{
    size_t index = 0, count = 0;
    const json_t *item = NULL;
    const char *heads[ITEM_COLUMNS_MAX], *keys[ITEM_COLUMNS_MAX];
    struct table table;
    for (size_t i = 0; i < ITEM_COLUMNS_MAX && columns[i].head != NULL; i++) {
        if (is_needless(items, columns[i].key))
            continue;
        keys[count] = columns[i].key;
        heads[count++] = columns[i].head;
    }
    table_begin(&table, heads, count);
    json_array_foreach(items, index, item)
    {
        for (size_t i = 0; i < count; i++) {
            struct buffer text OWNED_BUFFER = {0};
            const char *key = keys[i];
            char form = strchr("+~?", *key) != NULL ? *key : '\0';
            print_value(json_object_get(item, key + (form != '\0')), form, &text);
            table_cell(&table, text.length > 0 ? text.data : NULL);
        }
    }
    table_show(&table);
}
