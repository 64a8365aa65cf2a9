/* The names in a folder, one after the other. A folder that can't be read to its end is a fault and not a shorter
 * folder: the caller learns of the fault when it closes the listing, and concludes nothing from a name that was not
 * met. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/fault.h"

struct listing;

/* The folder at path beneath `folder`, resolved as common/files.h says. NULL: errno, and fault. */
struct listing *listing_open(int folder, const char *path, struct fault *fault);
/* A listing of the caller's descriptor, which is the listing's from now on and is closed with it; the folder is read
 * from the descriptor's position, with the first listing_next. path: for sentences only. NULL and fault for a
 * descriptor below 0, which leaves errno as it is. A descriptor of no folder has no names, which is the fault when the
 * listing is closed. */
struct listing *listing_take(int fd, const char *path, struct fault *fault);

int listing_folder(const struct listing *listing); /* its descriptor, borrowed */
/* The next name, neither "." nor "..". NULL: there is no further name, or the folder could not be read on; all later
 * calls give NULL too. Valid until the next call. Names that are made or removed meanwhile are met or not. */
const char *listing_next(struct listing *listing);
unsigned char
listing_type(const struct listing *listing);        /* of the name that came last: DT_UNKNOWN, DT_DIR, … */
bool listing_failed(const struct listing *listing); /* the last NULL was a fault, not the end */
/* All further names, sorted by their bytes: *count of them, each and the list to be freed by the caller; NULL: none. */
char **listing_sorted(struct listing *listing, size_t *count);
/* True: no read has failed so far; a caller that stopped early has asked for no more. False: errno, and fault. */
bool listing_close(struct listing *listing, struct fault *fault);

/* The listing is closed at the end of its scope, for callers that conclude nothing from a name that was not met. */
#define OWNED_LISTING __attribute__((cleanup(listing_close_at)))
void listing_close_at(struct listing **listing);
