/* `agentos import`: an agent out of a file that `agentos export` made, here or elsewhere.
 *
 * In this order, under a lock that one import at a time holds:
 *   1. agents/.import-XXXXXX  unpacked there, checked, flushed (unpack.c)
 *   2. agents/NAME            by a rename that replaces nothing
 *   3. .run/wanted/NAME       says that the agent stays stopped: nobody has looked at it yet
 *   4. agents.yaml            with the definition behind the others, by rename
 *   5. the mark goes          .agentos/import, which says that this import made the folder
 * An end before 2: the next import removes the scratch folder. Before 4: the folder stands whole, no agent runs in it,
 * and the same import again goes on from there, as the mark tells it. Before 5: the import is complete, and the mark
 * means nothing any more. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/files.h"
#include "common/format/block.h"
#include "common/format/roster.h"
#include "common/listing.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/printable.h"
#include "common/tree.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/cli/transfer/bundle_layout.h"
#include "supervisor/cli/transfer/definition.h"
#include "supervisor/cli/transfer/gitbundle.h"
#include "supervisor/cli/transfer/transfer.h"
#include "supervisor/cli/transfer/unpack.h"

#define SCRATCH "agents/" TREE_IMPORT_PREFIX
#define MARK    TREE_NOTES "/import"
#define WANTED  ".run/wanted" /* supervisor/agent/desired_state.c */

enum { LOCK_TRIES = 200, LOCK_PAUSE_NS = 50 * 1000 * 1000, HEAD_DIGITS = 7 };

struct import {
    const char *data_dir, *file;
    const char *name; /* of the agent's folder; where the agent is moved, agents.yaml has it already */
    int agents;       /* DATA_DIR/agents, locked; -1: not yet */
    int input;        /* the bundle */
    struct gitbundle bundle;
    char *scratch; /* absolute; NULL: none */
    struct definition definition;
    struct fault fault;
};

/* --- the file --- */

static int open_file(struct import *import)
{
    struct stat status;
    import->input = open(import->file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (import->input < 0)
        return fault_errno(&import->fault, "it cannot be opened"), invocation_exit_of(errno);
    if (fstat(import->input, &status) != 0 || !S_ISREG(status.st_mode))
        return fault_set(&import->fault, "it is no regular file"), EX_DATAERR;
    if ((uint64_t)status.st_size > UNPACK_PACK_MAX)
        return fault_set(&import->fault, "it is larger than 2 GiB"), EX_DATAERR;
    OWNED char *head = memory_new(GITBUNDLE_HEADER_MAX, 1);
    ssize_t got = pread(import->input, head, GITBUNDLE_HEADER_MAX, 0);
    if (got < 0)
        return fault_errno(&import->fault, "it cannot be read"), EX_IOERR;
    if (!gitbundle_parse(&import->bundle, head, (size_t)got, &import->fault))
        return EX_DATAERR;
    import->bundle.end = status.st_size;
    return EX_OK;
}

/* --- the data directory --- */

static void remove_folder(char *path)
{
    char *const paths[] = {path, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    for (FTSENT *entry; walk && (entry = fts_read(walk)) != NULL;)
        if (entry->fts_info != FTS_D)
            (void)remove(entry->fts_accpath);
    if (walk)
        fts_close(walk);
}

/* Nobody else imports now, so every scratch folder is left of an import that was ended. A folder that was not met
 * goes with the next import. */
static void sweep(struct import *import)
{
    OWNED_LISTING struct listing *names = listing_open(import->agents, ".", NULL);
    const char *start = TREE_IMPORT_PREFIX;
    for (const char *name; names && (name = listing_next(names)) != NULL;)
        if (strncmp(name, start, strlen(start)) == 0) {
            OWNED char *path = memory_print("%s/agents/%s", import->data_dir, name);
            remove_folder(path);
        }
}

static int take_lock(struct import *import)
{
    OWNED_FD int data = files_open_path(import->data_dir, &import->fault);
    if (data < 0)
        return invocation_exit_of(errno);
    import->agents = files_open_folder(data, "agents", true, &import->fault);
    if (import->agents < 0)
        return EX_CANTCREAT;
    for (int tries = 0; flock(import->agents, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fault_errno(&import->fault, "%s/agents cannot be locked", import->data_dir), EX_CANTCREAT;
        if (tries >= LOCK_TRIES) {
            fault_set(&import->fault, "another import is under way; try again");
            return EX_TEMPFAIL;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = LOCK_PAUSE_NS}, NULL);
    }
    sweep(import);
    return EX_OK;
}

static int make_scratch(struct import *import)
{
    import->scratch = memory_print("%s/" SCRATCH "XXXXXX", import->data_dir);
    if (mkdtemp(import->scratch))
        return chmod(import->scratch, 0755) == 0 ? EX_OK : EX_CANTCREAT;
    fault_errno(&import->fault, "%s/agents cannot be written to", import->data_dir);
    memory_set(&import->scratch, NULL);
    return EX_CANTCREAT;
}

/* --- putting the folder in place --- */

/* Files that root unpacks belong to the owner of the other agents: else that owner's supervisor could not write
 * them. */
static int give_away(struct import *import)
{
    struct stat owner;
    char *const paths[] = {import->scratch, NULL};
    if (geteuid() != 0 || fstat(import->agents, &owner) != 0 || owner.st_uid == 0)
        return EX_OK;
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    bool good = walk != NULL;
    for (FTSENT *entry; good && (entry = fts_read(walk)) != NULL;)
        good = entry->fts_info == FTS_D || lchown(entry->fts_accpath, owner.st_uid, owner.st_gid) == 0;
    if (!good)
        fault_errno(&import->fault, "its files cannot be given to the owner of %s/agents", import->data_dir);
    if (walk)
        fts_close(walk);
    return good ? EX_OK : EX_CANTCREAT;
}

static const char *mark_of(const struct import *import)
{
    const struct gitbundle_ref *ref = gitbundle_find(&import->bundle, BUNDLE_REF);
    return ref ? ref->id : gitbundle_find(&import->bundle, "HEAD")->id;
}

/* Whether this very import left the folder of this name, before agents.yaml had its agent. */
static bool is_ours(const struct import *import)
{
    OWNED char *text = NULL;
    size_t length;
    OWNED char *path = memory_print("%s/" MARK, import->name);
    return files_read(import->agents, path, 64, &text, &length, NULL, NULL) == 1 &&
           strcmp(text, mark_of(import)) == 0;
}

static int put_in_place(struct import *import)
{
    const char *name = import->name, *id = mark_of(import);
    OWNED_FD int folder = files_open_path(import->scratch, &import->fault);
    if (folder < 0 || !files_write(folder, MARK, id, strlen(id), true, &import->fault))
        return EX_IOERR;
    int status = give_away(import);
    if (status != EX_OK)
        return status;
    const char *scratch = strrchr(import->scratch, '/') + 1;
    if (renameat2(import->agents, scratch, import->agents, name, RENAME_NOREPLACE) != 0) {
        bool there = errno == EEXIST || errno == ENOTEMPTY;
        if (there && is_ours(import))
            return EX_OK;
        if (there)
            fault_set(&import->fault, "%s/agents/%s is there already", import->data_dir, name);
        else
            fault_errno(&import->fault, "it cannot be put to %s/agents/%s", import->data_dir, name);
        return EX_CANTCREAT;
    }
    memory_set(&import->scratch, NULL);
    if (fsync(import->agents) == 0)
        return EX_OK;
    fault_errno(&import->fault, "%s/agents cannot be flushed", import->data_dir);
    return EX_IOERR;
}

/* As `agentos stop` does: the order outlives every restart. An order that root writes belongs to the supervisor's
 * user. */
static int stay_stopped(struct import *import)
{
    static const char stopped[] = "stopped\n";
    struct stat owner;
    OWNED_FD int data = files_open_path(import->data_dir, &import->fault);
    OWNED_FD int folder = data < 0 ? -1 : files_open_folder(data, WANTED, true, &import->fault);
    const char *name = import->name;
    if (folder < 0 || !files_write(folder, name, stopped, sizeof stopped - 1, true, &import->fault))
        return EX_CANTCREAT;
    if (geteuid() == 0 && fstat(import->agents, &owner) == 0 && owner.st_uid != 0 &&
        (fchownat(folder, name, owner.st_uid, owner.st_gid, AT_SYMLINK_NOFOLLOW) != 0 ||
         fchown(folder, owner.st_uid, owner.st_gid) != 0 ||
         fchownat(data, ".run", owner.st_uid, owner.st_gid, AT_SYMLINK_NOFOLLOW) != 0)) {
        fault_errno(&import->fault, "%s/" WANTED "/%s cannot be given to the owner of the agents",
                    import->data_dir, name);
        return EX_CANTCREAT;
    }
    return EX_OK;
}

static void remove_mark(struct import *import)
{
    OWNED char *path = memory_print("%s/" MARK, import->name);
    (void)unlinkat(import->agents, path, 0);
}

/* --- telling --- */

static int tell_supervisor(const struct invocation *invocation)
{
    int status = EX_OK;
    if (!client_reaches(invocation))
        return EX_OK;
    json_auto_t *answer =
        client_call(invocation, json_pack("{s:s}", "verb", "reload"), CLIENT_PATIENCE, &status);
    client_show_said(answer);
    return status;
}

static size_t count_pending(const struct import *import)
{
    OWNED char *text = NULL;
    size_t length, count = 0;
    struct block_list blocks = {0};
    OWNED char *path = memory_print("%s/" TREE_QUEUE, import->name);
    if (files_read(import->agents, path, QUEUE_FILE_MAX, &text, &length, NULL, NULL) != 1)
        return 0;
    block_parse(&blocks, text, length);
    for (size_t i = 0; i < blocks.count; i++)
        count += blocks.items[i].task && !blocks.items[i].stray;
    block_list_free(&blocks);
    return count;
}

static size_t count_envelopes(const struct import *import)
{
    size_t count = 0;
    static const char *const folders[] = {TREE_INBOX, TREE_HANDOFFS, TREE_OUTBOX};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        OWNED char *path = memory_print("%s/%s", import->name, folders[i]);
        OWNED_LISTING struct listing *names = listing_open(import->agents, path, NULL);
        for (const char *name; names && (name = listing_next(names));)
            count += names_work(name);
    }
    return count;
}

/* The checker that judges the agent's tasks. Each word of a command stays on its line, quoted as a shell would have it:
 * a word that ends the line could say that there is no checker. */
static void tell_checker(const struct roster_agent *agent, struct buffer *text)
{
    const struct text_list *command = &agent->reward_audit.command;
    buffer_text(text, "  checker:");
    for (size_t i = 0; i < command->count; i++) {
        OWNED char *clean = output_clean(command->items[i], 0);
        OWNED char *word = printable_word(clean);
        buffer_print(text, " %s", word);
    }
    if (command->count == 0)
        buffer_text(text, agent->reward_audit.method == AUDIT_LLM ? " the model" : " no program of its own");
    buffer_text(text, "\n");
}

static void tell_schedule(const struct roster_agent *agent, struct buffer *text)
{
    buffer_text(text, agent->schedule_count == 0 ? "  schedule: none\n" : "  schedule: ");
    for (size_t i = 0; i < agent->schedule_count; i++) {
        OWNED char *task = output_clean(agent->schedule[i].task, 0);
        buffer_print(text, "%s%s: %s\n", i ? "    " : "", agent->schedule[i].cron, task);
    }
}

/* Shows the agent's duties to the person who decides whether it is started. Every text that came with the file keeps to
 * one line, so none forges another line. */
static void tell_intent(const struct import *import)
{
    const struct roster_agent *agent = import->definition.agent;
    OWNED_BUFFER struct buffer text = {0};
    buffer_print(&text, "the agent is stopped; `agentos start %s` starts it. Then\n", agent->name);
    buffer_print(&text, "  queue: %zu pending task(s) and %zu envelope(s) are done or sent here too\n",
                 count_pending(import), count_envelopes(import));
    tell_checker(agent, &text);
    tell_schedule(agent, &text);
    buffer_print(
        &text,
        "  limits: memory_mb %lld, open_files %lld, disk_mb %lld, task_seconds %lld, tokens_per_day %lld, "
        "cost_per_day %.15g, tasks_per_hour %lld (0: none)\n",
        (long long)agent->limits.memory_mb, (long long)agent->limits.open_files,
        (long long)agent->limits.disk_mb, (long long)agent->limits.task_seconds,
        (long long)agent->limits.tokens_per_day, agent->limits.cost_per_day,
        (long long)agent->limits.tasks_per_hour);
    OWNED char *clean = output_clean(text.data, 1);
    fputs(clean, stdout);
}

static void tell(const struct import *import)
{
    OWNED char *notes = output_clean(import->definition.notes.data ? import->definition.notes.data : "", 1);
    printf("%s: imported at %.*s; its definition stands at the end of the agents in agents.yaml\n",
           import->name, HEAD_DIGITS, gitbundle_find(&import->bundle, "HEAD")->id);
    fputs(notes, stdout);
    tell_intent(import);
}

/* --- --- */

/* For `agentos move`: agents.yaml has the agent, whose order stays. */
static int put_moved(struct import *import)
{
    int status = put_in_place(import);
    if (status == EX_OK)
        remove_mark(import);
    return status;
}

static int run(struct import *import)
{
    OWNED_BUFFER struct buffer text = {0};
    int status = open_file(import);
    status = status ? status : take_lock(import);
    status = status ? status : make_scratch(import);
    status = status ? status
                    : unpack_bundle(import->scratch, import->input, &import->bundle, import->name != NULL,
                                    &text, &import->fault);
    if (status != EX_OK || import->name)
        return status ? status : put_moved(import);
    status = definition_read(&import->definition, import->data_dir, text.data, text.length, &import->fault);
    import->name = status == EX_OK ? import->definition.agent->name : NULL;
    status = status ? status : put_in_place(import);
    status = status ? status : stay_stopped(import);
    status = status ? status : definition_add(&import->definition, &import->fault);
    if (status == EX_OK)
        remove_mark(import);
    return status;
}

int verb_import(struct invocation *invocation)
{
    struct import import = {.data_dir = invocation->data_dir,
                            .file = invocation->words[0],
                            .agents = -1,
                            .input = -1,
                            .name = invocation->options[OPTION_MOVED]};
    bool moved = import.name != NULL;
    int status = moved && !names_agent(import.name) ? EX_USAGE : run(&import);
    if (import.scratch)
        remove_folder(import.scratch);
    if (status == EX_OK && !moved) {
        tell(&import);
        status = tell_supervisor(invocation);
    } else if (status != EX_OK) {
        OWNED char *file = output_clean(import.file, 0);
        OWNED char *why = output_clean(import.fault.text, 1);
        output_complain("%s was not imported: %s", file, why);
    }
    definition_free(&import.definition);
    gitbundle_free(&import.bundle);
    free(import.scratch);
    memory_close_at(&import.input);
    memory_close_at(&import.agents);
    return output_end(status);
}
