#include "common/format/git_remote.h"

#include <stdlib.h>
#include <string.h>

#include "common/base_url.h"
#include "common/memory.h"
#include "common/settings.h"

static const char agent_place[] = "{agent}";

static const struct scheme {
    const char *prefix;
    int port; /* where the URL names none; 0: no connection */
    bool open;
} schemes[] = {
    {"file://", 0, false}, {"https://", 443, false}, {"ssh://", 22, false},
    {"http://", 80, true}, {"git://", 9418, true},
};

static const struct scheme *scheme_of(const char *url)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strncmp(url, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
            return &schemes[i];
    return NULL;
}

/* "user:token@" before the host: a secret that would stand in the log and in this process's environment. */
static bool has_password(const char *authority)
{
    size_t length = strcspn(authority, "/");
    const char *at = memchr(authority, '@', length), *colon = memchr(authority, ':', length);
    return at && colon && colon < at;
}

bool git_remote_check(const char *url, struct fault *fault)
{
    const struct scheme *scheme = scheme_of(url);
    if (!scheme)
        return fault_set(
            fault, "is no file:, https:, ssh:, http: or git: URL (host:path is written ssh://host/path)");
    if (!strstr(url, agent_place))
        return fault_set(fault, "has no %s in it: each agent's repository needs a place of its own",
                         agent_place);
    for (const char *at = url; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            return fault_set(fault, "has a blank or a control character in it");
    const char *authority = url + strlen(scheme->prefix);
    if (has_password(authority))
        return fault_set(fault,
                         "has a password in it, which the log would show: put user:token into the file that "
                         "AGENTOS_GIT_CREDENTIALS_FILE names");
    if (scheme->port == 0 && *authority != '/')
        return fault_set(fault, "names no absolute path: file:///srv/git/%s.git", agent_place);
    if (scheme->port != 0 && (strchr("/:@", *authority) || strcspn(authority, "/") > strcspn(authority, "{")))
        return fault_set(fault, "names no host, or has %s in it: it stands in the path", agent_place);
    return true;
}

static bool begins_with(const char *folder, const char *data_dir)
{
    OWNED char *agents = data_dir ? memory_print("%s/agents/", data_dir) : NULL;
    return folder && agents && strncmp(folder, agents, strlen(agents)) == 0;
}

/* A worker may write its agent's tree, and could lead a remote there elsewhere. */
static bool lies_apart(const char *url, const char *data_dir, struct fault *fault)
{
    OWNED char *real = realpath(data_dir, NULL);
    const char *folder = git_remote_folder(url);
    return (!begins_with(folder, data_dir) && !begins_with(folder, real)) ||
           fault_set(fault, "lies among the agents' trees (%s/agents), where agents write", data_dir);
}

bool git_remote_check_setting(const char *data_dir, struct buffer *faults)
{
    struct fault fault;
    const char *url = setting_text(SET_AGENTOS_GIT_REMOTE, NULL);
    if (!url || (git_remote_check(url, &fault) && lies_apart(url, data_dir, &fault)))
        return true;
    buffer_print(faults, "%s %s\n", setting_name(SET_AGENTOS_GIT_REMOTE), fault.text);
    return false;
}

char *git_remote_of(const char *url, const char *agent)
{
    struct buffer text = {0};
    for (const char *place; (place = strstr(url, agent_place)) != NULL; url = place + strlen(agent_place))
        buffer_print(&text, "%.*s%s", (int)(place - url), url, agent);
    buffer_text(&text, url);
    return text.data;
}

const char *git_remote_folder(const char *url)
{
    const struct scheme *scheme = scheme_of(url);
    return scheme && scheme->port == 0 ? url + strlen(scheme->prefix) : NULL;
}

bool git_remote_is_open(const char *url)
{
    const struct scheme *scheme = scheme_of(url);
    return scheme && scheme->open && !base_url_is_loopback(url);
}

int git_remote_port(const char *url)
{
    const struct scheme *scheme = scheme_of(url);
    if (!scheme || scheme->port == 0)
        return 0;
    const char *authority = url + strlen(scheme->prefix);
    size_t length = strcspn(authority, "/");
    const char *colon = memrchr(authority, ':', length);
    int port = colon && !memchr(colon, ']', length - (size_t)(colon - authority))
                   ? (int)strtol(colon + 1, NULL, 10)
                   : 0;
    return port > 0 && port < 65536 ? port : scheme->port;
}
