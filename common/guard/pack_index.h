/* The counts in git's indexes of packs, of several packs and of commits (gitformat-pack(5), gitformat-commit-graph(5)):
 * libgit2 1.5 multiplies them in 32 bits, takes a count that wraps for a good one, and reads far behind the end of the
 * file. */
#pragma once

#include <stdbool.h>

/* Whether a file of git's objects holds as many entries as it says. Also true for a file that is no such index, is too
 * short to have counts, or can't be read: git refuses it by itself. Reads at most 5 KiB. */
bool pack_index_fits(int folder, const char *name);
