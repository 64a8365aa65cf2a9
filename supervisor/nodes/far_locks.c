#include "supervisor/nodes/far_locks.h"

#include <jansson.h>
#include <string.h>

#include "common/memory.h"
#include "common/message.h"
#include "common/names.h"
#include "supervisor/nodes/local_node.h"
#include "supervisor/nodes/word.h"
#include "supervisor/shared/lock_claims.h"

enum { LEASE_SECONDS_MAX = 366 * 86400 };

static json_t *claim_of(const struct lock_claim_word *claim)
{
    return json_pack("{s:I, s:I, s:s*, s:s*, s:s*, s:I, s:I, s:b}", "number", (json_int_t)claim->number,
                     "token", (json_int_t)claim->token, "agent", claim->agent, "task", claim->task, "holder",
                     claim->holder, "lease_seconds", (json_int_t)claim->lease_seconds, "left_ms",
                     (json_int_t)claim->left_ms, "begun", (int)claim->begun);
}

bool far_locks_say(const struct local_node *local, const char *node, const struct lock_word *word)
{
    json_t *claims = json_array();
    for (size_t i = 0; i < word->count; i++)
        json_array_append_new(claims, claim_of(&word->claims[i]));
    return node_word_say(local, node,
                         json_pack("{s:s, s:s, s:I, s:I, s:o}", "lock_word", word->what, "lock", word->lock,
                                   "turn", (json_int_t)word->turn, "token", (json_int_t)word->token, "claims",
                                   claims)) != 0;
}

/* A negative number counts as missing. */
static int64_t number_of(const json_t *object, const char *key)
{
    int64_t number = node_word_number(object, key);
    return number > 0 ? number : 0;
}

static struct lock_claim_word read_claim(const json_t *object)
{
    int64_t lease = number_of(object, "lease_seconds");
    return (struct lock_claim_word){.number = (uint64_t)number_of(object, "number"),
                                    .token = (uint64_t)number_of(object, "token"),
                                    .agent = node_word_text(object, "agent"),
                                    .task = node_word_text(object, "task"),
                                    .holder = node_word_text(object, "holder"),
                                    .lease_seconds = lease < LEASE_SECONDS_MAX ? lease : LEASE_SECONDS_MAX,
                                    .left_ms = number_of(object, "left_ms"),
                                    .begun = json_is_true(json_object_get(object, "begun"))};
}

static bool is_good(const struct lock_word *word)
{
    bool claims = strcmp(word->what, "claims") == 0;
    for (size_t i = 0; i < word->count; i++)
        if (claims &&
            (!names_agent(word->claims[i].agent) || strlen(word->claims[i].task) > MESSAGE_TASK_MOST))
            return false;
    return true;
}

bool far_locks_hear(const json_t *object, void (*hear)(void *context, const struct lock_word *word),
                    void *context)
{
    const json_t *claims = json_object_get(object, "claims");
    bool is_word = json_object_get(object, "lock_word") != NULL;
    size_t count = json_array_size(claims);
    if (is_word && count <= LOCK_CLAIMS_LISTED) {
        OWNED struct lock_claim_word *words = memory_new(count + 1, sizeof *words);
        for (size_t i = 0; i < count; i++)
            words[i] = read_claim(json_array_get(claims, i));
        struct lock_word word = {.what = node_word_text(object, "lock_word"),
                                 .lock = node_word_text(object, "lock"),
                                 .turn = (uint64_t)number_of(object, "turn"),
                                 .token = (uint64_t)number_of(object, "token"),
                                 .claims = words,
                                 .count = count};
        if (is_good(&word))
            hear(context, &word);
    }
    return is_word;
}
