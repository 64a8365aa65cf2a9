/* Markdown with YAML front matter: "---\n", YAML, "---\n", body. CRLF, a byte-order mark and a missing last
 * newline are fine. */
#pragma once

#include "common/format/yamldoc.h"

struct frontmatter {
    struct yaml_node *head; /* a mapping; empty when there is no front matter; owned */
    const char *body;       /* borrowed from the text that was parsed */
    size_t body_length;
};

/* False: front matter that starts and doesn't end, or is no mapping. head is capped at 64 KiB. */
bool frontmatter_parse(struct frontmatter *matter, const char *text, size_t length, const char *name,
                       struct fault *fault);
void frontmatter_free(struct frontmatter *matter);

#define OWNED_FRONTMATTER __attribute__((cleanup(frontmatter_free)))
const char *frontmatter_text(const struct frontmatter *matter,
                             const char *key); /* NULL: not there or no scalar */
