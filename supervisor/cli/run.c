/* `agentos run`. */
#include "supervisor/run.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/buffer.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/settings.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

/* A line for each, in the log's own form: whoever reads it by program reads these too. */
static void log_faults(char *faults)
{
    for (char *line = strsep(&faults, "\n"); line != NULL; line = strsep(&faults, "\n")) {
        if (line[0] != '\0') {
            log_error("agentos", NULL, "%s", line);
        }
    }
    log_error("agentos", NULL,
              "The environment is not right, so nothing was started. `agentos check` checks it.");
}

int verb_run(struct invocation *invocation)
{
    struct fault fault = {0};
    struct buffer faults OWNED_BUFFER = {0};
    const char *listen = invocation->options[OPTION_LISTEN];
    if (listen != NULL && setenv(setting_name(SET_AGENTOS_LISTEN), listen, 1) != 0) {
        screen_complain("out of memory");
        return EX_OSERR;
    }
    bool right = settings_check(&faults);
    if (!log_start(setting_text(SET_LOG_LEVEL, NULL), setting_text(SET_LOG_FORMAT, NULL))) {
        (void)log_start("info", "text");
    }
    if (!right) {
        log_faults(faults.data);
        return EX_CONFIG;
    }
    OWNED char *programs = invocation_programs(&fault);
    if (programs == NULL) {
        screen_complain("%s", fault.text);
        return EX_OSERR;
    }
    struct run_options options = {.data_dir = invocation->data_dir,
                                  .run_dir = invocation->run_dir,
                                  .programs = programs,
                                  .secrets = invocation->secrets};
    invocation->secrets = -1; /* supervisor_run's now */
    return supervisor_run(&options);
}
