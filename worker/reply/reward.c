#include "worker/reply/reward.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Characters that mean a plain one; "" means nothing at all. */
static const struct {
    const char *character, *meant;
} spellings[] = {
    {"\xe2\x88\x92", "-"},
    {"\xe2\x80\x93", "-"},
    {"\xe2\x80\x94", "-"},
    {"\xe2\x80\x90", "-"},
    {"\xe2\x80\x91", "-"},
    {"\xef\xb9\xa3", "-"},
    {"\xef\xbc\x8d", "-"},
    {"\xe2\x9e\x96", "-"},
    {"\xef\xbc\x8b", "+"},
    {"\xe2\x9e\x95", "+"},
    {"\xef\xb8\x8f", ""},
    {"\xe2\x83\xa3", ""},
    {"\xef\xbc\x8f", "/"},
    {"\xef\xbc\x88", " ("},
    {"\xef\xbc\x89", ")"},
    {"\xef\xbc\x8c", ", "},
    {"\xe2\x80\x9c", ""},
    {"\xe2\x80\x9d", ""},
    {"\xe2\x9c\x85", " success "},
    {"\xe2\x9c\x94", " success "},
    {"\xe2\x9c\x93", " success "},
    {"\xe2\x9d\x8c", " failure "},
    {"\xe2\x9c\x97", " failure "},
    {"\xe2\x9c\x98", " failure "},
    {"\xf0\x9f\x91\x8d", " success "},
    {"\xf0\x9f\x91\x8e", " failure "},
};

static void add_plain(struct span text, struct buffer *out)
{
    for (size_t at = 0, size; at < text.length; at += size) {
        struct span rest = span_from(text, at);
        bool digit = span_starts(rest, "\xef\xbc") && rest.length > 2 &&
                     (unsigned char)rest.text[2] >= 0x90 && (unsigned char)rest.text[2] <= 0x99;
        const char *meant = NULL;
        size = digit ? 3 : span_blank(rest);
        if (digit)
            buffer_print(out, "%d", (unsigned char)rest.text[2] - 0x90);
        else if (size)
            buffer_text(out, " ");
        for (size_t i = 0; !size && !meant && i < sizeof spellings / sizeof *spellings; i++)
            if (span_starts(rest, spellings[i].character)) {
                meant = spellings[i].meant;
                size = strlen(spellings[i].character);
                buffer_text(out, meant);
            }
        if (!size) {
            size = 1;
            buffer_add(out, strchr("*_`\"'", *rest.text) ? "" : rest.text, !strchr("*_`\"'", *rest.text));
        }
    }
}

/* "1 or -1" is no reward, nor is "1, 2". */
static bool only_words(const char *text)
{
    const char *next = text + strspn(text, " .,;:!");
    if (*text == '/') /* 1/1 */
        return false;
    if (*next == '(' || *next == '#' || *next == '-' || *next == '/')
        next += strspn(next, "(#-/ ");
    return !*text || (strchr(" (,;:!#-", *text) && !isdigit((unsigned char)*next) && *next != '+' &&
                      strncasecmp(next, "or ", 3) != 0 && strncasecmp(next, "to ", 3) != 0 &&
                      strncasecmp(next, "of ", 3) != 0 && strncasecmp(next, "out of", 6) != 0);
}

static bool word(const char *text, int *reward)
{
    static const struct {
        const char *words;
        int reward;
    } table[] = {
        {"|success|successful|succeeded|reusable|true|yes|positive|pass|passed|done|complete|completed|", 1},
        {"|partial|partially|neutral|mixed|incomplete|zero|", 0},
        {"|failure|failed|fail|fails|false|no|negative|unsuccessful|error|", -1}};
    size_t length = 0;
    char bounded[24] = "|";
    while (isalpha((unsigned char)text[length]) && length < sizeof bounded - 3)
        length++;
    memcpy(bounded + 1, text, length);
    memcpy(bounded + 1 + length, "|", 2);
    const char *rest = text + length + strspn(text + length, " ");
    bool alone = *rest == '\0' || !isalpha((unsigned char)*rest);
    for (size_t i = 0; length && alone && i < sizeof table / sizeof *table; i++)
        if (strcasestr(table[i].words, bounded)) {
            *reward = table[i].reward;
            return !strstr(rest, " or ");
        }
    return false;
}

bool reward_read(struct span text, int *reward)
{
    OWNED_BUFFER struct buffer plain = {0};
    add_plain(span_first(text, 200), &plain);
    struct span trimmed = span_trim((struct span){plain.data ? plain.data : "", plain.length});
    if (trimmed.length == 0)
        return false;
    plain.data[(size_t)(trimmed.text - plain.data) + trimmed.length] = '\0';
    char *end;
    double value = strtod(trimmed.text, &end);
    bool number = isdigit((unsigned char)trimmed.text[strspn(trimmed.text, "+-")]);
    if (!number)
        return word(trimmed.text, reward);
    if (strncmp(end, "/1", 2) == 0 && !isdigit((unsigned char)end[2]) && end[2] != '.')
        end += 2;
    if (!only_words(end + (*end == '.' && !isdigit((unsigned char)end[1]))) ||
        !(fabs(value) <= 0 || fabs(fabs(value) - 1) <= 0))
        return false;
    *reward = value > 0 ? 1 : value < 0 ? -1 : 0;
    return true;
}
