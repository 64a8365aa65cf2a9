/* `agentos check`: would `agentos run` start, and what would run? */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/control.h"
#include "common/format/config_warnings.h"
#include "common/format/roster.h"
#include "common/memory.h"
#include "common/secrets.h"
#include "common/settings.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

struct check {
    const struct invocation *invocation;
    struct secrets *secrets;        /* owned */
    const struct roster *roster;    /* NULL: it has faults */
    struct buffer faults, warnings; /* a sentence a line */
};

static void check_data_dir(struct check *check)
{
    const char *dir = check->invocation->data_dir;
    struct stat status;
    if (stat(dir, &status) != 0) {
        return; /* whoever looked for agents.yaml there has said it */
    }
    if (!S_ISDIR(status.st_mode)) {
        buffer_print(&check->faults, "the data directory %s is no directory\n", dir);
    } else if (access(dir, R_OK | W_OK | X_OK) != 0) {
        buffer_print(&check->faults,
                     "the data directory %s cannot be written by uid %u (it belongs to uid %u): %s\n", dir,
                     geteuid(), status.st_uid, strerror(errno));
    }
}

/* The nearest folder above that exists must be writable when the run directory has yet to be made. */
static void check_run_dir(struct check *check)
{
    const char *dir = check->invocation->run_dir;
    struct stat status;
    if (stat(dir, &status) == 0) {
        if (!S_ISDIR(status.st_mode) || access(dir, W_OK | X_OK) != 0) {
            buffer_print(&check->faults, "the run directory %s is no directory that uid %u can write\n", dir,
                         geteuid());
        }
        return;
    }
    OWNED char *above = memory_text(dir);
    char *slash = strrchr(above, '/');
    if (slash != NULL && slash != above) {
        *slash = '\0';
    }
    if (strcmp(above, check->invocation->data_dir) != 0 && access(above, W_OK | X_OK) != 0) {
        buffer_print(&check->faults, "the run directory %s cannot be made: %s\n", dir, strerror(errno));
    }
}

/* A server on this machine usually asks for no key. */
static bool is_local(const char *url)
{
    static const char *const HOSTS[] = {"localhost", "127.", "[::1]", "host.docker.internal"};
    const char *host = strstr(url, "://");
    host = host != NULL ? host + 3 : url;
    for (size_t i = 0; i < sizeof(HOSTS) / sizeof(HOSTS[0]); i++) {
        if (strncasecmp(host, HOSTS[i], strlen(HOSTS[i])) == 0) {
            return true;
        }
    }
    return strcasecmp(url, "offline") == 0;
}

static bool has_secret(const struct check *check, const char *variable)
{
    const char *value = check->secrets != NULL ? secrets_find(check->secrets, variable) : NULL;
    return value != NULL && value[0] != '\0';
}

/* owner: NULL for the general settings. A key is sent only to the base URL that it was given for, so whoever has a URL
 * of its own needs a key of its own. */
static void check_key(struct check *check, const char *owner)
{
    OWNED char *variable =
        owner != NULL ? setting_variable(SET_LLM_API_KEY, owner) : memory_text("LLM_API_KEY");
    bool alone = owner == NULL || setting_own(SET_LLM_BASE_URL, owner) != NULL;
    const char *file =
        owner != NULL ? setting_own(SET_LLM_API_KEY_FILE, owner) : setting_text(SET_LLM_API_KEY_FILE, NULL);
    const char *value = check->secrets != NULL ? secrets_find(check->secrets, variable) : NULL;
    for (const char *at = value; at != NULL && *at != '\0'; at++) {
        if (iscntrl((unsigned char)*at) && at[strspn(at, " \t\r\n")] != '\0') {
            buffer_print(
                &check->warnings,
                "%s holds a line break or another control character, so nothing can be asked with it\n",
                variable);
            break;
        }
    }
    bool key = has_secret(check, variable) || (file != NULL && file[0] != '\0');
    const char *url = setting_text(SET_LLM_BASE_URL, owner);
    /* One with a password in it is a fault, and isn't shown. */
    if (alone && !key && url != NULL && strchr(url, '@') == NULL && !is_local(url)) {
        buffer_print(&check->warnings, "%s is not set, and %s will probably want a key\n", variable, url);
    }
}

static void check_fallback(struct check *check, const char *name)
{
    if (check->roster != NULL && roster_find(check->roster, name) != NULL) {
        buffer_print(&check->warnings,
                     "the fallback '%s' has the name of an agent, so the settings with that name behind them "
                     "mean both\n",
                     name);
    }
    if (setting_own(SET_LLM_BASE_URL, name) == NULL && setting_own(SET_LLM_MODEL, name) == NULL) {
        OWNED char *variable = setting_variable(SET_LLM_BASE_URL, name);
        buffer_print(&check->warnings, "the fallback '%s' has no %s, so it is the same provider again\n",
                     name, variable);
    }
    check_key(check, name);
}

static void check_fallbacks(struct check *check)
{
    const char *list = setting_text(SET_LLM_FALLBACKS, NULL);
    OWNED char *names = memory_text(list != NULL ? list : "");
    char *rest = names;
    for (char *name = strsep(&rest, ", "); name != NULL; name = strsep(&rest, ", ")) {
        if (name[0] != '\0') {
            check_fallback(check, name);
        }
    }
}

static void check_agents(struct check *check)
{
    for (size_t i = 0; check->roster != NULL && i < check->roster->agent_count; i++) {
        const char *name = check->roster->agents[i].name;
        if (setting_own(SET_LLM_BASE_URL, name) != NULL || setting_own(SET_LLM_API_KEY_FILE, name) != NULL) {
            check_key(check, name);
        }
    }
}

static void show_plan(const struct check *check)
{
    printf("%s: %zu agent(s)\n", check->invocation->data_dir, check->roster->agent_count);
    for (size_t i = 0; i < check->roster->agent_count; i++) {
        const struct roster_agent *agent = &check->roster->agents[i];
        OWNED char *domain = output_clean(agent->domain, 0);
        OWNED char *url = output_clean(setting_text(SET_LLM_BASE_URL, agent->name), 0);
        OWNED char *model = output_clean(setting_text(SET_LLM_MODEL, agent->name), 0);
        printf("  %s%s%s: ", agent->name, domain[0] != '\0' ? ", " : "", domain);
        if (strcasecmp(url, "offline") == 0) {
            printf("the built-in offline model\n");
        } else {
            printf("%s at %s\n", model, url);
        }
    }
}

/* Each line of a list with its kind in front; returns their number. */
static size_t show_lines(FILE *to, const char *kind, const struct buffer *lines)
{
    size_t count = 0;
    OWNED char *text = output_clean(lines->data != NULL ? lines->data : "", 1);
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (line[0] != '\0') {
            fprintf(to, "%s: %s\n", kind, line);
            count++;
        }
    }
    return count;
}

static void check_all(struct check *check)
{
    (void)settings_check(&check->faults);
    check_data_dir(check);
    check_run_dir(check);
    check_key(check, NULL);
    check_fallbacks(check);
    check_agents(check);
    if (check->roster != NULL) {
        config_warnings_list(check->roster, check->invocation->data_dir, &check->warnings);
    }
}

int verb_check(struct invocation *invocation)
{
    struct fault fault = {0};
    struct check check = {.invocation = invocation, .secrets = secrets_read(invocation->secrets, &fault)};
    struct roster *roster = roster_load(invocation->data_dir, &check.faults);
    check.roster = roster;
    if (check.secrets == NULL) {
        buffer_print(&check.faults, "%s\n", fault.text);
    }
    check_all(&check);
    (void)show_lines(stdout, "warning", &check.warnings);
    size_t faults = show_lines(stderr, "fault", &check.faults);
    if (faults == 0 && roster != NULL) {
        show_plan(&check);
    } else {
        fprintf(stderr, "%zu fault(s): `agentos run` would not start\n", faults);
    }
    bool right = faults == 0 && roster != NULL;
    roster_free(roster);
    secrets_free(check.secrets);
    buffer_free(&check.faults);
    buffer_free(&check.warnings);
    return output_end(right ? EX_OK : EX_CONFIG);
}
