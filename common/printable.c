#include "common/printable.h"

#include <stdint.h>
#include <string.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "common/utf8.h"

static const struct {
    uint32_t first, last;
} unsafe[] = {{0, 0x1f}, {0x7f, 0x9f}, {0x61c, 0x61c}, {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}};

static bool is_unsafe(uint32_t character)
{
    for (size_t i = 0; i < sizeof unsafe / sizeof *unsafe; i++)
        if (character >= unsafe[i].first && character <= unsafe[i].last)
            return true;
    return false;
}

/* Most texts are printable ASCII from end to end. */
static size_t plain(const char *text, size_t length)
{
    size_t i = 0;
    while (i < length && text[i] >= ' ' && text[i] < 0x7f)
        i++;
    return i;
}

/* The character at text, and its length; length 0: these bytes are none. */
static uint32_t decode(const char *text, size_t left, size_t *length)
{
    static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    *length = utf8_character(text, left);
    uint32_t character = (unsigned char)text[0] & first_bits[*length];
    for (size_t i = 1; i < *length; i++)
        character = character << 6 | ((unsigned char)text[i] & 0x3f);
    return character;
}

char *printable_text(const char *text, size_t length, bool lines)
{
    struct buffer out = {0};
    buffer_room(&out, length);
    for (size_t i = 0, size; i < length; i += size) {
        size = plain(text + i, length - i);
        if (size > 0) {
            buffer_add(&out, text + i, size);
            continue;
        }
        uint32_t character = decode(text + i, length - i, &size);
        if (size == 0)
            buffer_text(&out, "\xef\xbf\xbd");
        else if (lines && character == '\r' && i + 1 < length && text[i + 1] == '\n')
            ;
        else if (character == '\n' || character == '\t' || (character == '\r' && !lines))
            buffer_add(&out, lines ? text + i : " ", 1);
        else if (is_unsafe(character))
            buffer_add(&out, "?", 1);
        else
            buffer_add(&out, text + i, size);
        size = size ? size : 1;
    }
    return buffer_take(&out);
}

char *printable_json(const char *json)
{
    struct buffer out = {0};
    size_t length = strlen(json);
    buffer_room(&out, length);
    for (size_t i = 0, size; i < length; i += size) {
        size = plain(json + i, length - i);
        if (size > 0) {
            buffer_add(&out, json + i, size);
            continue;
        }
        uint32_t character = decode(json + i, length - i, &size);
        if (size && character != '\n' && is_unsafe(character))
            buffer_print(&out, "\\u%04x", (unsigned)character);
        else if (size)
            buffer_add(&out, json + i, size);
        size = size ? size : 1;
    }
    return buffer_take(&out);
}

char *printable_word(const char *text)
{
    static const char harmless[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    if (*text && !text[strspn(text, harmless)])
        return memory_text(text);
    struct buffer word = {0};
    buffer_text(&word, "'");
    for (const char *c = text; *c; c++)
        if (*c == '\'')
            buffer_text(&word, "'\\''");
        else
            buffer_add(&word, c, 1);
    buffer_text(&word, "'");
    return buffer_take(&word);
}
