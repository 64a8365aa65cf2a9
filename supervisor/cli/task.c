/* `agentos task` and `agentos cancel`. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "common/memory.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/input.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

static bool add_options(const struct invocation *invocation, json_t *request, struct fault *fault)
{
    if (!input_life(invocation, request, fault)) {
        return false;
    }
    if (invocation->options[OPTION_ID] != NULL) {
        json_object_set_new(request, "id", json_string(invocation->options[OPTION_ID]));
    }
    if (invocation->options[OPTION_LOCK] != NULL) {
        json_object_set_new(request, "lock", json_string(invocation->options[OPTION_LOCK]));
    }
    if (invocation_has(invocation, OPTION_WAIT)) {
        json_object_set_new(request, "wait", json_true());
    }
    return true;
}

/* "first-task: done, reward +1, commit a3f9c12" */
static void show_end(const json_t *answer)
{
    const char *end = json_string_value(json_object_get(answer, "end"));
    const char *id = json_string_value(json_object_get(answer, "id"));
    const char *commit = json_string_value(json_object_get(answer, "commit"));
    OWNED char *clean_id = output_clean(id != NULL ? id : "the task", 0);
    printf("%s: %s", clean_id, end != NULL ? end : "ended");
    if (end != NULL && strcmp(end, "done") == 0 && json_is_integer(json_object_get(answer, "reward"))) {
        long long reward = (long long)json_integer_value(json_object_get(answer, "reward"));
        printf(", reward %s%lld", reward > 0 ? "+" : "", reward);
    }
    if (commit != NULL && commit[0] != '\0') {
        printf(", commit %.7s", commit);
    }
    putchar('\n');
}

static int follow_task(struct client *client, bool wait)
{
    int status = 0;
    json_t *answer = client_answer(client, CLIENT_PATIENCE, &status);
    const char *id = json_string_value(json_object_get(answer, "id"));
    if (status == 0 && id != NULL) {
        OWNED char *clean = output_clean(id, 0);
        puts(clean);
        (void)fflush(stdout);
    }
    json_decref(answer);
    if (status != 0 || !wait) {
        return output_end(status);
    }
    answer = client_answer(client, 0, &status);
    if (json_object_get(answer, "end") != NULL) {
        show_end(answer);
    }
    json_decref(answer);
    return output_end(status);
}

int verb_task(struct invocation *invocation)
{
    int status = 0;
    struct fault fault = {0};
    OWNED char *text = input_text(invocation, "task", &status);
    if (text == NULL) {
        return status;
    }
    json_t *words = json_string(text);
    if (words == NULL) {
        output_complain("the task's text is not valid UTF-8; nothing was done");
        return EX_DATAERR;
    }
    json_t *request =
        json_pack("{s:s, s:s, s:o}", "verb", "task", "agent", invocation->words[0], "text", words);
    if (request == NULL || !add_options(invocation, request, &fault)) {
        output_complain("%s", request != NULL ? fault.text : "the agent's name is not valid UTF-8");
        json_decref(request);
        return EX_USAGE;
    }
    struct client *client = client_ask(invocation, request, &status);
    if (client != NULL) {
        status = follow_task(client, invocation_has(invocation, OPTION_WAIT));
    }
    client_close(client);
    return status;
}

int verb_cancel(struct invocation *invocation)
{
    int status = 0;
    json_t *request = json_pack("{s:s, s:s, s:s}", "verb", "cancel", "agent", invocation->words[0], "task",
                                invocation->words[1]);
    json_decref(client_call(invocation, request, CLIENT_PATIENCE, &status));
    return output_end(status);
}
