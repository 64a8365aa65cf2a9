/* What stands behind a path's "?", by the route's table. */
#pragma once

#include <microhttpd.h>

#include "supervisor/http/body.h"

/* An object of the given parameters, to be freed; fields NULL: none may be given. NULL and a problem: the table does not
 * have one of them, it is given twice, or is of another type. */
json_t *query_read(struct MHD_Connection *connection, const struct field *fields, struct document *problem);
