/* The envelopes in a data directory, checked where they lie. */
#ifndef AGENTOS_CLI_LETTERS_H
#define AGENTOS_CLI_LETTERS_H

#include "common/buffer.h"

/* An agent's iac/: every envelope reads as one, its file is named after its id, and it lies in one folder only. */
void letters_check(int agent_folder, const char *where, struct buffer *findings);
/* The same for the items in DATA_DIR/shared/queues. */
void letters_check_shared(const char *data_dir, struct buffer *findings);

#endif
