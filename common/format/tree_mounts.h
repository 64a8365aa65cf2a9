/* Folders of an agent's tree that are mounts of their own. */
#pragma once

#include "common/buffer.h"

/* Files are made beside and renamed into their place, also between these folders, which no kernel does across mounts
 * (EXDEV), be they of one file system. A sentence a line for each folder below DATA_DIR/agents/NAME that is one. */
void tree_mounts_list(const char *data_dir, const char *agent, struct buffer *out);
