/* `agentos verify`: an offline check that everything in the data directory is consistent. The verb writes nothing,
 * except that files in an agent's tree that git would obey are taken out before any other file of the tree is read. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/format/entries.h"
#include "common/format/roster.h"
#include "common/guard/git_guard.h"
#include "common/journal.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/repository/commits.h"
#include "common/repository/library.h"
#include "common/repository/object_walk.h"
#include "common/tree.h"
#include "common/utf8.h"
#include "supervisor/cli/inspect/envelope_check.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/confine.h"
#include "supervisor/cli/terminal/output.h"

enum { GUARD_FILES_MOST = 10 * 1000 * 1000, LOCK_STALE_S = 10, SECOND_LOOK_NS = 1000 * 1000 * 1000 - 1 };

/* An agent, or the shared folder, under the check. */
struct verify {
    const char *where; /* "agents/orion" */
    int folder;
    bool half_done; /* a commit of the journal is half done: the next start finishes it */
    struct buffer *findings, *notes;
};

/* Locks of a commit that a crash left half done go with that commit; any other lock holds git up. */
static void verify_lock(struct verify *verify, const char *path)
{
    struct stat status;
    if (fstatat(verify->folder, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        clock_kernel_ns() / 1000000000 - status.st_mtime > LOCK_STALE_S) {
        buffer_print(verify->half_done ? verify->notes : verify->findings,
                     "%s: %s was left by a process that is gone; the next start breaks it\n", verify->where,
                     path);
    }
}

static size_t newest; /* commits of each agent to check, from -n; SIZE_MAX: all */

static void looked(size_t objects)
{
    output_working("objects checked", objects);
}

static void verify_head(struct verify *verify, git_repository *repository)
{
    if (git_repository_head_unborn(repository) == 1) {
        buffer_print(verify->notes, "%s: has no commit yet; the next start makes the first\n", verify->where);
        return;
    }
    if (git_repository_head_detached(repository) == 1)
        buffer_print(verify->findings, "%s: HEAD is on no branch\n", verify->where);
    git_index *index = NULL;
    if (git_repository_index(&index, repository) != 0 || git_index_read(index, 1) != 0)
        buffer_print(verify->findings, "%s: git's index cannot be read\n", verify->where);
    git_index_free(index);
    (void)object_walk_check(repository, newest, looked, verify->where, verify->findings);
    output_working_end();
}

static void verify_history(struct verify *verify, const char *path)
{
    OWNED_GIT(git_repository) git_repository *repository = NULL;
    if (git_repository_open_ext(&repository, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) != 0) {
        struct fault fault = {0};
        (void)commits_fault(&fault, "%s: the repository cannot be opened", verify->where);
        buffer_print(verify->findings, "%s\n", fault.text);
        return;
    }
    verify_head(verify, repository);
    verify_lock(verify, ".git/index.lock");
    verify_lock(verify, ".git/HEAD.lock");
    verify_lock(verify, ".git/refs/heads/main.lock");
}

static void verify_journal(struct verify *verify)
{
    struct fault fault = {0};
    int unfinished = journal_unfinished(verify->folder, &fault);
    if (unfinished < 0) {
        buffer_print(verify->findings, "%s: %s\n", verify->where, fault.text);
    } else if (unfinished > 0) {
        verify->half_done = true;
        buffer_print(verify->notes,
                     "%s: the journal holds %d commit(s) that a crash left half done; the next start "
                     "finishes them, and the findings here may be only those\n",
                     verify->where, unfinished);
    }
}

/* The limits of state files (contract section 8). */
static const struct {
    const char *file;
    int level; /* of the file's headings; 0: a list of goals */
    size_t most;
} STATE_FILES[] = {
    {TREE_SKILLS, 3, SKILLS_MAX}, {TREE_REWARDS, 2, REWARDS_MAX}, {TREE_REFLECTIONS, 2, REFLECTIONS_MAX},
    {TREE_GOALS, 0, GOALS_MAX},   {TREE_PERSONA, -1, 0},          {TREE_CONSTRAINTS, -1, 0},
    {TREE_SYSTEM_PROMPT, -1, 0},
};

static size_t count_open_goals(const char *text)
{
    size_t count = 0;
    for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        count += strncmp(at + strspn(at, " \t"), "- [ ] ", 6) == 0;
    }
    return count;
}

static size_t count_entries(struct verify *verify, int level, const char *text)
{
    struct entries entries = {0};
    entries_parse(&entries, level, text, strlen(text));
    for (size_t i = 0; level == 3 && i < entries.count; i++) {
        OWNED char *file = entry_get(&entries.items[i], "file");
        struct stat status;
        if (file != NULL && fstatat(verify->folder, file, &status, AT_SYMLINK_NOFOLLOW) != 0)
            buffer_print(verify->findings, "%s: the skill %s names %s, which is not there\n", verify->where,
                         entries.items[i].heading, file);
    }
    size_t count = entries.count;
    entries_free(&entries);
    return count;
}

static void verify_state(struct verify *verify)
{
    for (size_t i = 0; i < sizeof(STATE_FILES) / sizeof(STATE_FILES[0]); i++) {
        struct fault fault = {0};
        OWNED char *text = NULL;
        size_t length = 0;
        const char *file = STATE_FILES[i].file;
        int got = files_read(verify->folder, file, TREE_FILE_MAX, &text, &length, NULL, &fault);
        if (got < 0) {
            buffer_print(verify->findings, "%s: %s\n", verify->where, fault.text);
        } else if (got == 0) {
            buffer_print(verify->findings, "%s: %s is missing; the next start makes it again\n",
                         verify->where, file);
        } else if (!utf8_valid(text, length) || strlen(text) != length) {
            buffer_print(verify->findings, "%s: %s is not UTF-8 text\n", verify->where, file);
        } else if (STATE_FILES[i].level >= 0) {
            size_t count = STATE_FILES[i].level == 0 ? count_open_goals(text)
                                                     : count_entries(verify, STATE_FILES[i].level, text);
            if (count > STATE_FILES[i].most)
                buffer_print(verify->findings, "%s: %s holds %zu entries, %zu are the most\n", verify->where,
                             file, count, STATE_FILES[i].most);
        }
    }
}

/* Verified once, whether a supervisor runs or not: a file that was taken out is not there for a second look. */
static void verify_tree(const char *agents, const char *name, struct buffer *findings, struct buffer *notes)
{
    OWNED char *path = memory_print("%s/%s", agents, name);
    OWNED char *real = realpath(agents, NULL);
    OWNED_BUFFER struct buffer said = {0};
    OWNED_FD int folder = files_open_path(path, NULL);
    struct guard_look look = {.agents = real ? real : agents, .take = true, .most = GUARD_FILES_MOST};
    if (folder >= 0 && guard_tree(folder, &look, &said) > 0) {
        char *rest = said.data;
        for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
            if (*line)
                buffer_print(findings, "agents/%s: %s\n", name, line);
    } else if (folder >= 0 && guard_has_aside(folder)) {
        buffer_print(notes,
                     "agents/%s: a file or setting that git would have run or followed lies in " GUARD_ASIDE
                     "; remove it when you have seen it\n",
                     name);
    }
}

static void verify_agent(const char *data_dir, const char *name, struct buffer *findings,
                         struct buffer *notes)
{
    struct fault fault = {0};
    OWNED char *where = memory_print("agents/%s", name);
    OWNED char *path = memory_print("%s/%s", data_dir, where);
    OWNED_FD int folder = files_open_path(path, &fault);
    if (folder < 0) {
        buffer_print(findings, "%s: %s\n", where, fault.text);
        return;
    }
    struct verify verify = {.where = where, .folder = folder, .findings = findings, .notes = notes};
    verify_journal(&verify);
    verify_history(&verify, path);
    verify_state(&verify);
}

/* Keeps the lines of a that b has too. */
static void keep_common(struct buffer *a, const struct buffer *b)
{
    struct buffer kept = {0};
    OWNED char *text = buffer_take(a);
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        OWNED char *whole = memory_print("%s\n", line);
        if (line[0] != '\0' && b->data != NULL && strstr(b->data, whole) != NULL)
            buffer_text(&kept, whole);
    }
    *a = kept;
}

/* All checks of envelopes, locks and segments; of windows only when agents.yaml can be read. */
static void verify_envelopes(const char *data_dir, const char *name, struct buffer *findings,
                             struct buffer *notes)
{
    struct buffer faults OWNED_BUFFER = {0};
    struct roster *roster = roster_load(data_dir, &faults);
    (void)name;
    envelope_check(data_dir, roster, findings, notes);
    envelope_check_shared(data_dir, findings, notes);
    roster_free(roster);
}

/* While a supervisor works, an apparent fault may be a step in the middle: only a finding that still stands a second
 * later counts. */
static void verify_twice(void (*look)(const char *data_dir, const char *name, struct buffer *findings,
                                      struct buffer *notes),
                         const char *data_dir, const char *name, bool running, struct buffer *findings,
                         struct buffer *notes)
{
    struct buffer first OWNED_BUFFER = {0};
    struct buffer second OWNED_BUFFER = {0};
    struct buffer ignored OWNED_BUFFER = {0};
    look(data_dir, name, &first, notes);
    if (running && first.length > 0) {
        (void)nanosleep(&(struct timespec){.tv_nsec = SECOND_LOOK_NS}, NULL);
        look(data_dir, name, &second, &ignored);
        keep_common(&first, &second);
    }
    buffer_add(findings, first.data, first.length);
}

/* A running import holds a lock on the folder; a folder without a lock is left of an import that has ended. */
static void verify_import(const char *agents, const char *name, struct buffer *notes)
{
    OWNED_FD int folder = files_open_path(agents, NULL);
    bool left = folder >= 0 && flock(folder, LOCK_SH | LOCK_NB) == 0;
    buffer_print(notes,
                 left ? "agents/%s: was left by an import that did not come to its end; it is no agent, and "
                        "the next import removes it, as you may\n"
                      : "agents/%s: an import is under way\n",
                 name);
}

/* Takes files that git would obey out of each agent's folder. Returns the number of agents; -1: there is no such
 * folder. */
static int verify_trees(const char *data_dir, struct buffer *findings, struct buffer *notes)
{
    OWNED char *path = memory_print("%s/agents", data_dir);
    OWNED_FD int agents = files_open_path(path, NULL);
    OWNED_LISTING struct listing *names = agents < 0 ? NULL : listing_open(agents, ".", NULL);
    int looked = 0;
    if (names == NULL)
        return -1;
    for (const char *name; (name = listing_next(names)) != NULL;) {
        if (names_agent(name)) {
            verify_tree(path, name, findings, notes);
            looked++;
        }
    }
    return looked;
}

/* The agents' folders, in the order of their names. */
static void verify_agents(const char *data_dir, bool running, struct buffer *findings, struct buffer *notes)
{
    struct dirent **entries = NULL;
    OWNED char *path = memory_print("%s/agents", data_dir);
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (names_agent(entries[i]->d_name))
            verify_twice(verify_agent, data_dir, entries[i]->d_name, running, findings, notes);
        else if (strncmp(entries[i]->d_name, TREE_IMPORT_PREFIX, strlen(TREE_IMPORT_PREFIX)) == 0)
            verify_import(path, entries[i]->d_name, notes);
        else if (entries[i]->d_name[0] != '.')
            buffer_print(notes, "agents/%s: is no agent's folder\n", entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

struct request {
    const char *data_dir;
    bool running;
};

/* Runs in a process of its own, as these repositories may have been made to harm their reader. */
static int verify_and_show(void *context)
{
    const struct request *request = context;
    struct buffer findings OWNED_BUFFER = {0};
    struct buffer notes OWNED_BUFFER = {0};
    verify_agents(request->data_dir, request->running, &findings, &notes);
    (void)output_lines(stdout, "note: ", notes.data);
    (void)output_lines(stdout, "", findings.data);
    return findings.length == 0 ? EX_OK : EX_DATAERR;
}

int verb_verify(struct invocation *invocation)
{
    struct fault fault = {0};
    struct buffer findings OWNED_BUFFER = {0};
    struct buffer notes OWNED_BUFFER = {0};
    if (!invocation_newest(invocation, &newest, &fault))
        return output_fail(EX_USAGE, "%s", fault.text);
    bool running = client_reaches(invocation);
    if (!repository_library_start(&fault))
        return output_fail(EX_SOFTWARE, "%s", fault.text);
    if (running) {
        printf("note: a supervisor is running on %s; each fault is looked at twice\n", invocation->data_dir);
    }
    int looked = verify_trees(invocation->data_dir, &findings, &notes);
    if (looked < 0) {
        int status = invocation_exit_of(errno);
        return output_fail(status, "%s/agents cannot be read: %s", invocation->data_dir, strerror(errno));
    }
    verify_twice(verify_envelopes, invocation->data_dir, "", running, &findings, &notes);
    (void)output_lines(stdout, "note: ", notes.data);
    (void)output_lines(stdout, "", findings.data);
    struct request request = {.data_dir = invocation->data_dir, .running = running};
    int status = confine(invocation->data_dir, verify_and_show, &request);
    if (status == EX_OK && findings.length > 0)
        status = EX_DATAERR;
    if (status == EX_OK)
        printf("%d agent(s) verified: every object, state file and envelope is as it should be\n", looked);
    return output_end(status);
}
