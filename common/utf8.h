/* UTF-8 (RFC 3629): every text that is stored or shown is valid UTF-8; input may not be. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* The bytes of the valid character at the start of text, which has at least one byte; 0: the bytes are none. */
size_t utf8_character(const char *text, size_t length);

bool utf8_valid(const char *text, size_t length);

/* A copy in which every byte that is not part of valid UTF-8, and every NUL, is U+FFFD. Caller frees. */
char *utf8_clean(const char *text, size_t length);
/* The same as a JSON string; null for NULL. */
json_t *utf8_json(const char *text);

/* The largest prefix length <= limit that ends between two characters of valid UTF-8 text. */
size_t utf8_cut(const char *text, size_t length, size_t limit);
