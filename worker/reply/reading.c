#include "worker/reply/reading.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/utf8.h"

enum { FAULTS_MAX = 2000 /* bytes */ };

void reading_complain(struct reading *reading, const char *format, ...)
{
    char sentence[400];
    if (reading->faults.length > FAULTS_MAX)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    OWNED char *clean = utf8_clean(sentence, strlen(sentence)); /* a character may have been cut */
    for (char *c = clean; *c; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    buffer_text(&reading->faults, reading->faults.length ? "; " : "");
    buffer_text(&reading->faults, clean);
}

char *reading_limit(struct reading *reading, const char *what, char *text, size_t limit)
{
    size_t length = text ? strlen(text) : 0;
    if (length > limit) {
        reading_complain(reading, "%s has %zu bytes and was cut to %zu", what, length, limit);
        text[utf8_cut(text, length, limit)] = '\0';
    }
    if (text && *text == '\0') {
        free(text);
        return NULL;
    }
    return text;
}

char *reading_one_line(char *text)
{
    for (char *c = text; c && *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    return text;
}
