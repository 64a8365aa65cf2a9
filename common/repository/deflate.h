/* Is a compressed file whole? libgit2 1.5 reads for ever in a loose object that was cut short, so it is never shown
 * one. Only the structure is looked at; that the content is right is said by the object's hash. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether this zlib stream (RFC 1950, 1951) comes to its end within these bytes, 256 MiB at most. The checksum is not
 * compared, and bytes behind the end don't matter. The walk takes time linear in the unpacked text, and no memory for
 * it. */
bool deflate_whole(const void *bytes, size_t length);

/* The loose object of 40 hex digits below the folder `git`: false when its file is there and is cut short, empty or
 * no zlib stream; true also when there is no such file (it may be in a pack). */
bool deflate_object_whole(int git, const char *hex);
