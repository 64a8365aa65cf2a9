/* agentos - the one command people type.
 *
 * `agentos run` is the supervisor; every other verb is a client of a running one, or works offline on its files
 * (supervisor/cli/verbs.c has the table). Before all else main takes the keys out of the environment, because
 * /proc/PID/environ shows them to everybody of the same user for as long as the process lives. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/buffer.h"
#include "common/files.h"
#include "common/format/bus_address.h"
#include "common/format/data_format.h"
#include "common/format/git_remote.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/secrets.h"
#include "common/settings.h"
#include "common/started.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/terminal/pager.h"
#include "supervisor/cli/verbs.h"
#include "supervisor/run.h"

/* A line for each fault, in the log's own form: programs that read the log read these lines too. */
static void log_faults(char *faults)
{
    for (char *line = strsep(&faults, "\n"); line != NULL; line = strsep(&faults, "\n")) {
        if (line[0] != '\0')
            log_error("agentos", NULL, "%s", line);
    }
    log_error(
        "agentos", NULL,
        "The environment is not right, so nothing was started. `agentos check` checks the environment.");
}

static int run(struct invocation *invocation)
{
    struct fault fault = {0};
    struct buffer faults OWNED_BUFFER = {0};
    const char *listen = invocation->options[OPTION_LISTEN];
    if (listen != NULL && setenv(setting_name(SET_AGENTOS_LISTEN), listen, 1) != 0)
        return output_fail(EX_OSERR, "out of memory");
    bool right = settings_check(&faults);
    right = git_remote_check_setting(invocation->data_dir, &faults) && right;
    right = bus_settings_check(&faults) && right;
    if (!log_start(setting_text(SET_LOG_LEVEL, NULL), setting_text(SET_LOG_FORMAT, NULL)))
        (void)log_start("info", "text");
    log_write_in_background();
    if (!right) {
        log_faults(faults.data);
        return EX_CONFIG;
    }
    OWNED char *programs = invocation_programs(&fault);
    if (programs == NULL)
        return output_fail(EX_OSERR, "%s", fault.text);
    struct run_options options = {.data_dir = invocation->data_dir,
                                  .run_dir = invocation->run_dir,
                                  .programs = programs,
                                  .secrets = invocation->secrets};
    invocation->secrets = -1; /* supervisor_run owns the descriptor now */
    return supervisor_run(&options);
}

static int show_help(const struct invocation *invocation)
{
    struct buffer page = {0};
    if (invocation->version) {
        verbs_version(&page);
    } else if (invocation->verb != NULL) {
        verbs_help_of(invocation->verb, &page);
    } else {
        verbs_help(&page);
    }
    fputs(page.data, stdout);
    buffer_free(&page);
    return output_end(EX_OK);
}

/* True also where the directory is missing: then the verb says so. */
static bool data_is_known(const struct invocation *invocation, struct fault *fault)
{
    OWNED_FD int data = files_open_path(invocation->data_dir, NULL);
    return data < 0 || data_format_is_known(data, fault);
}

static int act(struct invocation *invocation)
{
    struct fault fault = {0};
    if (invocation->version || invocation_has(invocation, OPTION_HELP))
        return show_help(invocation);
    if (!invocation_locate(invocation, &fault))
        return output_fail(EX_CONFIG, "%s", fault.text);
    if ((invocation->verb->options & (1u << OPTION_DATA)) != 0 && !data_is_known(invocation, &fault))
        return output_fail(EX_CONFIG, "%s: %s", invocation->data_dir, fault.text);
    if ((invocation->verb->options & PAGED) != 0 && !invocation_has(invocation, OPTION_JSON) &&
        !invocation_has(invocation, OPTION_FOLLOW))
        pager_begin();
    return invocation->verb->act(invocation);
}

int main(int argc, char **argv)
{
    started_standard();
    (void)signal(SIGCHLD, SIG_DFL); /* ignored, as a caller may hand it on, it would hide how children end */
    struct fault fault = {0};
    struct invocation invocation = {.secrets = secrets_collect(&fault), .run = run};
    if (invocation.secrets < 0)
        return output_fail(EX_OSERR, "%s", fault.text);
    int status = EX_USAGE;
    if (invocation_parse(&invocation, VERBS, argc, argv, &fault)) {
        status = act(&invocation);
    } else {
        size_t length = strlen(fault.text);
        bool asks = length > 0 && fault.text[length - 1] == '?'; /* "did you mean 'status'?" */
        output_complain("%s%s `agentos%s%s --help` tells more", fault.text, asks ? "" : ";",
                        invocation.verb != NULL ? " " : "",
                        invocation.verb != NULL ? invocation.verb->name : "");
    }
    invocation_free(&invocation);
    log_end();
    return status;
}
