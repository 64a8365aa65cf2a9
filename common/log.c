#include "common/log.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/log_record.h"
#include "common/log_writer.h"
#include "common/memory.h"
#include "common/printable.h"
#include "common/utf8.h"

enum { LAST_WORDS_MS = 500 };

static const char *const level_names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
static const char *const level_words[] = {"debug", "info", "warn", "error"};

static enum log_level threshold = LOG_LEVEL_INFO;
static enum { TEXT, JSON, RECORDS } form;

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
        form = strcasecmp(format, "json") == 0 ? JSON : TEXT;
        known = known && (form == JSON || strcasecmp(format, "text") == 0);
    }
    return known;
}

static bool log_enabled(enum log_level level)
{
    return level >= threshold;
}

static void format_text(struct buffer *line, enum log_level level, const char *component, const char *agent,
                        const char *message)
{
    char now[CLOCK_TEXT];
    OWNED char *clean = printable_text(message, strlen(message), true);
    size_t length = strlen(clean);
    clock_format(clock_now(), now);
    buffer_print(line, "%.19s %s [%s] ", now, level_names[level], component);
    if (agent)
        buffer_print(line, "[%s] ", agent);
    if (length && clean[length - 1] == '\n')
        clean[length - 1] = '\0';
    char *rest = clean;
    for (const char *part = strsep(&rest, "\n"); part; part = strsep(&rest, "\n"))
        buffer_print(line, "%s%s", part == clean ? "" : "\n  ", part);
}

static void format_json(struct buffer *line, enum log_level level, const char *component, const char *agent,
                        const char *message)
{
    char now[CLOCK_TEXT];
    OWNED char *clean = utf8_clean(message, strlen(message));
    json_auto_t *event = json_object();
    json_object_set_new(event, "time", json_string(clock_format(clock_now(), now)));
    json_object_set_new(event, "level", json_string(level_names[level]));
    json_object_set_new(event, "component", json_string(component));
    if (agent)
        json_object_set_new(event, "agent", json_string(agent));
    json_object_set_new(event, "message", json_string(clean));
    OWNED char *text = json_dumps(event, JSON_COMPACT | JSON_PRESERVE_ORDER);
    OWNED char *printable = printable_json(text ? text : "{}");
    buffer_text(line, printable);
}

static void format(struct buffer *line, enum log_level level, const char *component, const char *agent,
                   const char *message)
{
    (form == RECORDS ? log_record_write
     : form == JSON  ? format_json
                     : format_text)(line, level, component, agent, message);
    buffer_add(line, "\n", 1);
}

static struct {
    int folder, fd; /* fd -1: no line is kept */
    size_t bytes;
} kept = {.folder = -1, .fd = -1};

static void open_kept(void)
{
    struct stat status = {0}, own;
    kept.fd = files_open(kept.folder, LOG_KEPT, O_WRONLY | O_CREAT | O_APPEND, 0600);
    kept.bytes = kept.fd >= 0 && fstat(kept.fd, &status) == 0 ? (size_t)status.st_size : 0;
    /* Standard error may be the kept log itself, which has each line already then. */
    if (kept.fd >= 0 && fstat(STDERR_FILENO, &own) == 0 && own.st_dev == status.st_dev &&
        own.st_ino == status.st_ino) {
        close(kept.fd);
        kept.fd = -1;
    }
}

void log_keep(int folder)
{
    memory_close_at(&kept.fd);
    kept.folder = folder;
    kept.fd = -1;
    if (folder >= 0)
        open_kept();
}

static void keep(const struct buffer *line)
{
    if (kept.bytes + line->length > LOG_KEPT_BYTES) {
        close(kept.fd);
        renameat(kept.folder, LOG_KEPT, kept.folder, LOG_KEPT_ELDER);
        open_kept();
    }
    if (kept.fd >= 0 && files_write_all(kept.fd, line->data, line->length))
        kept.bytes += line->length;
}

static void keep_event(enum log_level level, const char *component, const char *agent, const char *message)
{
    OWNED_BUFFER struct buffer line = {0};
    format_text(&line, level, component, agent, message);
    buffer_add(&line, "\n", 1);
    keep(&line);
}

static void put(enum log_level level, const char *component, const char *agent, const char *message)
{
    OWNED_BUFFER struct buffer line = {0};
    format(&line, level, component, agent, message);
    if (kept.fd >= 0)
        keep_event(level, component, agent, message);
    if (!log_writer_add(&line))
        files_write_all(STDERR_FILENO, line.data, line.length); /* a line that can't be written is lost */
}

static void tell_dropped(struct buffer *line, uint64_t dropped)
{
    OWNED char *message = memory_print("%llu event(s) were dropped here: the reader of this log stalled",
                                       (unsigned long long)dropped);
    format(line, LOG_LEVEL_WARN, "agentos", NULL, message);
}

/* A regular file has no reader to stall: its lines are written at once, so a crash loses none of them. */
void log_write_in_background(void)
{
    struct stat status;
    bool is_file = fstat(STDERR_FILENO, &status) == 0 && S_ISREG(status.st_mode);
    if (!is_file && !log_writer_start(STDERR_FILENO, tell_dropped))
        log_warn("agentos", NULL,
                 "There is no thread for the log: a reader that stalls stops the supervisor");
}

void log_to_supervisor(void)
{
    form = RECORDS;
}

void log_end(void)
{
    log_writer_end(LAST_WORDS_MS);
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
    put(level, component, agent, message);
    free(message);
}

/* --- an event on its way to the supervisor --- */

enum { BEGIN = 0x01, BETWEEN = 0x1f, LINE_END = 0x1e };

/* The message ends where its last line ends. */
void log_record_write(struct buffer *line, enum log_level level, const char *component, const char *agent,
                      const char *message)
{
    size_t length = strlen(message);
    if (length && message[length - 1] == '\n')
        length--;
    buffer_print(line, "%c%d%c%s%c%s%c", BEGIN, (int)level, BETWEEN, component, BETWEEN, agent ? agent : "",
                 BETWEEN);
    size_t start = line->length;
    buffer_add(line, message, length);
    for (char *end; (end = memchr(line->data + start, '\n', line->length - start));)
        *end = LINE_END;
}

bool log_record_read(char *line, struct log_record *record)
{
    char *component = strchr(line, BETWEEN), *agent = component ? strchr(component + 1, BETWEEN) : NULL,
         *message = agent ? strchr(agent + 1, BETWEEN) : NULL;
    if (line[0] != BEGIN || line[1] < '0' || line[1] > '0' + LOG_LEVEL_ERROR || !message ||
        component != line + 2)
        return false;
    *component = *agent = *message = '\0';
    for (char *end = message + 1; (end = strchr(end, LINE_END));)
        *end = '\n';
    *record = (struct log_record){(enum log_level)(line[1] - '0'), component + 1, agent + 1, message + 1};
    return true;
}
