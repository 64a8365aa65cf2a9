/* agentos - the one command people type.
 *
 * `agentos run` is the supervisor; every other verb is a client of a running one, or works offline on its files
 * (supervisor/cli/verbs.c has the table). The first thing of all is to take the keys out of the environment, because
 * /proc/PID/environ shows them to everybody of the same user for as long as the process lives. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "common/buffer.h"
#include "common/secrets.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

static int show(struct buffer *page)
{
    fputs(page->data, stdout);
    buffer_free(page);
    return screen_end(EX_OK);
}

static int act(struct invocation *invocation)
{
    struct buffer page = {0};
    struct fault fault = {0};
    if (invocation->version) {
        verbs_version(&page);
        return show(&page);
    }
    if (invocation_has(invocation, OPTION_HELP)) {
        if (invocation->verb != NULL) {
            verb_help(invocation->verb, &page);
        } else {
            verbs_help(&page);
        }
        return show(&page);
    }
    if (!invocation_locate(invocation, &fault)) {
        screen_complain("%s", fault.text);
        return EX_CONFIG;
    }
    return invocation->verb->act(invocation);
}

int main(int argc, char **argv)
{
    struct fault fault = {0};
    struct invocation invocation = {.secrets = secrets_collect(&fault)};
    if (invocation.secrets < 0) {
        screen_complain("%s", fault.text);
        return EX_OSERR;
    }
    int status = EX_USAGE;
    if (invocation_parse(&invocation, argc, argv, &fault)) {
        status = act(&invocation);
    } else {
        screen_complain("%s; `agentos%s%s --help` tells more", fault.text, invocation.verb != NULL ? " " : "",
                        invocation.verb != NULL ? invocation.verb->name : "");
    }
    invocation_free(&invocation);
    return status;
}
