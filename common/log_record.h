/* An event on its way from a process of ours to the supervisor, as a line of its standard error: level, component, agent
 * and message, with 0x1f between them and 0x1e for each line end of the message. The supervisor adds the time, cleans the
 * text, and believes neither the component nor the agent (supervisor/process/log_pipe.h). */
#pragma once

#include <stdbool.h>

#include "common/buffer.h"
#include "common/log.h"

struct log_record {
    enum log_level level;
    const char *component, *agent, *message; /* into the line; agent: "" for none */
};

/* Without the line's own end. */
void log_record_write(struct buffer *line, enum log_level level, const char *component, const char *agent,
                      const char *message);
/* line is changed. False: the line is no record, and is as it was. */
bool log_record_read(char *line, struct log_record *record);
