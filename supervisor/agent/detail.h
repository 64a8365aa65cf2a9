/* An event's data besides its name: a list of keys with a text or a number each. */
#pragma once

#include <stdint.h>

struct detail {
    const char *key;  /* NULL ends the list */
    const char *text; /* any text, which is cleaned; NULL: the number */
    int64_t number;
};
#define DETAIL_TEXT(name, words)                                                                             \
    {                                                                                                        \
        .key = (name), .text = (words)                                                                       \
    }
#define DETAIL_NUMBER(name, value)                                                                           \
    {                                                                                                        \
        .key = (name), .number = (int64_t)(value)                                                            \
    }
