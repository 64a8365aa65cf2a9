#include "common/shared_bytes.h"

#include <stdlib.h>

#include "common/memory.h"

struct shared_bytes {
    size_t keepers, length;
    void *owner; /* owned by all of them */
    void (*release)(void *owner);
};

struct shared_bytes *shared_bytes_new(size_t length, void *owner, void (*release)(void *owner))
{
    struct shared_bytes *bytes = memory_new(1, sizeof *bytes);
    *bytes = (struct shared_bytes){.keepers = 1, .length = length, .owner = owner, .release = release};
    return bytes;
}

struct shared_bytes *shared_bytes_keep(struct shared_bytes *bytes)
{
    if (bytes)
        bytes->keepers++;
    return bytes;
}

void shared_bytes_drop(struct shared_bytes *bytes)
{
    if (!bytes || --bytes->keepers > 0)
        return;
    bytes->release(bytes->owner);
    free(bytes);
}

void *shared_bytes_owner(struct shared_bytes *bytes)
{
    return bytes->owner;
}

size_t shared_bytes_length(const struct shared_bytes *bytes)
{
    return bytes->length;
}
