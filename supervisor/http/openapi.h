/* The description of the interface (OpenAPI 3.1), made from the table of the routes. */
#pragma once

#include <jansson.h>

json_t *openapi_document(void); /* caller frees */
