/* A file that left an agent's work tree (`keep`), from the agent's git (libgit2, read-only). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fault.h"
#include "supervisor/listings/envelope_scan.h"

/* repository: the agent's folder; file: beneath it. Reads the file's text before the newest tidy commit that took it
 * out; the caller frees it. For a confined child (terminal/confine.h). 1: found, 0: no tidy commit took the file out,
 * -1 and fault. */
int pruned_file_read(const char *repository, const char *file, char **text, size_t *length,
                     struct fault *fault);
/* The range of time in which wanted envelopes were created, both ends included. */
struct pruned_range {
    int64_t since, until;
};
/* Adds a copy of each envelope in the range that left the owner's archive; for a confined child. False and fault:
 * some may be missing. */
bool pruned_file_list(struct envelope_scan *scan, const char *data_dir, const char *owner,
                      struct pruned_range range, struct fault *fault);
/* Reads the copies that envelope_scan_find_pruned has added, in a confined child too. */
void pruned_file_read_all(struct envelope_scan *scan, const char *data_dir);
