#include "supervisor/nodes/far_items.h"

#include <jansson.h>
#include <string.h>

#include "common/buffer.h"
#include "common/names.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/nodes/nodes.h"
#include "supervisor/nodes/word.h"

bool far_items_say(const struct local_node *local, const char *node, const struct queue_word *word)
{
    const struct envelope *item = &word->item;
    OWNED_BUFFER struct buffer whole = {0};
    if (!node && !nodes_answers(local->nodes, word->agent))
        return false;
    if (!node)
        node = nodes_of(local->nodes, word->agent);
    if (item->body)
        envelope_print(item, &whole);
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:s*, s:s, s:s*, s:I, s:I, s:I}", "item_word", word->what, "queue",
        word->queue, "agent", word->agent, "turn", (json_int_t)word->turn, "key", (json_int_t)word->key,
        "status", word->status, "id", item->id, "from", item->from, "created", (json_int_t)item->created,
        "ttl_seconds", (json_int_t)item->ttl_seconds, "attempts", (json_int_t)item->attempts);
    if (item->body)
        json_object_set_new(object, "whole", json_stringn(whole.data, whole.length));
    return node_word_say(local, node, object) != 0;
}

/* Borrows from the object, but for the whole item: that is the caller's to free. False: the object is no word. */
static bool read_word(const json_t *object, struct queue_word *word)
{
    const json_t *whole = json_object_get(object, "whole");
    *word = (struct queue_word){.what = node_word_text(object, "item_word"),
                                .queue = node_word_text(object, "queue"),
                                .agent = node_word_text(object, "agent"),
                                .turn = (uint64_t)node_word_number(object, "turn"),
                                .key = (uint64_t)node_word_number(object, "key"),
                                .status = node_word_text(object, "status")};
    if (!names_id(node_word_text(object, "id")) || !names_agent(word->agent))
        return false;
    if (whole)
        return envelope_parse(&word->item, json_string_value(whole), json_string_length(whole),
                              "from the bus", NULL) &&
               word->item.kind == KIND_ITEM && strcmp(word->item.id, node_word_text(object, "id")) == 0;
    word->item = (struct envelope){.kind = KIND_ITEM,
                                   .id = (char *)(uintptr_t)node_word_text(object, "id"),
                                   .from = (char *)(uintptr_t)node_word_text(object, "from"),
                                   .created = node_word_number(object, "created"),
                                   .ttl_seconds = node_word_number(object, "ttl_seconds"),
                                   .attempts = node_word_number(object, "attempts")};
    return true;
}

bool far_items_hear(struct queues *queues, const char *node, const json_t *object)
{
    struct queue_word word;
    bool is_word = json_object_get(object, "item_word") != NULL;
    bool is_good = is_word && read_word(object, &word);
    if (is_good)
        queues_hear(queues, node, &word);
    if (is_word && json_object_get(object, "whole"))
        envelope_free(&word.item);
    return is_word;
}
