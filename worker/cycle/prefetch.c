/* The next question, asked while the last answer is being committed.
 *
 * From the moment in which an answer's consequences are decided until they are durable, in place, and told, the model
 * could be thinking already. So when a task has ended as most do, the block that will be next is asked about before the
 * commit begins, with a prompt that knows the newest learning. The block is in hand then: it is next, whatever more
 * urgent work comes until then, unless a person takes it out of the queue or changes it.
 *
 * When the block's turn comes within some milliseconds, the question that is out is the block's: a prompt may be so
 * much older than people's edits. Later, or when a file was read anew since, the block's question is made again. If it
 * equals the question that is out, byte for byte, the latter's answer is used; else the question that is out is taken
 * back, the new question is asked, and no question is prefetched for an hour, since every wrong guess may cost money.
 * The crash: no question is prefetched before the answer in hand is stored (answer_store.h), so a kill costs the
 * question that is out, as it always does, and never the answer before it: the next worker commits that answer without
 * asking again. A power cut costs both, for the stored answer isn't flushed. No file says that a question was
 * prefetched; the task is begun, its attempt counted, when its turn comes. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "worker/cycle/worker.h"

enum { TASK_AHEAD_MAX = 64 * 1024, WRONG_GUESS_MS = 60 * 60 * 1000 };

/* No known event will change the next task, or the text of its question. */
static bool is_quiet(const struct worker *worker, const struct sending *sending)
{
    return !worker->orders.pause && !worker->orders.stop && !worker->line.lost && !worker->orders.rollback &&
           !worker->looks.tree && !worker->looks.mail && worker->leases.count == 0 &&
           !link_has(worker->line.link) && sending->ids.length == 0 && sending->refused.length == 0;
}

/* A failure may be the watchdog's affair, an audit's score belongs into the next prompt, and a merge's marks into none. */
static bool allowed(struct worker *worker, const struct reply *reply, const struct sending *sending)
{
    return worker->task.answer.kept && reply->reward >= 0 && auditing_score(worker) == AUDIT_NONE &&
           !auditing_busy(worker) && mail_silent(worker->mail) && is_quiet(worker, sending) &&
           clock_monotonic_ms() >= worker->prefetch.not_before_ms && !tree_look(worker);
}

/* A block that ends without a question, or may do so, is not guessed. */
static const struct block *guess(struct worker *worker)
{
    struct fault fault;
    if (!queue_look(worker->queue, NULL, &fault))
        return NULL;
    const struct block *block = choice_ahead(worker);
    bool plain = block && !block->lock && block->ttl_seconds == 0 && strlen(block->task) <= TASK_AHEAD_MAX &&
                 strlen(block->id) <= MESSAGE_TASK_MOST &&
                 attempts_failed(worker->attempts, block->id, block->hash) == 0 &&
                 !history_known(worker->history, block->id, block->hash);
    return plain ? block : NULL;
}

static void drop(struct prefetch *prefetch)
{
    free(prefetch->id);
    free(prefetch->task);
    buffer_free(&prefetch->prompt);
    buffer_free(&prefetch->problems);
    *prefetch = (struct prefetch){.not_before_ms = prefetch->not_before_ms};
}

static void make_prompt(struct worker *worker, const struct block *block)
{
    struct prefetch *prefetch = &worker->prefetch;
    const struct prompt_input input = {.tree = worker->tree,
                                       .files = worker->looks.prompt,
                                       .learning = worker->learning,
                                       .task = block->task,
                                       .room = &worker->trouble.room};
    prompt_build(&input, &prefetch->prompt, &prefetch->places, &prefetch->problems);
    prefetch->at_ms = clock_monotonic_ms();
    prefetch->readings = learning_readings(worker->learning);
    prefetch->id = memory_text(block->id);
    prefetch->task = memory_text(block->task);
    prefetch->hash = block->hash;
}

void prefetch_ask(struct worker *worker, const struct reply *reply, const struct sending *sending)
{
    struct prefetch *prefetch = &worker->prefetch;
    const struct block *block = allowed(worker, reply, sending) ? guess(worker) : NULL;
    if (!block)
        return;
    make_prompt(worker, block);
    prefetch->serial = ++worker->line.serial;
    worker_say(worker, MESSAGE_AHEAD, prefetch->id);
    worker_say(worker, MESSAGE_ASK, prefetch->serial, worker->name, prefetch->prompt.data, prefetch->task,
               prefetch->places.peers, prefetch->places.segments, prefetch->places.budget,
               prefetch->places.pieces, (uint64_t)prefetch->places.least);
    worker_send(worker);
}

bool prefetch_is_out(const struct worker *worker)
{
    return worker->prefetch.serial != 0;
}

bool prefetch_is_about(const struct worker *worker, const struct block *block)
{
    const struct prefetch *prefetch = &worker->prefetch;
    return prefetch_is_out(worker) && block->hash == prefetch->hash && strcmp(block->id, prefetch->id) == 0;
}

static bool is_about_this(const struct prefetch *prefetch, const struct task *task)
{
    return !task->by_post && task->hash == prefetch->hash && strcmp(task->id, prefetch->id) == 0 &&
           strcmp(task->text, prefetch->task) == 0;
}

bool prefetch_stands(struct worker *worker)
{
    struct prefetch *prefetch = &worker->prefetch;
    if (!prefetch_is_out(worker) || !is_about_this(prefetch, &worker->task) ||
        worker->task.bundle.count > 0 || prefetch->readings != learning_readings(worker->learning) ||
        clock_monotonic_ms() - prefetch->at_ms > CYCLE_FRESH_MS)
        return false;
    buffer_free(&worker->problems.prompt);
    worker->problems.prompt = prefetch->problems;
    prefetch->problems = (struct buffer){0};
    drop(prefetch);
    return true;
}

bool prefetch_counts(struct worker *worker, const struct buffer *prompt, const struct prompt_places *places)
{
    struct prefetch *prefetch = &worker->prefetch;
    if (!prefetch_is_out(worker))
        return false;
    bool same = is_about_this(prefetch, &worker->task) && prompt->length == prefetch->prompt.length &&
                memcmp(prompt->data, prefetch->prompt.data, prompt->length) == 0 &&
                places->peers == prefetch->places.peers && places->segments == prefetch->places.segments &&
                places->budget == prefetch->places.budget;
    if (same)
        drop(prefetch);
    else
        prefetch_take_back(worker);
    return same;
}

void prefetch_take_back(struct worker *worker)
{
    struct prefetch *prefetch = &worker->prefetch;
    if (prefetch_is_out(worker)) {
        worker_say(worker, MESSAGE_FORGET, prefetch->serial, worker->name);
        prefetch->not_before_ms = clock_monotonic_ms() + WRONG_GUESS_MS;
    }
    drop(prefetch);
}
