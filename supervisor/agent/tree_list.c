#include "supervisor/agent/tree_list.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/names.h"

enum {
    BYTES_MOST = 128 * 1024, /* of a list: some two and a half thousand names */
};

/* The time of modification may be set at will, so the hash alone could be forged; nobody can set the time of change. */
struct mark {
    uint64_t hash;
    int64_t changed_ns;
};

struct tree_list {
    struct buffer entries; /* for each name a mark, and the path with its NUL */
    struct mark top;
    int64_t begun_ms, begun_ns, worked_ns;
    bool useless;
};

static struct mark mark_of(const struct stat *status)
{
    struct {
        struct file_stamp stamp;
        uint64_t mode, links, blocks;
    } all = {.stamp = files_stamp(status),
             .mode = status->st_mode,
             .links = status->st_nlink,
             .blocks = (uint64_t)status->st_blocks};
    return (struct mark){.hash = names_hash(&all, sizeof all), .changed_ns = all.stamp.changed_ns};
}

static bool has_mark(const struct stat *status, const struct mark *mark)
{
    struct mark now = mark_of(status);
    return now.hash == mark->hash && now.changed_ns == mark->changed_ns;
}

static void note_time(struct tree_list *list, const struct stat *status)
{
    struct file_stamp stamp = files_stamp(status);
    list->useless = list->useless || !files_stamp_settled(&stamp, list->begun_ns);
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
    struct mark mark = mark_of(status);
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

/* The first name that stands otherwise ends the comparison, so a link that came in a folder's place is not followed. */
static bool all_stand(const struct tree_list *list, int tree)
{
    struct stat status;
    struct mark mark;
    if (fstat(tree, &status) != 0 || !has_mark(&status, &list->top))
        return false;
    const char *at = list->entries.data, *end = at ? at + list->entries.length : NULL;
    for (; at < end; at += strlen(at) + 1) {
        memcpy(&mark, at, sizeof mark);
        at += sizeof mark;
        if (fstatat(tree, at, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0 ||
            !has_mark(&status, &mark))
            return false;
    }
    return true;
}

bool tree_list_stands(struct tree_list *list, int tree, int64_t worked_ns)
{
    if (!all_stand(list, tree))
        return false;
    list->worked_ns = worked_ns;
    return true;
}

bool tree_list_holds(struct tree_list *list, int tree, int64_t worked_ns)
{
    return worked_ns == list->worked_ns || tree_list_stands(list, tree, worked_ns);
}

void tree_list_free(struct tree_list *list)
{
    if (list)
        buffer_free(&list->entries);
    free(list);
}
