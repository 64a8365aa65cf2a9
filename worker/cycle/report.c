/* The worker's reports to the supervisor: activity, figures, problems; and the card. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/format/yamldoc.h"
#include "common/listing.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "worker/cycle/bootstrap.h"
#include "worker/cycle/worker.h"
#include "worker/memory/card.h"

enum {
    LISTED_MOST = MESSAGE_PROBLEMS_MOST / 2, /* bytes of problems; the reasons for waits come behind them */
    BLOCKS_TOLD = 1000,                      /* of queue.md: each is looked for in the problems before */
    STAMP_GRAIN_MS = 20,                     /* a younger stamp may stay the same over another change */
    COUNT_AGAIN_MS = 1000
};

void report_activity(struct worker *worker, enum agent_activity activity, const char *detail, int64_t until)
{
    bool same = worker->activity.said && worker->activity.now == activity &&
                worker->activity.until == until && strcmp(worker->activity.detail, detail) == 0;
    if (activity == ACTIVITY_IDLE && worker->trouble.sentence) {
        free(worker->trouble.sentence);
        worker->trouble.sentence = NULL;
        report_problems(worker);
    }
    if (same)
        return;
    worker->activity.now = activity;
    worker->activity.said = true;
    worker->activity.until = until;
    memory_set(&worker->activity.detail, detail);
    worker_say(worker, MESSAGE_ACTIVITY, (uint64_t)activity, detail, (uint64_t)until);
}

static struct file_stamp folder_stamp(int tree, const char *folder)
{
    struct stat status;
    bool known = fstatat(tree, folder, &status, AT_SYMLINK_NOFOLLOW) == 0;
    return known ? files_stamp(&status) : (struct file_stamp){0};
}

/* Envelopes in the iac folders: names that end in .md, counted when the folder has changed. Where they can't be counted
 * now the last number stands, and they are counted again soon. */
static void count_letters(struct worker *worker)
{
    static const char *const folders[REPORTED] = {TREE_INBOX, TREE_HANDOFFS, TREE_OUTBOX, TREE_DEAD_LETTERS};
    for (size_t i = 0; i < REPORTED; i++) {
        uint64_t count = 0;
        struct file_stamp stamp = folder_stamp(worker->tree, folders[i]);
        if (stamp.inode != 0 && files_stamp_equal(&stamp, &worker->figures.folders[i]))
            continue;
        bool young = clock_kernel_ns() - stamp.changed_ns < (int64_t)STAMP_GRAIN_MS * 1000000;
        worker->figures.folders[i] = (struct file_stamp){0};
        struct listing *names = listing_open(worker->tree, folders[i], NULL);
        bool there = names != NULL, whole = there || errno == ENOENT || files_lasting(errno);
        for (const char *name; names && (name = listing_next(names));)
            count += name[0] != '.' && names_markdown(name);
        if ((!names || listing_close(names, NULL)) && whole) {
            worker->figures.envelopes[i] = count;
            if (there && !young)
                worker->figures.folders[i] = stamp;
        } else {
            timers_arm(&worker->timers, TIMER_FIGURES, clock_monotonic_ms() + COUNT_AGAIN_MS);
        }
    }
}

void report_figures(struct worker *worker)
{
    timers_disarm(&worker->timers, TIMER_FIGURES);
    char day[CLOCK_TEXT];
    clock_format(clock_now(), day);
    bool today = strncmp(day, worker->figures.day, 10) == 0;
    count_letters(worker);
    worker_say(worker, MESSAGE_FIGURES, (uint64_t)queue_depth(worker->queue), worker->figures.envelopes[0],
               worker->figures.envelopes[1], worker->figures.envelopes[2], worker->figures.envelopes[3],
               report_negative_streak(worker, 0), history_tasks_done(worker->history),
               today ? worker->figures.tokens_today : UINT64_C(0));
}

/* In queue.md the lines move up as tasks are done: a problem stays the same at another line number. */
static const char *behind_line_number(const char *problem)
{
    static const char start[] = TREE_QUEUE ":";
    size_t length = strlen(start);
    return strncmp(problem, start, length) == 0 ? problem + length + strspn(problem + length, "0123456789")
                                                : problem;
}

/* A problem is logged once, when it is new. */
static void log_new_problems(const struct worker *worker, const struct buffer *part)
{
    const char *said = worker->problems.said ? worker->problems.said : "";
    for (const char *line = part->data; line && *line;) {
        size_t length = strcspn(line, "\n");
        OWNED char *problem = memory_slice(line, length);
        if (length > 0 && !strstr(said, behind_line_number(problem)))
            log_warn("agent", worker->name, "%s", problem);
        line += length + (line[length] == '\n');
    }
}

/* The whole lines of the text that have room in out. Returns how many have none. */
static size_t list_lines(const char *text, size_t length, size_t most, struct buffer *out)
{
    size_t left_out = 0;
    for (size_t at = 0, end; at < length; at = end) {
        const char *newline = memchr(text + at, '\n', length - at);
        end = newline ? (size_t)(newline - text) + 1 : length;
        if (out->length + (end - at) <= most)
            buffer_add(out, text + at, end - at);
        else
            left_out++;
    }
    return left_out;
}

/* listed: the bytes of the problems in front of the reasons for waits, the last of which is told as such. A queue.md of a
 * thousand broken blocks has more to tell than the supervisor takes. */
static void tell_problems(struct worker *worker, const struct buffer *all, size_t listed)
{
    OWNED_BUFFER struct buffer told = {0};
    size_t left_out = list_lines(all->data, listed, LISTED_MOST, &told);
    if (left_out)
        buffer_print(&told, "and %zu more; the agent's log has each of them\n", left_out);
    list_lines(all->data + listed, all->length - listed, MESSAGE_PROBLEMS_MOST, &told);
    buffer_add(&told, "", 0);
    worker_say(worker, MESSAGE_PROBLEMS, told.data);
}

void report_problems(struct worker *worker)
{
    const struct buffer *const parts[] = {&worker->problems.tree,   &worker->problems.learning,
                                          &worker->problems.prompt, &worker->problems.persona,
                                          &worker->problems.queue,  &worker->problems.mail,
                                          &worker->problems.people};
    OWNED_BUFFER struct buffer all = {0};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        buffer_add(&all, parts[i]->data, parts[i]->length);
    size_t listed = all.length;
    if (worker->trouble.sentence)
        buffer_print(&all, "%s\n", worker->trouble.sentence);
    deferred_print(worker->trouble.deferred, &all);
    buffer_add(&all, "", 0);
    if (strcmp(all.data, worker->problems.said ? worker->problems.said : "") == 0)
        return;
    for (size_t i = 1; i < sizeof parts / sizeof parts[0];
         i++) /* the first were logged where they were found */
        log_new_problems(worker, parts[i]);
    memory_set(&worker->problems.said, all.data);
    tell_problems(worker, &all, listed);
}

void report_queue(struct worker *worker, const char *fault)
{
    OWNED_BUFFER struct buffer now = {0};
    const struct block_list *blocks = queue_blocks(worker->queue);
    if (fault)
        buffer_print(&now, "queue.md: %s\n", fault);
    size_t stay = 0;
    for (size_t i = 0; i < blocks->count; i++)
        if (blocks->items[i].problem && !blocks->items[i].stray && ++stay <= BLOCKS_TOLD)
            buffer_print(&now, "queue.md:%u: block '%s' stays where it is: %s\n", blocks->items[i].line,
                         blocks->items[i].id, blocks->items[i].problem);
    if (stay > BLOCKS_TOLD)
        buffer_print(&now, "queue.md: %zu more blocks stay where they are\n", stay - BLOCKS_TOLD);
    OWNED_BUFFER struct buffer hints = {0};
    if (queue_hints(worker->queue, &hints)) {
        buffer_drop(&worker->problems.queue_hints, worker->problems.queue_hints.length);
        buffer_add(&worker->problems.queue_hints, hints.data, hints.length);
    }
    buffer_add(&now, worker->problems.queue_hints.data, worker->problems.queue_hints.length);
    if (now.length == worker->problems.queue.length &&
        (now.length == 0 || memcmp(now.data, worker->problems.queue.data, now.length) == 0))
        return;
    buffer_drop(&worker->problems.queue, worker->problems.queue.length);
    buffer_add(&worker->problems.queue, now.data, now.length);
    report_problems(worker);
}

static void report_wait(struct worker *worker, const char *what, int64_t until)
{
    worker->trouble.what = what;
    worker->trouble.until = until;
    report_activity(worker, ACTIVITY_WAITING, what, until);
}

void worker_wait_for(struct worker *worker, const char *what, const char *trouble, int64_t at_least_ms)
{
    int64_t delay = worker->trouble.delay_ms ? worker->trouble.delay_ms * 2 : 1000;
    worker->trouble.delay_ms = delay > 60000 ? 60000 : delay;
    delay = worker->trouble.delay_ms > at_least_ms ? worker->trouble.delay_ms
            : at_least_ms > 60000                  ? 60000
                                                   : at_least_ms;
    timers_arm(&worker->timers, TIMER_BACKOFF, clock_monotonic_ms() + delay);
    memory_set(&worker->trouble.sentence, trouble);
    log_warn("agent", worker->name, "Waiting for the %s, next try in %.1f s: %s", what, (double)delay / 1000,
             trouble);
    report_problems(worker);
    report_wait(worker, what, clock_now() + (delay + 999) / 1000);
}

void worker_wait_for_budget(struct worker *worker, const char *why, int64_t in_ms)
{
    if (!worker->trouble.sentence || strcmp(worker->trouble.sentence, why) != 0)
        log_warn("agent", worker->name, "Waiting for the budget: %s", why);
    memory_set(&worker->trouble.sentence, why);
    worker->trouble.budget = true;
    timers_arm(&worker->timers, TIMER_BACKOFF, clock_monotonic_ms() + in_ms);
    report_problems(worker);
    report_wait(worker, "budget", (clock_now_ms() + in_ms) / 1000);
}

void worker_waits_on(struct worker *worker)
{
    if (worker->activity.now == ACTIVITY_PAUSED && worker->trouble.sentence && worker->trouble.what)
        report_wait(worker, worker->trouble.what, worker->trouble.until);
}

/* --- tokens of today, the run of failures and the last task, kept in the card --- */

/* The card may say any number: people write in it, and providers report what they like. */
static uint64_t count_with(uint64_t count, uint64_t more)
{
    return count > MESSAGE_COUNT_MOST || more > MESSAGE_COUNT_MOST - count ? MESSAGE_COUNT_MOST
                                                                           : count + more;
}

/* A list that is full of failures doesn't show how long the run is. */
uint64_t report_negative_streak(const struct worker *worker, unsigned more)
{
    uint64_t listed = (uint64_t)learning_negative_streak(worker->learning);
    uint64_t counted = count_with(worker->figures.negative_streak, more);
    return listed < REWARDS_MAX || counted < listed ? listed : counted;
}

void report_tokens_load(struct worker *worker)
{
    OWNED char *text = NULL;
    size_t length;
    if (files_read(worker->tree, TREE_CARD, 65536, &text, &length, NULL, NULL) != 1)
        return;
    struct yaml_node *card = yaml_parse(text, length, TREE_CARD, NULL);
    const struct yaml_node *budget = card ? yaml_get(card, "budget") : NULL;
    const struct yaml_node *day = budget ? yaml_get(budget, "day") : NULL;
    const struct yaml_node *tokens = budget ? yaml_get(budget, "tokens_today") : NULL;
    int64_t count;
    if (day && day->text && tokens && yaml_integer(tokens, &count) && count >= 0) {
        strlcpy(worker->figures.day, day->text, sizeof worker->figures.day);
        worker->figures.tokens_today = count_with((uint64_t)count, 0);
    }
    const struct yaml_node *streak = card ? yaml_get(card, "negative_streak") : NULL;
    if (streak && yaml_integer(streak, &count) && count >= 0)
        worker->figures.negative_streak = (uint64_t)count;
    const struct yaml_node *last = card ? yaml_get(card, "last_task") : NULL;
    if (last && last->text && !worker->figures.last_task)
        worker->figures.last_task = memory_text(last->text);
    yaml_free(card);
}

/* The tokens of `now`'s day once `tokens` more are spent. */
static uint64_t tokens_with(const struct worker *worker, uint64_t tokens, const char *today)
{
    return count_with(strncmp(worker->figures.day, today, 10) == 0 ? worker->figures.tokens_today : 0,
                      tokens);
}

void report_count_tokens(struct worker *worker, uint64_t tokens, int64_t now)
{
    char today[CLOCK_TEXT];
    clock_format(now, today);
    worker->figures.tokens_today = tokens_with(worker, tokens, today);
    strlcpy(worker->figures.day, today, 11);
}

/* persona.md may name the class; the file is read again when its stamp has changed. */
static enum throughput_class class_in_force(struct worker *worker)
{
    const struct roster_agent *agent = worker->start->agent;
    struct file_stamp now = files_stamp_at(worker->tree, TREE_PERSONA);
    if (now.inode == 0 || !files_stamp_equal(&now, &worker->figures.persona.stamp)) {
        struct roster_agent undecided = *agent;
        undecided.throughput_class = CLASS_UNSET;
        buffer_drop(&worker->problems.persona, worker->problems.persona.length);
        worker->figures.persona.throughput_class =
            bootstrap_class(worker->tree, &undecided, &worker->problems.persona);
        report_problems(worker);
        bool young = clock_now_ms() - now.changed_ns / 1000000 < STAMP_GRAIN_MS;
        worker->figures.persona.stamp = young ? (struct file_stamp){0} : now;
    }
    return agent->throughput_class != CLASS_UNSET ? agent->throughput_class
                                                  : worker->figures.persona.throughput_class;
}

void report_card(struct worker *worker, uint64_t tokens, int64_t now, struct buffer *out)
{
    char today[CLOCK_TEXT];
    clock_format(now, today);
    today[10] = '\0';
    const struct card_figures figures = {
        .state = "idle",
        .tasks_done = history_tasks_done(worker->history) + (worker->task.id != NULL),
        .tokens_today = tokens_with(worker, tokens, today),
        .negative_streak = report_negative_streak(worker, worker->task.id != NULL),
        .day = today,
        .last_task = worker->task.id ? worker->task.id : worker->figures.last_task,
    };
    card_print(worker->start->agent, class_in_force(worker), worker->learning, &figures, out);
}
