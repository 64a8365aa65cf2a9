#include "supervisor/notify/signature.h"

#include <resolv.h>
#include <sha2.h>
#include <string.h>

#include "common/memory.h"

static void digest(const unsigned char pad[SHA256_BLOCK_LENGTH], const void *bytes, size_t length,
                   unsigned char out[SHA256_DIGEST_LENGTH])
{
    SHA2_CTX context;
    SHA256Init(&context);
    SHA256Update(&context, pad, SHA256_BLOCK_LENGTH);
    SHA256Update(&context, bytes, length);
    SHA256Final(out, &context);
    explicit_bzero(&context, sizeof context);
}

/* HMAC (RFC 2104): libmd has the hash, and no library that this program loads has the rest. */
static void hmac(const struct webhook_secret *secret, const void *bytes, size_t length,
                 unsigned char out[SHA256_DIGEST_LENGTH])
{
    unsigned char inner[SHA256_BLOCK_LENGTH] = {0}, outer[SHA256_BLOCK_LENGTH];
    if (secret->length <= sizeof inner) {
        memcpy(inner, secret->bytes, secret->length);
    } else {
        SHA2_CTX context;
        SHA256Init(&context);
        SHA256Update(&context, secret->bytes, secret->length);
        SHA256Final(inner, &context);
    }
    for (size_t i = 0; i < sizeof inner; i++) {
        outer[i] = inner[i] ^ 0x5c;
        inner[i] ^= 0x36;
    }
    digest(inner, bytes, length, out);
    digest(outer, out, SHA256_DIGEST_LENGTH, out);
    explicit_bzero(inner, sizeof inner);
    explicit_bzero(outer, sizeof outer);
}

char *signature_make(const struct webhook_secret *secret, const char *id, const char *timestamp,
                     const char *body)
{
    unsigned char code[SHA256_DIGEST_LENGTH];
    char text[(sizeof code + 2) / 3 * 4 + 1];
    OWNED char *signed_text = memory_print("%s.%s.%s", id, timestamp, body);
    hmac(secret, signed_text, strlen(signed_text), code);
    (void)b64_ntop(code, sizeof code, text, sizeof text);
    return memory_print("v1,%s", text);
}
