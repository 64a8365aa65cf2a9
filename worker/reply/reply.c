#include "worker/reply/reply.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/memory.h"
#include "common/utf8.h"
#include "worker/reply/block.h"
#include "worker/reply/example.h"
#include "worker/reply/flow.h"
#include "worker/reply/keys.h"
#include "worker/reply/marks.h"
#include "worker/reply/reading.h"
#include "worker/reply/reward.h"

/* Bytes of each text that are kept; a longer one is cut with a fault. */
enum { REASON_MAX = 500, REFLECTION_MAX = 1000 };

/* --- the fields of a report --- */

/* Of a key that stands several times the last one that says something counts; another text before it is told. */
static const struct field *last_of(struct reading *reading, const struct fields *report, enum report_key key)
{
    const struct field *last = NULL;
    for (size_t i = 0; i < report->count; i++) {
        const struct field *field = &report->items[i];
        if (field->key != (int)key || (key != KEY_REWARD && field_is_none(field)))
            continue;
        OWNED char *earlier = last ? field_text(last) : NULL, *text = field_text(field);
        if (earlier && strcmp(earlier, text) != 0)
            reading_complain(reading, "%s stands twice; \"%.80s\" was not used", field->name, earlier);
        last = field;
    }
    return last;
}

/* "1; reason: it worked": the reward's words are dropped, but not a key among them. */
static void tell_keys(struct reading *reading, const char *reward)
{
    struct fields fields;
    const char *rest = reward + strcspn(reward, ";,|");
    fields_read(&fields, span_of(*rest ? rest + 1 : rest), report_keys);
    for (size_t i = 0; i < fields.count; i++)
        if (fields.items[i].key >= 0)
            reading_complain(
                reading,
                "behind the reward stands \"%.80s: %.80s\", which was not used: a key has a line "
                "of its own",
                fields.items[i].name, fields.items[i].text);
    fields_free(&fields);
}

static void read_reward(struct reading *reading, const struct fields *report)
{
    struct reply *reply = reading->reply;
    const struct field *field = last_of(reading, report, KEY_REWARD);
    OWNED char *bracketed = field && field_is_bracketed(field) ? field_text(field) : NULL;
    OWNED char *line = bracketed ? NULL : reading_line(reading, "reward", field, REASON_MAX);
    const char *text = bracketed ? bracketed : line;
    if (!text)
        reading_complain(reading, "no reward was given, so it is 0");
    else if (line && reward_read(span_of(text), &reply->reward)) {
        reply->reward_given = true;
        tell_keys(reading, line);
    } else
        reading_complain(reading, "the reward is malformed and counts as 0: \"%.80s\" is none of 1, 0 and -1",
                         text);
}

static void read_reason(struct reading *reading, const struct fields *report)
{
    OWNED char *text = reading_line(reading, "reason", last_of(reading, report, KEY_REASON), REASON_MAX);
    if (!reading_is_example(reading, "reason", text))
        reading->reply->reason = text ? memory_text(text) : NULL;
}

static void add_reflection(struct reading *reading, const struct field *entry, struct buffer *out)
{
    OWNED char *text =
        field_is_none(entry) ? NULL : reading_line(reading, "reflection", entry, REFLECTION_MAX);
    if (!text || reading_is_example(reading, "reflection", text))
        return;
    buffer_text(out, out->length ? "; " : "");
    buffer_text(out, text);
}

/* Each reflection, also of a list, in one line. */
static void read_reflection(struct reading *reading, const struct fields *report)
{
    OWNED_BUFFER struct buffer all = {0};
    for (size_t i = 0; i < report->count; i++) {
        const struct field *field = &report->items[i];
        if (field->key != KEY_REFLECTION)
            continue;
        struct fields entries = {0};
        struct span text = span_left(span_of(field->text));
        if (!field->literal && text.length && (*text.text == '[' || span_bullet(text)))
            fields_entries(&entries, span_of(field->text), NULL);
        if (entries.count == 0)
            add_reflection(reading, field, &all);
        for (size_t entry = 0; entry < entries.count; entry++)
            add_reflection(reading, &entries.items[entry], &all);
        reading_tell_rest(reading, "reflection", &entries);
        fields_free(&entries);
    }
    reading->reply->reflection =
        all.length ? reading_limit(reading, "reflection", buffer_take(&all), REFLECTION_MAX) : NULL;
}

/* With a reason of its own, or with nothing that is the example's, a reward is the model's own. */
static void judge_echo(struct reading *reading)
{
    struct reply *reply = reading->reply;
    if (!reading->echoed || reply->reason || !reply->reward_given)
        return;
    reading_complain(reading, "the reward is the prompt's example too and counts as 0");
    reply->reward = 0;
}

static void read_report(struct reading *reading, const struct fields *report, bool cut)
{
    reading->reply->structured = true;
    if (report->count == 0)
        reading_complain(reading, "the block is no list of 'key: value' lines");
    read_reward(reading, report);
    read_reason(reading, report);
    read_reflection(reading, report);
    if (cut) { /* any text may lack its end: a half task must not go to somebody, nor half a skill be kept */
        judge_echo(reading);
        return;
    }
    for (size_t i = 0; i < report->count; i++)
        if (report->items[i].key == KEY_SKILL && !field_is_none(&report->items[i]))
            reply_skill_read(reading, &report->items[i]);
    reply_lists_read(reading, report);
    judge_echo(reading);
    reading_tell_rest(reading, "the block", report);
}

/* --- the reports of a reply --- */

/* The fields of one block join the report; those under a key agentos are the block's own. A block with the example's
 * reason is the example: its reward means nothing beside another block's. */
static void join(struct reading *reading, struct fields *report, struct fields *block)
{
    bool echo = false;
    for (size_t i = 0; i < block->count; i++) {
        OWNED char *text = block->items[i].key == KEY_REASON ? field_text(&block->items[i]) : NULL;
        echo = echo || example_is(text);
    }
    for (size_t i = 0; i < block->count; i++) {
        struct field *field = &block->items[i];
        struct fields within;
        if (field->key == KEY_AGENTOS) {
            fields_read(&within, span_of(field->text), report_keys);
            join(reading, report, &within);
        } else if (!(echo && field->key == KEY_REWARD && report->count)) {
            fields_add(report, field->key, span_of(field->name), span_of(field->text))->literal =
                field->literal;
        }
    }
    if (block->open)
        reading_complain(reading, "a bracket of the block is not closed");
    buffer_add(&report->stray, block->stray.data, block->stray.length);
    fields_free(block);
}

static char *trimmed(struct span text)
{
    text = span_trim(text);
    return memory_slice(text.text, text.length);
}

/* The last line in front of a block, when it only announces it: "agentos:", "## agentos" or "---". */
static struct span without_heading(struct span text)
{
    text = span_trim(text);
    const char *feed = memrchr(text.text, '\n', text.length);
    struct span last = feed ? span_from(text, (size_t)(feed + 1 - text.text)) : text;
    bool heading =
        span_means(last, "agentos|agentos_block") || (last.length == 3 && span_starts(last, "---"));
    return heading ? span_trim(span_first(text, (size_t)(last.text - text.text))) : text;
}

static void add_piece(struct buffer *out, struct span piece)
{
    piece = span_trim(piece);
    if (piece.length == 0)
        return;
    buffer_text(out, out->length ? "\n\n" : "");
    buffer_add(out, piece.text, piece.length);
}

/* The text around the blocks, and what the report itself calls the answer, unless that is said there already. */
static char *answer_of(struct reading *reading, struct fields *report, struct span before, struct span after)
{
    OWNED_BUFFER struct buffer out = {0};
    add_piece(&out, without_heading(before));
    for (size_t i = 0; i < report->count; i++) {
        OWNED char *own = report->items[i].key == KEY_ANSWER ? field_text(&report->items[i]) : NULL;
        if (own && field_is_bracketed(&report->items[i]))
            reading_complain(reading, "the answer is no text");
        if (own && !(out.data && strstr(out.data, own)))
            add_piece(&out, span_of(own));
    }
    add_piece(&out, marks_strip_tokens(after));
    if (out.length == 0 && report->stray.length) { /* the whole reply stood in the block's fence */
        add_piece(&out, (struct span){report->stray.data, report->stray.length});
        buffer_free(&report->stray);
    }
    return buffer_take(&out);
}

static void read_blocks(struct reading *reading, struct span text, struct reply_blocks *blocks, bool cut)
{
    struct fields report = {0}, block;
    const struct reply_block *last = &blocks->items[blocks->count - 1];
    for (size_t i = 0; i < blocks->count; i++) {
        fields_read(&block, span_of(blocks->items[i].inner), report_keys);
        join(reading, &report, &block);
    }
    struct span before = span_first(text, blocks->items[0].start), after = span_from(text, last->end);
    if (blocks->stop) {
        if (!span_empty(marks_strip_tokens(after)))
            reading_complain(reading, "text behind the end of the model's turn was not used");
        after = span_first(after, 0);
    }
    reading->reply->answer = answer_of(reading, &report, before, after);
    read_report(reading, &report, cut && !last->closed);
    fields_free(&report);
}

/* --- JSON --- */

/* Words around a JSON reply that are no more than politeness, or the fence that it stands in. */
static bool is_politeness(struct span text)
{
    enum { POLITE = 200 };
    text = span_trim(text);
    return text.length <= POLITE && !memmem(text.text, text.length, "\n\n", 2);
}

/* Without the fence that opens before or closes behind the object. */
static struct span without_fence(struct span text, bool before)
{
    struct span line;
    struct fence fence;
    text = span_trim(text);
    const char *feed = before ? memrchr(text.text, '\n', text.length) : memchr(text.text, '\n', text.length);
    size_t edge = feed ? (size_t)(feed - text.text) : before ? 0 : text.length;
    line = before ? span_trim(span_from(text, edge)) : span_first(text, edge);
    if (!span_fence(line, &fence, NULL))
        return text;
    return before ? span_first(text, edge) : span_from(text, edge);
}

static bool use_object(struct reading *reading, struct span text, size_t start, bool cut)
{
    struct fields object = {0}, report = {0};
    size_t end;
    if (!flow_fields(&object, span_from(text, start), report_keys, &end))
        return false;
    bool open = object.open;
    join(reading, &report, &object);
    const struct field *answer = fields_find(&report, KEY_ANSWER);
    bool rewarded = fields_find(&report, KEY_REWARD) != NULL;
    struct span before = without_fence(span_first(text, start), true);
    struct span after = without_fence(marks_strip_tokens(span_from(text, start + end)), false);
    bool data = !rewarded && (!span_empty(before) || (answer && field_is_bracketed(answer)));
    for (size_t i = 0; i < report.count; i++)
        data = data || (!rewarded && report.items[i].key == FIELD_UNKNOWN);
    bool whole = answer && !data;
    if (!whole && !(rewarded && is_politeness(after))) {
        fields_free(&report);
        return false;
    }
    if (whole && is_politeness(before) && is_politeness(after) && !memchr(after.text, '{', after.length))
        before = after = (struct span){"", 0};
    reading->reply->answer = answer_of(reading, &report, before, after);
    read_report(reading, &report, cut && open);
    fields_free(&report);
    return true;
}

/* The reply, or its end, as one JSON object that begins before `limit`. */
static bool read_object(struct reading *reading, struct span text, size_t limit, bool cut)
{
    enum { TRIES = 8 };
    size_t at = 0;
    for (int tries = 0; tries < TRIES; tries++) {
        const char *brace = at < limit ? memchr(text.text + at, '{', limit - at) : NULL;
        if (!brace)
            return false;
        at = (size_t)(brace - text.text);
        struct span key, value, inner = span_left(span_from(text, at + 1));
        size_t faults = reading->faults.length;
        bool keyed = span_key(inner, &key, &value) && !memchr(key.text, '\n', key.length);
        bool commented = span_starts(inner, "/") || span_starts(inner, "#");
        if ((keyed || commented) && use_object(reading, text, at, cut))
            return true;
        reading->faults.length = faults;
        at++;
    }
    return false;
}

/* --- the whole --- */

/* A fence around the whole reply, the block in it: the text within, or all of it. */
static struct span without_wrapper(struct span text)
{
    struct span line, inside;
    struct fence open, close, inner;
    struct reply_blocks blocks;
    size_t at = 0;
    text = span_trim(text);
    const char *feed = memrchr(text.text, '\n', text.length);
    if (!feed || !span_line(text, &at, &line) || !span_fence(line, &open, NULL) ||
        (open.info_length && strncasecmp(open.info, "markdown", 8) != 0 &&
         strncasecmp(open.info, "md", 2) != 0 && strncasecmp(open.info, "text", 4) != 0))
        return text;
    struct span last = span_from(text, (size_t)(feed + 1 - text.text));
    bool closed = span_fence(last, &close, NULL) && markdown_closes(&open, &close);
    inside = span_from(text, at);
    inside.length -= closed ? last.length : 0;
    reply_blocks_find(&blocks, inside);
    bool wraps = blocks.count && blocks.items[0].marked &&
                 span_empty(span_from(inside, blocks.items[blocks.count - 1].end));
    struct fence_memory hopeless = {0};
    struct span front = span_first(inside, wraps ? blocks.items[0].start : 0);
    size_t line_at = 0, from = 0, code;
    for (; wraps && span_line(front, &line_at, &line); from = line_at) {
        if ((code = span_code_end(front, from, &hopeless)) > 0)
            line_at = code;
        else if (span_fence(line, &inner, NULL))
            wraps = false; /* it closes the first fence: that is a piece of the answer */
    }
    reply_blocks_free(&blocks);
    return wraps ? inside : text;
}

static bool is_cut(const char *finish_reason)
{
    return strcasecmp(finish_reason, "length") == 0 || strcasecmp(finish_reason, "max_tokens") == 0;
}

/* A marked block is what was asked for; else an object; else a fence or lines at the end that can only be the report. */
static void read_any(struct reading *reading, struct span text, bool cut)
{
    struct reply_blocks blocks;
    text = without_wrapper(text);
    reply_blocks_find(&blocks, text);
    bool marked = blocks.count && blocks.items[0].marked;
    bool lines = blocks.count && *span_left(span_of(blocks.items[0].inner)).text != '{';
    size_t limit =
        lines ? blocks.items[0].start : text.length; /* a brace in a block's text begins no object */
    if (marked || !read_object(reading, text, limit, cut)) {
        if (!blocks.count) {
            reply_blocks_free(&blocks);
            reply_blocks_unfenced(&blocks, text);
        }
        if (blocks.count)
            read_blocks(reading, text, &blocks, cut);
        else
            reading->reply->answer = trimmed(text);
    }
    reply_blocks_free(&blocks);
}

static void read_text(struct reading *reading, struct span text, const char *finish_reason)
{
    struct reply *reply = reading->reply;
    struct span front;
    bool endless;
    text = marks_skip_thoughts(marks_strip_tokens(text), &front, &endless);
    if (endless)
        reading_complain(reading, "the model's thoughts never end, so nothing in them counts");
    text = marks_strip_tokens(text);
    OWNED char *unquoted = marks_unquote(text);
    text = unquoted ? span_of(unquoted) : text;
    if (strcasecmp(finish_reason, "refusal") == 0)
        reply->answer = trimmed(text);
    else
        read_any(reading, text, is_cut(finish_reason));
    if (*reply->answer == '\0' && !span_empty(front)) { /* the answer stood in front of the thoughts */
        free(reply->answer);
        reply->answer = trimmed(front);
    }
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
    if (length > REPLY_MAX) {
        reading_complain(&reading, "the reply has %zu bytes; %d were read", length, REPLY_MAX);
        length = REPLY_MAX;
    }
    OWNED char *clean = utf8_valid(text, length) && !memchr(text, '\0', length) ? memory_slice(text, length)
                                                                                : utf8_clean(text, length);
    read_text(&reading, span_of(clean), finish_reason);
    judge(&reading, finish_reason);
    reply->faults = reading_faults(&reading);
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
