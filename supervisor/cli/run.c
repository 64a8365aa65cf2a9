/* `agentos run`. */
#include "supervisor/run.h"

#include <sysexits.h>

#include "common/buffer.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/settings.h"
#include "supervisor/cli/screen.h"
#include "supervisor/cli/verbs.h"

int verb_run(struct invocation *invocation)
{
    struct fault fault = {0};
    struct buffer faults OWNED_BUFFER = {0};
    if (!settings_check(&faults)) {
        screen_complain("the environment is not right, so nothing was started:\n%s", faults.data);
        return EX_CONFIG;
    }
    (void)log_start(setting_text(SET_LOG_LEVEL, NULL), setting_text(SET_LOG_FORMAT, NULL));
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
