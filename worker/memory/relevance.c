#include "worker/memory/relevance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

static bool letter(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80;
}

static size_t stem(const char *word, size_t length)
{
    static const char *const endings[] = {"ing", "ed", "es", "s"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t size = strlen(endings[i]);
        bool double_s = size == 1 && length > 1 && word[length - 2] == 's'; /* class, not clas */
        if (length >= size + 3 && memcmp(word + length - size, endings[i], size) == 0 && !double_s) {
            length -= size;
            break;
        }
    }
    return length > 3 && word[length - 1] == 'e' ? length - 1 : length;
}

static uint32_t hash(const char *word, size_t length)
{
    uint32_t value = 2166136261u;
    for (size_t i = 0; i < length; i++)
        value = (value ^ (unsigned char)word[i]) * 16777619u;
    return value;
}

static int ascending(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

void word_set_add(struct word_set *set, const char *text, size_t length)
{
    enum { WORD_MAX = 48 };
    char word[WORD_MAX];
    size_t capacity = set->count;
    for (size_t at = 0; at < length && set->count < RELEVANCE_WORDS_MAX;) {
        size_t size = 0;
        for (; at < length && letter((unsigned char)text[at]); at++)
            if (size < WORD_MAX) {
                char c = text[at];
                word[size++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
            }
        at += size == 0;
        if (size < 3)
            continue;
        if (set->count == capacity) {
            capacity = capacity ? capacity * 2 : 32;
            set->words = memory_grow(set->words, capacity, sizeof *set->words);
        }
        uint32_t value = hash(word, stem(word, size));
        set->words[set->count++] = value;
        set->sieve[value % 16] |= UINT64_C(1) << (value >> 26);
    }
    if (set->count == 0)
        return;
    qsort(set->words, set->count, sizeof *set->words, ascending);
    size_t kept = 1;
    for (size_t i = 1; i < set->count; i++)
        if (set->words[i] != set->words[kept - 1])
            set->words[kept++] = set->words[i];
    set->count = kept;
    set->words = memory_grow(set->words, kept, sizeof *set->words);
}

void word_set_free(struct word_set *set)
{
    free(set->words);
    *set = (struct word_set){0};
}

static bool word_set_has(const struct word_set *set, uint32_t word)
{
    if (!(set->sieve[word % 16] & UINT64_C(1) << (word >> 26)))
        return false;
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (set->words[middle] == word)
            return true;
        if (set->words[middle] < word)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

bool relevance_same_kind(const struct word_set *a, const struct word_set *b)
{
    size_t shorter = a->count < b->count ? a->count : b->count, shared = 0;
    for (size_t i = 0; i < a->count; i++)
        shared += word_set_has(b, a->words[i]);
    return shorter ? shared * 2 >= shorter : a->count == b->count;
}

void relevance_score(const struct word_set *task, const struct relevance_text *texts, size_t count,
                     double *scores)
{
    memset(scores, 0, count * sizeof *scores);
    OWNED unsigned char *where = memory_new(count, 1); /* 0 nowhere, 1 in the body, 2 in the head */
    for (size_t w = 0; w < task->count; w++) {
        size_t having = 0;
        for (size_t i = 0; i < count; i++) {
            where[i] = word_set_has(texts[i].head, task->words[w])   ? 2
                       : word_set_has(texts[i].body, task->words[w]) ? 1
                                                                     : 0;
            having += where[i] != 0;
        }
        if (having == 0)
            continue;
        double weight = log(1 + (double)count / (double)having);
        for (size_t i = 0; i < count; i++)
            scores[i] += where[i] * weight;
    }
}
