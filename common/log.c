#include "common/log.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/printable.h"
#include "common/utf8.h"

static const char *const level_names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
static const char *const level_words[] = {"debug", "info", "warn", "error"};

static enum log_level threshold = LOG_LEVEL_INFO;
static bool json;

bool log_start(const char *level, const char *format)
{
    bool known = true;
    if (level && *level) {
        known = false;
        for (int i = 0; i < 4; i++)
            if (strcasecmp(level, level_words[i]) == 0 ||
                (i == LOG_LEVEL_WARN && strcasecmp(level, "warning") == 0)) {
                threshold = (enum log_level)i;
                known = true;
            }
    }
    if (format && *format) {
        json = strcasecmp(format, "json") == 0;
        known = known && (json || strcasecmp(format, "text") == 0);
    }
    return known;
}

bool log_enabled(enum log_level level)
{
    return level >= threshold;
}

/* Standard error may be a pipe that takes less than all at once; an event that can't be written is lost,
 * since there is nobody to tell. */
static void put(const struct buffer *line)
{
    size_t done = 0;
    while (done < line->length) {
        ssize_t n = write(STDERR_FILENO, line->data + done, line->length - done);
        if (n <= 0)
            return;
        done += (size_t)n;
    }
}

static void put_text(enum log_level level, const char *component, const char *agent, const char *message)
{
    OWNED_BUFFER struct buffer line = {0};
    char now[CLOCK_TEXT];
    OWNED char *clean = printable_text(message, strlen(message), true);
    size_t length = strlen(clean);
    clock_format(clock_now(), now);
    buffer_print(&line, "%.19s %s [%s] ", now, level_names[level], component);
    if (agent)
        buffer_print(&line, "[%s] ", agent);
    if (length && clean[length - 1] == '\n')
        clean[length - 1] = '\0';
    char *rest = clean;
    for (const char *part = strsep(&rest, "\n"); part; part = strsep(&rest, "\n"))
        buffer_print(&line, "%s%s", part == clean ? "" : "\n  ", part);
    buffer_add(&line, "\n", 1);
    put(&line);
}

static void put_json(enum log_level level, const char *component, const char *agent, const char *message)
{
    char now[CLOCK_TEXT];
    OWNED char *clean = utf8_clean(message, strlen(message));
    json_t *event = json_object();
    json_object_set_new(event, "time", json_string(clock_format(clock_now(), now)));
    json_object_set_new(event, "level", json_string(level_names[level]));
    json_object_set_new(event, "component", json_string(component));
    if (agent)
        json_object_set_new(event, "agent", json_string(agent));
    json_object_set_new(event, "message", json_string(clean));
    char *text = json_dumps(event, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(event);
    if (!text)
        return;
    OWNED char *printable = printable_json(text);
    OWNED_BUFFER struct buffer line = {0};
    buffer_text(&line, printable);
    buffer_add(&line, "\n", 1);
    free(text);
    put(&line);
}

void log_event(enum log_level level, const char *component, const char *agent, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    char *message = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&message, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    (json ? put_json : put_text)(level, component, agent, message);
    free(message);
}
