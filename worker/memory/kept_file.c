#include "worker/memory/kept_file.h"

#include <stdlib.h>

#include "common/clock.h"

enum { KEPT_MOST = 16 * 1024 /* bytes: very many workers may wait for work */ };

void kept_file_free(struct kept_file *file)
{
    free(file->text);
    *file = (struct kept_file){0};
}

/* A file that has changed within the kernel's tick before the reading may change again under the same stamp: its text
 * serves this once. */
int kept_file_read(struct kept_file *file, int tree, const char *path, size_t limit, struct fault *fault)
{
    if (file->stamp.inode) {
        struct file_stamp now = files_stamp_at(tree, path);
        if (files_stamp_equal(&now, &file->stamp))
            return 1;
    }
    kept_file_free(file);
    struct file_stamp stamp;
    int64_t begun_ns = clock_kernel_ns();
    int read = files_read(tree, path, limit, &file->text, &file->length, &stamp, fault);
    if (read == 1 && file->length <= KEPT_MOST && files_stamp_settled(&stamp, begun_ns))
        file->stamp = stamp;
    return read;
}
