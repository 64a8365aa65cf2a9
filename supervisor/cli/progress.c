#include "supervisor/cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/printable.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/listings/task_state.h"

enum { LOOK_EVERY_MS = 1000 };

/* "working: first-task, asks the model gpt-4o", "waiting: provider (until …): the sentence that says more" */
static char *doing_of(const json_t *agent)
{
    const char *state = json_string_value(json_object_get(agent, "state"));
    const char *detail = json_string_value(json_object_get(agent, "detail"));
    const json_t *problems = json_object_get(agent, "problems");
    const char *problem = json_string_value(json_array_get(problems, json_array_size(problems) - 1));
    const char *model = json_string_value(json_object_get(agent, "model"));
    bool waits = state != NULL && strcmp(state, "waiting") == 0 && problem != NULL;
    bool asks = state != NULL && strcmp(state, "working") == 0 && model != NULL;
    return memory_print("%s%s%s",
                        detail != NULL  ? detail
                        : state != NULL ? state
                                        : "unknown",
                        waits  ? ": "
                        : asks ? ", asks the model "
                               : "",
                        waits  ? problem
                        : asks ? model
                               : "");
}

/* Without a supervisor nothing is done at the moment. */
static char *what_it_does(const struct progress *progress)
{
    int status = 0;
    if (!client_reaches(progress->invocation))
        return memory_text("no supervisor is running");
    json_t *request = json_pack("{s:s, s:s}", "verb", "status", "agent", progress->agent);
    json_auto_t *answer = client_call(progress->invocation, request, CLIENT_PATIENCE, &status);
    const json_t *agents = json_object_get(json_object_get(answer, "status"), "agents");
    return doing_of(json_array_get(agents, 0));
}

void progress_say(struct progress *progress, int folder)
{
    int64_t now = clock_monotonic_ms();
    if (progress->looked_ms != 0 && now - progress->looked_ms < LOOK_EVERY_MS)
        return;
    progress->looked_ms = now;
    long place = progress->task != NULL ? task_state_place(folder, progress->task) : 0;
    OWNED char *number = place > 1 ? memory_print("number %ld in the queue; ", place) : memory_text("");
    OWNED char *doing = what_it_does(progress);
    OWNED char *line =
        memory_print("%s: %s%s: %s", progress->task != NULL ? progress->task : "the next answer", number,
                     progress->agent, doing);
    if (progress->said != NULL && strcmp(progress->said, line) == 0)
        return;
    memory_set(&progress->said, line);
    OWNED char *clean = output_clean(line, 0);
    fprintf(stderr, isatty(STDERR_FILENO) ? "\r\033[K%s" : "%s\n", clean);
    (void)fflush(stderr);
}

void progress_end(struct progress *progress)
{
    if (progress->said != NULL && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    memory_set(&progress->said, NULL);
}

int progress_say_over(const struct progress *progress)
{
    OWNED char *word = progress->task != NULL ? printable_word(progress->task) : memory_text("");
    output_complain(
        "the time to wait is over; %s goes on (`agentos answer %s%s%s --wait` waits for it again)",
        progress->task != NULL ? progress->task : "the task", progress->agent,
        progress->task != NULL ? " " : "", word);
    return EX_TEMPFAIL;
}
