/* The first steps of every program of ours. */
#pragma once

#include <stdbool.h>

/* Descriptors 0 to 2 that came closed are /dev/null from here on. Else the next file that is opened takes their place,
 * be it the keys' memory file or a repository, and a complaint would be written into it. Called before any other file
 * is opened. */
void started_standard(void);
/* For a program that holds a secret. No core file, no debugger of the same user, no /proc/PID/mem: the secret stands in this memory. A Ctrl-C on the terminal
 * reaches the whole group: the supervisor decides when this process ends, so that work can drain. */
void started_harden(void);
/* The first steps, and the log by way of the supervisor, for a program that the supervisor starts with `wanted`
 * descriptors as its arguments. False: the program was started otherwise, which has been said. */
bool started_by_supervisor(int count, char **arguments, int descriptors[], int wanted);
/* A descriptor that an argument names; -1: the argument names none. */
int started_descriptor(const char *text);
