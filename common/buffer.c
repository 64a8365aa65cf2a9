#include "common/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

char *buffer_room(struct buffer *buffer, size_t length)
{
    size_t needed = buffer->length + length + 1;
    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : 256;
        while (capacity < needed)
            capacity *= 2;
        buffer->data = memory_grow(buffer->data, capacity, 1);
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->length;
}

void buffer_add(struct buffer *buffer, const void *bytes, size_t length)
{
    char *end = buffer_room(buffer, length);
    if (length)
        memcpy(end, bytes, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
}

void buffer_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_print(struct buffer *buffer, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    char *end = buffer_room(buffer, 0);
    size_t room = buffer->capacity - buffer->length;
    int length = vsnprintf(end, room, format, arguments);
    if (length > 0 && (size_t)length >= room)
        vsnprintf(buffer_room(buffer, (size_t)length), (size_t)length + 1, format, again);
    if (length > 0)
        buffer->length += (size_t)length;
    buffer->data[buffer->length] = '\0';
    va_end(again);
    va_end(arguments);
}

void buffer_drop(struct buffer *buffer, size_t length)
{
    if (length >= buffer->length) {
        buffer->length = 0;
    } else {
        memmove(buffer->data, buffer->data + length, buffer->length - length);
        buffer->length -= length;
    }
    if (buffer->data)
        buffer->data[buffer->length] = '\0';
}

char *buffer_take(struct buffer *buffer)
{
    buffer_add(buffer, "", 0);
    char *text = buffer->data;
    *buffer = (struct buffer){0};
    return text;
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}
