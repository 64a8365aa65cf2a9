/* A stray is a heading of any level or shape, with a field below it, that people meant as a block. A stray is looked at
 * in a folded form: small ASCII letters, so that alphabets, widths, case and invisible characters make no
 * difference. */
#include "common/format/block_stray.h"

#include <string.h>

#include "common/buffer.h"
#include "common/format/block.h"
#include "common/memory.h"
#include "common/utf8.h"

enum {
    FOLDED = 96, /* characters of a line that are looked at */
    OTHER = 1,   /* stands for a letter that has no likeness */
    WORD_MAX_LENGTH = 32,
    CODE_INDENT = 4, /* from so many columns on Markdown shows an example */
    CHUNK = 256,
    QUOTE_MAX = 60,
};

struct folded {
    char text[FOLDED + 1];
};

const char *stray_line_end(const char *at, const char *end, const char **next)
{
    for (const char *from = at; from < end; from += CHUNK) {
        size_t length = end - from < CHUNK ? (size_t)(end - from) : CHUNK;
        const char *newline = memchr(from, '\n', length);
        const char *mark = memchr(from, '\r', newline ? (size_t)(newline - from) : length);
        const char *found = mark ? mark : newline;
        if (!found)
            continue;
        *next = found + (mark && mark + 1 < end && mark[1] == '\n' ? 2 : 1);
        return found;
    }
    *next = end;
    return end;
}

/* --- the folded form --- */

static unsigned next_point(const char **at, const char *end)
{
    const unsigned char *byte = (const unsigned char *)*at;
    unsigned more = *byte >= 0xf0 ? 3 : *byte >= 0xe0 ? 2 : *byte >= 0xc0 ? 1 : 0;
    unsigned point = more == 3 ? *byte & 7u : more == 2 ? *byte & 15u : more == 1 ? *byte & 31u : *byte;
    for (unsigned i = 1; i <= more; i++) {
        if (end - *at <= (ptrdiff_t)i || (byte[i] & 0xc0) != 0x80) {
            *at += 1;
            return *byte >= 0xfe ? 0xfeff : *byte; /* no UTF-8; the first two may be the mark of UTF-16 */
        }
        point = point << 6 | (byte[i] & 63u);
    }
    *at += more + 1;
    return point;
}

/* Characters that look like, or sound like, an ASCII one. */
static char likeness(unsigned point)
{
    static const struct {
        unsigned point;
        char like;
    } table[] = {
        {0x442, 't'},  {0x422, 't'},  {0x3c4, 't'},  {0x3a4, 't'},  {0x430, 'a'},  {0x410, 'a'},
        {0x3b1, 'a'},  {0x391, 'a'},  {0x441, 's'},  {0x421, 's'},  {0x455, 's'},  {0x405, 's'},
        {0x3c3, 's'},  {0x3c2, 's'},  {0x3a3, 's'},  {0x17f, 's'},  {0x43a, 'k'},  {0x41a, 'k'},
        {0x3ba, 'k'},  {0x39a, 'k'},  {0x212a, 'k'}, {0xfe55, ':'}, {0xa789, ':'}, {0x2236, ':'},
        {0x5c3, ':'},  {0x2d0, ':'},  {0xfe5f, '#'}, {0x266f, '#'}, {0x2022, '-'}, {0xb7, '-'},
        {0x2219, '-'}, {0x25cf, '-'}, {0x25aa, '-'}, {0x201c, '"'}, {0x201d, '"'}, {0x201e, '"'},
        {0x2018, '"'}, {0x2019, '"'}, {0xab, '"'},   {0xbb, '"'},   {0x203a, '>'}, {0x2500, '-'},
        {0x2550, '='},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].point == point)
            return table[i].like;
    return '\0';
}

/* '\0': the character can't be seen. */
static char fold(unsigned point)
{
    if (point >= 0xff01 && point <= 0xff5e) /* full width */
        point -= 0xfee0;
    if (point >= 0x1d400 && point < 0x1d6a4) /* letters of mathematics: 26 large, 26 small, again and again */
        return (char)('a' + (point - 0x1d400) % 26);
    if (point < 0x80)
        return (char)(point >= 'A' && point <= 'Z' ? point | 0x20 : point < ' ' && point != '\t' ? 0 : point);
    if (point == 0xa0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200a) || point == 0x202f ||
        point == 0x205f || point == 0x3000)
        return ' ';
    if (point >= 0x2010 && point <= 0x2015)
        return '-';
    char like = likeness(point);
    if (like)
        return like;
    bool unseen = point == 0xad || point == 0xfeff || (point >= 0x200b && point <= 0x206f) ||
                  (point >= 0x300 && point < 0x370) || (point >= 0xfe00 && point <= 0xfe0f);
    bool picture = (point >= 0x2190 && point < 0x2c00) || point >= 0x1f000;
    return unseen || picture ? '\0' : OTHER;
}

static struct folded fold_line(const char *at, const char *end)
{
    struct folded folded = {{0}};
    for (size_t length = 0; at < end && length < FOLDED;) {
        char c = fold(next_point(&at, end));
        if (c)
            folded.text[length++] = c;
    }
    return folded;
}

static bool is_one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

/* --- the field --- */

static bool is_letter(char c)
{
    return c == OTHER || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* At most one letter too many, missing, wrong, or two that changed places; and no other word that is so near. */
static bool is_task(const char *word, size_t length)
{
    static const char task[] = "task";
    static const char *const others[] = {"ask", "mask", "bask", "cask", "talk", "tank", "tack", "tusk"};
    size_t known = strlen(task), start = 0, back = 0;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strlen(others[i]) == length && memcmp(word, others[i], length) == 0)
            return false;
    while (start < length && start < known && word[start] == task[start])
        start++;
    while (back + start < length && back + start < known && word[length - 1 - back] == task[known - 1 - back])
        back++;
    size_t left = length - start - back, wanted = known - start - back;
    bool swapped =
        left == 2 && wanted == 2 && word[start] == task[start + 1] && word[start + 1] == task[start];
    return (left <= 1 && wanted <= 1) || swapped;
}

enum word { NO_WORD, SOME_WORD, TASK_WORD };

/* `word:` behind whatever sets it out: a bullet, a number, a box, a quotation mark, stars. `word::` and `word:=` are
 * code, `word://` and `word:\` places. *colon gets the number of folded characters up to the colon. */
static enum word word_of(const struct folded *line, size_t *colon)
{
    const char *at = line->text + strspn(line->text, " \t*_>-+~`\"'|[](){}#\\0123456789.");
    if (strncmp(at, "x]", 2) == 0)
        at += 2 + strspn(at + 2, " \t*_`\"'");
    const char *word = at;
    while (is_letter(*at))
        at++;
    size_t length = (size_t)(at - word);
    while (length && is_one_of(word[length - 1], "_-"))
        length--;
    if (length == 0 || length > WORD_MAX_LENGTH)
        return NO_WORD;
    bool task = is_task(word, length);
    at += strspn(at, " \t*_`\"')]");
    if (*at != ':' && !(task && is_one_of(*at, "=;")))
        return NO_WORD;
    *colon = (size_t)(at - line->text);
    if (is_one_of(at[1], task ? ":=" : ":=/\\"))
        return NO_WORD;
    return task ? TASK_WORD : SOME_WORD;
}

bool stray_is_task(const char *at, const char *end, const char **value)
{
    const char *next, *stop = stray_line_end(at, end, &next);
    struct folded line = fold_line(at, stop);
    size_t colon;
    if (word_of(&line, &colon) != TASK_WORD)
        return false;
    for (size_t seen = 0; at < stop && seen <= colon;)
        seen += fold(next_point(&at, stop)) != '\0';
    *value = at;
    return true;
}

/* --- the heading --- */

/* The underline of a heading: two or more of one character and nothing else. */
static bool is_rule(const char *at, const char *stop)
{
    const char *start = at;
    while (at < stop && *at == *start && is_one_of(*at, "-="))
        at++;
    bool long_enough = at - start >= 2;
    while (at < stop && is_one_of(*at, " \t"))
        at++;
    return long_enough && at == stop;
}

/* The line of the stray's field: the next line with text that is no underline. NULL: there is no such line. */
static const char *stray_field(const char *at, const char *end)
{
    const char *next;
    for (stray_line_end(at, end, &next), at = next; at < end; at = next) {
        const char *stop = stray_line_end(at, end, &next);
        struct folded line = fold_line(at, stop);
        if (line.text[strspn(line.text, " \t")] && !is_rule(at, stop))
            return at;
    }
    return NULL;
}

enum heading {
    NO_HEADING,
    PERHAPS, /* only with `task` below it */
    TITLE,   /* of level one, or underlined */
    HEADING,
};

static unsigned columns_before(const struct folded *line)
{
    unsigned columns = 0;
    for (const char *at = line->text; *at == ' ' || *at == '\t'; at++)
        columns += *at == '\t' ? CODE_INDENT : 1;
    return columns;
}

static enum heading marked_heading(const struct folded *line)
{
    const char *at = line->text + strspn(line->text, " \t");
    size_t decorated = strspn(at, "*_>-+~`\"'|\\. \t0123456789");
    at += decorated;
    if (*at != '#')
        return NO_HEADING;
    size_t marks = 0;
    for (; is_one_of(*at, "#\\"); at++)
        marks += *at == '#';
    bool blank = is_one_of(*at, " \t");
    if (decorated || columns_before(line) >= CODE_INDENT || !at[strspn(at, " \t")] || (marks == 1 && !blank))
        return PERHAPS;
    return marks == 1 ? TITLE : HEADING;
}

/* A line that a rule underlines, or that is set out as a whole by stars. */
static enum heading bare_heading(const struct folded *line, const char *next, const char *end,
                                 bool previous_blank)
{
    const char *at = line->text + strspn(line->text, " \t"), *behind;
    size_t length = strlen(at), colon;
    while (length && is_one_of(at[length - 1], " \t:"))
        length--;
    if (length > 4 && (strncmp(at, "**", 2) == 0 || strncmp(at, "__", 2) == 0) && at[length - 1] == at[0] &&
        at[length - 2] == at[0])
        return PERHAPS;
    bool underlined = next < end && is_one_of(*next, "-=") && length > 0 && !is_rule(at, at + length) &&
                      is_rule(next, stray_line_end(next, end, &behind));
    if (!underlined || columns_before(line) >= CODE_INDENT || word_of(line, &colon) != NO_WORD)
        return NO_HEADING;
    return previous_blank ? TITLE : PERHAPS;
}

/* Most lines begin with a letter and have another such line behind them. */
static bool is_ordinary(const char *at, const char *stop, const char *next, const char *end)
{
    unsigned char first = at < stop ? (unsigned char)*at : ' ';
    bool letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
    return letter && (next == end || !is_one_of(*next, "-="));
}

bool stray_starts(const char *at, const char *end, enum stray_place place, bool previous_blank)
{
    const char *next, *stop = stray_line_end(at, end, &next);
    if (is_ordinary(at, stop, next, end))
        return false;
    struct folded line = fold_line(at, stop), below;
    enum heading heading = marked_heading(&line);
    if (heading == NO_HEADING)
        heading = bare_heading(&line, next, end, previous_blank);
    bool preamble = place == STRAY_AT_TITLE || place == STRAY_IN_PREAMBLE;
    if (heading == NO_HEADING || (preamble && columns_before(&line) >= CODE_INDENT))
        return false;
    const char *field = stray_field(at, end);
    if (!field)
        return false;
    size_t colon;
    below = fold_line(field, stray_line_end(field, end, &next));
    enum word word = word_of(&below, &colon);
    if (word != SOME_WORD)
        return word == TASK_WORD;
    return place != STRAY_IN_TEXT && (heading == HEADING || (heading == TITLE && place != STRAY_AT_TITLE));
}

/* --- the report --- */

static char *quote(const char *at, const char *end)
{
    while (at < end && is_one_of(*at, " \t"))
        at++;
    while (end > at && is_one_of(end[-1], " \t"))
        end--;
    OWNED char *whole = utf8_clean(at, (size_t)(end - at));
    char *text = memory_slice(whole, utf8_cut(whole, strlen(whole), QUOTE_MAX));
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    return text;
}

static void say(const struct block *stray, const char *text, const char *name, struct buffer *out)
{
    const char *at = text + stray->start, *end = text + stray->end, *next;
    const char *stop = stray_line_end(at, end, &next), *field = NULL, *value;
    OWNED char *heading = quote(at, stop), *below = NULL;
    if (!stray_is_task(at, end, &value) || *at == '#')
        field = stray_field(at, end);
    if (field)
        below = quote(field, stray_line_end(field, end, &next));
    buffer_print(out, "%s:%u: '%s'", name, stray->line, heading);
    buffer_print(out,
                 below ? " and '%s' look like a block and are none" : " alone looks like a block and is none",
                 below);
    buffer_print(out,
                 " (a block is a line '## ID' and below it 'task: …', both at the start of their lines, in "
                 "plain letters and blanks); %s\n",
                 stray->problem);
}

void block_hints(const struct block_list *list, const char *text, const char *name, struct buffer *out)
{
    size_t strays = 0;
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].stray && ++strays <= BLOCK_HINTS_MAX)
            say(&list->items[i], text, name, out);
    if (strays > BLOCK_HINTS_MAX)
        buffer_print(out, "%s: %zu more lines look like blocks and are none\n", name,
                     strays - BLOCK_HINTS_MAX);
}
