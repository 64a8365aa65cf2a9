/* The metrics as Prometheus reads them (text format 0.0.4), with the names of contract section 12. */
#ifndef AGENTOS_HTTP_EXPOSITION_H
#define AGENTOS_HTTP_EXPOSITION_H

#include <jansson.h>

#include "common/buffer.h"

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* metrics: the object of the control server's verb (common/control.h). What is missing in it counts as zero. */
void exposition_print(const json_t *metrics, struct buffer *out);

#endif
