#include "common/format/config_warnings.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/address.h"
#include "common/base_url.h"
#include "common/format/tree_mounts.h"
#include "common/memory.h"
#include "common/sandbox/checker_access.h"
#include "common/secrets.h"
#include "common/settings.h"
#include "common/tree.h"

static bool is_given(enum setting setting)
{
    const char *name = setting_name(setting), *value = getenv(name);
    return (value && *value) || secrets_taken(name);
}

static void warn_of_bus(struct buffer *out)
{
    for (enum setting file = SET_AGENTOS_BUS_CREDS_FILE; file <= SET_AGENTOS_BUS_KEY_FILE; file++)
        if (is_given(file) && !is_given(SET_AGENTOS_BUS))
            buffer_print(out, "%s is set, but AGENTOS_BUS is not: there is no bus to show it to\n",
                         setting_name(file));
}

/* A listener without a token, and a token without a listener (supervisor/http_listener.c). */
static void warn_of_listening(struct buffer *out)
{
    static const enum setting tokens[] = {SET_AGENTOS_TOKEN, SET_AGENTOS_TOKEN_FILE};
    const char *listen = setting_text(SET_AGENTOS_LISTEN, NULL);
    bool any = false;
    struct address address;
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        any = any || is_given(tokens[i]);
        if (is_given(tokens[i]) && !*listen)
            buffer_print(out, "%s is set, but AGENTOS_LISTEN is empty, so no interface asks for it\n",
                         setting_name(tokens[i]));
    }
    if (*listen && !any && address_parse(listen, &address, NULL) && !address_is_loopback(&address))
        buffer_print(out,
                     "AGENTOS_LISTEN is %s, which other machines can reach, and there is no AGENTOS_TOKEN, "
                     "so the supervisor will not listen there\n",
                     listen);
}

/* --- settings with an owner --- */

static bool is_for(const char *variable, enum setting setting, const char *owner)
{
    OWNED char *his = setting_variable(setting, owner);
    size_t length = strlen(his);
    return strncmp(variable, his, length) == 0 &&
           (variable[length] == '\0' ||
            (setting == SET_LLM_API_KEY && strcmp(variable + length, "_FILE") == 0));
}

static bool is_for_a_fallback(const char *variable, enum setting setting, const char *agent)
{
    const char *list = setting_text(SET_LLM_FALLBACKS, agent);
    OWNED char *names = memory_text(list ? list : "");
    char *rest = names;
    for (char *name; (name = setting_next_fallback(&rest));)
        if (is_for(variable, setting, name))
            return true;
    return false;
}

static bool is_for_somebody(const char *variable, enum setting setting, const struct roster *roster)
{
    bool found = is_for_a_fallback(variable, setting, NULL);
    for (size_t i = 0; i < roster->agent_count && !found; i++)
        found = is_for(variable, setting, roster->agents[i].name) ||
                is_for_a_fallback(variable, setting, roster->agents[i].name);
    return found;
}

static void warn_of_owner(const char *variable, const struct roster *roster, struct buffer *out)
{
    for (unsigned i = 0; i < SETTING_COUNT; i++) {
        const char *name = setting_name((enum setting)i);
        size_t length = strlen(name);
        if (strncmp(variable, name, length) != 0 || strncmp(variable + length, "__", 2) != 0)
            continue;
        if (!is_for_somebody(variable, (enum setting)i, roster))
            buffer_print(out,
                         "%s is set, but no agent and no fallback of LLM_FALLBACKS has the name behind it, "
                         "so no agent uses it\n",
                         variable);
        return;
    }
}

static void warn_of_owners(const struct roster *roster, struct buffer *out)
{
    size_t at = 0;
    for (char **entry = environ; entry && *entry; entry++) {
        OWNED char *variable = memory_slice(*entry, strcspn(*entry, "="));
        warn_of_owner(variable, roster, out);
    }
    for (const char *taken; (taken = secrets_next_taken(&at));)
        warn_of_owner(taken, roster, out);
}

/* --- budgets --- */

static void warn_of_limit(int64_t limit, int64_t reply, const char *what, struct buffer *out)
{
    if (limit > 0 && limit <= reply)
        buffer_print(out,
                     "%s is %" PRId64 ", and one reply alone may take %" PRId64
                     " (LLM_MAX_TOKENS), so no request can ever be made\n",
                     what, limit, reply);
}

static void warn_of_limits(const struct roster *roster, struct buffer *out)
{
    warn_of_limit(roster->tokens_per_day, setting_integer(SET_LLM_MAX_TOKENS, NULL), "budget.tokens_per_day",
                  out);
    for (size_t i = 0; i < roster->agent_count; i++) {
        const struct roster_agent *agent = &roster->agents[i];
        OWNED char *what = memory_print("limits.tokens_per_day of agent '%s'", agent->name);
        warn_of_limit(agent->limits.tokens_per_day, setting_integer(SET_LLM_MAX_TOKENS, agent->name), what,
                      out);
    }
}

/* --- checkers --- */

static bool has_checker(const struct roster_agent *agent)
{
    return agent->reward_audit.enabled && agent->reward_audit.method == AUDIT_COMMAND &&
           agent->reward_audit.command.count > 0;
}

/* A fault under `defaults:` is said once, not for each agent. */
static bool was_met(const struct roster *roster, size_t index)
{
    const struct roster_agent *agent = &roster->agents[index];
    for (size_t i = 0; i < index; i++)
        if (has_checker(&roster->agents[i]) &&
            roster->agents[i].reward_audit.line == agent->reward_audit.line &&
            roster->agents[i].reward_audit.column == agent->reward_audit.column)
            return true;
    return false;
}

static void warn_of_checker(const struct roster_agent *agent, const char *data_dir, struct buffer *out)
{
    struct fault fault;
    struct checker_access access;
    const struct text_list *command = &agent->reward_audit.command;
    OWNED char **words = memory_new(command->count + 1, sizeof *words); /* NULL at the end */
    for (size_t i = 0; i < command->count; i++)
        words[i] = command->items[i];
    if (checker_access_find(&access, data_dir, words, &fault))
        checker_access_free(&access);
    else
        buffer_print(out, "agents.yaml:%u:%u: %s; until that changes, its audits have no result\n",
                     agent->reward_audit.line, agent->reward_audit.column, fault.text);
}

/* --- hooks --- */

static void warn_of_hooks(const struct roster *roster, struct buffer *out)
{
    for (size_t i = 0; i < roster->hook_count; i++) {
        const struct roster_hook *hook = &roster->hooks[i];
        OWNED char *host = base_url_host(hook->url);
        if (!hook->secret_file)
            buffer_print(
                out,
                "agents.yaml:%u:%u: alerts to %s are not signed, so anybody could send such; secret_file "
                "names a file with the hook's secret\n",
                hook->line, hook->column, host);
        if (strncasecmp(hook->url, "https:", strlen("https:")) != 0 && !base_url_is_loopback(hook->url))
            buffer_print(out, "agents.yaml:%u:%u: alerts to %s go over the network as plain text (http)\n",
                         hook->line, hook->column, host);
    }
}

/* Without a bus nobody here can reach the node that has the agent. */
static void warn_of_node(const struct roster_agent *agent, struct buffer *out)
{
    if (*agent->node && strcmp(agent->node, node_name()) != 0 && !is_given(SET_AGENTOS_BUS))
        buffer_print(out,
                     "agents.yaml:%u:1: agent '%s' lives on node '%s', and this is node '%s' (AGENTOS_NODE, "
                     "else the host's name); it does not run here\n",
                     agent->line, agent->name, agent->node, node_name());
}

/* An agent that has more goals than its file may hold begins with the first of them. */
static void warn_of_goals(const struct roster_agent *agent, struct buffer *out)
{
    if (agent->goals.count > GOALS_MAX)
        buffer_print(out,
                     "agents.yaml:%u:1: agent '%s' is given %zu goals, and at most %d are active: it begins "
                     "with the first %d\n",
                     agent->line, agent->name, agent->goals.count, GOALS_MAX, GOALS_MAX);
}

void config_warnings_file(const struct roster *roster, const char *data_dir, struct buffer *out)
{
    for (size_t i = 0; i < roster->agent_count; i++)
        if (has_checker(&roster->agents[i]) && !was_met(roster, i))
            warn_of_checker(&roster->agents[i], data_dir, out);
    for (size_t i = 0; i < roster->agent_count; i++) {
        warn_of_node(&roster->agents[i], out);
        warn_of_goals(&roster->agents[i], out);
    }
    warn_of_hooks(roster, out);
    buffer_text(out, roster->comments ? roster->comments : "");
}

void config_warnings_list(const struct roster *roster, const char *data_dir, struct buffer *out)
{
    warn_of_bus(out);
    warn_of_listening(out);
    warn_of_owners(roster, out);
    warn_of_limits(roster, out);
    tree_mounts_list(data_dir, roster, out);
    config_warnings_file(roster, data_dir, out);
}
