/* The end of the list is guessed from the places of its items, in more than one way; a guess counts when its result
 * reads as it should. So a guess that a strange layout misleads costs nothing. */
#include "supervisor/cli/transfer/roster_append.h"

#include <stdlib.h>
#include <string.h>

#include "common/format/yamldoc.h"

enum { BRACKETS_MAX = 64 };

struct appending {
    const char *text;
    size_t length;
    const struct roster *before;
    const struct roster_agent *agent;
    struct buffer faults; /* of the last attempt */
    char *best;           /* owned; a text that reads well, but with another agent */
};

static bool same_agent(const struct roster_agent *a, const struct roster_agent *b)
{
    OWNED_BUFFER struct buffer one = {0}, other = {0};
    if (!a || !b)
        return false;
    roster_encode(a, &one);
    roster_encode(b, &other);
    return one.length == other.length && memcmp(one.data, other.data, one.length) == 0;
}

static bool keeps_the_others(const struct roster *before, const struct roster *after)
{
    if (after->agent_count != before->agent_count + 1 || after->queue_count != before->queue_count ||
        after->segment_count != before->segment_count || after->tokens_per_day != before->tokens_per_day)
        return false;
    for (size_t i = 0; i < before->agent_count; i++)
        if (!same_agent(&before->agents[i], roster_find(after, before->agents[i].name)))
            return false;
    return true;
}

/* The text with `piece` put in at `at`; NULL: the text doesn't read as it should, or the agent differs. */
static char *attempt(struct appending *appending, size_t at, const struct buffer *piece)
{
    struct buffer text = {0};
    buffer_add(&text, appending->text, at);
    buffer_add(&text, piece->data, piece->length);
    buffer_add(&text, appending->text + at, appending->length - at);
    buffer_free(&appending->faults);
    appending->faults = (struct buffer){0};
    struct roster *after = roster_parse(text.data, text.length, "agents.yaml", &appending->faults);
    const struct roster_agent *found = after ? roster_find(after, appending->agent->name) : NULL;
    bool good = found && keeps_the_others(appending->before, after);
    bool exact = good && same_agent(found, appending->agent);
    roster_free(after);
    char *made = buffer_take(&text);
    if (exact)
        return made;
    free(good ? appending->best : made);
    appending->best = good ? made : appending->best;
    return NULL;
}

/* --- a list with dashes --- */

/* Offset of a line (from 1); the end of the text when it has fewer lines. */
static size_t line_offset(const struct appending *appending, unsigned line)
{
    size_t at = 0;
    for (unsigned here = 1; here < line && at < appending->length; here++) {
        const char *end = memchr(appending->text + at, '\n', appending->length - at);
        at = end ? (size_t)(end - appending->text) + 1 : appending->length;
    }
    return at;
}

/* Leaves out lines without content in front of `at`, as they belong to the next item. */
static size_t without_comments(const struct appending *appending, size_t from, size_t at)
{
    for (;;) {
        size_t line = at;
        while (line > from && appending->text[line - 1] != '\n')
            line--;
        if (line == at && line > from) {
            line--;
            while (line > from && appending->text[line - 1] != '\n')
                line--;
        }
        size_t first = line;
        while (first < at && strchr(" \t\r", appending->text[first]) && appending->text[first])
            first++;
        bool blank = first == at || strchr("\n#", appending->text[first]) ||
                     strncmp(appending->text + first, "...", 3) == 0;
        if (line <= from || !blank)
            return at;
        at = line;
    }
}

static char *append_item(struct appending *appending, size_t at, unsigned indent, bool whole)
{
    OWNED_BUFFER struct buffer piece = {0};
    if (at > 0 && appending->text[at - 1] != '\n')
        buffer_text(&piece, "\n");
    roster_write(appending->agent, ROSTER_ITEM, indent, whole, &piece);
    return attempt(appending, at, &piece);
}

static char *append_to_block(struct appending *appending, const struct yaml_node *list,
                             const struct yaml_node *next, bool whole)
{
    const struct yaml_node *last = list->child;
    while (last->next)
        last = last->next;
    size_t from = line_offset(appending, last->line);
    size_t end = next ? line_offset(appending, next->key_line) : appending->length;
    size_t tight = without_comments(appending, from, end);
    char *made = append_item(appending, tight, list->column - 1, whole);
    return made || tight == end ? made : append_item(appending, end, list->column - 1, whole);
}

/* --- a list in brackets --- */

static char *append_to_flow(struct appending *appending, const struct yaml_node *list, bool whole)
{
    OWNED_BUFFER struct buffer piece = {0}, behind_comma = {0};
    const struct yaml_node *last = list->child;
    while (last->next)
        last = last->next;
    buffer_text(&piece, ", ");
    roster_write(appending->agent, ROSTER_FLOW, 0, whole, &piece);
    buffer_text(&piece, "\n");
    buffer_add(&behind_comma, piece.data + 1, piece.length - 1);
    size_t at = line_offset(appending, last->line);
    char *made = NULL;
    for (unsigned tries = 0; !made && tries < BRACKETS_MAX; tries++, at++) {
        const char *bracket = memchr(appending->text + at, ']', appending->length - at);
        if (!bracket)
            break;
        at = (size_t)(bracket - appending->text);
        made = attempt(appending, at, &piece);
        made = made ? made : attempt(appending, at, &behind_comma);
    }
    return made;
}

/* --- --- */

static bool in_brackets(const struct appending *appending, const struct yaml_node *list)
{
    const char *line = appending->text + line_offset(appending, list->line);
    const char *end = appending->text + appending->length;
    for (unsigned column = 1; column < list->column && line < end; column++) {
        line++;
        while (line < end && ((unsigned char)*line & 0xc0) == 0x80)
            line++;
    }
    return line < end && *line == '[';
}

static char *append(struct appending *appending, const struct yaml_node *root, bool whole)
{
    const struct yaml_node *list = yaml_get(root, "agents");
    if (!list || list->kind != YAML_SEQUENCE || !list->child)
        return NULL;
    return in_brackets(appending, list) ? append_to_flow(appending, list, whole)
                                        : append_to_block(appending, list, list->next, whole);
}

char *roster_append(const char *text, size_t length, const struct roster_agent *agent, bool *differs,
                    struct fault *fault)
{
    OWNED_BUFFER struct buffer faults = {0};
    struct appending appending = {.text = text, .length = length, .agent = agent};
    struct roster *before = roster_parse(text, length, "agents.yaml", &faults);
    struct yaml_node *root = before ? yaml_parse(text, length, "agents.yaml", NULL) : NULL;
    char *made = NULL;
    appending.before = before;
    if (root)
        made = append(&appending, root, false);
    if (root && !made)
        made = append(&appending, root, true);
    *differs = !made && appending.best;
    if (!made) {
        made = appending.best;
        appending.best = NULL;
    }
    if (!made && faults.length + appending.faults.length > 0)
        fault_set(fault, "%s", faults.length ? faults.data : appending.faults.data);
    else if (!made)
        fault_set(fault, "agents.yaml is written in a way that no agent can be added to safely");
    free(appending.best);
    buffer_free(&appending.faults);
    yaml_free(root);
    roster_free(before);
    return made;
}
