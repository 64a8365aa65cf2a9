#include "supervisor/http/page.h"

#include <stdint.h>
#include <string.h>

#include "supervisor/http/document.h"

/* The page shows texts of models and strangers: no text can become a script, a request to elsewhere, or a frame.
 * Trusted Types refuse a later change that would read markup from a text. */
static const char *const headers[][2] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
     "base-uri 'none'; "
     "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Embedder-Policy", "require-corp"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"},
    {MHD_HTTP_HEADER_CACHE_CONTROL,
     "no-cache"}, /* the browser keeps the file, but asks again: 304 until the program is another */
};

static const struct page_file *find(const char *name)
{
    for (const struct page_file *file = page_files; file->name; file++)
        if (strcmp(file->name, name) == 0)
            return file;
    return NULL;
}

static enum MHD_Result send_file(struct MHD_Connection *connection, const struct page_file *file)
{
    bool same = document_is_known(connection, file->etag);
    struct MHD_Response *response = MHD_create_response_from_buffer(
        same ? 0 : file->length, (void *)(uintptr_t)file->bytes, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO; /* the connection ends */
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        MHD_add_response_header(response, headers[i][0], headers[i][1]);
    MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, file->etag);
    if (!same)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, file->type);
    enum MHD_Result queued =
        MHD_queue_response(connection, same ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return queued;
}

enum MHD_Result page_send(struct MHD_Connection *connection, const char *name)
{
    struct document document;
    const struct page_file *file = find(name ? name : "index.html");
    if (file)
        return send_file(connection, file);
    document_problem(&document, 404, "the page has no file of this name");
    return document_send(connection, &document);
}
