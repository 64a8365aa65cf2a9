#include "supervisor/gateway/keys.h"

#include <curl/curl.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/format/provider_warnings.h"
#include "common/memory.h"
#include "common/proxy.h"
#include "common/settings.h"

struct key {
    char *variable; /* LLM_API_KEY or LLM_API_KEY__OWNER, whichever variable it came from */
    char *value;    /* owned; NULL after a fault */
    char *fault;
};

struct keys {
    struct secrets *secrets;
    struct key *items;
    size_t count;
};

static struct key *find(const struct keys *keys, const char *variable)
{
    for (size_t i = 0; i < keys->count; i++)
        if (strcmp(keys->items[i].variable, variable) == 0)
            return &keys->items[i];
    return NULL;
}

/* Takes variable and value (NULL after a fault). */
static void add(struct keys *keys, char *variable, char *value, const struct fault *fault, const char *origin)
{
    struct key *known = find(keys, variable);
    struct key key = {.variable = variable, .value = value};
    const char *why = NULL;
    if (!value) {
        key.fault = memory_text(fault->text);
    } else if (known) {
        key.fault = memory_print("%s and its _FILE are both set; keep one of them", variable);
    } else if (secrets_trim(value), why = provider_key_fault(value), why) {
        key.fault = memory_print("the key in %s %s", origin, why);
    }
    if (key.fault)
        memory_wipe(key.value), key.value = NULL;
    if (!known) {
        *MEMORY_ADD(keys->items, keys->count) = key;
        return;
    }
    free(known->variable);
    memory_wipe(known->value);
    free(known->fault);
    *known = key;
}

/* From LLM_API_KEY_FILE, LLM_API_KEY_FILE__OWNER or LLM_API_KEY__OWNER_FILE: the variable that would hold the key
 * itself; NULL: the name is none of these. */
static char *key_variable(const char *name, size_t length)
{
    static const char plain[] = "LLM_API_KEY", file[] = "LLM_API_KEY_FILE";
    if (length >= sizeof file - 1 && strncmp(name, file, sizeof file - 1) == 0) {
        const char *rest = name + sizeof file - 1;
        if (length == sizeof file - 1 || strncmp(rest, "__", 2) == 0)
            return memory_print("%s%.*s", plain, (int)(length - (sizeof file - 1)), rest);
        return NULL;
    }
    size_t end = strlen("_FILE");
    if (length > sizeof plain - 1 + 2 + end && strncmp(name, "LLM_API_KEY__", sizeof plain - 1 + 2) == 0 &&
        strncmp(name + length - end, "_FILE", end) == 0)
        return memory_slice(name, length - end);
    return NULL;
}

static void add_files(struct keys *keys)
{
    for (char **entry = environ; entry && *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        char *variable = equals && equals[1] ? key_variable(*entry, (size_t)(equals - *entry)) : NULL;
        if (!variable)
            continue;
        struct fault fault;
        char *value = secrets_read_file(equals + 1, "key", &fault);
        add(keys, variable, value, &fault, equals + 1);
    }
}

struct keys *keys_load(struct secrets *secrets)
{
    struct keys *keys = memory_new(1, sizeof *keys);
    keys->secrets = secrets;
    size_t at = 0;
    for (const char *entry; (entry = secrets_each(secrets, &at));) {
        const char *equals = strchr(entry, '=');
        size_t name = strlen(setting_name(SET_LLM_API_KEY));
        if (!equals || !equals[1] || strncmp(entry, setting_name(SET_LLM_API_KEY), name) != 0)
            continue;
        char *variable = memory_slice(entry, (size_t)(equals - entry));
        add(keys, variable, memory_text(equals + 1), NULL, variable);
    }
    add_files(keys);
    return keys;
}

void keys_free(struct keys *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; i < keys->count; i++) {
        free(keys->items[i].variable);
        memory_wipe(keys->items[i].value);
        free(keys->items[i].fault);
    }
    free(keys->items);
    secrets_free(keys->secrets);
    free(keys);
}

const char *keys_find(const struct keys *keys, const char *owner, const char **fault)
{
    OWNED char *variable = setting_variable(SET_LLM_API_KEY, owner);
    const struct key *key = find(keys, variable);
    *fault = key ? key->fault : NULL;
    return key ? key->value : NULL;
}

static bool is_code_of(const char *escape, char c)
{
    char digits[5] = "";
    if (escape[1] != 'u' || strspn(escape + 2, "0123456789abcdefABCDEF") < sizeof digits - 1)
        return false;
    memcpy(digits, escape + 2, sizeof digits - 1);
    return strtoul(digits, NULL, 16) == (unsigned char)c;
}

/* Behind the secret at text, any byte of which JSON may have escaped: \/, \", \u002b. NULL: another text is there. */
static const char *end_of_escaped(const char *text, const char *secret)
{
    for (; *secret; secret++) {
        if (*text == '\\' && is_code_of(text, *secret))
            text += 6;
        else if (*text == '\\' && text[1] == *secret && strchr("\"\\/", *secret))
            text += 2;
        else if (*text == *secret)
            text++;
        else
            return NULL;
    }
    return text;
}

/* The secret's first place in text; NULL: there is none. */
static const char *find_secret(const char *text, const char *secret, bool escaped, const char **end)
{
    if (!escaped) {
        const char *found = strstr(text, secret);
        *end = found ? found + strlen(secret) : NULL;
        return found;
    }
    for (; *text; text++)
        if ((*end = end_of_escaped(text, secret)))
            return text;
    return NULL;
}

static char *replace_as(char *text, const char *secret, bool escaped)
{
    const char *end = NULL, *from = text, *found = find_secret(text, secret, escaped, &end);
    if (!found)
        return text;
    struct buffer masked = {0};
    for (; found; found = find_secret(from, secret, escaped, &end)) {
        buffer_add(&masked, from, (size_t)(found - from));
        buffer_text(&masked, "[masked]");
        from = end;
    }
    buffer_text(&masked, from);
    memory_wipe(text);
    return buffer_take(&masked);
}

/* A provider's body is shown as it came where it is of no known shape, and a server may escape what it likes. */
static char *replace(char *text, const char *secret)
{
    if (strlen(secret) < KEY_MASK_LEAST)
        return text;
    text = replace_as(text, secret, false);
    return strchr(text, '\\') ? replace_as(text, secret, true) : text;
}

/* Takes secret, from curl_easy_unescape or memory_print. */
static char *replace_and_wipe(char *text, char *secret)
{
    text = secret ? replace(text, secret) : text;
    memory_wipe(secret);
    return text;
}

/* Of a proxy's address only the password is a secret. A text may have it as the address does, decoded, or as the
 * request's header has it, together with the user. */
static char *mask_entry(char *text, const char *entry)
{
    struct proxy proxy;
    if (!proxy_read(entry, &proxy))
        return replace(text, strchr(entry, '=') ? strchr(entry, '=') + 1 : entry);
    if (proxy.password && *proxy.password) {
        char *user = curl_easy_unescape(NULL, proxy.user, 0, NULL);
        char *password = curl_easy_unescape(NULL, proxy.password, 0, NULL);
        char *both = memory_print("%s:%s", user ? user : "", password ? password : "");
        size_t length = strlen(both), room = (length + 2) / 3 * 4 + 1;
        char *coded = memory_new(room, 1);
        (void)b64_ntop((const unsigned char *)both, length, coded, room);
        text = replace_and_wipe(text, coded);
        text = replace(text, proxy.password);
        text = replace_and_wipe(text, password);
        memory_wipe(both);
        memory_wipe(user);
    }
    proxy_free(&proxy);
    return text;
}

const struct secrets *keys_secrets(const struct keys *keys)
{
    return keys->secrets;
}

char *keys_mask(const struct keys *keys, char *text)
{
    for (size_t i = 0; text && i < keys->count; i++)
        if (keys->items[i].value)
            text = replace(text, keys->items[i].value);
    size_t at = 0;
    for (const char *entry; text && (entry = secrets_each(keys->secrets, &at));)
        text = mask_entry(text, entry);
    return text;
}
