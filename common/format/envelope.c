#include "common/format/envelope.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/format/frontmatter.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/utf8.h"

/* A task of a queue that became a dead letter and a segment's write lie in no receiver's tree. */
static const struct {
    const char *name;
    unsigned traits;
} kinds[] = {
    [KIND_HANDOFF] = {"handoff", KIND_IS_WORK | KIND_STARTS_CYCLE | KIND_EXPECTS_ANSWER},
    [KIND_MESSAGE] = {"message", KIND_IS_MAIL | KIND_STARTS_CYCLE | KIND_EXPECTS_ANSWER},
    [KIND_RESULT] = {"result", KIND_IS_MAIL},
    [KIND_BOUNCE] = {"bounce", KIND_IS_MAIL},
    [KIND_ITEM] = {"item", KIND_IS_WORK | KIND_STARTS_CYCLE | KIND_EXPECTS_ANSWER},
    [KIND_TASK] = {"task", KIND_EXPECTS_ANSWER},
    [KIND_SEGMENT] = {"segment", KIND_EXPECTS_ANSWER},
};
static const char *const priorities[] = {
    [PRIORITY_HIGH] = "high", [PRIORITY_NORMAL] = "normal", [PRIORITY_LOW] = "low"};

enum { KINDS = sizeof kinds / sizeof *kinds, PRIORITIES = sizeof priorities / sizeof *priorities };
enum form { FORM_ID, FORM_KIND, FORM_ADDRESS, FORM_TIME, FORM_COUNT, FORM_VERSION, FORM_PRIORITY, FORM_TEXT };

/* The front matter, in the order in which it is written. A text or time that is not yet true is not written. */
static const struct field {
    const char *key;
    enum form form;
    bool required;
    size_t offset;
    int64_t unset; /* FORM_COUNT: when the key is missing */
} fields[] = {
    {"id", FORM_ID, true, offsetof(struct envelope, id), 0},
    {"kind", FORM_KIND, true, offsetof(struct envelope, kind), 0},
    {"from", FORM_ADDRESS, true, offsetof(struct envelope, from), 0},
    {"to", FORM_ADDRESS, true, offsetof(struct envelope, to), 0},
    {"created", FORM_TIME, true, offsetof(struct envelope, created), 0},
    {"ttl_seconds", FORM_COUNT, false, offsetof(struct envelope, ttl_seconds), 0},
    {"priority", FORM_PRIORITY, false, offsetof(struct envelope, priority), 0},
    {"status", FORM_TEXT, false, offsetof(struct envelope, status), 0},
    {"attempts", FORM_COUNT, false, offsetof(struct envelope, attempts), 0},
    {"hops", FORM_COUNT, false, offsetof(struct envelope, hops), 1},
    {"trace", FORM_TEXT, false, offsetof(struct envelope, trace), 0},
    {"in_reply_to", FORM_TEXT, false, offsetof(struct envelope, in_reply_to), 0},
    {"delivered", FORM_TIME, false, offsetof(struct envelope, delivered), 0},
    {"read", FORM_TIME, false, offsetof(struct envelope, read), 0},
    {"finished", FORM_TIME, false, offsetof(struct envelope, finished), 0},
    {"reason", FORM_TEXT, false, offsetof(struct envelope, reason), 0},
    {"lock", FORM_TEXT, false, offsetof(struct envelope, lock), 0},
    {"consumer", FORM_ADDRESS, false, offsetof(struct envelope, consumer), 0},
    {"base_version", FORM_VERSION, false, offsetof(struct envelope, base_version), 0},
};

enum { FIELDS = sizeof fields / sizeof *fields };

/* ttl_seconds is added to created all over the place: a century is beyond every use and far from overflow. */
static const int64_t count_max = INT64_C(100) * 366 * 86400;

const char *envelope_kind_name(enum envelope_kind kind)
{
    return (size_t)kind < KINDS ? kinds[kind].name : "unknown";
}

bool envelope_kind_has(enum envelope_kind kind, enum kind_trait trait)
{
    return (size_t)kind < KINDS && (kinds[kind].traits & trait) != 0;
}

bool envelope_final(const char *status)
{
    static const char *const finals[] = {"finished", "read", "expired", "refused", "failed"};
    for (size_t i = 0; i < sizeof finals / sizeof *finals; i++)
        if (strcmp(status, finals[i]) == 0)
            return true;
    return false;
}

const char *envelope_kind_end(enum envelope_kind kind)
{
    return envelope_kind_has(kind, KIND_IS_MAIL) ? "read" : "finished";
}

const char *priority_name(enum priority priority)
{
    return (size_t)priority < PRIORITIES ? priorities[priority] : "normal";
}

bool priority_parse(const char *text, enum priority *priority)
{
    for (int i = 0; i < PRIORITIES; i++)
        if (strcasecmp(text, priorities[i]) == 0) {
            *priority = (enum priority)i;
            return true;
        }
    return false;
}

static bool kind_parse(const char *text, enum envelope_kind *kind)
{
    for (int i = 0; i < KINDS; i++)
        if (strcasecmp(text, kinds[i].name) == 0) {
            *kind = (enum envelope_kind)i;
            return true;
        }
    return false;
}

static bool is_address(const char *text)
{
    static const char *const prefixes[] = {"queue:", "segment:"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
            return names_agent(text + strlen(prefixes[i]));
    return names_agent(text);
}

/* Only a task's own id and sender may be any text: a person wrote them in queue.md, and no path is made of them without
 * names_file. Every other field here may become a path or a receiver. */
static bool is_allowed(const struct envelope *envelope, enum form form, const char *text)
{
    if (envelope->kind == KIND_TASK || (form != FORM_ID && form != FORM_ADDRESS))
        return *text != '\0';
    return form == FORM_ID ? names_id(text) : is_address(text);
}

static bool set_text(struct envelope *envelope, const struct field *field, const struct yaml_node *node)
{
    if (!is_allowed(envelope, field->form, node->text))
        return false;
    *(char **)((char *)envelope + field->offset) = memory_text(node->text);
    return true;
}

/* Quoted values, too: other programs often quote. */
static bool parse_count(const struct yaml_node *node, int64_t *count)
{
    struct yaml_node bare = *node;
    bare.quoted = false;
    return yaml_integer(&bare, count) && *count >= 0 && *count <= count_max;
}

static bool set_field(struct envelope *envelope, const struct field *field, const struct yaml_node *node)
{
    void *place = (char *)envelope + field->offset;
    int64_t count;
    if (node->kind != YAML_SCALAR)
        return false;
    switch (field->form) {
    case FORM_KIND:
        return kind_parse(node->text, place);
    case FORM_PRIORITY:
        return priority_parse(node->text, place);
    case FORM_TIME:
        return clock_parse(node->text, place);
    case FORM_COUNT:
    case FORM_VERSION:
        if (!parse_count(node, &count))
            return false;
        *(int64_t *)place = count;
        return true;
    default:
        return set_text(envelope, field, node);
    }
}

static const char *const forms[] = {
    [FORM_ID] = "1 to 128 of letters, digits, '-', '_' and '.'",
    [FORM_KIND] = "handoff, message, result, bounce, item, task or segment",
    [FORM_ADDRESS] = "an agent's name, queue:NAME or segment:NAME",
    [FORM_TIME] = "a time such as 2026-04-29T10:05:00Z",
    [FORM_COUNT] = "a whole number from 0",
    [FORM_VERSION] = "a whole number from 0",
    [FORM_PRIORITY] = "high, normal or low",
    [FORM_TEXT] = "text",
};

static bool read_head(struct envelope *envelope, const struct yaml_node *head, const char *name,
                      struct fault *fault)
{
    const struct yaml_node *kind = yaml_get(head, "kind");
    envelope->kind = KIND_HANDOFF;
    if (kind && kind->kind == YAML_SCALAR)
        kind_parse(kind->text, &envelope->kind); /* first: other fields are read by the kind */
    envelope->priority = PRIORITY_NORMAL;
    for (size_t i = 0; i < FIELDS; i++) {
        const struct field *field = &fields[i];
        const struct yaml_node *node = yaml_get(head, field->key);
        if (!node || yaml_is_null(node)) {
            if (field->required)
                return fault_set(fault, "%s:1:1: the envelope has no '%s'", name, field->key);
            if (field->form == FORM_COUNT)
                *(int64_t *)((char *)envelope + field->offset) = field->unset;
        } else if (!set_field(envelope, field, node)) {
            return fault_set(fault, "%s:%u:%u: '%s' must be %s", name, node->line, node->column, field->key,
                             forms[field->form]);
        }
    }
    if (!envelope->status)
        envelope->status = memory_text("pending");
    if (!envelope->trace)
        envelope->trace = memory_text(envelope->id);
    return true;
}

bool envelope_parse(struct envelope *envelope, const char *text, size_t length, const char *name,
                    struct fault *fault)
{
    *envelope = (struct envelope){0};
    if (length > ENVELOPE_FILE_MAX)
        return fault_set(fault, "%s: %zu bytes are too many for an envelope; at most %d are allowed", name,
                         length, ENVELOPE_MAX);
    if (memchr(text, '\0', length) || !utf8_valid(text, length))
        return fault_set(fault, "%s: the envelope is no UTF-8 text", name);
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    if (!frontmatter_parse(&matter, text, length, name, fault))
        return false;
    bool good = read_head(envelope, matter.head, name, fault);
    if (good)
        envelope->body = memory_slice(matter.body, matter.body_length);
    else
        envelope_free(envelope);
    return good;
}

bool envelope_fits(const struct envelope *envelope, size_t size)
{
    return size <= (envelope->delivered || envelope->read ? ENVELOPE_FILE_MAX : ENVELOPE_MAX);
}

static void print_time(struct buffer *out, const char *key, int64_t seconds)
{
    char text[CLOCK_TEXT];
    buffer_print(out, "%s: %s\n", key, clock_format(seconds, text));
}

static void print_field(struct buffer *out, const struct envelope *envelope, const struct field *field)
{
    const void *place = (const char *)envelope + field->offset;
    const char *text = NULL;
    switch (field->form) {
    case FORM_TIME:
        if (field->required || *(const int64_t *)place)
            print_time(out, field->key, *(const int64_t *)place);
        return;
    case FORM_COUNT:
        buffer_print(out, "%s: %" PRId64 "\n", field->key, *(const int64_t *)place);
        return;
    case FORM_VERSION:
        if (envelope->kind == KIND_SEGMENT)
            buffer_print(out, "%s: %" PRId64 "\n", field->key, *(const int64_t *)place);
        return;
    case FORM_KIND:
        text = envelope_kind_name(envelope->kind);
        break;
    case FORM_PRIORITY:
        text = priority_name(envelope->priority);
        break;
    default:
        text = *(char *const *)place;
    }
    if (text)
        yaml_write_text(out, field->key, text);
}

void envelope_print(const struct envelope *envelope, struct buffer *out)
{
    buffer_text(out, "---\n");
    for (size_t i = 0; i < FIELDS; i++)
        print_field(out, envelope, &fields[i]);
    buffer_text(out, "---\n");
    buffer_text(out, envelope->body ? envelope->body : "");
}

void envelope_free(struct envelope *envelope)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (fields[i].form == FORM_ID || fields[i].form == FORM_ADDRESS || fields[i].form == FORM_TEXT)
            free(*(char **)((char *)envelope + fields[i].offset));
    free(envelope->body);
    *envelope = (struct envelope){0};
}
