/* A fault is a sentence for a person: the operation that failed, its object, and the consequence.
 *
 * Library functions return false and fill the fault that the caller handed in; only main() and the child side of a fork
 * end the process. A NULL fault is allowed everywhere: the caller does not care why. */
#pragma once

#include <stdbool.h>

enum { FAULT_TEXT = 512 };

struct fault {
    char text[FAULT_TEXT]; /* NUL-terminated UTF-8; longer sentences are cut at the end */
};

/* Set the sentence. Always returns false, so that a function can end with `return fault_set(...)`. */
bool fault_set(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, with ": " and errno's text behind the sentence. errno is kept. */
bool fault_errno(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));
