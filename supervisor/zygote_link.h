/* The supervisor's side of the zygote, the process that forks the workers. */
#pragma once

#include <stdbool.h>

struct supervisor;

/* Starts the zygote; before nng makes threads. False: the zygote can't be started. */
bool zygote_link_open(struct supervisor *supervisor);
