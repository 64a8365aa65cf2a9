#include "supervisor/agent/lifecycle.h"

#include <signal.h>
#include <stdlib.h>

#include "common/clock.h"
#include "supervisor/process/backoff.h"

const char *life_state_name(enum life_state state)
{
    static const char *const names[STATE_COUNT] = {
#define X(name, text) text,
        STATE_TABLE(X)
#undef X
    };
    return state < STATE_COUNT ? names[state] : "unknown";
}

bool life_is_up(const struct life *life)
{
    return life->state >= STATE_IDLE && life->state <= STATE_PAUSED;
}

bool life_has_process(const struct life *life)
{
    return life->state <= STATE_STOPPING;
}

static void become(struct life *life, enum life_state state)
{
    enum life_state before = life->state;
    life->state = state;
    if (state != before)
        life->operations->changed(life->context, before);
}

/* The actions: each row of the table names one. An operation may bring EXIT at once (there was no process yet), so
 * the state is settled before the operation is called. */

static void spawn(struct life *life)
{
    life->ready_at = 0;
    life->again = false;
    life->starts++;
    life->operations->timer(life->context, LIFE_START_MS);
    become(life, STATE_STARTING);
    life->operations->spawn(life->context);
}

static void fresh_start(struct life *life)
{
    life->failures = 0;
    spawn(life);
}

static void ready(struct life *life)
{
    life->ready_at = clock_monotonic_ms();
    life->operations->timer(life->context, -1);
    become(life, STATE_IDLE);
}

static void idle(struct life *life)
{
    become(life, STATE_IDLE);
}

static void working(struct life *life)
{
    become(life, STATE_WORKING);
}

static void waiting(struct life *life)
{
    become(life, STATE_WAITING);
}

static void paused(struct life *life)
{
    become(life, STATE_PAUSED);
}

static void ask_pause(struct life *life)
{
    life->paused = true;
    life->operations->ask_pause(life->context, true);
}

static void ask_resume(struct life *life)
{
    life->paused = false;
    life->operations->ask_pause(life->context, false);
}

static void note_pause(struct life *life)
{
    life->paused = true;
}

static void note_resume(struct life *life)
{
    life->paused = false;
}

static void begin_stop(struct life *life, bool again)
{
    life->again = again;
    life->stage = 0;
    life->operations->timer(life->context, life->grace_ms);
    become(life, STATE_STOPPING);
    life->operations->ask_stop(life->context, life->grace_ms);
}

static void stop(struct life *life)
{
    begin_stop(life, false);
}

static void restart(struct life *life)
{
    life->failures = 0;
    begin_stop(life, true);
}

static void stop_for_good(struct life *life)
{
    life->again = false;
}

static void then_again(struct life *life)
{
    life->again = true;
}

static void escalate(struct life *life)
{
    if (life->stage < 2)
        life->stage++;
    life->operations->timer(life->context, LIFE_TERM_MS);
    life->operations->signal(life->context, life->stage == 1 ? SIGTERM : SIGKILL);
}

static void kill_now(struct life *life)
{
    life->operations->signal(life->context, SIGKILL);
}

static void settle(struct life *life)
{
    life->operations->timer(life->context, -1);
    become(life, STATE_STOPPED);
}

static void left(struct life *life)
{
    if (life->again)
        spawn(life);
    else
        settle(life);
}

/* Jitter: between 0.6 and 1.0 of the delay, so that workers that fell together don't rise together. */
static void fell(struct life *life)
{
    if (life->ready_at && clock_monotonic_ms() - life->ready_at >= BACKOFF_HEALTHY_MS)
        life->failures = 0;
    int64_t delay = backoff_ms(life->failures);
    if (delay)
        delay = delay * (600 + (int64_t)arc4random_uniform(401)) / 1000;
    life->failures++;
    life->ready_at = 0;
    life->operations->timer(life->context, delay);
    become(life, STATE_BACKOFF);
}

static void hibernate(struct life *life)
{
    life->failures = 0;
    life->ready_at = 0;
    become(life, STATE_HIBERNATING);
}

static void unable(struct life *life)
{
    life->ready_at = 0;
    life->operations->timer(life->context, LIFE_FAILED_MS);
    become(life, STATE_FAILED);
}

/* An event without a row changes nothing: an order that is fulfilled already, or late news from a worker. */
typedef void action(struct life *);

#define NEWS                                                                                                 \
    [EVENT_IDLE] = idle, [EVENT_WORKING] = working, [EVENT_WAITING] = waiting, [EVENT_PAUSED] = paused
#define ORDERS_TO_A_LIVING_ONE                                                                               \
    [EVENT_STOP] = stop, [EVENT_RESTART] = restart, [EVENT_KILL] = kill_now, [EVENT_PAUSE] = ask_pause,      \
    [EVENT_RESUME] = ask_resume
#define ENDS         [EVENT_EXIT] = fell, [EVENT_UNABLE] = unable, [EVENT_HUNG] = kill_now
#define UP           NEWS, ORDERS_TO_A_LIVING_ONE, ENDS
#define NOTED_ORDERS [EVENT_PAUSE] = note_pause, [EVENT_RESUME] = note_resume
#define DOWN         NOTED_ORDERS, [EVENT_START] = fresh_start, [EVENT_RESTART] = fresh_start

static action *const table[STATE_COUNT][EVENT_COUNT] = {
    [STATE_STARTING] = {ORDERS_TO_A_LIVING_ONE, ENDS, [EVENT_READY] = ready, [EVENT_TIMER] = kill_now},
    [STATE_IDLE] = {UP, [EVENT_REST] = hibernate},
    [STATE_WORKING] = {UP},
    [STATE_WAITING] = {UP},
    [STATE_PAUSED] = {UP},
    [STATE_STOPPING] = {NOTED_ORDERS, [EVENT_START] = then_again, [EVENT_RESTART] = then_again,
                        [EVENT_STOP] = stop_for_good, [EVENT_KILL] = kill_now, [EVENT_HUNG] = kill_now,
                        [EVENT_TIMER] = escalate, [EVENT_EXIT] = left, [EVENT_UNABLE] = left},
    [STATE_STOPPED] = {DOWN, [EVENT_REST] = hibernate},
    [STATE_BACKOFF] = {DOWN, [EVENT_STOP] = settle, [EVENT_TIMER] = spawn},
    [STATE_HIBERNATING] = {DOWN, [EVENT_STOP] = settle, [EVENT_WAKE] = fresh_start},
    [STATE_FAILED] = {DOWN, [EVENT_STOP] = settle, [EVENT_TIMER] = spawn},
};

void life_begin(struct life *life, const struct life_operations *operations, void *context, int64_t grace_ms)
{
    *life = (struct life){
        .operations = operations, .context = context, .grace_ms = grace_ms, .state = STATE_STOPPED};
}

void life_event(struct life *life, enum life_event event)
{
    action *act = table[life->state][event];
    if (act)
        act(life);
}
