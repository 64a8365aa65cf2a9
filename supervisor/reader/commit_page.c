#include "supervisor/reader/commit_page.h"

#include <git2.h>
#include <string.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/repository/commits.h"
#include "common/repository/open.h"
#include "supervisor/reader/commit_changes.h"
#include "supervisor/reader/commit_log.h"

enum { DIGITS_LEAST = 4, DIGITS = 40 };

struct page {
    const struct reading *reading;
    git_repository *repository; /* NULL: without each commit's changes */
    int64_t until;              /* the end of the time for comparisons */
    const char *after;          /* the commit before the page; NULL: the page begins with the newest */
    bool begun, more;
    size_t most, bytes;
    json_t *items;
    char last[DIGITS + 1];
};

static size_t size_of(const json_t *item)
{
    return json_dumpb(item, NULL, 0, JSON_COMPACT);
}

/* The walk begins at the newest for each page: the audit of a task stands in a commit that is newer than the task's. */
static bool take(void *context, const struct logged_commit *entry)
{
    struct page *page = context;
    if (!page->begun) {
        page->begun = strcmp(entry->commit, page->after) == 0;
        return true;
    }
    if (json_array_size(page->items) == page->most || page->bytes > PAGE_BYTES_MAX) {
        page->more = true;
        return false;
    }
    json_t *item = logged_commit_json(entry);
    struct fault fault;
    if (page->repository &&
        !commit_changes_add(page->repository, entry->commit, false, page->until, item, &fault))
        page->reading->complain(fault.text);
    page->bytes += size_of(item);
    json_array_append_new(page->items, item);
    memcpy(page->last, entry->commit, sizeof page->last);
    return true;
}

/* A history that can't be read to its beginning is told as far as it goes. */
static int list(const struct reading *reading, const char *path, struct page *page, json_t **answer,
                struct fault *fault)
{
    if (!commit_log_each(path, SIZE_MAX, take, page, fault))
        reading->complain(fault->text);
    if (!page->begun) {
        fault_set(fault, "cursor is `next` of the page before");
        json_decref(page->items);
        return EX_USAGE;
    }
    *answer = json_pack("{s:o, s:s?}", "items", page->items, "next", page->more ? page->last : NULL);
    return EX_OK;
}

static git_repository *open_at(const char *path)
{
    git_repository *repository = NULL;
    (void)repository_open(&repository, path);
    return repository;
}

static int page_of(const struct reading *reading, bool changes, json_t **answer, struct fault *fault)
{
    OWNED char *path = reading_agent(reading, fault);
    if (!path)
        return EX_NOINPUT;
    struct page page = {.reading = reading,
                        .until = clock_monotonic_ms() + CHANGES_MS,
                        .after = reading_text(reading, "cursor"),
                        .most = reading_count(reading, "limit", PAGE_ITEMS, PAGE_ITEMS_MAX),
                        .repository = changes ? open_at(path) : NULL,
                        .items = json_array()};
    page.begun = !page.after;
    int status = list(reading, path, &page, answer, fault);
    git_repository_free(page.repository);
    return status;
}

int commit_page_log(const struct reading *reading, json_t **answer, struct fault *fault)
{
    return page_of(reading, false, answer, fault);
}

int commit_page_changes(const struct reading *reading, json_t **answer, struct fault *fault)
{
    return page_of(reading, true, answer, fault);
}

/* --- one commit --- */

struct wanted {
    const char *digits;
    json_t *item; /* NULL: not met yet */
    char commit[DIGITS + 1];
};

static bool seek(void *context, const struct logged_commit *entry)
{
    struct wanted *wanted = context;
    if (strncasecmp(entry->commit, wanted->digits, strlen(wanted->digits)) != 0)
        return true;
    wanted->item = logged_commit_json(entry);
    memcpy(wanted->commit, entry->commit, sizeof wanted->commit);
    return false;
}

int commit_page_one(const struct reading *reading, json_t **answer, struct fault *fault)
{
    struct wanted wanted = {.digits = reading_text(reading, "commit")};
    OWNED char *path = reading_agent(reading, fault);
    if (!path)
        return EX_NOINPUT;
    size_t length = wanted.digits ? strlen(wanted.digits) : 0;
    bool read = length < DIGITS_LEAST || commit_log_each(path, SIZE_MAX, seek, &wanted, fault);
    if (!wanted.item) {
        if (read)
            fault_set(fault, "the agent's history has no commit of this id");
        return read ? EX_NOINPUT : EX_SOFTWARE;
    }
    OWNED_GIT(git_repository) git_repository *repository = open_at(path);
    if (repository && !commit_changes_add(repository, wanted.commit, true, clock_monotonic_ms() + CHANGES_MS,
                                          wanted.item, fault))
        reading->complain(fault->text);
    *answer = wanted.item;
    return EX_OK;
}
