/* The envelopes in a data directory, checked where they lie: offline, so what a crash left half done is found too, and
 * it is said when the next start mends it. */
#pragma once

#include "common/buffer.h"
#include "common/format/roster.h"

/* A sentence and a line end for each envelope that can't be read, has another's name, a status that doesn't belong to
 * its folder, lies in two places that contradict each other, or beyond its receiver's window. Files that a worker has
 * set aside are notes. roster NULL: nothing is said about windows. */
void envelope_check(const char *data_dir, const struct roster *roster, struct buffer *findings,
                    struct buffer *notes);
/* The locks and segments of DATA_DIR/shared. */
void envelope_check_shared(const char *data_dir, struct buffer *findings, struct buffer *notes);
