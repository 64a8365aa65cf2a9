/* Checks of the envelopes in a data directory: offline, so that the halves of steps that a crash left are found too,
 * with a note when the next start mends them. */
#pragma once

#include "common/buffer.h"
#include "common/format/roster.h"

/* Adds a sentence and a line end for each envelope that can't be read, has another's name, a status that doesn't
 * belong to its folder, lies in two places that contradict each other, or beyond its receiver's window. Files that a
 * worker has set aside are notes. roster NULL: windows are not checked. */
void envelope_check(const char *data_dir, const struct roster *roster, struct buffer *findings,
                    struct buffer *notes);
/* The locks and segments of DATA_DIR/shared. */
void envelope_check_shared(const char *data_dir, struct buffer *findings, struct buffer *notes);
