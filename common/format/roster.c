#include "common/format/roster.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/format/did_you_mean.h"
#include "common/format/roster_comments.h"
#include "common/format/roster_read.h"
#include "common/memory.h"
#include "common/settings.h"
#include "common/tree.h"

/* The names that a list of records gives itself, and where. */
struct name_nodes {
    const struct yaml_node **nodes;
    size_t count;
};

static int compare_places(const struct yaml_node *a, const struct yaml_node *b)
{
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return (a->column > b->column) - (a->column < b->column);
}

static int compare_names(const void *a, const void *b)
{
    const struct yaml_node *left = *(const struct yaml_node *const *)a;
    const struct yaml_node *right = *(const struct yaml_node *const *)b;
    int order = strcmp(left->text, right->text);
    return order ? order : compare_places(left, right);
}

/* a-b and a_b are the same: both are A_B in the name of an environment variable. */
static int compare_suffix_text(const char *a, const char *b)
{
    while (*a && (*a == '-' ? '_' : *a) == (*b == '-' ? '_' : *b))
        a++, b++;
    return (*a == '-' ? '_' : *a) - (*b == '-' ? '_' : *b);
}

static int compare_suffixes(const void *a, const void *b)
{
    const struct yaml_node *left = *(const struct yaml_node *const *)a;
    const struct yaml_node *right = *(const struct yaml_node *const *)b;
    int order = compare_suffix_text(left->text, right->text);
    return order ? order : compare_places(left, right);
}

static struct name_nodes collect_names(const struct yaml_node *list)
{
    struct name_nodes names = {0};
    if (!list || list->kind != YAML_SEQUENCE)
        return names;
    names.nodes = memory_new(list->count, sizeof *names.nodes);
    for (const struct yaml_node *item = list->child; item; item = item->next) {
        const struct yaml_node *name = yaml_get(item, "name");
        if (name && name->kind == YAML_SCALAR)
            names.nodes[names.count++] = name;
    }
    qsort(names.nodes, names.count, sizeof *names.nodes, compare_names);
    return names;
}

static void check_duplicates(struct roster_reader *reader, const struct name_nodes *names, const char *what)
{
    for (size_t i = 1; i < names->count; i++) {
        const struct yaml_node *first = names->nodes[i - 1], *again = names->nodes[i];
        if (strcmp(first->text, again->text) == 0)
            reader_fault(reader, again->line, again->column, "%s '%.80s' stands here again; first in line %u",
                         what, again->text, first->line);
    }
}

static void check_list(struct roster_reader *reader, const struct yaml_node *list, const char *what)
{
    struct name_nodes names = collect_names(list);
    check_duplicates(reader, &names, what);
    free(names.nodes);
}

/* "A_B" of "a-b". */
static void suffix(const char *name, char out[NAME_LENGTH_MAX + 1])
{
    size_t length = strnlen(name, NAME_LENGTH_MAX);
    for (size_t i = 0; i < length; i++)
        out[i] = name[i] == '-' ? '_' : (char)toupper((unsigned char)name[i]);
    out[length] = '\0';
}

static void check_suffixes(struct roster_reader *reader, const struct name_nodes *names)
{
    OWNED const struct yaml_node **sorted = memory_new(names->count, sizeof *sorted);
    if (names->count > 0)
        memcpy(sorted, names->nodes, names->count * sizeof *sorted);
    qsort(sorted, names->count, sizeof *sorted, compare_suffixes);
    for (size_t i = 1; i < names->count; i++) {
        const struct yaml_node *first = sorted[i - 1], *second = sorted[i];
        char shared[NAME_LENGTH_MAX + 1];
        if (compare_suffix_text(first->text, second->text) != 0 || strcmp(first->text, second->text) == 0)
            continue;
        suffix(second->text, shared);
        reader_fault(
            reader, second->line, second->column,
            "agent '%.80s' and agent '%.80s' of line %u would share their variables, such as LLM_MODEL__%s",
            second->text, first->text, first->line, shared);
    }
}

/* The fallbacks of owner, NULL for the general ones, against every agent. */
static void check_fallbacks(struct roster_reader *reader, const struct name_nodes *names, const char *owner)
{
    struct setting_provider provider;
    char shared[NAME_LENGTH_MAX + 1];
    for (size_t i = 1; setting_provider(owner, i, &provider); i++) {
        suffix(provider.fallback, shared);
        for (size_t j = 0; j < names->count; j++)
            if (compare_suffix_text(provider.fallback, names->nodes[j]->text) == 0)
                reader_fault(reader, names->nodes[j]->line, names->nodes[j]->column,
                             "agent '%.80s' and the fallback '%.80s' of LLM_FALLBACKS would share their "
                             "variables, such as LLM_MODEL__%s",
                             names->nodes[j]->text, provider.fallback, shared);
        free(provider.fallback);
    }
}

static void check_agents(struct roster_reader *reader, const struct yaml_node *list,
                         const struct name_nodes *names)
{
    check_duplicates(reader, names, "agent");
    check_suffixes(reader, names);
    check_fallbacks(reader, names, NULL);
    for (size_t i = 0; i < names->count; i++)
        if (setting_own(SET_LLM_FALLBACKS, names->nodes[i]->text))
            check_fallbacks(reader, names, names->nodes[i]->text);
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->nodes[i]->text, "operator") == 0)
            reader_fault(reader, names->nodes[i]->line, names->nodes[i]->column,
                         "an agent cannot be called 'operator': that is the name of people as senders");
    if (list && list->kind == YAML_SEQUENCE && list->count == 0)
        reader_fault(reader, list->line, list->column, "agents is an empty list; there is no agent to run");
    if (list && list->kind == YAML_SEQUENCE && list->count > ROSTER_AGENTS_MAX)
        reader_fault(reader, list->line, list->column, "%zu agents are too many; at most %d can be run",
                     list->count, ROSTER_AGENTS_MAX);
}

static void check_queues(struct roster_reader *reader, const struct yaml_node *list)
{
    check_list(reader, list, "queue");
    for (const struct yaml_node *item = list ? list->child : NULL; item; item = item->next) {
        const struct yaml_node *consumers = yaml_get(item, "consumers");
        if (consumers && consumers->kind == YAML_SEQUENCE && consumers->count == 0)
            reader_fault(reader, consumers->line, consumers->column,
                         "consumers is an empty list; no agent would ever take an item");
    }
}

static bool is_priced(const struct roster *roster, const char *model)
{
    return strcmp(model, "offline") == 0 || roster_price(roster, model);
}

/* A limit of money over the agent's questions: every model that may answer them needs a price. */
static void check_priced(struct roster_reader *reader, const struct roster *roster, const char *agent,
                         const struct yaml_node *limit)
{
    struct setting_provider provider;
    for (size_t i = 0; setting_provider(agent, i, &provider); i++) {
        if (!is_priced(roster, provider.model))
            reader_fault(
                reader, limit->line, limit->column,
                "cost_per_day needs a price for every model in use, and prices has none for '%.80s', "
                "%s%.80s of agent '%.80s'",
                provider.model, provider.fallback ? "the fallback " : "the model",
                provider.fallback ? provider.fallback : "", agent);
        free(provider.fallback);
    }
}

static void check_prices(struct roster_reader *reader, const struct yaml_node *root,
                         const struct roster *roster)
{
    const struct yaml_node *list = yaml_get(root, "agents");
    const struct yaml_node *all = yaml_get(yaml_get(root, "budget"), "cost_per_day");
    const struct yaml_node *item = list && list->kind == YAML_SEQUENCE ? list->child : NULL;
    for (size_t i = 0; item && i < roster->agent_count; i++, item = item->next) {
        const struct roster_agent *agent = &roster->agents[i];
        const struct yaml_node *own = yaml_get(yaml_get(item, "limits"), "cost_per_day");
        if (!own)
            own = yaml_get(yaml_get(reader->defaults, "limits"), "cost_per_day");
        if (agent->name && agent->limits.cost_per_day > 0 && own)
            check_priced(reader, roster, agent->name, own);
        if (agent->name && roster->cost_per_day > 0 && all)
            check_priced(reader, roster, agent->name, all);
    }
}

static int compare_agents(const void *a, const void *b)
{
    return strcmp((*(const struct roster_agent *const *)a)->name,
                  (*(const struct roster_agent *const *)b)->name);
}

static void index_agents(struct roster *roster)
{
    roster->by_name = memory_new(roster->agent_count, sizeof *roster->by_name);
    for (size_t i = 0; i < roster->agent_count; i++)
        roster->by_name[i] = &roster->agents[i];
    qsort(roster->by_name, roster->agent_count, sizeof *roster->by_name, compare_agents);
}

static void read_roster(struct roster_reader *reader, const struct yaml_node *root, struct roster *roster)
{
    const struct yaml_node *list = yaml_get(root, "agents");
    struct name_nodes names = collect_names(list);
    reader->agents = names.nodes;
    reader->agent_count = names.count;
    reader->defaults = yaml_get(root, "defaults");
    reader->keep = yaml_get(root, "keep");
    reader_record(reader, &roster_schema, root, roster);
    check_agents(reader, list, &names);
    check_queues(reader, yaml_get(root, "queues"));
    check_list(reader, yaml_get(root, "segments"), "segment");
    check_prices(reader, root, roster);
    reader_notify(reader, yaml_get(root, "notify"), roster);
    free(names.nodes);
}

static void complain(void *context, unsigned line, unsigned column, const char *sentence)
{
    reader_fault(context, line, column, "%s", sentence);
}

struct roster *roster_parse(const char *text, size_t length, const char *name, struct buffer *faults)
{
    OWNED struct roster_reader *reader = memory_new(1, sizeof *reader);
    struct roster *roster = memory_new(1, sizeof *roster);
    roster_schema.start(roster);
    struct yaml_node *root = yaml_parse_all(text, length, complain, reader);
    if (root && root->kind == YAML_MAPPING && root->count == 0)
        reader_fault(reader, 1, 1,
                     "the file is empty; it needs a list 'agents', each with a name and a persona");
    else if (root)
        read_roster(reader, root, roster);
    yaml_free(root);
    if (reader->fault_count > 0) {
        reader_print_faults(reader, name, faults);
        roster_free(roster);
        return NULL;
    }
    index_agents(roster);
    struct buffer comments = {0};
    roster_comments(text, length, name, &comments);
    roster->comments = comments.length ? buffer_take(&comments) : NULL;
    return roster;
}

void roster_free(struct roster *roster)
{
    if (!roster)
        return;
    schema_clear(&roster_schema, roster);
    free(roster->by_name);
    free(roster->comments);
    free(roster);
}

void roster_agent_free(struct roster_agent *agent)
{
    if (!agent)
        return;
    schema_clear(&roster_agent_schema, agent);
    free(agent);
}

static int compare_with(const void *name, const void *agent)
{
    return strcmp(name, (*(const struct roster_agent *const *)agent)->name);
}

const struct roster_agent *roster_find(const struct roster *roster, const char *name)
{
    const struct roster_agent **found =
        bsearch(name, roster->by_name, roster->agent_count, sizeof *roster->by_name, compare_with);
    return found ? *found : NULL;
}

static bool is_unknown(const char *kind, const char *name, const char *near, struct fault *fault)
{
    return fault_set(fault, "there is no %s '%s' in agents.yaml%s%s%s", kind, name,
                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static const char *agent_at(const void *roster, size_t i)
{
    return ((const struct roster *)roster)->agents[i].name;
}

bool roster_no_agent(const struct roster *roster, const char *name, struct fault *fault)
{
    return is_unknown("agent", name, did_you_mean(name, agent_at, roster, roster->agent_count), fault);
}

static const char *queue_at(const void *roster, size_t i)
{
    return ((const struct roster *)roster)->queues[i].name;
}

bool roster_no_queue(const struct roster *roster, const char *name, struct fault *fault)
{
    return is_unknown("queue", name, did_you_mean(name, queue_at, roster, roster->queue_count), fault);
}

const struct roster_price *roster_price(const struct roster *roster, const char *model)
{
    for (size_t i = 0; i < roster->price_count; i++)
        if (strcmp(roster->prices[i].model, model) == 0)
            return &roster->prices[i];
    return NULL;
}

bool roster_prices(const struct roster *roster, const char *agent)
{
    struct setting_provider provider;
    bool known = false;
    for (size_t i = 0; roster->price_count > 0 && !known && setting_provider(agent, i, &provider); i++) {
        known = roster_price(roster, provider.model);
        free(provider.fallback);
    }
    return known;
}

const char *class_name(enum throughput_class throughput_class)
{
    size_t count;
    const char *const *words = field_words(FIELD_CLASS, &count);
    return (size_t)throughput_class < count ? words[throughput_class] : "unset";
}

bool class_parse(const char *text, enum throughput_class *throughput_class)
{
    return field_word_set(&(struct field){.kind = FIELD_CLASS}, throughput_class, text);
}

/* The faults that open and fstat can tell. O_NONBLOCK: opening a FIFO must not wait for a writer. */
static int open_file(const char *path, const char *data_dir, struct buffer *faults)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    struct stat status;
    if (fd < 0 && errno == ENOENT)
        buffer_print(faults, "%s: %s\n", path,
                     access(data_dir, F_OK) == 0
                         ? "there is no such file; `agentos init` writes one to start from"
                         : "there is no such directory; DATA_DIR or --data names it");
    else if (fd < 0 || fstat(fd, &status) < 0)
        buffer_print(faults, "%s: cannot be opened: %s\n", path, strerror(errno));
    else if (S_ISDIR(status.st_mode))
        buffer_print(faults, "%s: is a directory, and must be a file; did a container's mount create it?\n",
                     path);
    else if (!S_ISREG(status.st_mode))
        buffer_print(faults, "%s: is no regular file\n", path);
    else
        return fd;
    memory_close_at(&fd);
    return -1;
}

static bool read_file(int fd, const char *path, struct buffer *text, struct buffer *faults)
{
    for (;;) {
        ssize_t got = TEMP_FAILURE_RETRY(read(fd, buffer_room(text, 65536), 65536));
        if (got < 0) {
            buffer_print(faults, "%s: cannot be read: %s\n", path, strerror(errno));
            return false;
        }
        if (got == 0)
            return true;
        text->length += (size_t)got;
        if (text->length > ROSTER_FILE_MAX) {
            buffer_print(faults, "%s: is larger than %d MiB, the most that is read\n", path,
                         ROSTER_FILE_MAX / 1024 / 1024);
            return false;
        }
    }
}

struct roster *roster_load(const char *data_dir, struct buffer *faults)
{
    OWNED char *path = memory_print("%s/agents.yaml", data_dir);
    OWNED_BUFFER struct buffer text = {0};
    OWNED_FD int fd = open_file(path, data_dir, faults);
    if (fd < 0 || !read_file(fd, path, &text, faults))
        return NULL;
    return roster_parse(text.data ? text.data : "", text.length, "agents.yaml", faults);
}
