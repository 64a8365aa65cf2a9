/* `agentos locks` and `agentos segments`: the notices in shared/ that every agent may read. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/format/frontmatter.h"
#include "common/memory.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/terminal/output.h"

/* One kind of notice: the folder that holds it, and the keys of it that the table shows. */
struct shared_listing {
    const char *folder; /* below DATA_DIR */
    const char *const *heads, *const *keys;
    size_t columns;
    const char *nothing;
};

/* A node of front matter as a program wants it: whole numbers as numbers, lists as lists. */
static json_t *node_json(const struct yaml_node *node)
{
    int64_t number = 0;
    if (yaml_is_null(node)) {
        return json_null();
    }
    if (node->kind == YAML_SCALAR && yaml_integer(node, &number)) {
        return json_integer((json_int_t)number);
    }
    if (node->kind == YAML_SCALAR) {
        return json_string(node->text);
    }
    json_t *whole = node->kind == YAML_MAPPING ? json_object() : json_array();
    for (const struct yaml_node *child = node->child; child != NULL; child = child->next) {
        if (node->kind == YAML_MAPPING) {
            json_object_set_new(whole, child->key, node_json(child));
        } else {
            json_array_append_new(whole, node_json(child));
        }
    }
    return whole;
}

static json_t *item_json(const char *text, size_t length, const char *path)
{
    struct fault fault = {0};
    struct frontmatter matter;
    OWNED char *clean = utf8_clean(text, length);
    OWNED char *clean_path = utf8_clean(path, strlen(path));
    if (!frontmatter_parse(&matter, clean, strlen(clean), clean_path, &fault)) {
        output_complain("%s", fault.text);
        return NULL;
    }
    json_t *item = node_json(matter.head);
    OWNED char *body = memory_slice(matter.body, matter.body_length);
    json_object_set_new(item, "body", json_string(body));
    json_object_set_new(item, "path", json_string(clean_path));
    frontmatter_free(&matter);
    return item;
}

static void add_item(json_t *items, int folder, const struct shared_listing *listing, const char *file)
{
    struct fault fault = {0};
    OWNED char *text = NULL;
    OWNED char *path = memory_print("%s/%s", listing->folder, file);
    size_t length = 0;
    int got = files_read(folder, file, TREE_FILE_MAX, &text, &length, NULL, &fault);
    if (got < 0) {
        output_complain("%s", fault.text);
    } else if (got > 0) {
        json_t *item = item_json(text, length, path);
        if (item != NULL) {
            json_array_append_new(items, item);
        }
    }
}

static json_t *read_items(const char *data_dir, const struct shared_listing *listing)
{
    struct dirent **files = NULL;
    json_t *items = json_array();
    OWNED char *path = memory_print("%s/%s", data_dir, listing->folder);
    OWNED_FD int folder = files_open_path(path, NULL);
    int count = folder >= 0 ? scandir(path, &files, NULL, alphasort) : -1;
    if (count < 0 && errno != ENOENT)
        output_complain("%s cannot be read: %s", path, strerror(errno));
    for (int i = 0; i < count; i++) {
        const char *name = files[i]->d_name;
        size_t length = strlen(name);
        if (name[0] != '.' && length > 3 && strcmp(name + length - 3, ".md") == 0) {
            add_item(items, folder, listing, name);
        }
        free(files[i]);
    }
    free(files);
    return items;
}

static void print_value(const json_t *value, struct buffer *out)
{
    size_t index = 0;
    const json_t *child = NULL;
    if (json_is_array(value)) {
        json_array_foreach(value, index, child)
        {
            buffer_text(out, index > 0 ? ", " : "");
            print_value(child, out);
        }
    } else if (json_is_integer(value)) {
        buffer_print(out, "%lld", (long long)json_integer_value(value));
    } else if (json_is_string(value)) {
        buffer_text(out, json_string_value(value));
    }
}

static void show_items(const struct shared_listing *listing, const json_t *items)
{
    size_t index = 0;
    const json_t *item = NULL;
    struct table table;
    if (json_array_size(items) == 0) {
        puts(listing->nothing);
        return;
    }
    table_begin(&table, listing->heads, listing->columns);
    json_array_foreach(items, index, item)
    {
        for (size_t i = 0; i < listing->columns; i++) {
            struct buffer text OWNED_BUFFER = {0};
            print_value(json_object_get(item, listing->keys[i]), &text);
            table_cell(&table, text.length > 0 ? text.data : NULL);
        }
    }
    table_show(&table);
}

static int list(const struct invocation *invocation, const struct shared_listing *listing)
{
    int status = 0;
    if (!data_dir_has(invocation, NULL, &status)) {
        return status;
    }
    json_t *items = read_items(invocation->data_dir, listing);
    if (invocation_has(invocation, OPTION_JSON)) {
        output_items(items);
    } else {
        show_items(listing, items);
        json_decref(items);
    }
    return output_end(status);
}

int verb_locks(struct invocation *invocation)
{
    static const char *const HEADS[] = {"LOCK",  "HOLDER",      "TASK",   ">TOKEN",
                                        "SINCE", "LEASE UNTIL", "WAITERS"};
    static const char *const KEYS[] = {"name", "holder", "task", "token", "since", "lease_until", "waiters"};
    static const struct shared_listing LISTING = {"shared/locks", HEADS, KEYS, 7, "No lock was ever taken."};
    return list(invocation, &LISTING);
}

int verb_segments(struct invocation *invocation)
{
    static const char *const HEADS[] = {"SEGMENT", ">VERSION", "UPDATED", "BY"};
    static const char *const KEYS[] = {"name", "version", "updated", "by"};
    static const struct shared_listing LISTING = {"shared/segments", HEADS, KEYS, 4,
                                                  "No segment was ever written."};
    return list(invocation, &LISTING);
}
