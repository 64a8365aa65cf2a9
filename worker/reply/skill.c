#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "worker/reply/example.h"
#include "worker/reply/keys.h"
#include "worker/reply/reading.h"

/* Bytes of each text that are kept; a longer one is cut with a fault. */
enum { DESCRIPTION_MAX = 1024, BODY_MAX = 64 * 1024 };

enum skill_key { SKILL_NAME, SKILL_DESCRIPTION, SKILL_BODY };
static const char *const skill_keys[] = {"name|skill|title", "description|summary",
                                         "body|content|markdown|text", NULL};

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

static void set_name(struct reading *reading, char *given)
{
    struct reply *reply = reading->reply;
    if (reply->skill.name) {
        reading_complain(reading, "only one skill can be earned at once; \"%.80s\" was not used", given);
        return;
    }
    reply->skill.name = skill_name(given);
    if (!reply->skill.name)
        reading_complain(reading, "\"%.80s\" can't be a skill's name (a-z 0-9 -), so no skill was kept",
                         given);
}

static void use_fields(struct reading *reading, const struct fields *fields)
{
    struct reply *reply = reading->reply;
    const struct field *body = fields_find(fields, SKILL_BODY);
    bool first = !reply->skill.name;
    OWNED char *given =
        reading_name(reading_line(reading, "a skill's name", fields_find(fields, SKILL_NAME), 1000));
    OWNED char *about =
        reading_line(reading, "description", fields_find(fields, SKILL_DESCRIPTION), DESCRIPTION_MAX);
    OWNED char *text = body ? reading_limit(reading, "body", field_text(body), BODY_MAX) : NULL;
    bool copied = example_is(about) && (!text || example_is(text));
    if (reading_is_example(reading, "the skill", given) ||
        (copied && reading_is_example(reading, "the skill", about)) ||
        (text && reading_is_example(reading, "the skill", text)))
        return;
    if (given)
        set_name(reading, given);
    else
        reading_complain(reading, "the skill has no name and was not kept");
    if (!first || !reply->skill.name)
        return;
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (field->key >= 0 && !field_is_none(field) && fields_find(fields, field->key) != field)
            reading_complain(reading, "the skill has two texts of one kind; \"%.40s: %.80s\" was not used",
                             field->name, field->text);
    }
    reply->skill.body = text ? memory_text(text) : NULL;
    reply->skill.description = about ? memory_text(about) : text ? first_line(text) : NULL;
}

/* alone: a word may be the name of a skill that is known; several words are none. */
static void read_one(struct reading *reading, const struct field *entry, bool alone)
{
    struct fields fields;
    bool known = false;
    fields_read(&fields, span_of(entry->literal ? "" : entry->text), skill_keys);
    for (size_t i = 0; i < fields.count; i++)
        known = known || fields.items[i].key >= 0;
    if (fields.open) {
        reading_complain(reading, "a bracket of the skill is not closed, so it was not kept");
    } else if (known || (fields.count && !entry->literal)) {
        use_fields(reading, &fields);
        reading_tell_rest(reading, "the skill", &fields);
    } else if (alone && !field_is_bracketed(entry) && !strchr(entry->text, ',')) {
        OWNED char *given = reading_name(reading_line(reading, "a skill's name", entry, 1000));
        if (given && !reading_is_example(reading, "the skill", given))
            set_name(reading, given);
    } else {
        reading_complain(reading, "the skill has no fields and was not kept");
    }
    fields_free(&fields);
}

void reply_skill_read(struct reading *reading, const struct field *field)
{
    struct fields entries = {0};
    struct span text = span_left(span_of(field->text));
    if (!field->literal && text.length && (*text.text == '[' || span_bullet(text)))
        fields_entries(&entries, span_of(field->text), skill_keys);
    else
        read_one(reading, field, true);
    if (entries.open)
        reading_complain(reading, "the skill could not be read and was not kept");
    for (size_t i = 0; i < entries.count; i++)
        if (!field_is_none(&entries.items[i]))
            read_one(reading, &entries.items[i], entries.count == 1);
    reading_tell_rest(reading, "the skill", &entries);
    fields_free(&entries);
}
