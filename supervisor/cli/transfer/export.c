/* `agentos export`: the whole agent as one file, a git bundle. The verb needs no supervisor, and writes nothing into
 * the agent's folder.
 *
 *   refs/heads/…, refs/tags/…, HEAD   the history
 *   refs/agentos/export               one commit more, behind HEAD: definition.yaml, and in tree/ the files as they are
 *                                     now: pending work, people's uncommitted changes, answers that left the tree */
#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <git2/sys/mempack.h>
#include <git2/sys/odb_backend.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/format/roster.h"
#include "common/memory.h"
#include "common/repository/commits.h"
#include "common/repository/library.h"
#include "common/repository/object_walk.h"
#include "common/repository/open.h"
#include "supervisor/cli/terminal/confine.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/transfer/bundle_layout.h"
#include "supervisor/cli/transfer/gitbundle.h"
#include "supervisor/cli/transfer/snapshot.h"
#include "supervisor/cli/transfer/transfer.h"

enum { MEMORY_FIRST = 1000, TRIES = 100, PAUSE_NS = 50 * 1000 * 1000, SUMMARY = 256 };

struct export
{
    const char *agent;
    const struct roster_agent *definition;
    bool with_notes; /* the worker's notes go along */
    int folder;      /* of the agent; owned */
    git_repository *repository;
    git_odb *odb;
    struct gitbundle bundle;
    git_oid head, made; /* made: the commit of refs/agentos/export */
    struct buffer notes;
    size_t commits;
    int file;      /* the bundle */
    char *path;    /* of the agent's folder; owned */
    char *summary; /* the child's summary for the parent, SUMMARY bytes */
};

static void export_free(struct export *export)
{
    git_odb_free(export->odb);
    git_repository_free(export->repository);
    gitbundle_free(&export->bundle);
    buffer_free(&export->notes);
    free(export->path);
    memory_close_at(&export->folder);
}

/* --- opening --- */

/* 0, or the exit status and fault. */
static int open_agent(struct export *export, struct fault *fault)
{
    git_odb_backend *memory = NULL;
    if (repository_open(&export->repository, export->path) != 0)
        return commits_fault(fault, "its repository cannot be opened"), EX_DATAERR;
    if (git_repository_head_unborn(export->repository) == 1) {
        fault_set(fault, "it has no history yet; start it once");
        return EX_NOINPUT;
    }
    if (git_repository_odb(&export->odb, export->repository) != 0 || git_mempack_new(&memory) != 0 ||
        git_odb_add_backend(export->odb, memory, MEMORY_FIRST) != 0)
        return commits_fault(fault, "its objects cannot be opened"), EX_SOFTWARE;
    return EX_OK;
}

/* --- one moment of the agent --- */

static bool read_head(const struct export *export, git_oid *head)
{
    return git_reference_name_to_id(head, export->repository, "HEAD") == 0;
}

/* A worker that commits holds the index's lock from before it moves the branch until the files are in place. */
static bool is_committing(const struct export *export)
{
    struct stat status;
    return fstatat(export->folder, ".git/index.lock", &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The files and the commit that they belong to: HEAD is the same before and after the files were read, and no worker
 * was committing. 0, or the exit status and fault. */
static int take_moment(struct export *export, git_oid *tree, struct fault *fault)
{
    for (int tries = 0; tries < TRIES; tries++) {
        git_oid now;
        if (tries > 0)
            (void)nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        buffer_free(&export->notes);
        export->notes = (struct buffer){0};
        if (!read_head(export, &export->head) || is_committing(export)) {
            fault_set(fault, "another process writes to its repository all the time");
            continue;
        }
        if (!snapshot_take(export->odb, export->folder, export->with_notes, tree, &export->notes, fault))
            continue;
        if (read_head(export, &now) && git_oid_equal(&now, &export->head) && !is_committing(export))
            return EX_OK;
        fault_set(fault, "it commits faster than it can be read; pause it, or try again");
    }
    return EX_TEMPFAIL;
}

/* --- the commit of the export --- */

static bool make_commit(struct export *export, const git_oid *files, struct fault *fault)
{
    char id[GIT_OID_HEXSZ + 1];
    git_oid definition, tree;
    OWNED_BUFFER struct buffer yaml = {0}, root = {0}, text = {0};
    long long now = (long long)clock_now();
    roster_write(export->definition, ROSTER_ITEM, 0, true, &yaml);
    if (!snapshot_object(export->odb, GIT_OBJECT_BLOB, yaml.data, yaml.length, &definition, fault))
        return false;
    snapshot_entry(&root, GIT_FILEMODE_BLOB, BUNDLE_DEFINITION, &definition);
    snapshot_entry(&root, GIT_FILEMODE_TREE, BUNDLE_FILES, files);
    if (!snapshot_object(export->odb, GIT_OBJECT_TREE, root.data, root.length, &tree, fault))
        return false;
    buffer_print(&text, "tree %s\n", git_oid_tostr(id, sizeof id, &tree));
    buffer_print(&text, "parent %s\n", git_oid_tostr(id, sizeof id, &export->head));
    for (int i = 0; i < 2; i++)
        buffer_print(&text, "%s %s <%s@agentos> %lld +0000\n", i ? "committer" : "author", export->agent,
                     export->agent, now);
    buffer_print(&text, "\n%s(export): at %.7s\n", export->agent, id);
    return snapshot_object(export->odb, GIT_OBJECT_COMMIT, text.data, text.length, &export->made, fault);
}

/* --- the bundle --- */

static void add_ref(struct export *export, const git_oid *id, const char *name)
{
    char text[GIT_OID_HEXSZ + 1];
    git_oid_tostr(text, sizeof text, id);
    if (export->bundle.count >= GITBUNDLE_REFS_MAX || !gitbundle_ref_name(name) ||
        gitbundle_find(&export->bundle, name))
        buffer_print(&export->notes, "%.200s is not in it: it is one ref too many\n", name);
    else
        gitbundle_add(&export->bundle, text, name);
}

/* The branch that HEAD names stands where HEAD stood when the files were read, wherever it stands now. */
static bool add_refs(struct export *export, struct fault *fault)
{
    static const char *const globs[] = {"refs/heads/*", "refs/tags/*"};
    OWNED_GIT(git_reference) git_reference *head = NULL;
    OWNED char *branch = NULL;
    if (git_reference_lookup(&head, export->repository, "HEAD") == 0 &&
        git_reference_type(head) == GIT_REFERENCE_SYMBOLIC)
        branch = memory_text(git_reference_symbolic_target(head));
    if (branch)
        add_ref(export, &export->head, branch);
    for (size_t i = 0; i < 2; i++) {
        git_reference_iterator *iterator = NULL;
        const char *name;
        git_oid id;
        if (git_reference_iterator_glob_new(&iterator, export->repository, globs[i]) != 0)
            return commits_fault(fault, "its branches cannot be read");
        while (git_reference_next_name(&name, iterator) == 0)
            if ((!branch || strcmp(name, branch) != 0) &&
                git_reference_name_to_id(&id, export->repository, name) == 0)
                add_ref(export, &id, name);
        git_reference_iterator_free(iterator);
    }
    add_ref(export, &export->head, "HEAD");
    add_ref(export, &export->made, BUNDLE_REF);
    return true;
}

/* libgit2 must not be shown a damaged history, and the faults that an import would refuse are told now. 0, or the
 * exit status. */
static int check_history(struct export *export, struct fault *fault)
{
    OWNED_BUFFER struct buffer findings = {0}, foreign = {0};
    OWNED git_oid *tips = memory_new(export->bundle.count, sizeof *tips);
    for (size_t i = 0; i < export->bundle.count; i++)
        (void)git_oid_fromstr(&tips[i], export->bundle.refs[i].id);
    (void)object_walk_check_from(export->repository, tips, export->bundle.count, true, export->agent,
                                 &foreign);
    if (foreign.length == 0)
        return EX_OK;
    (void)object_walk_check_from(export->repository, tips, export->bundle.count, false, export->agent,
                                 &findings);
    if (findings.length > 0) {
        fault_set(fault, "its repository is damaged (`agentos verify` says more):\n%s", findings.data);
        return EX_DATAERR;
    }
    buffer_print(&export->notes, "`agentos import` will refuse this file, `git clone` takes it:\n%s",
                 foreign.data);
    return EX_OK;
}

static int write_piece(void *bytes, size_t length, void *context)
{
    return files_write_all(*(int *)context, bytes, length) ? 0 : -1;
}

static bool add_objects(struct export *export, git_packbuilder *builder, struct fault *fault)
{
    git_revwalk *walk = NULL;
    bool good = git_revwalk_new(&walk, export->repository) == 0;
    for (size_t i = 0; good && i < export->bundle.count; i++) {
        git_oid id;
        (void)git_oid_fromstr(&id, export->bundle.refs[i].id);
        (void)git_revwalk_push(walk, &id); /* a tag may name an object without a history */
        good = git_packbuilder_insert_recur(builder, &id, NULL) == 0;
    }
    good = good && git_packbuilder_insert_walk(builder, walk) == 0;
    git_revwalk_reset(walk);
    good = good && git_revwalk_push(walk, &export->head) == 0;
    for (git_oid id; good && git_revwalk_next(&id, walk) == 0;)
        export->commits++;
    git_revwalk_free(walk);
    return good || commits_fault(fault, "its history cannot be packed");
}

static bool write_bundle(struct export *export, struct fault *fault)
{
    git_packbuilder *builder = NULL;
    OWNED_BUFFER struct buffer header = {0};
    bool good = git_packbuilder_new(&builder, export->repository) == 0 ||
                commits_fault(fault, "its history cannot be packed");
    good = good && add_objects(export, builder, fault);
    gitbundle_print(&export->bundle, &header);
    errno = 0;
    if (good && (!files_write_all(export->file, header.data, header.length) ||
                 git_packbuilder_foreach(builder, write_piece, &export->file) != 0))
        good = errno ? fault_errno(fault, "it cannot be written")
                     : commits_fault(fault, "its history cannot be packed");
    git_packbuilder_free(builder);
    return good;
}

/* --- in a child that can read the agent's folder alone --- */

static void tell(const struct export *export)
{
    OWNED char *notes = output_clean(export->notes.data ? export->notes.data : "", 1);
    fputs(notes, stderr);
    snprintf(export->summary, SUMMARY, "at %.7s, %zu commits", export->bundle.refs[0].id, export->commits);
}

static int export_agent(void *context)
{
    struct export *export = context;
    struct fault fault = {0};
    git_oid files;
    int status = open_agent(export, &fault);
    status = status ? status : take_moment(export, &files, &fault);
    if (status == EX_OK && (!make_commit(export, &files, &fault) || !add_refs(export, &fault)))
        status = EX_SOFTWARE;
    status = status ? status : check_history(export, &fault);
    if (status == EX_OK && !write_bundle(export, &fault))
        status = EX_IOERR;
    if (status == EX_OK)
        tell(export);
    else
        output_complain("agent '%s' was not exported: %s", export->agent, fault.text);
    return status;
}

/* --- the file --- */

/* The bundle gets its name only when it is whole and on the disk, and never in place of another file. 0, or the exit
 * status. */
static int place(int folder, const char *temporary, const char *name, struct fault *fault)
{
    if (renameat2(folder, temporary, folder, name, RENAME_NOREPLACE) != 0) {
        int error = errno;
        if (error == EINVAL) /* a file system without that flag; a link replaces nothing either */
            error = linkat(folder, temporary, folder, name, 0) == 0 ? 0 : errno;
        if (error != 0) {
            errno = error;
            fault_errno(fault, "the file could not get its name %s", name);
            return EX_CANTCREAT;
        }
        unlinkat(folder, temporary, 0);
    }
    if (fsync(folder) != 0)
        return fault_errno(fault, "its folder cannot be flushed"), EX_IOERR;
    return EX_OK;
}

static int write_file(struct export *export, int folder, const char *name)
{
    struct fault fault = {0};
    OWNED char *temporary = memory_print(".%s.part-%ld", name, (long)getpid());
    OWNED_FD int fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return output_fail(EX_CANTCREAT, "agent '%s' was not exported: cannot write beside %s: %s",
                           export->agent, name, strerror(errno));
    export->file = fd;
    int status = confine(export->path, export_agent, export);
    if (status == EX_OK && fsync(fd) != 0) {
        fault_errno(&fault, "it cannot be flushed");
        status = EX_IOERR;
    }
    if (status == EX_OK)
        status = place(folder, temporary, name, &fault);
    if (status != EX_OK)
        unlinkat(folder, temporary, 0);
    if (*fault.text)
        output_complain("agent '%s' was not exported: %s", export->agent, fault.text);
    return status;
}

/* The folder that the file goes to, and its name there; -1: a complaint was printed, *status is set. */
static int open_target(const char *file, const char **name, int *status)
{
    struct fault fault = {0};
    struct stat there;
    const char *slash = strrchr(file, '/');
    OWNED char *folder = slash ? memory_slice(file, (size_t)(slash - file) + 1) : memory_text(".");
    *name = slash ? slash + 1 : file;
    *status = EX_CANTCREAT;
    if (**name == '\0' || strlen(*name) > 200) {
        output_complain("'%s' is no name for a file; nothing was exported", file);
        *status = EX_USAGE;
        return -1;
    }
    if (lstat(file, &there) == 0)
        return output_fail(-1, "%s is there already; nothing was exported", file);
    int fd = files_open_path(folder, &fault);
    if (fd < 0)
        output_complain("%s; nothing was exported", fault.text);
    return fd;
}

/* --- --- */

static int export_to(struct export *export, const char *data_dir, const char *file)
{
    struct fault fault = {0};
    struct stat written;
    char size[32];
    const char *name;
    int status = EX_NOINPUT;
    OWNED_FD int folder = open_target(file, &name, &status);
    if (folder < 0)
        return status;
    export->path = memory_print("%s/agents/%s", data_dir, export->agent);
    export->summary = mmap(NULL, SUMMARY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    export->folder = files_open_path(export->path, &fault);
    if (export->folder < 0 || export->summary == MAP_FAILED) {
        status = export->folder < 0 ? invocation_exit_of(errno) : EX_OSERR;
        return output_fail(status, "agent '%s' was not exported: %s", export->agent,
                           export->folder < 0 ? fault.text : strerror(errno));
    }
    if (!repository_library_start(&fault))
        return output_fail(EX_SOFTWARE, "agent '%s' was not exported: %s", export->agent, fault.text);
    confine_guard(data_dir, export->agent);
    status = write_file(export, folder, name);
    if (status != EX_OK)
        return status;
    OWNED char *clean = output_clean(file, 0);
    if (fstatat(folder, name, &written, 0) != 0)
        written.st_size = 0;
    printf("%s: agent %s %.*s, %s\n", clean, export->agent, SUMMARY, export->summary,
           output_bytes(written.st_size, size));
    return status;
}

int verb_export(struct invocation *invocation)
{
    int status;
    struct fault fault;
    OWNED_BUFFER struct buffer faults = {0};
    const char *agent = invocation->words[0], *file = invocation->words[1];
    struct roster *roster = roster_load(invocation->data_dir, &faults);
    if (!roster) {
        output_complain("without agents.yaml the agent's definition is not known; nothing was exported:\n%s",
                        faults.data);
        return invocation_without_roster(invocation);
    }
    struct export export = {.agent = agent,
                            .definition = roster_find(roster, agent),
                            .with_notes = invocation_has(invocation, OPTION_NOTES),
                            .folder = -1};
    if (!export.definition) {
        roster_no_agent(roster, agent, &fault);
        output_complain("%s", fault.text);
        status = EX_NOINPUT;
    } else {
        status = export_to(&export, invocation->data_dir, file);
    }
    export_free(&export);
    roster_free(roster);
    return output_end(status);
}
