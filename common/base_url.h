/* A provider's base URL, as LLM_BASE_URL has it: POST requests go to this URL with /chat/completions put behind its
 * path. A query ("?api-version=…", Azure) stays behind that. */
#pragma once

#include <stdbool.h>

#include "common/fault.h"

/* False: why it can't be one, a sentence whose subject is the URL. */
bool base_url_check(const char *value, struct fault *fault);

/* Any URL that requests may go to: http or https, a host, no user name, fragment, blank or control character. False and
 * fault as base_url_check. */
bool base_url_is_http(const char *value, struct fault *fault);

/* The functions below want a URL that passed the check and isn't "offline". The caller frees texts. */
char *base_url_join(const char *base, const char *path); /* path begins with '/' */
char *base_url_host(const char *url);                    /* "host", "host:8080", "[::1]:8080" */
bool base_url_is_loopback(const char *url); /* localhost, 127.0.0.0/8, ::1: requests stay on this machine */
/* Neither a version in its path nor a query (Azure's): a 404 there is mostly a forgotten /v1. */
bool base_url_lacks_version(const char *url);
