/* The supervisor's side of the zygote, the process that forks the workers. */
#pragma once

#include <stdbool.h>

struct supervisor;

/* Starts it; before nng makes threads. False: it can't be started. */
bool zygote_link_open(struct supervisor *supervisor);
