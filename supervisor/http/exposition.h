/* The metrics as Prometheus reads them (text format 0.0.4), with the names of contract section 12. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "common/buffer.h"

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum {
    EXPOSITION_AGENTS =
        1000 /* more agents have no series each: one series has their sum, without the label */
};

/* metrics: the object of the control server's verb (common/control.h). A missing number counts as zero. all: a series
 * for each agent, however many there are. */
void exposition_print(const json_t *metrics, bool all, struct buffer *out);
