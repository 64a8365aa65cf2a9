#include "supervisor/gateway/refusal.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum { SUGGESTED_WITHIN = 24, NAMES = 8 };

/* The names by which a refusal calls the parameter in either form. A form that leaves the parameter out is refused
 * where the words call the parameter missing. */
static const struct parameter {
    enum form form;
    const char *does;
    const char *plain[NAMES], *instead;
    long also; /* another status than 400 and 422 of a refusal of this parameter */
} parameters[] = {
    {FORM_COMPLETION_TOKENS,
     "max_completion_tokens is sent instead of max_tokens",
     {"max_tokens"},
     "max_completion_tokens",
     0},
    {FORM_NO_TEMPERATURE, "no temperature is sent", {"temperature"}, NULL, 0},
    {FORM_NO_FORMAT,
     "no response_format is sent",
     {"response_format", "json_schema", "json_object", "structured output", "structured outputs"},
     NULL,
     0},
    /* Chat templates that raise an exception are a 500 with llama.cpp. */
    {FORM_NO_SYSTEM,
     "the rules are sent in the user's message, without a system role",
     {"system role", "'system'", "role system", "role: system", "system message", "system messages",
      "system instruction", "developer instruction"},
     NULL,
     500},
};

static const char *const unsupported[] = {
    "unsupported",  "not support",     "n't support",  "unrecognized",  "unknown parameter", "unknown field",
    "unknown name", "extra_forbidden", "extra inputs", "extra fields",  "not permitted",     "not allowed",
    "not enabled",  "deprecated",      "unavailable",  "not available", "unexpected keyword"};
static const char *const missing[] = {"required", "missing", "must be provided", "must start with",
                                      "must begin with"};
static const char *const about_values[] = {"too large", "too high",     "too big",   "too long",
                                           "at most",   "at least",     "less than", "greater than",
                                           "between",   "out of range", "exceed"};

/* Behind the word stream. Some servers take no other requests. */
static const char *const streams_only[] = {"must be true", "must be set to", "should be true", "only support",
                                           "required",     "requires",       "enable the",     "set stream",
                                           "stream=true",  "non-stream",     "non stream"};

const char *form_name(enum form form)
{
    if (form == FORM_STREAM)
        return "answers are streamed";
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++)
        if (parameters[i].form == form)
            return parameters[i].does;
    return "";
}

static bool says(const char *words, const char *const list[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcasestr(words, list[i]))
            return true;
    return false;
}

#define SAYS(words, list) says(words, list, sizeof list / sizeof *list)

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The place where the name stands as a whole word; NULL: nowhere. */
static const char *find(const char *words, const char *name)
{
    for (const char *at = words; (at = strcasestr(at, name)); at++)
        if (!(at > words && is_word(at[-1]) && is_word(*name)) && !is_word(at[strlen(name)]))
            return at;
    return NULL;
}

/* "Use 'max_completion_tokens' instead." */
static bool is_suggested(const char *words, const char *name)
{
    for (const char *at = words; (at = find(at, name)); at++) {
        char before[SUGGESTED_WITHIN + 1];
        size_t length = (size_t)(at - words) < SUGGESTED_WITHIN ? (size_t)(at - words) : SUGGESTED_WITHIN;
        memcpy(before, at - length, length);
        before[length] = '\0';
        if (find(before, "use") || find(before, "try"))
            return true;
    }
    return false;
}

static bool names_plain(const char *words, const struct parameter *parameter)
{
    for (size_t i = 0; i < NAMES && parameter->plain[i]; i++)
        if (find(words, parameter->plain[i]))
            return true;
    return false;
}

static void look(const char *words, const struct parameter *parameter, struct refused *refused)
{
    bool refuses = SAYS(words, unsupported), plain = names_plain(words, parameter);
    if (parameter->instead) {
        bool instead = find(words, parameter->instead), asked = is_suggested(words, parameter->instead);
        refused->plain |= refuses && plain && asked ? parameter->form : 0;
        refused->learned |= refuses && instead && !asked ? parameter->form : 0;
    } else if (plain) {
        refused->plain |= refuses ? parameter->form : 0;
        refused->learned |= !refuses && SAYS(words, missing) ? parameter->form : 0;
    }
}

static void look_at_stream(const char *words, struct refused *refused)
{
    bool options = find(words, "stream_options");
    if (!options && !find(words, "stream") && !find(words, "streaming"))
        return;
    if (!options && SAYS(words, streams_only))
        refused->plain |= FORM_STREAM;
    else if (SAYS(words, unsupported))
        refused->learned |= FORM_STREAM;
}

struct refused refusal_read(long status, const char *words)
{
    struct refused refused = {0};
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++)
        if ((status == 400 || status == 422 || status == parameters[i].also) && !SAYS(words, about_values))
            look(words, &parameters[i], &refused);
    if (status == 400 || status == 422)
        look_at_stream(words, &refused);
    return refused;
}
