/* A small file of the supervisor's own below shared/ that outlives it and that a person can read and edit: prose, and
 * under headings "## SECTION" lines "- key: value". The supervisor keeps the file's meaning in memory, reads the file
 * again when somebody else changed it, and writes it whole. */
#pragma once

#include <stdbool.h>

#include "common/buffer.h"
#include "common/fault.h"
#include "common/files.h"

enum {
    STATE_FILE_MAX = 16 * 1024 * 1024,
    STATE_FILE_FILLED_MS =
        1000, /* an emptied file is about to be filled for this time; then it counts as empty */
};

struct state_file {
    int data;         /* borrowed: descriptor of DATA_DIR */
    const char *name; /* borrowed: "budget.md" */
    struct file_stamp stamp;
    bool unread; /* the file could not be read, so it isn't written over */
    /* Nothing may go on without the file's lines: over STATE_FILE_MAX the file is left as it is, unread. */
    bool whole;
};

/* Takes a line; false: the line means nothing to its reader. The texts are borrowed. */
typedef bool state_file_line(void *context, const char *section, const char *key, const char *value);

/* Whether somebody has changed, made or removed the file since it was read or written here. */
bool state_file_changed(const struct state_file *state_file);
/* Whether somebody has emptied the file within STATE_FILE_FILLED_MS and is about to fill it: a state_file_write now
 * would give the name to another file, and the edit would be lost with the old one. */
bool state_file_being_filled(const struct state_file *state_file);
/* Reads the file; a missing file is like an empty one. Lines that mean nothing are told in the log, and the file as
 * it was is kept beside as NAME.unreadable-TIME; so is a file that isn't text, no regular file, or over STATE_FILE_MAX
 * bytes. forget (may be NULL) is called before the first line. Where the storage fails, or the file is left unread,
 * nothing is called: the state in memory stays, and state_file_changed is true. */
void state_file_read(struct state_file *state_file, void (*forget)(void *context), state_file_line *line,
                     void *context);
/* False and fault: the old file stays; also a file that could not be read, and where the text is over STATE_FILE_MAX,
 * which nobody would read back. Durable: the file is on disk when this returns. */
bool state_file_write(struct state_file *state_file, const struct buffer *text, bool durable,
                      struct fault *fault);
