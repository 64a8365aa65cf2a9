/* How much a model holds at one base URL, as its refusals and its reports have taught: tokens, reply included, and how many
 * bytes of our prompts are one token. Pure: the caller logs what was learned.
 *
 * A refusal for length names the context or makes it smaller than the prompt that was refused. A server that cuts silently
 * is known by its reports: prompts of different lengths report the same number, none as long reports fewer, and shorter
 * ones do. Where no
 * shorter one is known, half of the prompt is tried: a server that reports one number for every prompt cuts nothing. What
 * was learned so is looked at again after a while with a prompt that is not made smaller, and forgotten when a report
 * contradicts it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "supervisor/gateway/length.h"

enum { CONTEXT_ASSUMED = 32768 /* tokens, while nobody says */, CONTEXT_LEAST = 256 };

/* How the tokens are known. */
enum context_source {
    CONTEXT_UNKNOWN,
    CONTEXT_SAID,    /* a refusal named them */
    CONTEXT_GUESSED, /* a refusal named no number */
    CONTEXT_REPORTED /* prompts of different lengths reported them */
};

/* The most tokens that any prompt reported. */
struct ceiling {
    uint64_t tokens;
    size_t shortest, longest; /* bytes of the prompts that reported exactly these */
    unsigned lengths;         /* that differ, of prompts longer than any that reported fewer */
    size_t longest_below;     /* bytes of the longest prompt that reported fewer */
    double below;             /* bytes a token of a prompt that reported fewer; 0: none has */
};

enum { CEILINGS = 2 /* of the tokens as reported, and with the cached ones added */ };

struct context {
    uint64_t tokens;
    enum context_source source;
    double bytes_a_token; /* the least that was seen; 0: nothing was */
    struct ceiling ceilings[CEILINGS];
    size_t source_ceiling; /* CONTEXT_REPORTED: which of them */
    unsigned answers,
        until_checking; /* CONTEXT_REPORTED: prompts that were kept smaller; as many until one is not */
    bool checking;      /* the next prompt is not made smaller */
    bool probing;       /* CONTEXT_REPORTED, but no shorter prompt has reported fewer yet */
    bool constant;      /* its reports are the same whatever is asked */
};

/* What one model is asked with: LLM_CONTEXT_TOKENS (0: unset) and LLM_MAX_TOKENS. */
struct context_limits {
    uint64_t set, reply;
};

/* The tokens that count, 0: nobody says. */
uint64_t context_tokens(const struct context *context, const struct context_limits *limits);
/* The limit of a reply: LLM_MAX_TOKENS, but at most half of a context that is known. */
uint64_t context_reply(const struct context *context, const struct context_limits *limits);
/* Bytes that a prompt may have: what the reply leaves. */
size_t context_room(const struct context *context, const struct context_limits *limits);
/* False: so many bytes are more than the whole context, however few tokens they are. */
bool context_may_hold(const struct context *context, const struct context_limits *limits, size_t bytes);

/* A prompt of so many bytes was refused for its length: context_room is less than them afterwards. */
void context_refused(struct context *context, const struct context_limits *limits,
                     const struct length_refusal *said, size_t bytes);

enum context_news { CONTEXT_NOTHING, CONTEXT_CUTS /* learned by reports */, CONTEXT_FORGOTTEN };
/* A prompt of so many bytes was answered: tokens[0] as its report says, tokens[1] with the cached ones added. */
enum context_news context_reported(struct context *context, const uint64_t tokens[CEILINGS], size_t bytes);

/* All of it in words that context_read takes, of one line. */
void context_print(const struct context *context, struct buffer *out);
/* False: none of ours, or of another version; then nothing is changed. */
bool context_read(struct context *context, const char *text);
