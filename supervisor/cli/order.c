/* `agentos start`, `stop`, `restart`, `kill`, `pause`, `resume` of agents, `rollback`, `move`, `reload` and `retry`. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "common/memory.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

/* Orders under way at once: the supervisor carries them out side by side, and each is a connection. */
enum { ORDERS_AT_ONCE = 64, STAGE_MAX = 64, MOVE_LOOK_NS = 200 * 1000 * 1000 };

static struct client *give(const struct invocation *invocation, const char *agent, int *status)
{
    json_t *request = json_pack("{s:s, s:s*}", "verb", invocation->verb->name, "agent", agent);
    if (invocation_has(invocation, OPTION_NO_WAIT))
        json_object_set_new(request, "no_wait", json_true());
    if (invocation_has(invocation, OPTION_ALL))
        json_object_set_new(request, "all", json_true());
    return client_ask(invocation, request, status);
}

/* Orders to `count` agents side by side. The exit code of the first that failed; the others are carried out all the
 * same. */
static int give_all(const struct invocation *invocation, const char *const *agents, size_t count)
{
    struct client *clients[ORDERS_AT_ONCE];
    int worst = EX_OK;
    for (size_t from = 0; from < count; from += ORDERS_AT_ONCE) {
        size_t some = count - from < ORDERS_AT_ONCE ? count - from : ORDERS_AT_ONCE;
        int status[ORDERS_AT_ONCE] = {0};
        for (size_t i = 0; i < some; i++)
            clients[i] = give(invocation, agents[from + i], &status[i]);
        for (size_t i = 0; i < some; i++) {
            json_auto_t *answer = clients[i] != NULL ? client_answer(clients[i], 0, &status[i]) : NULL;
            client_show_said(answer);
            client_close(clients[i]);
            worst = worst != EX_OK ? worst : status[i];
        }
    }
    return worst;
}

static int give_everybody(const struct invocation *invocation)
{
    int status = 0;
    json_auto_t *answer =
        client_call(invocation, json_pack("{s:s}", "verb", "status"), CLIENT_PATIENCE, &status);
    const json_t *agents = json_object_get(json_object_get(answer, "status"), "agents");
    size_t count = json_array_size(agents);
    OWNED const char **names = memory_new(count, sizeof(*names));
    for (size_t i = 0; i < count; i++)
        names[i] = json_string_value(json_object_get(json_array_get(agents, i), "name"));
    status = status != 0 ? status : give_all(invocation, names, count);
    return status;
}

int verb_order(struct invocation *invocation)
{
    return output_end(invocation_has(invocation, OPTION_ALL)
                          ? give_everybody(invocation)
                          : give_all(invocation, invocation->words, invocation->word_count));
}

int verb_reload(struct invocation *invocation)
{
    return output_end(give_all(invocation, (const char *const[]){NULL}, 1));
}

int verb_retry(struct invocation *invocation)
{
    const char *const everybody[] = {NULL};
    return output_end(give_all(invocation, invocation->word_count ? invocation->words : everybody, 1));
}

/* The worker alone writes its tree; the rollback begins after the task in hand, as long as that takes. */
int verb_rollback(struct invocation *invocation)
{
    int status = 0;
    json_t *request = json_pack("{s:s, s:s, s:s}", "verb", "rollback", "agent", invocation->words[0],
                                "commit", invocation->words[1]);
    json_auto_t *answer = client_call(invocation, request, 0, &status);
    client_show_said(answer);
    return output_end(status);
}

/* node NULL: asks how far the move is. look: nothing is done yet. */
static void ask_for_move(const struct invocation *invocation, const char *node, bool look,
                         char stage[STAGE_MAX], int *status)
{
    json_t *request =
        json_pack("{s:s, s:s, s:s*, s:b, s:b}", "verb", "move", "agent", invocation->words[0], "node", node,
                  "look", look, "from_remote", invocation_has(invocation, OPTION_FROM_REMOTE));
    json_auto_t *answer = client_call(invocation, request, CLIENT_PATIENCE, status);
    if (look)
        client_show_said(answer);
    const char *said = json_string_value(json_object_get(answer, "stage"));
    snprintf(stage, STAGE_MAX, "%s", said != NULL ? said : "");
}

/* The supervisor carries the agent over; a client that is interrupted changes nothing about that. */
int verb_move(struct invocation *invocation)
{
    char stage[STAGE_MAX], before[STAGE_MAX] = "";
    int status = 0;
    if (invocation_has(invocation, OPTION_FROM_REMOTE))
        ask_for_move(invocation, invocation->words[1], true, stage, &status);
    if (status == 0)
        ask_for_move(invocation, invocation->words[1], false, stage, &status);
    while (status == 0 && strcmp(stage, "done") != 0) {
        if (*stage && strcmp(stage, before) != 0)
            fprintf(stderr, "%s: %s\n", invocation->words[0], stage);
        (void)strcpy(before, stage);
        nanosleep(&(struct timespec){.tv_nsec = MOVE_LOOK_NS}, NULL);
        ask_for_move(invocation, NULL, true, stage, &status);
    }
    return output_end(status);
}
