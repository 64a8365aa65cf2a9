#include "worker/reply/reply.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/format/markdown.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "worker/reply/block.h"
#include "worker/reply/reading.h"

/* Bytes of each text that are kept; what is longer is cut with a fault. */
enum {
    REASON_MAX = 500,
    REFLECTION_MAX = 1000,
    DESCRIPTION_MAX = 1024,
    BODY_MAX = 64 * 1024,
};

static const char *const block_keys[] = {"answer",   "reward",   "reason",  "skill",    "reflection", "goals",
                                         "handoffs", "messages", "enqueue", "segments", NULL};
static const char *const skill_keys[] = {"name", "description", "body", NULL};

/* NULL: there is none, or it is no text (then with a fault). */
static char *text_of(struct reading *reading, const struct parts *parts, const char *key, size_t limit)
{
    const struct part *part = parts_find(parts, key);
    if (!part)
        return NULL;
    char *text = part_text(part);
    if (!text)
        reading_complain(reading, "%s is no text and was not used", key);
    return reading_limit(reading, key, text, limit);
}

static char *line_of(struct reading *reading, const struct parts *parts, const char *key, size_t limit)
{
    return reading_one_line(text_of(reading, parts, key, limit));
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

/* Behind the number may stand what it means, as in "-1 (failure)", but no other number. */
static bool only_words(const char *text)
{
    return *text == '\0' || (strchr(" (,;:!", *text) && !strpbrk(text, "0123456789"));
}

static void read_reward(struct reading *reading, const struct parts *parts)
{
    struct reply *reply = reading->reply;
    OWNED char *text = line_of(reading, parts, "reward", 100);
    if (!text) {
        reading_complain(reading, "no reward was given, so it is 0");
        return;
    }
    const char *number = strncmp(text, "\xe2\x88\x92", 3) == 0 ? text + 3 : text; /* the typographic minus */
    char *end;
    double value = strtod(number, &end);
    if (number != text)
        value = -value;
    if (end != number && only_words(end) && (fabs(value) <= 0 || fabs(fabs(value) - 1) <= 0)) {
        reply->reward = value > 0 ? 1 : value < 0 ? -1 : 0;
        reply->reward_given = true;
    } else if (reward_word(text, &reply->reward)) {
        reply->reward_given = true;
    } else {
        reading_complain(reading, "the reward \"%s\" is none of 1, 0 and -1 and counts as 0", text);
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
            reading_complain(reading, "\"%.80s\" can't be a skill's name (a-z 0-9 -), so no skill was kept",
                             given);
        else
            reading_complain(reading, "the skill has no name and was not kept");
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
            reading_complain(reading, "only one skill can be earned at once; the first was used");
        node = node->child;
        if (node->kind != YAML_MAPPING) { /* a list of words is no skill's name */
            reading_complain(reading, "the skill has no fields and was not kept");
            return;
        }
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
            reading_complain(reading, "\"%.80s\" can't be a skill's name (a-z 0-9 -)", node->text);
        return;
    } else if (!node && part->raw) {
        parts_read(&inner, part->raw, strlen(part->raw), skill_keys);
    }
    use_skill(reading, &inner);
    parts_free(&inner);
}

/* --- the whole --- */

static void read_parts(struct reading *reading, const struct parts *parts, bool cut)
{
    struct reply *reply = reading->reply;
    if (parts->broken)
        reading_complain(reading, "the block is no valid YAML (%s); what could be read was used",
                         parts->fault.text);
    reply->structured = true;
    read_reward(reading, parts);
    reply->reason = line_of(reading, parts, "reason", REASON_MAX);
    reply->reflection = line_of(reading, parts, "reflection", REFLECTION_MAX);
    if (cut) /* any text may lack its end: a half task must not go to somebody, nor half a skill be kept */
        return;
    read_skill(reading, parts);
    reply_lists_read(reading, parts);
    const char *stranger = parts_stranger(parts, block_keys);
    if (stranger)
        reading_complain(reading, "the key \"%.80s\" is unknown and was not used", stranger);
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
            reading_complain(reading, "the answer is no text");
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
        reading_complain(reading, "the reply was cut off at the token limit");
    if (strcasecmp(finish_reason, "content_filter") == 0)
        reading_complain(reading, "the provider's content filter stopped the reply");
    else if (strcasecmp(finish_reason, "refusal") == 0)
        reading_complain(reading, "the model refused to answer");
    else if (*reply->answer == '\0')
        reading_complain(reading, "the reply was empty");
    else if (!reply->structured && !cut)
        reading_complain(reading, "the reply has no agentos block, so it earned nothing");
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
        reading_complain(&reading, "the reply has %zu bytes; %d were read", length, REPLY_MAX);
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
