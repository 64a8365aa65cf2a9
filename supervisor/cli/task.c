/* `agentos task` and `agentos cancel`. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"
#include "supervisor/cli/answer.h"
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/progress.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/input.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

enum { LOOK_EVERY_MS = 500 };

/* "first-task: done, reward +1, commit a3f9c12" */
static void show_end(const json_t *answer)
{
    const char *end = json_string_value(json_object_get(answer, "end"));
    const char *id = json_string_value(json_object_get(answer, "id"));
    const char *commit = json_string_value(json_object_get(answer, "commit"));
    OWNED char *clean_id = output_clean(id != NULL ? id : "the task", 0);
    fprintf(stderr, "%s: %s", clean_id, end != NULL ? end : "ended");
    if (end != NULL && strcmp(end, "done") == 0 && json_is_integer(json_object_get(answer, "reward"))) {
        long long reward = (long long)json_integer_value(json_object_get(answer, "reward"));
        fprintf(stderr, ", reward %s%lld", reward > 0 ? "+" : "", reward);
    }
    if (commit != NULL && commit[0] != '\0')
        fprintf(stderr, ", commit %.7s", commit);
    fputc('\n', stderr);
}

/* Waits for the task's end, when it comes in time; the answer lies in the agent's folder then. */
static int await_end(const struct invocation *invocation, struct client *client, const char *id,
                     int64_t until)
{
    int status = 0;
    OWNED char *path = memory_print("%s/agents/%s", invocation->data_dir, invocation->words[0]);
    /* Without the folder the place in the queue isn't said. */
    OWNED_FD int folder = files_open_path(path, NULL);
    struct progress progress = {.invocation = invocation, .agent = invocation->words[0], .task = id};
    while (!client_ready(client, LOOK_EVERY_MS)) {
        if (until != 0 && clock_monotonic_ms() >= until) {
            progress_end(&progress);
            return progress_say_over(&progress);
        }
        progress_say(&progress, folder);
    }
    progress_end(&progress);
    json_auto_t *answer = client_answer(client, 0, &status);
    if (json_object_get(answer, "end") != NULL)
        show_end(answer);
    return status;
}

static int show_answer(const struct invocation *invocation, int folder, const char *id)
{
    int status = answer_show(invocation, folder, id);
    if (status < 0)
        output_complain("task %s is done, but its answer is not in outputs/ any more", id);
    return status < 0 ? EX_DATAERR : status;
}

static int follow_task(const struct invocation *invocation, struct client *client, bool wait, int64_t until)
{
    int status = 0;
    json_auto_t *answer = client_answer(client, CLIENT_PATIENCE, &status);
    OWNED char *id = memory_text(json_is_string(json_object_get(answer, "id"))
                                     ? json_string_value(json_object_get(answer, "id"))
                                     : "");
    OWNED char *clean = output_clean(id, 0);
    const char *known = json_string_value(json_object_get(answer, "known"));
    bool done = known != NULL && strcmp(known, "done") == 0;
    if (status == 0 && !wait)
        puts(clean);
    else if (status == 0 && known == NULL)
        fprintf(stderr, "%s\n", clean);
    if (status == 0 && known != NULL)
        output_complain("task %s is %s already; nothing was added", clean, known);
    if (status != 0 || !wait)
        return output_end(status);
    status = done ? 0 : await_end(invocation, client, id, until);
    OWNED char *path = NULL;
    OWNED_FD int folder = status == 0 ? data_dir_agent(invocation, invocation->words[0], &path, &status) : -1;
    return output_end(status != 0 ? status : show_answer(invocation, folder, id));
}

int verb_task(struct invocation *invocation)
{
    int status = 0;
    int64_t until = 0;
    if (!input_until(invocation, &until))
        return EX_USAGE;
    json_t *request = input_request(invocation, "task", "agent", &status);
    if (request == NULL)
        return status;
    if (invocation_has(invocation, OPTION_WAIT))
        json_object_set_new(request, "wait", json_true());
    struct client *client = client_ask(invocation, request, &status);
    if (client != NULL)
        status = follow_task(invocation, client, invocation_has(invocation, OPTION_WAIT), until);
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
