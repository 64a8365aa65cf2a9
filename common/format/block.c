#include "common/format/block.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/format/block_stray.h"
#include "common/memory.h"
#include "common/tree.h"
#include "common/utf8.h"

enum field { FIELD_TASK, FIELD_PRIORITY, FIELD_CREATED, FIELD_TTL, FIELD_LOCK, FIELD_FROM, FIELD_COUNT };

static const struct {
    const char *name;
    size_t length;
} fields[FIELD_COUNT] = {
    [FIELD_TASK] = {"task", 4},        [FIELD_PRIORITY] = {"priority", 8}, [FIELD_CREATED] = {"created", 7},
    [FIELD_TTL] = {"ttl_seconds", 11}, [FIELD_LOCK] = {"lock", 4},         [FIELD_FROM] = {"from", 4},
};

static const char byte_order_mark[] = "\xef\xbb\xbf";
enum { MARK_SIZE = 3 };

struct slice {
    const char *at;
    size_t length;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

static struct slice trim(struct slice s)
{
    while (s.length && is_blank(s.at[0])) {
        s.at++;
        s.length--;
    }
    while (s.length && is_blank(s.at[s.length - 1]))
        s.length--;
    return s;
}

/* The line at `offset`, without its end; *next is where the following one starts. */
static struct slice line_at(struct slice text, size_t offset, size_t *next)
{
    const char *start = text.at + offset, *behind;
    const char *end = stray_line_end(start, text.at + text.length, &behind);
    *next = (size_t)(behind - text.at);
    return (struct slice){start, (size_t)(end - start)};
}

/* A CR that ends a line alone stays what it is in a text. */
static const char *line_end(struct slice text, size_t next)
{
    return next && text.at[next - 1] == '\r' ? "\r" : "\n";
}

static bool line_is_blank(struct slice line)
{
    return trim(line).length == 0;
}

static size_t indentation(struct slice line)
{
    size_t blanks = 0;
    while (blanks < line.length && (line.at[blanks] == ' ' || line.at[blanks] == '\t'))
        blanks++;
    return blanks;
}

/* The known field that a line begins with, and its value; -1: none. `task::spawn()` and `task:= 1` are code. */
static int field_of(struct slice line, struct slice *value)
{
    if (line.length < 5 || line.at[0] < 'c' || line.at[0] > 't')
        return -1; /* most lines; the shortest is "task:" */
    for (int i = 0; i < FIELD_COUNT; i++) {
        size_t length = fields[i].length;
        if (line.length <= length || line.at[length] != ':' || memcmp(line.at, fields[i].name, length) != 0)
            continue;
        char after = line.length > length + 1 ? line.at[length + 1] : ' ';
        if (after == ':' || after == '=')
            return -1;
        *value = trim((struct slice){line.at + length + 1, line.length - length - 1});
        return i;
    }
    return -1;
}

/* The field that the next line with text begins with, -1: none. */
static int field_after(struct slice text, size_t offset)
{
    while (offset < text.length) {
        struct slice value, line = line_at(text, offset, &offset);
        if (!line_is_blank(line))
            return field_of(line, &value);
    }
    return -1;
}

/* `## ID` at the line's start, behind a byte-order mark if there is one (files that were joined with cat), or behind the
 * second half of UTF-16's last line end. */
static bool header_of(struct slice line, struct slice *id)
{
    if (line.length && line.at[0] == '\0')
        line = (struct slice){line.at + 1, line.length - 1};
    if (line.length >= MARK_SIZE && memcmp(line.at, byte_order_mark, MARK_SIZE) == 0)
        line = (struct slice){line.at + MARK_SIZE, line.length - MARK_SIZE};
    if (line.length < 2 || line.at[0] != '#' || line.at[1] != '#')
        return false;
    if (line.length > 2 && !is_blank(line.at[2]))
        return false;
    *id = trim((struct slice){line.at + 2, line.length - 2});
    return true;
}

/* A header that stands behind a line without its newline: what `printf '## a\ntask: x' >>` twice leaves. Returns the
 * offset in the line, 0: none. The id is one word; that the next line repeats a field is the caller's to see. */
static size_t glued_header(struct slice line, struct slice *id)
{
    for (size_t i = 1; i + 3 < line.length; i++) {
        const char *hash = memchr(line.at + i, '#', line.length - 3 - i);
        if (!hash)
            return 0;
        i = (size_t)(hash - line.at);
        if (hash[1] != '#' || (hash[2] != ' ' && hash[2] != '\t') || hash[-1] == '#' || is_blank(hash[-1]))
            continue;
        *id = trim((struct slice){hash + 2, line.length - i - 2});
        bool word = id->length > 0;
        for (size_t k = 0; k < id->length && word; k++)
            word = !is_blank(id->at[k]);
        if (word)
            return i;
    }
    return 0;
}

/* A value in quotes that open at its start and close at its very end loses them; anything else stays as it is:
 * `"this" and "that"` is a text with quotes in it. */
static bool unquote(struct slice value, struct buffer *out)
{
    if (value.length < 2 || (value.at[0] != '"' && value.at[0] != '\''))
        return false;
    char quote = value.at[0];
    for (size_t i = 1; i < value.length; i++) {
        char c = value.at[i], next = i + 1 < value.length ? value.at[i + 1] : '\0';
        if (c == quote && quote == '\'' && next == '\'')
            i++;
        else if (c == quote)
            return i + 1 == value.length;
        else if (c == '\\' && quote == '"') {
            static const char from[] = "\"\\/nt", to[] = "\"\\/\n\t";
            const char *escape = next ? strchr(from, next) : NULL;
            if (escape) {
                c = to[escape - from];
                i++;
            }
        }
        buffer_add(out, &c, 1);
    }
    return false;
}

static char *clean(struct slice value)
{
    if (utf8_valid(value.at, value.length) && !memchr(value.at, '\0', value.length))
        return memory_slice(value.at, value.length);
    return utf8_clean(value.at, value.length);
}

/* A one-line value: unquoted, without a comment behind it. */
static char *scalar(struct slice value)
{
    OWNED_BUFFER struct buffer text = {0};
    if (unquote(value, &text))
        return clean(trim((struct slice){text.data ? text.data : "", text.length}));
    for (size_t i = 1; i < value.length; i++)
        if (value.at[i] == '#' && is_blank(value.at[i - 1]))
            value.length = i;
    return clean(trim(value));
}

static enum priority priority_of(const char *word)
{
    return strcasecmp(word, "high") == 0  ? PRIORITY_HIGH
           : strcasecmp(word, "low") == 0 ? PRIORITY_LOW
                                          : PRIORITY_NORMAL;
}

static void doubt(struct block *block, const char *what)
{
    if (!block->doubt)
        block->doubt = what;
}

static int64_t seconds_of(const char *word)
{
    char *end;
    long long seconds = strtoll(word, &end, 10);
    return end == word || *end || seconds < 0 ? 0 : (int64_t)seconds;
}

/* FNV-1a over a text, its lines' trailing blanks left out, and a separator behind it. */
static uint64_t mix(uint64_t hash, const char *text)
{
    const uint64_t prime = 0x100000001b3;
    for (const char *at = text ? text : ""; *at;) {
        size_t blanks = is_blank(*at) ? strspn(at, " \t\r\f\v") : 0;
        if (at[blanks] == '\n' || at[blanks] == '\0') {
            at += blanks;
            blanks = *at ? 1 : 0;
        } else if (blanks == 0)
            blanks = 1;
        for (; blanks; blanks--, at++)
            hash = (hash ^ (unsigned char)*at) * prime;
    }
    return (hash ^ 0x100) * prime;
}

/* What the reading of one block has found so far. */
struct reading {
    struct block *block;
    struct buffer text; /* the task's */
    unsigned seen;      /* a bit for each field */
    bool block_text;    /* `task: |`: the value itself is no text, quotes in it are its own */
    bool indent_known;  /* of the task's further lines, from the first with text */
    size_t indent;
    char *created;
};

/* `|`, `>`, with YAML's indicators for indentation and last newlines; nothing at all means the same here. */
static bool opens_text(struct slice value, size_t *indent, bool *indent_known)
{
    size_t i = 0;
    if (value.length) {
        if (value.at[0] != '|' && value.at[0] != '>')
            return false;
        for (i = 1; i < value.length && !is_blank(value.at[i]); i++) {
            if (value.at[i] >= '1' && value.at[i] <= '9') {
                *indent = (size_t)(value.at[i] - '0');
                *indent_known = true;
            } else if (value.at[i] != '-' && value.at[i] != '+')
                return false;
        }
        struct slice rest = trim((struct slice){value.at + i, value.length - i});
        if (rest.length && rest.at[0] != '#')
            return false;
    }
    return true;
}

static void take_field(struct reading *reading, enum field field, struct slice value, const char *ending)
{
    struct block *block = reading->block;
    reading->seen |= 1u << field;
    if (field == FIELD_TASK) {
        reading->block_text = opens_text(value, &reading->indent, &reading->indent_known);
        if (!reading->block_text) {
            buffer_add(&reading->text, value.at, value.length);
            buffer_text(&reading->text, ending);
        }
        return;
    }
    char *word = scalar(value);
    switch (field) {
    case FIELD_PRIORITY:
        block->priority = priority_of(word);
        if (*word && block->priority == PRIORITY_NORMAL && strcasecmp(word, "normal") != 0)
            doubt(block, "its priority is neither high, normal nor low and counts as normal");
        break;
    case FIELD_CREATED:
        if (!clock_parse(word, &block->created)) {
            block->created = 0;
            if (*word)
                doubt(block, "its created is no time such as 2026-04-29T10:05:00Z and counts as missing");
        }
        reading->created = word;
        return;
    case FIELD_TTL:
        block->ttl_seconds = seconds_of(word);
        if (*word && block->ttl_seconds == 0 && strcmp(word, "0") != 0)
            doubt(block, "its ttl_seconds is no whole number and counts as missing");
        break;
    case FIELD_LOCK:
    case FIELD_FROM:
        if (*word) {
            *(field == FIELD_LOCK ? &block->lock : &block->from) = word;
            return;
        }
        break;
    default:
        break;
    }
    free(word);
}

/* A line that is no field is a part of the task, wherever it stands: nothing that a person wrote is dropped. */
static void take_text(struct reading *reading, struct slice line, const char *ending)
{
    size_t blanks = indentation(line);
    if ((reading->seen & 1u << FIELD_TASK) && !reading->indent_known && blanks < line.length) {
        reading->indent_known = true;
        reading->indent = blanks;
    }
    size_t cut = blanks < reading->indent ? blanks : reading->indent;
    buffer_add(&reading->text, line.at + cut, line.length - cut);
    buffer_text(&reading->text, ending);
}

/* What stands as it doesn't mean is held whole: U+FFFD in its place would be another text. */
static const char *problem_of(const struct block *block, struct slice whole)
{
    if (memchr(whole.at, '\0', whole.length))
        return "it holds a NUL byte, as UTF-16 does that was appended to it; save that part as UTF-8";
    if (!utf8_valid(whole.at, whole.length))
        return "it holds bytes that are not UTF-8; save it as UTF-8";
    if (block->stray)
        return "nothing is done with it";
    if (!*block->id)
        return "it has no id behind its ##";
    if (!block->task)
        return "it has no task";
    return NULL;
}

static void finish(struct reading *reading, struct slice whole)
{
    struct block *block = reading->block;
    struct slice text = {reading->text.data ? reading->text.data : "", reading->text.length};
    while (text.length && is_blank(text.at[text.length - 1]))
        text.length--;
    for (size_t next; text.length && line_is_blank(line_at(text, 0, &next));)
        text = (struct slice){text.at + next, text.length - next};
    OWNED_BUFFER struct buffer unquoted = {0};
    if (!reading->block_text && unquote(text, &unquoted))
        text = trim((struct slice){unquoted.data ? unquoted.data : "", unquoted.length});
    if (text.length && (reading->seen & 1u << FIELD_TASK))
        block->task = clean(text);
    uint64_t hash = mix(0xcbf29ce484222325, block->task);
    static const char *const priorities[] = {"high", "", "low"};
    char ttl[24] = "";
    if (block->ttl_seconds) {
        OWNED char *number = memory_print("%lld", (long long)block->ttl_seconds);
        strncpy(ttl, number, sizeof ttl - 1);
    }
    const char *values[] = {priorities[block->priority], reading->created, ttl, block->lock, block->from};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        hash = mix(hash, values[i]);
    block->hash = hash;
    block->problem = problem_of(block, whole);
    buffer_free(&reading->text);
    free(reading->created);
}

static void read_fields(struct block *block, struct slice text, size_t offset)
{
    struct reading reading = {.block = block};
    text.length = block->end;
    block->priority = PRIORITY_NORMAL;
    while (offset < text.length) {
        struct slice value = {0}, line = line_at(text, offset, &offset);
        int field = field_of(line, &value);
        const char *ending = line_end(text, offset);
        /* A field that was there already is text: in `|` that isn't indented, "from: the sender" may stand. */
        if (field >= 0 && !(reading.seen & 1u << field))
            take_field(&reading, (enum field)field, value, ending);
        else if (reading.text.length || reading.seen)
            take_text(&reading, line, ending);
    }
    finish(&reading, (struct slice){text.at + block->start, block->end - block->start});
}

static void read_stray(struct block *block, struct slice text)
{
    struct slice whole = {text.at + block->start, block->end - block->start};
    OWNED char *words = clean(trim(whole));
    block->hash = mix(0xcbf29ce484222325, words);
    block->problem = problem_of(block, whole);
}

struct scan {
    struct slice text;
    struct block_list *list;
    size_t capacity;
    size_t fields_at; /* of the open block: where the line behind its header starts */
    unsigned seen;    /* of the open block: a bit for each field */
    bool in_text;     /* the open block's task is `|` and a text */
    bool indent_known;
    size_t indent;       /* of that text */
    bool previous_blank; /* no text stands directly above the line */
    bool titled;         /* text stands above the line in the preamble */
};

static void close_block(struct scan *scan, size_t end)
{
    if (scan->list->count == 0)
        return;
    struct block *block = &scan->list->items[scan->list->count - 1];
    if (block->end)
        return;
    block->end = end;
    if (block->stray)
        read_stray(block, scan->text);
    else
        read_fields(block, scan->text, scan->fields_at);
}

static struct block *open_block(struct scan *scan, struct slice id, size_t start, size_t next, unsigned line)
{
    struct block_list *list = scan->list;
    close_block(scan, start);
    if (list->count == 0)
        list->preamble = start;
    if (list->count == scan->capacity) {
        scan->capacity = scan->capacity < 8 ? 8 : scan->capacity * 2;
        list->items = memory_grow(list->items, scan->capacity, sizeof *list->items);
    }
    list->items[list->count++] = (struct block){.id = clean(id), .start = start, .line = line};
    scan->fields_at = next;
    scan->seen = 0;
    scan->in_text = scan->indent_known = false;
    scan->indent = 0;
    return &list->items[list->count - 1];
}

/* Where the text of `task: |` begins and how far it is indented, as read_fields will find it. */
static void note_line(struct scan *scan, struct slice line)
{
    const char *end = line.at + line.length;
    bool stray = scan->list->items[scan->list->count - 1].stray;
    struct slice value;
    int field = field_of(line, &value);
    bool known = field >= 0 && !(scan->seen & 1u << field);
    if (stray && !(scan->seen & 1u << FIELD_TASK) && stray_is_task(line.at, end, &value.at)) {
        value = trim((struct slice){value.at, (size_t)(end - value.at)});
        field = FIELD_TASK;
        known = true;
    }
    if (field >= 0)
        scan->seen |= 1u << field;
    if (known && field == FIELD_TASK)
        scan->in_text = opens_text(value, &scan->indent, &scan->indent_known);
    else if (!known && scan->in_text && !scan->indent_known && !line_is_blank(line)) {
        scan->indent_known = true;
        scan->indent = indentation(line);
    }
}

/* A text that is indented is as its author wants it; its first line says how far it is. */
static bool starts_stray(const struct scan *scan, struct slice line)
{
    enum stray_place place = STRAY_IN_LINES;
    if (scan->list->count == 0)
        place = scan->titled ? STRAY_IN_PREAMBLE : STRAY_AT_TITLE;
    else if (scan->in_text) {
        size_t blanks = indentation(line);
        if (blanks > 0 && (!scan->indent_known || (scan->indent > 0 && blanks >= scan->indent)))
            return false;
        place = STRAY_IN_TEXT;
    }
    struct slice value;
    bool alone = scan->list->count == 0 && field_of(line, &value) == FIELD_TASK;
    return alone || stray_starts(line.at, scan->text.at + scan->text.length, place, scan->previous_blank);
}

static void scan_line(struct scan *scan, size_t offset, size_t next, struct slice line, unsigned number)
{
    struct slice id;
    if (header_of(line, &id) && field_after(scan->text, next) >= 0) {
        size_t lead = line.at[0] == '\0' ? 1 : offset == 0 && line.at[0] != '#' ? MARK_SIZE : 0;
        open_block(scan, id, offset + lead, next, number);
        return;
    }
    if (starts_stray(scan, line)) {
        open_block(scan, trim(line), offset, next, number)->stray = true;
        note_line(scan, line);
        return;
    }
    if (scan->list->count == 0)
        return;
    note_line(scan, line);
    size_t glued = glued_header(line, &id);
    int after = glued ? field_after(scan->text, next) : -1;
    if (after >= 0 && (scan->seen & 1u << after))
        open_block(scan, id, offset + glued, next, number);
}

/* A block with its `##` and a field starts wherever it stands; where a stray starts depends on what is above it. */
void block_parse_tail(struct block_list *list, size_t keep, const char *text, size_t length)
{
    size_t offset = 0;
    unsigned number = 1;
    if (keep >= list->count)
        keep = 0;
    while (keep > 0 && list->items[keep].stray)
        keep--;
    if (keep > 0) {
        offset = list->items[keep].start;
        number = list->items[keep].line;
    }
    for (size_t i = keep; i < list->count; i++)
        block_clear(&list->items[i]);
    struct scan scan = {
        .text = {text, length}, .list = list, .capacity = list->count, .previous_blank = true};
    list->count = keep;
    if (keep == 0)
        list->preamble = length;
    while (offset < length) {
        size_t next;
        struct slice line = line_at(scan.text, offset, &next);
        bool blank = line_is_blank(line);
        if (!blank)
            scan_line(&scan, offset, next, line, number);
        scan.previous_blank = blank;
        scan.titled = scan.titled || !blank;
        number += *line_end(scan.text, next) == '\n';
        offset = next;
    }
    close_block(&scan, length);
}

void block_parse(struct block_list *list, const char *text, size_t length)
{
    *list = (struct block_list){0};
    block_parse_tail(list, 0, text, length);
}

void block_clear(struct block *block)
{
    free(block->id);
    free(block->task);
    free(block->lock);
    free(block->from);
    *block = (struct block){0};
}

void block_list_free(struct block_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        block_clear(&list->items[i]);
    free(list->items);
    *list = (struct block_list){0};
}
