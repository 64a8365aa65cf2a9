/* The parameters behind a path's "?", by the route's table. */
#pragma once

#include <microhttpd.h>

#include "supervisor/http/body.h"

/* An object of the given parameters, to be freed; fields NULL: none may be given. NULL and a problem: a parameter is
 * not in the table, given twice, or of another type. */
json_t *query_read(struct MHD_Connection *connection, const struct field *fields, struct document *problem);
