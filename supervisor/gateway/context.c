#include "supervisor/gateway/context.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    A_TOKEN = 8, /* bytes: prompts that differ by less may have the same number of them */
    LENGTHS = 3,
    LEAST_CEILING = 512,  /* tokens: no server has less, but some report a constant */
    DIFFERENT_BYTES = 64, /* and a hundredth: lengths that differ do so by at least this */
    SAMPLE_BYTES = 1000,  /* a prompt of this length tells how many bytes a token has */
    WORTH_PROBING = 2,    /* bytes a token by a report: a prompt with fewer was certainly not cut */
    FIRST_CHECK = 64,     /* answers */
    CHECKS_GROW = 4
};

static const double assumed_bytes = 3, least_bytes = 1, most_bytes = 4, smaller = 2.0 / 3;

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool is_known(const struct context *context)
{
    return context->source != CONTEXT_UNKNOWN && !(context->source == CONTEXT_REPORTED && context->checking);
}

uint64_t context_tokens(const struct context *context, const struct context_limits *limits)
{
    if (!is_known(context))
        return limits->set;
    return limits->set ? lesser(limits->set, context->tokens) : context->tokens;
}

static uint64_t tokens_or_assumed(const struct context *context, const struct context_limits *limits)
{
    uint64_t tokens = context_tokens(context, limits);
    return tokens ? tokens : CONTEXT_ASSUMED;
}

uint64_t context_reply(const struct context *context, const struct context_limits *limits)
{
    uint64_t tokens = context_tokens(context, limits);
    return tokens ? lesser(limits->reply, tokens / 2) : limits->reply;
}

static double bytes_a_token(const struct context *context)
{
    return context->bytes_a_token > 0 ? context->bytes_a_token : assumed_bytes;
}

size_t context_room(const struct context *context, const struct context_limits *limits)
{
    uint64_t tokens = tokens_or_assumed(context, limits);
    size_t room = (size_t)((double)(tokens - lesser(limits->reply, tokens / 2)) * bytes_a_token(context));
    return context->probing ? lesser(room, context->ceilings[context->source_ceiling].shortest / 2) : room;
}

bool context_may_hold(const struct context *context, const struct context_limits *limits, size_t bytes)
{
    uint64_t tokens = context_tokens(context, limits);
    return !tokens || context->source == CONTEXT_GUESSED || (double)bytes / most_bytes <= (double)tokens;
}

/* The least value counts, in quarters, so that the room doesn't change with every answer. */
static void learn_bytes(struct context *context, double bytes)
{
    bytes = (double)(uint64_t)(bytes * 4) / 4;
    bytes = bytes > most_bytes ? most_bytes : bytes < least_bytes ? least_bytes : bytes;
    if (context->bytes_a_token <= 0 || bytes < context->bytes_a_token)
        context->bytes_a_token = bytes;
}

/* Sets the tokens so that a prompt of this many bytes fits, whatever part of the context the reply takes. */
static void guess(struct context *context, double bytes, const struct context_limits *limits)
{
    uint64_t room = (uint64_t)(bytes / bytes_a_token(context)), tokens = room + lesser(limits->reply, room);
    context->tokens = tokens < CONTEXT_LEAST ? CONTEXT_LEAST : tokens;
    context->source = CONTEXT_GUESSED;
}

void context_refused(struct context *context, const struct context_limits *limits,
                     const struct length_refusal *said, size_t bytes)
{
    uint64_t known = context_tokens(context, limits);
    if (said->prompt)
        learn_bytes(context, (double)bytes / (double)said->prompt);
    if (said->context && said->context != known) {
        context->tokens = said->context < CONTEXT_LEAST ? CONTEXT_LEAST : said->context;
        context->source = CONTEXT_SAID;
    } else if (!said->context && (!known || context->source == CONTEXT_GUESSED)) {
        guess(context, (double)bytes * smaller, limits);
    }
    size_t room = context_room(context, limits), most = (size_t)((double)bytes * smaller);
    if (room < bytes) /* the prompt has more tokens than was thought */
        return;
    context->bytes_a_token = bytes_a_token(context) * (double)most / (double)room;
    if (context->bytes_a_token >= least_bytes)
        return;
    context->bytes_a_token = least_bytes;
    if (context_room(context, limits) >= bytes)
        guess(context, (double)most, limits); /* the refusal's number is wrong */
}

/* ---- reports ---- */

static size_t longer(size_t a, size_t b)
{
    return a > b ? a : b;
}

static bool is_near(size_t a, size_t b)
{
    return a <= b + A_TOKEN && b <= a + A_TOKEN;
}

/* A prompt tells of a cut only when it is longer than every prompt that reported fewer tokens. */
static void note_length(struct ceiling *ceiling, size_t bytes)
{
    if (bytes <= ceiling->longest_below)
        return;
    if (ceiling->lengths == 0)
        ceiling->shortest = ceiling->longest = bytes;
    else if (is_near(bytes, ceiling->shortest) || is_near(bytes, ceiling->longest))
        return;
    ceiling->shortest = bytes < ceiling->shortest ? bytes : ceiling->shortest;
    ceiling->longest = longer(bytes, ceiling->longest);
    ceiling->lengths++;
}

static void note(struct ceiling *ceiling, uint64_t tokens, size_t bytes, bool believed)
{
    if (tokens > ceiling->tokens) {
        double below =
            ceiling->lengths ? (double)ceiling->shortest / (double)ceiling->tokens : ceiling->below;
        *ceiling = (struct ceiling){.tokens = tokens,
                                    .below = below,
                                    .longest_below = longer(ceiling->longest, ceiling->longest_below)};
    } else if (tokens < ceiling->tokens) {
        ceiling->below = (double)bytes / (double)tokens;
        ceiling->longest_below = longer(bytes, ceiling->longest_below);
        if (bytes >= ceiling->shortest && !believed)
            ceiling->lengths = 0;
    }
    if (tokens == ceiling->tokens)
        note_length(ceiling, bytes);
}

/* Two lengths that are well apart, or three. */
static bool differ(const struct ceiling *ceiling)
{
    size_t apart = DIFFERENT_BYTES + ceiling->shortest / 100;
    return ceiling->lengths >= LENGTHS ||
           (ceiling->lengths >= 2 && ceiling->longest >= ceiling->shortest + apart);
}

/* Two lengths reported one number, and by the prompts below it the longer prompt should have reported more. */
static bool is_cut(const struct context *context, const struct ceiling *ceiling)
{
    double below = ceiling->below > 0 || context->constant ? ceiling->below : assumed_bytes;
    return ceiling->tokens >= LEAST_CEILING && differ(ceiling) && below > 0 &&
           (double)ceiling->longest > (double)ceiling->tokens * below;
}

static void forget(struct context *context)
{
    context->tokens = 0;
    context->source = CONTEXT_UNKNOWN;
    context->checking = context->probing = false;
    for (size_t i = 0; i < CEILINGS; i++)
        context->ceilings[i] = (struct ceiling){0};
}

/* Whether another report, which is noted already, contradicts the believed ceiling. A prompt as long as the cut ones
 * tells: it reports the same number again, or the belief was wrong. */
static bool is_contradicted(struct context *context, const uint64_t tokens[CEILINGS], size_t bytes)
{
    const struct ceiling *ceiling = &context->ceilings[context->source_ceiling];
    uint64_t reported = tokens[context->source_ceiling];
    if (reported > context->tokens || (reported < context->tokens && bytes > ceiling->longest))
        return true;
    context->probing = context->probing && reported == context->tokens;
    if (context->probing) {
        context->constant = ceiling->shortest < WORTH_PROBING * ceiling->tokens;
        return context->constant;
    }
    if (reported == context->tokens) {
        context->checking = false;
        context->answers = 0;
        context->until_checking *= CHECKS_GROW;
    } else if (++context->answers >= context->until_checking) {
        context->checking = true;
    }
    return false;
}

/* Of two counts that both have a ceiling, the count with cached tokens added is the server's limit: prompt_tokens are
 * then the uncached part, whose ceiling is lower by as many cached tokens as each cut prompt has. */
static bool believe(struct context *context)
{
    bool cached = context->ceilings[1].tokens > context->ceilings[0].tokens;
    for (size_t turn = 0; turn < CEILINGS; turn++) {
        size_t i = cached ? CEILINGS - 1 - turn : turn;
        const struct ceiling *ceiling = &context->ceilings[i];
        if (!is_cut(context, ceiling) ||
            (context->source == CONTEXT_SAID && context->tokens <= ceiling->tokens))
            continue;
        context->tokens = ceiling->tokens;
        context->source = CONTEXT_REPORTED;
        context->source_ceiling = i;
        context->answers = 0;
        context->until_checking = FIRST_CHECK;
        context->checking = false;
        context->probing = ceiling->below <= 0;
        return true;
    }
    return false;
}

enum context_news context_reported(struct context *context, const uint64_t tokens[CEILINGS], size_t bytes)
{
    if (!tokens[0])
        return CONTEXT_NOTHING;
    bool believed = context->source == CONTEXT_REPORTED;
    for (size_t i = 0; i < CEILINGS; i++)
        note(&context->ceilings[i], tokens[i], bytes, believed);
    if (bytes >= SAMPLE_BYTES)
        learn_bytes(context, (double)bytes / (double)tokens[0]);
    bool more = !believed && context->source != CONTEXT_UNKNOWN && tokens[0] > context->tokens;
    if (more || (believed && is_contradicted(context, tokens, bytes))) {
        forget(context); /* a refusal that named fewer tokens was wrong, too */
        return CONTEXT_FORGOTTEN;
    }
    return !believed && believe(context) ? CONTEXT_CUTS : CONTEXT_NOTHING;
}

/* ---- words for the next gateway ---- */

void context_print(const struct context *context, struct buffer *out)
{
    buffer_print(out, "%" PRIu64 " %u %a %zu %u %u %d %d %d", context->tokens, (unsigned)context->source,
                 context->bytes_a_token, context->source_ceiling, context->answers, context->until_checking,
                 context->checking, context->probing, context->constant);
    for (size_t i = 0; i < CEILINGS; i++) {
        const struct ceiling *ceiling = &context->ceilings[i];
        buffer_print(out, " %" PRIu64 " %zu %zu %u %zu %a", ceiling->tokens, ceiling->shortest,
                     ceiling->longest, ceiling->lengths, ceiling->longest_below, ceiling->below);
    }
}

static bool read_ceiling(const char **text, struct ceiling *ceiling)
{
    int end = 0;
    bool read =
        sscanf(*text, " %" SCNu64 " %zu %zu %u %zu %la%n", &ceiling->tokens, &ceiling->shortest,
               &ceiling->longest, &ceiling->lengths, &ceiling->longest_below, &ceiling->below, &end) == 6;
    *text += end;
    return read;
}

bool context_read(struct context *context, const char *text)
{
    struct context found = {0};
    unsigned source, checking, probing, constant;
    int end = 0;
    if (sscanf(text, "%" SCNu64 " %u %la %zu %u %u %u %u %u%n", &found.tokens, &source, &found.bytes_a_token,
               &found.source_ceiling, &found.answers, &found.until_checking, &checking, &probing, &constant,
               &end) != 9)
        return false;
    text += end;
    for (size_t i = 0; i < CEILINGS; i++)
        if (!read_ceiling(&text, &found.ceilings[i]))
            return false;
    if (*text || source > CONTEXT_REPORTED || found.source_ceiling >= CEILINGS)
        return false;
    found.source = (enum context_source)source;
    found.checking = checking != 0, found.probing = probing != 0, found.constant = constant != 0;
    *context = found;
    return true;
}
