#include "common/format/webhook_secret.h"

#include <resolv.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/secrets.h"

bool webhook_secret_read(const char *path, struct webhook_secret *secret, struct fault *fault)
{
    static const char prefix[] = "whsec_";
    char *text = secrets_read_file(path, "secret", fault);
    if (!text)
        return false;
    *secret = (struct webhook_secret){.bytes = (unsigned char *)text, .length = strlen(text)};
    if (strncmp(text, prefix, strlen(prefix)) != 0)
        return true;
    size_t room = secret->length; /* of the text, which is longer */
    unsigned char *bytes = memory_new(room, 1);
    int length = b64_pton(text + strlen(prefix), bytes, room);
    webhook_secret_wipe(secret);
    *secret = (struct webhook_secret){.bytes = bytes, .length = length > 0 ? (size_t)length : room};
    if (length > 0)
        return true;
    webhook_secret_wipe(secret);
    return fault_set(fault, "the secret file %s holds no base64 behind whsec_", path);
}

void webhook_secret_wipe(struct webhook_secret *secret)
{
    if (secret->bytes)
        explicit_bzero(secret->bytes, secret->length);
    free(secret->bytes);
    *secret = (struct webhook_secret){0};
}
