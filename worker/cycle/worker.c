/* One worker's life: connect, bring the tree to order, then work until told to stop. */
#include "worker/cycle/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/memory.h"
#include "worker/cycle/bootstrap.h"

enum { TIDY_AFTER_MS = 1000, TIDY_AGAIN_MS = 20, SETTLE_AFTER_MS = 200, TERM_GRACE_MS = 8000 };

/* --- the supervisor's messages --- */

static void on_heartbeat(struct worker *worker, struct reader *reader)
{
    uint64_t serial;
    if (message_read(reader, MESSAGE_HEARTBEAT, &serial))
        worker_say(worker, MESSAGE_ALIVE, serial);
}

static void on_look(struct worker *worker, struct reader *reader)
{
    uint64_t what;
    if (!message_read(reader, MESSAGE_LOOK, &what))
        return;
    worker->looks.queue = worker->looks.queue || (what & LOOK_QUEUE);
    worker->looks.tree = worker->looks.tree || (what & LOOK_TREE);
    worker->looks.people = worker->looks.people || (what & LOOK_TREE);
    worker->looks.mail = worker->looks.mail || (what & LOOK_IAC);
    if (what & LOOK_SHELF)
        mail_is_full(worker->mail);
    if (what & LOOK_BUDGET && worker->trouble.budget)
        timers_disarm(&worker->timers, TIMER_BACKOFF);
    if (what & LOOK_RETRY) {
        deferred_retry(worker->trouble.deferred);
        worker->trouble.delay_ms = 0;
        if (!worker->trouble.budget)
            timers_disarm(&worker->timers, TIMER_BACKOFF);
    }
    timers_arm(&worker->timers, TIMER_FIGURES, clock_monotonic_ms());
}

static void stop_within(struct worker *worker, int64_t grace_ms)
{
    worker->orders.stop = true;
    timers_arm(&worker->timers, TIMER_STOP, clock_monotonic_ms() + grace_ms);
}

static void on_stop(struct worker *worker, struct reader *reader)
{
    uint64_t grace_ms;
    if (message_read(reader, MESSAGE_STOP, &grace_ms))
        stop_within(worker, grace_ms > 86400000 ? 86400000 : (int64_t)grace_ms);
}

static void on_rest(struct worker *worker, struct reader *reader)
{
    worker->orders.rest = message_end(reader);
}

static void on_pause(struct worker *worker, struct reader *reader)
{
    uint64_t pause;
    if (message_read(reader, MESSAGE_PAUSE, &pause))
        worker->orders.pause = pause != 0;
}

static void on_cancel(struct worker *worker, struct reader *reader)
{
    uint64_t serial;
    OWNED char *task = NULL;
    if (message_read(reader, MESSAGE_CANCEL, &serial, &task))
        worker_say(worker, MESSAGE_CANCELLED, serial, (uint64_t)task_ends_cancel(worker, task));
}

static void on_rollback(struct worker *worker, struct reader *reader)
{
    uint64_t serial;
    char *commit = NULL;
    if (!message_read(reader, MESSAGE_ROLLBACK, &serial, &commit))
        return;
    if (worker->orders.rollback) {
        free(commit);
        worker_say(worker, MESSAGE_ROLLED, serial, (uint64_t)EX_TEMPFAIL,
                   "another rollback of this agent waits for the end of its task; try again");
        return;
    }
    worker->orders.rollback = commit;
    worker->orders.rollback_serial = serial;
}

static void on_definition(struct worker *worker, struct reader *reader)
{
    OWNED char *text = NULL;
    struct roster_agent *agent = NULL;
    if (!message_read(reader, MESSAGE_DEFINITION, &text) || !(agent = roster_decode(text, strlen(text))))
        return;
    if (strcmp(agent->name, worker->name) != 0) {
        roster_agent_free(agent);
        return;
    }
    roster_agent_free(worker->start->agent);
    worker->start->agent = agent;
    worker->name = agent->name;
    struct fault fault;
    buffer_drop(&worker->problems.tree, worker->problems.tree.length);
    if (!bootstrap_tree(worker->tree, worker->path, agent, worker->history, &worker->problems.tree, &fault))
        buffer_print(&worker->problems.tree, "%s\n", fault.text);
    report_problems(worker);
}

static void on_answer(struct worker *worker, struct reader *reader)
{
    uint64_t serial, kind, retry_after_ms, answered_ms;
    struct question_usage usage;
    OWNED char *agent = NULL, *provider = NULL;
    char *text = NULL, *finish_reason = NULL, *model = NULL;
    if (!message_read(reader, MESSAGE_ANSWER, &serial, &agent, &kind, &text, &finish_reason, &model,
                      &usage.tokens_in, &usage.tokens_out, &provider, &retry_after_ms, &answered_ms,
                      &usage.cached, &usage.requests, &usage.cost))
        return;
    if (serial & AUDITING_SERIAL) {
        report_count_tokens(worker, usage.tokens_in + usage.tokens_out, clock_now());
        timers_arm(&worker->timers, TIMER_FIGURES, clock_monotonic_ms());
        auditing_answer(worker, serial, (enum answer_kind)kind, text, &usage, (int64_t)retry_after_ms);
        text = NULL;
    } else if (worker->phase == PHASE_ASKED && serial == worker->line.serial) {
        cycle_answer(worker, (enum answer_kind)kind, text, finish_reason, model, &usage,
                     (int64_t)retry_after_ms, (int64_t)answered_ms);
        return;
    }
    free(text);
    free(finish_reason);
    free(model);
}

static void on_room(struct worker *worker, struct reader *reader)
{
    uint64_t serial;
    OWNED char *agent = NULL;
    struct prompt_room room;
    if (message_read(reader, MESSAGE_ROOM, &serial, &agent, &room.bytes, &room.learned, &room.pieces))
        worker->trouble.room = room;
}

static void on_audited(struct worker *worker, struct reader *reader)
{
    uint64_t serial, end;
    char *text = NULL;
    OWNED char *task = NULL;
    if (message_read(reader, MESSAGE_AUDITED, &serial, &end, &task, &text))
        auditing_result(worker, serial, (enum audit_end)end, text);
}

static void on_waiting(struct worker *worker, struct reader *reader)
{
    uint64_t serial, until;
    OWNED char *agent = NULL, *why = NULL, *sentence = NULL;
    if (!message_read(reader, MESSAGE_WAITING, &serial, &agent, &why, &until, &sentence))
        return;
    if (worker->phase != PHASE_ASKED || serial != worker->line.serial)
        return;
    bool asked = !*why;
    memory_set(&worker->trouble.sentence, asked ? NULL : sentence);
    report_problems(worker);
    report_activity(worker, asked ? ACTIVITY_WORKING : ACTIVITY_WAITING, asked ? worker->task.id : why,
                    (int64_t)until);
}

static void on_verdict(struct worker *worker, struct reader *reader)
{
    uint64_t at;
    OWNED char *id = NULL, *status = NULL, *reason = NULL;
    if (message_read(reader, MESSAGE_VERDICT, &id, &status, &reason, &at))
        mail_step_verdict(worker, id, status, reason, (int64_t)at);
}

static void on_locked(struct worker *worker, struct reader *reader)
{
    uint64_t token, lease_until;
    OWNED char *task = NULL, *name = NULL, *holder = NULL;
    if (message_read(reader, MESSAGE_LOCKED, &task, &name, &token, &lease_until, &holder))
        leases_said(worker, task, name, token, (int64_t)lease_until, holder);
}

static const struct {
    unsigned type;
    void (*handle)(struct worker *, struct reader *);
} handlers[] = {
    {MESSAGE_HEARTBEAT, on_heartbeat}, {MESSAGE_LOOK, on_look},         {MESSAGE_STOP, on_stop},
    {MESSAGE_PAUSE, on_pause},         {MESSAGE_CANCEL, on_cancel},     {MESSAGE_DEFINITION, on_definition},
    {MESSAGE_ANSWER, on_answer},       {MESSAGE_WAITING, on_waiting},   {MESSAGE_REST, on_rest},
    {MESSAGE_AUDITED, on_audited},     {MESSAGE_ROLLBACK, on_rollback}, {MESSAGE_VERDICT, on_verdict},
    {MESSAGE_LOCKED, on_locked},       {MESSAGE_ROOM, on_room},
};

static void receive(struct worker *worker)
{
    const void *bytes;
    size_t length;
    int got;
    /* The prefetched question has its turn first: its answer is known as such only after that. */
    while (!worker->line.lost && !prefetch_is_out(worker) &&
           (got = link_receive(worker->line.link, &bytes, &length)) != 0) {
        if (got < 0) {
            worker->line.lost = true;
            return;
        }
        struct reader reader;
        unsigned type = 0;
        if (!message_receive(&reader, bytes, length, PARTY_SUPERVISOR, PARTY_WORKER, &type))
            continue;
        for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++)
            if (handlers[i].type == type)
                handlers[i].handle(worker, &reader);
    }
}

/* --- the loop --- */

/* Joining packs costs as much of the processor as the commits that made them, and a checkpoint writes out the whole
 * disk's files. Both wait until no question is out: other agents need the machine meanwhile. step() does what is urgent.
 * An answer that can't be stored waits for room on the disk, which the tidying may make. */
static void tidy(struct worker *worker, int64_t now)
{
    if (!timers_due(&worker->timers, TIMER_TIDY))
        return;
    int64_t next = worker->phase == PHASE_ANSWER ? 0 : prune_step(worker);
    next = next != 0 && next < now + TIDY_AGAIN_MS ? now + TIDY_AGAIN_MS : next;
    if (worker->phase == PHASE_ASKED) { /* the timer stays due */
        if (next != 0)
            timers_arm(&worker->timers, TIMER_TIDY, next);
        return;
    }
    bool idle = worker->phase == PHASE_NONE, more = history_tidy(worker->history, false);
    more = (idle && queue_tidy(worker->queue)) || more;
    int64_t at = more ? now + TIDY_AGAIN_MS : history_tidy_at(worker->history);
    timers_arm(&worker->timers, TIMER_TIDY, next != 0 && (at == 0 || next < at) ? next : at);
    if (!more && idle)
        malloc_trim(0); /* memory that the work took; there may be hundreds of idle workers */
}

/* True: the queue was read whole. */
static bool look_at_queue(struct worker *worker)
{
    struct fault fault;
    int64_t retry_ms = 0;
    bool read = queue_look(worker->queue, &retry_ms, &fault);
    worker->looks.queue = false;
    timers_arm(&worker->timers, TIMER_QUEUE, retry_ms > 0 ? clock_monotonic_ms() + retry_ms : 0);
    report_queue(worker, read ? NULL : fault.text);
    return read && retry_ms == 0;
}

/* The answer to a prompt that is out will speak of the prompt's skills, so the learned files are read between cycles
 * only. */
static void roll_back(struct worker *worker)
{
    OWNED_BUFFER struct buffer said = {0};
    OWNED char *commit = worker->orders.rollback;
    worker->orders.rollback = NULL;
    int status = rollback_to(worker, commit, &said);
    worker_say(worker, MESSAGE_ROLLED, worker->orders.rollback_serial, (uint64_t)status, said.data);
}

/* A commit's envelopes lie in the outbox only when its files are in place: then the supervisor is told once more. */
static void settle(struct worker *worker, int64_t now)
{
    struct fault fault;
    if (!timers_on(&worker->timers, TIMER_SETTLE) && history_unsettled(worker->history))
        timers_arm(&worker->timers, TIMER_SETTLE, now + SETTLE_AFTER_MS);
    if (!timers_take(&worker->timers, TIMER_SETTLE))
        return;
    if (!history_settle(worker->history, &fault)) {
        timers_arm(&worker->timers, TIMER_SETTLE, now + SETTLE_AFTER_MS);
        return;
    }
    timers_arm(&worker->timers, TIMER_MAIL, now);
    worker_say(worker, MESSAGE_POST, "");
}

/* Timers whose time follows from what their owner has in hand, known when the step is over. A time between the
 * step's start and now is armed too: the step may have looked before that time came. */
static void arm_for_owners(struct worker *worker, int64_t since)
{
    bool idle = worker->phase == PHASE_NONE;
    timers_arm(&worker->timers, TIMER_AUDIT, auditing_due(worker));
    timers_arm(&worker->timers, TIMER_LEASES, idle ? leases_look_at_ms(worker, since) : 0);
    timers_arm(&worker->timers, TIMER_DEFERRED, idle ? deferred_next_ms(worker->trouble.deferred, since) : 0);
}

static void step(struct worker *worker)
{
    int64_t now = clock_monotonic_ms();
    timers_ring(&worker->timers, now);
    if (worker->task.lease_lost)
        cycle_abandon(worker);
    if (worker->phase == PHASE_ANSWER && !timers_armed(&worker->timers, TIMER_BACKOFF))
        cycle_finish(worker);
    bool whole = false;
    if (worker->looks.queue || worker->phase == PHASE_NONE || timers_due(&worker->timers, TIMER_QUEUE))
        whole = look_at_queue(worker);
    mail_step_look(worker, now);
    if (whole && worker->phase != PHASE_ANSWER && /* envelopes that expired meanwhile have their commit */
        deferred_reconcile(worker->trouble.deferred, worker->queue, worker->mail))
        report_problems(worker);
    choice_look(worker, now);
    if (worker->leases.count)
        leases_reconcile(worker);
    task_ends_expire(worker, now);
    if (worker->phase == PHASE_NONE && worker->orders.rollback)
        roll_back(worker);
    auditing_step(worker, now);
    if (worker->phase == PHASE_NONE && !worker->orders.stop)
        cycle_next(worker);
    prefetch_take_back(worker);
    mail_step_record(worker, now);
    if (worker->phase == PHASE_ASKED) { /* while the model thinks */
        if (!link_has(worker->line.link)) {
            worker_send(worker);
            history_ready(worker->history);
        }
        history_tidy(worker->history, true);
    }
    tidy(worker, now);
    if (timers_due(&worker->timers, TIMER_FIGURES) ||
        (worker->phase == PHASE_NONE && timers_on(&worker->timers, TIMER_FIGURES)))
        report_figures(worker);
    settle(worker, now);
    arm_for_owners(worker, now);
}

/* Decided right after a look at the queue: the messages before REST have been read. */
static bool rests(struct worker *worker)
{
    bool nothing = worker->phase == PHASE_NONE && worker->activity.now == ACTIVITY_IDLE &&
                   !timers_on(&worker->timers, TIMER_QUEUE) && queue_depth(worker->queue) == 0 &&
                   !mail_step_has_work(worker) && !worker->looks.mail && !auditing_busy(worker);
    bool leaves = worker->orders.rest && nothing;
    worker->orders.rest = false;
    return leaves;
}

static bool over(struct worker *worker)
{
    if (worker->line.lost || rests(worker))
        return true;
    if (!worker->orders.stop)
        return false;
    return worker->phase == PHASE_NONE || worker->activity.now == ACTIVITY_WAITING ||
           !timers_armed(&worker->timers, TIMER_STOP);
}

/* When a message has come already, this turn's messages wait for the consequences of that message, one turn at most:
 * each sending costs both sides a wake-up. */
static void send_unless_more_comes(struct worker *worker)
{
    worker->line.waits = !worker->line.waits && link_has(worker->line.link);
    if (!worker->line.waits)
        worker_send(worker);
}

static void work(struct worker *worker, int signals)
{
    struct pollfd fds[] = {{.fd = link_fd(worker->line.link), .events = POLLIN},
                           {.fd = signals, .events = POLLIN}};
    for (;;) {
        step(worker);
        if (over(worker))
            break;
        send_unless_more_comes(worker);
        int wait_ms = clock_wait_ms(timers_sleep_ms(&worker->timers, clock_monotonic_ms()));
        if (poll(fds, 2, wait_ms) < 0 && errno != EINTR)
            break;
        if (fds[1].revents & POLLIN) {
            struct signalfd_siginfo info;
            if (read(signals, &info, sizeof info) == sizeof info)
                stop_within(worker, TERM_GRACE_MS);
        }
        receive(worker);
    }
    cycle_abandon(worker);
    auditing_flush(worker);
    worker_send(worker);
    if (!worker->line.lost)
        for (int steps = 0; steps < 4 && history_tidy(worker->history, true); steps++)
            ;
}

/* --- birth and end --- */

/* SIGTERM comes through the descriptor. */
static int take_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool open_parts(struct worker *worker, struct fault *fault)
{
    OWNED char *damage = NULL;
    worker->tree = files_open_path(worker->path, fault);
    if (worker->tree < 0)
        return false;
    worker->history = history_open(worker->tree, worker->path, worker->name, &damage, fault);
    if (!worker->history)
        return false;
    uint64_t epoch = worker->start->epoch ? history_last_epoch(worker->history) : 0;
    if (epoch > worker->start->epoch) {
        worker_say(worker, MESSAGE_EPOCH, epoch);
        return fault_set(fault, "its commits are of epoch %" PRIu64 ", and its lease of an earlier one",
                         epoch);
    }
    history_begin_epoch(worker->history, worker->start->epoch);
    if (damage) {
        log_error("agent", worker->name, "%s", damage);
        buffer_print(&worker->problems.tree, "%s\n", damage);
    }
    if (!bootstrap_tree(worker->tree, worker->path, worker->start->agent, worker->history,
                        &worker->problems.tree, fault))
        return false;
    prune_open(worker);
    worker->queue = queue_open(worker->tree, fault);
    if (worker->queue)
        queue_ask_sight(worker->queue, task_ends_first_seen, worker);
    worker->mail = mail_open(worker->tree, worker->name, worker->history);
    worker->attempts = worker->queue ? attempts_open(worker->tree, fault) : NULL;
    worker->answers = answer_store_open(worker->tree);
    worker->turns.waiting = waiting_open(worker->tree);
    worker->trouble.deferred = deferred_open(worker->tree);
    worker->learning = worker->attempts ? learning_open(worker->tree, &worker->problems.learning) : NULL;
    return worker->learning != NULL;
}

static void close_parts(struct worker *worker)
{
    auditing_free(worker->auditing);
    if (worker->learning)
        learning_close(worker->learning);
    if (worker->attempts)
        attempts_close(worker->attempts);
    answer_store_close(worker->answers);
    if (worker->queue)
        queue_close(worker->queue);
    mail_close(worker->mail);
    leases_free(worker);
    choice_free(worker);
    if (worker->history)
        history_close(worker->history);
    if (worker->line.link)
        link_leave(worker->line.link);
    free(worker->task.id);
    free(worker->task.text);
    free(worker->task.from);
    deferred_close(worker->trouble.deferred);
    for (size_t i = 0; i < PROMPT_FILES; i++)
        kept_file_free(&worker->looks.prompt[i]);
    free(worker->orders.rollback);
    free(worker->activity.detail);
    free(worker->figures.last_task);
    free(worker->trouble.sentence);
    free(worker->problems.said);
    free(worker->path);
    buffer_free(&worker->line.message);
    buffer_free(&worker->line.said);
    buffer_free(&worker->problems.tree);
    buffer_free(&worker->problems.learning);
    buffer_free(&worker->problems.prompt);
    buffer_free(&worker->problems.persona);
    buffer_free(&worker->problems.queue);
    buffer_free(&worker->problems.queue_hints);
    buffer_free(&worker->problems.mail);
    buffer_free(&worker->problems.people);
}

static int cannot_work(struct worker *worker, const struct fault *why)
{
    log_error("agent", worker->name,
              "Cannot work in %s: %s. The work is tried again later; the files stay as they are.",
              worker->path, why->text);
    worker_say(worker, MESSAGE_PROBLEMS, why->text);
    return EX_CANTCREAT;
}

int worker_live(struct worker_start *start)
{
    struct fault fault = {{0}};
    struct worker worker = {.start = start,
                            .name = start->agent->name,
                            .tree = -1,
                            .looks = {.queue = true, .tree = true, .mail = true},
                            .orders.pause = start->paused};
    int status = EX_OK;
    worker.path = memory_print("%s/agents/%s", start->data_dir, worker.name);
    worker.auditing = auditing_new();
    int signals = take_signals();
    threads_begin_few(&start->threads);
    bool threads = !start->try_threads || threads_for_nng(&fault);
    worker.line.link = threads ? link_open(start->url, &fault) : NULL;
    threads_end_few(&start->threads);
    if (!worker.line.link) {
        log_error("agent", worker.name, "Cannot reach the supervisor: %s. This worker ends.", fault.text);
        close_parts(&worker);
        return threads ? EX_UNAVAILABLE : EX_TEMPFAIL;
    }
    if (!sandbox_tighten(start->sandbox, &fault)) {
        log_error("agent", worker.name, "Not wholly in its sandbox, so this worker ends: %s", fault.text);
        close_parts(&worker);
        return EX_CONFIG;
    }
    OWNED char *title = memory_print("agentos-worker %s", worker.name);
    sandbox_tell_sealed(start->sandbox, title);
    worker_say(&worker, MESSAGE_HELLO, worker.name, start->generation);
    worker_send(&worker);
    if (open_parts(&worker, &fault)) {
        report_tokens_load(&worker);
        timers_arm(&worker.timers, TIMER_TIDY, clock_monotonic_ms() + TIDY_AFTER_MS);
        worker_say(&worker, MESSAGE_READY);
        worker_say(&worker, MESSAGE_POST, "");
        report_problems(&worker);
        report_figures(&worker);
        work(&worker, signals);
    } else {
        status = cannot_work(&worker, &fault);
    }
    worker_send(&worker);
    close_parts(&worker);
    return status;
}
