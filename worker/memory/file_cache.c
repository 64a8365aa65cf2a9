#include "worker/memory/file_cache.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"

enum {
    TEXTS_MAX = 4,
    KEPT_MAX = 64 * 1024, /* bytes; larger ones are read each time */
    GRAIN_MS = 20,        /* a younger stamp may stay the same over another change */
};

struct kept {
    const char *path;
    struct file_stamp stamp;
    bool fresh;
    char *text; /* owned */
    size_t length;
};

struct texts {
    int tree;
    struct kept items[TEXTS_MAX];
    size_t next; /* the one that makes room for another */
};

struct texts *texts_open(int tree)
{
    struct texts *texts = memory_new(1, sizeof *texts);
    texts->tree = tree;
    return texts;
}

static void forget(struct kept *kept)
{
    free(kept->text);
    *kept = (struct kept){0};
}

void texts_close(struct texts *texts)
{
    for (size_t i = 0; texts && i < TEXTS_MAX; i++)
        forget(&texts->items[i]);
    free(texts);
}

static struct kept *find(struct texts *texts, const char *path)
{
    for (size_t i = 0; i < TEXTS_MAX; i++)
        if (texts->items[i].path && strcmp(texts->items[i].path, path) == 0)
            return &texts->items[i];
    struct kept *kept = &texts->items[texts->next++ % TEXTS_MAX];
    forget(kept);
    kept->path = path;
    return kept;
}

int texts_read(struct texts *texts, const char *path, size_t limit, const char **text, size_t *length,
               struct fault *fault)
{
    struct kept *kept = find(texts, path);
    struct file_stamp now = files_stamp_at(texts->tree, path);
    bool same = kept->text && !kept->fresh && kept->length <= KEPT_MAX && kept->length <= limit &&
                files_stamp_equal(&now, &kept->stamp);
    int read = 1;
    if (!same) {
        forget(kept);
        kept->path = path;
        read = files_read(texts->tree, path, limit, &kept->text, &kept->length, &kept->stamp, fault);
        kept->fresh = clock_now_ms() - kept->stamp.changed_ns / 1000000 < GRAIN_MS;
    }
    *text = kept->text;
    *length = kept->length;
    return read;
}
