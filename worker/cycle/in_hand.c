/* The work in hand: is it still there, and its end, orderly or not. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/cycle/worker.h"

void cycle_forget(struct worker *worker)
{
    if (worker->task.lock)
        leases_release(worker, worker->task.id);
    opened_envelope_free(&worker->task.opened);
    bundle_free(&worker->task.bundle);
    free(worker->task.lock);
    free(worker->task.id);
    free(worker->task.text);
    free(worker->task.from);
    free(worker->task.answer.text);
    free(worker->task.answer.finish_reason);
    free(worker->task.answer.model);
    if (!worker->orders.stop && !worker->line.lost) /* else the next worker goes on from the answer */
        answer_store_end(worker->answers);
    memset(&worker->task, 0, sizeof worker->task);
    worker->phase = PHASE_NONE;
}

bool cycle_envelope_is_there(const struct worker *worker)
{
    return worker->phase == PHASE_NONE || !worker->task.by_post ||
           mail_is_there(worker->mail, &worker->task.opened);
}

static void put_back(struct worker *worker)
{
    if (worker->task.by_post)
        mail_put_back(worker->mail, &worker->task.opened);
    for (size_t i = 0; i < worker->task.bundle.count; i++)
        mail_put_back(worker->mail, &worker->task.bundle.items[i]);
    if (worker->task.by_post || worker->task.bundle.count)
        worker->looks.mail = true;
}

void cycle_put_down(struct worker *worker)
{
    if (!worker->task.by_post)
        attempts_end(worker->attempts, worker->task.id, worker->task.hash);
    put_back(worker);
    choice_take_back(worker);
    cycle_forget(worker);
}

void cycle_abandon(struct worker *worker)
{
    if (worker->phase == PHASE_NONE)
        return;
    if (worker->phase == PHASE_ASKED)
        worker_say(worker, MESSAGE_FORGET, worker->line.serial, worker->name);
    log_info("agent", worker->name, "Task %s is put down; it stays in the %s.", worker->task.id,
             worker->task.by_post ? "post" : "queue");
    cycle_put_down(worker);
}
