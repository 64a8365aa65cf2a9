#include "worker/reply.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "worker/markdown.h"
#include "worker/reply_block.h"

/* Bytes of each text that are kept; what is longer is cut with a fault. */
enum {
    REASON_MAX = 500,
    REFLECTION_MAX = 1000,
    DESCRIPTION_MAX = 1024,
    BODY_MAX = 64 * 1024,
    GOAL_MAX = 300,
    GOALS_LISTED_MAX = 20,
    SEGMENTS_MAX = 16,
    FAULTS_MAX = 2000
};
static const int64_t TTL_MAX = INT64_C(10) * 366 * 86400;

static const char *const block_keys[] = {"answer",   "reward",   "reason",  "skill",    "reflection", "goals",
                                         "handoffs", "messages", "enqueue", "segments", NULL};
static const char *const skill_keys[] = {"name", "description", "body", NULL};
static const char *const goals_keys[] = {"add", "done", NULL};

struct reading {
    struct reply *reply;
    struct buffer faults;
};

__attribute__((format(printf, 2, 3))) static void complain(struct reading *reading, const char *format, ...)
{
    char sentence[400];
    if (reading->faults.length > FAULTS_MAX)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    OWNED char *clean = utf8_clean(sentence, strlen(sentence)); /* a character may have been cut */
    for (char *c = clean; *c; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    buffer_text(&reading->faults, reading->faults.length ? "; " : "");
    buffer_text(&reading->faults, clean);
}

/* --- texts --- */

static char *limited(struct reading *reading, const char *what, char *text, size_t limit)
{
    size_t length = text ? strlen(text) : 0;
    if (length > limit) {
        complain(reading, "%s has %zu bytes and was cut to %zu", what, length, limit);
        text[utf8_cut(text, length, limit)] = '\0';
    }
    if (text && *text == '\0') {
        free(text);
        return NULL;
    }
    return text;
}

static char *joined_lines(char *text)
{
    for (char *c = text; c && *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    return text;
}

/* NULL: there is none, or it is no text (then with a fault). */
static char *text_of(struct reading *reading, const struct parts *parts, const char *key, size_t limit)
{
    const struct part *part = parts_find(parts, key);
    if (!part)
        return NULL;
    char *text = part_text(part);
    if (!text)
        complain(reading, "%s is no text and was not used", key);
    return limited(reading, key, text, limit);
}

static char *line_of(struct reading *reading, const struct parts *parts, const char *key, size_t limit)
{
    return joined_lines(text_of(reading, parts, key, limit));
}

/* --- the reward --- */

static bool reward_word(const char *text, int *reward)
{
    static const struct {
        const char *word;
        int reward;
    } words[] = {{"success", 1},  {"successful", 1}, {"partial", 0}, {"neutral", 0},
                 {"failure", -1}, {"failed", -1},    {"fail", -1}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i].word) == 0) {
            *reward = words[i].reward;
            return true;
        }
    return false;
}

static void read_reward(struct reading *reading, const struct parts *parts)
{
    struct reply *reply = reading->reply;
    OWNED char *text = line_of(reading, parts, "reward", 100);
    if (!text) {
        complain(reading, "no reward was given, so it is 0");
        return;
    }
    const char *number = strncmp(text, "\xe2\x88\x92", 3) == 0 ? text + 3 : text; /* the typographic minus */
    char *end;
    double value = strtod(number, &end);
    if (number != text)
        value = -value;
    if (end != number && *end == '\0' && (fabs(value) <= 0 || fabs(fabs(value) - 1) <= 0)) {
        reply->reward = value > 0 ? 1 : value < 0 ? -1 : 0;
        reply->reward_given = true;
    } else if (reward_word(text, &reply->reward)) {
        reply->reward_given = true;
    } else {
        complain(reading, "the reward \"%s\" is none of 1, 0 and -1 and counts as 0", text);
    }
}

/* --- the skill --- */

/* "Paginated Fetch" can only mean paginated-fetch; a path means mischief. NULL: it can't be a name. */
static char *skill_name(const char *text)
{
    size_t length = 0;
    char name[NAME_LENGTH_MAX + 1];
    if (*text == '.' || strpbrk(text, "/\\"))
        return NULL;
    for (; *text && length < NAME_LENGTH_MAX; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x80 && isalnum(c))
            name[length++] = (char)tolower(c);
        else if (length && name[length - 1] != '-' && strchr(" \t_-:.,", c))
            name[length++] = '-';
    }
    while (length && name[length - 1] == '-')
        length--;
    return length ? memory_slice(name, length) : NULL;
}

/* The first line of the body that says something: what a description must be, when there is none. */
static char *first_line(const char *body)
{
    size_t length = strlen(body);
    for (size_t at = 0, end, next; at < length; at = next) {
        next = markdown_line(body, length, at, &end);
        const char *line = body + at;
        size_t size = end - at;
        while (size && strchr("# \t-*`", *line)) {
            line++;
            size--;
        }
        markdown_trim(&line, &size);
        if (size)
            return memory_slice(line, utf8_cut(line, size, DESCRIPTION_MAX));
    }
    return NULL;
}

static void use_skill(struct reading *reading, const struct parts *parts)
{
    struct reply *reply = reading->reply;
    OWNED char *given = line_of(reading, parts, "name", 1000);
    char *name = given ? skill_name(given) : NULL;
    if (!name) {
        if (given)
            complain(reading, "\"%.80s\" can't be a skill's name (a-z 0-9 -), so no skill was kept", given);
        else
            complain(reading, "the skill has no name and was not kept");
        return;
    }
    reply->skill.name = name;
    reply->skill.description = line_of(reading, parts, "description", DESCRIPTION_MAX);
    reply->skill.body = text_of(reading, parts, "body", BODY_MAX);
    if (!reply->skill.description && reply->skill.body)
        reply->skill.description = first_line(reply->skill.body);
}

static void read_skill(struct reading *reading, const struct parts *parts)
{
    const struct part *part = parts_find(parts, "skill");
    if (!part)
        return;
    struct parts inner = {0};
    const struct yaml_node *node = part->node;
    if (node && node->kind == YAML_SEQUENCE && node->count > 0) {
        if (node->count > 1)
            complain(reading, "only one skill can be earned at once; the first was used");
        node = node->child;
    }
    if (node && node->kind == YAML_MAPPING) {
        if (node->count == 0)
            return;
        parts_from(&inner, node);
    } else if (node && node->kind == YAML_SCALAR) {
        if (strcasecmp(node->text, "none") == 0 || *node->text == '\0')
            return;
        reading->reply->skill.name = skill_name(node->text);
        if (!reading->reply->skill.name)
            complain(reading, "\"%.80s\" can't be a skill's name (a-z 0-9 -)", node->text);
        return;
    } else if (!node && part->raw) {
        parts_read(&inner, part->raw, strlen(part->raw), skill_keys);
    }
    use_skill(reading, &inner);
    parts_free(&inner);
}

/* --- lists --- */

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
        complain(reading, "%s could not be read and was not used", key);
    return part ? part->node : NULL;
}

static void list_goals(struct reading *reading, const struct yaml_node *list, struct text_list *goals)
{
    for (const struct yaml_node *item = items(list); item; item = next_item(list, item)) {
        if (yaml_is_null(item) || (item->kind == YAML_SCALAR && *item->text == '\0'))
            continue;
        if (item->kind != YAML_SCALAR || goals->count == GOALS_LISTED_MAX) {
            complain(reading, item->kind != YAML_SCALAR ? "a goal is no text and was not used"
                                                        : "there are too many goals; the rest was not used");
            return;
        }
        char *goal = limited(reading, "a goal", joined_lines(memory_text(item->text)), GOAL_MAX);
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
        complain(reading, "goals could not be read and were not used");
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
    return limited(reading, first, memory_slice(text, length), REPLY_MAX);
}

static int64_t count_of(struct reading *reading, const struct yaml_node *item, const char *key, int64_t most)
{
    const struct yaml_node *node = yaml_get(item, key);
    int64_t value;
    if (!node || yaml_is_null(node))
        return -1;
    if (yaml_integer(node, &value) && value >= 0 && value <= most)
        return value;
    complain(reading, "%s is no whole number from 0 on and was not used", key);
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
        complain(reading, "a priority is none of high, normal and low and counts as normal");
    return priority;
}

static void read_send(struct reading *reading, const struct yaml_node *item, const struct send_kind *kind)
{
    struct reply *reply = reading->reply;
    if (item->kind != YAML_MAPPING) {
        complain(reading, "an entry of %s has no fields and was not sent", kind->key);
        return;
    }
    OWNED char *to = field(reading, item, kind->to, "to");
    OWNED char *text = field(reading, item, kind->text, kind->text_too);
    for (char *c = to; c && *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (!to || !text || !names_agent(to)) {
        complain(reading, "an entry of %s was not sent: %s%.80s", kind->key,
                 !to     ? "it doesn't say to whom"
                 : !text ? "it has no text"
                         : "no such name can exist: ",
                 to && text ? to : "");
        return;
    }
    if (reply->send_count == REPLY_SENDS_MAX) {
        complain(reading, "more than %d sends in one reply; %s to %s was not sent", REPLY_SENDS_MAX,
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
        complain(reading,
                 "an entry of segments was not written: it needs name and body, and %d at most are taken",
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

/* --- the whole --- */

static void read_parts(struct reading *reading, const struct parts *parts, bool cut)
{
    struct reply *reply = reading->reply;
    if (parts->broken)
        complain(reading, "the block is no valid YAML (%s); what could be read was used", parts->fault.text);
    reply->structured = true;
    read_reward(reading, parts);
    reply->reason = line_of(reading, parts, "reason", REASON_MAX);
    reply->reflection = line_of(reading, parts, "reflection", REFLECTION_MAX);
    if (cut) /* any text may lack its end: a half task must not go to somebody, nor half a skill be kept */
        return;
    read_skill(reading, parts);
    read_goals(reading, parts);
    read_sends(reading, parts);
    read_segments(reading, parts);
}

static char *trimmed(const char *text, size_t length)
{
    markdown_trim(&text, &length);
    return memory_slice(text, length);
}

/* The text around the block; when there is none, what the block itself calls the answer. */
static char *answer_around(const char *text, size_t length, const struct reply_block *block,
                           const struct parts *parts)
{
    OWNED char *before = trimmed(text, block->start);
    OWNED char *after = trimmed(text + block->end, length - block->end);
    const struct part *own = parts_find(parts, "answer");
    if (*before == '\0' && *after == '\0' && own) {
        char *answer = part_text(own);
        return answer ? answer : memory_text("");
    }
    return memory_print("%s%s%s", before, *before && *after ? "\n\n" : "", after);
}

static bool is_cut(const char *finish_reason)
{
    return strcasecmp(finish_reason, "length") == 0 || strcasecmp(finish_reason, "max_tokens") == 0;
}

static void read_fenced(struct reading *reading, const char *text, size_t length,
                        const struct reply_block *block, bool cut)
{
    struct parts parts;
    parts_read(&parts, text + block->inner, block->inner_length, block_keys);
    reading->reply->answer = answer_around(text, length, block, &parts);
    read_parts(reading, &parts, cut && !block->closed);
    parts_free(&parts);
}

/* The whole reply as one JSON object, also within a ```json fence. */
static bool read_object(struct reading *reading, const char *text, size_t length, bool cut)
{
    markdown_trim(&text, &length);
    struct fence fence;
    size_t end, next = markdown_line(text, length, 0, &end);
    if (markdown_fence(text, end, &fence)) {
        text += next;
        length -= next;
        while (length && (text[length - 1] == fence.mark || text[length - 1] == '\n'))
            length--;
    }
    markdown_trim(&text, &length);
    if (length == 0 || *text != '{')
        return false;
    struct parts parts;
    parts_read(&parts, text, length, block_keys);
    const struct part *answer = parts_find(&parts, "answer");
    char *words = answer ? part_text(answer) : NULL;
    if (words || (answer && parts_find(&parts, "reward"))) {
        if (!words)
            complain(reading, "the answer is no text");
        reading->reply->answer = words ? words : memory_slice(text, length);
        read_parts(reading, &parts, cut);
        parts_free(&parts);
        return true;
    }
    parts_free(&parts);
    return false;
}

/* A marked block is what was asked for, and no JSON text can hold one (its strings have no line ends). */
static void read_any(struct reading *reading, const char *text, size_t length, bool cut)
{
    struct reply_block block = {0};
    bool found = reply_block_find(text, length, &block);
    if (!block.marked && read_object(reading, text, length, cut))
        return;
    if (found)
        read_fenced(reading, text, length, &block, cut);
    else
        reading->reply->answer = trimmed(text, length);
}

/* Some servers leave the model's thoughts in front of what it says. */
static void skip_thoughts(const char **text, size_t *length)
{
    const char *start = *text;
    size_t rest = *length;
    markdown_trim(&start, &rest);
    if (strncmp(start, "<think>", 7) != 0)
        return;
    const char *end = strstr(start, "</think>");
    if (!end)
        return;
    end += strlen("</think>");
    *length -= (size_t)(end - *text);
    *text = end;
}

/* No reward for what is no whole answer, whatever the model thinks of it. */
static void deny(struct reading *reading)
{
    struct reply *reply = reading->reply;
    reply->reward = 0;
    free(reply->skill.name);
    free(reply->skill.description);
    free(reply->skill.body);
    reply->skill.name = reply->skill.description = reply->skill.body = NULL;
}

static void judge(struct reading *reading, const char *finish_reason)
{
    struct reply *reply = reading->reply;
    bool cut = is_cut(finish_reason);
    if (cut)
        complain(reading, "the reply was cut off at the token limit");
    if (strcasecmp(finish_reason, "content_filter") == 0)
        complain(reading, "the provider's content filter stopped the reply");
    else if (strcasecmp(finish_reason, "refusal") == 0)
        complain(reading, "the model refused to answer");
    else if (*reply->answer == '\0')
        complain(reading, "the reply was empty");
    else if (!reply->structured && !cut)
        complain(reading, "the reply has no agentos block, so it earned nothing");
    else if (!cut)
        return;
    deny(reading);
}

void reply_parse(struct reply *reply, const char *text, size_t length, const char *finish_reason)
{
    *reply = (struct reply){0};
    struct reading reading = {.reply = reply};
    if (!finish_reason)
        finish_reason = "";
    bool refused = strcasecmp(finish_reason, "refusal") == 0;
    if (length > REPLY_MAX) {
        complain(&reading, "the reply has %zu bytes; %d were read", length, REPLY_MAX);
        length = REPLY_MAX;
    }
    OWNED char *clean = utf8_valid(text, length) && !memchr(text, '\0', length) ? memory_slice(text, length)
                                                                                : utf8_clean(text, length);
    const char *rest = clean;
    size_t rest_length = strlen(clean);
    skip_thoughts(&rest, &rest_length);
    if (refused)
        reply->answer = trimmed(rest, rest_length);
    else
        read_any(&reading, rest, rest_length, is_cut(finish_reason));
    judge(&reading, finish_reason);
    reply->faults = reading.faults.length ? buffer_take(&reading.faults) : NULL;
    buffer_free(&reading.faults);
}

static void free_texts(struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
}

void reply_free(struct reply *reply)
{
    free(reply->answer);
    free(reply->reason);
    free(reply->skill.name);
    free(reply->skill.description);
    free(reply->skill.body);
    free(reply->reflection);
    free(reply->faults);
    free_texts(&reply->goals_add);
    free_texts(&reply->goals_done);
    for (size_t i = 0; i < reply->send_count; i++) {
        free(reply->sends[i].to);
        free(reply->sends[i].text);
    }
    free(reply->sends);
    for (size_t i = 0; i < reply->segment_count; i++) {
        free(reply->segments[i].name);
        free(reply->segments[i].body);
    }
    free(reply->segments);
    *reply = (struct reply){0};
}
