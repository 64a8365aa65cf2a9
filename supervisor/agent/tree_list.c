#include "supervisor/agent/tree_list.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/memory.h"
#include "common/names.h"

enum {
    BYTES_MOST = 128 * 1024, /* of one list: some three thousand names */
    COARSE_NS = 100 * 1000 * 1000
};

struct tree_list {
    struct buffer entries; /* a mark, and the path with its NUL, of each */
    uint64_t top;          /* the top's mark */
    int64_t begun_ms, begun_ns, worked_ns;
    bool useless;
};

static uint64_t mark_of(const struct stat *status)
{
    struct {
        struct file_stamp stamp;
        uint64_t mode, links, blocks;
    } all = {.stamp = files_stamp(status),
             .mode = status->st_mode,
             .links = status->st_nlink,
             .blocks = (uint64_t)status->st_blocks};
    return names_hash(&all, sizeof all);
}

/* The kernel's times are too coarse to tell what comes right after a change. */
static void note_time(struct tree_list *list, const struct stat *status)
{
    list->useless = list->useless || files_stamp(status).changed_ns >= list->begun_ns - COARSE_NS;
}

struct tree_list *tree_list_new(const struct stat *top)
{
    struct tree_list *list = memory_new(1, sizeof *list);
    *list = (struct tree_list){
        .top = mark_of(top), .begun_ms = clock_monotonic_ms(), .begun_ns = clock_kernel_ns()};
    note_time(list, top);
    return list;
}

void tree_list_add(struct tree_list *list, const char *path, const struct stat *status)
{
    uint64_t mark = mark_of(status);
    note_time(list, status);
    list->useless = list->useless || list->entries.length > BYTES_MOST;
    if (list->useless)
        return;
    buffer_add(&list->entries, &mark, sizeof mark);
    buffer_add(&list->entries, path, strlen(path) + 1);
}

struct tree_list *tree_list_end(struct tree_list *list, int64_t worked_ns)
{
    if (!list->useless) {
        list->worked_ns = worked_ns;
        return list;
    }
    tree_list_free(list);
    return NULL;
}

int64_t tree_list_begun_ms(const struct tree_list *list)
{
    return list->begun_ms;
}

/* The first name that stands otherwise ends it, so a link that came in a folder's place is not followed. */
static bool all_stand(const struct tree_list *list, int tree)
{
    struct stat status;
    uint64_t mark;
    if (fstat(tree, &status) != 0 || mark_of(&status) != list->top)
        return false;
    const char *at = list->entries.data, *end = at ? at + list->entries.length : NULL;
    for (; at < end; at += strlen(at) + 1) {
        memcpy(&mark, at, sizeof mark);
        at += sizeof mark;
        if (fstatat(tree, at, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0 ||
            mark_of(&status) != mark)
            return false;
    }
    return true;
}

bool tree_list_holds(struct tree_list *list, int tree, int64_t worked_ns)
{
    if (worked_ns != list->worked_ns && !all_stand(list, tree))
        return false;
    list->worked_ns = worked_ns;
    return true;
}

void tree_list_free(struct tree_list *list)
{
    if (list)
        buffer_free(&list->entries);
    free(list);
}
