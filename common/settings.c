#include "common/settings.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/address.h"
#include "common/base_url.h"
#include "common/fault.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/secrets.h"
#include "common/tree.h"
#include "common/utf8.h"

struct row {
    const char *name, *fallback;
    enum setting_kind kind;
    double least, most;
    bool per_agent;
    const char *words, *help;
};

static const struct row table[SETTING_COUNT] = {
#define X(symbol, name, kind, fallback, least, most, per_agent, words, help)                                 \
    {name, fallback, SETTING_##kind, least, most, per_agent, words, help},
    SETTINGS_TABLE(X)
#undef X
};

const char *setting_name(enum setting setting)
{
    return table[setting].name;
}

char *setting_variable(enum setting setting, const char *owner)
{
    if (!owner || !*owner)
        return memory_text(table[setting].name);
    char *name = memory_print("%s__%s", table[setting].name, owner);
    for (char *c = name + strlen(table[setting].name); *c; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return name;
}

/* An empty AGENTOS_LISTEN says "no HTTP interface"; any other empty variable says nothing. */
static const char *value_of(enum setting setting, const char *variable)
{
    const char *value = getenv(variable);
    return value && (*value || setting == SET_AGENTOS_LISTEN) ? value : NULL;
}

/* LLM_API_KEY__NAME_FILE means the same as LLM_API_KEY_FILE__NAME. */
static const char *own_key_file(const char *owner)
{
    OWNED char *key = setting_variable(SET_LLM_API_KEY, owner);
    OWNED char *variable = memory_print("%s_FILE", key);
    return value_of(SET_LLM_API_KEY_FILE, variable);
}

const char *setting_own(enum setting setting, const char *owner)
{
    if (!owner || !*owner || !table[setting].per_agent)
        return NULL;
    OWNED char *variable = setting_variable(setting, owner);
    const char *value = value_of(setting, variable);
    return value || setting != SET_LLM_API_KEY_FILE ? value : own_key_file(owner);
}

const char *setting_text(enum setting setting, const char *owner)
{
    const char *value = setting_own(setting, owner);
    if (!value)
        value = value_of(setting, table[setting].name);
    return value ? value : table[setting].fallback;
}

static bool parse_integer(const struct row *row, const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end || errno || (double)number < row->least || (double)number > row->most)
        return false;
    *value = number;
    return true;
}

int64_t setting_integer(enum setting setting, const char *owner)
{
    const struct row *row = &table[setting];
    const char *text = setting_text(setting, owner);
    int64_t value = 0;
    if (text && parse_integer(row, text, &value))
        return value;
    return row->fallback && parse_integer(row, row->fallback, &value) ? value : 0;
}

char *setting_next_fallback(char **rest)
{
    char *name;
    do
        name = strsep(rest, ", \t");
    while (name && !*name);
    return name;
}

/* The i-th name of LLM_FALLBACKS, from 0; NULL: there are fewer. Caller frees. */
static char *fallback(const char *agent, size_t i)
{
    const char *text = setting_text(SET_LLM_FALLBACKS, agent);
    OWNED char *names = memory_text(text ? text : "");
    char *rest = names;
    for (char *name; (name = setting_next_fallback(&rest));)
        if (i-- == 0)
            return memory_text(name);
    return NULL;
}

bool setting_provider(const char *agent, size_t i, struct setting_provider *provider)
{
    *provider = (struct setting_provider){.fallback = i ? fallback(agent, i - 1) : NULL};
    if (i && !provider->fallback)
        return false;
    const char *owner = i ? provider->fallback : agent;
    const char *limits = i && setting_own(SET_LLM_MAX_TOKENS, owner) ? owner : agent;
    bool offline = strcmp(setting_text(SET_LLM_BASE_URL, owner), "offline") == 0;
    provider->model = offline ? "offline" : setting_text(SET_LLM_MODEL, owner);
    provider->max_tokens = (uint64_t)setting_integer(SET_LLM_MAX_TOKENS, limits);
    return true;
}

static bool check_integer(const struct row *row, const char *value, struct fault *fault)
{
    int64_t number;
    if (parse_integer(row, value, &number))
        return true;
    return fault_set(fault, "must be a whole number from %.0f to %.0f, not '%s'", row->least, row->most,
                     value);
}

static bool check_number(const struct row *row, const char *value, struct fault *fault)
{
    char *end;
    double number = strtod(value, &end);
    if (end != value && !*end && isfinite(number) && number >= row->least && number <= row->most)
        return true;
    return fault_set(fault, "must be a number from %g to %g, not '%s'", row->least, row->most, value);
}

/* The log's words are taken in any case, as log_start takes them; other words are compared as they stand. */
static bool check_word(const struct row *row, const char *value, struct fault *fault)
{
    bool any_case = row == &table[SET_LOG_LEVEL] || row == &table[SET_LOG_FORMAT];
    OWNED char *words = memory_text(row->words);
    char *rest = words;
    for (char *word; (word = strsep(&rest, " "));)
        if ((any_case ? strcasecmp : strcmp)(word, value) == 0)
            return true;
    return fault_set(fault, "must be one of: %s; not '%s'", row->words, value);
}

/* Each fallback is named once and described by a variable of its own; else the fallback would only be the first
 * provider again. */
static bool check_fallbacks(const char *value, struct fault *fault)
{
    OWNED char *names = memory_text(value);
    char *rest = names;
    for (char *name; (name = setting_next_fallback(&rest));) {
        for (const char *c = name; *c; c++)
            if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
                return fault_set(fault, "'%s' is no name: letters, digits, '-' and '_'", name);
        if (!setting_own(SET_LLM_BASE_URL, name) && !setting_own(SET_LLM_MODEL, name)) {
            OWNED char *url = setting_variable(SET_LLM_BASE_URL, name);
            OWNED char *model = setting_variable(SET_LLM_MODEL, name);
            return fault_set(fault, "names '%s', but neither %s nor %s is set", name, url, model);
        }
    }
    return true;
}

/* No model's name has such, and servers take the name as it stands. Blanks inside are said elsewhere: some names have them. */
static bool check_model(const char *value, struct fault *fault)
{
    size_t last = strlen(value) - 1;
    if (strchr("\"'", value[0]) && value[last] == value[0])
        return fault_set(fault, "stands in quotes, which have become a part of it; leave them out");
    if (isspace((unsigned char)value[0]) || isspace((unsigned char)value[last]))
        return fault_set(fault,
                         "begins or ends with a blank or a line break, which is a part of it; leave it out");
    for (const char *c = value; *c; c++)
        if (iscntrl((unsigned char)*c))
            return fault_set(fault, "holds a line break or another control character");
    return utf8_valid(value, strlen(value)) || fault_set(fault, "is not valid UTF-8");
}

static bool check_value(enum setting setting, const char *value, struct fault *fault)
{
    const struct row *row = &table[setting];
    if (setting == SET_AGENTOS_LISTEN)
        return !*value || address_parse(value, &(struct address){0}, fault);
    if (!*value)
        return true;
    if (setting == SET_LLM_BASE_URL)
        return base_url_check(value, fault);
    if (setting == SET_LLM_MODEL)
        return check_model(value, fault);
    if (setting == SET_LLM_FALLBACKS)
        return check_fallbacks(value, fault);
    switch (row->kind) {
    case SETTING_INTEGER:
        return check_integer(row, value, fault);
    case SETTING_NUMBER:
        return check_number(row, value, fault);
    case SETTING_WORD:
        return check_word(row, value, fault);
    case SETTING_TEXT:
    case SETTING_SECRET:
        break;
    }
    return true;
}

static bool ends_with(const char *text, size_t length, const char *end)
{
    size_t size = strlen(end);
    return length >= size && memcmp(text + length - size, end, size) == 0;
}

/* A key given twice, directly and as a file: which one is meant is for a person to say. variable is the file's:
 * LLM_API_KEY_FILE, LLM_API_KEY_FILE__NAME or LLM_API_KEY__NAME_FILE. A file that cannot be read is no key at all. */
static bool check_secret_file(const char *variable, const char *path, struct fault *fault)
{
    const char *mark = strstr(variable, "_FILE");
    if (ends_with(variable, strlen(variable), "_FILE"))
        mark = variable + strlen(variable) - strlen("_FILE");
    OWNED char *direct = memory_print("%.*s%s", (int)(mark - variable), variable, mark + strlen("_FILE"));
    const char *value = getenv(direct);
    if ((value && *value) || secrets_taken(direct))
        return fault_set(fault, "and %s are both set; keep one of them", direct);
    struct stat status;
    if (access(path, R_OK) != 0 || stat(path, &status) != 0)
        return fault_set(fault, "names %s, which cannot be read: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return fault_set(fault, "names %s, which is no regular file", path);
    if (status.st_size == 0)
        return fault_set(fault, "names %s, which is empty", path);
    return true;
}

/* Which setting a variable's name (length bytes) stands for; SETTING_COUNT: none. */
static enum setting find(const char *name, size_t length, bool *owned)
{
    for (unsigned i = 0; i < SETTING_COUNT; i++) {
        size_t size = strlen(table[i].name);
        if (length < size || strncmp(name, table[i].name, size) != 0)
            continue;
        *owned = length > size + 2 && strncmp(name + size, "__", 2) == 0;
        if (i == SET_LLM_API_KEY && *owned && ends_with(name, length, "_FILE"))
            return SET_LLM_API_KEY_FILE;
        if (length == size || *owned)
            return (enum setting)i;
    }
    return SETTING_COUNT;
}

static bool is_file_of_secrets(enum setting setting)
{
    return setting == SET_LLM_API_KEY_FILE || setting == SET_AGENTOS_TOKEN_FILE ||
           setting == SET_AGENTOS_GIT_CREDENTIALS_FILE || setting == SET_AGENTOS_GIT_KNOWN_HOSTS_FILE ||
           (setting >= SET_AGENTOS_BUS_CREDS_FILE && setting <= SET_AGENTOS_BUS_KEY_FILE);
}

static void check_variable(const char *name, size_t length, const char *value, struct buffer *faults)
{
    bool owned;
    enum setting setting = find(name, length, &owned);
    if (setting == SETTING_COUNT)
        return;
    OWNED char *variable = memory_slice(name, length);
    struct fault fault;
    bool good = true;
    if (owned && !table[setting].per_agent)
        good = fault_set(&fault, "can't be set for one agent; only %s has an effect", table[setting].name);
    else
        good = check_value(setting, value, &fault);
    if (good && *value && is_file_of_secrets(setting))
        good = check_secret_file(variable, value, &fault);
    if (good && *value && setting == SET_AGENTOS_NODE && !names_node(value))
        good = fault_set(&fault, "is a node's name, 1 to 64 of a-z A-Z 0-9 - _, not '%.80s'", value);
    if (!good)
        buffer_print(faults, "%s %s\n", variable, fault.text);
}

bool settings_check(struct buffer *faults)
{
    size_t before = faults->length;
    for (char **entry = environ; entry && *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        if (equals)
            check_variable(*entry, (size_t)(equals - *entry), equals + 1, faults);
    }
    return faults->length == before;
}

static void take_host(char name[NAME_LENGTH_MAX + 1])
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0 || *host == '\0')
        strcpy(host, "localhost");
    host[strcspn(host, ".")] = '\0';
    snprintf(name, NAME_LENGTH_MAX + 1, "%.*s", NAME_LENGTH_MAX, *host ? host : "localhost");
    for (char *c = name; *c; c++)
        if (!names_node((char[]){*c, '\0'}))
            *c = '-';
}

const char *node_name(void)
{
    static char name[NAME_LENGTH_MAX + 1];
    const char *given = setting_text(SET_AGENTOS_NODE, NULL);
    if (*name == '\0' && given)
        snprintf(name, sizeof name, "%s", given);
    else if (*name == '\0')
        take_host(name);
    return name;
}

enum { HELP_COLUMN = 20 };

void settings_help(struct buffer *out)
{
    for (unsigned i = 0; i < SETTING_COUNT; i++) {
        const struct row *row = &table[i];
        bool fits = strlen(row->name) <= HELP_COLUMN; /* a longer name has a line of its own */
        buffer_print(out, "  %-*s%s%*s %s", HELP_COLUMN, row->name, fits ? "" : "\n",
                     fits ? 0 : HELP_COLUMN + 2, "", row->help);
        if (row->words)
            buffer_print(out, "; one of: %s", row->words);
        if (row->fallback && *row->fallback)
            buffer_print(out, " (default %s)", row->fallback);
        buffer_text(out, "\n");
    }
}
