/* Long output goes through a pager, as git's does: PAGER, else less, with LESS=FRX unless that is set; PAGER=cat or
 * an empty PAGER is none. Only when standard output is a terminal. Texts are cleaned before (output_clean): the pager
 * passes colours on, so a text that steers a terminal must not reach it. */
#pragma once

#include <stdbool.h>

/* Call before anything is printed; without a pager the verb writes to the terminal, which is no fault. The process
 * waits for the pager's end when it exits. */
void pager_begin(void);
bool pager_runs(void);
