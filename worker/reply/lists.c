#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/names.h"
#include "worker/reply/example.h"
#include "worker/reply/keys.h"
#include "worker/reply/reading.h"

/* What more there is than that is left out, with a fault. */
enum { GOAL_MAX = 300 /* bytes */, GOALS_LISTED_MAX = 20, SEGMENTS_MAX = 16 };
static const int64_t TTL_MAX = INT64_C(10) * 366 * 86400;

/* --- goals --- */

static void add_goal(struct reading *reading, const struct field *entry, struct text_list *goals)
{
    if (field_is_none(entry))
        return;
    char *goal = reading_line(reading, "a goal", entry, GOAL_MAX);
    if (goal && goals->count == GOALS_LISTED_MAX)
        reading_complain(reading, "there are too many goals; \"%.80s\" was not used", goal);
    if (!goal || goals->count == GOALS_LISTED_MAX || reading_is_example(reading, "a goal", goal)) {
        free(goal);
        return;
    }
    goals->items = memory_grow(goals->items, goals->count + 1, sizeof *goals->items);
    goals->items[goals->count++] = goal;
}

/* "[ ] a goal" and "[x] a goal that is reached", as goals.md has them. False: no such box. */
static bool take_box(struct field *entry, bool *done)
{
    struct span text = span_trim(span_of(entry->text));
    bool box = text.length > 3 && *text.text == '[' && strchr(" xX", text.text[1]) && text.text[2] == ']' &&
               span_blank(span_from(text, 3));
    if (!box)
        return false;
    *done = text.text[1] != ' ';
    char *rest = memory_slice(text.text + 3, text.length - 3);
    free(entry->text);
    entry->text = rest;
    return true;
}

static void list_goals(struct reading *reading, const struct field *field, struct text_list *goals)
{
    struct fields entries;
    if (field->literal) {
        add_goal(reading, field, goals);
        return;
    }
    fields_entries(&entries, span_of(field->text), NULL);
    if (entries.open)
        reading_complain(reading, "goals could not be read and were not used");
    for (size_t i = 0; i < entries.count; i++) {
        bool done = false, box = take_box(&entries.items[i], &done);
        add_goal(reading, &entries.items[i], box && done ? &reading->reply->goals_done : goals);
    }
    reading_tell_rest(reading, "goals", &entries);
    fields_free(&entries);
}

static const char *const goal_keys[] = {"add|added|new", "done|completed|finished|reached", NULL};

static void read_goal_map(struct reading *reading, const struct field *field)
{
    struct reply *reply = reading->reply;
    struct fields inner;
    bool known = false;
    fields_read(&inner, span_of(field->literal ? "" : field->text), goal_keys);
    for (size_t i = 0; i < inner.count; i++)
        known = known || inner.items[i].key >= 0;
    if (inner.open)
        reading_complain(reading, "goals could not be read and were not used");
    else if (!known)
        list_goals(reading, field, &reply->goals_add);
    for (size_t i = 0; known && !inner.open && i < inner.count; i++)
        if (inner.items[i].key >= 0 && !field_is_none(&inner.items[i]))
            list_goals(reading, &inner.items[i], inner.items[i].key ? &reply->goals_done : &reply->goals_add);
    if (known)
        reading_tell_rest(reading, "goals", &inner);
    fields_free(&inner);
}

/* One mapping, or a list of them: "[{add: a}, {done: b}]". */
static void read_goals(struct reading *reading, const struct field *field)
{
    struct fields entries = {0};
    struct span text = span_trim(span_of(field->text));
    if (!field->literal && span_starts(text, "[") && span_starts(span_left(span_from(text, 1)), "{"))
        fields_entries(&entries, text, goal_keys);
    for (size_t i = 0; i < entries.count; i++)
        if (*entries.items[i].text == '{' && !entries.items[i].literal)
            read_goal_map(reading, &entries.items[i]);
        else
            add_goal(reading, &entries.items[i], &reading->reply->goals_add);
    if (entries.count == 0)
        read_goal_map(reading, field);
    reading_tell_rest(reading, "goals", &entries);
    fields_free(&entries);
}

/* --- what goes out --- */

enum entry_key { ENTRY_TO, ENTRY_TEXT, ENTRY_TTL, ENTRY_VERSION = ENTRY_TTL, ENTRY_PRIORITY };

static const char *const agent_keys[] = {"to|agent|recipient|receiver|name", "task|body|text|message|content",
                                         "ttl_seconds|ttl", "priority", NULL};
static const char *const queue_keys[] = {"queue|to|name", "task|body|text|item|content", "ttl_seconds|ttl",
                                         "priority", NULL};
static const char *const segment_keys[] = {"name|segment|to", "body|text|content|value",
                                           "base_version|version", NULL};

static const struct list_kind {
    enum report_key report;
    const char *key, *const *keys, *unused;
    enum envelope_kind kind;
} kinds[] = {
    {KEY_HANDOFFS, "handoffs", agent_keys, "sent", KIND_HANDOFF},
    {KEY_MESSAGES, "messages", agent_keys, "sent", KIND_MESSAGE},
    {KEY_ENQUEUE, "enqueue", queue_keys, "sent", KIND_ITEM},
    {KEY_SEGMENTS, "segments", segment_keys, "written", KIND_SEGMENT},
};

/* An entry while it is read; borrowed, NULL: not given. */
struct entry {
    const struct list_kind *kind;
    const struct field *fields[ENTRY_PRIORITY + 1];
    const char *to; /* when no field says it */
};

static int64_t count_of(struct reading *reading, const struct entry *entry, enum entry_key key, int64_t most)
{
    const struct field *field = entry->fields[key];
    OWNED char *text = field && !field_is_none(field) ? reading_line(reading, "a number", field, 100) : NULL;
    if (!text)
        return -1;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool seconds = !*end || strcmp(end, "s") == 0 || strcmp(end, " s") == 0 || strcmp(end, " seconds") == 0;
    if (isdigit((unsigned char)*text) && !errno && value <= most && seconds)
        return value;
    reading_complain(reading, "%s \"%.40s\" is no whole number from 0 on and was not used",
                     entry->kind->kind == KIND_SEGMENT ? "base_version" : "ttl_seconds", text);
    return -1;
}

static enum priority priority_of(struct reading *reading, const struct entry *entry)
{
    const struct field *field = entry->fields[ENTRY_PRIORITY];
    enum priority priority = PRIORITY_NORMAL;
    OWNED char *text =
        field && !field_is_none(field) ? reading_line(reading, "a priority", field, 100) : NULL;
    text = reading_name(text);
    if (text && !priority_parse(text, &priority))
        reading_complain(reading,
                         "the priority \"%.40s\" is none of high, normal and low and counts as normal", text);
    return priority;
}

static void add_segment(struct reading *reading, const struct entry *entry, const char *name,
                        const char *body)
{
    struct reply *reply = reading->reply;
    if (reply->segment_count == SEGMENTS_MAX) {
        reading_complain(reading, "%d segments at most are taken; %s was not written", SEGMENTS_MAX, name);
        return;
    }
    reply->segments = memory_grow(reply->segments, reply->segment_count + 1, sizeof *reply->segments);
    reply->segments[reply->segment_count++] =
        (struct reply_segment){.name = memory_text(name),
                               .body = memory_text(body),
                               .base_version = count_of(reading, entry, ENTRY_VERSION, INT64_MAX)};
}

static bool is_sent(const struct reply *reply, enum envelope_kind kind, const char *to, const char *text)
{
    for (size_t i = 0; i < reply->send_count; i++)
        if (reply->sends[i].kind == kind && strcmp(reply->sends[i].to, to) == 0 &&
            strcmp(reply->sends[i].text, text) == 0)
            return true;
    return false;
}

static void add_send(struct reading *reading, const struct entry *entry, const char *to, const char *text)
{
    struct reply *reply = reading->reply;
    const char *key = entry->kind->key;
    if (is_sent(reply, entry->kind->kind, to, text)) {
        reading_complain(reading, "an entry of %s to %s stands twice and was sent once", key, to);
        return;
    }
    if (reply->send_count == REPLY_SENDS_MAX) {
        reading_complain(reading, "more than %d sends in one reply; %s to %s was not sent", REPLY_SENDS_MAX,
                         key, to);
        return;
    }
    reply->sends = memory_grow(reply->sends, reply->send_count + 1, sizeof *reply->sends);
    reply->sends[reply->send_count++] = (struct reply_send){
        .kind = entry->kind->kind,
        .to = memory_text(to),
        .text = memory_text(text),
        .ttl_seconds = count_of(reading, entry, ENTRY_TTL, TTL_MAX),
        .priority = priority_of(reading, entry),
    };
}

static void refuse(struct reading *reading, const struct list_kind *kind, const char *why, const char *what)
{
    reading_complain(reading, "an entry of %s was not %s: %s%.80s", kind->key, kind->unused, why, what);
}

/* To each of the names, which commas part. */
static void use_names(struct reading *reading, const struct entry *entry, char *names, const char *text)
{
    for (char *next = names, *name; (name = strsep(&next, ","));) {
        OWNED char *bare = reading_name(memory_text(name));
        for (char *c = bare; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        if (!names_agent(bare))
            refuse(reading, entry->kind, "no such name can exist: ", bare);
        else if (entry->kind->kind == KIND_SEGMENT)
            add_segment(reading, entry, bare, text);
        else
            add_send(reading, entry, bare, text);
    }
}

/* "none" is no task, but it may be a message: the answer to a question. */
static bool has_text(const struct list_kind *kind, const struct field *body)
{
    bool task = kind->kind == KIND_HANDOFF || kind->kind == KIND_ITEM;
    return body && !(task ? field_is_none(body) : !body->literal && strcmp(body->text, "null") == 0);
}

static void use_entry(struct reading *reading, const struct entry *entry)
{
    const struct field *to = entry->fields[ENTRY_TO], *body = entry->fields[ENTRY_TEXT];
    body = has_text(entry->kind, body) ? body : NULL;
    OWNED char *names = to ? reading_line(reading, "a name", to, 1000) : memory_text(entry->to);
    OWNED char *text = body ? reading_limit(reading, entry->kind->key, field_text(body), REPLY_MAX) : NULL;
    if (to && field_is_none(to) && (!body || field_is_none(body)))
        return;
    if (reading_is_example(reading, entry->kind->key, names) ||
        reading_is_example(reading, entry->kind->key, text))
        return;
    if (!names || !text)
        refuse(reading, entry->kind, !names ? "it doesn't say to whom" : "it has no text", "");
    else
        use_names(reading, entry, names, text);
}

/* One mapping's fields; a field that stands again begins the next entry. */
static void use_fields(struct reading *reading, const struct list_kind *kind, const struct fields *fields,
                       const char *to)
{
    struct entry entry = {.kind = kind, .to = to};
    bool any = false;
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (field->key < 0)
            continue;
        if (entry.fields[field->key]) {
            use_entry(reading, &entry);
            entry = (struct entry){.kind = kind, .to = to};
        }
        entry.fields[field->key] = field;
        any = true;
    }
    if (any)
        use_entry(reading, &entry);
    OWNED char *what = memory_print("an entry of %s", kind->key);
    reading_tell_rest(reading, what, fields);
}

static bool has_known(const struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++)
        if (fields->items[i].key >= 0)
            return true;
    return false;
}

/* "iris: text", where the text may be a list of texts, or a mapping with the rest. */
static void use_pair(struct reading *reading, const struct list_kind *kind, const struct field *pair)
{
    struct fields inner, texts;
    OWNED char *name = reading_name(memory_text(pair->name));
    fields_read(&inner, span_of(pair->literal ? "" : pair->text), kind->keys);
    if (has_known(&inner) && !inner.open) {
        use_fields(reading, kind, &inner, name);
        fields_free(&inner);
        return;
    }
    fields_free(&inner);
    struct span text = span_of(pair->text);
    bool list = !pair->literal && span_empty(span_first(text, strcspn(pair->text, "\n"))) &&
                span_bullet(span_left(text));
    texts = (struct fields){0};
    if (list)
        fields_entries(&texts, text, NULL);
    for (size_t i = 0; i < texts.count; i++)
        use_entry(reading,
                  &(struct entry){.kind = kind, .fields = {[ENTRY_TEXT] = &texts.items[i]}, .to = name});
    if (!list)
        use_entry(reading, &(struct entry){.kind = kind, .fields = {[ENTRY_TEXT] = pair}, .to = name});
    fields_free(&texts);
}

/* "@iris text", "iris - text", "iris → text": false when it is none of these. */
static bool use_words(struct reading *reading, const struct list_kind *kind, const struct field *entry)
{
    static const char *const marks[] = {
        " - ", " \xe2\x80\x93 ", " \xe2\x80\x94 ", " -> ", " \xe2\x86\x92 ", " => ", ": "};
    OWNED char *text = field_text(entry);
    const char *found = NULL, *rest = NULL;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const char *at = strstr(text, marks[i]);
        if (at && (!found || at < found)) {
            found = at;
            rest = at + strlen(marks[i]);
        }
    }
    if (*text == '@' && !(found && !memchr(text, ' ', (size_t)(found - text)))) {
        found = text + strcspn(text, " ");
        rest = found;
    }
    OWNED char *name = found ? reading_name(memory_slice(text, (size_t)(found - text))) : NULL;
    if (!name || strchr(name, ' ') || !*rest)
        return false;
    struct field body = {.text = memory_text(rest), .literal = true};
    use_entry(reading, &(struct entry){.kind = kind, .fields = {[ENTRY_TEXT] = &body}, .to = name});
    free(body.text);
    return true;
}

static void read_entry(struct reading *reading, const struct list_kind *kind, const struct field *entry)
{
    struct fields fields;
    if (field_is_none(entry))
        return;
    OWNED char *unquoted = field_text(entry);
    struct span first = span_left(span_of(entry->text));
    bool set_off =
        first.length && (strchr("|>\"'", *first.text) || (*first.text & 0x80)); /* its indentation is gone */
    fields_read(&fields, span_of(set_off ? unquoted : entry->text), kind->keys);
    if (fields.open) {
        refuse(reading, kind, "a bracket is not closed in ", unquoted);
    } else if (has_known(&fields)) {
        use_fields(reading, kind, &fields, NULL);
    } else if (fields.count && span_empty((struct span){fields.stray.data, fields.stray.length})) {
        for (size_t i = 0; i < fields.count; i++)
            use_pair(reading, kind, &fields.items[i]);
    } else if (!use_words(reading, kind, entry)) {
        reading_complain(reading, "an entry of %s has no fields and was not %s: \"%.80s\"", kind->key,
                         kind->unused, unquoted);
    }
    fields_free(&fields);
}

static void read_list(struct reading *reading, const struct list_kind *kind, const struct field *field)
{
    struct fields entries;
    if (field->literal) {
        read_entry(reading, kind, field);
        return;
    }
    fields_entries(&entries, span_of(field->text), kind->keys);
    if (entries.open)
        reading_complain(reading, "%s could not be read and was not used", kind->key);
    for (size_t i = 0; i < entries.count; i++)
        read_entry(reading, kind, &entries.items[i]);
    reading_tell_rest(reading, kind->key, &entries);
    fields_free(&entries);
}

void reply_lists_read(struct reading *reading, const struct fields *report)
{
    for (size_t i = 0; i < report->count; i++)
        if (report->items[i].key == KEY_GOALS && !field_is_none(&report->items[i]))
            read_goals(reading, &report->items[i]);
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
        for (size_t i = 0; i < report->count; i++)
            if (report->items[i].key == (int)kinds[kind].report && !field_is_none(&report->items[i]))
                read_list(reading, &kinds[kind], &report->items[i]);
}
