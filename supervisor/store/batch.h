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
/* Adds a write: the text, which is taken over, is to become NAME.md in the folder (a path from DATA_DIR); replace: in
 * place of a file of that name, else that file stays and the entry is WRITE_EXISTS. Returns the entry's number. */
size_t batch_add(struct batch *batch, const char *folder, const char *name, struct buffer *text,
                 bool replace);
/* Writes all entries: the bytes, one flush, the names, one flush (a flush each while they are few). Afterwards each
 * entry that is WRITE_DONE is on disk. Empties nothing: ask for the results, then free. data: DATA_DIR. */
void batch_flush(int data, struct batch *batch);
/* As batch_flush without a flush, for a batch that a journal has by batch_print: afterwards each entry that is
 * WRITE_DONE has its name and its bytes for all readers, and comes to disk with the journal's next checkpoint. A file
 * on another file system than DATA_DIR, which that doesn't reach, is flushed all the same. nowhere: a folder on
 * DATA_DIR's file system where nobody sees files that begin there without a name. */
void batch_place(int data, int nowhere, struct batch *batch);
/* Adds the entries to a journal's record. False: the batch isn't worth a journal, or replaces a file, which can't be
 * done again. */
bool batch_print(const struct batch *batch, struct buffer *record);
typedef void batch_visit(void *context, const char *folder, const char *name, const char *text,
                         size_t length);
/* Visits the entries of such a record, in its order. False: the record is none of batch_print's; the entries that
 * were read until then were visited. */
bool batch_each(const void *record, size_t length, batch_visit *visit, void *context);
enum write_result batch_result(const struct batch *batch, size_t number, struct fault *fault);
const char *batch_file(const struct batch *batch, size_t number); /* "NAME.md" */
/* Of an entry that is WRITE_DONE: the file's stamp. */
struct file_stamp batch_written(const struct batch *batch, size_t number);
void batch_free(struct batch *batch);
#define OWNED_BATCH __attribute__((cleanup(batch_free)))
