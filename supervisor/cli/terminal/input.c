#include "supervisor/cli/terminal/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/control.h"
#include "common/format/envelope.h"
#include "common/memory.h"
#include "supervisor/cli/terminal/output.h"

/* All of standard input, up to what a request may hold. */
static char *read_input(struct fault *fault)
{
    struct buffer text = {0};
    for (;;) {
        ssize_t got = read(STDIN_FILENO, buffer_room(&text, 65536), 65536);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            fault_errno(fault, "standard input cannot be read; nothing was done");
            buffer_free(&text);
            return NULL;
        }
        if (got == 0) {
            return buffer_take(&text);
        }
        text.length += (size_t)got;
        if (text.length > CONTROL_MAX) {
            fault_set(fault, "the text on standard input is longer than %d bytes; nothing was done",
                      CONTROL_MAX);
            buffer_free(&text);
            return NULL;
        }
    }
}

char *input_text(const struct invocation *invocation, const char *what, int *status)
{
    const char *given = invocation->words[1];
    struct fault fault = {0};
    if (given == NULL && isatty(STDIN_FILENO)) {
        output_complain("what is the %s? Give its text, or '-' and the text on standard input", what);
        *status = EX_USAGE;
        return NULL;
    }
    char *text = given != NULL && strcmp(given, "-") != 0 ? memory_text(given) : read_input(&fault);
    if (text == NULL) {
        output_complain("%s", fault.text);
        *status = EX_DATAERR;
        return NULL;
    }
    if (text[strspn(text, " \t\r\n")] == '\0') {
        output_complain("the %s's text is empty; nothing was done", what);
        *status = EX_USAGE;
        free(text);
        return NULL;
    }
    return text;
}

bool input_life(const struct invocation *invocation, json_t *request, struct fault *fault)
{
    const char *priority = invocation->options[OPTION_PRIORITY];
    const char *ttl = invocation->options[OPTION_TTL];
    enum priority known;
    if (priority != NULL && !priority_parse(priority, &known)) {
        return fault_set(fault, "--priority is high, normal or low, not '%s'", priority);
    }
    if (priority != NULL) {
        json_object_set_new(request, "priority", json_string(priority_name(known)));
    }
    if (ttl != NULL) {
        char *end = NULL;
        errno = 0;
        long long seconds = strtoll(ttl, &end, 10);
        if (errno != 0 || end == ttl || *end != '\0' || seconds < 1) {
            return fault_set(fault, "--ttl is a number of seconds from 1, not '%s'", ttl);
        }
        json_object_set_new(request, "ttl_seconds", json_integer(seconds));
    }
    return true;
}
