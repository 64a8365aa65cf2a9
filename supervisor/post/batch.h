/* Durable writes of many files below DATA_DIR under few flushes. As everywhere in the post office: beneath it, following no
 * link, folders made when missing. */
#ifndef AGENTOS_POST_BATCH_H
#define AGENTOS_POST_BATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/fault.h"
#include "common/files.h"

#define BATCH_MARK ".md.post-" /* in the names of files that are not whole yet: .NAME.md.post-N */

enum write_result { WRITE_DONE, WRITE_EXISTS, WRITE_FAILED };

struct batch { /* zeroed at first; batch_free it */
    struct batch_entry *entries;
    size_t count;
};
/* The text, which is taken over, is to become NAME.md in the folder (a path from DATA_DIR); replace: over what lies there,
 * else that stays and it is WRITE_EXISTS. Returns its number. */
size_t batch_add(struct batch *batch, const char *folder, const char *name, struct buffer *text,
                 bool replace);
/* Writes all of them: the bytes, one flush, the names, one flush (a flush each while they are few). After it, what is
 * WRITE_DONE is on disk. Empties nothing: ask for the results, then free. data: DATA_DIR. */
void batch_flush(int data, struct batch *batch);
enum write_result batch_result(const struct batch *batch, size_t number, struct fault *fault);
const char *batch_file(const struct batch *batch, size_t number); /* "NAME.md" */
/* Of one that is WRITE_DONE: how it stands there. */
struct file_stamp batch_written(const struct batch *batch, size_t number);
void batch_free(struct batch *batch);

#endif
