#include "supervisor/reader/commit_log.h"

#include <ctype.h>
#include <git2.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/repository/commits.h"
#include "common/repository/library.h"
#include "common/repository/open.h"
#include "common/utf8.h"

/* "120 34" */
static void read_tokens(struct question_usage *usage, const char *value)
{
    char *end = NULL;
    usage->tokens_in = strtoull(value, &end, 10);
    usage->tokens_out = strtoull(end, NULL, 10);
}

/* Decodes %XX, which stands in a trailer for bytes that a trailer's line can't hold. */
static char *decode(const char *value)
{
    char *plain = memory_text(value);
    char *to = plain;
    for (const char *from = value; *from != '\0'; from++) {
        if (from[0] == '%' && isxdigit((unsigned char)from[1]) && isxdigit((unsigned char)from[2])) {
            char digits[3] = {from[1], from[2], '\0'};
            *to++ = (char)strtoul(digits, NULL, 16);
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return plain;
}

static void read_trailer(struct logged_commit *entry, const char *key, const char *value)
{
    if (strcmp(key, "Agentos-Task") == 0) {
        free(entry->task);
        entry->task = decode(value);
    } else if (strcmp(key, "Agentos-End") == 0) {
        memory_set(&entry->end, value);
    } else if (strcmp(key, "Agentos-Reward") == 0) {
        entry->reward = (int)strtol(value, NULL, 10);
    } else if (strcmp(key, "Agentos-Tokens") == 0) {
        read_tokens(&entry->usage, value);
    } else if (strcmp(key, "Agentos-Cached") == 0) {
        entry->usage.cached = strtoull(value, NULL, 10);
    } else if (strcmp(key, "Agentos-Requests") == 0) {
        entry->usage.requests = strtoull(value, NULL, 10);
    } else if (strcmp(key, "Agentos-Cost") == 0) {
        char *end = NULL;
        entry->usage.cost = usage_read_cost(value, &end);
    }
}

/* The body without the last paragraph, when that is the trailers. */
static char *notes_of(const char *body, size_t trailers)
{
    char *notes = memory_text(body != NULL ? body : "");
    if (trailers > 0) {
        char *last = NULL;
        for (char *at = strstr(notes, "\n\n"); at != NULL; at = strstr(at + 1, "\n\n"))
            last = at;
        *(last != NULL ? last : notes) = '\0';
    }
    return notes;
}

static void read_entry(struct logged_commit *entry, const git_commit *commit)
{
    git_message_trailer_array trailers = {0};
    const git_signature *author = git_commit_author(commit);
    const char *subject = git_commit_summary((git_commit *)commit);
    git_oid_tostr(entry->commit, sizeof(entry->commit), git_commit_id(commit));
    entry->time = git_commit_time(commit);
    entry->author = memory_text(author != NULL && author->name != NULL ? author->name : "");
    entry->subject = memory_text(subject != NULL ? subject : "");
    if (git_message_trailers(&trailers, git_commit_message(commit)) == 0)
        for (size_t i = 0; i < trailers.count; i++)
            read_trailer(entry, trailers.trailers[i].key, trailers.trailers[i].value);
    entry->notes = notes_of(git_commit_body((git_commit *)commit), trailers.count);
    git_message_trailer_array_free(&trailers);
}

/* --- audits: "audit of TASK: …" stands in the next commit after the result --- */

struct audit {
    char *task, *text; /* owned */
    char commit[41];
    struct question_usage usage;
};

struct audits {
    struct audit *items;
    size_t count;
};

/* "-1, the agent said +1, 120 tokens in, 34 out, 100 cached, 2 requests, cost 0.000250000": everything before the
 * reasons is the worker's own text. A single request is not mentioned. */
static void read_audit_usage(struct question_usage *usage, const char *score, size_t length)
{
    const struct {
        const char *unit;
        uint64_t *count;
    } COUNTS[] = {{"tokens in", &usage->tokens_in},
                  {"out", &usage->tokens_out},
                  {"cached", &usage->cached},
                  {"requests", &usage->requests}};
    OWNED char *text = memory_slice(score, length);
    char *rest = text;
    usage->requests = strstr(text, " tokens in, ") != NULL;
    for (char *part = strsep(&rest, ","); part != NULL; part = strsep(&rest, ",")) {
        char *unit = NULL;
        uint64_t count = strtoull(part, &unit, 10);
        for (size_t i = 0; i < sizeof(COUNTS) / sizeof(COUNTS[0]); i++)
            if (unit != part && *unit == ' ' && strcmp(unit + 1, COUNTS[i].unit) == 0)
                *COUNTS[i].count = count;
        if (strncmp(part, " cost ", 6) == 0)
            usage->cost = usage_read_cost(part + 6, &unit);
    }
}

static void take_audits(struct audits *audits, const struct logged_commit *entry)
{
    static const char start[] = "audit of ";
    for (const char *line = entry->notes; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        const char *colon = memmem(line, length, ": ", 2);
        if (colon != NULL && strncmp(line, start, sizeof(start) - 1) == 0) {
            const char *task = line + sizeof(start) - 1;
            *MEMORY_ADD(audits->items, audits->count) =
                (struct audit){.task = memory_slice(task, (size_t)(colon - task)),
                               .text = memory_slice(colon + 2, length - (size_t)(colon + 2 - line)),
                               .usage.cost = USAGE_NO_COST};
            struct audit *audit = &audits->items[audits->count - 1];
            memcpy(audit->commit, entry->commit, sizeof(audit->commit));
            const char *end = strstr(audit->text, ": ");
            read_audit_usage(&audit->usage, audit->text,
                             end != NULL ? (size_t)(end - audit->text) : strlen(audit->text));
        }
        line += length + (line[length] == '\n');
    }
}

static void give_audit(struct audits *audits, struct logged_commit *entry)
{
    for (size_t i = 0; entry->task != NULL && i < audits->count; i++) {
        struct audit *audit = &audits->items[i];
        if (strcmp(audit->task, entry->task) == 0) {
            entry->audit = audit->text;
            entry->audit_usage = audit->usage;
            memcpy(entry->audit_commit, audit->commit, sizeof(entry->audit_commit));
            free(audit->task);
            *audit = audits->items[--audits->count];
            return;
        }
    }
}

static void audits_free(struct audits *audits)
{
    for (size_t i = 0; i < audits->count; i++) {
        free(audits->items[i].task);
        free(audits->items[i].text);
    }
    free(audits->items);
}

static void entry_free(struct logged_commit *entry)
{
    free(entry->author);
    free(entry->subject);
    free(entry->notes);
    free(entry->task);
    free(entry->end);
    free(entry->audit);
}

/* --- the walk --- */

struct walking {
    size_t most, count;
    struct audits audits;
    bool (*take)(void *context, struct logged_commit *entry); /* the entry is take's; false: enough */
    void *context;
};

/* An audit's result comes after its task, so the walk meets it first. The same id may have been done twice: the newer
 * task's result is met before the older one's. */
static bool take_commit(void *context, const git_commit *commit)
{
    struct walking *walking = context;
    struct logged_commit entry = {.usage.cost = USAGE_NO_COST, .audit_usage.cost = USAGE_NO_COST};
    read_entry(&entry, commit);
    give_audit(&walking->audits, &entry);
    take_audits(&walking->audits, &entry);
    return walking->take(walking->context, &entry) && ++walking->count < walking->most;
}

static bool walk_all(struct walking *walking, const char *path, struct fault *fault)
{
    OWNED_GIT(git_repository) git_repository *repository = NULL;
    if (!repository_library_start(fault))
        return false;
    if (repository_open(&repository, path) != 0)
        return commits_fault(fault, "%s has no repository that can be opened", path);
    bool read = walking->most == 0 || commits_each(repository, GIT_SORT_NONE, take_commit, walking) ||
                commits_fault(fault, "%s has a history that cannot be read to its beginning", path);
    audits_free(&walking->audits);
    return read;
}

struct visiting {
    bool (*visit)(void *context, const struct logged_commit *entry);
    void *context;
};

static bool visit(void *context, struct logged_commit *entry)
{
    const struct visiting *visiting = context;
    bool more = visiting->visit(visiting->context, entry);
    entry_free(entry);
    return more;
}

bool commit_log_each(const char *path, size_t most,
                     bool (*visitor)(void *context, const struct logged_commit *entry), void *context,
                     struct fault *fault)
{
    struct visiting visiting = {visitor, context};
    struct walking walking = {.most = most, .take = visit, .context = &visiting};
    return walk_all(&walking, path, fault);
}

static bool add(void *context, struct logged_commit *entry)
{
    struct commit_log *history = context;
    *MEMORY_ADD(history->entries, history->count) = *entry;
    return true;
}

bool commit_log_read(struct commit_log *history, const char *path, size_t most, struct fault *fault)
{
    struct walking walking = {.most = most, .take = add, .context = history};
    *history = (struct commit_log){0};
    return walk_all(&walking, path, fault);
}

void commit_log_free(struct commit_log *history)
{
    for (size_t i = 0; i < history->count; i++)
        entry_free(&history->entries[i]);
    free(history->entries);
    *history = (struct commit_log){0};
}

/* --- for programs --- */

json_t *logged_commit_json(const struct logged_commit *entry)
{
    char text[CLOCK_TEXT];
    bool task = entry->task != NULL;
    json_t *item = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "commit", entry->commit, "time",
                             clock_format(entry->time, text), "author", utf8_json(entry->author), "subject",
                             utf8_json(entry->subject), "body", utf8_json(entry->notes), "task",
                             utf8_json(entry->task), "end", utf8_json(entry->end));
    json_object_set_new(item, "reward", task ? json_integer(entry->reward) : json_null());
    json_object_set_new(item, "tokens",
                        task ? json_integer((json_int_t)(entry->usage.tokens_in + entry->usage.tokens_out))
                             : json_null());
    json_object_set_new(item, "audit", utf8_json(entry->audit));
    json_object_set_new(item, "audit_commit", utf8_json(entry->audit != NULL ? entry->audit_commit : NULL));
    return item;
}
