#include "common/log_record.h"

#include <string.h>

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
