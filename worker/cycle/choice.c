#include "worker/cycle/choice.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "worker/cycle/worker.h"

/* --- the rules --- */

static bool is_of(const struct candidate *candidate, const char *sender)
{
    return sender && strcmp(candidate->sender, sender) == 0;
}

static bool others_wait(const struct candidate *candidates, size_t count, const char *sender)
{
    for (size_t i = 0; i < count; i++)
        if (!is_of(&candidates[i], sender))
            return true;
    return false;
}

/* Does a go before b, by priority and then by age? A block without a time is as old as it was waiting. */
static bool goes_before(const struct candidate *a, const struct candidate *b)
{
    if (a->priority != b->priority)
        return a->priority < b->priority;
    if ((a->block != NULL) == (b->block != NULL)) /* in their own order */
        return false;
    return a->created && b->created ? a->created < b->created : a->waited_ms > b->waited_ms;
}

const struct candidate *choice_of(const struct candidate *candidates, size_t count, const struct turn *last,
                                  bool *by_age)
{
    const struct candidate *block = NULL, *letter = NULL, *old = NULL;
    const char *had = last->sender && others_wait(candidates, count, last->sender) ? last->sender : NULL;
    for (size_t i = 0; i < count; i++) {
        const struct candidate *candidate = &candidates[i], **best = candidate->block ? &block : &letter;
        if (is_of(candidate, had))
            continue;
        if (!*best || goes_before(candidate, *best))
            *best = candidate;
        if (candidate->waited_ms >= CHOICE_OLD_MS &&
            (!old || candidate->waited_ms > old->waited_ms ||
             (candidate->waited_ms == old->waited_ms && candidate->priority < old->priority)))
            old = candidate;
    }
    *by_age = old && !last->by_age;
    if (*by_age)
        return old;
    return !letter || (block && !goes_before(letter, block)) ? block : letter;
}

/* --- work that can be done now --- */

struct gathering {
    struct worker *worker;
    bool untried_only;
    bool ahead; /* behind the task in hand */
    struct candidate *candidates;
    size_t count;
};

bool choice_passes_over(const struct worker *worker, bool untried_only, const char *id, uint64_t hash)
{
    const struct deferred *deferred = worker->trouble.deferred;
    return untried_only ? deferred_knows(deferred, id, hash) : deferred_has(deferred, id, hash);
}

static void add(struct gathering *gathering, struct candidate candidate)
{
    *MEMORY_ADD(gathering->candidates, gathering->count) = candidate;
}

/* Never the block that is looked for, so that all blocks are seen. */
static bool take_block(void *context, const struct block *block)
{
    struct gathering *gathering = context;
    struct worker *worker = gathering->worker;
    const struct task *task = &worker->task;
    bool in_hand = gathering->ahead && block->hash == task->hash && strcmp(block->id, task->id) == 0;
    if (!in_hand && !choice_passes_over(worker, gathering->untried_only, block->id, block->hash) &&
        leases_state(worker, block) != LEASE_WAITS)
        add(gathering, (struct candidate){.sender = block->from ? block->from : "operator",
                                          .priority = block->priority,
                                          .created = block->created,
                                          .waited_ms = waiting_ms(worker->turns.waiting,
                                                                  waiting_key(block->id, block->hash)),
                                          .block = block});
    return true;
}

static bool take_letter(void *context, const struct letter *letter)
{
    struct gathering *gathering = context;
    struct worker *worker = gathering->worker;
    if (!envelope_kind_has(letter->head.kind, KIND_STARTS_CYCLE) && gathering->count > 0)
        return true; /* a full shelf's results start a cycle where nothing else is to be done */
    if (!choice_passes_over(worker, gathering->untried_only, letter->head.id, letter->hash))
        add(gathering, (struct candidate){.sender = letter->head.from,
                                          .priority = letter->head.priority,
                                          .created = letter->head.created,
                                          .waited_ms = waiting_ms(worker->turns.waiting,
                                                                  waiting_key(letter->head.id, letter->hash)),
                                          .letter = letter});
    return true;
}

static struct candidate choose(struct gathering *gathering)
{
    struct turns *turns = &gathering->worker->turns;
    const struct candidate *chosen =
        choice_of(gathering->candidates, gathering->count, &turns->last, &turns->next_by_age);
    struct candidate candidate = chosen ? *chosen : (struct candidate){0};
    free(gathering->candidates);
    return candidate;
}

void choice_next(struct worker *worker, bool untried_only, const struct block **block,
                 const struct letter **letter)
{
    struct gathering gathering = {.worker = worker, .untried_only = untried_only};
    queue_next(worker->queue, take_block, &gathering);
    mail_next(worker->mail, clock_now(), take_letter, &gathering);
    struct candidate chosen = choose(&gathering);
    *block = chosen.block;
    *letter = chosen.letter;
}

const struct block *choice_ahead(struct worker *worker)
{
    struct gathering gathering = {.worker = worker, .ahead = true};
    queue_next(worker->queue, take_block, &gathering);
    return choose(&gathering).block;
}

/* --- turns --- */

void choice_begun(struct worker *worker)
{
    struct turns *turns = &worker->turns;
    free(turns->before.sender);
    turns->before = turns->last;
    turns->last = (struct turn){.sender = memory_text(worker->task.from ? worker->task.from : "operator"),
                                .by_age = turns->next_by_age};
}

void choice_take_back(struct worker *worker)
{
    struct turns *turns = &worker->turns;
    free(turns->last.sender);
    turns->last = turns->before;
    turns->before = (struct turn){0};
}

static bool note_block(void *context, const struct block *block)
{
    waiting_note(context, waiting_key(block->id, block->hash));
    return true;
}

static bool note_letter(void *context, const struct letter *letter)
{
    waiting_note(context, waiting_key(letter->head.id, letter->hash));
    return true;
}

void choice_look(struct worker *worker, int64_t now_ms)
{
    enum agent_activity activity = worker->activity.now;
    waiting_pass(worker->turns.waiting, activity != ACTIVITY_WAITING && activity != ACTIVITY_PAUSED, now_ms);
    if (!waiting_is_due(worker->turns.waiting, now_ms))
        return;
    waiting_begin(worker->turns.waiting);
    queue_next(worker->queue, note_block, worker->turns.waiting);
    mail_next(worker->mail, clock_now(), note_letter, worker->turns.waiting);
    waiting_end(worker->turns.waiting, now_ms);
}

void choice_free(struct worker *worker)
{
    free(worker->turns.last.sender);
    free(worker->turns.before.sender);
    waiting_close(worker->turns.waiting);
}
