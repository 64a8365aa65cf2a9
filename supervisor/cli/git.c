/* `agentos git AGENT -- ARGS...`: git on the repository of an agent that isn't trusted. The verb needs no supervisor.
 *
 * Three walls, each of which would do. Files that git would obey are taken out of the tree first
 * (common/guard/git_guard.h). Where a worker that was taken over writes them again at once, git can start no program but
 * git: no shell, so no pager, filter, alias or hook. And git is in a sandbox with that tree and no network, as the
 * agent itself is. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/memory.h"
#include "common/printable.h"
#include "common/sandbox/sandbox.h"
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/terminal/confine.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/verbs.h"

enum {
    KEPT_DESCRIPTORS = 3,
    MEMORY_BYTES = 1024 * 1024 * 1024,
    OPEN_FILES = 1024,
    PIECE = 64 * 1024,
    KILLED = 128 /* and the signal, as a shell has it */
};

static const char *const git_folders[] = {"/usr/local/bin/git", "/usr/bin/git", "/bin/git"};

/* Settings of the command line come before the repository's. */
static const char *const settings[] = {
    "--no-pager",
    "-c",
    /* The tree may be another user's; the sandbox guards against what the check of ownership would. */
    "safe.directory=*",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.attributesFile=/dev/null",
    "-c",
    "core.commitGraph=false", /* git would believe a forged one */
    "-c",
    "core.sshCommand=false",
    "-c",
    "credential.helper=",
    "-c",
    "protocol.allow=never",
};

static const struct {
    const char *name, *value;
} environment[] = {
    {"PATH", "/usr/local/bin:/usr/bin:/bin"},
    {"HOME", "/nonexistent"}, /* in the tree the agent could have put a .gitconfig */
    {"GIT_CONFIG_NOSYSTEM", "1"},
    {"GIT_CONFIG_GLOBAL", "/dev/null"},
    {"GIT_ATTR_NOSYSTEM", "1"},
    {"GIT_TERMINAL_PROMPT", "0"},
    {"GIT_EDITOR", ":"},
    {"GIT_PAGER", "cat"},
    {"GIT_NO_REPLACE_OBJECTS", "1"}, /* each commit is shown as it is, */
    {"GIT_GRAFT_FILE", "/dev/null"}, /* with the parents that it has */
};

static const char *const kept[] = {"TERM",
                                   "LANG",
                                   "LC_ALL",
                                   "COLUMNS",
                                   "LINES",
                                   "TZ",
                                   "GIT_AUTHOR_NAME",
                                   "GIT_AUTHOR_EMAIL",
                                   "GIT_COMMITTER_NAME",
                                   "GIT_COMMITTER_EMAIL"};

/* --- the child --- */

static void clean_environment(const char *agents)
{
    confine_environment(kept, sizeof kept / sizeof *kept);
    for (size_t i = 0; i < sizeof environment / sizeof *environment; i++)
        setenv(environment[i].name, environment[i].value, 1);
    setenv("GIT_CEILING_DIRECTORIES", agents, 1);
}

/* The dynamic loader, which is ours too: without it no program is executed. */
static int find_loader(struct dl_phdr_info *info, size_t size, void *loader)
{
    (void)size;
    for (size_t i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_INTERP)
            *(const char **)loader = (const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    return 1; /* the first is the program itself */
}

static void execute(char **arguments, const char *git)
{
    size_t count = 0, given = 0;
    while (arguments[given])
        given++;
    OWNED const char **all = memory_new(given + sizeof settings / sizeof *settings + 2, sizeof *all);
    all[count++] = "git";
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        all[count++] = settings[i];
    for (size_t i = 0; i < given; i++)
        all[count++] = arguments[i];
    execv(git, (char *const *)all);
}

/* ends: the child's standard output and standard error; -1: that stays as it is. Doesn't return. */
static void child(const struct sandbox *sandbox, struct sandbox_room *room, const char *agents,
                  char **arguments, const int ends[2])
{
    struct fault fault;
    const char *loader = NULL, *git = NULL;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 0; !git && i < sizeof git_folders / sizeof *git_folders; i++)
        git = access(git_folders[i], X_OK) == 0 ? git_folders[i] : NULL;
    (void)dl_iterate_phdr(find_loader, &loader);
    const char *const programs[] = {git ? git : "/usr/bin/git",
                                    "/usr/lib/git-core",
                                    "/usr/libexec/git-core",
                                    "/usr/local/libexec/git-core",
                                    loader,
                                    NULL};
    room->programs = programs;
    if (!git || chdir(room->tree) != 0) {
        output_complain(git ? "cannot go to %s: %s" : "there is no git on this machine", room->tree,
                        strerror(errno));
        _exit(EX_NOINPUT);
    }
    clean_environment(agents);
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            (void)dup2(ends[i], STDOUT_FILENO + i);
    close_range(KEPT_DESCRIPTORS, ~0U, 0);
    if (sandbox_enter(sandbox, room, &fault))
        execute(arguments, git);
    else
        errno = EPERM;
    output_complain("git can't be run in the sandbox: %s", strerror(errno));
    _exit(EX_CONFIG);
}

/* --- the parent --- */

/* Shows whole lines, since a character may be cut by the end of a piece. */
static void show(struct buffer *text, FILE *to, bool all)
{
    const char *last = text->length ? memrchr(text->data, '\n', text->length) : NULL;
    size_t length = all || text->length > PIECE ? text->length : last ? (size_t)(last - text->data) + 1 : 0;
    if (length == 0)
        return;
    OWNED char *piece = memory_slice(text->data, length);
    OWNED char *clean = printable_text(piece, length, true);
    fputs(clean, to);
    fflush(to);
    buffer_drop(text, length);
}

/* Passes on until both ends are closed. A descriptor below 0 isn't read. */
static void pass_on(int ends[2])
{
    struct buffer texts[2] = {{0}};
    FILE *const to[2] = {stdout, stderr};
    while (ends[0] >= 0 || ends[1] >= 0) {
        struct pollfd wait[2] = {{.fd = ends[0], .events = POLLIN}, {.fd = ends[1], .events = POLLIN}};
        if (poll(wait, 2, -1) < 0 && errno != EINTR)
            break;
        for (int i = 0; i < 2; i++) {
            if (!wait[i].revents)
                continue;
            ssize_t got = TEMP_FAILURE_RETRY(read(ends[i], buffer_room(&texts[i], PIECE), PIECE));
            texts[i].length += got > 0 ? (size_t)got : 0;
            show(&texts[i], to[i], got <= 0);
            if (got <= 0) {
                close(ends[i]);
                ends[i] = -1;
            }
        }
    }
    buffer_free(&texts[0]);
    buffer_free(&texts[1]);
}

static int run(const struct sandbox *sandbox, struct sandbox_room *room, const char *agents, char **arguments)
{
    int reads[2] = {-1, -1}, writes[2] = {-1, -1}, status = 0;
    for (int i = 0; i < 2; i++) {
        int ends[2];
        if (!isatty(STDOUT_FILENO + i)) /* a file gets git's own bytes */
            continue;
        if (pipe2(ends, O_CLOEXEC) != 0)
            return output_fail(EX_OSERR, "cannot make a pipe: %s", strerror(errno));
        reads[i] = ends[0];
        writes[i] = ends[1];
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        child(sandbox, room, agents, arguments, writes);
    for (int i = 0; i < 2; i++)
        memory_close_at(&writes[i]);
    if (pid < 0)
        return output_fail(EX_OSERR, "cannot start git: %s", strerror(errno));
    (void)signal(SIGINT, SIG_IGN); /* git gets it too, and ends */
    pass_on(reads);
    (void)TEMP_FAILURE_RETRY(waitpid(pid, &status, 0));
    return WIFSIGNALED(status) ? KILLED + WTERMSIG(status) : WEXITSTATUS(status);
}

int verb_git(struct invocation *invocation)
{
    struct fault fault;
    enum sandbox_mode mode = sandbox_mode();
    const char *name = invocation->words[0];
    int status;
    OWNED char *agents = memory_print("%s/agents", invocation->data_dir), *tree = NULL;
    if (mode == SANDBOX_OFF)
        return output_fail(EX_CONFIG, "AGENTOS_SANDBOX is 'off': there is no sandbox to run git in");
    OWNED_FD int folder = data_dir_agent(invocation, name, &tree, &status);
    if (folder < 0)
        return status;
    confine_guard(invocation->data_dir, name);
    struct sandbox_room room = {.tree = tree, .memory_bytes = MEMORY_BYTES, .open_files = OPEN_FILES};
    struct sandbox *sandbox = sandbox_prepare(SANDBOX_GIT, mode, &fault);
    if (!sandbox)
        return output_fail(EX_CONFIG, "%s; git was not run", fault.text);
    status = run(sandbox, &room, agents, invocation->command);
    sandbox_free(sandbox);
    return status;
}
