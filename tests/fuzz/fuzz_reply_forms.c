/* The round trip of a report: a report that is printed in any of the known forms reads back the same. The first bytes
 * choose the form and the keys; the rest, parted by NULs, are the texts. A text in quotes, in JSON or in a block of
 * lines comes back byte for byte; a text without quotes comes back whole, or not at all and with a fault. */
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "common/utf8.h"
#include "worker/reply/example.h"
#include "worker/reply/field.h"
#include "worker/reply/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHOICES = 8, LINE_MAX_LENGTH = 180, TEXT_MAX_LENGTH = 4000 };

enum style { JSON_ALONE, JSON_IN_BLOCK, LINES_QUOTED, LINES_PLAIN, BRACKETS_QUOTED, BRACKETS_PLAIN, STYLES };

/* In the order in which the texts are taken. */
enum part {
    PART_REASON,
    PART_DESCRIPTION,
    PART_BODY,
    PART_REFLECTION,
    PART_GOAL,
    PART_DONE,
    PART_TASK,
    PART_OTHER_TASK,
    PART_MESSAGE,
    PART_ITEM,
    PART_SEGMENT,
    PARTS
};

static const bool has_lines[PARTS] = {[PART_BODY] = true,
                                      [PART_OTHER_TASK] = true,
                                      [PART_MESSAGE] = true,
                                      [PART_ITEM] = true,
                                      [PART_SEGMENT] = true};

struct report {
    enum style style;
    char *texts[PARTS]; /* owned; NULL: the key is not there */
    char *answer;
    uint8_t choice[CHOICES];
};

static const struct wrap {
    const char *open, *close;
} wraps[] = {{"```agentos\n", "\n```"},      {"~~~agentos\n", "\n~~~"},
             {"````agentos\n", "\n````"},    {"```yaml\n", "\n```"},
             {"```json\n", "\n```"},         {"<agentos>\n", "\n</agentos>"},
             {"```yaml agentos\n", "\n```"}, {"```agentos\n", ""},
             {"```\nagentos\n", "\n```"},    {"<agentos>\n```yaml\n", "\n```\n</agentos>"}};

static const struct wrap *wrap_of(const struct report *report)
{
    return &wraps[report->choice[1] % (sizeof wraps / sizeof *wraps)];
}

/* --- texts that a report may have --- */

/* One line, or lines without blanks at their ends; no control characters. */
static char *clean_text(const char *from, size_t length, bool lines, size_t most)
{
    OWNED char *valid = utf8_clean(from, length);
    struct buffer out = {0};
    struct span line, whole = span_of(valid);
    for (size_t at = 0; span_line(whole, &at, &line);) {
        size_t start = out.length;
        for (size_t i = 0; i < line.length; i++) {
            unsigned char c = (unsigned char)line.text[i];
            buffer_add(&out, c < 0x20 || c == 0x7f ? " " : &line.text[i], 1);
        }
        struct span kept = {out.data ? out.data + start : "", out.length - start};
        struct span bare = span_trim(kept);
        out.length = start + (bare.length ? (size_t)(bare.text - kept.text) + bare.length : 0);
        buffer_text(&out, lines ? "\n" : " ");
    }
    struct span trimmed = span_trim((struct span){out.data ? out.data : "", out.length});
    trimmed.length = utf8_cut(trimmed.text, trimmed.length, most);
    trimmed = span_trim(trimmed);
    char *text = memory_slice(trimmed.text, trimmed.length);
    buffer_free(&out);
    return text;
}

/* "none", the example's texts, and what marks a block are no texts of a report. */
static bool is_text(const struct report *report, enum part part, const char *text)
{
    struct field field = {.text = (char *)text};
    bool box = *text == '[' && text[1] && strchr(" xX", text[1]) && text[2] == ']';
    if (box && (part == PART_GOAL || part == PART_DONE))
        return false; /* a goal's box is no part of it (worker/reply/lists.c) */
    if (strstr(text, "<|start|>assistant") || strstr(text, "<|end|>") || strstr(text, "<|return|>"))
        return false; /* between a model's messages: a channel may begin behind it */
    if (!*wrap_of(report)->close && (strstr(text, "```") || strstr(text, "~~~") || strpbrk(text, "<[")))
        return false; /* where a block without an end ends, and a stop token begins, is a guess with such a text */
    return *text && !field_is_none(&field) && !example_is(text) && !strcasestr(text, "agentos");
}

/* Without quotes: begins with a letter, so it is no list, bracket, quote or header, and has no comment. */
static bool is_plain(const struct report *report, enum part part, const char *text)
{
    struct span key, value, rest = span_of(text);
    bool letter = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z');
    if (report->style != LINES_PLAIN && report->style != BRACKETS_PLAIN)
        return true;
    if (!letter || strstr(text, " #") || strchr("\"'`*_,", text[strlen(text) - 1]))
        return false;
    if (report->style == LINES_PLAIN)
        return true;
    if (part == PART_GOAL || part == PART_DONE)
        return !strpbrk(text, ",]}");
    for (const char *comma = text; (comma = strchr(comma, ',')) != NULL;
         comma++) /* the next key, or the text's own? */
        if (span_key(span_left(span_from(rest, (size_t)(comma + 1 - text))), &key, &value))
            return false;
    return !strpbrk(text, "\n") && !strstr(text, "//") && !strstr(text, "/*") && !strpbrk(text, "]}");
}

static void take_texts(struct report *report, const uint8_t *data, size_t size)
{
    const char *at = (const char *)data, *end = at + size;
    for (int part = -1; part < PARTS && at <= end; part++) {
        const char *stop = memchr(at, '\0', (size_t)(end - at));
        size_t length = (size_t)((stop ? stop : end) - at);
        bool lines = part < 0 || (has_lines[part] && report->style != BRACKETS_PLAIN);
        char *text = clean_text(at, length, lines, lines ? TEXT_MAX_LENGTH : LINE_MAX_LENGTH);
        if (part < 0) {
            report->answer = strpbrk(text, "`~<[{|>#=-") || strcasestr(text, "agentos") ||
                                     memmem(text, strlen(text), "\xe2\x97", 2)
                                 ? memory_text("The answer.")
                                 : memory_print("The answer. %s", text);
            char *trimmed = memory_slice(report->answer, span_trim(span_of(report->answer)).length);
            free(report->answer);
            report->answer = trimmed;
        } else if (is_text(report, (enum part)part, text) &&
                   (lines || is_plain(report, (enum part)part, text))) {
            report->texts[part] = memory_text(text);
        }
        free(text);
        at = stop ? stop + 1 : end + 1;
    }
    if (report->texts[PART_DESCRIPTION] && !report->texts[PART_BODY])
        report->texts[PART_BODY] = memory_text("Do it.");
}

/* --- printed as JSON --- */

static json_t *entry(const char *where, const char *name, const char *key, const char *text)
{
    return json_pack("{s:s, s:s}", where, name, key, text);
}

static void add(json_t *list, json_t *item)
{
    json_array_append_new(list, item);
}

static json_t *as_json(const struct report *report)
{
    char *const *texts = report->texts;
    json_t *object = json_pack("{s:i}", "reward", 1), *list = json_array();
    if (report->style == JSON_ALONE)
        json_object_set_new(object, "answer", json_string(report->answer));
    if (texts[PART_REASON])
        json_object_set_new(object, "reason", json_string(texts[PART_REASON]));
    if (texts[PART_BODY])
        json_object_set_new(object, "skill",
                            json_pack("{s:s, s:s*, s:s}", "name", "some-skill", "description",
                                      texts[PART_DESCRIPTION], "body", texts[PART_BODY]));
    if (texts[PART_REFLECTION])
        json_object_set_new(object, "reflection", json_string(texts[PART_REFLECTION]));
    if (texts[PART_GOAL] || texts[PART_DONE])
        json_object_set_new(object, "goals",
                            json_pack("{s:[s*], s:[s*]}", "add", texts[PART_GOAL], "done", texts[PART_DONE]));
    if (texts[PART_TASK])
        add(list, json_pack("{s:s, s:s, s:i, s:s}", "to", "iris", "task", texts[PART_TASK], "ttl_seconds", 60,
                            "priority", "high"));
    if (texts[PART_OTHER_TASK])
        add(list, entry("to", "nova", "task", texts[PART_OTHER_TASK]));
    json_object_set_new(object, "handoffs", list);
    if (texts[PART_MESSAGE])
        json_object_set_new(object, "messages",
                            json_pack("[o]", entry("to", "nova", "body", texts[PART_MESSAGE])));
    if (texts[PART_ITEM])
        json_object_set_new(object, "enqueue",
                            json_pack("[o]", entry("queue", "reviews", "task", texts[PART_ITEM])));
    if (texts[PART_SEGMENT])
        json_object_set_new(object, "segments",
                            json_pack("[{s:s, s:s, s:i}]", "name", "glossary", "body", texts[PART_SEGMENT],
                                      "base_version", 3));
    return object;
}

/* --- printed as YAML --- */

static void add_quoted(struct buffer *out, const char *text, bool single)
{
    if (!single || strchr(text, '\n')) {
        json_t *string = json_string(text);
        OWNED char *dump = json_dumps(string, JSON_ENCODE_ANY);
        json_decref(string);
        buffer_text(out, dump);
        return;
    }
    buffer_text(out, "'");
    for (; *text; text++)
        buffer_text(out, *text == '\'' ? "''" : (char[]){*text, '\0'});
    buffer_text(out, "'");
}

/* A value behind its key; lines: of a block, so much deeper than the edge. */
static void add_value(struct buffer *out, const struct report *report, enum part part, size_t column)
{
    const char *text = report->texts[part];
    bool quoted = report->style == LINES_QUOTED || report->style == BRACKETS_QUOTED;
    if (quoted && !(has_lines[part] && (report->choice[4] & 1) && report->style == LINES_QUOTED)) {
        add_quoted(out, text, report->choice[4] & 2);
        return;
    }
    if (!has_lines[part] || report->style == BRACKETS_PLAIN) {
        buffer_text(out, text);
        return;
    }
    buffer_text(out, "|");
    struct span line, whole = span_of(text);
    for (size_t at = 0; span_line(whole, &at, &line);)
        buffer_print(out, "\n%*s%.*s", line.length ? (int)column : 0, "", (int)line.length, line.text);
}

/* Entries of a list: "- to: iris" and what belongs to it, each key on its own line or all of them in brackets. */
static void add_entry(struct buffer *out, const struct report *report, const char *where, const char *name,
                      const char *key, enum part part, const char *more)
{
    bool brackets = report->style >= BRACKETS_QUOTED;
    int deep = report->choice[5] % 3;
    if (!report->texts[part])
        return;
    if (brackets) {
        buffer_print(out, "%s{%s: %s, %s: ", out->data[out->length - 1] == '[' ? "" : ", ", where, name, key);
        add_value(out, report, part, 0);
        buffer_print(out, "%s%s}", *more ? ", " : "", more);
        return;
    }
    buffer_print(out, "\n%*s- %s: %s\n%*s%s: ", deep, "", where, name, deep + 2, "", key);
    add_value(out, report, part, (size_t)deep + 4);
    if (*more)
        buffer_print(out, "\n%*s%s", deep + 2, "", more);
}

static void add_list(struct buffer *out, const struct report *report, const char *key)
{
    buffer_print(out, "\n%s:%s", key, report->style >= BRACKETS_QUOTED ? " [" : "");
}

static void end_list(struct buffer *out, const struct report *report)
{
    buffer_text(out, report->style >= BRACKETS_QUOTED ? "]" : "");
}

static void add_goals(struct buffer *out, const struct report *report, const char *key, enum part part)
{
    bool brackets = report->style >= BRACKETS_QUOTED;
    if (!report->texts[part])
        return;
    if (brackets)
        buffer_print(out, "%s%s: [", out->data[out->length - 1] == '{' ? "" : ", ", key);
    else
        buffer_print(out, "\n  %s:\n    - ", key);
    add_value(out, report, part, 0);
    buffer_text(out, brackets ? "]" : "");
}

static void as_yaml(const struct report *report, struct buffer *out)
{
    char *const *texts = report->texts;
    bool brackets = report->style >= BRACKETS_QUOTED;
    buffer_text(out, "reward: 1");
    if (texts[PART_REASON]) {
        buffer_text(out, "\nreason: ");
        add_value(out, report, PART_REASON, 0);
    }
    if (texts[PART_BODY]) {
        buffer_text(out, brackets ? "\nskill: {name: some-skill" : "\nskill:\n  name: some-skill");
        if (texts[PART_DESCRIPTION]) {
            buffer_text(out, brackets ? ", description: " : "\n  description: ");
            add_value(out, report, PART_DESCRIPTION, 0);
        }
        buffer_text(out, brackets ? ", body: " : "\n  body: ");
        add_value(out, report, PART_BODY, 4);
        buffer_text(out, brackets ? "}" : "");
    }
    if (texts[PART_REFLECTION]) {
        buffer_text(out, "\nreflection: ");
        add_value(out, report, PART_REFLECTION, 0);
    }
    if (texts[PART_GOAL] || texts[PART_DONE]) {
        buffer_text(out, brackets ? "\ngoals: {" : "\ngoals:");
        add_goals(out, report, "add", PART_GOAL);
        add_goals(out, report, "done", PART_DONE);
        buffer_text(out, brackets ? "}" : "");
    }
    if (texts[PART_TASK] || texts[PART_OTHER_TASK]) {
        const char *more = brackets                     ? "ttl_seconds: 60, priority: high"
                           : report->choice[5] % 3 == 2 ? "ttl_seconds: 60\n    priority: high"
                           : report->choice[5] % 3 == 1 ? "ttl_seconds: 60\n   priority: high"
                                                        : "ttl_seconds: 60\n  priority: high";
        add_list(out, report, "handoffs");
        add_entry(out, report, "to", "iris", "task", PART_TASK, more);
        add_entry(out, report, "to", "nova", "task", PART_OTHER_TASK, "");
        end_list(out, report);
    }
    if (texts[PART_MESSAGE]) {
        add_list(out, report, "messages");
        add_entry(out, report, "to", "nova", "body", PART_MESSAGE, "");
        end_list(out, report);
    }
    if (texts[PART_ITEM]) {
        add_list(out, report, "enqueue");
        add_entry(out, report, "queue", "reviews", "task", PART_ITEM, "");
        end_list(out, report);
    }
    if (texts[PART_SEGMENT]) {
        add_list(out, report, "segments");
        add_entry(out, report, "name", "glossary", "body", PART_SEGMENT, "base_version: 3");
        end_list(out, report);
    }
}

/* --- the whole reply --- */

static void print_reply(const struct report *report, struct buffer *out)
{
    static const char *const tails[] = {"\n", "", "<|im_end|>", "\n<|eot_id|>\n", "</s>"};
    OWNED_BUFFER struct buffer block = {0};
    if (report->style <= JSON_IN_BLOCK) {
        json_t *object = as_json(report);
        OWNED char *dump = json_dumps(object, report->choice[2] & 1 ? JSON_INDENT(2) : 0);
        json_decref(object);
        buffer_text(&block, dump);
    } else {
        as_yaml(report, &block);
    }
    const struct wrap *wrap = wrap_of(report);
    if (report->style == JSON_ALONE)
        buffer_text(out, block.data);
    else
        buffer_print(out, "%s\n\n%s%s%s", report->answer, wrap->open, block.data, wrap->close);
    buffer_text(out, tails[report->choice[3] % 5]);
}

/* --- read back --- */

static const struct reply_send *sent(const struct reply *reply, enum envelope_kind kind, const char *to)
{
    for (size_t i = 0; i < reply->send_count; i++)
        if (reply->sends[i].kind == kind && strcmp(reply->sends[i].to, to) == 0)
            return &reply->sends[i];
    return NULL;
}

static const char *text_of(const struct reply *reply, enum part part)
{
    const struct reply_send *send = NULL;
    switch (part) {
    case PART_REASON:
        return reply->reason;
    case PART_DESCRIPTION:
        return reply->skill.description;
    case PART_BODY:
        return reply->skill.body;
    case PART_REFLECTION:
        return reply->reflection;
    case PART_GOAL:
        return reply->goals_add.count == 1 ? reply->goals_add.items[0] : NULL;
    case PART_DONE:
        return reply->goals_done.count == 1 ? reply->goals_done.items[0] : NULL;
    case PART_TASK:
        send = sent(reply, KIND_HANDOFF, "iris");
        return send && send->ttl_seconds == 60 && send->priority == PRIORITY_HIGH ? send->text : NULL;
    case PART_OTHER_TASK:
        send = sent(reply, KIND_HANDOFF, "nova");
        return send ? send->text : NULL;
    case PART_MESSAGE:
        send = sent(reply, KIND_MESSAGE, "nova");
        return send ? send->text : NULL;
    case PART_ITEM:
        send = sent(reply, KIND_ITEM, "reviews");
        return send ? send->text : NULL;
    default:
        return reply->segment_count == 1 && reply->segments[0].base_version == 3 ? reply->segments[0].body
                                                                                 : NULL;
    }
}

static void wrong(const struct report *report, const struct buffer *text, const struct reply *reply, int part)
{
    const char *wanted = part < 0 ? report->answer : report->texts[part];
    const char *got = part < 0 ? reply->answer : text_of(reply, (enum part)part);
    fprintf(stderr, "--- reply, style %d\n%s\n--- part %d, wanted\n%s\n--- got\n%s\n--- faults\n%s\n",
            report->style, text->data, part, wanted ? wanted : "(none)", got ? got : "(none)",
            reply->faults ? reply->faults : "(none)");
    abort();
}

static void compare(const struct report *report, const struct buffer *text, const struct reply *reply)
{
    bool loose = report->style == LINES_PLAIN || report->style == BRACKETS_PLAIN;
    if (!reply->structured || reply->reward != 1 || strcmp(reply->answer, report->answer) != 0)
        wrong(report, text, reply, -1);
    for (int part = 0; part < PARTS; part++) {
        const char *wanted = report->texts[part], *got = text_of(reply, (enum part)part);
        if (part == PART_DESCRIPTION && !wanted)
            continue; /* the body's first line */
        bool same = wanted && got ? strcmp(wanted, got) == 0 : !wanted && !got;
        bool told = loose && !got && reply->faults;
        if (!same && !told)
            wrong(report, text, reply, part);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct report report = {0};
    struct reply reply;
    OWNED_BUFFER struct buffer text = {0};
    if (size < CHOICES)
        return 0;
    memcpy(report.choice, data, CHOICES);
    report.style = (enum style)(data[0] % STYLES);
    take_texts(&report, data + CHOICES, size - CHOICES);
    print_reply(&report, &text);
    reply_parse(&reply, text.data, text.length, "stop");
    compare(&report, &text, &reply);
    reply_free(&reply);
    free(report.answer);
    for (size_t part = 0; part < PARTS; part++)
        free(report.texts[part]);
    return 0;
}
