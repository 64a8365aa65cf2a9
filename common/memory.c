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

void *memory_more(void *old, size_t count, size_t size)
{
    return (count & (count - 1)) == 0 ? memory_grow(old, count ? count * 2 : 1, size) : old;
}

void memory_sort(void *items, size_t count, size_t size, int (*order)(const void *, const void *))
{
    if (count > 0)
        qsort(items, count, size, order);
}

char *memory_text(const char *text)
{
    return text ? or_end(strdup(text)) : NULL;
}

void memory_set(char **at, const char *text)
{
    char *copy = memory_text(text);
    free(*at);
    *at = copy;
}

void memory_wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
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
    char most[256]; /* fit in here, and need no second look at the format */
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(most, sizeof most, format, arguments);
    char *text = or_end(length < 0 ? NULL : malloc((size_t)length + 1));
    if ((size_t)length < sizeof most)
        memcpy(text, most, (size_t)length + 1);
    else
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(arguments);
    return text;
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

void memory_fclose_at(void *pointer_to_file)
{
    FILE **file = pointer_to_file;
    if (*file)
        fclose(*file);
}
