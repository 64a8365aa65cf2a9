#include "supervisor/listings/notices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/files.h"
#include "common/format/frontmatter.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"

/* A node of front matter as a program wants it: whole numbers as numbers, lists as lists. */
static json_t *node_json(const struct yaml_node *node)
{
    int64_t number = 0;
    if (yaml_is_null(node))
        return json_null();
    if (node->kind == YAML_SCALAR && yaml_integer(node, &number))
        return json_integer((json_int_t)number);
    if (node->kind == YAML_SCALAR)
        return json_string(node->text);
    json_t *whole = node->kind == YAML_MAPPING ? json_object() : json_array();
    for (const struct yaml_node *child = node->child; child != NULL; child = child->next)
        if (node->kind == YAML_MAPPING)
            json_object_set_new(whole, child->key, node_json(child));
        else
            json_array_append_new(whole, node_json(child));
    return whole;
}

/* NULL: no notice, and fault. Caller frees. */
static json_t *notice_json(const char *text, size_t length, const char *path, struct fault *fault)
{
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    OWNED char *clean = utf8_clean(text, length), *clean_path = utf8_clean(path, strlen(path));
    if (!frontmatter_parse(&matter, clean, strlen(clean), clean_path, fault))
        return NULL;
    json_t *item = node_json(matter.head);
    OWNED char *body = memory_slice(matter.body, matter.body_length);
    json_object_set_new(item, "body", json_string(body));
    json_object_set_new(item, "path", json_string(clean_path));
    return item;
}

static void add(json_t *items, int data, const char *path, void (*complain)(const char *))
{
    struct fault fault = {0};
    OWNED char *text = NULL;
    size_t length = 0;
    int got = files_read(data, path, TREE_FILE_MAX, &text, &length, NULL, &fault);
    json_t *item = got > 0 ? notice_json(text, length, path, &fault) : NULL;
    if (item)
        json_array_append_new(items, item);
    else if (got != 0)
        complain(fault.text);
}

json_t *notices_list(int data, const char *folder, void (*complain)(const char *sentence))
{
    struct fault fault = {0};
    json_t *items = json_array();
    size_t count = 0;
    struct listing *listing = listing_open(data, folder, &fault);
    if (!listing && errno != ENOENT)
        complain(fault.text);
    char **names = listing ? listing_sorted(listing, &count) : NULL;
    if (listing && !listing_close(listing, &fault))
        complain(fault.text);
    for (size_t i = 0; i < count; i++) {
        OWNED char *path = memory_print("%s/%s", folder, names[i]);
        if (names_work(names[i]))
            add(items, data, path, complain);
        free(names[i]);
    }
    free(names);
    return items;
}
