/* Objects of the repository. Loose ones are written here, not by libgit2: as stored (uncompressed) zlib streams,
 * which every git reads, since they live only until the next pack and compressing costs more than a cycle's flush. */
#include "worker/history/part.h"

#include <endian.h>

#include <errno.h>
#include <fcntl.h>
#include <sha1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/repository/deflate.h"

enum { STORED_MAX = 65535 };

/* A tree is made of ids, which nobody can choose to build a collision of, so it needs no SHA-1 that looks for one;
 * libgit2's does, and takes three times as long. */
static void hash_tree(const void *data, size_t length, git_oid *id)
{
    char header[32];
    int n = snprintf(header, sizeof header, "tree %zu", length);
    SHA1_CTX context;
    SHA1Init(&context);
    SHA1Update(&context, (const unsigned char *)header, (size_t)n + 1);
    SHA1Update(&context, data, length);
    SHA1Final(id->id, &context);
}

bool object_hash(git_object_t type, const void *data, size_t length, git_oid *id, struct fault *fault)
{
    if (type == GIT_OBJECT_TREE) {
        hash_tree(data, length, id);
        return true;
    }
    if (git_odb_hash(id, data, length, type) == 0)
        return true;
    return commits_fault(fault, "an object can't be hashed");
}

struct object *object_add(struct object_list *list, git_object_t type, char *data, size_t length, bool take,
                          struct fault *fault)
{
    git_oid id;
    if (object_hash(type, data, length, &id, fault))
        return object_add_known(list, type, &id, data, length, take);
    if (take)
        free(data);
    return NULL;
}

struct object *object_add_known(struct object_list *list, git_object_t type, const git_oid *id, char *data,
                                size_t length, bool take)
{
    struct object *object = MEMORY_ADD(list->items, list->count);
    *object = (struct object){.type = type, .id = *id, .data = data, .length = length, .borrowed = !take};
    return object;
}

void object_list_free(struct object_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (!list->items[i].borrowed)
            free(list->items[i].data);
    free(list->items);
    *list = (struct object_list){0};
}

/* A zlib stream of stored blocks (RFC 1951, 3.2.4). */
void object_store(const char *bytes, size_t length, struct buffer *out)
{
    buffer_room(out, length + length / STORED_MAX * 5 + 16);
    buffer_add(out, "\x78\x01", 2);
    size_t left = length;
    const char *at = bytes;
    do {
        size_t n = left < STORED_MAX ? left : STORED_MAX;
        unsigned char head[5] = {n == left, n & 0xff, (unsigned char)(n >> 8), ~n & 0xff,
                                 (unsigned char)(~n >> 8)};
        buffer_add(out, head, sizeof head);
        buffer_add(out, at, n);
        at += n;
        left -= n;
    } while (left > 0);
    uint32_t sum = (uint32_t)adler32_z(1, (const Bytef *)bytes, length);
    unsigned char tail[4] = {(unsigned char)(sum >> 24), (unsigned char)(sum >> 16),
                             (unsigned char)(sum >> 8), (unsigned char)sum};
    buffer_add(out, tail, sizeof tail);
}

static void loose_names(const git_oid *id, char name[64], char temporary[64])
{
    char text[COMMIT_TEXT];
    git_oid_tostr(text, sizeof text, id);
    snprintf(name, 64, "objects/%.2s/%s", text, text + 2);
    /* git's own prefix: `git gc` removes a leftover by its age. */
    snprintf(temporary, 64, "objects/%.2s/tmp_obj_agentos", text);
}

static int open_temporary(struct history *history, const char *temporary)
{
    for (int tries = 0; tries < 4; tries++) {
        int fd = openat(history->folders.git, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                        0444);
        if (fd >= 0)
            return fd;
        if (errno == EEXIST)
            unlinkat(history->folders.git, temporary, 0);
        else if (errno == ENOENT) {
            OWNED char *folder = memory_slice(temporary, strlen("objects/xx"));
            if (mkdirat(history->folders.git, folder, 0755) != 0 && errno != EEXIST)
                return -1;
        } else
            return -1;
    }
    return -1;
}

/* A name under objects/ always stands for a whole object, also when we are killed here: the content is written under
 * another name first. (A power cut may leave the name with an empty file; redo repairs that.) */
static bool write_loose(struct history *history, const struct object *object, bool replace,
                        struct fault *fault)
{
    char name[64], temporary[64], header[32];
    loose_names(&object->id, name, temporary);
    int n = snprintf(header, sizeof header, "%s %zu", git_object_type2string(object->type), object->length);
    OWNED_BUFFER struct buffer plain = {0}, stored = {0};
    buffer_room(&plain, object->length + 40);
    buffer_add(&plain, header, (size_t)n + 1);
    buffer_add(&plain, object->data, object->length);
    object_store(plain.data, plain.length, &stored);
    OWNED_FD int fd = open_temporary(history, temporary);
    if (fd < 0)
        return fault_errno(fault, "cannot write into .git/objects, the commit was not made");
    if (!files_write_all(fd, stored.data, stored.length)) {
        fault_errno(fault, "cannot write an object of %zu bytes, the commit was not made", object->length);
        unlinkat(history->folders.git, temporary, 0);
        return false;
    }
    if (renameat2(history->folders.git, temporary, history->folders.git, name,
                  replace ? 0 : RENAME_NOREPLACE) == 0)
        return true;
    if (errno == EEXIST) {
        /* The object is there already. A fresh time keeps a `git gc --prune` of this moment away from it. */
        unlinkat(history->folders.git, temporary, 0);
        utimensat(history->folders.git, name, NULL, AT_SYMLINK_NOFOLLOW);
        return true;
    }
    if (errno == EINVAL && renameat(history->folders.git, temporary, history->folders.git, name) == 0)
        return true;
    fault_errno(fault, "cannot name an object, the commit was not made");
    unlinkat(history->folders.git, temporary, 0);
    return false;
}

bool object_write_loose(struct history *history, const struct object *object, struct fault *fault)
{
    return write_loose(history, object, false, fault);
}

/* A loose object that was cut short (a power cut, a full disk) must not reach libgit2, which would read in it for ever.
 * Such an object is worth nothing: it gets a name that `git gc` removes, so that a packed copy is found, or the object
 * is missing and the caller says so. */
static void drop_torn(struct history *history, const git_oid *id)
{
    char text[COMMIT_TEXT], name[64], temporary[64];
    git_oid_tostr(text, sizeof text, id);
    if (deflate_object_whole(history->folders.git, text))
        return;
    loose_names(id, name, temporary);
    log_warn("agent", history->agent, "The git object %s is cut short; it is set aside as .git/%s.", text,
             temporary);
    renameat(history->folders.git, name, history->folders.git, temporary);
}

void object_word(struct buffer *out, uint32_t number)
{
    number = htobe32(number);
    buffer_add(out, &number, sizeof number);
}

bool object_sound(struct history *history, const git_oid *id)
{
    drop_torn(history, id);
    OWNED_GIT(git_odb_object) git_odb_object *object = NULL;
    git_odb *objects = history_objects(history, NULL);
    if (!objects || git_odb_read(&object, objects, id) != 0)
        return false; /* missing, torn, or its content isn't what its name says (libgit2 verifies the hash) */
    return true;
}

bool object_present(struct history *history, const git_oid *id)
{
    git_odb *objects = history_objects(history, NULL);
    return objects && git_odb_exists(objects, id) == 1;
}

bool object_look_counts(struct history *history)
{
    enum { NEEDED = 4 /* libgit2 has two open at a time while it looks for an object */ };
    int spares[NEEDED];
    bool enough = true;
    history_close_objects(history);
    for (int i = 0; i < NEEDED; i++) {
        spares[i] = openat(history->folders.git, "objects", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        enough = enough && (spares[i] >= 0 || (errno != EMFILE && errno != ENFILE));
    }
    for (int i = 0; i < NEEDED; i++)
        memory_close_at(&spares[i]);
    return enough;
}

bool object_repair(struct history *history, const struct object *object, struct fault *fault)
{
    return object_sound(history, &object->id) || write_loose(history, object, true, fault);
}

bool object_read(struct history *history, const git_oid *id, git_object_t type, git_odb_object **object,
                 struct fault *fault)
{
    *object = NULL;
    char text[COMMIT_TEXT];
    git_oid_tostr(text, sizeof text, id);
    git_odb *objects = history_objects(history, fault);
    if (!objects)
        return false;
    drop_torn(history, id);
    if (git_odb_read(object, objects, id) != 0)
        return commits_fault(fault, "the repository's object %s can't be read", text);
    if (git_odb_object_type(*object) == type)
        return true;
    git_odb_object_free(*object);
    *object = NULL;
    return fault_set(fault, "the repository's object %s is no %s", text, git_object_type2string(type));
}
