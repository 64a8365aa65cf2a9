/* The header of a git bundle: which refs it brings, and where its pack begins.
 *
 *   # v2 git bundle
 *   ID refs/heads/main
 *   ID HEAD
 *
 *   PACK…
 *
 * Only version 2, and only bundles that stand alone: a line with '-' (a commit that the reader must have) is a fault.
 * The input is untrusted: git must allow every name, and no name comes twice. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/fault.h"

enum {
    GITBUNDLE_HEADER_MAX = 1024 * 1024, /* bytes */
    GITBUNDLE_REFS_MAX = 4096,
    GITBUNDLE_NAME_MAX = 240, /* bytes of a ref's name */
};

struct gitbundle_ref {
    char id[41]; /* 40 hex digits, lower case */
    char *name;  /* owned */
};

struct gitbundle {
    struct gitbundle_ref *refs;
    size_t count;
    size_t pack; /* offset of the pack in the file */
    off_t end;   /* of the file as its opener found it, who sets this: nothing is read that came later */
};

/* bytes: the beginning of the file, GITBUNDLE_HEADER_MAX of it or all. False and fault, with nothing to free. */
bool gitbundle_parse(struct gitbundle *bundle, const char *bytes, size_t length, struct fault *fault);
void gitbundle_free(struct gitbundle *bundle);
void gitbundle_add(struct gitbundle *bundle, const char id[41], const char *name);
const struct gitbundle_ref *gitbundle_find(const struct gitbundle *bundle, const char *name); /* NULL: none */
void gitbundle_print(const struct gitbundle *bundle, struct buffer *out);
/* Whether the name is "HEAD", or allowed by git below refs/ (git check-ref-format). */
bool gitbundle_ref_name(const char *name);
