/* The holder of a lock (flock(2)) on a file or folder. */
#pragma once

#include <sys/types.h>

/* The process that has locked the file or folder at path for itself alone; 0: no process has, or the holder can't be
 * told; -1: a process that can't be seen from here (in another container, perhaps). */
pid_t held_by(const char *path);
