/* How the rules read a text: plain ASCII comparisons on a copy in small letters. Every loop is linear in the text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* In small letters, ’ as ', emphasis marks dropped, code blocks left out (each is an empty line), quoted lines ("> ") left
 * out. closed (may be NULL): every code fence ends. Caller frees. */
char *text_prose(const char *text, bool *closed);

/* The first place where the phrase stands as whole words; NULL: nowhere. */
const char *text_find(const char *text, const char *phrase);
/* Whether a phrase of the list (NULL at the end) stands in the first length bytes. */
bool text_has(const char *text, size_t length, const char *const *phrases);

/* A part of a text, not ended by a NUL. */
struct span {
    const char *start;
    size_t length;
};

/* The next sentence from *at on, trimmed, never empty: a sentence ends at . ! ? before a blank, or at the end of a
 * line. False: there is no further sentence. */
bool text_sentence(const char **at, struct span *sentence);
/* The next line, without its end; the line may be empty. False: there is no further line. */
bool text_line(const char **at, struct span *line);
struct span text_trim(struct span span);

bool text_says(const char *text, const char *const *phrases);
bool text_within(struct span span, const char *const *phrases);
bool text_starts(struct span span,
                 const char *const *phrases); /* with one of them, wherever its last word ends */
bool text_equal(struct span a, struct span b);
char text_last(struct span span); /* the last byte of the line; NUL: the line is empty */

bool text_has_code(const char *text); /* a block, or some words of it */

size_t text_words(const char *text); /* runs of letters, digits and bytes of other scripts */
/* The line begins an item of a list: "- ", "* ", "+ ", "3. ", "3) ". */
bool text_is_item(struct span line);
