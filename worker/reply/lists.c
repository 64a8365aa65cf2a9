#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/format/markdown.h"
#include "common/memory.h"
#include "common/names.h"
#include "worker/reply/reading.h"

/* What more there is than that is left out, with a fault. */
enum { GOAL_MAX = 300 /* bytes */, GOALS_LISTED_MAX = 20, SEGMENTS_MAX = 16 };
static const int64_t TTL_MAX = INT64_C(10) * 366 * 86400;

static const char *const goals_keys[] = {"add", "done", NULL};

/* Items of a list; a single value counts as a list of one. */
static const struct yaml_node *items(const struct yaml_node *node)
{
    return !node ? NULL : node->kind == YAML_SEQUENCE ? node->child : node;
}

static const struct yaml_node *next_item(const struct yaml_node *list, const struct yaml_node *item)
{
    return list->kind == YAML_SEQUENCE ? item->next : NULL;
}

/* The node of a part that must be YAML to be used. NULL: there is none. */
static const struct yaml_node *structure_of(struct reading *reading, const struct parts *parts,
                                            const char *key)
{
    const struct part *part = parts_find(parts, key);
    if (part && !part->node)
        reading_complain(reading, "%s could not be read and was not used", key);
    return part ? part->node : NULL;
}

static void list_goals(struct reading *reading, const struct yaml_node *list, struct text_list *goals)
{
    for (const struct yaml_node *item = items(list); item; item = next_item(list, item)) {
        if (yaml_is_null(item) || (item->kind == YAML_SCALAR && *item->text == '\0'))
            continue;
        if (item->kind != YAML_SCALAR || goals->count == GOALS_LISTED_MAX) {
            reading_complain(reading, item->kind != YAML_SCALAR
                                          ? "a goal is no text and was not used"
                                          : "there are too many goals; the rest was not used");
            return;
        }
        char *goal = reading_limit(reading, "a goal", reading_one_line(memory_text(item->text)), GOAL_MAX);
        goals->items = memory_grow(goals->items, goals->count + 1, sizeof *goals->items);
        goals->items[goals->count++] = goal;
    }
}

static void read_goals(struct reading *reading, const struct parts *parts)
{
    struct reply *reply = reading->reply;
    const struct part *part = parts_find(parts, "goals");
    if (!part)
        return;
    struct parts inner = {0};
    if (part->node && part->node->kind != YAML_MAPPING) {
        list_goals(reading, part->node, &reply->goals_add);
        return;
    }
    if (part->node)
        parts_from(&inner, part->node);
    else
        parts_read(&inner, part->raw, strlen(part->raw), goals_keys);
    if (!part->node && inner.count == 0)
        reading_complain(reading, "goals could not be read and were not used");
    list_goals(reading, structure_of(reading, &inner, "add"), &reply->goals_add);
    list_goals(reading, structure_of(reading, &inner, "done"), &reply->goals_done);
    parts_free(&inner);
}

/* One of several names for the same field, as models mix them up. Caller frees. */
static char *field(struct reading *reading, const struct yaml_node *item, const char *first,
                   const char *second)
{
    const struct yaml_node *node = yaml_get(item, first);
    if (!node)
        node = yaml_get(item, second);
    if (!node || node->kind != YAML_SCALAR || yaml_is_null(node))
        return NULL;
    const char *text = node->text;
    size_t length = strlen(text);
    markdown_trim(&text, &length);
    return reading_limit(reading, first, memory_slice(text, length), REPLY_MAX);
}

static int64_t count_of(struct reading *reading, const struct yaml_node *item, const char *key, int64_t most)
{
    const struct yaml_node *node = yaml_get(item, key);
    int64_t value;
    if (!node || yaml_is_null(node))
        return -1;
    if (yaml_integer(node, &value) && value >= 0 && value <= most)
        return value;
    reading_complain(reading, "%s is no whole number from 0 on and was not used", key);
    return -1;
}

static const struct send_kind {
    const char *key, *to, *text, *text_too;
    enum envelope_kind kind;
} send_kinds[] = {
    {"handoffs", "to", "task", "body", KIND_HANDOFF},
    {"messages", "to", "body", "text", KIND_MESSAGE},
    {"enqueue", "queue", "task", "body", KIND_ITEM},
};

static enum priority priority_of(struct reading *reading, const struct yaml_node *item)
{
    const struct yaml_node *node = yaml_get(item, "priority");
    enum priority priority = PRIORITY_NORMAL;
    if (node && !yaml_is_null(node) && (node->kind != YAML_SCALAR || !priority_parse(node->text, &priority)))
        reading_complain(reading, "a priority is none of high, normal and low and counts as normal");
    return priority;
}

static void read_send(struct reading *reading, const struct yaml_node *item, const struct send_kind *kind)
{
    struct reply *reply = reading->reply;
    if (item->kind != YAML_MAPPING) {
        reading_complain(reading, "an entry of %s has no fields and was not sent", kind->key);
        return;
    }
    OWNED char *to = field(reading, item, kind->to, "to");
    OWNED char *text = field(reading, item, kind->text, kind->text_too);
    for (char *c = to; c && *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (!to || !text || !names_agent(to)) {
        reading_complain(reading, "an entry of %s was not sent: %s%.80s", kind->key,
                         !to     ? "it doesn't say to whom"
                         : !text ? "it has no text"
                                 : "no such name can exist: ",
                         to && text ? to : "");
        return;
    }
    if (reply->send_count == REPLY_SENDS_MAX) {
        reading_complain(reading, "more than %d sends in one reply; %s to %s was not sent", REPLY_SENDS_MAX,
                         kind->key, to);
        return;
    }
    reply->sends = memory_grow(reply->sends, reply->send_count + 1, sizeof *reply->sends);
    reply->sends[reply->send_count++] = (struct reply_send){
        .kind = kind->kind,
        .to = memory_text(to),
        .text = memory_text(text),
        .ttl_seconds = count_of(reading, item, "ttl_seconds", TTL_MAX),
        .priority = priority_of(reading, item),
    };
}

static void read_sends(struct reading *reading, const struct parts *parts)
{
    for (size_t i = 0; i < sizeof send_kinds / sizeof *send_kinds; i++) {
        const struct yaml_node *list = structure_of(reading, parts, send_kinds[i].key);
        for (const struct yaml_node *item = items(list); item; item = next_item(list, item))
            read_send(reading, item, &send_kinds[i]);
    }
}

static void read_segment(struct reading *reading, const struct yaml_node *item)
{
    struct reply *reply = reading->reply;
    char *name = item->kind == YAML_MAPPING ? field(reading, item, "name", "segment") : NULL;
    char *body = name ? field(reading, item, "body", "text") : NULL;
    if (!body || !names_agent(name) || reply->segment_count == SEGMENTS_MAX) {
        reading_complain(
            reading, "an entry of segments was not written: it needs name and body, and %d at most are taken",
            SEGMENTS_MAX);
        free(name);
        free(body);
        return;
    }
    reply->segments = memory_grow(reply->segments, reply->segment_count + 1, sizeof *reply->segments);
    reply->segments[reply->segment_count++] = (struct reply_segment){
        .name = name, .body = body, .base_version = count_of(reading, item, "base_version", INT64_MAX)};
}

static void read_segments(struct reading *reading, const struct parts *parts)
{
    const struct yaml_node *list = structure_of(reading, parts, "segments");
    for (const struct yaml_node *item = items(list); item; item = next_item(list, item))
        read_segment(reading, item);
}

void reply_lists_read(struct reading *reading, const struct parts *parts)
{
    read_goals(reading, parts);
    read_sends(reading, parts);
    read_segments(reading, parts);
}
