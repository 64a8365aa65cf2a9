#include "common/base64.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *bytes, size_t length)
{
    const unsigned char *from = bytes;
    size_t at = 0;
    char *out = memory_new(length / 3 * 4 + 5, 1);
    for (size_t i = 0; i < length; i += 3) {
        unsigned bits = (unsigned)from[i] << 16;
        bits |= i + 1 < length ? (unsigned)from[i + 1] << 8 : 0;
        bits |= i + 2 < length ? from[i + 2] : 0;
        for (size_t digit = 0; digit < 4; digit++)
            out[at++] = i + digit > length ? '=' : digits[bits >> (18 - 6 * digit) & 63];
    }
    return out;
}

unsigned char *base64_decode(const char *text, size_t *length)
{
    size_t count = strcspn(text, "="), rest = strspn(text + count, "=");
    if (text[count + rest] || rest > 2 || count % 4 == 1 || (rest && (count + rest) % 4 != 0))
        return NULL;
    unsigned char *out = memory_new(count / 4 * 3 + 3, 1);
    unsigned bits = 0;
    *length = 0;
    for (size_t i = 0; i < count; i++) {
        const char *digit = strchr(digits, text[i]);
        if (!digit) {
            free(out);
            return NULL;
        }
        bits = bits << 6 | (unsigned)(digit - digits);
        if (i % 4)
            out[(*length)++] = (unsigned char)(bits >> (6 - 2 * (i % 4)) & 255);
    }
    return out;
}
