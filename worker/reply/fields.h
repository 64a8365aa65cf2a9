/* "key: value" in each way that models write it: as lines (bulleted, bold, badly indented, with code in them), in
 * YAML's brackets with or without quotes, as JSON that is strict or nearly so. Values stay raw texts until somebody
 * wants them as something, so one bad value harms no other. */
#pragma once

#include "worker/reply/field.h"

/* keys: NULL-terminated, each "name|other_name|…". fields needs no preparation; fields_free it. */
void fields_read(struct fields *fields, struct span text, const char *const *keys);
/* The entries of a list: in brackets, behind bullets or numbers, or the whole text as one. keys: of an entry that is a
 * mapping, NULL: entries are texts, which commas part in brackets. */
void fields_entries(struct fields *fields, struct span text, const char *const *keys);
