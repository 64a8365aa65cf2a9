/* A file that each prompt needs and people seldom change: its text is kept, and read again when the file's stamp is
 * another. */
#pragma once

#include <stddef.h>

#include "common/files.h"

struct kept_file {           /* zeroed at first */
    struct file_stamp stamp; /* zero: the text may be older than the file */
    char *text;              /* owned */
    size_t length;
};

/* As files_read; the text is the kept file's own, until the next call. */
int kept_file_read(struct kept_file *file, int tree, const char *path, size_t limit, struct fault *fault);
void kept_file_free(struct kept_file *file);
