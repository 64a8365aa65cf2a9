#include "common/message.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

struct row {
    unsigned type;
    const char *name;
    enum party from, to;
    const char *fields;
};

static const struct row table[] = {
#define X(name, number, from, to, fields) {number, #name, PARTY_##from, PARTY_##to, fields},
    MESSAGE_TABLE(X)
#undef X
};

static const struct row *find(unsigned type)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].type == type)
            return &table[i];
    return NULL;
}

const char *message_name(unsigned type)
{
    const struct row *row = find(type);
    return row ? row->name : "unknown";
}

static void little_endian(unsigned char *bytes, uint64_t number, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(number >> (8 * i));
}

static uint64_t from_little_endian(const unsigned char *bytes, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++)
        number |= (uint64_t)bytes[i] << (8 * i);
    return number;
}

void message_begin(struct buffer *message, enum message_type type)
{
    unsigned char header[4] = {MESSAGE_VERSION, 0};
    little_endian(header + 2, type, 2);
    buffer_drop(message, message->length);
    buffer_add(message, header, sizeof header);
}

void message_number(struct buffer *message, uint64_t number)
{
    unsigned char bytes[8];
    little_endian(bytes, number, sizeof bytes);
    buffer_add(message, bytes, sizeof bytes);
}

void message_size(struct buffer *message, size_t length)
{
    unsigned char size[4];
    little_endian(size, length, sizeof size);
    buffer_add(message, size, sizeof size);
}

void message_bytes(struct buffer *message, const void *bytes, size_t length)
{
    message_size(message, length);
    buffer_add(message, bytes, length);
}

void message_text(struct buffer *message, const char *text)
{
    message_bytes(message, text, text ? strlen(text) : 0);
}

void message_make_list(struct buffer *message, enum message_type type, va_list fields)
{
    message_begin(message, type);
    for (const char *field = find(type)->fields; *field; field++) {
        if (*field == 'n') {
            message_number(message, va_arg(fields, uint64_t));
        } else if (*field == 't') {
            message_text(message, va_arg(fields, const char *));
        } else {
            const void *bytes = va_arg(fields, const void *);
            message_bytes(message, bytes, va_arg(fields, size_t));
        }
    }
}

void message_make(struct buffer *message, enum message_type type, ...)
{
    va_list fields;
    va_start(fields, type);
    message_make_list(message, type, fields);
    va_end(fields);
}

bool message_open(struct reader *reader, const void *bytes, size_t length, unsigned *type)
{
    const unsigned char *header = bytes;
    *reader = (struct reader){.failed = true};
    if (length < 4 || length > MESSAGE_MAX || header[0] != MESSAGE_VERSION || header[1] != 0)
        return false;
    *type = (unsigned)from_little_endian(header + 2, 2);
    *reader = (struct reader){.at = header + 4, .end = header + length};
    return true;
}

static bool has(struct reader *reader, size_t length)
{
    if (!reader->failed && (size_t)(reader->end - reader->at) >= length)
        return true;
    reader->failed = true;
    return false;
}

/* A message between worker and gateway passes the supervisor, which may also send it of its own. */
static bool goes(const struct row *row, enum party from, enum party to)
{
    return (row->from == from || from == PARTY_SUPERVISOR) && (row->to == to || to == PARTY_SUPERVISOR) &&
           (row->from == from || row->to == to);
}

bool message_receive(struct reader *reader, const void *bytes, size_t length, enum party from, enum party to,
                     unsigned *type)
{
    const struct row *row = message_open(reader, bytes, length, type) ? find(*type) : NULL;
    return row && goes(row, from, to);
}

bool message_get_number(struct reader *reader, uint64_t *number)
{
    *number = 0;
    if (!has(reader, 8))
        return false;
    *number = from_little_endian(reader->at, 8);
    reader->at += 8;
    return true;
}

bool message_get_part(struct reader *reader, const void **bytes, size_t *length)
{
    if (!has(reader, 4))
        return false;
    *length = (size_t)from_little_endian(reader->at, 4);
    reader->at += 4;
    if (!has(reader, *length))
        return false;
    *bytes = reader->at;
    reader->at += *length;
    return true;
}

bool message_get_span(struct reader *reader, const char **text, size_t *length)
{
    const void *bytes;
    if (!message_get_part(reader, &bytes, length))
        return false;
    *text = bytes;
    reader->failed = memchr(bytes, 0, *length) != NULL;
    return !reader->failed;
}

bool message_get_text(struct reader *reader, char **text, size_t limit)
{
    const void *bytes;
    size_t length;
    *text = NULL;
    if (!message_get_part(reader, &bytes, &length))
        return false;
    if (length > limit || memchr(bytes, 0, length)) {
        reader->failed = true;
        return false;
    }
    *text = memory_slice(bytes, length);
    return true;
}

bool message_end(const struct reader *reader)
{
    return !reader->failed && reader->at == reader->end;
}

/* After a failed read the texts that were read already are freed, so the caller has nothing to clean up. */
static void drop_texts(const char *fields, va_list pointers)
{
    for (const char *field = fields; *field; field++) {
        if (*field != 't') {
            (void)va_arg(pointers, void *);
            if (*field == 'b')
                (void)va_arg(pointers, size_t *);
            continue;
        }
        char **text = va_arg(pointers, char **);
        free(*text);
        *text = NULL;
    }
}

bool message_read(struct reader *reader, enum message_type type, ...)
{
    const char *fields = find(type)->fields;
    va_list pointers, again;
    va_start(pointers, type);
    va_copy(again, pointers);
    for (const char *field = fields; *field; field++) {
        if (*field == 'n') {
            message_get_number(reader, va_arg(pointers, uint64_t *));
        } else if (*field == 't') {
            message_get_text(reader, va_arg(pointers, char **), MESSAGE_MAX);
        } else {
            const void **bytes = va_arg(pointers, const void **);
            message_get_part(reader, bytes, va_arg(pointers, size_t *));
        }
    }
    bool whole = message_end(reader);
    if (!whole)
        drop_texts(fields, again);
    va_end(again);
    va_end(pointers);
    return whole;
}
