/* Lines that somebody meant as a block and that are none: a wrong heading, a field that is written otherwise. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/format/block.h"
#include "common/memory.h"
#include "common/utf8.h"

enum {
    HINTS_MAX = 3,
    QUOTE_MAX = 60,
};

struct line {
    const char *at;
    size_t length; /* without its end */
};

/* How much a line is what it should be. */
enum likeness { UNLIKE, NEAR, EXACT };

static const char *end_of(const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline ? newline : end;
}

static bool is_one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

/* Trimmed; the number of blanks that stood in front. */
static size_t trim(struct line *line)
{
    size_t blanks = 0;
    for (; line->length && is_one_of(line->at[0], " \t"); blanks++) {
        line->at++;
        line->length--;
    }
    while (line->length && is_one_of(line->at[line->length - 1], " \t\r"))
        line->length--;
    return blanks;
}

/* `## ID` at the line's start is one; another number of #, no blank behind them or up to three in front, near. Deeper
 * in, Markdown shows it as an example. */
static enum likeness header(struct line line)
{
    size_t marks = 0, blanks = trim(&line);
    while (marks < line.length && line.at[marks] == '#')
        marks++;
    if (marks == 0 || marks > 4 || marks == line.length || blanks > 3)
        return UNLIKE;
    return marks == 2 && blanks == 0 && is_one_of(line.at[marks], " \t") ? EXACT : NEAR;
}

/* `task: …` at the line's start is one; in a list, in bold, indented or in capitals, near. `task::new()` is code. */
static enum likeness field(struct line line)
{
    static const char *const names[] = {"task", "priority"};
    size_t at = 0;
    bool plain = trim(&line) == 0;
    while (at < line.length && is_one_of(line.at[at], "-*+_>`\" \t"))
        at++;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i]), behind = at + length;
        if (line.length < behind || strncasecmp(line.at + at, names[i], length) != 0)
            continue;
        bool exact = plain && at == 0 && memcmp(line.at, names[i], length) == 0 && behind < line.length &&
                     line.at[behind] == ':';
        while (behind < line.length && is_one_of(line.at[behind], "*_`\" \t"))
            behind++;
        bool colon =
            behind + 1 < line.length && line.at[behind] == ':' && !is_one_of(line.at[behind + 1], ":=");
        return !colon ? UNLIKE : exact ? EXACT : NEAR;
    }
    return UNLIKE;
}

static char *quote(struct line line)
{
    (void)trim(&line);
    char *text = utf8_clean(line.at, utf8_cut(line.at, line.length, QUOTE_MAX));
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    return text;
}

struct scan {
    const struct block_list *list;
    const char *text, *end, *name;
    size_t block;  /* the first that starts behind what was looked at */
    unsigned line; /* of what is looked at */
    unsigned hints;
    const char *below; /* the line that was told of with the one above it */
    struct buffer *out;
};

/* The next line with text; length 0: none. */
static struct line next_with_text(const char *at, const char *end)
{
    for (; at < end; at = end_of(at, end) + 1) {
        struct line line = {at, (size_t)(end_of(at, end) - at)};
        struct line trimmed = line;
        (void)trim(&trimmed);
        if (trimmed.length)
            return line;
    }
    return (struct line){at, 0};
}

static void say(struct scan *scan, const char *what, bool several)
{
    if (++scan->hints > HINTS_MAX)
        return;
    buffer_print(
        scan->out,
        "%s:%u: %s like a block and %s none (a block is a line '## ID' and below it 'task: …', both at the "
        "start of their lines); ",
        scan->name, scan->line, what, several ? "are" : "is");
    if (scan->block == 0)
        buffer_text(scan->out, "nothing is done with it\n");
    else
        buffer_print(scan->out, "it counts as text of block '%s'\n", scan->list->items[scan->block - 1].id);
}

static void look_at(struct scan *scan, struct line line)
{
    size_t offset = (size_t)(line.at - scan->text);
    while (scan->block < scan->list->count && scan->list->items[scan->block].start <= offset)
        scan->block++;
    if (scan->block > 0 && scan->list->items[scan->block - 1].start == offset)
        return;
    /* In a block only what stands at the line's start: an indented text is as its author wants it. */
    bool in_block = scan->block > 0;
    enum likeness start = in_block && line.at[0] != '#' ? UNLIKE : header(line);
    if (start == UNLIKE)
        return;
    struct line below = next_with_text(line.at + line.length, scan->end);
    if (field(below) == UNLIKE)
        return;
    scan->below = below.at;
    OWNED char *heading = quote(line), *written = quote(below);
    OWNED char *what = memory_print("'%s' and '%s' look", heading, written);
    say(scan, what, true);
}

/* Before the first block a field without any heading is one that somebody forgot. */
static void look_at_field(struct scan *scan, struct line line)
{
    bool in_block = scan->list->count > 0 && scan->list->items[0].start <= (size_t)(line.at - scan->text);
    if (in_block || line.at == scan->below || field(line) != EXACT)
        return;
    OWNED char *written = quote(line), *what = memory_print("'%s' alone looks", written);
    say(scan, what, false);
}

void block_hints(const struct block_list *list, const char *text, size_t length, const char *name,
                 struct buffer *out)
{
    struct scan scan = {.list = list,
                        .text = text,
                        .end = text + (length < BLOCK_HINTS_SPAN ? length : BLOCK_HINTS_SPAN),
                        .name = name,
                        .line = 1,
                        .out = out};
    for (const char *at = text; at < scan.end; at = end_of(at, scan.end) + 1, scan.line++) {
        struct line line = {at, (size_t)(end_of(at, scan.end) - at)};
        if (line.length && is_one_of(line.at[0], "# \t"))
            look_at(&scan, line);
        else if (line.length && line.at[0] == 't')
            look_at_field(&scan, line);
    }
    if (scan.hints > HINTS_MAX)
        buffer_print(out, "%s: %u more lines look like blocks and are none\n", name, scan.hints - HINTS_MAX);
}
