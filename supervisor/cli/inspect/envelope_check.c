#include "supervisor/cli/inspect/envelope_check.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/files.h"
#include "common/format/envelope.h"
#include "common/format/frontmatter.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/tree.h"
#include "supervisor/listings/envelope_scan.h"

/* The statuses that may stand in a folder. A verdict gives the sender's copy, which its archive has by then, the
 * envelope's end. */
static const char *const STATUSES[PLACE_COUNT] = {
    [PLACE_OPERATOR] = " pending deferred ",
    [PLACE_OUTBOX] = " pending deferred ",
    [PLACE_QUEUE] = " pending delivered ",
    [PLACE_INBOX] = " pending delivered reading ",
    [PLACE_HANDOFFS] = " pending delivered reading ",
    [PLACE_ARCHIVE] = " delivered finished read expired ",
    [PLACE_DEAD_LETTERS] = " expired failed refused ",
};

/* "agents/orion: iac/inbox/ID.md" */
static void name_copy(const struct copy *copy, struct buffer *findings)
{
    static const char AGENTS[] = "agents/";
    size_t above = strlen(place_folder(copy->place));
    if (copy->place != PLACE_OPERATOR && copy->place != PLACE_QUEUE)
        above = strlen(AGENTS) + strlen(copy->owner);
    buffer_print(findings, "%.*s: %s", (int)above, copy->path,
                 copy->path[above] != '\0' ? copy->path + above + 1 : "");
}

static bool fits(const struct copy *copy)
{
    OWNED char *word = memory_print(" %s ", copy->envelope.status);
    return strstr(STATUSES[copy->place], word) != NULL;
}

static void check_copy(const struct copy *copy, struct buffer *findings, struct buffer *notes)
{
    if (copy->fault != NULL) {
        name_copy(copy, copy->set_aside ? notes : findings);
        buffer_print(copy->set_aside ? notes : findings, " %s\n",
                     copy->set_aside ? "was set aside, because it is no envelope" : copy->fault);
    } else if (!fits(copy)) {
        name_copy(copy, findings);
        buffer_print(findings, " has status: %s, which doesn't belong there%s\n", copy->envelope.status,
                     copy->place == PLACE_DEAD_LETTERS ? "; the next start of the supervisor finishes its end"
                                                       : "");
    }
}

static bool is_ended(const struct copy *copy)
{
    return copy->place == PLACE_DEAD_LETTERS || (copy->place == PLACE_ARCHIVE && !copy_is_senders(copy));
}

static bool is_queued(const struct copy *copy)
{
    return copy->place == PLACE_QUEUE;
}

static bool is_sent(const struct copy *copy)
{
    return copy->place == PLACE_OUTBOX || copy->place == PLACE_OPERATOR;
}

static bool is_sent_off(const struct copy *copy)
{
    return copy->place == PLACE_ARCHIVE && !is_ended(copy);
}

/* Picks the first copy of one envelope for which `is` holds, and another such copy after it (both may be NULL). */
static const struct copy *pick(const struct copy *copies, size_t count, bool (*is)(const struct copy *),
                               const struct copy **another)
{
    const struct copy *found = NULL;
    *another = NULL;
    for (size_t i = 0; i < count; i++)
        if (is(&copies[i]))
            *(found == NULL ? &found : another) = &copies[i];
    return found;
}

/* Two states that exclude each other for one envelope. */
static const struct contradiction {
    bool (*one)(const struct copy *), (*other)(const struct copy *);
    bool same_owner; /* a contradiction only within one tree */
    const char *sentence;
} CONTRADICTIONS[] = {
    {copy_is_live, copy_is_live, false, "lies unfinished in two places"},
    {is_ended, is_ended, false, "has ended twice"},
    {is_queued, is_queued, false, "lies in two queues"},
    {copy_is_live, is_ended, false,
     "lies unfinished and has ended; the next start removes what is left over"},
    {is_queued, is_ended, false, "has ended, yet lies in its queue; the next start removes it there"},
    {is_sent, is_sent_off, true,
     "lies on its way and was sent off; the next start removes what is left over"},
};

static void check_contradictions(const struct copy *copies, size_t count, struct buffer *findings)
{
    for (size_t i = 0; i < sizeof(CONTRADICTIONS) / sizeof(CONTRADICTIONS[0]); i++) {
        const struct contradiction *rule = &CONTRADICTIONS[i];
        const struct copy *another = NULL;
        const struct copy *one = pick(copies, count, rule->one, &another);
        const struct copy *other =
            rule->one == rule->other ? another : pick(copies, count, rule->other, &another);
        if (one != NULL && other != NULL && (!rule->same_owner || strcmp(one->owner, other->owner) == 0)) {
            name_copy(one, findings);
            buffer_print(findings, " %s: %s\n", rule->sentence, other->path);
        }
    }
}

/* An item's place in its queue and its consumer's copy go together. */
static void check_item(const struct copy *copies, size_t count, struct buffer *findings)
{
    const struct copy *another = NULL;
    const struct copy *queued = pick(copies, count, is_queued, &another);
    const struct copy *live = pick(copies, count, copy_is_live, &another);
    const struct copy *ended = pick(copies, count, is_ended, &another);
    const char *consumer = queued != NULL ? queued->envelope.consumer : NULL;
    if (queued == NULL && live != NULL && live->envelope.kind == KIND_ITEM) {
        name_copy(live, findings);
        buffer_print(findings, " is an item of %s, where it isn't any more\n", live->envelope.to);
    } else if (queued != NULL && live != NULL && (consumer == NULL || strcmp(consumer, live->owner) != 0)) {
        name_copy(queued, findings);
        buffer_print(findings, " is not given to %s, where it lies unfinished: %s\n", live->owner,
                     live->path);
    } else if (live == NULL && ended == NULL && consumer != NULL) {
        name_copy(queued, findings);
        buffer_print(findings, " is given to %s, who has no copy of it; the next start gives it out again\n",
                     consumer);
    }
}

/* --- windows --- */

/* A class that agents.yaml leaves open stands in persona.md. */
static enum throughput_class class_of(const char *data_dir, const struct roster_agent *agent)
{
    enum throughput_class class = CLASS_MEDIUM;
    OWNED char *path = memory_print("%s/agents/%s", data_dir, agent->name);
    OWNED_FD int folder = files_open_path(path, NULL);
    OWNED char *text = NULL;
    size_t length = 0;
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    if (agent->throughput_class != CLASS_UNSET)
        return agent->throughput_class;
    if (folder >= 0 && files_read(folder, TREE_PERSONA, TREE_FILE_MAX, &text, &length, NULL, NULL) == 1 &&
        frontmatter_parse(&matter, text, length, TREE_PERSONA, NULL)) {
        const char *word = frontmatter_text(&matter, "throughput_class");
        if (word == NULL || !class_parse(word, &class))
            class = CLASS_MEDIUM;
    }
    return class;
}

/* Whether the envelope counts in the window: people's own files were never delivered, and results and bounces always
 * find room. */
static bool fills_window(const struct copy *copy, const char *agent)
{
    return copy_is_live(copy) && strcmp(copy->owner, agent) == 0 && copy->envelope.delivered != 0 &&
           envelope_kind_has(copy->envelope.kind, KIND_STARTS_CYCLE);
}

static void check_window(const struct envelope_scan *scan, const char *data_dir, const struct roster *roster,
                         const struct roster_agent *agent, struct buffer *findings)
{
    enum throughput_class class = class_of(data_dir, agent);
    int64_t window = roster->classes[class].window;
    int64_t count = 0;
    for (size_t i = 0; i < scan->count; i++)
        count += fills_window(&scan->copies[i], agent->name);
    if (count > window)
        buffer_print(findings, "agents/%s: %lld envelopes lie there unfinished, its class %s takes %lld\n",
                     agent->name, (long long)count, class_name(class), (long long)window);
}

void envelope_check(const char *data_dir, const struct roster *roster, struct buffer *findings,
                    struct buffer *notes)
{
    struct envelope_scan scan;
    envelope_scan_take(&scan, data_dir, false);
    envelope_scan_group(&scan);
    for (size_t i = 0; i < scan.count; i++)
        check_copy(&scan.copies[i], findings, notes);
    for (size_t i = 0, same = 0; i < scan.count && scan.copies[i].fault == NULL; i += same) {
        same = envelope_scan_same(&scan, i);
        check_contradictions(&scan.copies[i], same, findings);
        check_item(&scan.copies[i], same, findings);
    }
    for (size_t i = 0; roster != NULL && i < roster->agent_count; i++)
        check_window(&scan, data_dir, roster, &roster->agents[i], findings);
    envelope_scan_free(&scan);
}

/* --- locks and segments --- */

struct notice {
    const char *path;
    const struct frontmatter *matter;
    struct buffer *findings;
};

static bool holds_number(const struct notice *notice, const char *key, int64_t least)
{
    const struct yaml_node *node = yaml_get(notice->matter->head, key);
    int64_t number = 0;
    if (node != NULL && yaml_integer(node, &number) && number >= least)
        return true;
    buffer_print(notice->findings, "%s: '%s' must be a whole number from %lld\n", notice->path, key,
                 (long long)least);
    return false;
}

static bool is_said(const struct notice *notice, const char *key)
{
    const struct yaml_node *node = yaml_get(notice->matter->head, key);
    return node != NULL && !yaml_is_null(node) && node->kind == YAML_SCALAR && node->text[0] != '\0';
}

static void check_lock(const struct notice *notice)
{
    const char *holder = frontmatter_text(notice->matter, "holder");
    bool held = holder != NULL && strcmp(holder, "none") != 0;
    if (holds_number(notice, "token", 0) && held &&
        !(is_said(notice, "task") && is_said(notice, "lease_until")))
        buffer_print(notice->findings, "%s: it has a holder, but no task or no lease\n", notice->path);
}

static void check_segment(const struct notice *notice)
{
    (void)holds_number(notice, "version", 0);
}

static void check_notice(int folder, const char *where, const char *file,
                         void (*check)(const struct notice *), struct buffer *findings)
{
    struct fault fault = {0};
    OWNED_FRONTMATTER struct frontmatter matter = {0};
    OWNED char *text = NULL;
    OWNED char *path = memory_print("%s/%s", where, file);
    size_t length = 0;
    int got = files_read(folder, file, TREE_FILE_MAX, &text, &length, NULL, &fault);
    if (got < 0 || (got > 0 && !frontmatter_parse(&matter, text, length, path, &fault))) {
        buffer_print(findings, "%s cannot be read: %s\n", path, fault.text);
    } else if (got > 0) {
        const char *name = frontmatter_text(&matter, "name");
        OWNED char *expected = name != NULL ? names_file(name) : NULL;
        if (name == NULL || strncmp(expected, file, strlen(file) - 3) != 0 ||
            strlen(expected) != strlen(file) - 3)
            buffer_print(findings, "%s is not named after what it holds: '%s'\n", path,
                         name != NULL ? name : "");
        check(&(struct notice){path, &matter, findings});
    }
}

static void check_board(const char *data_dir, const char *where, void (*check)(const struct notice *),
                        struct buffer *findings, struct buffer *notes)
{
    struct dirent **files = NULL;
    OWNED char *path = memory_print("%s/%s", data_dir, where);
    OWNED_FD int folder = files_open_path(path, NULL);
    int count = folder >= 0 ? scandir(path, &files, NULL, alphasort) : -1;
    if (count < 0 && errno != ENOENT)
        buffer_print(findings, "%s: cannot be read: %s\n", where, strerror(errno));
    for (int i = 0; i < count; i++) {
        const char *name = files[i]->d_name;
        if (name[0] != '.' && names_markdown(name))
            check_notice(folder, where, name, check, findings);
        else if (name[0] != '.')
            buffer_print(notes, "%s/%s was set aside, or is no file of ours\n", where, name);
        free(files[i]);
    }
    free(files);
}

void envelope_check_shared(const char *data_dir, struct buffer *findings, struct buffer *notes)
{
    check_board(data_dir, "shared/locks", check_lock, findings, notes);
    check_board(data_dir, "shared/segments", check_segment, findings, notes);
}
