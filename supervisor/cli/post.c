/* `agentos send`, `requeue` and `purge`: the operator's requests to the post office. */
#include <stdio.h>
#include <sysexits.h>

#include "common/memory.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/input.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

/* Prints one text of the answer, if it is there. */
static void show_text(const json_t *answer, const char *key)
{
    const char *text = json_string_value(json_object_get(answer, key));
    if (text != NULL) {
        OWNED char *clean = output_clean(text, 0);
        puts(clean);
    }
}

static int hand_in(struct invocation *invocation, const char *what, const char *receiver)
{
    int status = 0;
    struct fault fault = {0};
    OWNED char *text = input_text(invocation, what, &status);
    if (text == NULL) {
        return status;
    }
    json_t *words = json_string(text);
    if (words == NULL) {
        output_complain("the %s's text is not valid UTF-8; nothing was done", what);
        return EX_DATAERR;
    }
    json_t *request = json_pack("{s:s, s:s, s:o}", "verb", invocation->verb->name, receiver,
                                invocation->words[0], "text", words);
    if (request == NULL || !input_life(invocation, request, &fault)) {
        output_complain("%s", request != NULL ? fault.text : "the receiver's name is not valid UTF-8");
        json_decref(request);
        return EX_USAGE;
    }
    if (invocation->options[OPTION_ID] != NULL) {
        json_object_set_new(request, "id", json_string(invocation->options[OPTION_ID]));
    }
    json_t *answer = client_call(invocation, request, CLIENT_PATIENCE, &status);
    const char *known = json_string_value(json_object_get(answer, "known"));
    show_text(answer, "id");
    if (status == 0 && known != NULL) {
        output_complain("the item is %s already; nothing was added", known);
    }
    json_decref(answer);
    return output_end(status);
}

int verb_send(struct invocation *invocation)
{
    return hand_in(invocation, "message", "agent");
}

int verb_enqueue(struct invocation *invocation)
{
    return hand_in(invocation, "item", "queue");
}

int verb_dead_letter(struct invocation *invocation)
{
    int status = 0;
    json_t *request = json_pack("{s:s, s:s}", "verb", invocation->verb->name, "id", invocation->words[0]);
    json_t *answer = client_call(invocation, request, CLIENT_PATIENCE, &status);
    show_text(answer, "said");
    json_decref(answer);
    return output_end(status);
}
