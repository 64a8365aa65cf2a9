#include "common/utf8.h"

#include <stdint.h>
#include <string.h>

#include "common/buffer.h"
#include "common/memory.h"

/* RFC 3629 section 4's table. */
static size_t character(const unsigned char *text, size_t length)
{
    unsigned char first = text[0];
    if (first < 0x80)
        return 1;
    size_t size = first >= 0xf0 && first <= 0xf4   ? 4
                  : first >= 0xe0 && first <= 0xef ? 3
                  : first >= 0xc2 && first <= 0xdf ? 2
                                                   : 0;
    if (size == 0 || size > length)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    unsigned char second = text[1];
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
        return 0;
    return size;
}

size_t utf8_character(const char *text, size_t length)
{
    return character((const unsigned char *)text, length);
}

/* How many bytes at the start are ASCII, counted eight at a time: most texts are nothing else. */
static size_t ascii(const unsigned char *bytes, size_t length)
{
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= length; i += sizeof word) {
        memcpy(&word, bytes + i, sizeof word);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    return i;
}

bool utf8_valid(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t i = ascii(bytes, length); i < length;) {
        size_t size = character(bytes + i, length - i);
        if (size == 0)
            return false;
        i += size;
        if (size > 1)
            i += ascii(bytes + i, length - i);
    }
    return true;
}

char *utf8_clean(const char *text, size_t length)
{
    struct buffer clean = {0};
    const unsigned char *bytes = (const unsigned char *)text;
    buffer_room(&clean, length);
    for (size_t i = 0; i < length;) {
        size_t size = bytes[i] ? character(bytes + i, length - i) : 0;
        if (size)
            buffer_add(&clean, text + i, size);
        else
            buffer_text(&clean, "\xef\xbf\xbd");
        i += size ? size : 1;
    }
    return buffer_take(&clean);
}

json_t *utf8_json(const char *text)
{
    OWNED char *clean = text ? utf8_clean(text, strlen(text)) : NULL;
    return clean ? json_string(clean) : json_null();
}

size_t utf8_cut(const char *text, size_t length, size_t limit)
{
    if (length <= limit)
        return length;
    while (limit > 0 && ((unsigned char)text[limit] & 0xc0) == 0x80)
        limit--;
    return limit;
}
