/* `agentos log`: an agent's commit log. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "common/clock.h"
#include "common/memory.h"
#include "supervisor/cli/inspect/data_dir.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/terminal/confine.h"
#include "supervisor/cli/terminal/output.h"
#include "supervisor/reader/commit_log.h"

enum { FOLLOWED = 10, FRESH_MAX = 1000 /* commits that may come between two looks */, LOOK_EVERY_MS = 300 };

static json_int_t tokens_of(const struct logged_commit *entry)
{
    return (json_int_t)(entry->usage.tokens_in + entry->usage.tokens_out);
}

/* "2026-04-29T10:05:12Z  a3f9c12  +1    812 tokens  orion(task): first-task" */
static void show_entry(const struct logged_commit *entry)
{
    char text[CLOCK_TEXT];
    OWNED char *subject = output_clean(entry->subject, 0);
    printf("%s  %.7s  ", clock_format(entry->time, text), entry->commit);
    if (entry->task != NULL) {
        printf("%s%d %6lld tokens  %s",
               entry->reward > 0    ? "+"
               : entry->reward == 0 ? " "
                                    : "",
               entry->reward, (long long)tokens_of(entry), subject);
    } else {
        OWNED char *author = output_clean(entry->author, 0);
        printf("%-16s  %s", author, subject);
    }
    if (entry->end != NULL && strcmp(entry->end, "done") != 0) {
        OWNED char *end = output_clean(entry->end, 0);
        printf(" (%s)", end);
    }
    putchar('\n');
    (void)output_lines(stdout, "    ", entry->notes);
    if (entry->audit != NULL) {
        OWNED char *audit = output_clean(entry->audit, 0);
        printf("    audit: %s (in %.7s)\n", audit, entry->audit_commit);
    }
}

struct request {
    const char *path;
    size_t most;
    bool json, follow;
    json_t *items;   /* with json, unless followed */
    char newest[41]; /* the commit that was shown last */
};

static bool show(void *context, const struct logged_commit *entry)
{
    const struct request *request = context;
    if (request->items != NULL) {
        json_array_append_new(request->items, logged_commit_json(entry));
    } else if (request->json) {
        json_auto_t *item = logged_commit_json(entry);
        output_json_line(item);
    } else {
        show_entry(entry);
    }
    return true;
}

/* --- --follow --- */

/* Counts the commits that are newer than the last shown one; all commits when that has left the branch. */
static bool count_fresh(void *context, const struct logged_commit *entry)
{
    struct request *request = context;
    bool fresh = strcmp(entry->commit, request->newest) != 0;
    request->most += fresh;
    return fresh;
}

static int show_fresh(struct request *request, struct fault *fault)
{
    OWNED_LOG struct commit_log history = {0};
    if (!commit_log_read(&history, request->path, request->most, fault))
        return EX_DATAERR;
    for (size_t i = history.count; i-- > 0;) {
        show(request, &history.entries[i]);
        memcpy(request->newest, history.entries[i].commit, sizeof(request->newest));
    }
    return fflush(stdout) == 0 ? EX_OK : (fault_errno(fault, "the result could not be written"), EX_IOERR);
}

/* A history that can't be read now may be readable a moment later: the worker is writing it. */
static int follow(struct request *request)
{
    struct fault fault = {0};
    request->most = request->most == SIZE_MAX ? FOLLOWED : request->most;
    int status = show_fresh(request, &fault);
    if (status != EX_OK)
        output_complain("%s", fault.text);
    while (status == EX_OK) {
        nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_MS * 1000L * 1000L}, NULL);
        request->most = 0;
        if (commit_log_each(request->path, FRESH_MAX, count_fresh, request, &fault) && request->most > 0 &&
            show_fresh(request, &fault) == EX_IOERR) {
            output_complain("%s", fault.text);
            status = EX_IOERR;
        }
    }
    return status;
}

/* Runs in a process of its own: the readable part of a damaged history is shown all the same. */
static int read_and_show(void *context)
{
    struct request *request = context;
    struct fault fault = {0};
    int status = EX_OK;
    if (request->follow)
        return follow(request);
    request->items = request->json ? json_array() : NULL;
    if (!commit_log_each(request->path, request->most, show, request, &fault)) {
        output_complain("%s", fault.text);
        status = EX_DATAERR;
    }
    if (request->items != NULL)
        output_items(request->items);
    return status;
}

int verb_log(struct invocation *invocation)
{
    int status = 0;
    struct fault fault = {0};
    struct request request = {.json = invocation_has(invocation, OPTION_JSON),
                              .follow = invocation_has(invocation, OPTION_FOLLOW)};
    if (!invocation_newest(invocation, &request.most, &fault))
        return output_fail(EX_USAGE, "%s", fault.text);
    OWNED char *path = NULL;
    OWNED_FD int folder = data_dir_agent(invocation, invocation->words[0], &path, &status);
    if (folder < 0)
        return status;
    request.path = path;
    confine_guard(invocation->data_dir, invocation->words[0]);
    return confine(path, read_and_show, &request);
}
