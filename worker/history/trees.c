/* Tree objects, edited as the bytes they are: "MODE NAME\0" and twenty bytes of id, sorted. Copies of
 * HEAD's trees that were needed lately are kept by path; a copy is good while its parent names its id, so no copy has to
 * be dropped when people move HEAD. */
#include "worker/history/part.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

enum { COPIES_MAX = 96, COPIES_BYTES_MAX = 128 * 1024 };

struct entry_place {
    size_t at, size; /* of the whole entry; size 0: the entry would stand here */
    uint32_t mode;
    git_oid id;
};

static struct tree_copy *set_find(struct tree_set *set, const char *path, size_t length)
{
    for (size_t i = 0; i < set->count; i++) {
        struct tree_copy *copy = &set->items[i];
        if (copy->path_length == length && memcmp(copy->path, path, length) == 0) {
            copy->used = ++set->clock;
            return copy;
        }
    }
    return NULL;
}

static struct tree_copy *set_add(struct tree_set *set, const char *path, size_t length)
{
    struct tree_copy *copy = MEMORY_ADD(set->items, set->count);
    *copy =
        (struct tree_copy){.path = memory_slice(path, length), .path_length = length, .used = ++set->clock};
    return copy;
}

void tree_set_free(struct tree_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->items[i].path);
        buffer_free(&set->items[i].raw);
    }
    free(set->items);
    *set = (struct tree_set){0};
}

/* Drops the copies that nobody has asked for lately: their folders may be long gone. Drops all, where that isn't enough. */
static void set_trim(struct tree_set *set)
{
    size_t kept = 0;
    if (set->count < COPIES_MAX && set->bytes <= COPIES_BYTES_MAX)
        return;
    for (size_t i = 0; i < set->count; i++) {
        struct tree_copy *copy = &set->items[i];
        if (set->clock - copy->used < 2 * COPIES_MAX) {
            set->items[kept++] = *copy;
            continue;
        }
        set->bytes -= copy->raw.length;
        free(copy->path);
        buffer_free(&copy->raw);
    }
    set->count = kept;
    if (kept > COPIES_MAX * 3 / 4 || set->bytes > COPIES_BYTES_MAX * 3 / 4)
        tree_set_free(set);
}

/* Reads one entry; false at the end, or where the bytes are no entry (then the rest can't be understood). */
static bool entry_at(const struct buffer *raw, size_t at, const char **name, size_t *name_length,
                     struct entry_place *place)
{
    if (at >= raw->length)
        return false;
    const char *nul = memchr(raw->data + at, '\0', raw->length - at);
    if (!nul || (size_t)(raw->data + raw->length - nul) < 1 + GIT_OID_RAWSZ)
        return false;
    const char *blank = raw->data + at;
    place->mode = 0;
    while (*blank >= '0' && *blank <= '7')
        place->mode = place->mode << 3 | (uint32_t)(*blank++ - '0');
    if (*blank != ' ')
        return false;
    *name = blank + 1;
    *name_length = (size_t)(nul - *name);
    git_oid_fromraw(&place->id, (const unsigned char *)nul + 1);
    place->at = at;
    place->size = (size_t)(nul + 1 + GIT_OID_RAWSZ - (raw->data + at));
    return true;
}

/* git's order: a folder sorts as if its name ended in '/'. */
static int order(const char *a, size_t a_length, bool a_folder, const char *b, size_t b_length, bool b_folder)
{
    size_t common = a_length < b_length ? a_length : b_length;
    int difference = memcmp(a, b, common);
    if (difference != 0)
        return difference;
    int a_next = a_length > common ? (unsigned char)a[common] : a_folder ? '/' : 0;
    int b_next = b_length > common ? (unsigned char)b[common] : b_folder ? '/' : 0;
    return a_next - b_next;
}

/* Where the name is, or where it would have to stand as the kind that `folder` says. */
static bool entry_find(const struct buffer *raw, const char *name, size_t length, bool folder,
                       struct entry_place *place)
{
    struct entry_place here = {0};
    size_t at = 0, insert = 0;
    const char *found;
    size_t found_length;
    while (entry_at(raw, at, &found, &found_length, &here)) {
        if (found_length == length && memcmp(found, name, length) == 0) {
            *place = here;
            return true;
        }
        at += here.size;
        if (order(found, found_length, here.mode == FOLDER_MODE, name, length, folder) < 0)
            insert = at;
    }
    *place = (struct entry_place){.at = insert};
    return false;
}

static void splice(struct buffer *raw, size_t at, size_t drop, const void *bytes, size_t length)
{
    buffer_room(raw, length + 1);
    memmove(raw->data + at + length, raw->data + at + drop, raw->length - at - drop);
    if (length > 0)
        memcpy(raw->data + at, bytes, length);
    raw->length = raw->length - drop + length;
    raw->data[raw->length] = '\0';
}

static void entry_remove(struct buffer *raw, const char *name, size_t length)
{
    struct entry_place place;
    if (entry_find(raw, name, length, false, &place))
        splice(raw, place.at, place.size, NULL, 0);
}

static void entry_put(struct buffer *raw, const char *name, size_t length, uint32_t mode, const git_oid *id)
{
    /* Removed first: when a file becomes a folder its place changes. */
    entry_remove(raw, name, length);
    struct entry_place place;
    entry_find(raw, name, length, mode == FOLDER_MODE, &place);
    OWNED_BUFFER struct buffer entry = {0};
    buffer_print(&entry, "%o ", (unsigned)mode);
    buffer_add(&entry, name, length);
    buffer_add(&entry, "\0", 1);
    buffer_add(&entry, id->id, GIT_OID_RAWSZ);
    splice(raw, place.at, 0, entry.data, entry.length);
}

bool tree_of_commit(struct history *history, const git_oid *commit, git_oid *root, struct fault *fault)
{
    *root = (git_oid){0};
    if (object_id_zero(commit))
        return true;
    if (git_oid_equal(commit, &history->head.rooted)) {
        *root = history->head.root;
        return true;
    }
    OWNED_GIT(git_odb_object) git_odb_object *object = NULL;
    if (!object_read(history, commit, GIT_OBJECT_COMMIT, &object, fault))
        return false;
    const char *text = git_odb_object_data(object);
    bool good = git_odb_object_size(object) > 46 && strncmp(text, "tree ", 5) == 0 &&
                git_oid_fromstrn(root, text + 5, GIT_OID_HEXSZ) == 0;
    if (good) {
        history->head.rooted = *commit;
        history->head.root = *root;
    }
    return good || fault_set(fault, "the commit at HEAD has no tree, so the repository can't be read");
}

/* The tree object `id` that stands at path, from the copies or the repository. */
static struct tree_copy *load(struct history *history, const char *path, size_t length, const git_oid *id,
                              struct fault *fault)
{
    struct tree_copy *copy = set_find(&history->trees, path, length);
    if (copy && git_oid_equal(&copy->id, id))
        return copy;
    OWNED_GIT(git_odb_object) git_odb_object *object = NULL;
    if (!object_read(history, id, GIT_OBJECT_TREE, &object, fault))
        return NULL;
    set_trim(&history->trees);
    if (!(copy = set_find(&history->trees, path, length)))
        copy = set_add(&history->trees, path, length);
    copy->id = *id;
    history->trees.bytes -= copy->raw.length;
    copy->raw.length = 0;
    buffer_add(&copy->raw, git_odb_object_data(object), git_odb_object_size(object));
    history->trees.bytes += copy->raw.length;
    return copy;
}

int tree_find(struct history *history, const git_oid *root, const char *path, git_oid *id, uint32_t *mode,
              struct fault *fault)
{
    git_oid at = *root;
    size_t above = 0; /* length of the folder's path */
    for (const char *name = path;;) {
        if (object_id_zero(&at))
            return 0;
        struct tree_copy *copy = load(history, path, above, &at, fault);
        if (!copy)
            return -1;
        const char *slash = strchr(name, '/');
        size_t length = slash ? (size_t)(slash - name) : strlen(name);
        struct entry_place place;
        if (!entry_find(&copy->raw, name, length, false, &place))
            return 0;
        if (!slash) {
            *id = place.id;
            *mode = place.mode;
            return 1;
        }
        if (place.mode != FOLDER_MODE)
            return 0;
        at = place.id;
        above = (size_t)(slash - path);
        name = slash + 1;
    }
}

int tree_of_folder(struct history *history, const char *path, const struct buffer **raw, struct fault *fault)
{
    git_oid root, id;
    uint32_t mode;
    if (!tree_of_commit(history, &history->head.commit, &root, fault))
        return -1;
    int found = tree_find(history, &root, path, &id, &mode, fault);
    if (found <= 0 || mode != FOLDER_MODE)
        return found < 0 ? -1 : 0;
    const struct tree_copy *copy = load(history, path, strlen(path), &id, fault);
    *raw = copy ? &copy->raw : NULL;
    return copy ? 1 : -1;
}

/* The draft of a folder: a copy of what HEAD has there, or empty. */
static struct tree_copy *draft_get(struct history *history, struct tree_set *draft, const char *path,
                                   size_t length, const git_oid *id, struct fault *fault)
{
    struct tree_copy *copy = set_find(draft, path, length);
    if (copy)
        return copy;
    struct tree_copy *base = NULL;
    if (id && !object_id_zero(id) && !(base = load(history, path, length, id, fault)))
        return NULL;
    copy = set_add(draft, path, length);
    if (base) {
        copy->id = base->id;
        buffer_add(&copy->raw, base->raw.data, base->raw.length);
    }
    return copy;
}

/* The draft of the folder that holds path; *name is the part behind path's last slash. */
static struct tree_copy *draft_parent(struct history *history, struct tree_set *draft, const git_oid *root,
                                      const char *path, const char **name, struct fault *fault)
{
    struct tree_copy *folder = draft_get(history, draft, "", 0, root, fault);
    *name = path;
    for (const char *slash; folder && (slash = strchr(*name, '/')) != NULL; *name = slash + 1) {
        struct entry_place place;
        bool there = entry_find(&folder->raw, *name, (size_t)(slash - *name), true, &place);
        bool is_folder = there && place.mode == FOLDER_MODE;
        folder = draft_get(history, draft, path, (size_t)(slash - path), is_folder ? &place.id : NULL, fault);
    }
    return folder;
}

static void mark(struct tree_set *draft, const char *path)
{
    set_find(draft, "", 0)->changed = true;
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
        set_find(draft, path, (size_t)(slash - path))->changed = true;
}

static bool removes(enum change_kind kind)
{
    return kind == CHANGE_REMOVE || kind == CHANGE_RECORD_REMOVED || kind == CHANGE_UNTRACK;
}

static bool do_step(struct history *history, struct work *work, struct tree_set *draft, const git_oid *root,
                    struct step *step, bool *effective, struct fault *fault)
{
    const char *name;
    struct tree_copy *folder = draft_parent(history, draft, root, step->path, &name, fault);
    if (!folder)
        return false;
    struct entry_place place;
    bool there = entry_find(&folder->raw, name, strlen(name), false, &place) && place.mode != FOLDER_MODE;
    if (there) {
        step->before = place.id;
        step->mode = place.mode == 0100755 ? place.mode : FILE_MODE;
    } else
        step->mode = FILE_MODE;
    if (removes(step->kind)) {
        if (!there)
            return step->length == 0 ||
                   object_hash(GIT_OBJECT_BLOB, step->text, step->length, &step->before, fault);
        entry_remove(&folder->raw, name, strlen(name));
    } else {
        if (!object_hash(GIT_OBJECT_BLOB, step->text, step->length, &step->after, fault))
            return false;
        if (there && git_oid_equal(&step->after, &step->before) && place.mode == step->mode)
            return true;
        object_add_known(&work->objects, GIT_OBJECT_BLOB, &step->after, (char *)(uintptr_t)step->text,
                         step->length, false);
        entry_put(&folder->raw, name, strlen(name), step->mode, &step->after);
    }
    mark(draft, step->path);
    *effective = true;
    return true;
}

static size_t depth(const char *path)
{
    size_t n = *path != '\0';
    for (; *path; path++)
        n += *path == '/';
    return n;
}

/* Writes the changed folders' new trees into their parents, deepest first; an empty folder vanishes. */
static bool seal(struct work *work, struct tree_set *draft, git_oid *root, struct fault *fault)
{
    size_t deepest = 0;
    for (size_t i = 0; i < draft->count; i++)
        if (depth(draft->items[i].path) > deepest)
            deepest = depth(draft->items[i].path);
    for (size_t level = deepest + 1; level-- > 0;)
        for (size_t i = 0; i < draft->count; i++) {
            struct tree_copy *copy = &draft->items[i];
            if (!copy->changed || depth(copy->path) != level)
                continue;
            char *slash = strrchr(copy->path, '/');
            const char *name = slash ? slash + 1 : copy->path;
            struct tree_copy *parent =
                level == 0 ? NULL : set_find(draft, copy->path, slash ? (size_t)(slash - copy->path) : 0);
            if (copy->raw.length == 0 && parent) {
                entry_remove(&parent->raw, name, strlen(name));
                copy->id = (git_oid){0};
                continue;
            }
            buffer_room(&copy->raw, 1);
            struct object *object =
                object_add(&work->objects, GIT_OBJECT_TREE, copy->raw.data, copy->raw.length, false, fault);
            if (!object)
                return false;
            copy->id = object->id;
            if (parent)
                entry_put(&parent->raw, name, strlen(name), FOLDER_MODE, &copy->id);
        }
    *root = set_find(draft, "", 0)->id;
    return true;
}

bool tree_build(struct history *history, struct work *work, struct tree_set *draft, git_oid *root,
                bool *effective, struct fault *fault)
{
    git_oid base;
    *effective = false;
    if (!tree_of_commit(history, &work->parent, &base, fault))
        return false;
    struct tree_copy *top = draft_get(history, draft, "", 0, &base, fault);
    if (!top)
        return false;
    for (size_t i = 0; i < work->step_count; i++)
        if (!do_step(history, work, draft, &base, &work->steps[i], effective, fault))
            return false;
    /* The first commit needs a tree object even when it is empty. */
    if (object_id_zero(&base))
        set_find(draft, "", 0)->changed = true;
    return seal(work, draft, root, fault);
}

void tree_keep(struct history *history, struct tree_set *draft)
{
    for (size_t i = 0; i < draft->count; i++) {
        struct tree_copy *fresh = &draft->items[i];
        if (!fresh->changed || object_id_zero(&fresh->id))
            continue;
        struct tree_copy *copy = set_find(&history->trees, fresh->path, strlen(fresh->path));
        if (!copy)
            copy = set_add(&history->trees, fresh->path, strlen(fresh->path));
        history->trees.bytes += fresh->raw.length;
        history->trees.bytes -= copy->raw.length;
        buffer_free(&copy->raw);
        copy->id = fresh->id;
        copy->raw = fresh->raw;
        fresh->raw = (struct buffer){0};
    }
    set_trim(&history->trees);
}
