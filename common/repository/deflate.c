/* RFC 1951's grammar, walked without unpacking: lengths and distances are read over, nothing is copied. */
#include "common/repository/deflate.h"

#include <stdint.h>
#include <stdio.h>

#include "common/files.h"
#include "common/memory.h"

enum {
    CODE_BITS = 15,
    LITERALS = 288,
    DISTANCES = 30,
    LENGTH_CODES = 19,
    END_OF_BLOCK = 256,
    CHECKSUM_BYTES = 4,
    NO_SYMBOL = -1,
    OBJECT_FILE_MAX = 256 * 1024 * 1024 /* bytes; a larger one is taken for whole */
};

struct bits {
    const unsigned char *at, *end;
    uint32_t held;
    unsigned count;
    bool ended; /* more was asked for than there is */
};

/* A canonical Huffman code: how many symbols have each length, and the symbols in the order of their codes. */
struct code {
    uint16_t counts[CODE_BITS + 1];
    uint16_t symbols[LITERALS];
};

static unsigned take(struct bits *bits, unsigned wanted)
{
    while (bits->count < wanted) {
        if (bits->at == bits->end) {
            bits->ended = true;
            return 0;
        }
        bits->held |= (uint32_t)*bits->at++ << bits->count;
        bits->count += 8;
    }
    unsigned value = bits->held & ((1U << wanted) - 1);
    bits->held >>= wanted;
    bits->count -= wanted;
    return value;
}

/* False: more codes of some length than there can be. */
static bool make_code(struct code *code, const unsigned char *lengths, unsigned symbols)
{
    uint16_t place[CODE_BITS + 1] = {0};
    int room = 1;
    *code = (struct code){0};
    for (unsigned i = 0; i < symbols; i++)
        code->counts[lengths[i]]++;
    code->counts[0] = 0;
    for (unsigned length = 1; length <= CODE_BITS; length++) {
        room = room * 2 - code->counts[length];
        if (room < 0)
            return false;
        place[length] = (uint16_t)(place[length - 1] + code->counts[length - 1]);
    }
    for (unsigned i = 0; i < symbols; i++)
        if (lengths[i] != 0)
            code->symbols[place[lengths[i]]++] = (uint16_t)i;
    return true;
}

static int symbol(struct bits *bits, const struct code *code)
{
    unsigned read = 0, first = 0, passed = 0;
    for (unsigned length = 1; length <= CODE_BITS && !bits->ended; length++) {
        read = read << 1 | take(bits, 1);
        first <<= 1;
        if (read - first < code->counts[length])
            return code->symbols[passed + read - first];
        passed += code->counts[length];
        first += code->counts[length];
    }
    return NO_SYMBOL;
}

/* Read over the extra bits of a length, then its distance. */
static bool pass_match(struct bits *bits, unsigned length_symbol, const struct code *distances)
{
    unsigned index = length_symbol - END_OF_BLOCK - 1;
    if (index > 28)
        return false;
    take(bits, index < 8 || index == 28 ? 0 : index / 4 - 1);
    int distance = symbol(bits, distances);
    if (distance < 0 || distance >= DISTANCES)
        return false;
    take(bits, distance < 4 ? 0 : (unsigned)distance / 2 - 1);
    return !bits->ended;
}

static bool pass_coded(struct bits *bits, const struct code *literals, const struct code *distances)
{
    for (;;) {
        int found = symbol(bits, literals);
        if (found == END_OF_BLOCK)
            return true;
        if (found == NO_SYMBOL || (found > END_OF_BLOCK && !pass_match(bits, (unsigned)found, distances)))
            return false;
    }
}

static bool pass_stored(struct bits *bits)
{
    take(bits, bits->count % 8);
    unsigned length = take(bits, 16), inverse = take(bits, 16);
    if (bits->ended || (length ^ inverse) != 0xffff || (size_t)(bits->end - bits->at) < length)
        return false;
    bits->at += length; /* nothing is held: both numbers ended on a byte */
    return true;
}

static bool pass_fixed(struct bits *bits)
{
    unsigned char lengths[LITERALS];
    struct code literals, distances;
    for (unsigned i = 0; i < LITERALS; i++)
        lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    make_code(&literals, lengths, LITERALS);
    for (unsigned i = 0; i < DISTANCES; i++)
        lengths[i] = 5;
    make_code(&distances, lengths, DISTANCES);
    return pass_coded(bits, &literals, &distances);
}

/* The code lengths of both alphabets, themselves coded, with repetitions. */
static bool read_lengths(struct bits *bits, const struct code *code, unsigned char *lengths, unsigned wanted)
{
    unsigned at = 0;
    while (at < wanted) {
        int found = symbol(bits, code);
        if (found < 0 || (found == 16 && at == 0))
            return false;
        unsigned char value = found < 16 ? (unsigned char)found : found == 16 ? lengths[at - 1] : 0;
        unsigned times = found < 16    ? 1
                         : found == 16 ? 3 + take(bits, 2)
                         : found == 17 ? 3 + take(bits, 3)
                                       : 11 + take(bits, 7);
        if (bits->ended || times > wanted - at)
            return false;
        while (times-- > 0)
            lengths[at++] = value;
    }
    return true;
}

static bool pass_dynamic(struct bits *bits)
{
    static const unsigned char order[LENGTH_CODES] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    unsigned char lengths[LITERALS + 32] = {0};
    unsigned literal_count = 257 + take(bits, 5), distance_count = 1 + take(bits, 5),
             code_count = 4 + take(bits, 4);
    struct code literals, distances;
    if (literal_count > 286 || distance_count > DISTANCES)
        return false;
    for (unsigned i = 0; i < code_count; i++)
        lengths[order[i]] = (unsigned char)take(bits, 3);
    if (bits->ended || !make_code(&literals, lengths, LENGTH_CODES))
        return false;
    return read_lengths(bits, &literals, lengths, literal_count + distance_count) &&
           make_code(&literals, lengths, literal_count) &&
           make_code(&distances, lengths + literal_count, distance_count) &&
           pass_coded(bits, &literals, &distances);
}

static bool pass_block(struct bits *bits, bool *last)
{
    static bool (*const kinds[])(struct bits *) = {pass_stored, pass_fixed, pass_dynamic};
    *last = take(bits, 1) == 1;
    unsigned kind = take(bits, 2);
    return !bits->ended && kind < 3 && kinds[kind](bits);
}

bool deflate_whole(const void *bytes, size_t length)
{
    const unsigned char *head = bytes;
    if (length < 2 || (head[0] & 0x0f) != 8 || (head[0] << 8 | head[1]) % 31 != 0 || (head[1] & 0x20) != 0)
        return false;
    struct bits bits = {.at = head + 2, .end = head + length};
    for (bool last = false; !last;)
        if (!pass_block(&bits, &last))
            return false;
    return bits.end - bits.at >= CHECKSUM_BYTES;
}

bool deflate_object_whole(int git, const char *hex)
{
    char name[64];
    snprintf(name, sizeof name, "objects/%.2s/%.38s", hex, hex + 2);
    OWNED char *bytes = NULL;
    size_t length = 0;
    /* No file, or one that can't be read: no verdict here, whoever needs it says what is wrong. */
    if (files_read(git, name, OBJECT_FILE_MAX, &bytes, &length, NULL, NULL) != 1)
        return true;
    return deflate_whole(bytes, length);
}
