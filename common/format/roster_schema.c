#include "common/format/roster_schema.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

#define TABLE(what, fields, size, start)                                                                     \
    {                                                                                                        \
        what, fields, sizeof fields / sizeof *fields, size, start                                            \
    }
#define AGENT(member)  offsetof(struct roster_agent, member)
#define ROSTER(member) offsetof(struct roster, member)
#define MONEY(name, offset)                                                                                  \
    {                                                                                                        \
        name, FIELD_AMOUNT, 0, offset, 0, 0, 0, NULL                                                         \
    }
#define COUNT(name, offset, least, most)                                                                     \
    {                                                                                                        \
        name, FIELD_INTEGER, 0, offset, 0, least, most, NULL                                                 \
    }

/* Upper ends are where a number stops making sense (a century, a million tasks an hour), not where it hurts. */
static const int64_t century = INT64_C(36525) * 86400;
static const int64_t many = INT64_C(1000000000000000);

void roster_agent_start(void *agent)
{
    *(struct roster_agent *)agent = (struct roster_agent){
        .domain = memory_text(""),
        .tone = memory_text(""),
        .node = memory_text(""),
        .throughput_class = CLASS_UNSET,
        .ttl_seconds = 3600,
        .may_send_to_all = true,
        .decay_halflife_days = 30,
        .reward_audit = {.enabled = false, .method = AUDIT_RULE_BASED},
        .limits = {.memory_mb = 256, .open_files = 256, .disk_mb = 4096, .task_seconds = 900},
        .watchdog = {.negative_streak = 5, .pause = false},
        .keep = {.outputs = 1000, .archive = 1000},
    };
}

static void start_queue(void *queue)
{
    ((struct roster_queue *)queue)->max_attempts = 3;
}

static void start_roster(void *roster)
{
    static const struct class_limits limits[CLASS_COUNT] = {
        [CLASS_SLOW] = {1, 8}, [CLASS_MEDIUM] = {4, 32}, [CLASS_FAST] = {16, 128}};
    memcpy(((struct roster *)roster)->classes, limits, sizeof limits);
    ((struct roster *)roster)->warm_workers = 256;
}

static const struct field audit_fields[] = {
    {"enabled", FIELD_BOOLEAN, 0, AGENT(reward_audit.enabled), 0, 0, 0, NULL},
    {"method", FIELD_METHOD, 0, AGENT(reward_audit.method), 0, 0, 0, NULL},
    {"command", FIELD_ARGUMENTS, 0, AGENT(reward_audit.command), 0, 0, 0, NULL},
};
static const struct schema audit_schema = TABLE("reward_audit", audit_fields, 0, NULL);

static const struct field limit_fields[] = {
    COUNT("memory_mb", AGENT(limits.memory_mb), 16, 1048576),
    COUNT("open_files", AGENT(limits.open_files), 32, 1048576),
    COUNT("disk_mb", AGENT(limits.disk_mb), 1, 1 << 30),
    COUNT("task_seconds", AGENT(limits.task_seconds), 1, 31 * 86400),
    COUNT("tokens_per_day", AGENT(limits.tokens_per_day), 0, many),
    MONEY("cost_per_day", AGENT(limits.cost_per_day)),
    COUNT("tasks_per_hour", AGENT(limits.tasks_per_hour), 0, 1000000),
};
static const struct schema limits_schema = TABLE("limits", limit_fields, 0, NULL);

static const struct field watchdog_fields[] = {
    COUNT("negative_streak", AGENT(watchdog.negative_streak), 1, 1000000),
    {"action", FIELD_ACTION, 0, AGENT(watchdog.pause), 0, 0, 0, NULL},
};
static const struct schema watchdog_schema = TABLE("watchdog", watchdog_fields, 0, NULL);

static const struct field keep_fields[] = {
    COUNT("outputs", AGENT(keep.outputs), 0, 1000000),
    COUNT("archive", AGENT(keep.archive), 0, 1000000),
};
const struct schema roster_keep_schema = TABLE("keep", keep_fields, 0, NULL);

static const struct field schedule_fields[] = {
    {"cron", FIELD_CRON, REQUIRED, offsetof(struct schedule_entry, cron), 0, 0, 0, NULL},
    {"task", FIELD_TEXT, REQUIRED, offsetof(struct schedule_entry, task), 0, 0, 0, NULL},
};
static const struct schema schedule_schema =
    TABLE("a schedule entry", schedule_fields, sizeof(struct schedule_entry), NULL);

static const struct field agent_fields[] = {
    {"name", FIELD_NAME, REQUIRED | NOT_FOR_ALL, AGENT(name), 0, 0, 0, NULL},
    {"persona", FIELD_TEXT, REQUIRED | NOT_FOR_ALL, AGENT(persona), 0, 0, 0, NULL},
    {"domain", FIELD_TEXT, 0, AGENT(domain), 0, 0, 0, NULL},
    {"tone", FIELD_TEXT, 0, AGENT(tone), 0, 0, 0, NULL},
    {"hints", FIELD_TEXTS, 0, AGENT(hints), 0, 0, 0, NULL},
    {"goals", FIELD_TEXTS, 0, AGENT(goals), 0, 0, 0, NULL},
    {"throughput_class", FIELD_CLASS, 0, AGENT(throughput_class), 0, 0, 0, NULL},
    COUNT("ttl_seconds", AGENT(ttl_seconds), 0, century),
    {"may_send_to", FIELD_AGENTS, 0, AGENT(may_send_to), AGENT(may_send_to_all), 0, 0, NULL},
    {"decay_halflife_days", FIELD_POSITIVE, 0, AGENT(decay_halflife_days), 0, 0, 0, NULL},
    {"reward_audit", FIELD_GROUP, 0, 0, 0, 0, 0, &audit_schema},
    {"limits", FIELD_GROUP, 0, 0, 0, 0, 0, &limits_schema},
    {"watchdog", FIELD_GROUP, 0, 0, 0, 0, 0, &watchdog_schema},
    COUNT("idle_exit_seconds", AGENT(idle_exit_seconds), 0, century),
    {"node", FIELD_TEXT, OF_NODE, AGENT(node), 0, 0, 0, NULL},
    {"keep", FIELD_GROUP, 0, 0, 0, 0, 0, &roster_keep_schema},
    {"schedule", FIELD_LIST, 0, AGENT(schedule), AGENT(schedule_count), 0, 0, &schedule_schema},
};
const struct schema roster_agent_schema =
    TABLE("an agent", agent_fields, sizeof(struct roster_agent), roster_agent_start);
static const struct schema defaults_schema = TABLE("defaults", agent_fields, 0, NULL);

#define CLASS_TABLE(word, class)                                                                             \
    static const struct field word##_fields[] = {                                                            \
        COUNT("window", ROSTER(classes[class].window), 1, 10000),                                            \
        COUNT("backlog", ROSTER(classes[class].backlog), 0, 1000000),                                        \
    };                                                                                                       \
    static const struct schema word##_schema = TABLE("throughput class " #word, word##_fields, 0, NULL)
CLASS_TABLE(slow, CLASS_SLOW);
CLASS_TABLE(medium, CLASS_MEDIUM);
CLASS_TABLE(fast, CLASS_FAST);

static const struct field class_fields[] = {
    {"slow", FIELD_GROUP, 0, 0, 0, 0, 0, &slow_schema},
    {"medium", FIELD_GROUP, 0, 0, 0, 0, 0, &medium_schema},
    {"fast", FIELD_GROUP, 0, 0, 0, 0, 0, &fast_schema},
};
static const struct schema classes_schema = TABLE("throughput_classes", class_fields, 0, NULL);

static const struct field budget_fields[] = {
    COUNT("tokens_per_day", ROSTER(tokens_per_day), 0, many),
    MONEY("cost_per_day", ROSTER(cost_per_day)),
};
static const struct schema budget_schema = TABLE("budget", budget_fields, 0, NULL);

static void start_price(void *price)
{
    ((struct roster_price *)price)->cached = -1;
}

static const struct field price_fields[] = {
    {"input", FIELD_AMOUNT, REQUIRED, offsetof(struct roster_price, input), 0, 0, 0, NULL},
    MONEY("cached", offsetof(struct roster_price, cached)),
    {"output", FIELD_AMOUNT, REQUIRED, offsetof(struct roster_price, output), 0, 0, 0, NULL},
};
static const struct schema price_schema =
    TABLE("a price", price_fields, sizeof(struct roster_price), start_price);

static const struct field queue_fields[] = {
    {"name", FIELD_NAME, REQUIRED, offsetof(struct roster_queue, name), 0, 0, 0, NULL},
    {"consumers", FIELD_AGENTS, REQUIRED, offsetof(struct roster_queue, consumers), 0, 0, 0, NULL},
    COUNT("max_attempts", offsetof(struct roster_queue, max_attempts), 1, 1000),
};
static const struct schema queue_schema =
    TABLE("a queue", queue_fields, sizeof(struct roster_queue), start_queue);

static const struct field segment_fields[] = {
    {"name", FIELD_NAME, REQUIRED, offsetof(struct roster_segment, name), 0, 0, 0, NULL},
    {"writers", FIELD_AGENTS, 0, offsetof(struct roster_segment, writers), 0, 0, 0, NULL},
    {"readers", FIELD_AGENTS, 0, offsetof(struct roster_segment, readers), 0, 0, 0, NULL},
};
static const struct schema segment_schema =
    TABLE("a segment", segment_fields, sizeof(struct roster_segment), NULL);

static const struct field hook_fields[] = {
    {"url", FIELD_TEXT, REQUIRED, offsetof(struct roster_hook, url), 0, 0, 0, NULL},
    {"events", FIELD_TEXTS, 0, offsetof(struct roster_hook, events), 0, 0, 0, NULL},
    {"secret_file", FIELD_TEXT, 0, offsetof(struct roster_hook, secret_file), 0, 0, 0, NULL},
};
static const struct schema hook_schema =
    TABLE("an entry of notify", hook_fields, sizeof(struct roster_hook), NULL);

static const struct field roster_fields[] = {
    {"defaults", FIELD_DEFAULTS, 0, 0, 0, 0, 0, &defaults_schema},
    {"agents", FIELD_LIST, REQUIRED, ROSTER(agents), ROSTER(agent_count), 0, 0, &roster_agent_schema},
    {"throughput_classes", FIELD_GROUP, 0, 0, 0, 0, 0, &classes_schema},
    COUNT("warm_workers", ROSTER(warm_workers), 0, ROSTER_AGENTS_MAX),
    {"keep", FIELD_DEFAULTS, 0, 0, 0, 0, 0, &roster_keep_schema},
    {"budget", FIELD_GROUP, 0, 0, 0, 0, 0, &budget_schema},
    {"prices", FIELD_MAP, 0, ROSTER(prices), ROSTER(price_count), 0, 0, &price_schema},
    {"notify", FIELD_LIST, 0, ROSTER(hooks), ROSTER(hook_count), 0, 0, &hook_schema},
    {"queues", FIELD_LIST, 0, ROSTER(queues), ROSTER(queue_count), 0, 0, &queue_schema},
    {"segments", FIELD_LIST, 0, ROSTER(segments), ROSTER(segment_count), 0, 0, &segment_schema},
};
const struct schema roster_schema = TABLE("agents.yaml", roster_fields, sizeof(struct roster), start_roster);

static const char *const class_words[] = {"slow", "medium", "fast"};
static const char *const method_words[] = {"rule_based", "command", "llm"};
static const char *const action_words[] = {"alert", "pause"};

const char *const *field_words(enum field_kind kind, size_t *count)
{
    *count = kind == FIELD_ACTION ? 2 : 3;
    return kind == FIELD_CLASS    ? class_words
           : kind == FIELD_METHOD ? method_words
           : kind == FIELD_ACTION ? action_words
                                  : NULL;
}

size_t field_word_get(const struct field *field, const void *record)
{
    const char *place = (const char *)record + field->offset;
    return field->kind == FIELD_CLASS    ? (size_t) * (const enum throughput_class *)place
           : field->kind == FIELD_METHOD ? (size_t) * (const enum audit_method *)place
                                         : (size_t) * (const bool *)place;
}

bool field_word_set(const struct field *field, void *record, const char *text)
{
    char *place = (char *)record + field->offset;
    size_t count, word = 0;
    const char *const *words = field_words(field->kind, &count);
    while (word < count && strcmp(text, words[word]) != 0)
        word++;
    if (word == count)
        return false;
    if (field->kind == FIELD_CLASS)
        *(enum throughput_class *)place = (enum throughput_class)word;
    else if (field->kind == FIELD_METHOD)
        *(enum audit_method *)place = (enum audit_method)word;
    else
        *(bool *)place = word != 0;
    return true;
}

bool text_list_has(const struct text_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

void text_list_free(struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct text_list){0};
}

void field_list_clear(const struct field *field, void *record)
{
    char **records = (char **)((char *)record + field->offset);
    size_t *count = (size_t *)((char *)record + field->companion);
    for (size_t i = 0; i < *count; i++) {
        char *item = *records + i * field->schema->size;
        schema_clear(field->schema, item);
        if (field->kind == FIELD_MAP)
            free(*(char **)(void *)item);
    }
    free(*records);
    *records = NULL;
    *count = 0;
}

void schema_clear(const struct schema *schema, void *record)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct field *field = &schema->fields[i];
        char *place = (char *)record + field->offset;
        switch (field->kind) {
        case FIELD_TEXT:
        case FIELD_NAME:
        case FIELD_CRON:
            free(*(char **)place);
            *(char **)place = NULL;
            break;
        case FIELD_TEXTS:
        case FIELD_ARGUMENTS:
        case FIELD_AGENTS:
            text_list_free((struct text_list *)place);
            break;
        case FIELD_GROUP:
            schema_clear(field->schema, record);
            break;
        case FIELD_LIST:
        case FIELD_MAP:
            field_list_clear(field, record);
            break;
        default:
            break;
        }
    }
}
