#include "supervisor/gateway/words.h"

#include <string.h>

#include "common/buffer.h"

enum { WORDS_MAX = 4096, DEPTH_MAX = 8 };

static void gather(json_t *value, const char *key, int depth, struct buffer *words);

/* A model that was broken off by an error may have spoken of context windows before: its words are no refusal, too. */
static void gather_errors(json_t *choices, int depth, struct buffer *words)
{
    json_t *choice;
    size_t i;
    json_array_foreach(choices, i, choice) gather(json_object_get(choice, "error"), "error", depth, words);
}

static void gather(json_t *value, const char *key, int depth, struct buffer *words)
{
    json_t *inside;
    size_t i;
    if (depth > DEPTH_MAX || words->length > WORDS_MAX)
        return;
    if (json_is_string(value)) {
        buffer_add(words, json_string_value(value), strnlen(json_string_value(value), WORDS_MAX));
        buffer_text(words, " ");
    }
    if (json_is_number(value))
        buffer_print(words, "%s: %.0f ", key, json_number_value(value));
    json_array_foreach(value, i, inside) gather(inside, key, depth + 1, words);
    json_object_foreach(value, key, inside)
    {
        /* pydantic repeats the whole request: words of the prompt are no refusal */
        if (strcmp(key, "choices") == 0)
            gather_errors(inside, depth + 1, words);
        else if (strcmp(key, "input") != 0 && strcmp(key, "messages") != 0)
            gather(inside, key, depth + 1, words);
    }
}

char *words_gather(json_t *root, const char *body)
{
    struct buffer words = {0};
    buffer_text(&words, "");
    if (root)
        gather(root, "", 0, &words);
    else
        buffer_add(&words, body, strnlen(body, WORDS_MAX));
    return buffer_take(&words);
}
