/* A refusal read for the length of the prompt, in any provider's words. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct length_refusal {
    bool said;        /* the prompt is too long, by itself or with the reply's limit */
    uint64_t context; /* the most tokens that the sentence names; 0: it names none */
    uint64_t prompt;  /* tokens of this prompt, as the sentence counts them; 0: it doesn't say */
};

/* words: of words_gather. */
struct length_refusal length_read(long status, const char *words);
