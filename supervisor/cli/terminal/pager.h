/* Long output goes through a pager, as git's does: PAGER, else less, with LESS=FRX unless that is set; PAGER=cat or an empty
 * one is none. Only when standard output is a terminal. Whatever is printed was cleaned before (output_clean): the
 * pager passes colours on, so a text that steers a terminal must not reach it. */
#pragma once

#include <stdbool.h>

/* Before anything is printed; a pager that can't be had is no fault, the terminal is written to then. The process waits
 * for the pager's end when it exits. */
void pager_begin(void);
bool pager_runs(void);
