/* A request to agentos-reader. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/fault.h"
#include "supervisor/listings/nodes_merge.h"

enum {
    PAGE_BYTES_MAX = 4 * 1024 * 1024, /* of a page's items, about; one item comes whatever its size */
};

struct reading {
    const char *data_dir; /* absolute */
    int data;             /* data_dir's descriptor */
    const json_t *request;
    void (*complain)(const char *sentence); /* about a file that can't be read */
};

/* Whether the answer is put together with those of other nodes (supervisor/listings/nodes_merge.h). */
bool reading_for_nodes(const struct reading *reading);
const char *reading_text(const struct reading *reading, const char *name); /* NULL: not given */
size_t reading_count(const struct reading *reading, const char *name, size_t otherwise, size_t most);
/* The absolute path of the folder of the request's agent; the caller frees it. NULL and fault: there is none. */
char *reading_agent(const struct reading *reading, struct fault *fault);
