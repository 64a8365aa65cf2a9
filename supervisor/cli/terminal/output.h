/* The output for people: complaints on standard error, tables and texts on standard output. Texts come from models
 * and other people, so bytes that could steer a terminal are shown as '?', and escaped in JSON. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* "agentos: sentence\n" */
void output_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* As output_complain; gives the value, such as an exit code. */
#define output_fail(value, ...) (output_complain(__VA_ARGS__), (value))

/* printable_text (common/printable.h). Caller frees. */
char *output_clean(const char *text, int lines);

/* Each line of text that isn't empty, cleaned, behind `before`; their number. text may be NULL. */
size_t output_lines(FILE *to, const char *before, const char *text);

/* Standard output and error are looked at once; before a sandbox is entered, in which the kernel answers no such
 * question. */
void output_ask_terminal(void);
/* A terminal's sequence for standard output; "" where that is no terminal, or NO_COLOR is set. */
enum colour { COLOUR_NONE, COLOUR_HEAD, COLOUR_ALARM };
const char *output_colour(enum colour colour);

/* "1200 envelopes read" on standard error, where that is a terminal: one line that changes a few times a second, from the
 * first tenth of a second on. */
void output_working(const char *what, size_t done);
void output_working_end(void); /* the line of output_working goes */

/* Prints the object and a newline; the object is stolen. */
void output_json(json_t *object);
/* Prints the object on one line, its keys in their order. */
void output_json_line(const json_t *object);
/* Prints {"items": list}; the list is stolen. */
void output_items(json_t *list);

/* A table with aligned columns; the last column may be of any width. */
enum { TABLE_COLUMNS_MAX = 16 };
struct table {
    /* A text for each column; a head that begins with '>' aligns to the right. A column whose head begins with '?',
     * before that, is left out where a terminal is too narrow, the last one first. */
    const char *const *heads;
    size_t columns;
    char **cells; /* owned, row by row, cleaned */
    size_t count; /* cells */
};
void table_begin(struct table *table, const char *const *heads, size_t columns);
void table_cell(struct table *table, const char *text); /* copied; NULL counts as "-" */
void table_number(struct table *table, long long number);
void table_cellf(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_show(struct table *table); /* printed and freed */

/* "3d 4h", "2h 5m", "7m 3s", "12s". Text is at least 32 bytes. */
const char *output_duration(int64_t seconds, char text[32]);
/* "1.5 MB" */
const char *output_bytes(int64_t bytes, char text[32]);

/* The given status when standard output reached its reader; else 74 in place of 0. */
int output_end(int status);
