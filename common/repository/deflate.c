#include "common/repository/deflate.h"

#include <stdint.h>
#include <stdio.h>
#include <zlib.h>

#include "common/files.h"
#include "common/memory.h"

enum {
    ROOM = 16 * 1024,
    OBJECT_FILE_MAX = 256 * 1024 * 1024 /* bytes; a larger file is taken for whole */
};

bool deflate_whole(const void *bytes, size_t length)
{
    unsigned char room[ROOM]; /* the text itself is of no interest */
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)length};
    if (length > OBJECT_FILE_MAX || inflateInit(&stream) != Z_OK)
        return false;
    inflateValidate(&stream, 0);
    int result;
    do {
        stream.next_out = room;
        stream.avail_out = sizeof room;
        result = inflate(&stream, Z_NO_FLUSH);
    } while (result == Z_OK); /* at the end of a stream that was cut short zlib says Z_BUF_ERROR */
    inflateEnd(&stream);
    return result == Z_STREAM_END;
}

bool deflate_object_whole(int git, const char *hex)
{
    char name[64];
    snprintf(name, sizeof name, "objects/%.2s/%.38s", hex, hex + 2);
    OWNED char *bytes = NULL;
    size_t length = 0;
    /* A file that is missing or can't be read gets no verdict here: the caller that needs the object says the fault. */
    if (files_read(git, name, OBJECT_FILE_MAX, &bytes, &length, NULL, NULL) != 1)
        return true;
    return deflate_whole(bytes, length);
}
