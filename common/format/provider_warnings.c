#include "common/format/provider_warnings.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base_url.h"
#include "common/memory.h"
#include "common/settings.h"

/* Providers, with the beginning of their keys and their address. word: stands in the addresses of hosts that pass
 * requests on to the provider; NULL: many other hosts take the key. */
static const struct house {
    const char *name, *base, *key, *word;
} houses[] = {
    {"Anthropic", "https://api.anthropic.com/v1", "sk-ant-", "anthropic"},
    {"OpenRouter", "https://openrouter.ai/api/v1", "sk-or-", "openrouter"},
    {"OpenAI", "https://api.openai.com/v1", "sk-proj-", NULL},
    {"OpenAI", "https://api.openai.com/v1", "sk-svcacct-", NULL},
    {"Groq", "https://api.groq.com/openai/v1", "gsk_", "groq"},
    {"Google", "https://generativelanguage.googleapis.com/v1beta/openai", "AIza", "google"},
    {"Hugging Face", "https://router.huggingface.co/v1", "hf_", "huggingface"},
    {"xAI", "https://api.x.ai/v1", "xai-", "x.ai"},
    {"Perplexity", "https://api.perplexity.ai", "pplx-", "perplexity"},
    {"NVIDIA", "https://integrate.api.nvidia.com/v1", "nvapi-", "nvidia"},
    {"Fireworks", "https://api.fireworks.ai/inference/v1", "fw_", "fireworks"},
    {"Cerebras", "https://api.cerebras.ai/v1", "csk-", "cerebras"},
    {"GitHub", "https://models.github.ai/inference", "github_pat_", "github"},
    {"Mistral", "https://api.mistral.ai/v1", NULL, "mistral"},
};

enum {
    HOUSES = sizeof houses / sizeof *houses,
    KEY_LEAST = 8 /* shorter ones are the "none" of servers that want no key */
};

struct survey {
    const struct secrets *secrets;
    struct buffer *out;
};

/* A key as it was found. */
struct found {
    char *variable; /* owned */
    char *value;    /* owned, overwritten before it is freed; NULL: there is none, or it can't be read */
    bool given;
};

/* --- one key --- */

const char *provider_key_fault(const char *key)
{
    size_t length = strlen(key);
    if (length > 1 && strchr("\"'", *key) && key[length - 1] == *key)
        return "stands in quotes, which have become a part of it; leave them out";
    if (strncasecmp(key, "Bearer ", 7) == 0)
        return "begins with 'Bearer ', which is put before it anyway; leave that word out";
    for (const char *c = key; *c; c++)
        if (iscntrl((unsigned char)*c))
            return "holds a line break or another control character";
    return NULL;
}

static bool same_host(const char *one, const char *other)
{
    OWNED char *first = base_url_host(one), *second = base_url_host(other);
    return strcasecmp(first, second) == 0;
}

static bool is_taken_at(const struct house *house, const char *url)
{
    if (base_url_is_loopback(url) || same_host(url, house->base))
        return true;
    for (size_t i = 0; i < HOUSES; i++)
        if (same_host(url, houses[i].base))
            return false;
    return !house->word || strcasestr(url, house->word);
}

static void warn_of_house(const struct survey *survey, const struct found *key, const char *url)
{
    for (size_t i = 0; i < HOUSES; i++) {
        if (!houses[i].key || strncmp(key->value, houses[i].key, strlen(houses[i].key)) != 0)
            continue;
        if (!is_taken_at(&houses[i], url))
            buffer_print(
                survey->out,
                "%s begins with '%s' as keys of %s do, but is sent to %s; is the base URL %s meant?\n",
                key->variable, houses[i].key, houses[i].name, url, houses[i].base);
        return;
    }
}

static void look_at_key(const struct survey *survey, const struct found *key, const char *url)
{
    const char *fault = provider_key_fault(key->value);
    if (fault)
        buffer_print(survey->out, "%s %s; nothing can be asked with it\n", key->variable, fault);
    else if (strchr(key->value, ' '))
        buffer_print(survey->out, "%s has a blank in it, which no provider's key has\n", key->variable);
    warn_of_house(survey, key, url);
    if (strncasecmp(url, "http://", 7) == 0 && !base_url_is_loopback(url) && strlen(key->value) >= KEY_LEAST)
        buffer_print(
            survey->out,
            "%s is sent to %s without encryption, so any machine on the way can read it; https:// is safe\n",
            key->variable, url);
}

/* --- one provider --- */

static const char *in_use(enum setting setting, const char *owner)
{
    return owner ? setting_own(setting, owner) : setting_text(setting, NULL);
}

/* The key as the gateway takes it: without blanks and line breaks at its ends. */
static struct found find_key(const struct survey *survey, const char *owner)
{
    struct found key = {.variable = setting_variable(SET_LLM_API_KEY, owner)};
    const char *value = secrets_find(survey->secrets, key.variable);
    const char *file = in_use(SET_LLM_API_KEY_FILE, owner);
    key.given = (value && *value) || file;
    if (value && *value)
        key.value = memory_text(value);
    else if (file)
        key.value = secrets_read_file(file, "key", NULL); /* settings_check says why not */
    if (!key.value)
        return key;
    if (secrets_trim(key.value))
        buffer_print(survey->out, "%s has blanks or line breaks around it; they are left out\n",
                     key.variable);
    return key;
}

static void look_at_base(const struct survey *survey, const char *owner, const char *url)
{
    OWNED char *variable = setting_variable(SET_LLM_BASE_URL, owner);
    const char *path = strstr(url, "://") + 3;
    path += strcspn(path, "/?");
    bool bare = path[strspn(path, "/")] == '\0';
    for (size_t i = 0; bare && i < HOUSES; i++)
        if (same_host(url, houses[i].base) && strchr(houses[i].base + strlen("https://"), '/')) {
            buffer_print(survey->out, "%s is %s, but %s is asked at %s\n", variable, url, houses[i].name,
                         houses[i].base);
            return;
        }
    if (strcasestr(url, ".azure.com/openai/deployments/") && !strstr(url, "api-version="))
        buffer_print(survey->out, "%s names a deployment of Azure's, which wants ?api-version=… behind it\n",
                     variable);
}

/* owner: NULL for the general settings. A key is sent only to the base URL that it was given for, so an owner with a URL
 * of its own needs a key of its own. A server on this machine usually asks for none. */
static void look(const struct survey *survey, const char *owner)
{
    const char *url = setting_text(SET_LLM_BASE_URL, owner), *model = in_use(SET_LLM_MODEL, owner);
    bool own = in_use(SET_LLM_BASE_URL, owner) != NULL;
    if (strcmp(url, "offline") == 0)
        return;
    struct found key = find_key(survey, owner);
    if (own)
        look_at_base(survey, owner, url);
    if (model && strpbrk(model, " \t")) {
        OWNED char *variable = setting_variable(SET_LLM_MODEL, owner);
        buffer_print(survey->out, "%s is '%s'; models' names seldom have blanks\n", variable, model);
    }
    if (key.value)
        look_at_key(survey, &key, url);
    else if (own && !key.given && !base_url_is_loopback(url) && !strstr(url, "://host.docker.internal"))
        buffer_print(survey->out, "%s is not set, and %s will probably want a key\n", key.variable, url);
    memory_wipe(key.value);
    free(key.variable);
}

static void look_at_fallbacks(const struct survey *survey, const char *agent)
{
    const char *list = in_use(SET_LLM_FALLBACKS, agent);
    OWNED char *names = memory_text(list ? list : "");
    char *rest = names;
    for (char *name; (name = setting_next_fallback(&rest));)
        look(survey, name);
}

/* OpenSSL finds an authority in a folder by the hash of its name, which is the file's. */
static bool has_hashed_file(const char *folder)
{
    DIR *entries = opendir(folder);
    bool found = false;
    for (struct dirent *entry; entries && !found && (entry = readdir(entries));)
        found = strspn(entry->d_name, "0123456789abcdef") == 8 && entry->d_name[8] == '.' &&
                isdigit((unsigned char)entry->d_name[9]);
    if (entries)
        closedir(entries);
    return found;
}

static void look_at_authorities(const struct survey *survey)
{
    const char *file = getenv("SSL_CERT_FILE"), *folder = getenv("SSL_CERT_DIR");
    if (file && *file && access(file, R_OK) != 0)
        buffer_print(survey->out,
                     "SSL_CERT_FILE is %s, which can't be read (%s), so no https:// is trusted\n", file,
                     strerror(errno));
    if (folder && *folder && !has_hashed_file(folder))
        buffer_print(survey->out,
                     "SSL_CERT_DIR is %s, which is no folder with an authority under its hash as its name "
                     "(`openssl rehash` makes them; one folder, no list), so it adds none\n",
                     folder);
}

/* The HTTP process answers nobody with such a token (supervisor/http/token.c). Without that process config_warnings
 * says that nobody asks for the token. */
static void look_at_token(const struct survey *survey)
{
    if (!*setting_text(SET_AGENTOS_LISTEN, NULL))
        return;
    const char *value = secrets_find(survey->secrets, setting_name(SET_AGENTOS_TOKEN));
    const char *file = setting_text(SET_AGENTOS_TOKEN_FILE, NULL);
    char *token = value && *value ? memory_text(value) : file ? secrets_read_file(file, "token", NULL) : NULL;
    if (token && !secrets_fit_for_a_header(token))
        buffer_print(survey->out,
                     "%s holds a blank or a control character, which no client could send, so the HTTP "
                     "interface answers nobody\n",
                     setting_name(value && *value ? SET_AGENTOS_TOKEN : SET_AGENTOS_TOKEN_FILE));
    memory_wipe(token);
}

void provider_warnings_list(const struct roster *roster, const struct secrets *secrets, struct buffer *out)
{
    struct survey survey = {.secrets = secrets, .out = out};
    look_at_authorities(&survey);
    look_at_token(&survey);
    look(&survey, NULL);
    look_at_fallbacks(&survey, NULL);
    for (size_t i = 0; roster && i < roster->agent_count; i++) {
        look(&survey, roster->agents[i].name);
        look_at_fallbacks(&survey, roster->agents[i].name);
    }
}
