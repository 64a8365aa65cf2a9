#include "supervisor/mirror/push.h"

#include <dirent.h>
#include <errno.h>
#include <git2.h>
#include <git2/sys/odb_backend.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/format/git_remote.h"
#include "common/guard/git_guard.h"
#include "common/memory.h"
#include "common/repository/commits.h"
#include "common/repository/library.h"
#include "common/threads.h"
#include "common/utf8.h"
#include "supervisor/mirror/known_hosts.h"

enum { MEMORY_BYTES = 512 * 1024 * 1024, OPEN_FILES = 256, GUARD_FILES_MOST = 1000 * 1000, FIRST = 1000 };
#define BUNDLE_BYTES_MAX ((rlim_t)2 << 30) /* as an import takes */

/* The state that libgit2's callbacks share. */
struct talk {
    const struct push *push;
    bool shown;           /* the credentials were: a remote that asks again has refused them */
    char *refused;        /* the remote's own words about the branch; NULL: the remote took it */
    struct fault trouble; /* a sentence of ours, better than libgit2's; empty: none */
};

/* --- libgit2's callbacks --- */

static int show_key(const struct push *push, const char *user, git_credential **out)
{
    return git_credential_ssh_key_memory_new(out, user ? user : "git", NULL, push->credentials, NULL);
}

static int show_password(struct talk *talk, git_credential **out)
{
    const struct push *push = talk->push;
    const char *colon = strchr(push->credentials, ':');
    if (!colon)
        return fault_set(&talk->trouble, "AGENTOS_GIT_CREDENTIALS_FILE has no user:token in it"), GIT_EAUTH;
    if (git_remote_is_open(push->url)) {
        fault_set(&talk->trouble,
                  "the remote wants a password, and everybody on the way could read it: use https:");
        return GIT_EAUTH;
    }
    OWNED char *user = memory_slice(push->credentials, (size_t)(colon - push->credentials));
    return git_credential_userpass_plaintext_new(out, user, colon + 1);
}

static int on_credentials(git_credential **out, const char *url, const char *user, unsigned allowed,
                          void *payload)
{
    (void)url;
    struct talk *talk = payload;
    if (allowed & GIT_CREDENTIAL_USERNAME)
        return git_credential_username_new(out, user ? user : "git");
    if (!talk->push->credentials) {
        fault_set(&talk->trouble,
                  "the remote wants credentials, and AGENTOS_GIT_CREDENTIALS_FILE is not set");
        return GIT_EAUTH;
    }
    if (talk->shown) {
        fault_set(&talk->trouble, "the remote refuses the credentials of AGENTOS_GIT_CREDENTIALS_FILE");
        return GIT_EAUTH;
    }
    talk->shown = true;
    if (allowed & GIT_CREDENTIAL_SSH_MEMORY)
        return show_key(talk->push, user, out);
    if (allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT)
        return show_password(talk, out);
    fault_set(&talk->trouble, "the remote wants credentials of a kind that can't be shown to it");
    return GIT_EAUTH;
}

static int on_certificate(git_cert *certificate, int valid, const char *host, void *payload)
{
    struct talk *talk = payload;
    const struct push *push = talk->push;
    const git_cert_hostkey *key = (const git_cert_hostkey *)certificate;
    if (certificate->cert_type == GIT_CERT_HOSTKEY_LIBSSH2) {
        if (!(key->type & GIT_CERT_SSH_RAW))
            return fault_set(&talk->trouble, "%s shows no key that can be compared", host), GIT_ECERTIFICATE;
        return known_hosts_has(push->known_hosts, host, git_remote_port(push->url), key->hostkey,
                               key->hostkey_len, &talk->trouble)
                   ? 0
                   : GIT_ECERTIFICATE;
    }
    if (!valid)
        fault_set(&talk->trouble, "the certificate of %s is not one that this machine trusts", host);
    return valid ? 0 : GIT_ECERTIFICATE;
}

static int on_reference(const char *name, const char *status, void *payload)
{
    (void)name;
    struct talk *talk = payload;
    if (status && !talk->refused)
        talk->refused = memory_text(status);
    return 0;
}

static void answer_by(git_remote_callbacks *callbacks, struct talk *talk)
{
    callbacks->credentials = on_credentials;
    callbacks->certificate_check = on_certificate;
    callbacks->payload = talk;
}

/* --- the push --- */

static enum push_end say(struct fault *said, enum push_end end, const struct talk *talk, const char *what)
{
    const git_error *error = git_error_last();
    const char *why = talk->trouble.text[0]     ? talk->trouble.text
                      : error && error->message ? error->message
                                                : "libgit2 doesn't say why";
    fault_set(said, "%s: %s", what, why);
    return end;
}

/* "refs/heads/main" of HEAD, and its commit. */
static bool branch_of(git_repository *repository, char **branch, git_oid *commit)
{
    OWNED_GIT(git_reference) git_reference *head = NULL;
    if (git_repository_head(&head, repository) != 0)
        return false;
    bool named = git_reference_is_branch(head);
    if (named) {
        *branch = memory_text(git_reference_name(head));
        git_oid_cpy(commit, git_reference_target(head));
    } else {
        git_error_set_str(GIT_ERROR_REFERENCE, "its HEAD is on no branch");
    }
    return named;
}

static enum push_end send_branch(git_repository *repository, struct talk *talk, struct fault *said)
{
    git_remote *remote = NULL;
    OWNED char *branch = NULL;
    git_oid commit;
    git_push_options options;
    git_push_options_init(&options, GIT_PUSH_OPTIONS_VERSION);
    options.follow_redirects = GIT_REMOTE_REDIRECT_NONE; /* the credentials are for this host */
    options.pb_parallelism = 1; /* this process has one thread, and its sandbox allows no more */
    answer_by(&options.callbacks, talk);
    options.callbacks.push_update_reference = on_reference;
    if (!branch_of(repository, &branch, &commit) ||
        git_remote_create_anonymous(&remote, repository, talk->push->url) != 0)
        return say(said, PUSH_FAILED, talk, "the repository can't be pushed");
    if (*talk->push->known && git_oid_streq(&commit, talk->push->known) == 0) {
        git_remote_free(remote);
        fault_set(said, "%s", talk->push->known);
        return PUSH_DONE;
    }
    /* Without a plus: a branch that went another way is never forced. */
    OWNED char *spec = memory_print("%s:%s", branch, branch);
    int error = git_remote_push(remote, &(git_strarray){.strings = &spec, .count = 1}, &options);
    git_remote_free(remote);
    if (error == GIT_ENONFASTFORWARD)
        return say(said, PUSH_DIVERGED, talk, "the remote's branch went another way and is left as it is");
    if (error != 0)
        return say(said, PUSH_FAILED, talk, "the branch can't be pushed");
    if (talk->refused) {
        fault_set(&talk->trouble, "%s", talk->refused);
        return say(said, PUSH_FAILED, talk, "the remote refuses the branch");
    }
    git_oid_tostr(said->text, GIT_OID_HEXSZ + 1, &commit);
    return PUSH_DONE;
}

/* Makes a file: remote that isn't there yet: the person who gives its path means it. */
static bool make_remote(const char *folder, struct fault *said)
{
    OWNED_GIT(git_repository) git_repository *made = NULL;
    git_repository *there = NULL;
    if (git_repository_open_bare(&there, folder) == 0) {
        git_repository_free(there);
        return true;
    }
    git_repository_init_options options;
    git_repository_init_options_init(&options, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
    options.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_NO_REINIT;
    options.initial_head = "main";
    if (git_repository_init_ext(&made, folder, &options) != 0)
        return commits_fault(said, "%s is no bare repository, and can't be made one", folder);
    return true;
}

static enum push_end push_tree(const struct push *push, struct fault *said)
{
    struct talk talk = {.push = push};
    OWNED_BUFFER struct buffer found = {0};
    OWNED_GIT(git_repository) git_repository *repository = NULL;
    OWNED char *agents = memory_print("%s/agents", push->data_dir);
    OWNED char *path = memory_print("%s/%s", agents, push->agent);
    const char *folder = git_remote_folder(push->url);
    OWNED_FD int tree = files_open_path(path, said);
    if (tree < 0)
        return PUSH_FAILED;
    if (guard_tree(tree, &(struct guard_look){.agents = agents, .most = GUARD_FILES_MOST}, &found) > 0) {
        fault_set(said,
                  "the tree holds a file or setting that git would obey, so the push waits until that is "
                  "taken out: %.*s",
                  (int)strcspn(found.data, "\n"), found.data);
        return PUSH_FAILED;
    }
    if (folder && !make_remote(folder, said))
        return PUSH_FAILED;
    if (git_repository_open_ext(&repository, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) != 0)
        return say(said, PUSH_FAILED, &talk, "the repository can't be opened");
    enum push_end end = send_branch(repository, &talk, said);
    free(talk.refused);
    return end;
}

/* --- the fetch --- */

/* The pack, stored unread: its place is behind the bundle's header. */
struct stream {
    git_odb_writepack writer; /* first: the callbacks know the stream by it */
    git_odb_backend backend;
    int bundle;
};

static int on_piece(git_odb_writepack *writer, const void *bytes, size_t length,
                    git_indexer_progress *progress)
{
    (void)progress;
    if (files_write_all(((struct stream *)writer)->bundle, bytes, length))
        return 0;
    git_error_set_str(GIT_ERROR_OS, "the bundle can't be written");
    return -1;
}

static int on_whole(git_odb_writepack *writer, git_indexer_progress *progress)
{
    (void)writer;
    (void)progress;
    return 0;
}

static void leave_writer(git_odb_writepack *writer)
{
    (void)writer;
}

static void leave_backend(git_odb_backend *backend)
{
    (void)backend;
}

static int open_stream(git_odb_writepack **writer, git_odb_backend *backend, git_odb *odb,
                       git_indexer_progress_cb progress, void *payload)
{
    (void)odb;
    (void)progress;
    (void)payload;
    struct stream *stream = (struct stream *)((char *)backend - offsetof(struct stream, backend));
    *writer = &stream->writer;
    return 0;
}

static bool begin_stream(struct stream *stream, git_repository *repository)
{
    git_odb *odb = NULL;
    bool good = git_odb_init_backend(&stream->backend, GIT_ODB_BACKEND_VERSION) == 0 &&
                git_repository_odb(&odb, repository) == 0;
    stream->backend.writepack = open_stream;
    stream->backend.free = leave_backend;
    stream->writer = (git_odb_writepack){
        .backend = &stream->backend, .append = on_piece, .commit = on_whole, .free = leave_writer};
    good = good && git_odb_add_backend(odb, &stream->backend, FIRST) == 0;
    git_odb_free(odb);
    return good;
}

/* The branch that the remote's HEAD names, if it is there; else main: agents' branches are called so. */
static const git_remote_head *head_of(git_remote *remote, const git_remote_head **heads, size_t count)
{
    const git_remote_head *found = NULL;
    git_buf named = {0};
    const char *branch =
        git_remote_default_branch(&named, remote) == 0 && named.ptr ? named.ptr : "refs/heads/main";
    for (size_t i = 0; i < count && !found; i++)
        if (strcmp(heads[i]->name, branch) == 0)
            found = heads[i];
    git_buf_dispose(&named);
    return found;
}

static enum push_end has_no_branch(struct fault *said)
{
    fault_set(said, "the remote has no branch of it");
    return PUSH_NO_BRANCH;
}

/* Connects, and finds the branch: head, until the remote is closed. */
static enum push_end find_branch(git_remote *remote, struct talk *talk, const git_remote_head **head,
                                 struct fault *said)
{
    const git_remote_head **heads;
    size_t count = 0;
    git_remote_connect_options how;
    git_remote_connect_options_init(&how, GIT_REMOTE_CONNECT_OPTIONS_VERSION);
    how.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
    answer_by(&how.callbacks, talk);
    if (git_remote_connect_ext(remote, GIT_DIRECTION_FETCH, &how) != 0 ||
        git_remote_ls(&heads, &count, remote) != 0)
        return say(said, PUSH_FAILED, talk, "the remote can't be asked");
    *head = head_of(remote, heads, count);
    for (size_t i = 0; i < count && !*head; i++)
        if (strncmp(heads[i]->name, "refs/heads/", strlen("refs/heads/")) == 0)
            return fault_set(said, "the remote has %s, and neither main nor the branch that its HEAD names",
                             heads[i]->name),
                   PUSH_FAILED;
    return *head ? PUSH_DONE : has_no_branch(said);
}

static enum push_end take_branch(git_remote *remote, struct talk *talk, struct fault *said)
{
    char commit[GIT_OID_HEXSZ + 1];
    const git_remote_head *head;
    git_fetch_options options;
    git_fetch_options_init(&options, GIT_FETCH_OPTIONS_VERSION);
    options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
    options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
    answer_by(&options.callbacks, talk);
    enum push_end end = find_branch(remote, talk, &head, said);
    if (end != PUSH_DONE)
        return end;
    git_oid_tostr(commit, sizeof commit, &head->oid);
    OWNED char *branch = memory_text(head->name);
    OWNED char *header = memory_print("# v2 git bundle\n%s %s\n%s HEAD\n\n", commit, branch, commit);
    if (!files_write_all(talk->push->bundle, header, strlen(header)))
        return fault_errno(said, "the bundle can't be written"), PUSH_FAILED;
    if (git_remote_download(remote, &(git_strarray){.strings = &branch, .count = 1}, &options) != 0)
        return say(said, PUSH_FAILED, talk, "the branch can't be fetched");
    fault_set(said, "%s", commit);
    return PUSH_DONE;
}

static enum push_end fetch_branch(const struct push *push, struct fault *said)
{
    struct talk talk = {.push = push};
    struct stream stream = {.bundle = push->bundle};
    git_repository *repository = NULL;
    git_remote *remote = NULL;
    bool good = git_repository_open_ext(&repository, push->empty, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) == 0 &&
                begin_stream(&stream, repository) &&
                git_remote_create_anonymous(&remote, repository, push->url) == 0;
    enum push_end end =
        good ? take_branch(remote, &talk, said) : say(said, PUSH_FAILED, &talk, "nothing can be fetched");
    git_remote_free(remote);
    git_repository_free(repository);
    return end;
}

/* --- the look --- */

static bool is_above_there(const char *folder)
{
    struct stat status;
    OWNED char *path = memory_text(folder);
    return stat(dirname(path), &status) == 0 && S_ISDIR(status.st_mode);
}

/* The first push makes a file: remote where nothing is yet, or an empty folder. It can't where the folder above is missing:
 * a disk that isn't mounted tells nothing of its branches. */
static bool is_to_be_made(const char *folder)
{
    DIR *listing = opendir(folder);
    int count = 0;
    if (!listing)
        return errno == ENOENT && is_above_there(folder);
    while (readdir(listing))
        count++;
    closedir(listing);
    return count <= 2; /* . and .. */
}

static enum push_end look_there(const struct push *push, struct fault *said)
{
    struct talk talk = {.push = push};
    const char *folder = git_remote_folder(push->url);
    const git_remote_head *head;
    git_remote *remote = NULL;
    if (folder && is_to_be_made(folder))
        return has_no_branch(said);
    if (git_remote_create_detached(&remote, push->url) != 0)
        return say(said, PUSH_FAILED, &talk, "the remote can't be asked");
    enum push_end end = find_branch(remote, &talk, &head, said);
    if (end == PUSH_DONE)
        git_oid_tostr(said->text, GIT_OID_HEXSZ + 1, &head->oid);
    git_remote_free(remote);
    return end;
}

/* --- --- */

/* Makes an empty repository by hand: libgit2 is not begun before the sandbox. */
static bool make_empty(const char *path, struct fault *fault)
{
    static const char head[] = "ref: refs/heads/main\n";
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return fault_errno(fault, "%s can't be made", path);
    OWNED_FD int folder = files_open_path(path, fault);
    OWNED_FD int objects = folder < 0 ? -1 : files_open_folder(folder, "objects", true, fault);
    OWNED_FD int refs = objects < 0 ? -1 : files_open_folder(folder, "refs", true, fault);
    return refs >= 0 && files_write(folder, "HEAD", head, sizeof head - 1, false, fault);
}

static bool begin_bundle(const struct push *push, struct fault *fault)
{
    signal(SIGXFSZ, SIG_IGN);
    struct threads_before before;
    threads_look(&before);
    threads_begin_few(
        &before); /* for a file: remote libgit2 makes a thread for each CPU, and the sandbox allows none */
    close(before.tasks);
    return (setrlimit(RLIMIT_FSIZE, &(struct rlimit){BUNDLE_BYTES_MAX, BUNDLE_BYTES_MAX}) == 0 ||
            fault_errno(fault, "the bundle's size can't be limited")) &&
           make_empty(push->empty, fault);
}

/* A file: remote needs no network; another remote needs no file to write. */
static bool confine(const struct push *push, struct fault *fault)
{
    bool fetches = push->bundle >= 0, pushes = !fetches && !push->looks;
    OWNED char *path = memory_print("%s/agents/%s", push->data_dir, push->agent);
    const char *folder = git_remote_folder(push->url);
    const char *readable[5] = {NULL};
    const char *const more[] = {pushes ? path : push->empty, getenv("SSL_CERT_FILE"), getenv("SSL_CERT_DIR"),
                                pushes ? NULL : folder};
    for (size_t i = 0, count = 0; i < sizeof more / sizeof *more; i++)
        if (more[i])
            readable[count++] = more[i];
    if (fetches && !begin_bundle(push, fault))
        return false;
    if (pushes && folder && mkdir(folder, 0755) != 0 && errno != EEXIST)
        return fault_errno(fault, "%s is not there and can't be made", folder);
    struct sandbox_room room = {.tree = pushes ? folder : NULL,
                                .readable = readable,
                                .memory_bytes = MEMORY_BYTES,
                                .open_files = OPEN_FILES};
    struct sandbox *sandbox = sandbox_prepare(folder ? SANDBOX_WORKER : SANDBOX_MIRROR, push->mode, fault);
    bool confined =
        sandbox && sandbox_enter(sandbox, &room, fault) && (!folder || sandbox_tighten(sandbox, fault));
    sandbox_free(sandbox);
    return confined;
}

static bool start_library(struct fault *fault)
{
    const char *file = getenv("SSL_CERT_FILE"), *folder = getenv("SSL_CERT_DIR");
    if (!repository_library_start(fault))
        return false;
    if ((file || folder) && git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS, file, folder) != 0)
        return fault_set(fault, "SSL_CERT_FILE or SSL_CERT_DIR names nothing that libgit2 can read");
    return true;
}

void push_run(const struct push *push, int out)
{
    struct fault said = {0};
    enum push_end end = PUSH_FAILED;
    signal(SIGPIPE, SIG_IGN);
    if (confine(push, &said) && start_library(&said))
        end = push->bundle >= 0 ? fetch_branch(push, &said)
              : push->looks     ? look_there(push, &said)
                                : push_tree(push, &said);
    OWNED char *text = utf8_clean(said.text, strlen(said.text)); /* the remote's own words may be in it */
    OWNED char *line = memory_print("%d %s\n", (int)end, text);
    (void)files_write_all(out, line, strlen(line));
    _exit(0);
}
