/* Durable writes of many files below DATA_DIR under few flushes. As everywhere in the post office: beneath it, following no
 * link, folders made when missing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/fault.h"
#include "common/files.h"

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
/* The same without a flush, for one that a journal has by batch_print: after it, what is WRITE_DONE has its name and its
 * bytes for everybody who looks, and comes to disk with the journal's next checkpoint. What lies on another file system
 * than DATA_DIR, which that doesn't reach, is flushed all the same. nowhere: a folder on DATA_DIR's where nobody sees what begins there
 * without a name. */
void batch_place(int data, int nowhere, struct batch *batch);
/* Adds what is to be written to a journal's record. False: it isn't worth a journal, or replaces what lies there, which can't
 * be done again. */
bool batch_print(const struct batch *batch, struct buffer *record);
typedef void batch_visit(void *context, const char *folder, const char *name, const char *text,
                         size_t length);
/* What such a record says, in its order. False: that isn't one; what was read until there was visited. */
bool batch_each(const void *record, size_t length, batch_visit *visit, void *context);
enum write_result batch_result(const struct batch *batch, size_t number, struct fault *fault);
const char *batch_file(const struct batch *batch, size_t number); /* "NAME.md" */
/* Of one that is WRITE_DONE: how it stands there. */
struct file_stamp batch_written(const struct batch *batch, size_t number);
void batch_free(struct batch *batch);
#define OWNED_BATCH __attribute__((cleanup(batch_free)))
