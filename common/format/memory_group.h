/* A control group of memory around each worker, where this machine lets the supervisor have one: below its own group in
 * version 1's hierarchy `memory`, or in version 2, when the supervisor's group was handed over to it and no other
 * process is in it. The limits of a process (common/sandbox/limits.c) bound the memory that a worker maps; its group
 * bounds also the memory that the kernel keeps for it: buffers, names, page tables.
 *
 * Groups are numbered and used again, as the kernel frees one only when the last page of a file that was read there is
 * forgotten. The groups lie in one folder, named after the data directory, which has one supervisor. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/fault.h"

struct memory_groups;

/* Before this process has children. Groups that a killed supervisor has left for this data directory are removed. NULL
 * and why: there are none to be had; then nothing else here does anything. */
struct memory_groups *memory_groups_open(const char *data_dir, struct fault *why);
/* All groups are removed, whose processes have ended. NULL is fine. */
void memory_groups_close(struct memory_groups *groups);
/* Whether the supervisor (0: none runs, so whether this process as one) has them. False and why. */
bool memory_groups_look(pid_t supervisor, const char *data_dir, struct fault *why);

/* *number (0: none yet) becomes that of a free group, whose processes get `bytes`; 0: there is none. */
void memory_group_take(struct memory_groups *groups, unsigned *number, int64_t bytes);
/* The group's process has ended; *number becomes 0. The result says whether the kernel ended a process there for want
 * of memory, and of whose. */
enum memory_want { WANT_OF_NOTHING, WANT_OF_ITS_OWN, WANT_OF_THE_MACHINE };
enum memory_want memory_group_give_back(struct memory_groups *groups, unsigned *number);
/* The folder of a group; "": none. Caller frees. */
char *memory_group_path(const struct memory_groups *groups, unsigned number);

/* In the new process, with the folder's descriptor, when the process wasn't made in the group (CLONE_INTO_CGROUP,
 * version 2); -1: the process was made there, or has no group. While the process has one thread. */
void memory_group_enter(int folder);
