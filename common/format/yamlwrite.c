/* The writing half of yamldoc.h: scalars that every YAML 1.1 or 1.2 reader takes for the same text. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "common/format/yamldoc.h"
#include "common/memory.h"
#include "common/utf8.h"

/* Characters that libyaml or another reader refuses, or takes for a line break, when they stand bare. */
static const struct {
    const char *first, *last; /* UTF-8, same length */
} escaped[] = {
    {"\xc2\x80", "\xc2\x9f"},         /* C1 controls, next line among them */
    {"\xe2\x80\xa8", "\xe2\x80\xaf"}, /* line and paragraph separator, direction marks */
    {"\xef\xbb\xbf", "\xef\xbb\xbf"}, /* byte-order mark */
    {"\xef\xbf\xbe", "\xef\xbf\xbf"}, /* no characters */
};

static size_t character_size(const char *text)
{
    unsigned char first = (unsigned char)*text;
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static bool needs_escape(const char *text, size_t size)
{
    if (size == 1)
        return (unsigned char)*text < 0x20 || *text == 0x7f;
    for (size_t i = 0; i < sizeof escaped / sizeof *escaped; i++)
        if (strlen(escaped[i].first) == size && memcmp(text, escaped[i].first, size) >= 0 &&
            memcmp(text, escaped[i].last, size) <= 0)
            return true;
    return false;
}

static bool is_word(const char *value)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    if (!*value || !strchr("nNtTfFyYoO", *value))
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(value, words[i]) == 0)
            return true;
    return false;
}

/* A text that some reader of YAML takes for a number (decimal, hexadecimal, octal, base 60) or for a date. */
static bool is_number(const char *value)
{
    if (*value < '0' || *value > '9')
        return false;
    return value[strspn(value, "0123456789abcdefABCDEFxXoO+-._:")] == '\0' ||
           (strspn(value, "0123456789") == 4 && value[4] == '-');
}

static bool is_plain(const char *value)
{
    unsigned char first = (unsigned char)*value;
    bool starts = first >= 0x80 || (first >= '0' && first <= '9') || (first >= 'a' && first <= 'z') ||
                  (first >= 'A' && first <= 'Z') || first == '/' || first == '_' || first == '(';
    if (!starts || is_word(value) || is_number(value) || strpbrk(value, ",[]{}"))
        return false;
    size_t size;
    for (const char *c = value; *c; c += size) {
        size = character_size(c);
        if (needs_escape(c, size) || (*c == ':' && !(isalnum((unsigned char)c[1]) || c[1] == '/')) ||
            (*c == ' ' && (c[1] == '#' || c[1] == '\0')))
            return false;
    }
    return true;
}

static void write_escape(struct buffer *out, const char *text, size_t size)
{
    static const char shorts[] = "\nn\tt\rr";
    const unsigned char *bytes = (const unsigned char *)text;
    const char *found = size == 1 && *text ? strchr(shorts, *text) : NULL;
    if (found && (found - shorts) % 2 == 0)
        buffer_print(out, "\\%c", found[1]);
    else if (size == 1)
        buffer_print(out, "\\x%02X", bytes[0]);
    else if (size == 2)
        buffer_print(out, "\\x%02X", (unsigned)((bytes[0] & 0x1f) << 6 | (bytes[1] & 0x3f)));
    else
        buffer_print(out, "\\u%04X",
                     (unsigned)((bytes[0] & 0x0f) << 12 | (bytes[1] & 0x3f) << 6 | (bytes[2] & 0x3f)));
}

static void write_quoted(struct buffer *out, const char *value)
{
    buffer_text(out, "\"");
    size_t size;
    for (const char *c = value; *c; c += size) {
        size = character_size(c);
        if (needs_escape(c, size)) {
            write_escape(out, c, size);
        } else {
            if (*c == '"' || *c == '\\')
                buffer_text(out, "\\");
            buffer_add(out, c, size);
        }
    }
    buffer_text(out, "\"");
}

void yaml_write_scalar(struct buffer *out, const char *value)
{
    OWNED char *clean = utf8_valid(value, strlen(value)) ? NULL : utf8_clean(value, strlen(value));
    if (clean)
        value = clean;
    if (is_plain(value))
        buffer_text(out, value);
    else
        write_quoted(out, value);
}

void yaml_write_text(struct buffer *out, const char *key, const char *value)
{
    yaml_write_scalar(out, key);
    buffer_text(out, ": ");
    yaml_write_scalar(out, value);
    buffer_text(out, "\n");
}
