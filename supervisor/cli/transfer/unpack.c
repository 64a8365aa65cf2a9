#include "supervisor/cli/transfer/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/files.h"
#include "common/memory.h"
#include "common/repository/commits.h"
#include "common/repository/library.h"
#include "common/repository/object_walk.h"
#include "common/sandbox/sandbox.h"
#include "common/tree.h"
#include "supervisor/cli/transfer/bundle_layout.h"
#include "supervisor/cli/transfer/notes.h"
#include "worker/history/history.h"

enum { PIECE = 256 * 1024, OPEN_FILES = 256, DEPTH_MAX = 16, KEPT_DESCRIPTORS = 5 };

struct unpacking {
    const char *folder;
    int tree; /* the same as a descriptor */
    int file;
    const struct gitbundle *bundle;
    bool moved;
    struct fault *fault;
    git_repository *repository;
    git_oid head, export; /* commits */
    bool counting;        /* the files are counted, and nothing is written yet */
    size_t files;
    uint64_t bytes;
};

/* A fault that git finds is the bundle's, unless it is the disk's. */
static int git_says(struct unpacking *unpacking, const char *what)
{
    const git_error *error = git_error_last();
    commits_fault(unpacking->fault, "%s", what);
    return error && error->klass == GIT_ERROR_OS ? EX_IOERR : EX_DATAERR;
}

static int refuse(struct unpacking *unpacking, const char *why)
{
    fault_set(unpacking->fault, "%s", why);
    return EX_DATAERR;
}

/* --- the pack --- */

/* Opens the repository as a worker makes it, and as the worker would find it. */
static int open_as_worker(struct unpacking *unpacking)
{
    OWNED char *damage = NULL;
    struct history *history =
        history_open(unpacking->tree, unpacking->folder, "import", &damage, unpacking->fault);
    if (!history)
        return EX_IOERR;
    history_close(history);
    return damage ? refuse(unpacking, damage) : EX_OK;
}

static int feed(struct unpacking *unpacking, git_indexer *indexer)
{
    git_indexer_progress progress = {0};
    OWNED char *piece = memory_new(PIECE, 1);
    off_t at = (off_t)unpacking->bundle->pack;
    while (at < unpacking->bundle->end) {
        off_t left = unpacking->bundle->end - at;
        size_t want = left < PIECE ? (size_t)left : PIECE;
        ssize_t got = TEMP_FAILURE_RETRY(pread(unpacking->file, piece, want, at));
        if (got < 0)
            return fault_errno(unpacking->fault, "it cannot be read"), EX_IOERR;
        if (got == 0)
            break;
        if (git_indexer_append(indexer, piece, (size_t)got, &progress) != 0)
            return git_says(unpacking, "its pack is damaged");
        at += got;
    }
    if (git_indexer_commit(indexer, &progress) != 0)
        return git_says(unpacking, "its pack is damaged or cut short");
    return EX_OK;
}

static int take_pack(struct unpacking *unpacking)
{
    git_indexer *indexer = NULL;
    git_indexer_options options = {.version = GIT_INDEXER_OPTIONS_VERSION, .verify = 1};
    OWNED char *path = memory_print("%s/.git/objects/pack", unpacking->folder);
    if (git_indexer_new(&indexer, path, 0444, NULL, &options) != 0)
        return git_says(unpacking, "its pack cannot be unpacked");
    int status = feed(unpacking, indexer);
    git_indexer_free(indexer);
    if (status == EX_OK && git_repository_open_ext(&unpacking->repository, unpacking->folder,
                                                   GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) != 0)
        status = git_says(unpacking, "its repository cannot be opened");
    return status;
}

/* --- the allowed history --- */

static int check_history(struct unpacking *unpacking)
{
    const struct gitbundle *bundle = unpacking->bundle;
    OWNED_BUFFER struct buffer findings = {0};
    OWNED git_oid *tips = memory_new(bundle->count, sizeof *tips);
    for (size_t i = 0; i < bundle->count; i++)
        (void)git_oid_fromstr(&tips[i], bundle->refs[i].id);
    (void)object_walk_check_from(unpacking->repository, tips, bundle->count, true, "its history", &findings);
    return findings.length > 0 ? refuse(unpacking, findings.data) : EX_OK;
}

static int find_commits(struct unpacking *unpacking)
{
    OWNED_GIT(git_commit) git_commit *commit = NULL;
    (void)git_oid_fromstr(&unpacking->head, gitbundle_find(unpacking->bundle, "HEAD")->id);
    if (!gitbundle_find(unpacking->bundle, BUNDLE_REF))
        return EX_OK;
    (void)git_oid_fromstr(&unpacking->export, gitbundle_find(unpacking->bundle, BUNDLE_REF)->id);
    if (git_commit_lookup(&commit, unpacking->repository, &unpacking->export) != 0)
        return git_says(unpacking, "its " BUNDLE_REF " is no commit");
    bool behind = git_commit_parentcount(commit) == 1 &&
                  git_oid_equal(git_commit_parent_id(commit, 0), &unpacking->head);
    return behind ? EX_OK : refuse(unpacking, "its " BUNDLE_REF " does not belong to its HEAD");
}

/* --- refs --- */

static bool is_kept(const char *name)
{
    return strncmp(name, "refs/heads/", 11) == 0 || strncmp(name, "refs/tags/", 10) == 0;
}

/* The branch that HEAD was on: main when it stands there, else any that does; NULL: none. */
static const char *head_branch(const struct gitbundle *bundle)
{
    const struct gitbundle_ref *head = gitbundle_find(bundle, "HEAD");
    const struct gitbundle_ref *main_branch = gitbundle_find(bundle, "refs/heads/main");
    if (main_branch && strcmp(main_branch->id, head->id) == 0)
        return main_branch->name;
    for (size_t i = 0; i < bundle->count; i++)
        if (strncmp(bundle->refs[i].name, "refs/heads/", 11) == 0 &&
            strcmp(bundle->refs[i].id, head->id) == 0)
            return bundle->refs[i].name;
    return main_branch ? NULL : "refs/heads/main";
}

static int make_ref(struct unpacking *unpacking, const char *name, const char *text)
{
    OWNED_GIT(git_reference) git_reference *made = NULL;
    OWNED_GIT(git_commit) git_commit *commit = NULL;
    git_oid id;
    (void)git_oid_fromstr(&id, text);
    if (strncmp(name, "refs/heads/", 11) == 0 && git_commit_lookup(&commit, unpacking->repository, &id) != 0)
        return refuse(unpacking, "one of its branches is no commit");
    int got = git_reference_create(&made, unpacking->repository, name, &id, 1, NULL);
    if (got != 0) /* most likely a branch is another's folder; git says so as the disk would */
        (void)git_says(unpacking, "one of its branches cannot be made");
    return got == 0 ? EX_OK : EX_DATAERR;
}

static int make_refs(struct unpacking *unpacking)
{
    OWNED_GIT(git_reference) git_reference *head = NULL;
    const struct gitbundle *bundle = unpacking->bundle;
    const char *branch = head_branch(bundle);
    int status = branch ? make_ref(unpacking, branch, gitbundle_find(bundle, "HEAD")->id) : EX_OK;
    for (size_t i = 0; status == EX_OK && i < bundle->count; i++)
        if (is_kept(bundle->refs[i].name))
            status = make_ref(unpacking, bundle->refs[i].name, bundle->refs[i].id);
    if (status != EX_OK)
        return status;
    int got = branch ? git_reference_symbolic_create(&head, unpacking->repository, "HEAD", branch, 1, NULL)
                     : git_repository_set_head_detached(unpacking->repository, &unpacking->head);
    return got == 0 ? EX_OK : git_says(unpacking, "its HEAD cannot be set");
}

/* --- files --- */

static int write_tree(struct unpacking *unpacking, const git_oid *id, const char *path, int depth);

/* The folder is this process's own, and no name comes twice, so the file needs no other name while it is written. */
static int write_file(const struct unpacking *unpacking, const git_blob *blob, const char *path,
                      unsigned mode)
{
    OWNED_FD int fd = files_open(unpacking->tree, path, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (fd >= 0 && files_write_all(fd, git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob)))
        return EX_OK;
    fault_errno(unpacking->fault, "cannot write %s", path);
    return EX_IOERR;
}

static int write_blob(struct unpacking *unpacking, const git_tree_entry *entry, const char *path)
{
    OWNED_GIT(git_blob) git_blob *blob = NULL;
    bool runs = git_tree_entry_filemode(entry) == GIT_FILEMODE_BLOB_EXECUTABLE;
    if (git_blob_lookup(&blob, unpacking->repository, git_tree_entry_id(entry)) != 0)
        return git_says(unpacking, "one of its files cannot be read");
    unpacking->bytes += (uint64_t)git_blob_rawsize(blob);
    if (++unpacking->files > UNPACK_FILES_MAX || unpacking->bytes > UNPACK_BYTES_MAX)
        return refuse(unpacking, "it holds more files than an agent has, or more than 1 GiB of them");
    return unpacking->counting ? EX_OK : write_file(unpacking, blob, path, runs ? 0755 : 0644);
}

/* Whether the entry is a worker's note that doesn't travel: of the notes only the travelling ones of an export by
 * `move` come along, and the worker on this node makes its own. */
static bool is_foreign_note(const struct unpacking *unpacking, const git_tree_entry *entry, const char *path)
{
    bool folder = strcmp(path, TREE_NOTES) == 0, note = strncmp(path, TREE_NOTES "/", sizeof TREE_NOTES) == 0;
    bool is_tree = git_tree_entry_type(entry) == GIT_OBJECT_TREE;
    bool travels = folder ? is_tree : note && !is_tree && notes_travel(path + sizeof TREE_NOTES);
    bool exported = gitbundle_find(unpacking->bundle, BUNDLE_REF) != NULL; /* a git remote has no notes */
    return (folder || note) && !(unpacking->moved && exported && travels);
}

static int write_entry(struct unpacking *unpacking, const git_tree_entry *entry, const char *path, int depth)
{
    if (is_foreign_note(unpacking, entry, path))
        return refuse(unpacking, "it holds the notes of a worker, which only `agentos move` carries");
    if (git_tree_entry_type(entry) != GIT_OBJECT_TREE)
        return write_blob(unpacking, entry, path);
    if (depth >= DEPTH_MAX)
        return refuse(unpacking, "its folders are nested deeper than an agent's are");
    if (++unpacking->files > UNPACK_FILES_MAX)
        return refuse(unpacking, "it holds more folders than an agent has");
    OWNED_FD int folder =
        unpacking->counting ? -1 : files_open_folder(unpacking->tree, path, true, unpacking->fault);
    return folder < 0 && !unpacking->counting
               ? EX_IOERR
               : write_tree(unpacking, git_tree_entry_id(entry), path, depth + 1);
}

/* Folders before files: a skill's text that is younger than skills.md would count as a skill that somebody just
 * added. */
static int write_tree(struct unpacking *unpacking, const git_oid *id, const char *path, int depth)
{
    OWNED_GIT(git_tree) git_tree *tree = NULL;
    if (git_tree_lookup(&tree, unpacking->repository, id) != 0)
        return git_says(unpacking, "one of its folders cannot be read");
    int status = EX_OK;
    size_t count = git_tree_entrycount(tree);
    for (size_t i = 0; status == EX_OK && i < 2 * count; i++) {
        const git_tree_entry *entry = git_tree_entry_byindex(tree, i % count);
        if ((git_tree_entry_type(entry) == GIT_OBJECT_TREE) != (i < count))
            continue;
        const char *name = git_tree_entry_name(entry);
        OWNED char *inner = *path ? memory_print("%s/%s", path, name) : memory_text(name);
        status = write_entry(unpacking, entry, inner, depth);
    }
    return status;
}

/* The files are counted first, so that a bundle that multiplies its content fills no disk. */
static int write_files(struct unpacking *unpacking, const git_oid *id)
{
    unpacking->counting = true;
    int status = write_tree(unpacking, id, "", 0);
    unpacking->counting = false;
    unpacking->files = 0;
    unpacking->bytes = 0;
    return status ? status : write_tree(unpacking, id, "", 0);
}

/* --- the commit of the export --- */

static int read_definition(struct unpacking *unpacking, const git_tree *root, struct buffer *definition)
{
    OWNED_GIT(git_blob) git_blob *blob = NULL;
    const git_tree_entry *entry = git_tree_entry_byname(root, BUNDLE_DEFINITION);
    if (!entry || git_blob_lookup(&blob, unpacking->repository, git_tree_entry_id(entry)) != 0)
        return refuse(unpacking, "it holds no definition of an agent");
    size_t length = (size_t)git_blob_rawsize(blob);
    bool text =
        length > 0 && length <= BUNDLE_DEFINITION_MAX && !memchr(git_blob_rawcontent(blob), '\0', length);
    if (text)
        buffer_add(definition, git_blob_rawcontent(blob), length);
    return text ? EX_OK : refuse(unpacking, "its definition is empty, larger than 1 MiB, or no text");
}

static int take_export(struct unpacking *unpacking, struct buffer *definition)
{
    OWNED_GIT(git_commit) git_commit *commit = NULL;
    OWNED_GIT(git_tree) git_tree *root = NULL;
    bool whole = gitbundle_find(unpacking->bundle, BUNDLE_REF) != NULL;
    const git_oid *from = whole ? &unpacking->export : &unpacking->head;
    if (git_commit_lookup(&commit, unpacking->repository, from) != 0 || git_commit_tree(&root, commit) != 0)
        return git_says(unpacking, "its files' commit cannot be read");
    int status = whole ? read_definition(unpacking, root, definition) : EX_OK;
    const git_tree_entry *files = git_tree_entry_byname(root, BUNDLE_FILES);
    if (status == EX_OK && whole && (!files || git_tree_entry_type(files) != GIT_OBJECT_TREE))
        status = refuse(unpacking, "it holds no files of an agent");
    if (status == EX_OK)
        status = write_files(unpacking, whole ? git_tree_entry_id(files) : git_tree_id(root));
    return status;
}

/* Makes the index, so that git shows uncommitted changes, and nothing else. */
static int make_index(struct unpacking *unpacking)
{
    git_object *tree = NULL;
    git_index *index = NULL;
    bool good = git_revparse_single(&tree, unpacking->repository, "HEAD^{tree}") == 0 &&
                git_repository_index(&index, unpacking->repository) == 0 &&
                git_index_read_tree(index, (git_tree *)tree) == 0 && git_index_write(index) == 0;
    git_index_free(index);
    git_object_free(tree);
    return good ? EX_OK : git_says(unpacking, "git's index cannot be made");
}

/* The note of the last commits' epoch, for an agent that is moved: its next lease is later than all that it has done, also
 * where the bus's bucket was lost. An export that a person imports gets none: a copy of an agent that lives elsewhere
 * doesn't take its place. */
static int note_epoch(struct unpacking *unpacking)
{
    OWNED char *damage = NULL;
    struct history *history =
        history_open(unpacking->tree, unpacking->folder, "import", &damage, unpacking->fault);
    if (!history)
        return EX_IOERR;
    uint64_t epoch = history_last_epoch(history);
    history_close(history);
    if (damage)
        return refuse(unpacking, damage);
    if (!epoch || !unpacking->moved)
        return EX_OK;
    OWNED char *text = memory_print("%" PRIu64 "\n", epoch);
    OWNED_FD int notes = files_open_folder(unpacking->tree, TREE_NOTES, true, unpacking->fault);
    bool good =
        notes >= 0 && files_write(unpacking->tree, TREE_EPOCH, text, strlen(text), false, unpacking->fault);
    return good ? EX_OK : EX_IOERR;
}

/* --- the child --- */

static int unpack(struct unpacking *unpacking, struct buffer *definition)
{
    unpacking->tree = files_open_path(unpacking->folder, unpacking->fault);
    int status = unpacking->tree < 0 ? EX_IOERR : open_as_worker(unpacking);
    status = status ? status : take_pack(unpacking);
    status = status ? status : check_history(unpacking);
    status = status ? status : find_commits(unpacking);
    status = status ? status : make_refs(unpacking);
    status = status ? status : take_export(unpacking, definition);
    status = status ? status : make_index(unpacking);
    git_repository_free(unpacking->repository);
    status = status ? status : note_epoch(unpacking);
    if (status == EX_OK && syncfs(unpacking->tree) != 0) {
        fault_errno(unpacking->fault, "it cannot be flushed to the disk");
        status = EX_IOERR;
    }
    return status;
}

static int enter(const struct unpacking *unpacking, const struct sandbox *sandbox)
{
    const struct rlimit seconds = {UNPACK_CPU_SECONDS, UNPACK_CPU_SECONDS};
    const struct sandbox_room room = {.tree = unpacking->folder,
                                      .memory_bytes = (int64_t)UNPACK_MEMORY_MB * 1024 * 1024,
                                      .open_files = OPEN_FILES};
    (void)setrlimit(RLIMIT_CPU, &seconds);
    return sandbox_enter(sandbox, &room, unpacking->fault) ? EX_OK : EX_CONFIG;
}

/* Leaves only the file, and the pipe to the parent, open; the descriptors of the keys and of the data directory are
 * closed. */
static bool keep_two(int *file, int *out)
{
    int spare = fcntl(*file, F_DUPFD, KEPT_DESCRIPTORS), other = fcntl(*out, F_DUPFD, KEPT_DESCRIPTORS);
    *file = STDERR_FILENO + 1;
    *out = STDERR_FILENO + 2;
    return spare >= 0 && other >= 0 && dup2(spare, *file) == *file && dup2(other, *out) == *out &&
           close_range(KEPT_DESCRIPTORS, ~0U, 0) == 0;
}

/* Writes the definition or the fault to the parent, and ends with the status. */
static void child(struct unpacking *unpacking, const struct sandbox *sandbox, int out)
{
    OWNED_BUFFER struct buffer definition = {0};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int status = keep_two(&unpacking->file, &out) ? enter(unpacking, sandbox) : EX_OSERR;
    status = status ? status : unpack(unpacking, &definition);
    buffer_add(&definition, "", 0);
    const char *text = status ? unpacking->fault->text : definition.data;
    if (!files_write_all(out, text, strlen(text)))
        status = EX_IOERR;
    _exit(status);
}

/* --- the parent --- */

static void read_all(int fd, struct buffer *text)
{
    for (;;) {
        ssize_t got = TEMP_FAILURE_RETRY(read(fd, buffer_room(text, PIECE), PIECE));
        if (got <= 0)
            return;
        if (text->length <= BUNDLE_DEFINITION_MAX)
            text->length += (size_t)got;
    }
}

static int outcome(pid_t pid, struct buffer *said, struct fault *fault)
{
    int status = 0;
    (void)TEMP_FAILURE_RETRY(waitpid(pid, &status, 0));
    buffer_add(said, "", 0);
    if (WIFSIGNALED(status)) {
        bool long_one = WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL;
        fault_set(fault, long_one ? "it takes more than %d s to unpack" : "unpacking it ended with signal %d",
                  long_one ? UNPACK_CPU_SECONDS : WTERMSIG(status));
        return EX_DATAERR;
    }
    if (WEXITSTATUS(status) == 0 && strlen(said->data) == said->length)
        return EX_OK;
    bool told = WEXITSTATUS(status) != 0 && said->length > 0;
    fault_set(fault, "%s", told ? said->data : "it needs more memory than an agent's history does");
    return told ? WEXITSTATUS(status) : EX_DATAERR;
}

int unpack_bundle(const char *folder, int file, const struct gitbundle *bundle, bool moved,
                  struct buffer *definition, struct fault *fault)
{
    struct unpacking unpacking = {
        .folder = folder, .file = file, .bundle = bundle, .moved = moved, .fault = fault};
    int ends[2];
    if (!gitbundle_find(bundle, "HEAD") || (!moved && !gitbundle_find(bundle, BUNDLE_REF)))
        return refuse(&unpacking, "it is a git bundle, but no agent's: `agentos export` makes those");
    if (!repository_library_start(fault))
        return EX_SOFTWARE;
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_WORKER, sandbox_mode(), fault);
    if (!sandbox)
        return EX_CONFIG;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        fault_errno(fault, "cannot make a pipe");
        sandbox_free(sandbox);
        return EX_OSERR;
    }
    pid_t pid = fork();
    if (pid == 0)
        child(&unpacking, sandbox, ends[1]);
    close(ends[1]);
    if (pid > 0)
        read_all(ends[0], definition);
    else
        fault_errno(fault, "cannot make a process");
    close(ends[0]);
    sandbox_free(sandbox);
    return pid > 0 ? outcome(pid, definition, fault) : EX_OSERR;
}
