/* `agentos check`: whether `agentos run` would start, and which agents it would run. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/capacity.h"
#include "common/format/bus_address.h"
#include "common/format/config_warnings.h"
#include "common/format/git_remote.h"
#include "common/format/provider_warnings.h"
#include "common/format/roster.h"
#include "common/held.h"
#include "common/memory.h"
#include "common/secrets.h"
#include "common/settings.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

struct check {
    const struct invocation *invocation;
    struct secrets *secrets;        /* owned */
    const struct roster *roster;    /* NULL: agents.yaml has faults */
    struct buffer faults, warnings; /* a sentence a line */
};

static void check_data_dir(struct check *check)
{
    const char *dir = check->invocation->data_dir;
    struct stat status;
    if (stat(dir, &status) != 0)
        return; /* a complaint about agents.yaml has said it */
    if (!S_ISDIR(status.st_mode)) {
        buffer_print(&check->faults, "the data directory %s is no directory\n", dir);
    } else if (access(dir, R_OK | W_OK | X_OK) != 0) {
        buffer_print(&check->faults,
                     "the data directory %s cannot be written by uid %u (it belongs to uid %u): %s\n", dir,
                     geteuid(), status.st_uid, strerror(errno));
    }
}

/* The nearest existing folder above must be writable when the run directory has yet to be made. */
static void check_run_dir(struct check *check)
{
    const char *dir = check->invocation->run_dir;
    struct stat status;
    if (stat(dir, &status) == 0) {
        if (!S_ISDIR(status.st_mode) || access(dir, W_OK | X_OK) != 0)
            buffer_print(&check->faults, "the run directory %s is no directory that uid %u can write\n", dir,
                         geteuid());
        return;
    }
    OWNED char *above = memory_text(dir);
    char *slash = strrchr(above, '/');
    if (slash != NULL && slash != above)
        *slash = '\0';
    if (strcmp(above, check->invocation->data_dir) != 0 && access(above, W_OK | X_OK) != 0)
        buffer_print(&check->faults, "the run directory %s cannot be made: %s\n", dir, strerror(errno));
}

/* As many agents run as there is room for, so too little room is no fault. */
static void check_capacity(struct check *check)
{
    struct capacity list[CAPACITY_LIMITS];
    pid_t supervisor = held_by(check->invocation->data_dir);
    size_t count = capacity_list(check->roster->agent_count, (size_t)check->roster->warm_workers,
                                 supervisor > 0 ? supervisor : 0, list);
    for (size_t i = 0; i < count; i++) {
        OWNED char *sentence = capacity_lack(&list[i]);
        if (sentence != NULL)
            buffer_print(&check->warnings, "%s\n", sentence);
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
        if (strcasecmp(url, "offline") == 0)
            printf("the built-in offline model\n");
        else
            printf("%s at %s\n", model, url);
    }
}

/* A folder as `init` makes it is closed to other users: a note names its readers. */
static void show_readers(const char *dir)
{
    struct stat status;
    if (stat(dir, &status) == 0 && (status.st_mode & S_IROTH) == 0) {
        printf("note: uid %u and group %u alone read %s; another user of the host does as a member of that "
               "group, or "
               "after `chmod o+rx` of that folder\n",
               status.st_uid, status.st_gid, dir);
    }
}

static void check_all(struct check *check)
{
    bool right = settings_check(&check->faults) && bus_settings_check(&check->faults);
    if (git_remote_check_setting(check->invocation->data_dir, &check->faults) && right)
        provider_warnings_list(check->roster, check->secrets, &check->warnings);
    check_data_dir(check);
    check_run_dir(check);
    if (check->roster != NULL) {
        config_warnings_list(check->roster, check->invocation->data_dir, &check->warnings);
        check_capacity(check);
    }
}

int verb_check(struct invocation *invocation)
{
    struct fault fault = {0};
    struct check check = {.invocation = invocation, .secrets = secrets_read(invocation->secrets, &fault)};
    struct roster *roster = roster_load(invocation->data_dir, &check.faults);
    if (roster != NULL)
        (void)roster_secrets(roster, &check.faults);
    check.roster = roster;
    if (check.secrets == NULL)
        buffer_print(&check.faults, "%s\n", fault.text);
    check_all(&check);
    (void)output_lines(stdout, "warning: ", check.warnings.data);
    size_t faults = output_lines(stderr, "fault: ", check.faults.data);
    if (faults == 0 && roster != NULL) {
        show_plan(&check);
        show_readers(invocation->data_dir);
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
