/* The question about the work in hand. */
#include <string.h>

#include "common/clock.h"
#include "worker/cycle/prompt.h"
#include "worker/cycle/worker.h"

static void leave_unread(struct worker *worker)
{
    struct bundle *bundle = &worker->task.bundle;
    for (size_t i = 0; i < bundle->count; i++)
        mail_put_back(worker->mail, &bundle->items[i]);
    bundle_free(bundle);
}

/* True: the gateway has it already. */
static bool asked_ahead(struct worker *worker, const char *messages, struct buffer *prompt,
                        struct prompt_places *places)
{
    const struct task *task = &worker->task;
    if (!messages && prefetch_stands(worker))
        return true;
    const struct prompt_input input = {.tree = worker->tree,
                                       .files = worker->looks.prompt,
                                       .learning = worker->learning,
                                       .task = task->by_post ? task->opened.envelope.body : task->text,
                                       .messages = messages,
                                       .room = &worker->trouble.room,
                                       .asked = task->text};
    buffer_drop(&worker->problems.prompt, worker->problems.prompt.length);
    prompt_build(&input, prompt, places, &worker->problems.prompt);
    /* people took {{messages}} out of the template: the model would not see the messages */
    if (!places->messages && task->bundle.count) {
        buffer_print(&worker->problems.prompt,
                     "the template has no {{messages}}; messages, results and bounces stay unread\n");
        leave_unread(worker);
    }
    return prefetch_counts(worker, prompt, places);
}

void cycle_ask(struct worker *worker)
{
    OWNED_BUFFER struct buffer prompt = {0}, messages = {0};
    struct task *task = &worker->task;
    struct prompt_places places;
    mail_gather(worker->mail, task->by_post ? task->id : NULL, clock_now(),
                prompt_messages_room(&worker->trouble.room, task->text), &task->bundle, &messages);
    bool asked = asked_ahead(worker, messages.length ? messages.data : NULL, &prompt, &places);
    report_problems(worker);
    report_activity(worker, ACTIVITY_WORKING, task->id, 0);
    worker->phase = PHASE_ASKED;
    worker->trouble.provider.asked_ms = clock_monotonic_ms();
    if (asked)
        return;
    size_t bytes = prompt.length + strlen(task->text);
    task->asked_least = places.least || (task->asked_bytes && bytes >= task->asked_bytes);
    task->asked_bytes = bytes;
    worker_say(worker, MESSAGE_ASK, ++worker->line.serial, worker->name, prompt.data, task->text,
               places.peers, places.segments, places.budget, places.pieces, (uint64_t)task->asked_least);
    worker_send(worker);
}

/* Each round has a prompt of fewer bytes than before, or is the last: so the loop ends. */
bool cycle_ask_smaller(struct worker *worker)
{
    if (worker->task.asked_least)
        return false;
    leave_unread(worker);
    cycle_ask(worker);
    return true;
}

bool cycle_is_mostly_task(const struct worker *worker)
{
    return strlen(worker->task.text) >= worker->task.asked_bytes / 2;
}
