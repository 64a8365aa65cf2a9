#include "supervisor/far_items.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/names.h"
#include "supervisor/bus_link.h"
#include "supervisor/nodes.h"
#include "supervisor/supervisor.h"

bool far_items_say(struct supervisor *supervisor, const char *node, const struct queue_word *word)
{
    struct bus_link *bus = supervisor->programs.bus;
    const struct envelope *item = &word->item;
    OWNED_BUFFER struct buffer whole = {0};
    if (!node && !nodes_answers(supervisor->programs.nodes, word->agent))
        return false;
    if (!node)
        node = nodes_of(supervisor->programs.nodes, word->agent);
    if (item->body)
        envelope_print(item, &whole);
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:s*, s:s, s:s*, s:I, s:I, s:I}", "item_word", word->what, "queue",
        word->queue, "agent", word->agent, "turn", (json_int_t)word->turn, "key", (json_int_t)word->key,
        "status", word->status, "id", item->id, "from", item->from, "created", (json_int_t)item->created,
        "ttl_seconds", (json_int_t)item->ttl_seconds, "attempts", (json_int_t)item->attempts);
    if (item->body)
        json_object_set_new(object, "whole", json_stringn(whole.data, whole.length));
    OWNED char *text = json_dumps(object, JSON_COMPACT);
    OWNED char *subject = memory_print("agentos.node.%s", node), *message = names_new_id();
    json_decref(object);
    return text && bus_link_publish(bus, subject, message, text, strlen(text), bus_link_ticket(bus));
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int64_t number_of(const json_t *object, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(object, key));
}

/* Borrows from the object, but for the whole item: that is the caller's to free. False: it is none. */
static bool read_word(const json_t *object, struct queue_word *word)
{
    const json_t *whole = json_object_get(object, "whole");
    *word = (struct queue_word){.what = text_of(object, "item_word"),
                                .queue = text_of(object, "queue"),
                                .agent = text_of(object, "agent"),
                                .turn = (uint64_t)number_of(object, "turn"),
                                .key = (uint64_t)number_of(object, "key"),
                                .status = text_of(object, "status")};
    if (!names_id(text_of(object, "id")) || !names_agent(word->agent))
        return false;
    if (whole)
        return envelope_parse(&word->item, json_string_value(whole), json_string_length(whole),
                              "from the bus", NULL) &&
               word->item.kind == KIND_ITEM && strcmp(word->item.id, text_of(object, "id")) == 0;
    word->item = (struct envelope){.kind = KIND_ITEM,
                                   .id = (char *)(uintptr_t)text_of(object, "id"),
                                   .from = (char *)(uintptr_t)text_of(object, "from"),
                                   .created = number_of(object, "created"),
                                   .ttl_seconds = number_of(object, "ttl_seconds"),
                                   .attempts = number_of(object, "attempts")};
    return true;
}

bool far_items_hear(struct queues *queues, const char *node, const void *bytes, size_t length)
{
    json_t *object = json_loadb(bytes, length, 0, NULL);
    struct queue_word word;
    bool is_word = json_object_get(object, "item_word") != NULL;
    bool is_good = is_word && read_word(object, &word);
    if (is_good)
        queues_hear(queues, node, &word);
    if (is_word && json_object_get(object, "whole"))
        envelope_free(&word.item);
    json_decref(object);
    return is_word;
}
