/* git's delta of one text against another: copies of what the base has too, and what is new in between. */
#include "worker/history/part.h"

#include <string.h>

enum {
    BLOCK = 8, /* bytes that two texts must share for a match to be looked for */
    STEP = 4,  /* the base is known at every fourth byte, so a match of eleven bytes is always found */
    SLOT_BITS = 12,
    COPY_MAX = 0xffff, /* bytes of one copy */
    INSERT_MAX = 127,
    TEXT_MAX = 1024 * 1024,
};

static size_t slot_of(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return (size_t)(word * 0x9e3779b97f4a7c15u >> (64 - SLOT_BITS));
}

/* Seven bits at a time, the lowest first. */
static void add_size(struct buffer *out, size_t size)
{
    for (; size > 0x7f; size >>= 7)
        buffer_add(out, &(unsigned char){(size & 0x7f) | 0x80}, 1);
    buffer_add(out, &(unsigned char){(unsigned char)size}, 1);
}

static void add_new(struct buffer *out, const char *bytes, size_t length)
{
    while (length > 0) {
        size_t n = length < INSERT_MAX ? length : INSERT_MAX;
        buffer_add(out, &(unsigned char){(unsigned char)n}, 1);
        buffer_add(out, bytes, n);
        bytes += n;
        length -= n;
    }
}

/* The first byte says which of the place's four bytes and the length's three bytes follow: the bytes that aren't zero. */
static void add_copy(struct buffer *out, size_t from, size_t length)
{
    unsigned char code[8] = {0x80};
    size_t n = 1;
    for (unsigned i = 0; i < 4; i++)
        if (from >> 8 * i & 0xff) {
            code[0] |= (unsigned char)(1u << i);
            code[n++] = (unsigned char)(from >> 8 * i);
        }
    for (unsigned i = 0; i < 2; i++)
        if (length >> 8 * i & 0xff) {
            code[0] |= (unsigned char)(0x10u << i);
            code[n++] = (unsigned char)(length >> 8 * i);
        }
    buffer_add(out, code, n);
}

bool delta_make(struct text base, struct text target, size_t most, struct buffer *out)
{
    uint32_t known[1 << SLOT_BITS] = {0};
    size_t begun = out->length, at = 0, told = 0;
    if (base.length < BLOCK || target.length < BLOCK || base.length > TEXT_MAX || target.length > TEXT_MAX)
        return false;
    for (size_t i = 0; i + BLOCK <= base.length; i += STEP)
        known[slot_of(base.bytes + i)] = (uint32_t)i + 1;
    add_size(out, base.length);
    add_size(out, target.length);
    while (at + BLOCK <= target.length && out->length - begun + (at - told) <= most) {
        size_t from = known[slot_of(target.bytes + at)];
        if (from == 0 || memcmp(base.bytes + from - 1, target.bytes + at, BLOCK) != 0) {
            at++;
            continue;
        }
        size_t length = BLOCK;
        for (from--;
             at > told && from > 0 && length < COPY_MAX && base.bytes[from - 1] == target.bytes[at - 1];
             at--, from--)
            length++;
        while (length < COPY_MAX && from + length < base.length && at + length < target.length &&
               base.bytes[from + length] == target.bytes[at + length])
            length++;
        add_new(out, target.bytes + told, at - told);
        add_copy(out, from, length);
        told = at += length;
    }
    add_new(out, target.bytes + told, target.length - told);
    if (out->length - begun <= most)
        return true;
    out->length = begun;
    return false;
}
