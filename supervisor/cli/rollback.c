/* `agentos rollback`: asks the agent's worker, which alone writes its tree. */
#include <stdio.h>

#include "common/memory.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

int verb_rollback(struct invocation *invocation)
{
    int status = 0;
    json_t *request = json_pack("{s:s, s:s, s:s}", "verb", "rollback", "agent", invocation->words[0],
                                "commit", invocation->words[1]);
    /* It waits for the end of the task in hand, as long as that takes. */
    json_t *answer = client_call(invocation, request, 0, &status);
    const char *said = json_string_value(json_object_get(answer, "said"));
    if (said != NULL) {
        OWNED char *clean = output_clean(said, 1);
        fputs(clean, stdout);
    }
    json_decref(answer);
    return output_end(status);
}
