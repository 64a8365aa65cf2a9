#include "supervisor/cli/terminal/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/control.h"
#include "common/format/envelope.h"
#include "common/memory.h"
#include "supervisor/cli/terminal/output.h"

/* All of standard input, up to the limit of a request. */
static char *read_input(struct fault *fault)
{
    OWNED_BUFFER struct buffer text = {0};
    for (;;) {
        ssize_t got = TEMP_FAILURE_RETRY(read(STDIN_FILENO, buffer_room(&text, 65536), 65536));
        if (got < 0) {
            fault_errno(fault, "standard input cannot be read; nothing was done");
            return NULL;
        }
        if (got == 0 && text.length > 0 && memchr(text.data, '\0', text.length) != NULL) {
            fault_set(fault, "the text on standard input holds a NUL byte; nothing was done");
            return NULL;
        }
        if (got == 0)
            return buffer_take(&text);
        text.length += (size_t)got;
        if (text.length > CONTROL_MAX) {
            fault_set(fault, "the text on standard input is longer than %d bytes; nothing was done",
                      CONTROL_MAX);
            return NULL;
        }
    }
}

static char *input_text(const struct invocation *invocation, const char *what, int *status)
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

/* "90", "90s", "10m", "1h" or "2d" in seconds, from 1. */
static bool input_seconds(const char *text, int64_t *seconds)
{
    static const char units[] = "smhd";
    static const int64_t factors[] = {1, 60, 3600, 86400};
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    const char *unit = *end != '\0' ? strchr(units, *end) : units;
    if (errno != 0 || text[0] < '0' || text[0] > '9' || unit == NULL || (*end != '\0' && end[1] != '\0'))
        return false;
    *seconds = number;
    return number >= 1 && !__builtin_mul_overflow(*seconds, factors[unit - units], seconds);
}

/* Adds the option's value under the key. A value that is no UTF-8 can't be sent, and without it the request would be
 * another. */
static bool add_text(const struct invocation *invocation, enum option option, const char *key,
                     json_t *request, struct fault *fault)
{
    const char *value = invocation->options[option];
    return value == NULL || json_object_set_new(request, key, json_string(value)) == 0 ||
           fault_set(fault, "--%s is not valid UTF-8", key);
}

static bool add_options(const struct invocation *invocation, json_t *request, struct fault *fault)
{
    const char *priority = invocation->options[OPTION_PRIORITY];
    const char *ttl = invocation->options[OPTION_TTL];
    enum priority known;
    if (priority != NULL && !priority_parse(priority, &known))
        return fault_set(fault, "--priority is high, normal or low, not '%s'", priority);
    if (priority != NULL)
        json_object_set_new(request, "priority", json_string(priority_name(known)));
    int64_t seconds = 0;
    if (ttl != NULL && !input_seconds(ttl, &seconds))
        return fault_set(fault, "--ttl is a time such as 90 (seconds), 10m or 1h, not '%s'", ttl);
    if (ttl != NULL)
        json_object_set_new(request, "ttl_seconds", json_integer(seconds));
    return add_text(invocation, OPTION_ID, "id", request, fault) &&
           add_text(invocation, OPTION_LOCK, "lock", request, fault);
}

json_t *input_request(const struct invocation *invocation, const char *what, const char *receiver,
                      int *status)
{
    struct fault fault = {0};
    OWNED char *text = input_text(invocation, what, status);
    if (text == NULL)
        return NULL;
    json_t *words = json_string(text);
    if (words == NULL) {
        output_complain("the %s's text is not valid UTF-8; nothing was done", what);
        *status = EX_DATAERR;
        return NULL;
    }
    json_t *request = json_pack("{s:s, s:s, s:o}", "verb", invocation->verb->name, receiver,
                                invocation->words[0], "text", words);
    if (request != NULL && add_options(invocation, request, &fault))
        return request;
    output_complain(request != NULL ? "%s" : "the %s's name is not valid UTF-8",
                    request != NULL ? fault.text : receiver);
    json_decref(request);
    *status = EX_USAGE;
    return NULL;
}

bool input_until(const struct invocation *invocation, int64_t *until)
{
    const char *timeout = invocation->options[OPTION_TIMEOUT];
    int64_t seconds = 0;
    *until = 0;
    if (timeout == NULL)
        return true;
    if (!invocation_has(invocation, OPTION_WAIT))
        return output_fail(false, "--timeout belongs to --wait");
    if (!input_seconds(timeout, &seconds) || seconds > INT32_MAX)
        return output_fail(false, "--timeout is a time such as 90 (seconds), 10m or 1h, not '%s'", timeout);
    *until = clock_monotonic_ms() + seconds * 1000;
    return true;
}
