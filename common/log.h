/* The log (contract section 13): to standard error, UTC, one event a line.
 *
 *   2026-04-29T10:00:00 INFO [agent] [orion] Processing task: first-task
 *   {"time":"2026-04-29T10:00:00Z","level":"INFO","component":"agent","agent":"orion","message":"Processing …"}
 *
 * Each event is one write(2). In the text format, further lines of a message are indented by two blanks, so
 * that no text from a model can look like an event; unsafe characters are shown as '?' (printable.h). */
#pragma once

#include <stdbool.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* From LOG_LEVEL and LOG_FORMAT's texts (NULL: the defaults). False: not one of the allowed words, defaults stay. */
bool log_start(const char *level, const char *format);
/* For a process that the supervisor starts: the supervisor alone reads the standard error and makes the lines
 * (log_record.h). */
void log_to_supervisor(void);
/* For the supervisor, first thing: from here on no reader of standard error can stop this process (log_writer.h). */
void log_write_in_background(void);
/* For the supervisor, once no other one writes there: each line, in the text format, is also kept in folder/log, whose
 * elder half becomes folder/log.1 at LOG_KEPT_BYTES; `agentos logs` reads both. A line that can't be kept is lost there
 * alone. folder is borrowed; -1: no more. */
#define LOG_KEPT       "log"
#define LOG_KEPT_ELDER "log.1"
enum { LOG_KEPT_BYTES = 4 * 1024 * 1024 };
void log_keep(int folder);
/* Before such a process ends: writes the waiting lines, within half a second. */
void log_end(void);

/* agent may be NULL. component is the word in the first brackets: agentos, agent, bootstrap, gateway. */
void log_event(enum log_level level, const char *component, const char *agent, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define log_debug(component, agent, ...) log_event(LOG_LEVEL_DEBUG, component, agent, __VA_ARGS__)
#define log_info(component, agent, ...)  log_event(LOG_LEVEL_INFO, component, agent, __VA_ARGS__)
#define log_warn(component, agent, ...)  log_event(LOG_LEVEL_WARN, component, agent, __VA_ARGS__)
#define log_error(component, agent, ...) log_event(LOG_LEVEL_ERROR, component, agent, __VA_ARGS__)
