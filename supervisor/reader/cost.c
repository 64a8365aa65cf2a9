#include "supervisor/reader/cost.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/memory.h"
#include "common/names.h"
#include "common/utf8.h"
#include "supervisor/reader/commit_log.h"

enum hand_state {
    HAND_KNOWN,
    HAND_OPEN,   /* not done yet */
    HAND_UNKNOWN /* the hand has worked, and no history that can be read here tells its cost */
};

/* An agent's part in the trace: a task of its queue, or an envelope that it had as work. */
struct hand {
    const char *agent, *id; /* borrowed from the scan */
    enum hand_state state;
    /* A message may have been read in another task's cycle, and an expired envelope not been asked about: the hand
     * cost nothing then. */
    bool optional;
    size_t answers;              /* how often the work was done: requeued work more than once */
    struct question_usage usage; /* of all the hand's answers; of audits by a model too */
    uint64_t audit_tokens;       /* the audits' part of the tokens */
};

struct cost {
    const char *trace;
    struct hand *hands;
    size_t count;
};

/* --- the hands --- */

static bool is_there(const struct cost *cost, const char *agent, const char *id)
{
    for (size_t i = 0; i < cost->count; i++)
        if (strcmp(cost->hands[i].agent, agent) == 0 && strcmp(cost->hands[i].id, id) == 0)
            return true;
    return false;
}

static void add_hand(struct cost *cost, const char *agent, const char *id, enum hand_state state,
                     bool optional)
{
    if (is_there(cost, agent, id))
        return;
    *MEMORY_ADD(cost->hands, cost->count) = (struct hand){
        .agent = agent, .id = id, .state = state, .optional = optional, .usage.cost = USAGE_NO_COST};
}

static bool is_one_of(const char *word, const char *const words[])
{
    while (*words != NULL && strcmp(*words, word) != 0)
        words++;
    return *words != NULL;
}

/* Answers and bounces are nobody's work, and a refused envelope never came before a model; an expired one may have. */
static void add_work(struct cost *cost, const struct copy *copy)
{
    static const char *const ENDED[] = {"finished", "read", "failed", "expired", NULL};
    const struct envelope *envelope = &copy->envelope;
    bool work = envelope_kind_has(envelope->kind, KIND_IS_WORK) || envelope->kind == KIND_TASK;
    bool message = envelope->kind == KIND_MESSAGE;
    bool optional = message || strcmp(envelope->status, "expired") == 0;
    if ((work || message) && strcmp(envelope->status, "refused") != 0)
        add_hand(cost, copy_receiver(copy), envelope->id,
                 is_one_of(envelope->status, ENDED) ? HAND_UNKNOWN : HAND_OPEN, optional);
}

/* Envelopes that grew out of a task of a queue have one hop, and the task's id as their trace. */
static void add_root(struct cost *cost, const struct copy *copy)
{
    const struct envelope *envelope = &copy->envelope;
    if (envelope_kind_has(envelope->kind, KIND_STARTS_CYCLE) && envelope->hops == 1 &&
        strcmp(envelope->id, envelope->trace) != 0 && strcmp(envelope->from, "operator") != 0)
        add_hand(cost, envelope->from, envelope->trace, HAND_UNKNOWN, false);
}

/* Within a second the hops tell the order. */
static int by_age(const void *left, const void *right)
{
    const struct envelope *a = &(*(const struct copy *const *)left)->envelope;
    const struct envelope *b = &(*(const struct copy *const *)right)->envelope;
    int order = (a->created > b->created) - (a->created < b->created);
    order = order != 0 ? order : (a->hops > b->hops) - (a->hops < b->hops);
    return order != 0 ? order : strcmp(a->id, b->id);
}

static void add_hands(struct cost *cost, const struct envelope_scan *scan)
{
    const struct copy **found = memory_new(scan->count + 1, sizeof(*found));
    size_t count = 0;
    for (size_t i = 0; i < scan->count; i += envelope_scan_same(scan, i)) {
        const struct copy *copy = &scan->copies[i];
        if (copy->fault == NULL && strcmp(copy->envelope.trace, cost->trace) == 0)
            found[count++] = copy;
    }
    qsort(found, count, sizeof(*found), by_age);
    for (size_t i = 0; i < count; i++)
        add_root(cost, found[i]);
    for (size_t i = 0; i < count; i++)
        add_work(cost, found[i]);
    free(found);
}

/* --- the hands' costs --- */

/* Of a dead letter only the failed requests are known; none: the task may have taken its worker down with a request. */
static void add_entry(struct cost *cost, const char *agent, const struct logged_commit *entry)
{
    bool done = entry->end != NULL && strcmp(entry->end, "done") == 0;
    if (entry->task == NULL || (!done && entry->usage.requests == 0))
        return;
    for (size_t i = 0; i < cost->count; i++) {
        struct hand *hand = &cost->hands[i];
        if (strcmp(hand->agent, agent) == 0 && strcmp(hand->id, entry->task) == 0) {
            hand->state = HAND_KNOWN;
            hand->answers += done;
            usage_add(&hand->usage, &entry->usage);
            usage_add(&hand->usage, &entry->audit_usage);
            hand->audit_tokens += entry->audit_usage.tokens_in + entry->audit_usage.tokens_out;
        }
    }
}

static void read_agent(struct cost *cost, const char *data_dir, const char *agent,
                       void (*complain)(const char *sentence))
{
    struct fault fault = {0};
    OWNED_LOG struct commit_log history = {0};
    struct stat status;
    OWNED char *path = memory_print("%s/agents/%s", data_dir, agent);
    if (!names_agent(agent) || stat(path, &status) != 0)
        return;
    if (!commit_log_read(&history, path, SIZE_MAX, &fault)) {
        OWNED char *sentence = memory_print("%s; a part of the cost may be missing", fault.text);
        complain(sentence);
    }
    for (size_t i = 0; i < history.count; i++)
        add_entry(cost, agent, &history.entries[i]);
}

static bool was_met(const struct cost *cost, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(cost->hands[i].agent, cost->hands[index].agent) == 0)
            return true;
    return false;
}

/* --- for programs --- */

void cost_set_numbers(json_t *object, bool known, const struct question_usage *usage, uint64_t audit_tokens)
{
    const struct {
        const char *key;
        uint64_t value;
    } COUNTS[] = {{"tokens", usage->tokens_in + usage->tokens_out},
                  {"tokens_in", usage->tokens_in},
                  {"tokens_out", usage->tokens_out},
                  {"cached_tokens", usage->cached},
                  {"audit_tokens", audit_tokens},
                  {"requests", usage->requests}};
    for (size_t i = 0; i < sizeof(COUNTS) / sizeof(COUNTS[0]); i++)
        json_object_set_new(object, COUNTS[i].key,
                            known ? json_integer((json_int_t)COUNTS[i].value) : json_null());
    bool priced = known && usage->cost != USAGE_NO_COST;
    json_object_set_new(object, "cost",
                        priced ? json_real((double)usage->cost / USAGE_COST_UNIT) : json_null());
}

static json_t *hand_json(const struct hand *hand)
{
    static const char *const states[] = {
        [HAND_KNOWN] = "known", [HAND_OPEN] = "not yet", [HAND_UNKNOWN] = "unknown"};
    json_t *item =
        json_pack("{s:o, s:o, s:s, s:I}", "agent", utf8_json(hand->agent), "id", utf8_json(hand->id), "state",
                  states[hand->state], "answers", (json_int_t)hand->answers);
    cost_set_numbers(item, hand->state == HAND_KNOWN, &hand->usage, hand->audit_tokens);
    return item;
}

/* Complete: no hand is unknown; a hand that isn't done yet is no gap. */
static json_t *cost_json(const struct cost *cost)
{
    struct question_usage usage = {.cost = USAGE_NO_COST};
    uint64_t audit_tokens = 0;
    bool complete = true;
    json_t *hands = json_array();
    for (size_t i = 0; i < cost->count; i++) {
        const struct hand *hand = &cost->hands[i];
        if (hand->optional && hand->state == HAND_UNKNOWN)
            continue;
        usage_add(&usage, &hand->usage);
        audit_tokens += hand->audit_tokens;
        complete = complete && hand->state != HAND_UNKNOWN;
        json_array_append_new(hands, hand_json(hand));
    }
    json_t *object =
        json_pack("{s:o, s:b, s:o}", "trace", utf8_json(cost->trace), "complete", complete, "hands", hands);
    cost_set_numbers(object, true, &usage, audit_tokens);
    return object;
}

json_t *cost_read(const struct envelope_scan *scan, const char *data_dir, const char *trace,
                  void (*complain)(const char *sentence))
{
    struct cost cost = {.trace = trace};
    add_hands(&cost, scan);
    for (size_t i = 0; i < cost.count; i++)
        if (!was_met(&cost, i))
            read_agent(&cost, data_dir, cost.hands[i].agent, complain);
    json_t *object = cost_json(&cost);
    free(cost.hands);
    return object;
}
