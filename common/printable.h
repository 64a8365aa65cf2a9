/* Texts that may be shown: texts come from models, agents and other people, and no text may steer a terminal or a
 * reader of the log. Unsafe are the control characters (C0, DEL, C1: some terminals obey U+009B like ESC [), the
 * characters that turn the direction of writing (U+061C, U+200E/F, U+202A-202E, U+2066-2069), the line separators that
 * end no line here (U+2028/9), and bytes that are not UTF-8. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A copy in which every unsafe character is '?', and every byte that is not part of valid UTF-8 U+FFFD. lines: line ends
 * and tabs stay, and CR LF becomes LF; else all three become blanks. Caller frees. */
char *printable_text(const char *text, size_t length, bool lines);

/* The text as one word of a shell's line: in single quotes where the shell would take something in it for its own. Caller
 * frees. */
char *printable_word(const char *text);

/* JSON text of the same meaning, with the unsafe characters escaped. Line ends stay: in JSON text they stand between
 * values only. Caller frees. */
char *printable_json(const char *json);
