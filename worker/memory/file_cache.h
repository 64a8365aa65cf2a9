/* Small files of the tree that every cycle reads and hardly anybody ever changes: read again when their stamp has. */
#ifndef AGENTOS_WORKER_MEMORY_FILE_CACHE_H
#define AGENTOS_WORKER_MEMORY_FILE_CACHE_H

#include <stddef.h>

#include "common/fault.h"

struct texts;

/* tree: descriptor of the agent's folder; borrowed. */
struct texts *texts_open(int tree);
void texts_close(struct texts *texts); /* NULL is fine */
/* As files_read; the text (with a NUL behind it) is borrowed and good until this path is read again, or four
 * others were. path is a literal. */
int texts_read(struct texts *texts, const char *path, size_t limit, const char **text, size_t *length,
               struct fault *fault);

#endif
