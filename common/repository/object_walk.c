#include "common/repository/object_walk.h"
#include "common/repository/commits.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/repository/deflate.h"
#include "common/repository/strict.h"

#define NOT_STRICT "is written as `git fsck --strict` doesn't take it"

struct step {
    git_oid oid;
    git_object_t kind;
    bool attributes; /* the blob is a file of git's attributes */
};

struct object_walk {
    git_repository *repository;
    git_odb *odb; /* owned */
    int git;      /* its folder */
    bool foreign;
    const char *where;
    struct buffer *findings;
    size_t bad;
    size_t commits, most;           /* so many are followed at most */
    void (*looked)(size_t objects); /* NULL: no report */
    struct step *steps;             /* yet to be looked at */
    size_t step_count;
    git_oid *seen; /* open addressing; all zero: free */
    size_t seen_count, seen_room;
};

/* An object's id is a hash already: its first bytes serve. */
static git_oid *place(git_oid *seen, size_t room, const git_oid *oid)
{
    size_t at = 0;
    memcpy(&at, oid->id, sizeof(at));
    for (at %= room; !git_oid_is_zero(&seen[at]) && !git_oid_equal(&seen[at], oid);)
        at = (at + 1) % room;
    return &seen[at];
}

static void grow_seen(struct object_walk *walk)
{
    size_t room = walk->seen_room == 0 ? 1024 : walk->seen_room * 2;
    git_oid *seen = memory_new(room, sizeof(*seen));
    for (size_t i = 0; i < walk->seen_room; i++)
        if (!git_oid_is_zero(&walk->seen[i]))
            *place(seen, room, &walk->seen[i]) = walk->seen[i];
    free(walk->seen);
    walk->seen = seen;
    walk->seen_room = room;
}

/* A blob may be a file of attributes in one tree and any other in another: the former has a place of its own. */
static void add_step(struct object_walk *walk, const struct step *step)
{
    git_oid key = step->oid;
    for (size_t i = 0; step->attributes && i < sizeof key.id; i++)
        key.id[i] ^= 0xff;
    if ((walk->seen_count + 1) * 2 > walk->seen_room)
        grow_seen(walk);
    git_oid *spot = place(walk->seen, walk->seen_room, &key);
    if (!git_oid_is_zero(spot))
        return;
    *spot = key;
    walk->seen_count++;
    *MEMORY_ADD(walk->steps, walk->step_count) = *step;
}

static void add_object(struct object_walk *walk, const git_oid *oid, git_object_t kind)
{
    add_step(walk, &(struct step){.oid = *oid, .kind = kind});
}

static void find(struct object_walk *walk, const struct step *step, const char *what)
{
    if (walk->bad++ < OBJECT_WALK_FINDINGS_MAX)
        buffer_print(walk->findings, "%s: %s %s %s\n", walk->where, git_object_type2string(step->kind),
                     git_oid_tostr_s(&step->oid), what);
}

static void follow_commit(struct object_walk *walk, const struct step *step)
{
    OWNED_GIT(git_commit) git_commit *commit = NULL;
    if (git_commit_lookup(&commit, walk->repository, &step->oid) != 0) {
        find(walk, step, "is no valid commit");
        return;
    }
    add_object(walk, git_commit_tree_id(commit), GIT_OBJECT_TREE);
    walk->commits++;
    for (unsigned i = 0; walk->commits < walk->most && i < git_commit_parentcount(commit); i++)
        add_object(walk, git_commit_parent_id(commit, i), GIT_OBJECT_COMMIT);
}

static void follow_tag(struct object_walk *walk, const struct step *step)
{
    git_tag *tag = NULL;
    if (git_tag_lookup(&tag, walk->repository, &step->oid) != 0) {
        find(walk, step, "is no valid tag");
        return;
    }
    add_object(walk, git_tag_target_id(tag), git_tag_target_type(tag));
    git_tag_free(tag);
}

/* A name that may become a file or a folder on our disk. Git refuses a folder in place of its attributes; its list of
 * submodules, which no agent has, may name commands. */
static bool is_harmless(const git_tree_entry *entry)
{
    const char *name = git_tree_entry_name(entry);
    size_t length = strlen(name);
    git_filemode_t mode = git_tree_entry_filemode_raw(entry);
    bool folder = mode == GIT_FILEMODE_TREE;
    bool kind = folder || mode == GIT_FILEMODE_BLOB || mode == GIT_FILEMODE_BLOB_EXECUTABLE;
    return kind && length > 0 && length <= NAME_MAX && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strchr(name, '/') == NULL && !strict_is_git(name) && !(folder && strict_is_attributes(name));
}

static void follow_tree(struct object_walk *walk, const struct step *step, size_t length)
{
    OWNED_GIT(git_tree) git_tree *tree = NULL;
    if (git_tree_lookup(&tree, walk->repository, &step->oid) != 0) {
        find(walk, step, "is no valid tree");
        return;
    }
    if (walk->foreign && !strict_tree(tree, length))
        find(walk, step, NOT_STRICT);
    for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
        const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
        if (walk->foreign && !is_harmless(entry)) {
            find(walk, step, "holds a link, a submodule or a name that no agent's tree may have");
            continue;
        }
        if (git_tree_entry_type(entry) == GIT_OBJECT_COMMIT) /* a submodule's commit lies elsewhere */
            continue;
        add_step(walk, &(struct step){.oid = *git_tree_entry_id(entry),
                                      .kind = git_tree_entry_type(entry),
                                      .attributes =
                                          walk->foreign && strict_is_attributes(git_tree_entry_name(entry))});
    }
}

/* git_odb_read hashes the object that it read and compares (strict hash verification is libgit2's default). */
static void look(struct object_walk *walk, const struct step *step)
{
    OWNED_GIT(git_odb_object) git_odb_object *object = NULL;
    git_object_t type;
    size_t length;
    char hex[GIT_OID_HEXSZ + 1];
    if (!deflate_object_whole(walk->git, git_oid_tostr(hex, sizeof hex, &step->oid))) {
        find(walk, step, "is cut short");
        return;
    }
    if (walk->foreign && git_odb_read_header(&length, &type, walk->odb, &step->oid) == 0 &&
        length > OBJECT_WALK_OBJECT_MAX) {
        find(walk, step, "is larger than 64 MiB");
        return;
    }
    int got = git_odb_read(&object, walk->odb, &step->oid);
    if (got != 0) {
        find(walk, step, got == GIT_ENOTFOUND ? "is missing" : "is damaged");
        return;
    }
    git_object_t kind = git_odb_object_type(object);
    size_t size = git_odb_object_size(object);
    bool head = walk->foreign && (kind == GIT_OBJECT_COMMIT || kind == GIT_OBJECT_TAG);
    if ((head && !strict_head(git_odb_object_data(object), size)) ||
        (step->attributes && !strict_attributes(git_odb_object_data(object), size)))
        find(walk, step, NOT_STRICT);
    if (kind != step->kind)
        find(walk, step, "is of another kind");
    else if (kind == GIT_OBJECT_COMMIT)
        follow_commit(walk, step);
    else if (kind == GIT_OBJECT_TREE)
        follow_tree(walk, step, size);
    else if (kind == GIT_OBJECT_TAG)
        follow_tag(walk, step);
}

/* A ref may name any object; a ref that leads nowhere is looked for as a commit. */
static git_object_t kind_of(const struct object_walk *walk, const git_oid *oid)
{
    size_t length;
    git_object_t kind;
    char hex[GIT_OID_HEXSZ + 1];
    bool known = deflate_object_whole(walk->git, git_oid_tostr(hex, sizeof hex, oid)) &&
                 git_odb_read_header(&length, &kind, walk->odb, oid) == 0;
    return known ? kind : GIT_OBJECT_COMMIT;
}

static size_t check_from(struct object_walk *walk, const git_oid *tips, size_t count)
{
    size_t done = 0;
    OWNED_FD int git = open(git_repository_path(walk->repository), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    walk->git = git;
    if (git_repository_odb(&walk->odb, walk->repository) != 0) {
        buffer_print(walk->findings, "%s: its objects cannot be read\n", walk->where);
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        add_object(walk, &tips[i], kind_of(walk, &tips[i]));
    while (walk->step_count > 0) {
        struct step step = walk->steps[--walk->step_count];
        look(walk, &step);
        if (walk->looked != NULL)
            walk->looked(++done);
    }
    if (walk->bad > OBJECT_WALK_FINDINGS_MAX)
        buffer_print(walk->findings, "%s: %zu more objects are missing or damaged\n", walk->where,
                     walk->bad - OBJECT_WALK_FINDINGS_MAX);
    git_odb_free(walk->odb);
    free(walk->steps);
    free(walk->seen);
    return walk->seen_count;
}

size_t object_walk_check_from(git_repository *repository, const git_oid *tips, size_t count, bool foreign,
                              const char *where, struct buffer *findings)
{
    struct object_walk walk = {
        .repository = repository, .foreign = foreign, .where = where, .findings = findings, .most = SIZE_MAX};
    return check_from(&walk, tips, count);
}

size_t object_walk_check(git_repository *repository, size_t most, void (*looked)(size_t objects),
                         const char *where, struct buffer *findings)
{
    git_oid head;
    struct object_walk walk = {
        .repository = repository, .where = where, .findings = findings, .most = most, .looked = looked};
    if (git_reference_name_to_id(&head, repository, "HEAD") != 0) {
        buffer_print(findings, "%s: HEAD leads to no commit\n", where);
        return 0;
    }
    return check_from(&walk, &head, 1);
}
