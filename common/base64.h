/* Base64 (RFC 4648, section 4). */
#ifndef AGENTOS_COMMON_BASE64_H
#define AGENTOS_COMMON_BASE64_H

#include <stddef.h>

char *base64_encode(const void *bytes, size_t length); /* caller frees */
/* The padding may be missing. NULL: it is none. Caller frees. */
unsigned char *base64_decode(const char *text, size_t *length);

#endif
