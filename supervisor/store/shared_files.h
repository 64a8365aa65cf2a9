/* The files below DATA_DIR/shared, which the supervisor alone writes and people may read, edit, drop and delete: the one
 * place that writes them.
 *
 * data is the descriptor of DATA_DIR, folder one of the SHARED_ names (a queue has a folder of its own in SHARED_QUEUES),
 * name a file's name without ".md", in SHARED_NOTIFY without ".json". No link is followed on the way (files.h): a planted
 * link is a fault, or is set aside where a file is to be written. A missing folder is made anew. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/fault.h"
#include "common/files.h"

#define SHARED_LOCKS    "shared/locks"
#define SHARED_SEGMENTS "shared/segments"
#define SHARED_QUEUES   "shared/queues"
#define SHARED_NOTIFY   "shared/notify"

enum { SHARED_FILES_MAX = 100000 /* of a folder that are looked at */ };

/* Writes the file whole in place of the former one. True and durable: it is on disk under its name, and so are the
 * folders. False: the former file is as it was, unless the fault came from the last flush; either may be there then. */
bool shared_write(int data, const char *folder, const char *name, const struct buffer *text, bool durable,
                  struct fault *fault);
/* As files_rewrite. */
bool shared_rewrite(int data, const char *folder, const char *name, const struct buffer *text,
                    struct fault *fault);
/* As files_read. */
int shared_read(int data, const char *folder, const char *name, size_t limit, char **text, size_t *length,
                struct file_stamp *stamp, struct fault *fault);
/* Zero: missing, or no regular file. */
struct file_stamp shared_stamp(int data, const char *folder, const char *name);
/* The file is on disk when this is true: for a file that an earlier flush, which failed or was cut, may have left. */
bool shared_sync(int data, const char *folder, const char *name, struct fault *fault);
/* The file is gone, or was gone already; not flushed, so it may be there again when the power goes. */
bool shared_remove(int data, const char *folder, const char *name, struct fault *fault);
/* Renames whatever is at file (with its ending) to FILE.unreadable-TIME beside it. *aside: that name, the caller
 * frees it; may be NULL. */
bool shared_set_aside(int data, const char *folder, const char *file, char **aside, struct fault *fault);
/* Calls visit for each entry whose name doesn't begin with a dot, of whatever type, in the order of the names. No
 * such folder: none, and true. */
bool shared_each(int data, const char *folder, void (*visit)(void *context, const char *file), void *context,
                 struct fault *fault);
/* Removes temporary files (of files_write and batch_flush) that a killed supervisor left behind. Only while no other
 * one runs. */
void shared_tidy(int data, const char *folder);
