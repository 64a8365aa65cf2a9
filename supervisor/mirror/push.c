#include "supervisor/mirror/push.h"

#include <errno.h>
#include <git2.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/format/git_remote.h"
#include "common/git_guard.h"
#include "common/memory.h"
#include "common/repository/commits.h"
#include "common/repository/library.h"
#include "common/utf8.h"
#include "supervisor/mirror/known_hosts.h"

enum { MEMORY_BYTES = 512 * 1024 * 1024, OPEN_FILES = 256, GUARD_FILES_MOST = 1000 * 1000 };

/* The state that libgit2's callbacks share. */
struct talk {
    const struct push *push;
    bool shown;           /* the credentials: a remote that asks again has refused them */
    char *refused;        /* the remote's own words about the branch; NULL: it took it */
    struct fault trouble; /* a sentence of ours, better than libgit2's; empty: none */
};

/* --- what libgit2 asks --- */

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
    options.callbacks.credentials = on_credentials;
    options.callbacks.certificate_check = on_certificate;
    options.callbacks.push_update_reference = on_reference;
    options.callbacks.payload = talk;
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

/* A file: remote that isn't there yet is made: whoever gives its path means it. */
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
                  "something lies in the tree that git would obey, so it waits until that is taken "
                  "out: %.*s",
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

/* A file: remote has no need of the network; another one has no need of a file to write. */
static bool confine(const struct push *push, struct fault *fault)
{
    OWNED char *path = memory_print("%s/agents/%s", push->data_dir, push->agent);
    const char *folder = git_remote_folder(push->url);
    const char *readable[] = {path, getenv("SSL_CERT_FILE"), getenv("SSL_CERT_DIR"), NULL};
    if (!readable[1])
        readable[1] = readable[2], readable[2] = NULL;
    if (folder && mkdir(folder, 0755) != 0 && errno != EEXIST)
        return fault_errno(fault, "%s is not there and can't be made", folder);
    struct sandbox_room room = {
        .tree = folder, .readable = readable, .memory_bytes = MEMORY_BYTES, .open_files = OPEN_FILES};
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
        end = push_tree(push, &said);
    OWNED char *text = utf8_clean(said.text, strlen(said.text)); /* the remote's own words may be in it */
    OWNED char *line = memory_print("%d %s\n", (int)end, text);
    (void)files_write_all(out, line, strlen(line));
    _exit(0);
}
