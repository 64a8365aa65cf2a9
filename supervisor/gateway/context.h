/* A model's context at one base URL, as its refusals and its reports have taught: tokens, reply included, and how
 * many bytes of our prompts are one token. Pure: the caller logs what was learned.
 *
 * A refusal for length names the context or makes it smaller than the prompt that was refused. A server that cuts
 * silently is known by its reports: prompts of different lengths report the same number, no prompt as long reports
 * fewer, and shorter prompts do. Where no shorter prompt is known, half of the prompt is tried: a server that reports
 * one number for every prompt cuts nothing. A ceiling that was learned so is checked again after a while with a
 * prompt that is not made smaller, and forgotten when a report contradicts it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "supervisor/gateway/length.h"

enum {
    CONTEXT_ASSUMED = 32768, /* tokens, while neither a setting nor the provider says */
    CONTEXT_LEAST = 256
};

/* How the tokens are known. */
enum context_source {
    CONTEXT_UNKNOWN,
    CONTEXT_SAID,    /* a refusal named them */
    CONTEXT_GUESSED, /* a refusal came without a number */
    CONTEXT_REPORTED /* prompts of different lengths reported them */
};

/* The most tokens that any prompt reported. */
struct ceiling {
    uint64_t tokens;
    size_t shortest, longest; /* bytes of the prompts that reported exactly these tokens */
    unsigned lengths;         /* different lengths of prompts, each longer than any that reported fewer */
    size_t longest_below;     /* bytes of the longest prompt that reported fewer */
    double below;             /* bytes a token of a prompt that reported fewer; 0: no prompt has */
};

enum { CEILINGS = 2 /* of the tokens as reported, and with the cached ones added */ };

struct context {
    uint64_t tokens;
    enum context_source source;
    double bytes_a_token; /* the least seen value; 0: none yet */
    struct ceiling ceilings[CEILINGS];
    size_t source_ceiling; /* CONTEXT_REPORTED: index of the ceiling that counts */
    /* until_checking: CONTEXT_REPORTED: prompts that were kept smaller; as many until one is sent whole. */
    unsigned answers, until_checking;
    bool checking; /* the next prompt is not made smaller */
    bool probing;  /* CONTEXT_REPORTED, but no shorter prompt has reported fewer yet */
    bool constant; /* the server's reports are the same for every prompt */
};

/* A model's settings: LLM_CONTEXT_TOKENS (0: unset) and LLM_MAX_TOKENS. */
struct context_limits {
    uint64_t set, reply;
};

/* The context's tokens that count, 0: nobody says. */
uint64_t context_tokens(const struct context *context, const struct context_limits *limits);
/* The limit of a reply: LLM_MAX_TOKENS, but at most half of a context that is known. */
uint64_t context_reply(const struct context *context, const struct context_limits *limits);
/* Bytes that a prompt may have beside the reply. */
size_t context_room(const struct context *context, const struct context_limits *limits);
/* False: a prompt of so many bytes is more than the whole context, however few tokens it has. */
bool context_may_hold(const struct context *context, const struct context_limits *limits, size_t bytes);

/* A prompt of so many bytes was refused for its length: context_room is less than them afterwards. */
void context_refused(struct context *context, const struct context_limits *limits,
                     const struct length_refusal *said, size_t bytes);

enum context_news { CONTEXT_NOTHING, CONTEXT_CUTS /* learned by reports */, CONTEXT_FORGOTTEN };
/* A prompt of so many bytes was answered: tokens[0] as the report says, tokens[1] with the cached ones added. */
enum context_news context_reported(struct context *context, const uint64_t tokens[CEILINGS], size_t bytes);

/* The whole context as words that context_read takes, of one line. */
void context_print(const struct context *context, struct buffer *out);
/* False: the text is none of context_print's, or of another version; then nothing is changed. */
bool context_read(struct context *context, const char *text);
