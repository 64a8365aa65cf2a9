/* Notices: the files of shared/ that the supervisor writes and everybody may read (locks, segments, items of work
 * queues), each as a program wants it. */
#pragma once

#include <jansson.h>

#define NOTICES_LOCKS    "shared/locks"
#define NOTICES_SEGMENTS "shared/segments"

/* The items of a folder beneath DATA_DIR (data: its descriptor), by their names: an array of the front matter's keys,
 * with body and path; caller frees. A file that can't be read, or is no notice, is left out and complained of in a
 * sentence. A missing folder gives an empty array. */
json_t *notices_list(int data, const char *folder, void (*complain)(const char *sentence));
