#include "common/format/did_you_mean.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { LONGEST = 64, PREFIX = 3 /* letters: a word that was only begun is near, too */ };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Edits (a character put in, left out, changed, or two neighbours swapped) between two words, whatever their
 * case; more than limit gives limit + 1. Words over 64 bytes are never near. */
static size_t did_you_mean_distance(const char *a, const char *b, size_t limit)
{
    size_t height = strlen(a), width = strlen(b);
    if (height > LONGEST || width > LONGEST || (height > width ? height - width : width - height) > limit)
        return limit + 1;
    size_t rows[3][LONGEST + 1]; /* the row before the last, the last, and the row being filled */
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t x = 0; x <= width; x++)
        last[x] = x;
    for (size_t y = 1; y <= height; y++) {
        row[0] = y;
        for (size_t x = 1; x <= width; x++) {
            size_t change = last[x - 1] + !same(a[y - 1], b[x - 1]);
            row[x] = least(change, least(last[x], row[x - 1]) + 1);
            if (y > 1 && x > 1 && same(a[y - 1], b[x - 2]) && same(a[y - 2], b[x - 1]))
                row[x] = least(row[x], before[x - 2] + 1);
        }
        size_t *spare = before;
        before = last, last = row, row = spare;
    }
    return least(last[width], limit + 1);
}

const char *did_you_mean(const char *word, const char *(*words)(const void *context, size_t i),
                         const void *context, size_t count)
{
    size_t length = strlen(word), limit = length < 6 ? 1 : least(length / 3, 3), best = limit + 1;
    const char *found = NULL;
    for (size_t i = 0; i < count && best > 0; i++) {
        const char *candidate = words(context, i);
        bool begun = length >= PREFIX && strncasecmp(candidate, word, length) == 0;
        size_t distance = begun ? 1 : did_you_mean_distance(word, candidate, least(limit, best));
        if (distance < best && distance < strlen(candidate)) {
            best = distance;
            found = candidate;
        }
    }
    return found;
}
