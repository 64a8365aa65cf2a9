/* Allocation that either succeeds or ends the process with a sentence on standard error.
 *
 * Running out of memory is the one fault that no caller could handle better than a restart does: every state that
 * matters lies in files, and a worker is restarted by its supervisor, a supervisor by its container. Input from outside
 * is capped in size before it is allocated. */
#pragma once

#include <stddef.h>

void *memory_new(size_t count, size_t size);             /* zeroed */
void *memory_grow(void *old, size_t count, size_t size); /* like reallocarray */
/* Room for one more item behind the `count` that the array has: the array grows in powers of two, and shrinks so,
 * too. */
#define MEMORY_MORE(items, count) ((items) = memory_more((items), (count), sizeof *(items)))
void *memory_more(void *old, size_t count, size_t size);
/* Points to that item, which is counted now, and not zeroed. */
#define MEMORY_ADD(items, count) (MEMORY_MORE(items, count), &(items)[(count)++])
/* qsort; items may be NULL where there are none. */
#define MEMORY_SORT(items, count, order) memory_sort((items), (count), sizeof *(items), (order))
void memory_sort(void *items, size_t count, size_t size, int (*order)(const void *, const void *));
char *memory_text(const char *text); /* like strdup; NULL stays NULL */
void memory_set(
    char **at,
    const char *text); /* a copy takes the place of the text there, which is freed; NULL is fine for both */
void memory_wipe(char *text);                        /* overwritten, then freed; NULL is fine */
char *memory_slice(const char *text, size_t length); /* length bytes and a NUL */
char *memory_print(const char *format, ...) __attribute__((format(printf, 1, 2))); /* like asprintf */

/* Variables declared with these free themselves when they go out of scope. */
void memory_free_at(void *pointer_to_pointer);
void memory_close_at(int *fd);
void memory_fclose_at(void *pointer_to_file);
#define OWNED      __attribute__((cleanup(memory_free_at)))
#define OWNED_FD   __attribute__((cleanup(memory_close_at)))
#define OWNED_FILE __attribute__((cleanup(memory_fclose_at)))

/* The address sanitizer keeps a shadow of all memory, at addresses of its own choice: no bound of addresses fits it. */
#if defined(__SANITIZE_ADDRESS__)
#define SHADOWED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SHADOWED true
#endif
#endif
#ifndef SHADOWED
#define SHADOWED false
#endif
