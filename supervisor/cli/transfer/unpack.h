/* An exported agent's bundle, unpacked into a folder of its own by a process of its own.
 *
 * The file may come from anybody. So everything that reads its pack is done in a child that is in a worker's sandbox
 * (its folder, no network, so much memory and time), and nothing of it counts before all is checked. */
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

/* folder: an empty one, by its absolute path. file: positioned anywhere. After it the folder is an agent's, flushed to
 * the disk, and definition has BUNDLE_DEFINITION's text, unchecked. moved: as `agentos move` has it: the worker's notes that
 * travel may be in it, and a bundle that is no export, but a branch of the git remote, has its HEAD's files and no definition. 0, or the exit status and fault; then what lies in
 * the folder is worth nothing. Call while the process has one thread. */
int unpack_bundle(const char *folder, int file, const struct gitbundle *bundle, bool moved,
                  struct buffer *definition, struct fault *fault);
