/* `agentos send`, `requeue` and `purge`: the operator's requests to the post office. */
#include <stdio.h>

#include "common/memory.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/input.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

static int hand_in(struct invocation *invocation, const char *what, const char *receiver)
{
    int status = 0;
    json_t *request = input_request(invocation, what, receiver, &status);
    if (request == NULL)
        return status;
    json_auto_t *answer = client_call(invocation, request, CLIENT_PATIENCE, &status);
    const char *known = json_string_value(json_object_get(answer, "known"));
    const char *id = json_string_value(json_object_get(answer, "id"));
    if (id != NULL) {
        OWNED char *clean = output_clean(id, 0);
        puts(clean);
    }
    if (status == 0 && known != NULL)
        output_complain("the item is %s already; nothing was added", known);
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
    json_auto_t *answer = client_call(invocation, request, CLIENT_PATIENCE, &status);
    client_show_said(answer);
    return output_end(status);
}
