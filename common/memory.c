#include "common/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static void *or_end(void *pointer)
{
    if (pointer)
        return pointer;
    static const char sentence[] = "out of memory; this process ends and is started again\n";
    ssize_t ignored = write(STDERR_FILENO, sentence, sizeof sentence - 1);
    (void)ignored;
    _exit(EX_OSERR);
}

void *memory_new(size_t count, size_t size)
{
    return or_end(calloc(count ? count : 1, size ? size : 1));
}

void *memory_grow(void *old, size_t count, size_t size)
{
    return or_end(reallocarray(old, count ? count : 1, size ? size : 1));
}

char *memory_text(const char *text)
{
    return text ? or_end(strdup(text)) : NULL;
}

char *memory_slice(const char *text, size_t length)
{
    char *copy = memory_new(length + 1, 1);
    if (length)
        memcpy(copy, text, length);
    return copy;
}

char *memory_print(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return or_end(length < 0 ? NULL : text);
}

void memory_free_at(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

void memory_close_at(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
