/* This supervisor's name among the others on the bus (contract section 12). */
#ifndef AGENTOS_COMMON_NODE_H
#define AGENTOS_COMMON_NODE_H

/* AGENTOS_NODE, else the host's name up to its first dot, with '-' for every character that no node's name has (names_node).
 * The same pointer for as long as the process lives. */
const char *node_name(void);

#endif
