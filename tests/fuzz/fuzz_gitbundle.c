/* Any bytes as a git bundle's header: refused with a sentence, or printed and read back as the same; and no name in it
 * can lead out of refs/. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/cli/transfer/gitbundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gitbundle bundle, again;
    struct fault fault = {{0}};
    if (!gitbundle_parse(&bundle, (const char *)data, size, &fault)) {
        if (fault.text[0] == '\0' || bundle.refs)
            abort();
        return 0;
    }
    OWNED_BUFFER struct buffer text = {0};
    gitbundle_print(&bundle, &text);
    if (bundle.pack > size || text.length != bundle.pack || memcmp(text.data, data, text.length) != 0 ||
        !gitbundle_parse(&again, text.data, text.length, &fault) || again.count != bundle.count)
        abort();
    for (size_t i = 0; i < bundle.count; i++) {
        const char *name = bundle.refs[i].name;
        if (strstr(name, "..") || strstr(name, "//") || name[0] == '/' || name[strlen(name) - 1] == '/')
            abort();
    }
    gitbundle_free(&bundle);
    gitbundle_free(&again);
    return 0;
}
