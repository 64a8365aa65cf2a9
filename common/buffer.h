/* A growing run of bytes. data is NUL-terminated behind length as soon as anything was added. */
#pragma once

#include <stddef.h>

struct buffer {
    char *data; /* owned; NULL while empty */
    size_t length, capacity;
};

void buffer_add(struct buffer *buffer, const void *bytes, size_t length);
void buffer_text(struct buffer *buffer, const char *text);
void buffer_print(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *buffer_room(struct buffer *buffer,
                  size_t length); /* at least length writable bytes behind data+length */
void buffer_drop(struct buffer *buffer, size_t length); /* the first length bytes */
char *buffer_take(struct buffer *buffer); /* the text, now the caller's; never NULL; buffer is empty */
void buffer_free(struct buffer *buffer);

#define OWNED_BUFFER __attribute__((cleanup(buffer_free)))
