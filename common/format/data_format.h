/* The format of a data directory, which DATA_DIR/.agentos-format says in a line (contract section 14): an older one is taken
 * up as it is, a newer one is left alone, since this version can't know what its files mean. */
#pragma once

#include <stdbool.h>

#include "common/buffer.h"
#include "common/fault.h"

#define DATA_FORMAT_FILE ".agentos-format"
enum { DATA_FORMAT = 2 /* 1 had no such file */ };

/* This version can work with data, DATA_DIR's descriptor. False and fault, a sentence: the directory's format is newer,
 * or can't be read. */
bool data_format_is_known(int data, struct fault *fault);
/* 1: this version can work with the directory, which says this version's format from now on, durably; changes gets a
 * sentence a line for each change since the former format, nothing for a new directory. 0 and fault: the format is
 * known, but can't be noted now, so the next start tells the changes again, as it does after a crash. -1 and fault: the
 * format is not known. */
int data_format_bring_forward(int data, struct buffer *changes, struct fault *fault);
