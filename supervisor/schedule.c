/* The crash, step by step. First the block goes into queue.md, on disk, then its time into shared/schedule.md, on
 * disk. Before the first, nothing has happened: the next start finds the time missed and gives it. Between the two
 * the block is given and not remembered: the next start gives the same time again, that is the same id and content. A
 * first block that is still in the queue is found there; a first block that was done stands in the ledger of the
 * agent's history, and the worker takes the second block out without doing it. A next time that has come meanwhile
 * gives a block of its own, with another id. An entry's number is on disk before the entry gives anything, or
 * follows from the entry's content, so a block's id is the same after a crash. */
#include "supervisor/schedule.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/format/cron.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "supervisor/control/control.h"
#include "supervisor/process/state_file.h"
#include "supervisor/store/queue_search.h"
#include "supervisor/store/task_block.h"
#include "supervisor/supervisor.h"

enum {
    RETRY_MS = 5000,
    LATE_S = 90,         /* a block that is later than that belongs to a missed time */
    JUMP_BACK_S = 86400, /* a time further ahead than that was given by a wrong clock */
    SHOWN = 100,
    NODES_NUMBER_MIN = 100000000, /* the numbers that several nodes share have nine digits */
    NODES_NUMBERS = 900000000,
};

struct entry {
    char *agent;
    uint64_t key;
    unsigned number; /* the entry's among its agent's, for ids */
    int64_t last;    /* the latest time that gave a block or was left out */
    /* As agents.yaml has the entry; of an entry that was only read from the file: NULL. */
    char *line, *task;
    struct cron cron;
    int64_t next;
};

struct entries {
    struct entry *items;
    size_t count;
};

struct schedule {
    struct supervisor *supervisor;
    struct state_file state_file;
    struct entries entries;
    struct timer timer;
    int64_t next; /* the earliest due time of all entries; INT64_MAX: none */
    bool dirty;   /* the file is older than the entries */
    bool failed;  /* a file couldn't be written at the last look */
    bool said;    /* the log says so */
};

static struct entry *add(struct entries *entries, const struct entry *entry)
{
    entries->items = memory_grow(entries->items, entries->count + 1, sizeof *entries->items);
    entries->items[entries->count] = *entry;
    return &entries->items[entries->count++];
}

static void free_entries(struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        free(entries->items[i].agent);
        free(entries->items[i].line);
        free(entries->items[i].task);
    }
    free(entries->items);
    *entries = (struct entries){0};
}

static struct entry *find(const struct entries *entries, const char *agent, uint64_t key)
{
    for (size_t i = 0; i < entries->count; i++)
        if (entries->items[i].key == key && strcmp(entries->items[i].agent, agent) == 0)
            return &entries->items[i];
    return NULL;
}

/* --- the file --- */

static bool read_line(void *context, const char *section, const char *key, const char *value)
{
    struct entries *entries = context;
    struct entry *last = entries->count ? &entries->items[entries->count - 1] : NULL;
    const char *blank = strrchr(section, ' ');
    char *end;
    if (!blank || blank == section)
        return false;
    if (strcmp(key, "entry") == 0) {
        struct entry entry = {.number = (unsigned)strtoul(blank + 1, NULL, 10),
                              .key = strtoull(value, &end, 16)};
        if (entry.number == 0 || *end)
            return false;
        entry.agent = memory_slice(section, (size_t)(blank - section));
        add(entries, &entry);
        return true;
    }
    if (strcmp(key, "last") == 0)
        return last && clock_parse(value, &last->last);
    return strcmp(key, "cron") == 0 || strcmp(key, "task") == 0; /* for people */
}

static void print_entry(const struct entry *entry, struct buffer *out)
{
    char last[CLOCK_TEXT];
    size_t shown = utf8_cut(entry->task, strcspn(entry->task, "\n"), SHOWN);
    buffer_print(out, "\n## %s %u\n- entry: %016" PRIx64 "\n- cron: %s\n- task: %.*s%s\n- last: %s\n",
                 entry->agent, entry->number, entry->key, entry->line, (int)shown, entry->task,
                 entry->task[shown] ? " …" : "", clock_format(entry->last, last));
}

static void say_failure(struct schedule *schedule, const char *fault)
{
    if (!schedule->said)
        log_error("agentos", NULL,
                  "Schedule: %s. The schedule is tried again every %d s; no time is left out.", fault,
                  RETRY_MS / 1000);
    schedule->failed = schedule->said = true;
}

static bool save(struct schedule *schedule)
{
    struct fault fault;
    OWNED_BUFFER struct buffer text = {0};
    buffer_text(&text, "# Schedule\n\nThe last time that each line of the schedules in agents.yaml gave. "
                       "AgentOS writes this file, and takes\n`last` as it is when somebody edits it.\n");
    for (size_t i = 0; i < schedule->entries.count; i++)
        print_entry(&schedule->entries.items[i], &text);
    schedule->dirty = !state_file_write(&schedule->state_file, &text, true, &fault);
    if (schedule->dirty)
        say_failure(schedule, fault.text);
    return !schedule->dirty;
}

/* A person's change of the file counts for the entries that the file names; the others go on as they are known. */
static void read_if_changed(struct schedule *schedule)
{
    struct entries read = {0};
    if (!state_file_changed(&schedule->state_file))
        return;
    state_file_read(&schedule->state_file, NULL, read_line, &read);
    schedule->dirty = schedule->entries.count > 0;
    for (size_t i = 0; i < read.count; i++) {
        struct entry *entry = find(&schedule->entries, read.items[i].agent, read.items[i].key);
        if (entry) {
            entry->last = read.items[i].last;
            entry->next = cron_next(&entry->cron, entry->last);
        }
    }
    free_entries(&read);
}

/* --- the entries --- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t length)
{
    for (const unsigned char *at = bytes; length-- > 0; at++)
        hash = (hash ^ *at) * UINT64_C(0x100000001b3);
    return hash;
}

/* Two equal lines are told apart by their order. */
static uint64_t key_of(const struct schedule_entry *defined, uint64_t twin)
{
    uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), defined->cron, strlen(defined->cron) + 1);
    hash = mix(hash, defined->task, strlen(defined->task) + 1);
    return mix(hash, &twin, sizeof twin);
}

static bool has_number(const struct entries *entries, const char *agent, unsigned number)
{
    bool found = false;
    for (size_t i = 0; i < entries->count && !found; i++)
        found = entries->items[i].number == number && strcmp(entries->items[i].agent, agent) == 0;
    return found;
}

static unsigned free_number(const struct entries *entries, const struct entries *before, const char *agent)
{
    unsigned number = 1;
    while (has_number(entries, agent, number) || has_number(before, agent, number))
        number++;
    return number;
}

/* Nodes that give an agent's times in turn make one id of one time, whatever entries each of them has had before: their
 * numbers come from the entry's line and task alone. Counted ones would differ, and the ledger would not know a time
 * that another node gave. A lone node counts, for ids that people can read. */
static unsigned number_for(const struct schedule *schedule, const struct entries *before, const char *agent,
                           const struct entry *known, uint64_t key)
{
    if (!schedule->supervisor->local.bus)
        return known ? known->number : free_number(&schedule->entries, before, agent);
    unsigned number = NODES_NUMBER_MIN + (unsigned)(key % NODES_NUMBERS);
    while (has_number(&schedule->entries, agent, number))
        number++;
    return number;
}

static void define(struct schedule *schedule, const struct entries *before, const struct agent *agent,
                   const struct schedule_entry *defined)
{
    uint64_t twin = 0;
    while (find(&schedule->entries, agent->name, key_of(defined, twin)))
        twin++;
    uint64_t key = key_of(defined, twin);
    const struct entry *known = find(before, agent->name, key);
    struct cron cron;
    if (!cron_parse(&cron, defined->cron, NULL)) /* agents.yaml was checked: the line is sound */
        return;
    struct entry entry = {
        .agent = memory_text(agent->name),
        .key = key,
        .number = number_for(schedule, before, agent->name, known, key),
        .last = known ? known->last : clock_now(),
        .line = memory_text(defined->cron),
        .task = memory_text(defined->task),
        .cron = cron,
    };
    entry.next = cron_next(&cron, entry.last);
    schedule->dirty = schedule->dirty || !known || known->number != entry.number;
    add(&schedule->entries, &entry);
}

/* The entry's agent, where it lives on this node: another node gives the agent's times there, and a block in a directory
 * that is left or about to be carried away is nobody's. The times stay due: a node that takes the agent over gives the
 * latest of them, and the ledger, which has come along, knows its id where the former node gave it. NULL: not here; the
 * safety scan asks again. */
static struct agent *agent_here(const struct schedule *schedule, const struct entry *entry)
{
    struct agent *agent = agents_find(&schedule->supervisor->agents, entry->agent);
    return agent && !agent->order.elsewhere ? agent : NULL;
}

static void set_timer(struct schedule *schedule)
{
    struct loop *loop = schedule->supervisor->loop;
    schedule->next = INT64_MAX;
    for (size_t i = 0; i < schedule->entries.count; i++) {
        const struct entry *entry = &schedule->entries.items[i];
        if (entry->next < schedule->next && agent_here(schedule, entry))
            schedule->next = entry->next;
    }
    int64_t left = schedule->next < INT64_MAX / 1000 ? schedule->next * 1000 - clock_now_ms() : INT64_MAX;
    if (schedule->dirty || schedule->failed)
        timer_set(loop, &schedule->timer, RETRY_MS);
    else if (left < INT64_MAX)
        timer_set(loop, &schedule->timer, left > 0 ? left : 0);
    else
        timer_clear(loop, &schedule->timer);
}

void schedule_apply(struct schedule *schedule)
{
    struct supervisor *supervisor = schedule->supervisor;
    read_if_changed(schedule);
    struct entries before = schedule->entries;
    schedule->entries = (struct entries){0};
    for (size_t i = 0; i < supervisor->agents.count; i++) {
        const struct agent *agent = supervisor->agents.list[i];
        for (size_t k = 0; !agent->leaving && k < agent->definition->schedule_count; k++)
            define(schedule, &before, agent, &agent->definition->schedule[k]);
    }
    schedule->dirty = schedule->dirty || schedule->entries.count != before.count;
    free_entries(&before);
    schedule_look(schedule);
}

/* --- giving --- */

/* "schedule-20260429T0700-1" */
static char *id_of(const struct entry *entry, int64_t due)
{
    char time[CLOCK_TEXT];
    clock_format(due, time);
    return memory_print("schedule-%.4s%.2s%.2sT%.2s%.2s-%u", time, time + 5, time + 8, time + 11, time + 14,
                        entry->number);
}

static bool is_of_entry(void *context, const char *id)
{
    const struct entry *entry = context;
    unsigned number;
    return sscanf(id, "schedule-%*8[0-9]T%*4[0-9]-%u", &number) == 1 && number == entry->number;
}

static bool is_enough(void *context, const struct block *block)
{
    (void)context;
    (void)block;
    return true;
}

/* Whether a block of this entry, for any of its times, is in the queue, as the worker reads that. 1: yes, 0: no, -1 and
 * fault: nobody can tell, and another block might be a second one. */
static int is_waiting(const struct schedule *schedule, struct entry *entry, struct fault *fault)
{
    OWNED char *path = memory_print("agents/%s/%s", entry->agent, TREE_QUEUE);
    const struct queue_search search = {.is_meant = is_of_entry, .visit = is_enough, .context = entry};
    return queue_search(schedule->supervisor->data, path, &search, fault);
}

static bool cannot_give(struct schedule *schedule, const struct agent *agent, const char *id,
                        const struct fault *fault)
{
    OWNED char *what = memory_print("%s's task %s can't be added: %s", agent->name, id, fault->text);
    say_failure(schedule, what);
    return false;
}

static bool give(struct schedule *schedule, struct agent *agent, struct entry *entry, int64_t due,
                 int64_t now)
{
    struct fault fault;
    char time[CLOCK_TEXT];
    OWNED char *id = id_of(entry, due);
    const struct task_block block = {
        .id = id, .text = entry->task, .priority = PRIORITY_NORMAL, .created = due};
    int waiting = is_waiting(schedule, entry, &fault);
    if (waiting < 0)
        return cannot_give(schedule, agent, id, &fault);
    if (waiting) {
        log_info("agentos", NULL, "Agent '%s': %s is left out, the one before it is still in the queue",
                 agent->name, id);
        return true;
    }
    if (!task_block_check(&block, &fault)) {
        log_error("agentos", NULL, "Agent '%s': scheduled task %s: %s", agent->name, id, fault.text);
        return true;
    }
    if (task_block_append(schedule->supervisor->data, agent->name, &block, &fault) != 0)
        return cannot_give(schedule, agent, id, &fault);
    log_info("agentos", NULL, "Agent '%s': scheduled task %s is in its queue%s%s", agent->name, id,
             now - due > LATE_S ? "; it was missed at " : "",
             now - due > LATE_S ? clock_format(due, time) : "");
    control_event(schedule->supervisor->control, agent, "scheduled", DETAIL_TEXT("task", id));
    agent_look(agent, LOOK_QUEUE);
    return true;
}

/* A clock that was set back repeats no block; but a time that a clock far ahead has given holds nothing up. */
static void mind_the_clock(struct schedule *schedule, struct entry *entry, int64_t now)
{
    if (entry->last <= now + JUMP_BACK_S)
        return;
    log_warn("agentos", NULL,
             "Agent '%s': schedule entry %u was given by a clock far ahead; it goes on from now",
             entry->agent, entry->number);
    entry->last = now;
    entry->next = cron_next(&entry->cron, now);
    schedule->dirty = true;
}

static void look_at(struct schedule *schedule, struct entry *entry, int64_t now)
{
    int64_t due;
    struct agent *agent = agent_here(schedule, entry);
    mind_the_clock(schedule, entry, now);
    if (!agent || entry->next > now || !cron_latest(&entry->cron, entry->last, now, &due) ||
        !give(schedule, agent, entry, due, now))
        return;
    entry->last = due;
    entry->next = cron_next(&entry->cron, due);
    schedule->dirty = true;
}

void schedule_look(struct schedule *schedule)
{
    int64_t now = clock_now();
    if (schedule->supervisor->agents.ending || (schedule->entries.count == 0 && !schedule->dirty))
        return;
    read_if_changed(schedule);
    schedule->failed = false;
    /* Numbers and new entries are on disk before anything is given under them. */
    if (!schedule->dirty || save(schedule)) {
        for (size_t i = 0; i < schedule->entries.count; i++)
            look_at(schedule, &schedule->entries.items[i], now);
        if (schedule->dirty)
            save(schedule);
    }
    if (schedule->said && !schedule->failed)
        log_info("agentos", NULL, "Schedule: the waiting entries are written");
    schedule->said = schedule->failed;
    set_timer(schedule);
}

static void timer_rings(void *schedule)
{
    schedule_look(schedule);
}

struct schedule *schedule_open(struct supervisor *supervisor)
{
    struct schedule *schedule = memory_new(1, sizeof *schedule);
    schedule->supervisor = supervisor;
    schedule->state_file = (struct state_file){.data = supervisor->data, .name = "schedule.md"};
    schedule->timer = (struct timer){.ring = timer_rings, .context = schedule};
    schedule->next = INT64_MAX;
    if (state_file_changed(&schedule->state_file))
        state_file_read(&schedule->state_file, NULL, read_line, &schedule->entries);
    return schedule;
}

void schedule_close(struct schedule *schedule)
{
    if (!schedule)
        return;
    timer_clear(schedule->supervisor->loop, &schedule->timer);
    free_entries(&schedule->entries);
    free(schedule);
}
