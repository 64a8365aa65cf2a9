/* An agent's directory on this node, and the epoch of its last lease here, which is noted in it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* data: the descriptor of DATA_DIR, in all of these. */
bool tree_epoch_has_tree(int data, const char *agent);
uint64_t tree_epoch_read(int data, const char *agent); /* 0: none is noted */
/* begins: the agent has no directory yet; the note says so until it is written anew. A note that can't be written is logged:
 * where the file is lost with the machine, the bucket and the commits still know the epoch. */
void tree_epoch_write(int data, const char *agent, uint64_t epoch, bool begins);
bool tree_epoch_begins(int data, const char *agent);
/* Takes back the note of an agent that has not begun here, with the folder that was made for it, unless more is there. */
void tree_epoch_forget(int data, const char *agent);
