/* Any bytes as an envelope: refused with a sentence, or printed and read back as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/format/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope envelope, again;
    struct fault fault = {0};
    if (!envelope_parse(&envelope, (const char *)data, size, "e", &fault)) {
        if (fault.text[0] != 'e')
            abort();
        return 0;
    }
    OWNED_BUFFER struct buffer first = {0}, second = {0};
    envelope_print(&envelope, &first);
    if (!envelope_parse(&again, first.data, first.length, "e", &fault))
        abort();
    envelope_print(&again, &second);
    if (first.length != second.length || memcmp(first.data, second.data, first.length) != 0 ||
        strcmp(envelope.body, again.body) != 0)
        abort();
    envelope_free(&envelope);
    envelope_free(&again);
    return 0;
}
