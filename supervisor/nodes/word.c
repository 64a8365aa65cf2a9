#include "supervisor/nodes/word.h"

#include <string.h>

#include "common/memory.h"
#include "common/names.h"
#include "supervisor/nodes/bus_link.h"
#include "supervisor/nodes/local_node.h"

uint64_t node_word_say(const struct local_node *local, const char *node, json_t *object)
{
    struct bus_link *bus = local->bus;
    OWNED char *text = json_dumps(object, JSON_COMPACT);
    OWNED char *subject = memory_print(NODE_SUBJECT "%s", node), *message = names_new_id();
    uint64_t ticket = bus_link_ticket(bus);
    json_decref(object);
    return text && bus_link_publish(bus, subject, message, text, strlen(text), ticket) ? ticket : 0;
}

const char *node_word_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

int64_t node_word_number(const json_t *object, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(object, key));
}
