#include "supervisor/cli/transfer/definition.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/files.h"
#include "common/format/yamldoc.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/printable.h"
#include "supervisor/cli/transfer/roster_append.h"

void definition_free(struct definition *definition)
{
    roster_agent_free(definition->agent);
    buffer_free(&definition->notes);
    free(definition->path);
    free(definition->before);
    free(definition->after);
}

/* --- the definition itself --- */

static struct roster_agent *copy_agent(const struct roster_agent *agent)
{
    OWNED_BUFFER struct buffer wire = {0};
    roster_encode(agent, &wire);
    return roster_decode(wire.data, wire.length);
}

/* The receivers that the agent may send to are agents elsewhere. While its definition is read they are agents here,
 * too. */
static void add_others(const struct yaml_node *item, struct buffer *document)
{
    OWNED_BUFFER struct buffer known = {0};
    const struct yaml_node *name = yaml_get(item, "name"), *list = yaml_get(item, "may_send_to");
    if (!name || !name->text || !list || list->kind != YAML_SEQUENCE)
        return;
    buffer_print(&known, "\n%s\n", name->text);
    for (const struct yaml_node *other = list->child; other; other = other->next) {
        if (!other->text || !names_agent(other->text))
            continue;
        OWNED char *line = memory_print("\n%s\n", other->text);
        if (strstr(known.data, line))
            continue;
        buffer_text(&known, line + 1);
        buffer_print(document, "- {name: %s, persona: elsewhere}\n", other->text);
    }
}

static struct roster_agent *parse(const char *text, size_t length, struct fault *fault)
{
    OWNED_BUFFER struct buffer document = {0}, faults = {0};
    struct fault why = {{0}};
    struct yaml_node *root = yaml_parse(text, length, "its definition", &why);
    bool one = root && root->kind == YAML_SEQUENCE && root->count == 1 && root->child->kind == YAML_MAPPING;
    buffer_text(&document, "agents:\n");
    buffer_add(&document, text, length);
    buffer_text(&document, "\n");
    if (one)
        add_others(root->child, &document);
    bool other = root && !one;
    yaml_free(root);
    struct roster *roster =
        one ? roster_parse(document.data, document.length, "its definition", &faults) : NULL;
    struct roster_agent *agent = roster ? copy_agent(&roster->agents[0]) : NULL;
    roster_free(roster);
    if (!agent)
        fault_set(fault, "its definition is not one agent's: %s",
                  faults.length ? faults.data
                  : other       ? "it is something else"
                  : why.text[0] ? why.text
                                : "it cannot be read");
    return agent;
}

/* --- agents.yaml --- */

static int open_folder(const struct definition *definition, struct fault *fault)
{
    OWNED char *path =
        memory_slice(definition->path, (size_t)(strrchr(definition->path, '/') - definition->path) + 1);
    return files_open_path(path, fault);
}

/* 1: read, 0: there is no file, -1: fault. */
static int read_text(const struct definition *definition, char **text, size_t *length, struct fault *fault)
{
    OWNED_FD int folder = open_folder(definition, fault);
    return folder < 0 ? -1
                      : files_read(folder, strrchr(definition->path, '/') + 1, ROSTER_FILE_MAX, text, length,
                                   NULL, fault);
}

/* 0, or the exit status and fault. */
static int read_file(struct definition *definition, const char *data_dir, struct fault *fault)
{
    OWNED char *path = memory_print("%s/agents.yaml", data_dir);
    definition->path = realpath(path, NULL);
    if (!definition->path && errno == ENOENT && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
        definition->path = memory_text(path);
        return EX_OK;
    }
    if (!definition->path || stat(definition->path, &definition->status) != 0)
        return fault_errno(fault, "%s cannot be read", path), EX_CONFIG;
    OWNED_BUFFER struct buffer faults = {0};
    struct roster *roster = roster_load(data_dir, &faults);
    roster_free(roster);
    if (!roster) {
        fault_set(fault, "agents.yaml must be sound before an agent is added to it:\n%s", faults.data);
        return EX_CONFIG;
    }
    if (read_text(definition, &definition->before, &definition->before_length, fault) != 1)
        return EX_CONFIG;
    return EX_OK;
}

/* Takes out of may_send_to every name that is neither the agent's own nor known to agents.yaml. */
static void cut_receivers(struct definition *definition, const struct roster *roster)
{
    struct text_list *list = &definition->agent->may_send_to;
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        bool known = strcmp(list->items[i], definition->agent->name) == 0 ||
                     (roster && roster_find(roster, list->items[i]));
        if (known) {
            list->items[kept++] = list->items[i];
            continue;
        }
        buffer_print(&definition->notes, "may_send_to: there is no agent %s here, so it was left out\n",
                     list->items[i]);
        free(list->items[i]);
    }
    list->count = kept;
}

static void tell_command(struct definition *definition)
{
    const struct text_list *command = &definition->agent->reward_audit.command;
    if (command->count == 0)
        return;
    OWNED char *clean = printable_text(command->items[0], strlen(command->items[0]), false);
    OWNED char *word = printable_word(clean);
    buffer_print(&definition->notes,
                 "reward_audit: its definition names a checker of its own, %s; look at it before you trust "
                 "it\n",
                 word);
}

static int work_out(struct definition *definition, struct fault *fault)
{
    bool differs = false;
    OWNED_BUFFER struct buffer faults = {0};
    struct roster *roster = definition->before ? roster_parse(definition->before, definition->before_length,
                                                              "agents.yaml", &faults)
                                               : NULL;
    bool known = roster && roster_find(roster, definition->agent->name);
    cut_receivers(definition, roster);
    roster_free(roster);
    if (known) {
        fault_set(fault, "there is an agent '%s' in agents.yaml already", definition->agent->name);
        return EX_CANTCREAT;
    }
    if (definition->before) {
        definition->after =
            roster_append(definition->before, definition->before_length, definition->agent, &differs, fault);
    } else {
        OWNED_BUFFER struct buffer text = {0};
        buffer_text(&text, "agents:\n");
        roster_write(definition->agent, ROSTER_ITEM, 2, false, &text);
        definition->after = buffer_take(&text);
    }
    if (differs)
        buffer_text(&definition->notes,
                    "the `defaults:` of agents.yaml say more of it than its definition\n");
    return definition->after ? EX_OK : EX_DATAERR;
}

int definition_read(struct definition *definition, const char *data_dir, const char *text, size_t length,
                    struct fault *fault)
{
    definition->agent = parse(text, length, fault);
    if (!definition->agent)
        return EX_DATAERR;
    tell_command(definition);
    int status = read_file(definition, data_dir, fault);
    return status ? status : work_out(definition, fault);
}

/* --- adding the definition --- */

static bool is_as_before(const struct definition *definition)
{
    OWNED char *now = NULL;
    size_t length;
    int got = read_text(definition, &now, &length, NULL);
    if (!definition->before)
        return got == 0;
    return got == 1 && length == definition->before_length && memcmp(now, definition->before, length) == 0;
}

static bool write_beside(const struct definition *definition, int folder, const char *name,
                         struct fault *fault)
{
    bool there = definition->before != NULL;
    OWNED_FD int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                             there ? definition->status.st_mode & 0777 : 0644);
    if (fd < 0)
        return fault_errno(fault, "cannot write beside %s", definition->path);
    /* The file keeps its owner, where this process may set one. */
    if (there && (fchmod(fd, definition->status.st_mode & 0777) != 0 ||
                  (geteuid() == 0 && fchown(fd, definition->status.st_uid, definition->status.st_gid) != 0)))
        return fault_errno(fault, "cannot give the new agents.yaml the mode of the old one");
    return (files_write_all(fd, definition->after, strlen(definition->after)) && fsync(fd) == 0) ||
           fault_errno(fault, "cannot write %s", definition->path);
}

int definition_add(struct definition *definition, struct fault *fault)
{
    const char *slash = strrchr(definition->path, '/');
    OWNED char *name = memory_print(".%s.import", slash + 1);
    OWNED_FD int folder = open_folder(definition, fault);
    if (folder < 0)
        return EX_CANTCREAT;
    int status = write_beside(definition, folder, name, fault) ? EX_OK : EX_CANTCREAT;
    if (status == EX_OK && !is_as_before(definition)) {
        fault_set(fault, "agents.yaml has changed in this moment; try again");
        status = EX_TEMPFAIL;
    }
    if (status == EX_OK && renameat(folder, name, folder, slash + 1) != 0) {
        fault_errno(fault, "cannot replace %s", definition->path);
        status = EX_CANTCREAT;
    }
    if (status != EX_OK) {
        unlinkat(folder, name, 0);
        return status;
    }
    if (fsync(folder) == 0)
        return EX_OK;
    fault_errno(fault, "the folder of %s cannot be flushed", definition->path);
    return EX_IOERR;
}
