/* Folders of an agent's tree that are mounts of their own. */
#pragma once

#include "common/buffer.h"
#include "common/format/roster.h"

/* Files are made beside and renamed into their place, also between these folders, which no kernel does across mounts
 * (EXDEV), be they of one file system. A sentence a line for each folder below DATA_DIR/agents/NAME that is one, of all
 * agents. */
void tree_mounts_list(const char *data_dir, const struct roster *roster, struct buffer *out);
