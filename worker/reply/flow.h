/* Mappings and lists in brackets: JSON that is strict or nearly so, and YAML's, with or without quotes. */
#pragma once

#include "worker/reply/field.h"

/* text begins with { or [. False: it can't be read, and nothing is added. *end: behind the closing bracket. */
bool flow_fields(struct fields *fields, struct span text, const char *const *keys, size_t *end);
bool flow_entries(struct fields *fields, struct span text, const char *const *keys, size_t *end);
