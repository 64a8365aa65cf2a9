#include "common/guard/git_guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/guard/git_config.h"
#include "common/guard/pack_index.h"
#include "common/listing.h"
#include "common/memory.h"

enum {
    SAID_MAX = 20,
    ASIDE_MAX = 64,
    DEPTH_MAX = 32,
    LOCK_STALE_SECONDS = 10,
    REF_BYTES = 4 * 1024,
    TEXT_BYTES = 1024 * 1024,
    CONFIG_BYTES = 256 * 1024,
    ALL_TEXT_BYTES = 8 * 1024 * 1024,
    LIST_BYTES = 16 * 1024 * 1024,
    INDEX_BYTES = 256 * 1024 * 1024, /* some two million files */
    FINDING_COST = 32,
    TEXT_COST_BYTES = 1024, /* of a text cost as much as a name */
    PART_COST = 256,        /* is looked at in any case, however slow the machine is now */
};

/* A folder's role for git. */
enum place {
    WORK,
    GIT,
    HOOKS,
    INFO,
    OBJECTS,
    OBJECTS_INFO,
    OBJECT_FILES,
    PACKS,
    REFS,
    REMOTES,
    REBASE,
    WORKTREES,
    OTHER
};

struct folder {
    int fd;     /* listing's, or the tree's */
    char *path; /* below the tree; "" is the tree. Owned */
    enum place place;
    struct listing *names; /* owned; NULL: the folder can't be listed */
    bool whole;            /* the tree's own .git, with a HEAD */
};

struct guard {
    struct guard_look look;
    char *agents; /* look's; owned */
    struct buffer said;
    int tree;
    int aside; /* GUARD_ASIDE; -1: not open */
    size_t found, seen, text_bytes;
    uint64_t cost; /* of a part: a name is one */
    struct guard_texts texts;
    struct folder folders[DEPTH_MAX + 1]; /* each lies in the folder before it */
    size_t depth;
};

/* --- taking out --- */

static void __attribute__((format(printf, 2, 3))) say(struct guard *guard, const char *format, ...)
{
    va_list arguments;
    char text[1024];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *at = text; *at; at++) /* a file's name may have a line end */
        if ((unsigned char)*at < ' ' || *at == '\x7f')
            *at = '?';
    guard->cost += FINDING_COST;
    if (guard->found++ < SAID_MAX)
        buffer_print(&guard->said, "%s\n", text);
}

/* most: the worker may have put any number there */
static size_t count_entries(int folder, size_t most)
{
    size_t count = 0;
    int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    OWNED_LISTING struct listing *names = listing_take(again, GUARD_ASIDE, NULL);
    while (names && count < most && listing_next(names))
        count++;
    return count;
}

/* A new name in the folder of findings that are set aside; NULL: the folder can't be opened, or is full. Caller
 * frees. */
static char *aside_name(struct guard *guard, const char *name)
{
    struct stat status;
    if (guard->aside < 0)
        guard->aside = files_open_folder(guard->tree, GUARD_ASIDE, true, NULL);
    if (guard->aside < 0)
        return NULL;
    long long now = (long long)clock_now();
    for (unsigned i = 0; i < ASIDE_MAX; i++) {
        char *aside =
            i ? memory_print("%lld-%u-%.200s", now, i, name) : memory_print("%lld-%.200s", now, name);
        if (fstatat(guard->aside, aside, &status, AT_SYMLINK_NOFOLLOW) != 0)
            return aside;
        memory_free_at(&aside);
    }
    return NULL;
}

static bool is_full(const struct guard *guard)
{
    return guard->aside >= 0 && count_entries(guard->aside, ASIDE_MAX) == ASIDE_MAX;
}

/* Beside its place, under a name that git gives no meaning to, where .agentos can't be written. */
static bool put_beside(const struct folder *folder, const char *name, char **where)
{
    OWNED char *beside = memory_print("%.200s.set-aside-%lld", name, (long long)clock_now());
    if (renameat2(folder->fd, name, folder->fd, beside, RENAME_NOREPLACE) != 0)
        return false;
    *where = memory_print("%s%s%s", folder->path, *folder->path ? "/" : "", beside);
    return true;
}

/* The path where the file lies now; NULL and errno: the file could not be moved. Caller frees. */
static char *take_out(struct guard *guard, const struct folder *folder, const char *name)
{
    char *where = NULL;
    OWNED char *aside = aside_name(guard, name);
    if (is_full(guard) && unlinkat(folder->fd, name, 0) == 0)
        return memory_text("");
    if (aside && renameat2(folder->fd, name, guard->aside, aside, RENAME_NOREPLACE) == 0) {
        where = memory_print(GUARD_ASIDE "/%s", aside);
        fsync(guard->aside);
    } else if (!put_beside(folder, name, &where)) {
        return NULL;
    }
    fsync(folder->fd);
    return where;
}

/* could: "would be run by git as a hook". own: how a person does the same; "": no need. */
static void find(struct guard *guard, const struct folder *folder, const char *name, const char *could,
                 const char *own)
{
    const char *slash = *folder->path ? "/" : "";
    if (!guard->look.take) {
        say(guard, "%s%s%s %s", folder->path, slash, name, could);
        return;
    }
    OWNED char *where = take_out(guard, folder, name);
    if (!where)
        say(guard, "%s%s%s %s, and can't be moved away: %s", folder->path, slash, name, could,
            strerror(errno));
    else
        say(guard, "%s%s%s %s; it %s%s now%s", folder->path, slash, name, could,
            *where ? "lies in " : "is removed, as so much lies in " GUARD_ASIDE, where, own);
}

/* No look can conclude anything from a file or folder that there was no descriptor for. */
static void say_unseen(struct guard *guard, const struct folder *folder, const char *name)
{
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
        say(guard, "%s%s%s can't be looked into now: %s", folder->path, *folder->path ? "/" : "", name,
            strerror(errno));
}

/* --- files whose text matters --- */

/* The text of a file that is small enough; NULL: the file is a finding, or is gone. Caller frees. */
static char *read_text(struct guard *guard, const struct folder *folder, const char *name, size_t *length)
{
    char *text = NULL;
    bool config = strcmp(name, "config") == 0, own = config && strcmp(folder->path, ".git") == 0;
    if (guard->text_bytes > ALL_TEXT_BYTES) {
        find(guard, folder, name, "is one of more such files than can be read", "");
        return NULL;
    }
    int got = files_read(folder->fd, name, config ? CONFIG_BYTES : TEXT_BYTES, &text, length, NULL, NULL);
    guard->texts.others += !own;
    if (got < 0 && (files_lasting(errno) || errno == EWOULDBLOCK)) /* the latter: a lease is on the file */
        find(guard, folder, name,
             config ? "can't be read as a file of at most 256 KiB"
                    : "can't be read as a file of at most 1 MiB",
             "");
    else if (got < 0)
        say_unseen(guard, folder, name);
    if (got != 1)
        return NULL;
    guard->text_bytes += *length;
    guard->cost += *length / TEXT_COST_BYTES;
    if (own)
        buffer_add(&guard->texts.config, text, *length);
    return text;
}

#define OWN_CONFIG                                                                                           \
    "; a person who set that writes it to a file of their own, which git reads too: git config --global "    \
    "KEY "                                                                                                   \
    "VALUE"

/* Under git's own lock where it is free: a person's `git config` and this change don't undo each other. */
static bool write_config(const struct folder *folder, const struct buffer *kept, struct fault *fault)
{
    int lock = openat(folder->fd, "config.lock", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    bool good = files_write(folder->fd, "config", kept->data ? kept->data : "", kept->length, true, fault);
    if (lock >= 0) {
        close(lock);
        unlinkat(folder->fd, "config.lock", 0);
    }
    return good;
}

static bool keep_copy(struct guard *guard, const char *text, size_t length, char **where)
{
    OWNED char *aside = aside_name(guard, "config");
    bool full = is_full(guard);
    *where = full ? memory_text("is not kept, as so much lies in " GUARD_ASIDE)
                  : memory_print("lies whole in " GUARD_ASIDE "/%s", aside ? aside : "");
    return full || (aside && files_write(guard->aside, aside, text, length, true, NULL));
}

static void look_config(struct guard *guard, const struct folder *folder)
{
    OWNED_BUFFER struct buffer kept = {0}, refused = {0};
    size_t length = 0;
    OWNED char *text = read_text(guard, folder, "config", &length);
    if (!text || git_config_filter(text, length, guard->look.agents, &kept, &refused) == 0)
        return;
    for (char *at = refused.data; (at = strchr(at, '\n'));)
        *at = at[1] ? ',' : '\0';
    if (refused.length > 300)
        memcpy(refused.data + 300, "...", 4);
    OWNED char *where = NULL;
    struct fault fault = {0};
    if (!guard->look.take)
        say(guard, "%s/config has keys that could run, include or lead to something (%s)", folder->path,
            refused.data);
    else if (!keep_copy(guard, text, length, &where))
        find(guard, folder, "config", "has keys that could run, include or lead to something", OWN_CONFIG);
    else if (write_config(folder, &kept, &fault))
        say(guard,
            "%s/config had keys that could run, include or lead to something (%s); it %s "
            "now, and the rest stays" OWN_CONFIG,
            folder->path, refused.data, where);
    else
        say(guard, "%s/config has keys that could run, include or lead to something (%s), and %s",
            folder->path, refused.data, fault.text);
}

static void look_text(struct guard *guard, const struct folder *folder, const char *name,
                      bool (*bad)(const char *text), const char *could, const char *own)
{
    size_t length = 0;
    OWNED char *text = read_text(guard, folder, name, &length);
    if (text && (bad(text) || strlen(text) != length))
        find(guard, folder, name, could, own);
}

/* --- one file --- */

static void limit(struct guard *guard, const struct folder *folder, const char *name, off_t most)
{
    struct stat status;
    if (fstatat(folder->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
        status.st_size > most)
        find(guard, folder, name, "is larger than any such file of a repository", "");
}

static const struct {
    const char *name;
    off_t most;
} sizes[] = {{"HEAD", REF_BYTES}, {"index", INDEX_BYTES}, {"packed-refs", LIST_BYTES}};

static void look_git_file(struct guard *guard, const struct folder *folder, const char *name)
{
    struct stat status;
    if (strcmp(name, "config.worktree") == 0) {
        find(guard, folder, name, "is a second configuration, which could run something", OWN_CONFIG);
    } else if (strcmp(name, "commondir") == 0) {
        find(guard, folder, name, "names another repository to be read in this one's place", "");
    } else if (strcmp(name, "config.lock") == 0) {
        if (guard->look.take && fstatat(folder->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            clock_kernel_ns() / 1000000000 - status.st_mtime > LOCK_STALE_SECONDS)
            unlinkat(folder->fd, name, 0); /* of a look, or a git, that was killed */
    } else if (strcmp(name, "config") == 0) {
        look_config(guard, folder);
    } else {
        off_t most = LIST_BYTES;
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            if (strcmp(sizes[i].name, name) == 0)
                most = sizes[i].most;
        limit(guard, folder, name, most);
    }
}

static bool has_end(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static void look_file(struct guard *guard, const struct folder *folder, const char *name)
{
    static const char drivers[] = "names a filter, diff or merge driver, which is a program";
    bool alternates = strcmp(name, "alternates") == 0 || strcmp(name, "http-alternates") == 0;
    bool counts =
        (folder->place == OBJECTS_INFO && strcmp(name, "commit-graph") == 0) ||
        (folder->place == PACKS && (has_end(name, ".idx") || strcmp(name, "multi-pack-index") == 0));
    bool attributes = strcmp(name, folder->place == INFO ? "attributes" : ".gitattributes") == 0;
    if (folder->place == WORK && strcmp(name, ".git") == 0)
        find(guard, folder, name, "names a repository somewhere else", "");
    else if ((folder->place == WORK || folder->place == INFO) && attributes)
        look_text(guard, folder, name, git_text_names_program, drivers,
                  "; a person who set that writes it to ~/.config/git/attributes");
    else if (folder->place == GIT)
        look_git_file(guard, folder, name);
    else if (folder->place == HOOKS && !has_end(name, ".sample") && !strstr(name, ".set-aside-"))
        find(
            guard, folder, name, "is a hook, which git would run",
            "; a person who set that names a folder of their own: git config --global core.hooksPath FOLDER");
    else if (folder->place == OBJECTS_INFO && alternates)
        find(guard, folder, name, "names other objects to be read as this repository's", "");
    else if (folder->place == REMOTES)
        find(guard, folder, name, "is a remote of the old kind, which could lead anywhere",
             "; `git remote add NAME URL` makes one of the new kind");
    else if (folder->place == REBASE && strcmp(name, "git-rebase-todo") == 0)
        look_text(guard, folder, name, git_text_holds_command,
                  "holds commands that `git rebase --continue` would run", "");
    else if (folder->place == WORKTREES && strcmp(name, "commondir") == 0)
        look_text(guard, folder, name, git_text_leads_elsewhere, "names another repository", "");
    else if (folder->place == REFS)
        limit(guard, folder, name, REF_BYTES);
    else if (folder->place == INFO || strcmp(name, ".gitignore") == 0)
        limit(guard, folder, name, TEXT_BYTES);
    else if (counts && !pack_index_fits(folder->fd, name))
        find(guard, folder, name, "counts more objects than it holds, which would end whoever reads it", "");
    else if (folder->place != WORK && folder->place != OBJECT_FILES && folder->place != PACKS)
        limit(guard, folder, name, LIST_BYTES);
}

/* --- folders --- */

static const struct {
    enum place in;
    const char *name; /* NULL: any other */
    enum place is;
} folders[] = {
    {WORK, ".git", GIT},
    {WORK, NULL, WORK},
    {GIT, "hooks", HOOKS},
    {GIT, "info", INFO},
    {GIT, "objects", OBJECTS},
    {GIT, "refs", REFS},
    {GIT, "remotes", REMOTES},
    {GIT, "branches", REMOTES},
    {GIT, "rebase-merge", REBASE},
    {GIT, "worktrees", WORKTREES},
    {OBJECTS, "info", OBJECTS_INFO},
    {OBJECTS, "pack", PACKS},
    {OBJECTS, NULL, OBJECT_FILES},
    {REFS, NULL, REFS},
    {WORKTREES, NULL, WORKTREES},
};

static enum place place_of(enum place in, const char *name)
{
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (folders[i].in == in && (!folders[i].name || strcmp(folders[i].name, name) == 0))
            return folders[i].is;
    return OTHER;
}

static bool has(int folder, const char *name)
{
    struct stat status;
    return fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A folder that git would take for a repository when somebody stands in it, whatever its name. */
static enum place true_place(int fd, enum place place)
{
    bool open = place == WORK || place == OTHER;
    return open && has(fd, "HEAD") && (has(fd, "objects") || has(fd, "commondir")) ? GIT : place;
}

/* The names of the folder are looked at next. */
static void enter(struct guard *guard, int fd, char *path, enum place place)
{
    guard->folders[guard->depth++] = (struct folder){
        .fd = fd, .path = path, .place = true_place(fd, place), .names = listing_take(fd, path, NULL)};
}

static void look_folder(struct guard *guard, const struct folder *folder, const char *name)
{
    bool top = guard->depth == 1, deep = guard->depth > DEPTH_MAX;
    int fd = files_open(folder->fd, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        say_unseen(guard, folder, name); /* else gone, or closed to git run by the same user too */
        return;
    }
    if ((folder->place == GIT && strcmp(name, "HEAD") == 0) || deep) {
        find(guard, folder, name, deep ? "lies deeper than is looked at" : "is no file", "");
        close(fd);
        return;
    }
    enum place is = place_of(folder->place, name);
    bool whole = top && is == GIT && folder->place == WORK && has(fd, "HEAD");
    enter(guard, fd, memory_print("%s%s%s", folder->path, *folder->path ? "/" : "", name), is);
    guard->folders[guard->depth - 1].whole = whole;
}

static void leave(struct guard *guard)
{
    struct folder *folder = &guard->folders[--guard->depth];
    if (folder->names)
        (void)listing_close(folder->names, NULL);
    free(folder->path);
}

/* type: where the file system tells it, else DT_UNKNOWN. */
static mode_t kind_of(int folder, const char *name, unsigned char type)
{
    struct stat status;
    if (type != DT_UNKNOWN)
        return (mode_t)DTTOIF(type);
    return fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_mode & S_IFMT : 0;
}

static void look_entry(struct guard *guard, const struct folder *folder, const char *name, unsigned char type)
{
    mode_t kind = kind_of(folder->fd, name, type);
    bool matters = folder->place != WORK || strcmp(name, ".git") == 0 || strcmp(name, ".gitattributes") == 0;
    if (kind == S_IFDIR)
        look_folder(guard, folder, name);
    else if (kind == S_IFREG)
        look_file(guard, folder, name);
    else if (kind && matters && !strstr(name, ".set-aside-"))
        find(guard, folder, name,
             kind == S_IFLNK ? "is a link, which could lead anywhere" : "is no regular file", "");
}

struct guard *guard_begin(int tree, const struct guard_look *look)
{
    struct guard *guard = memory_new(1, sizeof *guard);
    *guard = (struct guard){.look = *look,
                            .agents = memory_text(look->agents),
                            .tree = fcntl(tree, F_DUPFD_CLOEXEC, 0),
                            .aside = -1};
    guard->look.agents = guard->agents;
    guard->folders[guard->depth++] = (struct folder){
        .fd = guard->tree,
        .path = memory_text(""),
        .place = WORK,
        .names = listing_take(openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "", NULL)};
    if (!guard->folders[0].names)
        say_unseen(guard, &guard->folders[0], "the folder");
    look_entry(guard, &guard->folders[0], ".git", DT_UNKNOWN); /* first, however many files there are */
    return guard;
}

/* git knows the repository by its HEAD, also while a look rests. */
static void give_head(const struct folder *folder)
{
    static const char head[] = "ref: refs/heads/main\n";
    if (!has(folder->fd, "HEAD"))
        files_write(folder->fd, "HEAD", head, sizeof head - 1, true, NULL);
}

static void look_on(struct guard *guard)
{
    const struct folder *folder = &guard->folders[guard->depth - 1];
    const char *name = folder->names && guard->seen <= guard->look.most ? listing_next(folder->names) : NULL;
    guard->cost++;
    if (!name) {
        leave(guard);
    } else if (guard->depth > 1 || strcmp(name, ".git") != 0) { /* guard_begin has looked there */
        guard->seen++;
        look_entry(guard, folder, name, listing_type(folder->names));
        if (folder->whole && guard->look.take && strcmp(name, "HEAD") == 0)
            give_head(folder);
    }
}

bool guard_go(struct guard *guard, int64_t until_ms)
{
    uint64_t enough = guard->cost + PART_COST;
    while (guard->depth > 0 && (guard->cost < enough || clock_monotonic_ms() < until_ms))
        look_on(guard);
    return guard->depth == 0;
}

size_t guard_end(struct guard *guard, struct buffer *said, struct guard_texts *texts)
{
    size_t found;
    if (guard->depth == 0 && guard->seen > guard->look.most)
        say(guard,
            "the folder holds more than %zu files; the files beyond are not searched for settings that git "
            "could run",
            guard->look.most);
    if (guard->found > SAID_MAX)
        buffer_print(&guard->said, "%zu more of the kind\n", guard->found - SAID_MAX);
    while (guard->depth > 0)
        leave(guard);
    if (said)
        buffer_add(said, guard->said.data ? guard->said.data : "", guard->said.length);
    if (texts) {
        *texts = guard->texts;
        guard->texts.config = (struct buffer){0};
    }
    found = guard->found;
    buffer_free(&guard->texts.config);
    buffer_free(&guard->said);
    memory_close_at(&guard->aside);
    memory_close_at(&guard->tree);
    free(guard->agents);
    free(guard);
    return found;
}

size_t guard_tree(int tree, const struct guard_look *look, struct buffer *said)
{
    struct guard *guard = guard_begin(tree, look);
    guard_go(guard, INT64_MAX);
    return guard_end(guard, said, NULL);
}

bool guard_has_aside(int tree)
{
    OWNED_FD int folder = files_open(tree, GUARD_ASIDE, O_RDONLY | O_DIRECTORY, 0);
    return folder >= 0 && count_entries(folder, 1) > 0;
}
