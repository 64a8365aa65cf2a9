/* The page at `/`: its files lie in supervisor/http/page/ and are compiled into the program (page/embed.cmake), so
 * the process opens none. The page asks /v1 for its data, with the token; the files themselves are open to
 * everybody. */
#pragma once

#include <microhttpd.h>
#include <stddef.h>

struct page_file {
    const char *name, *type, *etag; /* "agents.js"; a media type; a strong ETag with its quotes */
    const unsigned char *bytes;
    size_t length;
};

extern const struct page_file page_files[]; /* made by the build; the last one's name is NULL */

/* The answer with this file, or 304 when the client has it; name: NULL is index.html. No such file: 404. */
enum MHD_Result page_send(struct MHD_Connection *connection, const char *name);
