/* The answers' JSON Schemas, for the interface's description. */
#pragma once

#include <jansson.h>

/* An object that has every schema, by name. New reference. */
json_t *openapi_schemas(void);
/* The schema of a type: string, integer, number, boolean, any, or the name of a schema; [TYPE]: a list; TYPE?: or null.
 * New reference. */
json_t *openapi_schema(const char *type);
