/* The description of the interface (OpenAPI 3.1), made from the table of the routes. */
#ifndef AGENTOS_HTTP_OPENAPI_H
#define AGENTOS_HTTP_OPENAPI_H

#include <jansson.h>

json_t *openapi_document(void); /* caller frees */

#endif
