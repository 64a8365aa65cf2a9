/* What a program of ours does first that the supervisor starts, with descriptors, and that holds a secret. */
#ifndef AGENTOS_COMMON_STARTED_H
#define AGENTOS_COMMON_STARTED_H

/* No core file, no debugger of the same user, no /proc/PID/mem: the secret stands in this memory. A Ctrl-C on the terminal
 * reaches the whole group: the supervisor decides when this process ends, so that work can drain. */
void started_harden(void);
/* A descriptor that an argument names; -1: it is none. */
int started_descriptor(const char *text);

#endif
