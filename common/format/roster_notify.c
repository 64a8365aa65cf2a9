/* `notify` of agents.yaml: the rules that a table of fields can't hold. */
#include <string.h>

#include "common/base_url.h"
#include "common/format/did_you_mean.h"
#include "common/format/roster_read.h"
#include "common/format/webhook_secret.h"

static const char *const kinds[ALERT_KINDS] = {[ALERT_WATCHDOG] = "watchdog",
                                               [ALERT_DEAD_LETTER] = "dead_letter",
                                               [ALERT_BUDGET] = "budget",
                                               [ALERT_AGENT_FAILED] = "agent_failed",
                                               [ALERT_PROVIDER] = "provider"};

const char *alert_name(enum alert_kind kind)
{
    return kinds[kind];
}

static const char *kind_at(const void *context, size_t i)
{
    (void)context;
    return kinds[i];
}

#define FAULT(reader, node, ...) reader_fault(reader, (node)->line, (node)->column, __VA_ARGS__)

static unsigned read_kind(struct roster_reader *reader, const struct yaml_node *node)
{
    for (unsigned i = 0; i < ALERT_KINDS; i++)
        if (node->kind == YAML_SCALAR && strcmp(node->text, kinds[i]) == 0)
            return 1U << i;
    if (node->kind == YAML_SCALAR) { /* an item that is no text was complained about before */
        const char *near = did_you_mean(node->text, kind_at, NULL, ALERT_KINDS);
        FAULT(reader, node,
              "events has no '%.80s'%s%s%s; there are: watchdog, dead_letter, budget, agent_failed, provider",
              node->text, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    return 0;
}

static unsigned read_kinds(struct roster_reader *reader, const struct yaml_node *events)
{
    unsigned found = 0;
    if (!events || yaml_is_null(events))
        return (1U << ALERT_KINDS) - 1;
    if (events->kind == YAML_SEQUENCE && events->count == 0)
        FAULT(reader, events, "events is an empty list; no alert would ever be sent");
    for (const struct yaml_node *item = events->child; item; item = item->next)
        found |= read_kind(reader, item);
    return found;
}

static void check_hook(struct roster_reader *reader, const struct roster *roster, size_t index,
                       const struct yaml_node *node)
{
    const struct roster_hook *hook = &roster->hooks[index];
    const struct yaml_node *url = yaml_get(node, "url"), *secret = yaml_get(node, "secret_file");
    struct fault fault;
    if (hook->url && !base_url_is_http(hook->url, &fault))
        FAULT(reader, url, "url %s", fault.text);
    for (size_t i = 0; hook->url && i < index; i++)
        if (roster->hooks[i].url && strcmp(roster->hooks[i].url, hook->url) == 0)
            FAULT(reader, url, "this url stands in an entry before, too; name all its events there");
    if (hook->secret_file && *hook->secret_file != '/')
        FAULT(reader, secret, "secret_file must be an absolute path, such as /run/secrets/hook");
}

void reader_notify(struct roster_reader *reader, const struct yaml_node *list, struct roster *roster)
{
    if (!list || list->kind != YAML_SEQUENCE)
        return;
    if (list->count > ROSTER_HOOKS_MAX) { /* each entry is compared with all before it */
        FAULT(reader, list, "%zu entries of notify are too many; at most %d are served", list->count,
              ROSTER_HOOKS_MAX);
        return;
    }
    const struct yaml_node *item = list->child;
    for (size_t i = 0; i < roster->hook_count; i++, item = item->next) {
        const struct yaml_node *secret = yaml_get(item, "secret_file");
        roster->hooks[i].line = secret ? secret->line : item->line;
        roster->hooks[i].column = secret ? secret->column : item->column;
        roster->hooks[i].kinds = read_kinds(reader, yaml_get(item, "events"));
        check_hook(reader, roster, i, item);
    }
}

bool roster_secrets(const struct roster *roster, struct buffer *faults)
{
    bool all = true;
    for (size_t i = 0; i < roster->hook_count; i++) {
        const struct roster_hook *hook = &roster->hooks[i];
        struct fault fault;
        struct webhook_secret secret;
        if (hook->secret_file && !webhook_secret_read(hook->secret_file, &secret, &fault)) {
            buffer_print(faults, "agents.yaml:%u:%u: %s\n", hook->line, hook->column, fault.text);
            all = false;
        } else if (hook->secret_file) {
            webhook_secret_wipe(&secret);
        }
    }
    return all;
}
