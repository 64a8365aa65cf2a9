/* An exported agent's bundle, unpacked into a folder of its own by a process of its own.
 *
 * The file may come from anybody. So a child in a worker's sandbox (its folder, no network, limited memory and time)
 * reads its pack, and no part of the bundle counts before the whole is checked. */
#pragma once

#include "common/buffer.h"
#include "common/fault.h"
#include "supervisor/cli/transfer/gitbundle.h"

enum {
    UNPACK_FILES_MAX = 200000,
    UNPACK_CPU_SECONDS = 300,
    UNPACK_MEMORY_MB = 1024,
};
#define UNPACK_BYTES_MAX ((uint64_t)1 << 30) /* of the files; a pack may be twice that */
#define UNPACK_PACK_MAX  ((uint64_t)2 << 30)

/* folder: an empty folder's absolute path. file: positioned anywhere. Afterwards the folder is an agent's, flushed to
 * the disk, and definition has BUNDLE_DEFINITION's text, unchecked. moved: for `agentos move`: the worker's notes
 * that travel may be in the bundle, and a bundle that is no export, but a branch of the git remote, has its HEAD's
 * files and no definition. 0, or the exit status and fault; the folder is worthless then. Call while the process has
 * one thread. */
int unpack_bundle(const char *folder, int file, const struct gitbundle *bundle, bool moved,
                  struct buffer *definition, struct fault *fault);
