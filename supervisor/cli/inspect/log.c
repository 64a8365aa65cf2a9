/* `agentos log`: an agent's diary. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/utf8.h"
#include "supervisor/cli/inspect/commit_log.h"
#include "supervisor/cli/inspect/inspect.h"
#include "supervisor/cli/terminal/client.h"
#include "supervisor/cli/terminal/output.h"

static json_t *clean(const char *text)
{
    OWNED char *valid = text != NULL ? utf8_clean(text, strlen(text)) : NULL;
    return valid != NULL ? json_string(valid) : json_null();
}

static json_t *page_item(const struct diary_page *page)
{
    char text[CLOCK_TEXT];
    bool task = page->task != NULL;
    json_t *item = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "commit", page->commit, "time",
                             clock_format(page->time, text), "author", clean(page->author), "subject",
                             clean(page->subject), "body", clean(page->notes), "task", clean(page->task),
                             "end", clean(page->end));
    json_object_set_new(item, "reward", task ? json_integer(page->reward) : json_null());
    json_object_set_new(item, "tokens", task ? json_integer((json_int_t)page->tokens) : json_null());
    json_object_set_new(item, "audit", clean(page->audit));
    json_object_set_new(item, "audit_commit", clean(page->audit != NULL ? page->audit_commit : NULL));
    return item;
}

static void show_notes(const char *notes)
{
    OWNED char *text = output_clean(notes, 1);
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (line[0] != '\0') {
            printf("    %s\n", line);
        }
    }
}

/* "2026-04-29T10:05:12Z  a3f9c12  +1    812 tokens  orion(task): first-task" */
static void show_page(const struct diary_page *page)
{
    char text[CLOCK_TEXT];
    OWNED char *subject = output_clean(page->subject, 0);
    printf("%s  %.7s  ", clock_format(page->time, text), page->commit);
    if (page->task != NULL) {
        printf("%s%d %6llu tokens  %s",
               page->reward > 0    ? "+"
               : page->reward == 0 ? " "
                                   : "",
               page->reward, (unsigned long long)page->tokens, subject);
    } else {
        OWNED char *author = output_clean(page->author, 0);
        printf("%-16s  %s", author, subject);
    }
    if (page->end != NULL && strcmp(page->end, "done") != 0) {
        OWNED char *end = output_clean(page->end, 0);
        printf(" (%s)", end);
    }
    putchar('\n');
    show_notes(page->notes);
    if (page->audit != NULL) {
        OWNED char *audit = output_clean(page->audit, 0);
        printf("    audit: %s (in %.7s)\n", audit, page->audit_commit);
    }
}

static void show_diary(const struct diary *diary, bool json)
{
    json_t *items = json ? json_array() : NULL;
    for (size_t i = 0; i < diary->count; i++) {
        if (json) {
            json_array_append_new(items, page_item(&diary->pages[i]));
        } else {
            show_page(&diary->pages[i]);
        }
    }
    if (json) {
        output_items(items);
    }
}

int verb_log(struct invocation *invocation)
{
    int status = 0;
    struct fault fault = {0};
    struct diary diary = {0};
    OWNED char *path = NULL;
    OWNED_FD int folder = client_agent_folder(invocation, invocation->words[0], &path, &status);
    if (folder < 0) {
        return status;
    }
    if (!diary_read(&diary, path, &fault)) {
        output_complain("%s", fault.text);
        status = EX_DATAERR;
    }
    show_diary(&diary, invocation_has(invocation, OPTION_JSON));
    diary_free(&diary);
    return output_end(status);
}
