/* A folder's size, counted in slices of time: the supervisor never waits for a large tree. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct tree_list;
struct tree_size;

/* folder: its descriptor, the count's from now on; below 0 counts nothing. listed: the count makes a list of the
 * names (tree_list.h). */
struct tree_size *tree_size_begin(int folder, bool listed);
/* Goes on until until_ms (clock_monotonic_ms). True: the count is done, or has passed enough bytes. Every name counts
 * as at least 4 kB, a file as its length or its place on the disk, whichever is more, divided by its names. No link
 * is followed, and no other file system entered. A folder too deep to be counted counts as without end, as such a
 * folder only serves to hide something. */
bool tree_size_go(struct tree_size *size, int64_t until_ms, int64_t enough);
int64_t tree_size_bytes(const struct tree_size *size);
int64_t tree_size_spent_us(const struct tree_size *size); /* time that was given to the count */
/* The list of a count that went to its end, the caller's from now on; NULL: there is none. */
struct tree_list *tree_size_take_list(struct tree_size *size);
void tree_size_free(struct tree_size *size); /* NULL is fine */
