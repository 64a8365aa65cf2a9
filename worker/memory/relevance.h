/* How near two texts are: a plain, deterministic measure by the words that they share.
 *
 * A word is a run of letters and digits, folded to small ASCII letters, of three bytes or more, without the endings
 * -ing, -ed, -es, -s, -e, so that "fetches pages" meets "fetch page". Words stand as 32-bit hashes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RELEVANCE_WORDS_MAX = 1024 /* of one text; later words aren't looked at */ };

struct word_set {
    uint32_t *words; /* ascending, each once; owned */
    size_t count;
    uint64_t sieve[16]; /* a bit for words like it: says most noes without a search */
};

void word_set_add(struct word_set *set, const char *text, size_t length);
void word_set_free(struct word_set *set);

/* Whether two short sentences speak of the same: they share at least half of the words of the shorter one. Two
 * sentences without any words do, too. */
bool relevance_same_kind(const struct word_set *a, const struct word_set *b);

/* One text among several that are compared with a task. */
struct relevance_text {
    const struct word_set *head, *body; /* title and summary; the rest */
};
/* The score of each text, 0 when nothing is shared: the sum over the shared words of log(1 + texts / texts that have
 * the word), so that a word that all have says little; twice that when the word stands in the head. */
void relevance_score(const struct word_set *task, const struct relevance_text *texts, size_t count,
                     double *scores);
